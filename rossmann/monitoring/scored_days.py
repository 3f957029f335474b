"""Which days the accuracy table must score: new ones, and those whose actuals or forecasts changed since then.

The table has the sales of every slice of a scored day in its baseline rows, which cover all stores. They are compared
with the sales that the history has now: a delivery that corrects or breaks a past day changes them.
"""

from itertools import groupby

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.schema import DAY

COMPARED_SLICES = ("attribute", "promotion", "store")
COMPARED_SUMS = ["rows", "sales"]
DAY_SLICE = ["date", "slice", "value"]


def outdated_days(accuracy: pd.DataFrame, history: SalesHistory, first: np.datetime64) -> list[np.datetime64]:
    """The days from `first` on that have sales and are not, or not with these sales, in the accuracy table.

    accuracy: rows of the journal's table `accuracy` from `first` on.
    """
    actual = actual_sums(history, first)
    baseline = accuracy[(accuracy.source == "baseline") & accuracy.slice.isin(COMPARED_SLICES)]
    table = baseline.set_index(DAY_SLICE)[COMPARED_SUMS].astype(float)  # an empty table has no types
    both = actual.join(table, how="outer", lsuffix="_now", rsuffix="_then")
    equal = [np.isclose(both[f"{name}_now"], both[f"{name}_then"], rtol=1e-9) for name in COMPARED_SUMS]
    dates = both.index.get_level_values("date")[~np.logical_and.reduce(equal)]
    days = np.unique(dates.to_numpy().astype("datetime64[D]"))
    return list(days[np.isin(days, actual.index.get_level_values("date").to_numpy().astype("datetime64[D]"))])


def days_with_late_forecasts(
    accuracy: pd.DataFrame, counts: pd.DataFrame, history: SalesHistory
) -> list[np.datetime64]:
    """The days with sales of which the journal has forecasts that are not in the accuracy table: they came later.

    accuracy: the same as for `outdated_days`. counts: from `journal.count_forecasts`, of the same days.
    Forecasts that the journal has no more are no reason to score a day again.
    """
    key = ["date", "source", "model_version", "store"]
    selling = counts[history.take("sales", counts.store.to_numpy(), counts.date.to_numpy()) > 0]
    stores = accuracy[accuracy.slice == "store"]
    scored_rows = stores.assign(store=stores.value.astype(int)).set_index(key)["rows"].astype(float)
    table = selling.set_index(key)[["rows"]].join(scored_rows, rsuffix="_scored").fillna({"rows_scored": 0})
    late = table[table.rows > table.rows_scored].index.get_level_values("date")
    return list(np.unique(late.to_numpy().astype("datetime64[D]")))


def actual_sums(history: SalesHistory, first: np.datetime64) -> pd.DataFrame:
    """Number and sum of the sales above 0 by day, slice and value, as `daily_sums` has them of complete forecasts."""
    origin = max(first - DAY, history.dates[0])
    days = int((history.origin - origin).astype(int))
    plan, actuals = history.plan(origin, days), history.actuals(origin, days)
    rows = pd.DataFrame(
        {
            "date": plan.date.astype("datetime64[s]"),
            "store": plan.store,
            "attribute": history.stores.first_attribute[history.stores.positions(plan.store)],
            "promotion": plan.promotion,
            "sales": actuals.sales,
            "rows": 1,
        }
    )
    rows = rows[rows.sales > 0]
    tables = []
    for name in COMPARED_SLICES:
        sums = rows.groupby(["date", name])[COMPARED_SUMS].sum().reset_index()
        tables.append(sums.rename(columns={name: "value"}).assign(slice=name))
    return pd.concat(tables).astype({"value": str}).set_index(DAY_SLICE)


def consecutive_runs(days: list[np.datetime64]) -> list[list[np.datetime64]]:
    """Ascending days, split where one is missing."""
    runs = groupby(enumerate(days), key=lambda pair: pair[1] - pair[0] * DAY)
    return [[day for _, day in run] for _, run in runs]
