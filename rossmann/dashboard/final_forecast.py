"""The final forecast: an override where a planner made one, else the forecast of the model, which never changes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rossmann.dashboard.series import PublishedForecast
from rossmann.data import SalesHistory
from rossmann.planning.overrides import with_overrides
from rossmann.schema import DTYPES

LONGEST_REASON = 60  # characters of a note


def final_rows(
    history: SalesHistory, published: PublishedForecast, positions: np.ndarray, overrides: pd.DataFrame
) -> pd.DataFrame:
    """A row per store and day of the horizon, in the order of the plan, with the columns of `with_overrides`.

    overrides: of `journal.read_overrides`. A day that the plan has closed since then keeps its forecast of 0.
    """
    dates = history.calendar.dates[-history.horizon_days :].astype(DTYPES["date"])
    is_open = history.take("open", overrides["store"].to_numpy(), overrides["date"].to_numpy()) == 1
    forecasts = pd.DataFrame({
        "store": np.repeat(history.stores.number[positions], len(dates)),
        "date": np.tile(dates, len(positions)),
        "forecast": published.sales[positions].ravel(),
    })  # fmt: skip
    return with_overrides(forecasts, overrides[is_open])


def final_days(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `final_rows` each day: date, final (the sum of the stores), overrides (how many), note (NaN without any)."""
    notes = {day: _note(each) for day, each in rows[rows["override"].notna()].groupby("date")}
    days = rows.groupby("date").agg(final=("final", "sum"), overrides=("override", "count")).reset_index()
    return days.assign(note=days["date"].map(notes))


def sum_periods(days: pd.DataFrame, periods: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of each period, the sum of `final`, and whether it has an override. periods: positions in `final_days`."""
    final, count = days["final"].to_numpy(), days["overrides"].to_numpy()
    return np.array([final[each].sum() for each in periods]), np.array([count[each].any() for each in periods])


def _note(rows: pd.DataFrame) -> str:
    """Who and why, of the one override of a day; of several, their number."""
    if len(rows) > 1:
        return f"{len(rows):,} stores"
    planner, reason = rows[["planner", "reason"]].to_numpy()[0]
    return f"{planner}: {reason}" if len(reason) <= LONGEST_REASON else f"{planner}: {reason[:LONGEST_REASON]}…"
