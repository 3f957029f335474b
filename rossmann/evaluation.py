"""Honest evaluation: folds that only know the past, scores, and the verdict on a challenger.

The rule: a candidate is fitted on days up to a fold's origin and forecasts the 48 days after it from nothing but that
past and the plan; every row is kept, and whoever is compared is compared on the same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.data import STORE_TYPES, Outcomes, Plan, SalesHistory
from rossmann.validation import DataError

MIN_PAST_DAYS = 180  # of history before the first origin: less than half a year teaches no level
SLICES = ("store_type", "promo", "lead_week")
BOOTSTRAPS = 2000
BASELINE = "median"  # what every model must beat: the store's median by weekday × promo

# One forecast of one store and day, as it was made, beside what happened.
BACKTEST_COLUMNS = {
    "candidate": "category",
    "origin": "datetime64[s]",
    "store": "int32",
    "date": "datetime64[s]",
    "lead_days": "int16",
    "lead_week": "int8",
    "weekday": "int8",  # 1 Monday … 7 Sunday
    "store_type": "category",
    "open": "int8",
    "promo": "int8",
    "sales": "float64",
    "forecast": "float64",
    "lower": "float64",
    "upper": "float64",
}


@dataclass(frozen=True)
class Fold:
    """One window of a backtest: all that was known on `origin`, and what then happened."""

    origin: np.datetime64
    past: SalesHistory
    plan: Plan
    outcomes: Outcomes


def fold(history: SalesHistory, origin: np.datetime64, horizon_days: int) -> Fold:
    """The window of `horizon_days` days after `origin`, cut from `history`."""
    return Fold(
        origin,
        history.until(origin, horizon_days),
        history.plan(origin, horizon_days),
        history.outcomes(origin, horizon_days),
    )


def fold_origins(history: SalesHistory, count: int, step_days: int, horizon_days: int) -> tuple[np.datetime64, ...]:
    """Origins of `count` windows, latest first; that one ends with the history. DataError if it is too short."""
    needed = MIN_PAST_DAYS + (count - 1) * step_days + horizon_days
    known = len(history.dates)
    if known < needed:
        raise DataError(
            f"history too short for {count} folds of {horizon_days} days, {step_days} days apart: it has {known} days "
            f"({history.dates[0]} to {history.origin}) and {needed} are needed; bring {needed - known} more days or "
            f"ask for fewer folds (--folds)"
        )
    last = history.origin - np.timedelta64(horizon_days, "D")
    return tuple(last - np.timedelta64(k * step_days, "D") for k in range(count))


def tabulate(candidate: str, window: Fold, forecast: np.ndarray) -> pd.DataFrame:
    """The rows of one candidate on one fold, as a Backtest keeps them; bounds are still unknown."""
    plan = window.plan
    lead = (plan.date - window.origin).astype(int)
    store_type = window.past.stores.store_type[np.searchsorted(window.past.stores.number, plan.store)]
    rows = pd.DataFrame(
        {
            "candidate": candidate,
            "origin": window.origin,
            "store": plan.store,
            "date": plan.date,
            "lead_days": lead,
            "lead_week": (lead - 1) // 7 + 1,
            "weekday": (plan.date.astype("datetime64[D]").astype(int) + 3) % 7 + 1,
            "store_type": np.asarray(STORE_TYPES)[store_type],
            "open": plan.open,
            "promo": plan.promo,
            "sales": window.outcomes.sales,
            "forecast": forecast,
            "lower": np.nan,
            "upper": np.nan,
        }
    )
    return rows.astype(BACKTEST_COLUMNS)


def rmspe(sales: np.ndarray, forecast: np.ndarray) -> float:
    """Root mean squared percentage error over days with sales, as Kaggle scored this competition."""
    sold = sales > 0
    return float(np.sqrt(np.mean(np.square(forecast[sold] / sales[sold] - 1))))


def scores(rows: pd.DataFrame) -> pd.Series:
    """Of days with sales: RMSPE, RMSE, MAE, MAPE, bias (forecast too much, as a share of all sales), coverage."""
    sold = rows[rows.sales > 0]
    error = sold.forecast - sold.sales
    covered = (sold.lower <= sold.sales) & (sold.sales <= sold.upper)
    return pd.Series(
        {
            "rmspe": rmspe(sold.sales.to_numpy(), sold.forecast.to_numpy()),
            "rmse": float(np.sqrt(np.mean(np.square(error)))),
            "mae": float(error.abs().mean()),
            "mape": float((error.abs() / sold.sales).mean()),
            "bias": float(error.sum() / sold.sales.sum()),
            "coverage": float(covered.mean()) if sold.lower.notna().all() else np.nan,
            "rows": float(len(sold)),
        }
    )


@dataclass(frozen=True)
class Backtest:
    """Every forecast made for the folds, a row per candidate × origin × store × date (`BACKTEST_COLUMNS`)."""

    rows: pd.DataFrame

    @property
    def candidates(self) -> tuple[str, ...]:
        return tuple(self.rows.candidate.unique())

    def of(self, candidate: str) -> pd.DataFrame:
        """The rows of one candidate."""
        return self.rows[self.rows.candidate == candidate]

    def by(self, *columns: str) -> pd.DataFrame:
        """The scores per candidate and value of the columns: "origin", "lead_week", "store_type", "weekday", …"""
        groups = self.rows.groupby(["candidate", *columns], observed=True)
        return groups[list(self.rows.columns)].apply(scores)

    def score(self) -> pd.DataFrame:
        """The scores per candidate, each the mean over the folds, best RMSPE first."""
        return self.by("origin").groupby(level="candidate", observed=True).mean().sort_values("rmspe")

    def best(self) -> str:
        """The candidate with the lowest mean RMSPE; the baseline, which every model must beat, only if it is alone."""
        ranked = [str(name) for name in self.score().index]
        return next((name for name in ranked if name != BASELINE), ranked[0])


@dataclass(frozen=True)
class Race:
    """Every forecast of every entrant that came through, with bounds, and why the others did not."""

    key: str  # hash of all that it depends on
    backtest: Backtest
    cpu_seconds: dict[str, float]  # of all fits of an entrant, a blend's members included
    importance: dict[str, dict[str, float]]  # of an entrant: mean share of the gain by feature, largest first
    failures: dict[str, str]

    def rmspe_by_fold(self, entrant: str) -> dict[str, float]:
        """RMSPE of an entrant by origin, oldest first."""
        per_fold = self.backtest.by("origin").rmspe.loc[entrant]
        return {f"{origin:%Y-%m-%d}": float(value) for origin, value in per_fold.items()}

    def coverage(self, entrant: str) -> float:
        """Share of days inside the entrant's bounds, on folds that did not calibrate them."""
        return float(self.backtest.score().coverage[entrant])

    def leaderboard(self) -> pd.DataFrame:
        """One row per entrant, best first: mean scores, RMSPE per fold (columns are origins), CPU seconds, failure."""
        per_fold = self.backtest.by("origin").rmspe.unstack("origin")
        per_fold.columns = [f"{origin:%Y-%m-%d}" for origin in per_fold.columns]
        board = self.backtest.score().drop(columns="rows").join(per_fold)
        board["cpu_seconds"] = pd.Series(self.cpu_seconds)
        board["failure"] = ""
        failed = pd.DataFrame({"failure": pd.Series(self.failures, dtype=object)})
        return pd.concat([board, failed]).rename_axis("candidate")


@dataclass(frozen=True)
class Comparison:
    """The challenger beside one rival on the same rows."""

    rival: str
    rmspe: float
    rival_rmspe: float
    p_better: float  # share of store-block bootstraps in which the challenger has the lower RMSPE


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger becomes champion, and every reason, whichever way it went."""

    promote: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def judge(
    race: Race,
    challenger: str,
    rivals: Sequence[str],
    *,
    promote_probability: float,
    slice_margin: float,
    seed: int,
) -> Verdict:
    """Promote only what beats every rival, and makes no slice worse than the first rival's by more than the margin.

    Where one of them failed in the race there is nothing to compare, and nothing is promoted.
    """
    if race.failures:
        return Verdict(False, tuple(f"{name} failed: {reason}" for name, reason in race.failures.items()), ())
    backtest = race.backtest
    comparisons = tuple(compare(backtest, challenger, rival, seed) for rival in rivals)
    beaten = [c.p_better >= promote_probability for c in comparisons]
    worse = worse_slices(backtest, challenger, rivals[0], slice_margin)
    reasons = [_sentence(c, promote_probability) for c in comparisons]
    reasons += [f"slice {name}: RMSPE {mine:.4f} against {theirs:.4f} of {rivals[0]}, more than "
                f"{slice_margin:.0%} worse" for name, mine, theirs in worse]  # fmt: skip
    if not worse:
        reasons.append(f"no slice ({', '.join(SLICES)}) is more than {slice_margin:.0%} worse than {rivals[0]}")
    return Verdict(all(beaten) and not worse, tuple(reasons), comparisons)


def compare(backtest: Backtest, challenger: str, rival: str, seed: int) -> Comparison:
    """Paired on rows, bootstrapped by store: errors of one store's days are not independent, stores nearly are."""
    paired = _paired(backtest, challenger, rival)
    stores = paired.store.nunique()
    drawn = np.random.default_rng(seed).multinomial(stores, np.full(stores, 1 / stores), size=BOOTSTRAPS)
    once = np.ones((1, stores), dtype=int)
    mine, theirs = (_per_store_and_fold(paired, column) for column in ("error", "rival_error"))
    better = _mean_rmspe(drawn, *mine) < _mean_rmspe(drawn, *theirs)
    return Comparison(
        rival, float(_mean_rmspe(once, *mine)[0]), float(_mean_rmspe(once, *theirs)[0]), float(better.mean())
    )


def _per_store_and_fold(paired: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the squared errors and numbers of days. [stores, folds] each"""
    cells = paired.groupby(["store", "origin"])[column].agg(["sum", "size"]).unstack(fill_value=0)
    return cells["sum"].to_numpy(), cells["size"].to_numpy()


def _mean_rmspe(drawn: np.ndarray, squared: np.ndarray, days: np.ndarray) -> np.ndarray:
    """The leaderboard's score, the mean of the folds' RMSPE, for each draw of stores. [draws]

    drawn: how often each store is in a draw. [draws, stores]
    """
    return np.sqrt((drawn @ squared) / np.maximum(drawn @ days, 1)).mean(axis=1)


def worse_slices(backtest: Backtest, challenger: str, rival: str, margin: float) -> list[tuple[str, float, float]]:
    """Slices in which the challenger's RMSPE is above (1 + margin) × the rival's: (name, RMSPE, the rival's)."""
    paired = _paired(backtest, challenger, rival)
    found = []
    for column in SLICES:
        means = np.sqrt(paired.groupby(column, observed=True)[["error", "rival_error"]].mean())
        worse = means[means.error > (1 + margin) * means.rival_error]
        found += [(f"{column}={value}", float(row.error), float(row.rival_error)) for value, row in worse.iterrows()]
    return found


def _paired(backtest: Backtest, challenger: str, rival: str) -> pd.DataFrame:
    """The rows with sales that both forecast, with the squared percentage errors `error` and `rival_error`."""
    keys = ["origin", "store", "date"]
    mine, theirs = backtest.of(challenger), backtest.of(rival)
    both = mine.merge(theirs[[*keys, "forecast"]], on=keys, suffixes=("", "_rival"), validate="one_to_one")
    if not len(both) == len(mine) == len(theirs):
        raise ValueError(f"{challenger} and {rival} were not scored on the same rows; backtest both on the same folds")
    both = both[both.sales > 0]
    return both.assign(
        error=np.square(both.forecast / both.sales - 1),
        rival_error=np.square(both.forecast_rival / both.sales - 1),
    )


def _sentence(c: Comparison, needed: float) -> str:
    outcome = "beats" if c.p_better >= needed else "does not beat"
    return (
        f"{outcome} {c.rival}: RMSPE {c.rmspe:.4f} against {c.rival_rmspe:.4f}, "
        f"P(better) {c.p_better:.3f}, {needed:.2f} needed"
    )
