"""Candidates, lessons, forecasters, blends and intervals."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rossmann import features, models
from rossmann.models.lessons import FLOOR_DAYS, gather
from tests.conftest import toy_sales

RACING = models.candidates(models.candidate.NAMES)
BY_NAME = {candidate.name: candidate for candidate in RACING}
DAY = np.timedelta64(1, "D")


def weekdays(dates: np.ndarray) -> np.ndarray:
    return (dates.astype(int) + 3) % 7


def taught_by(history) -> list[models.Lesson]:
    return [models.lesson(history, origin) for origin in models.lesson_origins(history.dates[0], history.origin)]


@pytest.fixture(scope="module")
def lessons(noisy):
    return taught_by(noisy)


@pytest.fixture(scope="module")
def forecasters(noisy, lessons):
    return {c.name: models.fit(c, lessons, noisy.origin, seed=7) for c in RACING}


def test_the_naive_two_are_always_in_the_race():
    assert [c.name for c in models.candidates(["ridge"])] == ["last_week", "median", "ridge"]
    assert [c.name for c in models.candidates([])] == ["last_week", "median"]


def test_an_unknown_candidate_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown candidate prophet; known are last_week, median, ridge, lightgbm"):
        models.candidates(["ridge", "prophet"])


def test_a_search_draws_the_same_candidates_for_a_seed_within_their_ranges():
    drawn = models.candidates(["xgboost"], search=3, seed=5)
    assert [c.name for c in drawn[-3:]] == ["xgboost-s1", "xgboost-s2", "xgboost-s3"]
    assert drawn == models.candidates(["xgboost"], search=3, seed=5)
    assert drawn[-3:-1] == models.candidates(["xgboost"], search=2, seed=5)[-2:]
    assert len({c.params for c in drawn[-3:]} | {BY_NAME["xgboost"].params}) == 4
    assert models.candidates(["xgboost"], search=3, seed=6)[-1] != drawn[-1]
    for candidate in drawn[-3:]:
        for name, (low, high) in models.candidate.XGBOOST_RANGES.items():
            assert low <= dict(candidate.params)[name] <= high


def test_a_search_leaves_alone_what_was_not_asked_for():
    assert [c.name for c in models.candidates(["ridge"], search=4)] == ["last_week", "median", "ridge"]


@pytest.mark.parametrize("candidate", RACING, ids=lambda c: c.name)
def test_a_candidate_can_be_written_down_and_read(candidate):
    assert models.Candidate.parse(candidate.key()) == candidate
    assert hash(models.Candidate.parse(candidate.key())) == hash(candidate)


def test_last_week_repeats_the_last_day_of_its_kind(toy):
    plan = toy.plan(toy.origin, 48)
    forecast = models.fit(BY_NAME["last_week"], [], toy.origin, seed=7).predict(features.summarise(toy), plan)
    np.testing.assert_allclose(forecast.sales, toy_sales(plan.store, weekdays(plan.date), plan.promo))


def test_the_median_is_the_median_of_a_year(noisy):
    plan = noisy.plan(noisy.origin, 48)
    forecast = models.fit(BY_NAME["median"], [], noisy.origin, seed=7).predict(features.summarise(noisy), plan)
    year = slice(len(noisy.dates) - 364, len(noisy.dates))
    for row in range(0, len(plan), 5):
        s = np.searchsorted(noisy.stores.number, plan.store[row])
        same = (weekdays(noisy.dates[year]) == weekdays(plan.date[[row]])) & (
            noisy.calendar.promo[s, year] == plan.promo[row]
        )
        known = noisy.sales[s, year][same]
        known = known[known > 0]
        if plan.open[row] and len(known):
            assert forecast.sales[row] == pytest.approx(np.median(known))


@pytest.mark.parametrize("name", BY_NAME)
def test_closed_days_are_forecast_as_zero_and_open_ones_above(noisy, forecasters, name):
    plan = noisy.plan(noisy.origin, 48)
    sales = forecasters[name].predict(features.summarise(noisy), plan).sales
    assert (plan.open == 0).any()
    assert (sales[plan.open == 0] == 0).all()
    assert (sales[plan.open == 1] > 0).all()
    assert np.isfinite(sales).all()


@pytest.mark.parametrize("name", ["ridge", "lightgbm", "xgboost", "blend"])
def test_what_learns_is_better_than_the_last_week(noisy, name):
    origin = noisy.origin - 48 * DAY
    state, plan = features.summarise(noisy.until(origin)), noisy.plan(origin, 48)
    sales = noisy.outcomes(origin, 48).sales
    sold = sales > 0
    taught = taught_by(noisy)

    def error(candidate: str) -> float:
        made = models.fit(BY_NAME[candidate], taught, origin, seed=7).predict(state, plan).sales
        return float(np.sqrt(np.mean((made[sold] / sales[sold] - 1) ** 2)))

    assert error(name) < 0.9 * error("last_week")


def test_bounds_are_unknown_until_calibrated(noisy, forecasters):
    state, plan = features.summarise(noisy), noisy.plan(noisy.origin, 48)
    plain = forecasters["ridge"].predict(state, plan)
    assert np.isnan(plain.lower).all()
    bounds = models.calibrate(plan.store, np.random.default_rng(1).normal(0, 0.1, len(plan)), coverage=0.8)
    bounded = forecasters["ridge"].with_intervals(bounds).predict(state, plan)
    np.testing.assert_array_equal(bounded.sales, plain.sales)
    assert (bounded.lower <= bounded.sales).all()
    assert (bounded.sales <= bounded.upper).all()
    assert (bounded.upper[plan.open == 0] == 0).all()


def test_a_blend_is_the_geometric_mean_of_its_members(noisy, forecasters):
    state, plan = features.summarise(noisy), noisy.plan(noisy.origin, 48)
    members = BY_NAME["blend"].members
    one, *others = (forecasters[member.name].predict(state, plan).sales for member in members)
    mean = np.prod([one, *others], axis=0) ** (1 / len(members))
    np.testing.assert_allclose(forecasters["blend"].predict(state, plan).sales, mean)
    joined = models.blend(BY_NAME["blend"], [forecasters[member.name] for member in reversed(members)])
    np.testing.assert_array_equal(joined.predict(state, plan).sales, forecasters["blend"].predict(state, plan).sales)


def test_a_blend_without_a_member_is_refused(forecasters):
    with pytest.raises(ValueError, match="blend lacks its member xgboost; fit it first"):
        models.blend(BY_NAME["blend"], [forecasters["lightgbm"], forecasters["ridge"]])


def test_importance_shares_add_up_and_name_columns(forecasters):
    for name in ("lightgbm", "xgboost", "blend"):
        ranked = forecasters[name].importance()
        assert {column for column, _ in ranked} <= set(features.FeatureSpec().columns)
        assert sum(share for _, share in ranked) == pytest.approx(1)
        assert all(a >= b for (_, a), (_, b) in pairwise(ranked))
    assert forecasters["ridge"].importance() == ()


def test_lessons_lie_on_a_grid_that_ends_with_the_history():
    first, last = np.datetime64("2013-01-01", "D"), np.datetime64("2015-06-13", "D")
    origins = models.lesson_origins(first, last)
    assert origins == sorted(origins)
    assert set((last - np.array(origins)).astype(int) % 24) == {0}
    assert origins[-1] == last - 24 * DAY
    assert all(origin - first >= 399 * DAY for origin in origins)
    assert {last - 48 * DAY, last - 96 * DAY, last - 144 * DAY} <= set(origins)


@pytest.mark.parametrize("days", [324, 400, 500, 700, 942])
def test_three_folds_have_something_to_learn_from(days):
    first = np.datetime64("2013-01-01", "D")
    last = first + (days - 1) * DAY
    origins = models.lesson_origins(first, last)
    assert min(origins) < last - 144 * DAY
    assert min(origins) - first >= (FLOOR_DAYS - 1) * DAY


def test_a_lesson_holds_open_days_with_sales_only(noisy):
    origin = noisy.dates[80]
    lesson = models.lesson(noisy, origin)
    plan, outcomes = noisy.plan(origin, 48), noisy.outcomes(origin, 48)
    sold = (plan.open == 1) & (outcomes.sales > 0)
    np.testing.assert_allclose(np.exp(lesson.log_sales), outcomes.sales[sold])
    np.testing.assert_array_equal(lesson.date, plan.date[sold])
    expected = features.build(features.summarise(noisy.until(origin)), plan, features.FeatureSpec())[sold]
    np.testing.assert_array_equal(lesson.matrix, expected)


def test_a_lesson_near_the_end_holds_what_is_known(noisy):
    lesson = models.lesson(noisy, noisy.origin - 10 * DAY)
    assert lesson.date.max() == noisy.origin - ((weekdays(noisy.origin[None])[0] == 6) * DAY)
    assert lesson.date.min() > noisy.origin - 10 * DAY


def test_fitting_reads_lessons_and_never_writes(noisy, lessons):
    frozen = []
    for lesson in lessons:
        copies = {name: getattr(lesson, name).copy() for name in ("matrix", "date", "log_sales", "base")}
        for array in copies.values():
            array.flags.writeable = False
        frozen.append(replace(lesson, **copies))
    fitted = models.fit(BY_NAME["blend"], frozen, noisy.origin, seed=7)  # a write would raise
    assert fitted.importance() == models.fit(BY_NAME["blend"], lessons, noisy.origin, seed=7).importance()


def test_nothing_to_learn_from_is_said(lessons):
    with pytest.raises(ValueError, match="nothing to learn from before 2013-06-30"):
        models.fit(BY_NAME["xgboost"], lessons, np.datetime64("2013-06-30", "D"), seed=7)


def test_lessons_of_other_features_are_refused(noisy):
    spec = features.FeatureSpec(ridge=False)
    other = [models.lesson(noisy, noisy.origin - 48 * DAY, spec)]
    with pytest.raises(ValueError, match="lightgbm needs lessons of FeatureSpec"):
        models.fit(BY_NAME["lightgbm"], other, noisy.origin, seed=7)


def test_more_rows_than_wanted_are_drawn_by_the_seed(noisy, lessons):
    everything = gather(lessons, noisy.origin, 10**9, seed=1)
    some, again, other = (gather(lessons, noisy.origin, 500, seed) for seed in (1, 1, 2))
    assert len(some.date) == len(some.matrix) == len(some.base) == 500
    np.testing.assert_array_equal(some.log_sales, again.log_sales)
    assert not np.array_equal(some.log_sales, other.log_sales)
    pairs = set(zip(everything.matrix[:, 0], everything.log_sales, strict=True))
    assert set(zip(some.matrix[:, 0], some.log_sales, strict=True)) <= pairs


def test_intervals_cover_what_they_promise():
    random = np.random.default_rng(3)
    store = np.repeat(np.arange(1, 41), 300)
    noise = np.repeat(random.uniform(0.03, 0.3, 40), 300) * random.standard_t(5, len(store))
    bounds = models.calibrate(store, noise, coverage=0.9)
    fresh = np.repeat(bounds.scale, 300) / np.sqrt(2 / np.pi)  # no new draw: the store's own size of error
    again = fresh * random.standard_normal(len(store))
    lower, upper = bounds.around(store, np.full(len(store), 100.0))
    inside = (lower <= 100 * np.exp(noise)) & (100 * np.exp(noise) <= upper)
    assert inside.mean() == pytest.approx(0.9, abs=0.003)
    assert ((lower <= 100 * np.exp(again)) & (100 * np.exp(again) <= upper)).mean() > 0.85
    per_store = inside.reshape(40, 300).mean(axis=1)
    assert per_store.min() > 0.8


def test_intervals_count_one_day_more_than_there_is():
    """Of 9 residuals the largest exceeds the next with probability 9/10: 0.8 in the middle needs both extremes."""
    residual = np.arange(-4, 5) / 10
    bounds = models.calibrate(np.ones(9, int), residual, coverage=0.8)
    assert bounds.low * bounds.scale[0] == pytest.approx(-0.4)
    assert bounds.high * bounds.scale[0] == pytest.approx(0.4)


def test_an_unknown_store_has_the_chains_interval():
    bounds = models.calibrate(np.array([3, 3, 5, 5]), np.array([0.1, -0.1, 0.3, -0.3]), coverage=0.5)
    lower, upper = bounds.around(np.array([4, 99]), np.array([100.0, 100.0]))
    np.testing.assert_allclose(np.log(upper / 100), bounds.high * 0.2)
    np.testing.assert_allclose(np.log(lower / 100), bounds.low * 0.2)


def test_no_residuals_is_no_calibration():
    with pytest.raises(ValueError, match="no backtest rows with sales"):
        models.calibrate(np.array([], int), np.array([]), coverage=0.9)
