"""How errors go together: estimated from backtests, and the ranges of sums that follow from it."""

from dataclasses import asdict

import numpy as np
import pytest

from rossmann import models
from rossmann.models import ErrorShares, Quantiles

STORES, DATES = 30, np.datetime64("2015-06-01") + np.arange(48)  # from a Monday
WEEK = np.arange(48) // 7
TRUTH = ErrorShares(chain=0.05, chain_week=0.05, chain_day=0.15, store=0.1, store_week=0.1, own=0.55)


def errors(random: np.random.Generator, folds: int) -> np.ndarray:
    """With the shares of TRUTH, in units whose variance is 2, and a mean of 0.3. [folds, stores, days]"""
    shapes = {
        "chain": (folds, 1, 1), "chain_week": (folds, 1, 7), "chain_day": (folds, 1, 48), "store": (folds, STORES, 1),
        "store_week": (folds, STORES, 7), "own": (folds, STORES, 48),
    }  # fmt: skip
    parts = {part: random.normal(0, np.sqrt(2 * asdict(TRUTH)[part]), shape) for part, shape in shapes.items()}
    return 0.3 + sum(each[..., WEEK] if each.shape[-1] == 7 else each for each in parts.values())


def test_the_shares_of_simulated_errors_are_found():
    """A quarter of the rows has no sales."""
    random = np.random.default_rng(4)
    folds = errors(random, 200)
    folds[random.random(folds.shape) < 0.25] = np.nan
    shares = models.estimate_error_shares((fold, DATES) for fold in folds)
    assert asdict(shares) == pytest.approx(asdict(TRUTH), abs=0.02)
    assert sum(asdict(shares).values()) == pytest.approx(1)


def test_few_folds_do_not_make_the_chain_look_surer_than_it_is():
    """What three folds say about the variance of the next one's mean error, around theirs, is right on average."""
    random = np.random.default_rng(5)
    true_variance, estimates, squares = 2.0, [], []
    for _ in range(300):
        folds = errors(random, 4)
        shares = models.estimate_error_shares((fold, DATES) for fold in folds[:3])
        row = np.ones((STORES, 48)) / (STORES * 48)
        estimates.append(true_variance * shares.deviation_of_sum(row, DATES) ** 2)
        squares.append((folds[3].mean() - folds[:3].mean()) ** 2)
    assert np.mean(estimates) == pytest.approx(np.mean(squares), rel=0.25)


def test_sums_of_every_kind_are_within_their_ranges_as_often_as_they_should():
    """On folds that the shares were not estimated on. Bounds that are added up have nearly all sums between them."""
    random = np.random.default_rng(6)
    past, future = errors(random, 60), errors(random, 300)
    shares = models.estimate_error_shares((fold, DATES) for fold in past)
    quantiles = models.calibrate(np.ones(past.size), past.ravel(), 0.8)
    sales, deviation = random.uniform(50, 150, (STORES, 48)), np.full((STORES, 48), 0.05)
    actual = sales * np.exp(future * deviation)
    by_row = quantiles.around(deviation.ravel(), sales.ravel()).reshape(STORES, 48, -1)
    first, last = (quantiles.levels.index(level) for level in (0.1, 0.9))
    for stores, days in ((1, 7), (10, 1), (30, 7), (30, 48)):
        rows, own = np.s_[:stores, :days], np.s_[:, :stores, :days]
        sums = actual[own].sum(axis=(1, 2))
        narrow = quantiles.narrowed(shares.narrowing((sales * deviation)[rows], DATES[:days]))
        edges = narrow.around(deviation[rows].ravel(), sales[rows].ravel()).sum(axis=0)
        assert ((edges[first] <= sums) & (sums <= edges[last])).mean() == pytest.approx(0.8, abs=0.07), (stores, days)
        wide = by_row[rows].sum(axis=(0, 1))
        assert ((wide[first] <= sums) & (sums <= wide[last])).mean() > 0.87


def test_a_chain_of_one_store_and_a_horizon_of_one_day_have_shares():
    """What no pair of rows shows is 0, and nothing is divided by 0."""
    random = np.random.default_rng(7)
    one_store = models.estimate_error_shares((random.normal(0, 1, (1, 48)), DATES) for _ in range(2))
    one_day = models.estimate_error_shares((random.normal(0, 1, (9, 1)), DATES[:1]) for _ in range(2))
    assert (one_store.chain, one_store.chain_day, one_day.store, one_day.store_week) == (0, 0, 0, 0)
    assert sum(asdict(one_store).values()) == sum(asdict(one_day).values()) == pytest.approx(1)


def test_nothing_cancels_in_a_single_row_and_in_a_sum_of_nothing():
    one = np.zeros((2, 48))
    assert TRUTH.narrowing(one, DATES) == 1
    one[1, 5] = -3.0
    assert TRUTH.narrowing(one, DATES) == pytest.approx(1)


def test_narrow_quantiles_have_the_same_median_and_the_forecast_between_their_bounds():
    quantiles = Quantiles((0.05, 0.25, 0.5, 0.95), (-1.0, 0.5, 1.0, 3.0), 0.9)
    assert quantiles.narrowed(0.8).offsets == pytest.approx((-0.6, 0.6, 1.0, 2.6))
    assert quantiles.narrowed(0.1).offsets == pytest.approx((0.0, 0.95, 1.0, 1.2))
