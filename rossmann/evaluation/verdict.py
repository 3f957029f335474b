"""The release rule: whether a challenger becomes champion.

Every score here is the capped RMSPE: the error of a row counts as at most 100 %, so that no few rows decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.evaluation.backtest import MAX_ROW_ERROR, Backtest, BacktestRun
from rossmann.schema import WEEK_DAYS

SLICES = ("store_type", "promo", "lead_week")
BOOTSTRAPS = 2000
MIN_BLOCK_WEEKS = 2  # folds with fewer weeks are drawn by day: of one week there is nothing to draw


@dataclass(frozen=True)
class Comparison:
    """The challenger beside one rival on the same rows. A rival is the champion or the baseline."""

    rival: str
    rmspe: float
    rival_rmspe: float
    p_better: float  # share of bootstrap samples of stores and weeks in which the challenger has the lower RMSPE


@dataclass(frozen=True)
class WorseSlice:
    """A slice of the rows in which the challenger is worse than a rival by more than the margin."""

    name: str  # for example "promo=1"
    rmspe: float
    rival_rmspe: float


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger becomes champion, and all reasons for and against it."""

    promote: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def judge(
    run: BacktestRun,
    challenger: str,
    rivals: Sequence[str],
    *,
    promotion_probability: float,
    slice_margin: float,
    seed: int,
) -> Verdict:
    """The release rule: promote a challenger that beats every rival and makes no slice much worse.

    It beats a rival if p_better is at least `promotion_probability`. A slice is much worse if its RMSPE is more than
    `slice_margin` (a share) above that of the first rival. A rival whose backtest failed is left out, and the reasons
    say so: it must not stop every promotion. A challenger that failed, or has no rival left, is not promoted.
    """
    if challenger in run.failures:
        return Verdict(False, (f"{challenger} failed: {run.failures[challenger]}",), ())
    reasons = [_absence_reason(rival, run.failures[rival]) for rival in rivals if rival in run.failures]
    opponents = [rival for rival in rivals if rival not in run.failures]
    if not opponents:
        return Verdict(False, (*reasons, "there is no rival to compare with"), ())
    comparisons = tuple(compare(run.backtest, challenger, rival, seed) for rival in opponents)
    beats_all = all(comparison.p_better >= promotion_probability for comparison in comparisons)
    worse = worse_slices(run.backtest, challenger, opponents[0], slice_margin)
    reasons += [_comparison_reason(comparison, promotion_probability) for comparison in comparisons]
    reasons += _slice_reasons(worse, opponents[0], slice_margin)
    return Verdict(beats_all and not worse, tuple(reasons), comparisons)


def compare(backtest: Backtest, challenger: str, rival: str, seed: int) -> Comparison:
    """Compare on the same rows, with a bootstrap over stores and weeks; the scores are those of the leaderboard."""
    paired = _paired_rows(backtest, challenger, rival)
    errors, rival_errors = (_sums(paired, paired[column].to_numpy()) for column in ("error", "rival_error"))
    days = _sums(paired, np.ones(len(paired)))
    rmspe, rival_rmspe = (float(_mean_rmspe(sums.sum((0, 2)), days.sum((0, 2)))) for sums in (errors, rival_errors))
    return Comparison(rival, rmspe, rival_rmspe, probability_better(errors, rival_errors, days, seed))


def probability_better(errors: np.ndarray, rival_errors: np.ndarray, days: np.ndarray, seed: int) -> float:
    """Share of bootstrap samples in which the mean of the folds' RMSPE is below the rival's.

    errors, rival_errors: sums of squared percentage errors. days: their numbers of rows. [stores, folds, weeks] each

    A sample draws stores, the same on all folds, and weeks within each fold, each with replacement. The errors of one
    store are correlated, and so are those of all stores in one week: weather, a strike, or a holiday that a forecaster
    misjudges. Drawing one fewer than there are makes the variance of a mean unbiased (Rao and Wu, 1988), which matters
    for seven weeks.
    """
    random = np.random.default_rng(seed)
    stores, folds, weeks = errors.shape
    store_counts = _draws(random, stores, (BOOTSTRAPS,))
    week_counts = _draws(random, weeks, (BOOTSTRAPS, folds))

    def sample(sums: np.ndarray) -> np.ndarray:
        return (np.tensordot(store_counts, sums, axes=1) * week_counts).sum(axis=2)  # [samples, folds]

    rows = sample(days)
    return float(np.mean(_mean_rmspe(sample(errors), rows) < _mean_rmspe(sample(rival_errors), rows)))


def _draws(random: np.random.Generator, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """How often each of `size` units is drawn in each sample. float64 [*shape, size]"""
    return random.multinomial(max(size - 1, 1), np.full(size, 1 / size), size=shape).astype(float)


def _mean_rmspe(squared: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean over the folds of RMSPE, from sums [..., folds]."""
    return np.sqrt(squared / np.maximum(rows, 1)).mean(axis=-1)


def _sums(paired: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """Sums of the values by store, fold and week (or day, where a fold has few weeks) after the origin.

    float64 [stores, folds, weeks or days]
    """
    block = "lead_week" if paired.lead_days.max() >= MIN_BLOCK_WEEKS * WEEK_DAYS else "lead_days"
    codes = [np.unique(paired[column], return_inverse=True) for column in ("store", "origin", block)]
    shape = tuple(len(labels) for labels, _ in codes)
    cells = np.ravel_multi_index([code for _, code in codes], shape)
    return np.bincount(cells, values, minlength=np.prod(shape)).reshape(shape)


def worse_slices(backtest: Backtest, challenger: str, rival: str, margin: float) -> list[WorseSlice]:
    """The SLICES in which the challenger's RMSPE is above (1 + margin) × the rival's."""
    paired = _paired_rows(backtest, challenger, rival)
    worse = []
    for column in SLICES:
        errors = np.sqrt(paired.groupby(column, observed=True)[["error", "rival_error"]].mean())
        above = errors[errors.error > (1 + margin) * errors.rival_error]
        worse += [WorseSlice(f"{column}={value}", float(row.error), float(row.rival_error))
                  for value, row in above.iterrows()]  # fmt: skip
    return worse


def _paired_rows(backtest: Backtest, challenger: str, rival: str) -> pd.DataFrame:
    """The rows with sales that both forecast, with the capped and squared errors `error` and `rival_error`."""
    keys = ["origin", "store", "date"]
    own, others = backtest.of(challenger), backtest.of(rival)
    both = own.merge(others[[*keys, "forecast"]], on=keys, suffixes=("", "_rival"), validate="one_to_one")
    if not len(both) == len(own) == len(others):
        raise ValueError(f"{challenger} and {rival} were not scored on the same rows; backtest both on the same folds")
    both = both[both.sales > 0]
    return both.assign(
        error=_capped_square(both.forecast / both.sales - 1),
        rival_error=_capped_square(both.forecast_rival / both.sales - 1),
    )


def _capped_square(error: pd.Series) -> pd.Series:
    return np.square(np.minimum(np.abs(error), MAX_ROW_ERROR))


def _absence_reason(rival: str, failure: str) -> str:
    return f"{rival} could not be backtested ({failure}): the challenger is compared without it"


def _comparison_reason(comparison: Comparison, promotion_probability: float) -> str:
    verb = "beats" if comparison.p_better >= promotion_probability else "does not beat"
    return (
        f"{verb} {comparison.rival}: capped RMSPE {comparison.rmspe:.4f} against {comparison.rival_rmspe:.4f}, "
        f"P(better) {comparison.p_better:.3f}, {promotion_probability:.2f} needed"
    )


def _slice_reasons(worse: Sequence[WorseSlice], rival: str, margin: float) -> list[str]:
    if not worse:
        return [f"no slice ({', '.join(SLICES)}) is more than {margin:.0%} worse than {rival}"]
    return [
        f"slice {each.name}: capped RMSPE {each.rmspe:.4f} against {each.rival_rmspe:.4f} of {rival}, "
        f"more than {margin:.0%} worse"
        for each in worse
    ]
