"""The commands of planners: overrides beside the forecasts, and whether they helped. None of them starts a flow."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.environment import prepare_environment
from flows.cli.options import AsJson, Because, FirstDay, LastDay, Planner, StoreName

if TYPE_CHECKING:
    import pandas as pd

    from rossmann.data import SalesHistory
    from rossmann.settings import Settings

overrides_app = typer.Typer(
    help="What planners expect instead of the forecast: beside it, never in its place.", invoke_without_command=True
)


@overrides_app.callback()
def overrides(context: typer.Context, json: AsJson = False) -> None:
    """List all overrides in the order of writing; the last one of a store and day counts."""
    if context.invoked_subcommand is not None:
        return
    settings = prepare_environment()
    from flows.cli import console_planning, documents

    rows = _read(settings)
    if json:
        documents.write(documents.overrides(rows))
    else:
        console_planning.show_overrides(rows)


@overrides_app.command()
def add(
    store: StoreName,
    day: FirstDay,
    because: Because,
    by: Planner,
    until: LastDay = None,
    amount: Annotated[float | None, typer.Option(help="The sales of each day that you expect.")] = None,
    factor: Annotated[float | None, typer.Option(help="Or: times the forecast of each day, like 1.1.")] = None,
) -> None:
    """Write an amount beside the forecast of a store's day, or of its open days up to --until."""
    settings = prepare_environment()
    from rossmann import journal
    from rossmann.planning.overrides import Signature, amounts_of_days, open_days, override_rows

    signature, history = Signature(by, because, datetime.now(UTC)), _history(settings)
    days = open_days(history, store, day, until or day)
    forecasts = journal.read_newest_forecasts(settings.journal_address, day, until or day)
    amounts = amounts_of_days(history, forecasts, days, amount, factor)
    rows = override_rows(history, forecasts, amounts, signature)
    journal.add_overrides(settings.journal_address, rows)
    typer.echo(_total(store, rows))


@overrides_app.command()
def withdraw(store: StoreName, day: FirstDay, because: Because, by: Planner, until: LastDay = None) -> None:
    """Withdraw the overrides of a store's day, or of its days up to --until. They stay in the list."""
    settings = prepare_environment()
    from rossmann import journal
    from rossmann.data import store_numbers
    from rossmann.planning.overrides import Signature, days_in_force, withdrawal_rows

    signature, history = Signature(by, because, datetime.now(UTC)), _history(settings)
    stores = store_numbers(history, [store]).tolist()
    rows = journal.read_overrides(settings.journal_address, day, until or day, stores)
    days = days_in_force(history, rows, store, day, until or day)
    journal.add_overrides(settings.journal_address, withdrawal_rows(history, rows, days, signature))
    typer.echo(f"store {store}, {_days(days)}: withdrawn; the forecast is what counts again")


@overrides_app.command("value-added")
def value_added(json: AsJson = False) -> None:
    """Compare overrides and the forecasts that they replaced with sales: by planner, direction and size."""
    settings = prepare_environment()
    from flows.cli import console_planning, documents
    from rossmann.planning.overrides import overrides_in_force
    from rossmann.planning.value_added import scored_overrides, value_added

    table = value_added(scored_overrides(overrides_in_force(_read(settings)), _history(settings)))
    if json:
        documents.write(documents.value_added(table))
    else:
        console_planning.show_value_added(table)


def _read(settings: "Settings") -> "pd.DataFrame":
    """All overrides of the journal."""
    from rossmann import journal

    return journal.read_overrides(settings.journal_address, date.min, date.max)


def _history(settings: "Settings") -> "SalesHistory":
    from flows import workspace
    from rossmann.data import current_snapshot

    return workspace.history(settings, current_snapshot(settings.workspace.snapshots))


def _total(store: str, rows: "pd.DataFrame") -> str:
    return (
        f"store {store}, {_days(rows)}: {rows.amount.sum():,.2f} beside the forecast of {rows.forecast.sum():,.2f}; "
        "the forecast itself is unchanged"
    )


def _days(rows: "pd.DataFrame") -> str:
    return f"{len(rows)} day{'s' if len(rows) > 1 else ''}"
