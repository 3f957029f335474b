"""The `rossmann` command: the same flows as the deployments, run here and now, with no server to start first."""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import httpx
import pydantic
import typer
from rich.console import Console

from rossmann.settings import PATIENT, QUIET, Settings
from rossmann.validation import DataError

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Daily sales of every store, six weeks ahead. All state lies under ROSSMANN_DATA_DIR (default: data).",
)
snapshots_app = typer.Typer(help="The versions of the history.", invoke_without_command=True)
models_app = typer.Typer(help="The versions of the model, and who serves.", invoke_without_command=True)
app.add_typer(snapshots_app, name="snapshots")
app.add_typer(models_app, name="models")

RawFolder = Annotated[
    str | None,
    typer.Option(
        "--raw",
        help="Folder with train.csv, store.csv and, if known, test.csv. [default: raw/ in the data dir]",
    ),
]
AsOf = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Reveal the raw files only up to this day.")]
Folds = Annotated[
    int | None,
    typer.Option(min=2, help="Backtest windows, counted back from the end of the history. [default: 3]"),
]
Candidates = Annotated[
    str | None,
    typer.Option(help="Who races, separated by commas; last_week and median always do. [default: all]"),
]
Search = Annotated[int, typer.Option(min=0, help="Hyperparameter draws that race beside each booster.")]
Plan = Annotated[
    str | None,
    typer.Option(
        help="CSV of the days to forecast: Store and Date; Open, Promo, StateHoliday, SchoolHoliday where they differ "
        "from the published plan. [default: the whole published plan]"
    ),
]
Out = Annotated[str | None, typer.Option(help="CSV to write. [default: a file in forecasts/ of the data dir]")]
Kaggle = Annotated[bool, typer.Option("--kaggle", help="Write Id and Sales only, as Kaggle takes them.")]


@app.command()
def sample(
    out: Annotated[
        str | None,
        typer.Option(help="Folder for train.csv, store.csv and test.csv. [default: raw/ in the data dir]"),
    ] = None,
    stores: Annotated[int, typer.Option(min=1, help="How many stores.")] = 60,
    days: Annotated[int, typer.Option(min=28, help="How many days of history, from 2013-01-01.")] = 942,
    seed: Annotated[int, typer.Option(help="The same seed makes the same bytes.")] = 7,
    force: Annotated[bool, typer.Option("--force", help="Replace other files that lie there.")] = False,
) -> None:
    """Write a made-up chain of stores, to try everything on.

    The files are those of Kaggle's competition: train.csv, store.csv and test.csv.
    """
    from rossmann.sample import write_world

    folder = write_world(out or Settings().place("raw"), stores, days, seed, replace=force)
    console().print(f"{stores} stores × {days} days in {folder}")


@app.command()
def ingest(raw: RawFolder = None, as_of: AsOf = None) -> None:
    """Validate and clean raw files, and keep them as the current snapshot. Prints its fingerprint."""
    from flows.ingest import ingest as flow

    print(run(flow, raw, as_of.date() if as_of else None))


@app.command()
def train(folds: Folds = None, candidates: Candidates = None, search: Search = 0) -> None:
    """Race all candidates on the current snapshot; the best becomes challenger."""
    from flows import screen
    from flows.train import train as flow

    screen.trained(console(), run(flow, folds, _names(candidates), search))


@app.command()
def release() -> None:
    """Promote the challenger if it beats the champion and the median baseline on the same folds."""
    from flows import screen
    from flows.release import release as flow

    screen.verdict(console(), run(flow))


@app.command()
def forecast(plan: Plan = None, out: Out = None, kaggle: Kaggle = False) -> None:
    """Forecast the next 48 days of every store, or every row of a plan, with the champion."""
    from flows import screen
    from flows.forecast import forecast as flow

    screen.delivered(console(), run(flow, plan, out, kaggle))


@app.command()
def retrain(
    raw: RawFolder = None,
    as_of: AsOf = None,
    folds: Folds = None,
    candidates: Candidates = None,
    search: Search = 0,
) -> None:
    """Ingest, train, release and forecast in one go."""
    from flows import screen
    from flows.retrain import retrain as flow

    screen.retrained(console(), run(flow, raw, as_of.date() if as_of else None, folds, _names(candidates), search))


@app.command()
def monitor() -> None:
    """Compare forecasts with what happened, and the newest week with the past; raise alarms."""
    from flows import screen
    from flows.monitor import monitor as flow

    screen.monitored(console(), run(flow))


@app.command()
def trail() -> None:
    """Every alarm, what it started and what came of it; newest first."""
    from flows import alarms, screen

    screen.trail(console(), alarms.told(Settings()))


@app.command()
def replay(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first evening.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last evening.")],
    every: Annotated[int, typer.Option(min=1, help="Days from one look to the next.")] = 7,
    policy: Annotated[str, typer.Option(help="When to retrain: never, monthly, drift; several by commas.")] = (
        "never,monthly,drift"
    ),
    inject: Annotated[str | None, typer.Option(help="FAULT@DATE: put a fault into the files from a day on.")] = None,
    stores: Annotated[int | None, typer.Option(min=5, help="Only the first so many stores. [default: all]")] = None,
    candidates: Annotated[str, typer.Option(help="Who races, separated by commas.")] = "ridge",
    raw: RawFolder = None,
) -> None:
    """Live through a history again, as of one week after another, under several policies of retraining."""
    from flows import replay as machine
    from flows import screen

    fault, _, since = (inject or "").partition("@")
    if bool(fault) != bool(since):
        raise DataError(f"--inject {inject}: expected FAULT@DATE, like promo_inverted@2015-02-12")
    policies, racing, fault_at = _names(policy) or [], _names(candidates) or [], (fault or None, since or None)
    folder = raw or Settings().place("raw")
    done = machine.replay(folder, first.date(), last.date(), every, policies, racing, stores, *fault_at)
    screen.replayed(console(), done)


@app.command()
def automations() -> None:
    """Register deployments/automations.yaml with the Prefect server; repeating it changes nothing."""
    from flows.automations import register

    if "PREFECT_API_URL" not in os.environ:
        raise DataError('automations live on a Prefect server: eval "$(make -s env)" names the one of make up')
    print("\n".join(register(Settings())))


@app.command()
def serve() -> None:
    """Put the endpoint on the Ray cluster at ROSSMANN_SERVE_ADDRESS, with the champion on the current snapshot."""
    from flows import endpoint
    from rossmann.serving import deploying
    from rossmann.serving.desk import Wanted

    settings = Settings()
    host = endpoint.serving(settings)
    if host is None:
        raise DataError("no Ray cluster is named to serve on: set ROSSMANN_SERVE_ADDRESS, or `make up` starts one")
    target = endpoint.wanted(settings) or Wanted()
    deploying.deploy(host, target)
    deploying.settle(host, target, endpoint.PATIENCE_S)
    state = deploying.ready(host)
    print(f"{host.url}/docs: " + (f"model version {state['model_version']}" if state["ready"] else state["refused"]))


@snapshots_app.callback()
def snapshots(context: typer.Context) -> None:
    """List the versions of the history, newest first."""
    if context.invoked_subcommand is None:
        from flows import screen

        screen.snapshots(console(), Settings())


@snapshots_app.command()
def restore(
    fingerprint: Annotated[str, typer.Argument(help="Of the snapshot, or its first letters.")],
) -> None:
    """Make an older version of the history the current one."""
    from flows import world
    from rossmann.data import restore_snapshot

    print(restore_snapshot(world.snapshots(Settings()), fingerprint))
    align()


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the versions of the model and the promotion ledger, newest first."""
    if context.invoked_subcommand is None:
        from flows import screen

        screen.models(console(), Settings())


@models_app.command()
def rollback() -> None:
    """Make the champion before this one champion again."""
    from flows import world
    from rossmann import registry

    print(f"version {registry.rollback(world.models(Settings()))} is champion again")
    align()


def main() -> None:
    """Exit codes: 0 done, 2 something the caller can mend (said in one screen), 1 anything else."""
    try:
        prepare(Settings())
        app()
    except OSError as error:  # a folder where a file should be, a place that cannot be written, …
        Console(stderr=True, highlight=False).print(f"{error}", markup=False, soft_wrap=True)
        sys.exit(2)
    except pydantic.ValidationError as error:
        told = "\n".join(map(_unset_or_wrong, error.errors()))
        Console(stderr=True, highlight=False).print(told, markup=False, soft_wrap=True)
        sys.exit(2)
    except DataError as error:
        told = "\n".join([str(error), *getattr(error, "__notes__", ())])
        Console(stderr=True, highlight=False).print(told, markup=False, soft_wrap=True)
        sys.exit(2)


def prepare(settings: Settings) -> None:
    """Environment of an embedded run: telemetry off, Prefect's own state in this world unless a server is named."""
    spoken = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}  # the command line speaks for itself
    embedded = {
        # not the folder of a running stack: SQLite has one writer
        "PREFECT_HOME": f"{settings.local_home}/prefect-embedded",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }
    for name, value in (PATIENT | QUIET | spoken | ({} if "PREFECT_API_URL" in os.environ else embedded)).items():
        os.environ.setdefault(name, value)
    for folder in {settings.home, settings.local_home}:
        if "://" not in folder:
            Path(folder).mkdir(parents=True, exist_ok=True)


def run(flow: Callable[..., T], *args: object) -> T:
    """The flow, here and now, with its progress in this terminal; a server that is named must be there."""
    from flows import progress

    named = os.environ.get("PREFECT_API_URL")
    if named and not answers(named):
        raise DataError(
            f"no Prefect server answers at {named}: start it (make up), or run without one (unset PREFECT_API_URL)"
        )
    progress.terminal = Console(stderr=True)
    return flow(*args)


def align() -> None:
    """The endpoint follows; without a flow run, since nothing is decided here."""
    from flows import endpoint

    settings = Settings()
    host, target = endpoint.serving(settings), endpoint.wanted(settings)
    if host and target:
        endpoint.swap(settings, host, target)


def answers(api: str) -> bool:
    """Whether a Prefect server is there."""
    try:
        return httpx.get(f"{api}/health", timeout=10).is_success
    except httpx.HTTPError:
        return False


def console() -> Console:
    """Where results are shown."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 110)


def _unset_or_wrong(error: dict) -> str:
    name = f"ROSSMANN_{'.'.join(map(str, error['loc'])).upper()}"
    secret = "SecretStr" in str(Settings.model_fields[error["loc"][0]].annotation)
    given = " is not set" if error["input"] is None else "" if secret else f" = {error['input']}"
    return f"{name}{given}: {error['msg'].removeprefix('Value error, ')}"


def _names(candidates: str | None) -> list[str] | None:
    return [name for part in candidates.split(",") if (name := part.strip())] if candidates else None


if __name__ == "__main__":
    main()
