"""The results of the planners' commands as text on stdout. Nothing is loaded here."""

from math import isnan
from typing import TYPE_CHECKING, Any

from flows.cli.console import Column, show, show_table

if TYPE_CHECKING:
    import pandas as pd

NO_OVERRIDES = 'no override yet: rossmann overrides add --store 1 --date DAY --amount 5000 --because "…" --by NAME'


def show_overrides(rows: "pd.DataFrame") -> None:
    """Every row, newest last. A row without an amount withdraws the one before."""
    if rows.empty:
        show(NO_OVERRIDES)
        return
    numbers = ("forecast", "override")
    names = ("store", "date", *numbers, "change", "planner", "at (UTC)", "reason")
    lines = [_override_row(row) for row in rows.itertuples()]
    show_table([Column(name, numeric=name in (*numbers, "change")) for name in names], lines)


def show_value_added(table: "pd.DataFrame") -> None:
    """All overrides first, then by planner, direction and size. Positive: closer to the sales than the forecast."""
    if table.empty:
        show("no day with an override is over yet: this table begins when its sales are ingested")
        return
    from rossmann.planning.value_added import GROUP_COLUMNS, SCORE_NAMES

    columns = [Column(name) for name in GROUP_COLUMNS]
    columns += [Column(name, numeric=True) for name in SCORE_NAMES.values()]
    show_table([*columns, Column("note")], [_value_row(row) for row in table.itertuples()])


def _override_row(row: Any) -> list[str]:
    is_withdrawal = isnan(row.amount)
    change = "" if is_withdrawal or not row.forecast else f"{row.amount / row.forecast - 1:+.1%}"
    return [
        row.label or str(row.store),
        f"{row.date:%Y-%m-%d}",
        f"{row.forecast:,.0f}",
        "withdrawn" if is_withdrawal else f"{row.amount:,.0f}",
        change,
        row.planner,
        f"{row.at:%Y-%m-%d %H:%M}",
        row.reason,
    ]


def _value_row(row: Any) -> list[str]:
    errors = [f"{row.mae_forecast:,.0f}", f"{row.mae_override:,.0f}"]
    shares = ["–" if isnan(value) else f"{value:.3f}" for value in (row.wape_forecast, row.wape_override)]
    probability = "–" if isnan(row.p_closer) else f"{row.p_closer:.2f}"
    counts = [str(row.days), str(row.decisions)]
    return [
        row.planner,
        row.direction,
        row.size,
        *counts,
        *errors,
        *shares,
        f"{row.closer:+,.0f}",
        probability,
        row.note,
    ]
