"""The release rule: whether a challenger becomes champion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.evaluation.backtest import Backtest, BacktestRun

SLICES = ("store_type", "promo", "lead_week")
BOOTSTRAPS = 2000


@dataclass(frozen=True)
class Comparison:
    """The challenger beside one rival on the same rows. A rival is the champion or the baseline."""

    rival: str
    rmspe: float
    rival_rmspe: float
    p_better: float  # share of bootstrap samples of stores in which the challenger has the lower RMSPE


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
    """Compare on the same rows; the bootstrap draws whole stores, as the errors of one store are correlated."""
    paired = _paired_rows(backtest, challenger, rival)
    stores = paired.store.nunique()
    samples = np.random.default_rng(seed).multinomial(stores, np.full(stores, 1 / stores), size=BOOTSTRAPS)
    all_once = np.ones((1, stores), dtype=int)
    own, others = (_sums_by_store_and_fold(paired, column) for column in ("error", "rival_error"))
    better = _mean_rmspe(samples, *own) < _mean_rmspe(samples, *others)
    return Comparison(
        rival, float(_mean_rmspe(all_once, *own)[0]), float(_mean_rmspe(all_once, *others)[0]), float(better.mean())
    )


def _sums_by_store_and_fold(paired: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the squared errors and numbers of days. [stores, folds] each"""
    cells = paired.groupby(["store", "origin"])[column].agg(["sum", "size"]).unstack(fill_value=0)
    return cells["sum"].to_numpy(), cells["size"].to_numpy()


def _mean_rmspe(samples: np.ndarray, squared: np.ndarray, days: np.ndarray) -> np.ndarray:
    """The leaderboard's score, the mean of the folds' RMSPE, of each sample of stores. [samples]

    samples: how often each store is in a sample. [samples, stores]
    """
    return np.sqrt((samples @ squared) / np.maximum(samples @ days, 1)).mean(axis=1)


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
    """The rows with sales that both forecast, with the squared percentage errors `error` and `rival_error`."""
    keys = ["origin", "store", "date"]
    own, others = backtest.of(challenger), backtest.of(rival)
    both = own.merge(others[[*keys, "forecast"]], on=keys, suffixes=("", "_rival"), validate="one_to_one")
    if not len(both) == len(own) == len(others):
        raise ValueError(f"{challenger} and {rival} were not scored on the same rows; backtest both on the same folds")
    both = both[both.sales > 0]
    return both.assign(
        error=np.square(both.forecast / both.sales - 1),
        rival_error=np.square(both.forecast_rival / both.sales - 1),
    )


def _absence_reason(rival: str, failure: str) -> str:
    return f"{rival} could not be backtested ({failure}): the challenger is compared without it"


def _comparison_reason(comparison: Comparison, promotion_probability: float) -> str:
    verb = "beats" if comparison.p_better >= promotion_probability else "does not beat"
    return (
        f"{verb} {comparison.rival}: RMSPE {comparison.rmspe:.4f} against {comparison.rival_rmspe:.4f}, "
        f"P(better) {comparison.p_better:.3f}, {promotion_probability:.2f} needed"
    )


def _slice_reasons(worse: Sequence[WorseSlice], rival: str, margin: float) -> list[str]:
    if not worse:
        return [f"no slice ({', '.join(SLICES)}) is more than {margin:.0%} worse than {rival}"]
    return [
        f"slice {each.name}: RMSPE {each.rmspe:.4f} against {each.rival_rmspe:.4f} of {rival}, "
        f"more than {margin:.0%} worse"
        for each in worse
    ]
