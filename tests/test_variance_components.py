"""Variance components: estimated from backtests, and the prediction intervals of sums that follow from them."""

from dataclasses import asdict

import numpy as np
import pytest

from rossmann import models
from rossmann.models import Quantiles, VarianceComponents
from rossmann.validation import DataError

STORES, DATES = 30, np.datetime64("2015-06-01") + np.arange(48)  # from a Monday
WEEK = np.arange(48) // 7
TRUTH = VarianceComponents(chain=0.05, chain_week=0.05, chain_day=0.15, store=0.1, store_week=0.1, residual=0.55)


def errors(random: np.random.Generator, folds: int) -> np.ndarray:
    """With the components of TRUTH, in units whose variance is 2, and a mean of 0.3. [folds, stores, days]"""
    shapes = {
        "chain": (folds, 1, 1), "chain_week": (folds, 1, 7), "chain_day": (folds, 1, 48), "store": (folds, STORES, 1),
        "store_week": (folds, STORES, 7), "residual": (folds, STORES, 48),
    }  # fmt: skip
    parts = {part: random.normal(0, np.sqrt(2 * asdict(TRUTH)[part]), shape) for part, shape in shapes.items()}
    return 0.3 + sum(each[..., WEEK] if each.shape[-1] == 7 else each for each in parts.values())


def test_the_variance_components_of_simulated_errors_are_found():
    """A quarter of the rows has no sales."""
    random = np.random.default_rng(4)
    folds = errors(random, 200)
    folds[random.random(folds.shape) < 0.25] = np.nan
    components = models.estimate_variance_components((fold, DATES) for fold in folds)
    assert asdict(components) == pytest.approx(asdict(TRUTH), abs=0.02)
    assert sum(asdict(components).values()) == pytest.approx(1)


def test_few_folds_do_not_understate_the_error_of_the_whole_chain():
    """What three folds say about the variance of the next one's mean error, around theirs, is right on average."""
    random = np.random.default_rng(5)
    true_variance, estimates, squares = 2.0, [], []
    for _ in range(300):
        folds = errors(random, 4)
        components = models.estimate_variance_components((fold, DATES) for fold in folds[:3])
        row = np.ones((STORES, 48)) / (STORES * 48)
        estimates.append(true_variance * components.standard_deviation_of_sum(row, DATES) ** 2)
        squares.append((folds[3].mean() - folds[:3].mean()) ** 2)
    assert np.mean(estimates) == pytest.approx(np.mean(squares), rel=0.25)


def test_sums_of_every_kind_are_in_their_prediction_intervals_as_often_as_they_should():
    """On folds that the components were not estimated on. Summed bounds have nearly all sums between them."""
    random = np.random.default_rng(6)
    past, future = errors(random, 60), errors(random, 300)
    components = models.estimate_variance_components((fold, DATES) for fold in past)
    quantiles = models.calibrate(np.ones(past.size), past.ravel(), 0.8)
    sales, deviation = random.uniform(50, 150, (STORES, 48)), np.full((STORES, 48), 0.05)
    actual = sales * np.exp(future * deviation)
    by_row = quantiles.around(deviation.ravel(), sales.ravel()).reshape(STORES, 48, -1)
    first, last = (quantiles.levels.index(level) for level in (0.1, 0.9))
    for stores, days in ((1, 7), (10, 1), (30, 7), (30, 48)):
        rows = np.s_[:stores, :days]
        sums = actual[:, *rows].sum(axis=(1, 2))
        scaled = quantiles.scaled_about_median(components.spread_ratio((sales * deviation)[rows], DATES[:days]))
        edges = scaled.around(deviation[rows].ravel(), sales[rows].ravel()).sum(axis=0)
        assert ((edges[first] <= sums) & (sums <= edges[last])).mean() == pytest.approx(0.8, abs=0.07), (stores, days)
        wide = by_row[rows].sum(axis=(0, 1))
        assert ((wide[first] <= sums) & (sums <= wide[last])).mean() > 0.87


def test_a_chain_of_one_store_and_a_horizon_of_one_day_have_variance_components():
    """A component that no pair of rows shows is 0, and nothing is divided by 0."""
    random = np.random.default_rng(7)
    one_store = models.estimate_variance_components((random.normal(0, 1, (1, 48)), DATES) for _ in range(2))
    one_day = models.estimate_variance_components((random.normal(0, 1, (9, 1)), DATES[:1]) for _ in range(2))
    assert (one_store.chain, one_store.chain_day, one_day.store, one_day.store_week) == (0, 0, 0, 0)
    assert sum(asdict(one_store).values()) == sum(asdict(one_day).values()) == pytest.approx(1)


def test_nothing_cancels_in_a_single_row_and_in_a_sum_of_nothing():
    one = np.zeros((2, 48))
    assert TRUTH.spread_ratio(one, DATES) == 1
    one[1, 5] = -3.0
    assert TRUTH.spread_ratio(one, DATES) == pytest.approx(1)


def test_scaled_quantiles_have_the_same_median_and_the_forecast_between_their_bounds():
    quantiles = Quantiles((0.05, 0.25, 0.5, 0.95), (-1.0, 0.5, 1.0, 3.0), 0.9)
    assert quantiles.scaled_about_median(0.8).offsets == pytest.approx((-0.6, 0.6, 1.0, 2.6))
    assert quantiles.scaled_about_median(0.1).offsets == pytest.approx((0.0, 0.95, 1.0, 1.2))


def test_folds_without_sales_have_no_variance_components():
    """A fold without sales beside another one changes nothing."""
    empty, fold = (np.full((2, 48), np.nan), DATES), (np.random.default_rng(8).normal(0, 1, (2, 48)), DATES)
    for folds in ([], [empty]):
        with pytest.raises(DataError, match="no backtest rows with sales"):
            models.estimate_variance_components(folds)
    assert models.estimate_variance_components([fold, empty]) == models.estimate_variance_components([fold])
