"""The commands that show what a workspace or a machine has, and switch between versions. None of them starts a flow."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.environment import has_prefect_server, prepare_environment
from flows.cli.options import AsJson

if TYPE_CHECKING:
    from rossmann.settings import Settings

snapshots_app = typer.Typer(help="The versions of the history.", invoke_without_command=True)
models_app = typer.Typer(help="The versions of the model, and which one serves.", invoke_without_command=True)
InsteadOf = Annotated[
    int | None, typer.Option("--instead-of", min=1, help="Do nothing unless this version is champion now.")
]


def alarms(json: AsJson = False) -> None:
    """List every alarm, the run that it started and its outcome, newest first."""
    settings = prepare_environment()
    from flows.cli import console, documents
    from rossmann.alarms import list_alarms

    records = list_alarms(settings.workspace.alarms)
    retraining = _retraining(settings) if any(each.waits_for_retraining for each in records) else ""
    if json:
        documents.write(documents.alarms(records, retraining))
    else:
        console.show_alarms(records, retraining)


def _retraining(settings: "Settings") -> str:
    """A sentence about the run that will answer the alarms; empty where none is due, or there is no server."""
    if not has_prefect_server():
        return ""
    import httpx
    from prefect.exceptions import PrefectException

    from flows import run_checks

    try:
        run = run_checks.active_retraining(settings)
    except (httpx.HTTPError, OSError, PrefectException) as error:  # the alarms are listed all the same
        return (
            f"whether a retraining runs is unknown, because Prefect's server does not answer ({type(error).__name__})"
        )
    return run.sentence if run else ""


def doctor(json: AsJson = False) -> None:
    """Look for what keeps the project from running here, and say what to do. Exit code 1 if something is wrong."""
    from flows.cli import documents
    from flows.cli.doctor.checks import diagnose
    from flows.cli.doctor.display import show_diagnosis
    from flows.cli.doctor.findings import WRONG

    findings = diagnose()
    if json:
        documents.write(documents.diagnosis(findings))
    else:
        show_diagnosis(findings)
    if any(each.status == WRONG for each in findings):
        raise typer.Exit(1)


@snapshots_app.callback()
def snapshots(context: typer.Context, json: AsJson = False) -> None:
    """List the versions of the history, newest first."""
    if context.invoked_subcommand is not None:
        return
    settings = prepare_environment()
    from flows.cli import console, documents
    from rossmann.data import list_snapshots

    versions = list_snapshots(settings.workspace.snapshots)[::-1]
    if json:
        documents.write(documents.snapshots(versions))
    else:
        console.show_snapshots(settings.workspace.root, versions)


@snapshots_app.command()
def restore(
    fingerprint: Annotated[str, typer.Argument(help="The snapshot's fingerprint, or its first letters.")],
) -> None:
    """Make an older version of the history the current one."""
    settings = prepare_environment()
    from flows import workspace
    from rossmann.data import restore_snapshot

    with workspace.lock(settings, "snapshots restore"):
        typer.echo(restore_snapshot(settings.workspace.snapshots, fingerprint))
        _switch_endpoint(settings)


@models_app.callback()
def models(context: typer.Context, json: AsJson = False) -> None:
    """List the versions of the model and the promotion ledger, newest first."""
    if context.invoked_subcommand is not None:
        return
    settings = prepare_environment()
    from flows import workspace
    from flows.cli import console, documents
    from rossmann import registry

    model_registry = workspace.registry(settings)
    versions, ledger = registry.list_models(model_registry), registry.ledger(model_registry)
    if json:
        documents.write(documents.models(versions, ledger))
    else:
        console.show_models(versions, ledger)


@models_app.command()
def rollback(
    because: Annotated[str, typer.Option("--because", help="The reason, for the ledger.")] = "by hand",
    instead_of: InsteadOf = None,
) -> None:
    """Make the previous champion champion again. The version rolled back from is not released again by itself."""
    settings = prepare_environment()
    from flows import workspace
    from rossmann import registry

    model_registry = workspace.registry(settings)
    with workspace.lock(settings, "models rollback"):
        if instead_of is not None:
            registry.require_champion(model_registry, instead_of)
        typer.echo(f"version {registry.rollback(model_registry, because)} is champion again")
        _switch_endpoint(settings)


@models_app.command()
def promote(
    version: Annotated[int, typer.Argument(min=1, help="The version that is to be champion.")],
    because: Annotated[str, typer.Option("--because", help="The reason, for the ledger.")],
    instead_of: InsteadOf = None,
) -> None:
    """Make a version champion whatever was decided before, also one that was rolled back. The endpoint follows."""
    settings = prepare_environment()
    from flows import workspace
    from rossmann import registry
    from rossmann.validation import DataError

    if not because.strip():
        raise DataError("--because is empty: the ledger records why a person promotes a version")
    model_registry = workspace.registry(settings)
    with workspace.lock(settings, f"models promote {version}"):
        if instead_of is not None:
            registry.require_champion(model_registry, instead_of)
        model = registry.find_version(model_registry, version)
        registry.load_forecaster(model_registry, model)  # raises: it could not forecast
        has_endpoint = settings.serve_address is not None
        is_new = registry.override(model_registry, version, because.strip(), awaits_endpoint=has_endpoint)
        _switch_endpoint(settings)  # raises, after it has taken the promotion back, if the endpoint cannot serve it
    typer.echo(f"version {version} is champion{'' if is_new else ' already: nothing was recorded'}")


def _switch_endpoint(settings: "Settings") -> None:
    """Switch the endpoint, if there is one, to what is current now. Raises DataError."""
    if settings.serve_address is None:
        return
    from flows import endpoint

    endpoint.switch_endpoint(settings)
