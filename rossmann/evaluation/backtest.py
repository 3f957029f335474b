"""Forecasts on folds beside the actuals, and their scores."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from rossmann.evaluation.folds import Fold
from rossmann.evaluation.losses import LOSSES, TOTAL, Loss, store_folds
from rossmann.schema import DEFAULT_LOSS, DTYPES, FORECAST_COLUMNS, lead_week, weekday

BASELINE = "median"  # every model must beat it: the store's median by weekday and promotion
LOSS_SCORES = tuple(name for loss in LOSSES.values() for name in (loss.name, loss.capped_name))
SCORES = (*LOSS_SCORES, "rmse", "mape", "bias", "wql", "coverage", "rows")
# From a bias of 5 % on, a warning is shown. RMSPE's own shift reaches it where sales scatter by 16 % around a forecast.
MAX_BIAS = 0.05
MIN_ERROR_SHARE = 0.1  # of the baseline's error: honest models of daily sales have a third of it or more

# A row of a backtest: the forecast of one store and day, beside its actual sales.
BACKTEST_COLUMNS = {
    "candidate": "category",
    "origin": "datetime64[s]",
    "store": DTYPES["store"],
    "date": DTYPES["date"],
    "lead_days": "int16",  # after the origin, from 1
    "lead_week": "int8",  # after the origin, from 1
    "weekday": "int8",  # 0 Monday … 6 Sunday
    "attribute": "category",  # the first one
    "open": DTYPES["open"],
    "promotion": DTYPES["promotion"],
    "sales": DTYPES["sales"],
    **{name: DTYPES[name] for name in FORECAST_COLUMNS},
    "standard_deviation": "float64",  # of the error of log sales, known with the forecast; NaN where it is not needed
    "quantile_loss": "float64",  # from `quantile_loss`; NaN without quantiles
}


def backtest_rows(
    candidate: str, fold: Fold, forecast: np.ndarray, standard_deviation: np.ndarray | float = np.nan
) -> pd.DataFrame:
    """The rows of one candidate on one fold (BACKTEST_COLUMNS), without quantiles.

    forecast: [rows of the plan]. standard_deviation: the same; needed for quantiles only.
    """
    plan, stores = fold.plan, fold.past.stores
    lead_days = (plan.date - fold.origin).astype(int)
    rows = pd.DataFrame(
        {
            "candidate": candidate,
            "origin": fold.origin,
            "store": plan.store,
            "date": plan.date,
            "lead_days": lead_days,
            "lead_week": lead_week(lead_days),
            "weekday": weekday(plan.date),
            "attribute": stores.first_attribute[stores.positions(plan.store)],
            "open": plan.open,
            "promotion": plan.promotion,
            "sales": fold.actuals.sales,
            "forecast": forecast,
            "lower": np.nan,
            "upper": np.nan,
            "standard_deviation": standard_deviation,
            "quantile_loss": np.nan,
        }
    )
    return rows.astype(BACKTEST_COLUMNS)


def quantile_loss(sales: np.ndarray, quantiles: np.ndarray, levels: Iterable[float]) -> np.ndarray:
    """Twice the pinball loss, mean over the levels; of many levels the CRPS. In units of sales. float64 [rows]

    quantiles: [rows, levels].
    """
    error = sales[:, None] - quantiles
    levels = np.array(tuple(levels))
    return 2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=1)


def scored_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with sales on days that were planned as open.

    Where nobody plans when stores open, one that opens against its habit has the forecast 0: that is no error of a
    model. Where the files say it, no closed day has sales.
    """
    return rows[(rows.sales > 0) & (rows.open == 1)]


def scores(rows: pd.DataFrame) -> pd.Series:
    """The SCORES over days with sales, raw and capped by each loss; NaN where there is no such day.

    bias: sum of the errors as a share of all sales, positive where the forecast is too high. wql: weighted quantile
    loss, the sum of the quantile losses as a share of all sales. coverage: share of days inside the bounds. Both are
    NaN without quantiles. rows: number of days with sales.
    """
    from sklearn.metrics import mean_absolute_percentage_error, root_mean_squared_error  # here: imports take a second

    sold = scored_rows(rows)
    if sold.empty:
        return pd.Series(dict.fromkeys(SCORES, np.nan) | {"rows": 0.0})
    sales, forecast = sold.sales.to_numpy(), sold.forecast.to_numpy()
    inside = (sold.lower <= sold.sales) & (sold.sales <= sold.upper)
    groups, loss_scores = store_folds(sold), []
    for loss in LOSSES.values():
        both = loss.terms(sales, forecast), loss.capped_terms(sales, forecast, groups)
        loss_scores += [loss.score(terms, sales, groups) for terms in both]
    values = (
        *loss_scores,
        root_mean_squared_error(sales, forecast),
        mean_absolute_percentage_error(sales, forecast),
        (forecast - sales).sum() / sales.sum(),
        sold.quantile_loss.sum(skipna=False) / sales.sum(),
        inside.mean() if sold.lower.notna().all() else np.nan,
        len(sold),
    )
    return pd.Series(dict(zip(SCORES, map(float, values), strict=True)))


@dataclass(frozen=True)
class Backtest:
    """The forecasts of all candidates on all folds: a row per candidate, origin, store and date (BACKTEST_COLUMNS).

    loss: by which candidates are ranked and compared.
    """

    rows: pd.DataFrame
    loss: Loss = LOSSES[DEFAULT_LOSS]

    @staticmethod
    def of_tables(tables: Iterable[pd.DataFrame], loss: Loss = LOSSES[DEFAULT_LOSS]) -> "Backtest":
        """The backtest of the rows of several tables, each from `backtest_rows`."""
        return Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS), loss)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names of the candidates."""
        return tuple(self.rows.candidate.unique())

    def of(self, candidate: str) -> pd.DataFrame:
        """The rows of one candidate."""
        return self.rows[self.rows.candidate == candidate]

    def by(self, *columns: str) -> pd.DataFrame:
        """The scores per candidate and value of the columns: "origin", "lead_week", "attribute", "weekday", …"""
        groups = self.rows.groupby(["candidate", *columns], observed=True)
        return groups[list(self.rows.columns)].apply(scores)

    @cached_property
    def fold_scores(self) -> pd.DataFrame:
        """The scores per candidate and origin."""
        return self.by("origin")

    def score(self) -> pd.DataFrame:
        """The scores per candidate, each the mean over the folds, best first, which is the lowest capped loss."""
        return self.fold_scores.groupby(level="candidate", observed=True).mean().sort_values(self.loss.capped_name)

    def best(self) -> str:
        """The candidate with the lowest mean capped loss. The baseline only if it is the only candidate."""
        ranking = [str(name) for name in self.score().index]
        return next((name for name in ranking if name != BASELINE), ranking[0])

    def warning(self, candidate: str) -> str:
        """What about a candidate's scores should be doubted, in a sentence; empty if nothing."""
        return "; ".join(filter(None, (self._bias_warning(candidate), self._leak_warning(candidate))))

    def _bias_warning(self, candidate: str) -> str:
        """A bias of more than MAX_BIAS."""
        bias = float(self.score().bias[candidate])
        if abs(bias) <= MAX_BIAS:
            return ""
        sentence = f"the forecasts of {candidate} are {abs(bias):.0%} {'low' if bias < 0 else 'high'} in sum"
        if bias > 0 or self.loss == TOTAL:
            return sentence
        return f"{sentence}; if sums matter, train with ROSSMANN_LOSS=total"

    def _leak_warning(self, candidate: str) -> str:
        """An error of less than MIN_ERROR_SHARE of the baseline's."""
        scores = self.score()[self.loss.capped_name]
        if BASELINE not in scores.index or scores[candidate] >= MIN_ERROR_SHARE * scores[BASELINE]:
            return ""
        share = scores[candidate] / scores[BASELINE]
        return (
            f"the error of {candidate} is {share:.0%} of that of {BASELINE}, too good to be true: is a covariate only"
            " known after the day?"
        )


@dataclass(frozen=True)
class BacktestRun:
    """The backtest of all candidates whose fits succeeded, with bounds, and why the others failed."""

    key: str  # hash of everything that the run depends on
    backtest: Backtest
    cpu_seconds: dict[str, float]  # of all fits of an entry; entries share fits, as a blend with its members: no sum
    importance: dict[str, dict[str, float]]  # of an entry: mean share of the gain by feature, largest first
    failures: dict[str, str]  # reason by entry
    param_changes: dict[str, str] = field(default_factory=dict)  # of the entries whose parameters are no defaults

    def rmspe_by_fold(self, candidate: str) -> dict[str, float]:
        """RMSPE of a candidate by origin, oldest first."""
        per_fold = self.backtest.fold_scores.rmspe.loc[candidate]
        return {f"{origin:%Y-%m-%d}": float(value) for origin, value in per_fold.items()}

    def coverage(self, candidate: str) -> float:
        """Share of days inside the bounds; the bounds of a fold are calibrated on the other folds."""
        return float(self.backtest.score().coverage[candidate])

    def leaderboard(self) -> pd.DataFrame:
        """One row per entry, best first: mean scores, RMSPE per fold (columns are origins), CPU seconds, failure.

        `param_changes` says which parameters of an entry differ from the defaults; empty where none does.
        """
        per_fold = self.backtest.fold_scores.rmspe.unstack("origin")
        per_fold.columns = [f"{origin:%Y-%m-%d}" for origin in per_fold.columns]
        board = self.backtest.score().drop(columns="rows").join(per_fold)
        board["cpu_seconds"] = pd.Series(self.cpu_seconds)
        board["failure"] = ""
        failed = pd.DataFrame({"failure": pd.Series(self.failures, dtype=object)})
        board = pd.concat([board, failed]).rename_axis("candidate")
        return board.assign(param_changes=[self.param_changes.get(str(name), "") for name in board.index])
