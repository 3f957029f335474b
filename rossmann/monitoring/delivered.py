"""The accuracy that a model version has delivered beside that of its backtest: the tables that people read.

`sums` are rows of the journal's table `accuracy`, and `reference` is the model version's own backtest. Scores of both
are computed from the same daily sums.
"""

from collections.abc import Iterable
from datetime import date

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.models import Quantiles
from rossmann.monitoring.performance import SUMS, BacktestReference, scores_of_sums, week_ends
from rossmann.monitoring.slices import store_slices

COMPARED_WEEKS = 2  # before and after a new champion
GROUP_COLUMNS = ["group", "stores", "wape", "expected_wape", "bias", "coverage", "rows"]


def weekly_scores(sums: pd.DataFrame, last: np.datetime64) -> pd.DataFrame:
    """Scores of every model version by week, the weeks counted back from `last`: index (model_version, week).

    sums: of the slice "all". The baseline has the model version 0.
    """
    days = sums[sums.date <= pd.Timestamp(last)]
    return scores_of_sums(days.assign(week=week_ends(days, last)), "model_version", "week")


def wape_around(weekly: pd.DataFrame, day: date, previous_version: int, next_version: int) -> tuple[float, float]:
    """What a new champion changed: the mean WAPE of version `before` in its last weeks, and of `after` in its first.

    weekly: from `weekly_scores`. Up to COMPARED_WEEKS that end by `day`, and as many later ones; NaN without any.
    """
    old, new = (
        weekly.wape[weekly.index.get_level_values("model_version") == version]
        for version in (previous_version, next_version)
    )
    weeks_before = old[old.index.get_level_values("week") <= pd.Timestamp(day)]
    weeks_after = new[new.index.get_level_values("week") > pd.Timestamp(day)]
    return float(weeks_before.tail(COMPARED_WEEKS).mean()), float(weeks_after.head(COMPARED_WEEKS).mean())


def lead_week_scores(sums: pd.DataFrame, reference: BacktestReference, version: int) -> pd.DataFrame:
    """Delivered and expected scores by week after the origin, from 1: wape, bias, coverage, rows, expected_wape.

    sums: of the slice "lead_week". Weeks that only the backtest has, have NaN as delivered.
    """
    version_sums = sums[(sums.model_version == version) & (sums.slice == "lead_week")]
    expected = reference.sums[reference.sums.slice == "lead_week"]
    delivered, backtest = (scores_of_sums(_by_number(rows), "value") for rows in (version_sums, expected))
    table = backtest[["wape"]].add_prefix("expected_").join(delivered, how="outer")
    return table.rename_axis("lead_week")[["wape", "expected_wape", "bias", "coverage", "rows"]]


def group_scores(store_sums: pd.DataFrame, reference: BacktestReference, history: SalesHistory) -> pd.DataFrame:
    """Delivered and expected scores of every group of stores by an attribute that the chain has; GROUP_COLUMNS.

    store_sums: from `journal.sum_store_accuracy`.
    """
    delivered, expected = _of_history(store_sums, history), _of_history(store_reference(reference), history)
    rows = [_group(name, included, delivered, expected, history) for name, included in store_slices(history)]
    return pd.DataFrame(rows, columns=GROUP_COLUMNS)


def store_scores(store_sums: pd.DataFrame, reference: BacktestReference) -> pd.DataFrame:
    """Delivered and expected scores by store, the largest WAPE first."""
    delivered = scores_of_sums(store_sums, "store")
    expected = scores_of_sums(store_reference(reference), "store")[["wape"]].add_prefix("expected_")
    return delivered.join(expected).sort_values("wape", ascending=False)


def store_reference(reference: BacktestReference) -> pd.DataFrame:
    """The sums of each store in the backtest: store and the sums."""
    rows = reference.sums[reference.sums.slice == "store"]
    return rows.groupby("value")[SUMS].sum().rename_axis("store").reset_index().astype({"store": int})


def calibration(batches: Iterable[tuple[pd.DataFrame, Quantiles]], history: SalesHistory) -> pd.DataFrame:
    """For every quantile level, the share of days with sales on which the sales were at most the quantile.

    batches: from `journal.read_newest_batches`. Columns: level, share_below, rows. Well calibrated forecasts have
    share_below = level.
    """
    counts = pd.DataFrame({"level": [], "below": [], "rows": []}, dtype=float)
    for forecasts, quantiles in batches:
        rows = with_sales(forecasts, history)
        rows = rows[(rows.sales > 0) & (rows.forecast > 0) & rows.standard_deviation.notna()]
        values = quantiles.around(rows.standard_deviation.to_numpy(), rows.forecast.to_numpy())
        below = (rows.sales.to_numpy()[:, None] <= values).sum(axis=0)
        counts = pd.concat([counts, pd.DataFrame({"level": quantiles.levels, "below": below, "rows": len(rows)})])
    total = counts.groupby("level", as_index=False).sum()
    return total.assign(share_below=total.below / total.rows)[total.rows > 0][["level", "share_below", "rows"]]


def with_sales(rows: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """Forecast rows of stores and days that the history has, with their `sales`."""
    rows = rows[history.stores.contains(rows.store.to_numpy()) & (rows.date <= pd.Timestamp(history.origin))]
    return rows.assign(sales=history.take("sales", rows.store.to_numpy(), rows.date.to_numpy()))


def _by_number(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the value of their slice as a number, so that week 10 is not before week 2."""
    return rows.astype({"value": int})


def _of_history(store_sums: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """The sums of the stores that the history has, by their positions in it."""
    rows = store_sums[history.stores.contains(store_sums.store.to_numpy())]
    return rows.set_axis(history.stores.positions(rows.store.to_numpy()), axis=0)


def _group(
    name: str, included: np.ndarray, delivered: pd.DataFrame, expected: pd.DataFrame, history: SalesHistory
) -> list[object]:
    """A row of `group_scores`. included: bool [stores of the history]."""
    inside, backtest = (_scores(rows[included[rows.index]]) for rows in (delivered, expected))
    other_scores = [inside[column] for column in ("bias", "coverage", "rows")]
    return [name, int(included.sum()), inside["wape"], backtest["wape"], *other_scores]


def _scores(rows: pd.DataFrame) -> dict[str, float]:
    """The scores of all rows together; NaN without any."""
    table = scores_of_sums(rows.assign(all=""), "all")
    return {str(name): float(values.iloc[0]) if len(values) else np.nan for name, values in table.items()}
