"""The release rule: whether a challenger becomes champion.

Every score here is the capped one of the backtest's loss, so that no few rows decide. Raw scores, and the rows that
carry most of the raw one, are stated beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rossmann.evaluation.backtest import Backtest, BacktestRun, scored_rows
from rossmann.evaluation.losses import Loss, store_folds
from rossmann.evaluation.names import NUMBERED_STORES, Names
from rossmann.schema import WEEK_DAYS

BOOTSTRAPS = 2000
MIN_BLOCK_WEEKS = 2  # folds with fewer weeks are drawn by day: of one week there is nothing to draw


@dataclass(frozen=True)
class Comparison:
    """The challenger beside one rival on the same rows. A rival is the champion or the baseline."""

    rival: str
    score: float
    rival_score: float
    raw_score: float  # without caps
    rival_raw_score: float
    p_better: float  # share of bootstrap samples of stores and weeks in which the challenger has the lower score


@dataclass(frozen=True)
class WorseSlice:
    """A slice of the rows in which the challenger is worse than a rival by more than the margin."""

    name: str  # for example "promo=1"
    score: float
    rival_score: float


@dataclass(frozen=True)
class LargeError:
    """A row of the challenger that carries much of a fold's raw loss."""

    origin: pd.Timestamp
    store: int
    date: pd.Timestamp
    sales: float
    forecast: float
    share: float  # of the terms of all rows of the fold, without their signs


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
    names: Names = NUMBERED_STORES,
) -> Verdict:
    """The release rule: promote a challenger that beats every rival and makes no slice much worse.

    It beats a rival if p_better is at least `promotion_probability`. A slice is much worse if its score is more than
    `slice_margin` (a share) above that of the first rival. The reasons also name the rows with the largest errors, and
    warn of a bias. A rival whose backtest failed is left out, and the reasons say so: it must not stop every promotion.
    A challenger that failed, or has no rival left, is not promoted.
    """
    if challenger in run.failures:
        return Verdict(False, (f"{challenger} failed: {run.failures[challenger]}",), ())
    reasons = [_absence_reason(rival, run.failures[rival]) for rival in rivals if rival in run.failures]
    opponents = [rival for rival in rivals if rival not in run.failures]
    if not opponents:
        return Verdict(False, (*reasons, "there is no rival to compare with"), ())
    loss = run.backtest.loss
    comparisons = tuple(compare(run.backtest, challenger, rival, seed) for rival in opponents)
    beats_all = all(comparison.p_better >= promotion_probability for comparison in comparisons)
    worse = worse_slices(run.backtest, challenger, opponents[0], slice_margin, names)
    reasons += [_comparison_reason(comparison, loss, promotion_probability) for comparison in comparisons]
    reasons.append(_large_error_reason(largest_errors(run.backtest, challenger), names))
    reasons += filter(None, [run.backtest.warning(challenger)])
    reasons += _slice_reasons(worse, loss, opponents[0], slice_margin, names)
    return Verdict(beats_all and not worse, tuple(reasons), comparisons)


def compare(backtest: Backtest, challenger: str, rival: str, seed: int) -> Comparison:
    """Compare on the same rows, with a bootstrap over stores and weeks; the scores are those of the leaderboard."""
    loss, paired = backtest.loss, _paired_rows(backtest, challenger, rival)
    weights = _sums(paired, loss.weight(paired.sales.to_numpy()))
    terms, rival_terms = (_sums(paired, paired[column].to_numpy()) for column in ("term", "rival_term"))
    score, rival_score = (_score(loss, sums, weights) for sums in (terms, rival_terms))
    raw_score, rival_raw_score = (
        _score(loss, _sums(paired, loss.terms(paired.sales.to_numpy(), paired[column].to_numpy())), weights)
        for column in ("forecast", "forecast_rival")
    )
    p_better = probability_better(loss, terms, rival_terms, weights, seed)
    return Comparison(rival, score, rival_score, raw_score, rival_raw_score, p_better)


def probability_better(loss: Loss, terms: np.ndarray, rival_terms: np.ndarray, weights: np.ndarray, seed: int) -> float:
    """Share of bootstrap samples in which the mean of the folds' scores is below the rival's.

    terms, rival_terms, weights: sums of the loss's terms of both, and of the rows' weights. [stores, folds, weeks] each

    A sample draws stores, the same on all folds, and weeks within each fold, each with replacement. The errors of one
    store are correlated, and so are those of all stores in one week: weather, a strike, or a holiday that a forecaster
    misjudges. Drawing one fewer than there are makes the variance of a mean unbiased (Rao and Wu, 1988), which matters
    for seven weeks.
    """
    random = np.random.default_rng(seed)
    stores, folds, weeks = terms.shape
    store_counts = _draws(random, stores, (BOOTSTRAPS,))
    week_counts = _draws(random, weeks, (BOOTSTRAPS, folds))
    weight = _totals(weights, store_counts, week_counts)
    one, other = (_mean_score(loss, _totals(sums, store_counts, week_counts), weight) for sums in (terms, rival_terms))
    return float(np.mean(one < other))


def _draws(random: np.random.Generator, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """How often each of `size` units is drawn in each sample. float64 [*shape, size]"""
    return random.multinomial(max(size - 1, 1), np.full(size, 1 / size), size=shape).astype(float)


def _totals(sums: np.ndarray, store_counts: np.ndarray, week_counts: np.ndarray) -> np.ndarray:
    """For each sample and fold, the sum over stores of the absolute sum of a store's weeks. float64 [samples, folds]

    sums: [stores, folds, weeks]. store_counts, week_counts: how often each is drawn. [samples, stores], [samples,
    folds, weeks]
    """
    if (sums >= 0).all():  # without signs, stores can be added first, which is much quicker
        return (np.tensordot(store_counts, sums, axes=1) * week_counts).sum(axis=2)
    by_fold = [np.abs(week_counts[:, fold] @ sums[:, fold].T) for fold in range(sums.shape[1])]
    return np.stack([np.einsum("ij,ij->i", of_stores, store_counts) for of_stores in by_fold], axis=1)


def _mean_score(loss: Loss, totals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over the folds of the score, from totals [..., folds]."""
    return loss.finish(totals / np.where(weights > 0, weights, 1)).mean(axis=-1)


def _score(loss: Loss, sums: np.ndarray, weights: np.ndarray) -> float:
    """The mean over the folds of the score, from sums [stores, folds, weeks]."""
    return float(_mean_score(loss, np.abs(sums.sum(axis=2)).sum(axis=0), weights.sum(axis=(0, 2))))


def _sums(paired: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """Sums of the values by store, fold and week (or day, where a fold has few weeks) after the origin.

    float64 [stores, folds, weeks or days]
    """
    block = "lead_week" if paired.lead_days.max() >= MIN_BLOCK_WEEKS * WEEK_DAYS else "lead_days"
    codes = [np.unique(paired[column], return_inverse=True) for column in ("store", "origin", block)]
    shape = tuple(len(labels) for labels, _ in codes)
    cells = np.ravel_multi_index([code for _, code in codes], shape)
    return np.bincount(cells, values, minlength=np.prod(shape)).reshape(shape)


def worse_slices(
    backtest: Backtest, challenger: str, rival: str, margin: float, names: Names = NUMBERED_STORES
) -> list[WorseSlice]:
    """The slices in which the challenger's score is above (1 + margin) × the rival's."""
    paired = _paired_rows(backtest, challenger, rival)
    worse = []
    for column, name in names.slices.items():
        for value, rows in paired.groupby(column, observed=True):
            groups, sales = store_folds(rows), rows.sales.to_numpy()
            score, rival_score = (
                backtest.loss.score(rows[terms].to_numpy(), sales, groups) for terms in ("term", "rival_term")
            )
            if score > (1 + margin) * rival_score:
                worse.append(WorseSlice(f"{name}={value}", score, rival_score))
    return worse


def largest_errors(backtest: Backtest, candidate: str, count: int = 3) -> list[LargeError]:
    """The rows that carry the largest shares of their fold's raw loss, largest first."""
    rows = backtest.of(candidate)
    rows = scored_rows(rows)
    term = pd.Series(backtest.loss.terms(rows.sales.to_numpy(), rows.forecast.to_numpy()), rows.index).abs()
    share = (term / term.groupby(rows.origin).transform("sum")).fillna(0)  # 0 of 0 where every forecast is exact
    largest: Iterable[Any] = rows.assign(share=share).nlargest(count, "share").itertuples()
    return [
        LargeError(row.origin, int(row.store), row.date, float(row.sales), float(row.forecast), float(row.share))
        for row in largest
    ]


def _paired_rows(backtest: Backtest, challenger: str, rival: str) -> pd.DataFrame:
    """The rows with sales that both forecast, with their capped terms `term` and `rival_term`."""
    keys = ["origin", "store", "date"]
    own, others = backtest.of(challenger), backtest.of(rival)
    both = own.merge(others[[*keys, "forecast"]], on=keys, suffixes=("", "_rival"), validate="one_to_one")
    if not len(both) == len(own) == len(others):
        raise ValueError(f"{challenger} and {rival} were not scored on the same rows; backtest both on the same folds")
    both = scored_rows(both)
    sales, groups = both.sales.to_numpy(), store_folds(both)
    return both.assign(
        term=backtest.loss.capped_terms(sales, both.forecast.to_numpy(), groups),
        rival_term=backtest.loss.capped_terms(sales, both.forecast_rival.to_numpy(), groups),
    )


def _absence_reason(rival: str, failure: str) -> str:
    return f"{rival} could not be backtested ({failure}): the challenger is compared without it"


def _comparison_reason(comparison: Comparison, loss: Loss, promotion_probability: float) -> str:
    verb = "beats" if comparison.p_better >= promotion_probability else "does not beat"
    raw, rival_raw = loss.text(comparison.raw_score), loss.text(comparison.rival_raw_score)
    return (
        f"{verb} {comparison.rival}: capped {loss.label} {loss.text(comparison.score)} against "
        f"{loss.text(comparison.rival_score)} (raw {raw} against {rival_raw}), P(better) {comparison.p_better:.3f}, "
        f"{promotion_probability:.2f} needed"
    )


def _large_error_reason(errors: Sequence[LargeError], names: Names) -> str:
    rows = [
        f"store {names.store(each.store)} on {each.date:%Y-%m-%d} sold {each.sales:,.0f}, "
        f"forecast {each.forecast:,.0f}: {each.share:.0%} of the fold from {each.origin:%Y-%m-%d}"
        for each in errors
    ]
    return f"rows with the largest shares of the raw loss: {'; '.join(rows)}"


def _slice_reasons(worse: Sequence[WorseSlice], loss: Loss, rival: str, margin: float, names: Names) -> list[str]:
    if not worse:
        return [f"no slice ({', '.join(names.slices.values())}) is more than {margin:.0%} worse than {rival}"]
    return [
        f"slice {each.name}: capped {loss.label} {loss.text(each.score)} against {loss.text(each.rival_score)} of "
        f"{rival}, more than {margin:.0%} worse"
        for each in worse
    ]
