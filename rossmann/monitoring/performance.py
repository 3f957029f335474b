"""Accuracy of the forecasts: joined with their actuals, as daily sums that add up to the scores of any window.

Daily sums are enough for every score. A day is summed again only if its actuals change.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rossmann import evaluation, features, models
from rossmann.data import SalesHistory
from rossmann.evaluation import Names
from rossmann.schema import DAY, LEAD_RANGES, WEEK_DAYS, lead_range, lead_week, whole_day

KEY = ["date", "source", "model_version"]
SCORED_SLICES = ("lead_week", "attribute", "promotion", "store")
SUMS = [
    "rows", "squared_relative_error", "absolute_error", "error", "sales", "interval_rows", "covered_rows",
]  # fmt: skip
WORST_STORES = 10
WATCHED_WEEKS, REQUIRED_WEEKS = 3, 2  # a model degrades if this many of these weeks are beyond the limit
WORST_WEEK_MARGIN = 1.1  # times the worst week of the backtest: another year may be that much harder


def join_actuals(forecasts: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """The forecasts whose day is over and has actuals, with `sales`, `attribute` and `lead_week`.

    forecasts: from `journal.read_forecasts`. Repeated forecasts are left out.
    """
    keys = forecasts.store.to_numpy(), forecasts.date.to_numpy()
    rows = forecasts.assign(sales=history.take("sales", *keys))
    rows = rows[rows.sales.notna()]
    attribute = history.stores.first_attribute[history.stores.positions(rows.store.to_numpy())]
    rows = rows.assign(attribute=attribute, lead_week=lead_week(rows.lead_days.to_numpy()))
    return rows.drop_duplicates([*KEY, "origin", "store"]).drop(columns="request_id").reset_index(drop=True)


def baseline_forecasts(history: SalesHistory, since: np.datetime64) -> pd.DataFrame:
    """The median's forecasts of the days from `since` on, fitted on the days before it, as in `join_actuals`.

    The first day is the eighth of the history at the earliest: a State needs a week.
    """
    first_state = history.dates[:WEEK_DAYS][-1]
    origin = max(since - DAY, first_state)
    fold = evaluation.cut_fold(history, origin, int((history.origin - origin).astype(int)))
    median = models.default_candidate(evaluation.BASELINE)
    if len(fold.plan):
        forecast = models.fit(median, (), origin, 0).predict(features.fit_state(fold.past), fold.plan).sales
    else:
        forecast = np.empty(0)
    rows = evaluation.backtest_rows(median.name, fold, forecast)
    return rows.assign(source="baseline", model_version=0)


def daily_sums(rows: pd.DataFrame) -> pd.DataFrame:
    """SUMS over the rows with sales, per day, source, model version, slice and value of the slice.

    The slice "all", with the value "", contains every row.
    """
    rows = rows[rows.sales > 0]
    error, has_interval = rows.forecast - rows.sales, rows.lower.notna() & rows.upper.notna()
    parts = rows[[*KEY, *SCORED_SLICES, "sales"]].assign(
        promotion=rows.promotion.astype(int),
        all="",
        rows=1,
        squared_relative_error=np.square(error / rows.sales),
        absolute_error=error.abs(),
        error=error,
        interval_rows=has_interval.astype(int),
        covered_rows=(has_interval & (rows.lower <= rows.sales) & (rows.sales <= rows.upper)).astype(int),
    )
    tables = []
    for name in ("all", *SCORED_SLICES):
        totals = parts.groupby([*KEY, name], observed=True)[SUMS].sum().reset_index()
        tables.append(totals.rename(columns={name: "value"}).assign(slice=name))
    return pd.concat(tables, ignore_index=True).astype({"value": str})


def accuracy_rows(forecasts: Iterable[pd.DataFrame], history: SalesHistory) -> pd.DataFrame:
    """The daily sums of forecasts, tables from `join_actuals`, and of the baseline on the same days."""
    sums = [table for table in map(daily_sums, forecasts) if len(table)]
    return with_baseline(pd.concat(sums), history) if sums else pd.DataFrame(columns=[*KEY, "slice", "value", *SUMS])


def with_baseline(sums: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """Daily sums of forecasts, at least of one day, and those of the baseline on the same days."""
    baseline = daily_sums(baseline_forecasts(history, sums.date.min().to_datetime64().astype("datetime64[D]")))
    return pd.concat([sums, baseline[baseline.date.isin(sums.date)]])


def scores_of_sums(sums: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Scores of daily sums per group: RMSPE, MAE, WAPE (absolute errors over sales), bias, coverage, rows."""
    total = sums.groupby(list(by))[SUMS].sum()
    return pd.DataFrame(
        {
            "rmspe": np.sqrt(total.squared_relative_error / total.rows),
            "mae": total.absolute_error / total.rows,
            "wape": total.absolute_error / total.sales,
            "bias": total.error / total.sales,
            "coverage": (total.covered_rows / total.interval_rows.where(total.interval_rows > 0)).astype(float),
            "rows": total.rows,
        }
    )


def rmspe_by_lead(forecasts: Iterable[pd.DataFrame]) -> pd.Series:
    """RMSPE of forecasts, tables from `join_actuals`, by the LEAD_RANGES; NaN where a range has none."""
    totals = pd.DataFrame(0.0, index=list(LEAD_RANGES), columns=["sum", "count"])
    for table in forecasts:
        rows = table[table.sales > 0]
        squares = np.square(rows.forecast / rows.sales - 1).groupby(lead_range(rows.lead_days.to_numpy()))
        totals = totals.add(squares.agg(["sum", "count"]), fill_value=0)
    return pd.Series(np.sqrt(totals["sum"] / totals["count"])).reindex(list(LEAD_RANGES)).rename_axis("lead_days")


def week_ends(sums: pd.DataFrame, last: np.datetime64) -> pd.Series:
    """The last day of the week that each daily sum belongs to; the weeks are counted back from `last`."""
    last = whole_day(last)
    weeks_back = (last - sums.date.to_numpy().astype("datetime64[D]")).astype(int) // WEEK_DAYS
    return pd.Series((last - weeks_back * WEEK_DAYS).astype("datetime64[s]"), sums.index, name="week")


@dataclass(frozen=True)
class BacktestReference:
    """The accuracy of a model in its own backtest, which is expected of it in operation."""

    sums: pd.DataFrame  # daily sums of all folds
    weekly_wape: np.ndarray  # WAPE of every week of every fold

    @property
    def first_week_wape(self) -> float:
        """WAPE of the first week after the origin, over all folds."""
        rows = self.sums[(self.sums.slice == "lead_week") & (self.sums.value == "1")]
        return float(rows.absolute_error.sum() / rows.sales.sum())


def backtest_reference(backtest: pd.DataFrame, version: int) -> BacktestReference:
    """The reference of a model version, from its candidate's backtest rows (evaluation.BACKTEST_COLUMNS)."""
    rows = backtest.assign(source="backtest", model_version=version)
    selling = rows[rows.sales > 0]
    week = [selling.origin, selling.lead_week]
    errors = (selling.forecast - selling.sales).abs().groupby(week).sum()
    return BacktestReference(daily_sums(rows), (errors / selling.sales.groupby(week).sum()).to_numpy())


@dataclass(frozen=True)
class Performance:
    """The accuracy of a model version in one week, beside its backtest and the baseline."""

    first_day: np.datetime64
    last_day: np.datetime64
    version: int  # of the model
    slices: pd.DataFrame  # scores by (slice, value), with the columns expected_rmspe and expected_wape
    worst_stores: pd.DataFrame  # scores of the stores with the largest WAPE
    wape: float
    rmspe: float
    expected_wape: float  # of the backtest
    expected_rmspe: float
    baseline_wape: float  # of the median on the same days; NaN where it was not computed
    baseline_rmspe: float
    wape_limit: float  # of one week
    weeks_beyond_limit: int  # of the last WATCHED_WEEKS

    def with_names(self, names: Names) -> "Performance":
        """The same with the chain's own names of slices and stores, and without the slices that it does not have."""
        columns = {"all": "all", **names.slices}
        slices = self.slices[self.slices.index.isin(columns, level="slice")].rename(index=columns, level="slice")
        stores = self.worst_stores.rename(index=lambda number: names.store(int(number)))
        return replace(self, slices=slices, worst_stores=stores)

    @property
    def degraded(self) -> bool:
        """Whether the week is beyond the limit, and so was an earlier one, or the baseline was better."""
        persistent = self.weeks_beyond_limit >= REQUIRED_WEEKS
        return self.wape > self.wape_limit and (persistent or self.wape > self.baseline_wape)

    @property
    def reason(self) -> str:
        """The comparison in one sentence."""
        return (
            f"WAPE is {self.wape:.3f} from {self.first_day} to {self.last_day}, {self.expected_wape:.3f} in the "
            f"backtest and {self.baseline_wape:.3f} for the median on the same days; {self.weeks_beyond_limit} of the "
            f"last {WATCHED_WEEKS} weeks are above the limit of {self.wape_limit:.3f}"
        )


def weekly_performance(
    accuracy: pd.DataFrame, reference: BacktestReference, last: np.datetime64, version: int
) -> Performance | None:
    """The week up to `last` from the journal's accuracy table; None if it has no forecast of this model version.

    Days after `last`, which an earlier snapshot may have had, are left out.
    """
    accuracy = accuracy[accuracy.date <= pd.Timestamp(last)]
    accuracy = accuracy.assign(week=week_ends(accuracy, last))
    model_rows = accuracy[(accuracy.model_version == version) & (accuracy.source != "baseline")]
    window = model_rows[model_rows.week == pd.Timestamp(last)]
    if window.empty:
        return None
    wape_limit = float(reference.weekly_wape.max() * WORST_WEEK_MARGIN)
    all_rows = accuracy[accuracy.slice == "all"]
    baseline = all_rows[(all_rows.source == "baseline") & (all_rows.week == pd.Timestamp(last))]
    baseline_scores = scores_of_sums(baseline, "slice")
    recent_wape = scores_of_sums(model_rows[model_rows.slice == "all"], "week").wape.tail(WATCHED_WEEKS)
    slices = scores_of_sums(window[window.slice != "store"], "slice", "value")
    expected = scores_of_sums(reference.sums, "slice", "value")[["rmspe", "wape"]].add_prefix("expected_")
    stores = scores_of_sums(window[window.slice == "store"], "value")
    return Performance(
        first_day=np.datetime64(window.date.min(), "D"),
        last_day=np.datetime64(window.date.max(), "D"),
        version=version,
        slices=slices.join(expected),
        worst_stores=stores.sort_values("wape", ascending=False).head(WORST_STORES),
        wape=float(slices.wape["all", ""]),
        rmspe=float(slices.rmspe["all", ""]),
        expected_wape=float(expected.expected_wape["all", ""]),
        expected_rmspe=float(expected.expected_rmspe["all", ""]),
        baseline_wape=float(baseline_scores.wape.get("all", np.nan)),
        baseline_rmspe=float(baseline_scores.rmspe.get("all", np.nan)),
        wape_limit=wape_limit,
        weeks_beyond_limit=int((recent_wape > wape_limit).sum()),
    )
