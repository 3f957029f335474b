"""The table that a planner edits: forecast, override and final of a store's open days, beside what is known of them."""

from datetime import date

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.planning.overrides import with_overrides
from rossmann.schema import DAY, DTYPES, KEYS, WEEKS_YEAR_DAYS
from rossmann.validation import DataError

CENT = 0.005  # a smaller difference is none: the editor may round


def override_table(
    history: SalesHistory, store: int, forecasts: pd.DataFrame, earlier: pd.DataFrame, overrides: pd.DataFrame
) -> pd.DataFrame:
    """A row per open day of the plan: date, promotion, last_year, earlier, forecast, override, final, planner, reason.

    earlier: the forecasts of an earlier origin; NaN where there is none, as in last_year and override.
    Days without a forecast in the journal, or closed in the plan, are left out. Amounts are rounded, for readers.
    """
    dates = history.calendar.dates[-history.horizon_days :]
    number = np.full(len(dates), store)
    days = pd.DataFrame({
        "date": dates.astype(DTYPES["date"]),
        "is_open": history.take("open", number, dates) == 1,
        "promotion": history.take("promotion", number, dates) == 1,
        "last_year": history.take("sales", number, dates - WEEKS_YEAR_DAYS * DAY),
    })  # fmt: skip
    values = with_overrides(forecasts[[*KEYS, "forecast"]], overrides).drop(columns="store")
    before = earlier[["date", "forecast"]].rename(columns={"forecast": "earlier"}).astype({"earlier": float})
    table = days[days["is_open"]].drop(columns="is_open").merge(before, on="date", how="left")
    table = table.merge(values, on="date").reset_index(drop=True)
    columns = ["date", "promotion", "last_year", "earlier", "forecast", "override", "final", "planner", "reason"]
    decimals = {"last_year": 0, "earlier": 0, "forecast": 0, "override": 2, "final": 0}
    return table[columns].fillna({"planner": "", "reason": ""}).round(decimals)


def fill_days(table: pd.DataFrame, first: date, last: date, amounts: pd.Series) -> pd.DataFrame:
    """The table with these amounts as overrides of the days first … last that it has: closed days are not in it.

    DataError if it has none of them.
    """
    is_chosen = table["date"].between(pd.Timestamp(first), pd.Timestamp(last))
    if not is_chosen.any():
        raise DataError(f"no day from {first} to {last} is in the table: choose a first day and a later last one")
    return table.assign(override=table["override"].mask(is_chosen, amounts.round(2)))


def changed_days(before: pd.DataFrame, after: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a planner changed in the column override: the days with another amount, and those without one by now.

    The tables have the same days in the same order. Columns of both results: date and amount.
    """
    old, new = before["override"].to_numpy(dtype=float), after["override"].to_numpy(dtype=float)
    is_removed = ~np.isnan(old) & np.isnan(new)
    is_changed = ~np.isnan(new) & ~(np.abs(new - old) < CENT)
    days = pd.DataFrame({"date": before["date"], "amount": new})
    return days[is_changed], days[is_removed]
