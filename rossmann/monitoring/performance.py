"""How the forecasts went: what was given joined with what happened, as daily sums, written once, that add up.

They are enough for every score of any window; nothing is scored again from rows that may be gone.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann import evaluation, features, models
from rossmann.data import STORE_TYPES, SalesHistory

SLICES = ("lead_week", "store_type", "promo", "store")
SUMS = ["rows", "squared", "absolute", "error", "sales", "bounded", "covered"]
WEEK_DAYS = 7
WORST = 10  # stores
KEY = ["date", "source", "model_version"]


def judge(given: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """The forecasts whose day has come, with `sales` and `store_type`; what the journal said of each stays as it is.

    A day asked over HTTP otherwise than it came (open, promo) was a question, not a forecast, and is left out, as is
    the same question asked again. Days without a row have no outcome.
    """
    of_store = np.searchsorted(history.stores.number, given.store).clip(max=len(history.stores.number) - 1)
    day = (given.date.to_numpy().astype("datetime64[D]") - history.dates[0]).astype(int)
    known = (history.stores.number[of_store] == given.store) & (day >= 0) & (day < len(history.dates))
    rows, of_store, day = given[known], of_store[known], day[known]
    as_asked = (rows.open == history.calendar.open[of_store, day]) & (
        rows.promo == history.calendar.promo[of_store, day]
    )
    rows = rows.assign(
        sales=history.sales[of_store, day],
        store_type=np.asarray(STORE_TYPES)[history.stores.store_type[of_store]],
        lead_week=(rows.lead_days - 1) // WEEK_DAYS + 1,
    )
    rows = rows[rows.sales.notna() & (as_asked | (rows.source == "batch"))]
    return rows.drop_duplicates([*KEY, "origin", "store"]).drop(columns="request_id").reset_index(drop=True)


def baseline(history: SalesHistory, since: np.datetime64) -> pd.DataFrame:
    """The median's forecasts of the days from `since` on, as known the evening before; judged rows like any."""
    origin = since - np.timedelta64(1, "D")
    days = int((history.origin - origin).astype(int))
    (median,) = (c for c in models.candidates(()) if c.name == evaluation.BASELINE)
    window = evaluation.fold(history, origin, days)
    made = models.fit(median, (), origin, 0).predict(features.summarise(window.past), window.plan)
    rows = evaluation.tabulate(median.name, window, made.sales)
    return rows.assign(source="baseline", model_version=0)


def sums(judged: pd.DataFrame) -> pd.DataFrame:
    """Per day, source, model version, slice and value: SUMS over the rows with sales; a slice "all" holds each row."""
    sold = judged[judged.sales > 0]
    error, bounded = sold.forecast - sold.sales, sold.lower.notna() & sold.upper.notna()
    parts = sold[[*KEY, *SLICES, "sales"]].assign(
        promo=sold.promo.astype(int),
        all="",
        rows=1,
        squared=np.square(error / sold.sales),
        absolute=error.abs(),
        error=error,
        bounded=bounded.astype(int),
        covered=(bounded & (sold.lower <= sold.sales) & (sold.sales <= sold.upper)).astype(int),
    )
    tables = []
    for name in ("all", *SLICES):
        totals = parts.groupby([*KEY, name], observed=True)[SUMS].sum().reset_index()
        tables.append(totals.rename(columns={name: "value"}).assign(slice=name))
    return pd.concat(tables, ignore_index=True).astype({"value": str})


def scores(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Of daily sums, per group: RMSPE, MAE, WAPE (absolute errors over sales), bias, coverage, rows."""
    total = rows.groupby(list(by))[SUMS].sum()
    return pd.DataFrame(
        {
            "rmspe": np.sqrt(total.squared / total.rows),
            "mae": total.absolute / total.rows,
            "wape": total.absolute / total.sales,
            "bias": total.error / total.sales,
            "coverage": (total.covered / total.bounded.where(total.bounded > 0)).astype(float),
            "rows": total.rows,
        }
    )


def weekly(rows: pd.DataFrame, last: np.datetime64) -> pd.Series:
    """The week each daily sum belongs to, counted back from `last`: its last day."""
    last = np.datetime64(last, "D")
    back = (last - rows.date.to_numpy().astype("datetime64[D]")).astype(int) // WEEK_DAYS
    return pd.Series((last - back * WEEK_DAYS).astype("datetime64[s]"), rows.index, name="week")


@dataclass(frozen=True)
class Promise:
    """What a model's backtest said of itself: daily sums of all its folds, and the WAPE of each of its weeks."""

    sums: pd.DataFrame
    weeks: np.ndarray


def promise(backtest: pd.DataFrame, version: int) -> Promise:
    """From a candidate's backtest rows (evaluation.BACKTEST_COLUMNS)."""
    rows = backtest.assign(source="backtest", model_version=version)
    sold = rows[rows.sales > 0]
    weeks = (sold.forecast - sold.sales).abs().groupby([sold.origin, sold.lead_week]).sum()
    return Promise(sums(rows), (weeks / sold.sales.groupby([sold.origin, sold.lead_week]).sum()).to_numpy())


@dataclass(frozen=True)
class Performance:
    """A window of days, as it was forecast, beside what was promised and what the baseline would have said."""

    first: np.datetime64
    last: np.datetime64
    version: int  # of the model that made the newest of these forecasts
    slices: pd.DataFrame  # scores by (slice, value) of that version, `promised` RMSPE and WAPE beside
    worst: pd.DataFrame  # the stores with the largest WAPE
    weeks: pd.DataFrame  # WAPE by week and source, over the whole table
    wape: float
    rmspe: float
    promised: float  # WAPE
    promised_rmspe: float
    baseline: float  # WAPE
    baseline_rmspe: float
    limit: float  # WAPE a week may have
    beyond: int  # of the last WATCHED weeks, beyond it

    @property
    def degraded(self) -> bool:
        """Last week worse than its backtest ever was in a week, and so before it, or than the baseline too."""
        return self.wape > self.limit and (self.beyond >= PERSISTENT or self.wape > self.baseline)

    @property
    def reason(self) -> str:
        """One sentence."""
        return (
            f"WAPE {self.wape:.3f} from {self.first} to {self.last} where {self.promised:.3f} was promised, beyond "
            f"{self.limit:.3f} in {self.beyond} of {WATCHED} weeks; the median has {self.baseline:.3f} on the same days"
        )


WATCHED, PERSISTENT = 3, 2  # weeks
MARGIN = 1.1  # times the worst week of the backtest: another year may be that much harder


def perform(accuracy: pd.DataFrame, promised: Promise, last: np.datetime64, version: int) -> Performance | None:
    """The last week of the accuracy table; None if nothing was forecast for it by this version."""
    accuracy = accuracy.assign(week=weekly(accuracy, last))
    own = accuracy[(accuracy.model_version == version) & (accuracy.source != "baseline")]
    window = own[own.week == pd.Timestamp(last)]
    if window.empty:
        return None
    limit = float(promised.weeks.max() * MARGIN)
    whole = accuracy[accuracy.slice == "all"]
    weeks = scores(whole, "week", "source")
    recent = scores(own[own.slice == "all"], "week").wape.tail(WATCHED)
    slices = scores(window[window.slice != "store"], "slice", "value")
    said = scores(promised.sums, "slice", "value")[["rmspe", "wape"]].add_prefix("promised_")
    by_median = scores(whole[(whole.source == "baseline") & (whole.week == pd.Timestamp(last))], "slice")
    stores = scores(window[window.slice == "store"], "value").sort_values("wape", ascending=False)
    return Performance(
        first=np.datetime64(window.date.min(), "D"),
        last=np.datetime64(window.date.max(), "D"),
        version=version,
        slices=slices.join(said),
        worst=stores.head(WORST),
        weeks=weeks,
        wape=float(slices.wape["all", ""]),
        rmspe=float(slices.rmspe["all", ""]),
        promised=float(said.promised_wape["all", ""]),
        promised_rmspe=float(said.promised_rmspe["all", ""]),
        baseline=float(by_median.wape.get("all", np.nan)),
        baseline_rmspe=float(by_median.rmspe.get("all", np.nan)),
        limit=limit,
        beyond=int((recent > limit).sum()),
    )
