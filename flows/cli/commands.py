"""The commands that run flows: the same flows as the deployments, in this process, without a server to start first."""

import os
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from flows.cli import explain, inputs, listings, overrides
from flows.cli.environment import has_prefect_server, prepare_environment, run_flow
from flows.cli.options import (
    DAY,
    AllowShrink,
    AsJson,
    AsKaggle,
    AsOf,
    Candidates,
    Folds,
    OutFile,
    PlanFile,
    RawFolder,
    Search,
    parse_day,
    split_names,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Daily sales of every store, weeks ahead. All state is under ROSSMANN_DATA_DIR (default: data).",
    epilog="Commands and options complete with the Tab key after `rossmann --install-completion` (bash, zsh, fish).",
)
sample_app = typer.Typer(invoke_without_command=True)
app.add_typer(sample_app, name="sample")
app.add_typer(listings.snapshots_app, name="snapshots")
app.add_typer(listings.models_app, name="models")
app.add_typer(overrides.overrides_app, name="overrides")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"rossmann {version('rossmann')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself. The help text is the application's."""


@sample_app.callback()
def sample(
    context: typer.Context,
    out: Annotated[
        str | None,
        typer.Option(help="Folder for train.csv, store.csv and test.csv. [default: raw/ in the workspace]"),
    ] = None,
    stores: Annotated[int, typer.Option(min=1, help="How many stores.")] = 60,
    days: Annotated[int, typer.Option(min=28, help="How many days of history, from 2013-01-01.")] = 942,
    extra_days: Annotated[int, typer.Option(min=0, help="Number of additional days after --days.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a simulated chain of stores as raw files, for a first try.

    They have the format of Kaggle's competition: train.csv, store.csv and test.csv.
    """
    if context.invoked_subcommand is not None:
        return
    settings = prepare_environment()
    from rossmann.simulation import write_sample

    folder = write_sample(out or settings.workspace.raw, stores, days, seed, overwrite=force, extra_days=extra_days)
    typer.echo(f"{stores} stores × {days + extra_days} days in {folder}")


@app.command()
def init(
    folder: Annotated[str, typer.Argument(help="Folder with the raw files: .csv, .csv.gz or .parquet.")],
) -> None:
    """Write a first chain.toml for a folder of raw files: what its columns probably are, with reasons as comments."""
    from rossmann.data.chain_guess import guess_chain, is_kaggle_format, require_no_chain_file, write_chain_file

    require_no_chain_file(folder)
    if is_kaggle_format(folder):
        typer.echo(f"{folder} has the files of Kaggle's format: no chain.toml is needed")
    else:
        typer.echo(f"{write_chain_file(guess_chain(folder))}: read the comments and correct what is wrong")
    typer.echo(f"next: rossmann retrain --raw {folder}")


@sample_app.command()
def restaurants(
    out: Annotated[
        str | None, typer.Option(help="Folder for the files and chain.toml. [default: raw/ in the workspace]")
    ] = None,
    stores: Annotated[int, typer.Option(min=1, help="How many restaurants.")] = 40,
    days: Annotated[int, typer.Option(min=28, help="How many days of history, from 2016-01-01.")] = 456,
    extra_days: Annotated[int, typer.Option(min=0, help="Number of additional days after --days.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write simulated restaurants in Japan: files with names of their own, and the chain.toml that describes them."""
    settings = prepare_environment()
    from rossmann.simulation import write_restaurants

    folder = write_restaurants(
        out or settings.workspace.raw, stores, days, seed, overwrite=force, extra_days=extra_days
    )
    typer.echo(f"{stores} restaurants × {days + extra_days} days in {folder}")


@app.command()
def ingest(raw: RawFolder = None, as_of: AsOf = None, allow_shrink: AllowShrink = False) -> None:
    """Validate and clean raw files and save them as the current snapshot. Prints its fingerprint."""
    settings = prepare_environment()
    inputs.check_raw(settings, raw)
    from flows.ingest import ingest as flow

    typer.echo(run_flow(flow, raw, as_of, allow_shrink))


@app.command()
def refresh(raw: RawFolder = None, as_of: AsOf = None, allow_shrink: AllowShrink = False, json: AsJson = False) -> None:
    """Ingest new days, switch the endpoint to them and forecast from them, without a training."""
    settings = prepare_environment()
    inputs.check_raw(settings, raw)
    inputs.check_champion(settings)
    from flows.cli import console, documents
    from flows.refresh import refresh as flow

    delivered = run_flow(flow, raw, as_of, allow_shrink)
    if json:
        documents.write(documents.forecast(delivered))
    else:
        console.show_forecast(settings.workspace.root, delivered)


@app.command()
def train(folds: Folds = None, candidates: Candidates = None, search: Search = 0, json: AsJson = False) -> None:
    """Backtest the candidates of ROSSMANN_CANDIDATES on the current snapshot; the best becomes challenger."""
    settings = prepare_environment()
    inputs.check_snapshot(settings)
    inputs.check_candidates(candidates)
    from flows.cli import console, documents
    from flows.cli.training_summary import summarise_training
    from flows.train import train as flow

    summary = summarise_training(settings, run_flow(flow, folds, split_names(candidates), search))
    if json:
        documents.write(documents.training(summary))
    else:
        console.show_training(settings.workspace.root, summary)


@app.command()
def release(json: AsJson = False) -> None:
    """Promote the challenger if it beats the champion and the median baseline on the same folds."""
    settings = prepare_environment()
    inputs.check_challenger(settings)
    from flows.cli import console, documents
    from flows.release import release as flow

    verdict = run_flow(flow)
    if json:
        documents.write(documents.verdict(verdict))
    else:
        console.show_verdict(verdict)


@app.command()
def forecast(plan: PlanFile = None, out: OutFile = None, kaggle: AsKaggle = False, json: AsJson = False) -> None:
    """Forecast the days of the horizon for every store, or every row of a plan, with the champion."""
    settings = prepare_environment()
    inputs.check_plan(settings, plan)
    from flows.cli import console, documents

    if has_prefect_server():
        from flows.forecast import forecast as flow

        delivered = run_flow(flow, plan, out, kaggle)
    else:
        from flows.delivery import deliver_and_record

        delivered = deliver_and_record(settings, plan, out, kaggle)
    if json:
        documents.write(documents.forecast(delivered))
    else:
        console.show_forecast(settings.workspace.root, delivered)


@app.command()
def retrain(
    raw: RawFolder = None,
    as_of: AsOf = None,
    folds: Folds = None,
    candidates: Candidates = None,
    search: Search = 0,
    allow_shrink: AllowShrink = False,
    json: AsJson = False,
) -> None:
    """Ingest, train, release and forecast in one run."""
    settings = prepare_environment()
    inputs.check_raw(settings, raw)
    inputs.check_candidates(candidates)
    from flows.cli import console, documents
    from flows.cli.training_summary import summarise_training
    from flows.retrain import retrain as flow

    result = run_flow(flow, raw, as_of, folds, split_names(candidates), search, allow_shrink=allow_shrink)
    summary = summarise_training(settings, result.training) if result.training else None
    if json:
        documents.write(documents.retraining(result, summary))
    else:
        console.show_retraining(settings.workspace.root, result, summary)


@app.command()
def monitor(json: AsJson = False) -> None:
    """Compare forecasts with actuals, and the newest week with the past; raise alarms."""
    settings = prepare_environment()
    inputs.check_snapshot(settings)
    from flows.cli import console, documents
    from flows.monitor import monitor as flow

    result = run_flow(flow)
    if json:
        documents.write(documents.monitoring(result))
    else:
        console.show_monitoring(settings.workspace.root, result)


app.command()(explain.explain)
app.command()(listings.alarms)
app.command()(listings.doctor)


@app.command()
def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    json: AsJson = False,
) -> None:
    """Delete what is older than its retention and in use by nothing."""
    settings = prepare_environment()
    from flows.cli import console, documents

    if dry_run:
        from flows.retention import find_expired

        expired = find_expired(settings, datetime.now(UTC))
    else:
        from flows.sweep import sweep as flow

        expired = run_flow(flow)
    if json:
        documents.write(documents.sweep(expired))
    else:
        console.show_sweep(expired, dry_run)


@app.command()
def replay(
    first: Annotated[date, typer.Option("--from", parser=parse_day, metavar=DAY, help="First as-of day.")],
    last: Annotated[date, typer.Option("--to", parser=parse_day, metavar=DAY, help="Last as-of day.")],
    step_days: Annotated[int, typer.Option(min=1, help="Days from one as-of day to the next.")] = 7,
    policy: Annotated[
        str, typer.Option(help="When to retrain: never, monthly, drift; several, separated by commas.")
    ] = "never,monthly,drift",
    inject: Annotated[str | None, typer.Option(help="FAULT@DATE: inject a fault into the files from a day on.")] = None,
    stores: Annotated[
        int | None, typer.Option(min=5, help="Use only the N stores with the lowest numbers. [default: all]")
    ] = None,
    candidates: Annotated[str, typer.Option(help="Candidates to backtest, separated by commas.")] = "ridge",
    raw: RawFolder = None,
    json: AsJson = False,
) -> None:
    """Replay a history week by week under several retraining policies and compare their errors."""
    settings = prepare_environment()
    fault, fault_start = parse_fault(inject)
    inputs.check_raw(settings, raw)
    inputs.check_candidates(candidates)
    from flows.cli import console, documents
    from flows.replay import replay as flow

    policies, selection = split_names(policy) or [], split_names(candidates) or []
    folder = raw or settings.workspace.raw
    result = flow(folder, first, last, step_days, policies, selection, stores, fault, fault_start)
    if json:
        documents.write(documents.replay(result))
    else:
        console.show_replay(settings.workspace.root, result)


@app.command()
def deploy() -> None:
    """Register the deployments of ./prefect.yaml, and the automations, with the Prefect server.

    Repeating it changes nothing.
    """
    settings = prepare_environment()
    from rossmann.validation import DataError

    if not has_prefect_server():
        raise DataError('deployments need a Prefect server: eval "$(make -s env)" names the one of make up')
    from flows import automations
    from flows.cli.doctor import watching
    from flows.cli.doctor.findings import read_surroundings

    typer.echo("\n".join(f"deployment {name}" for name in automations.deploy(settings)))
    typer.echo("\n".join(f"automation {name}" for name in automations.register(settings)))
    for each in watching.watching(read_surroundings(os.environ)):
        if each.advice:
            typer.echo(f"{each.text}: {each.advice}", err=True)


@app.command()
def serve() -> None:
    """Deploy the endpoint on the Ray cluster at ROSSMANN_SERVE_ADDRESS, with the champion on the current snapshot."""
    settings = prepare_environment()
    from flows import endpoint, workspace
    from rossmann.serving import deployment
    from rossmann.serving.server.model_host import ServingTarget
    from rossmann.validation import DataError

    cluster = endpoint.serve_cluster(settings)
    if cluster is None:
        raise DataError("ROSSMANN_SERVE_ADDRESS is not set: name a Ray cluster to serve on, or start one (make up)")
    with workspace.lock(settings, "serve"):
        target = endpoint.champion_target(settings) or ServingTarget()
        deployment.deploy(cluster, target)
        deployment.wait_until_ready(cluster, target, endpoint.READY_TIMEOUT_S)
    state = deployment.readiness(cluster)
    model = f"model version {state['model_version']}" if state["ready"] else state["load_error"]
    typer.echo(f"{cluster.url}/docs: {model}")


@app.command()
def dashboard(
    host: Annotated[str, typer.Option(help="The address on which it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, envvar="DASHBOARD_PORT", help="Its port.")] = 8501,
) -> None:
    """Start the dashboard in the foreground: forecasts, what-if, accuracy, alarms. It has no log-in: keep it local."""
    settings = prepare_environment()
    from rossmann.dashboard import server

    server.require_free_port(host, port)
    typer.echo(f"dashboard of {settings.data_dir}: http://{host}:{port} (Ctrl-C ends it)")
    server.run(host, port, settings.allowed_hosts)


def parse_fault(text: str | None) -> tuple[str | None, date | None]:
    """Name and first day of FAULT@DATE."""
    from rossmann.validation import DataError

    if text is None:
        return None, None
    fault, _, day = text.partition("@")
    try:
        return fault, date.fromisoformat(day)
    except ValueError as error:
        raise DataError(f"--inject {text}: expected FAULT@DATE, like promotion_inverted@2015-02-12") from error
