"""Whatever is dated after the origin is replaced: no feature, no forecast and no fitted model may change.

That is all actuals of later days, competitors that open later, and promo2 that starts after the published plan.
"""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from rossmann import features, models
from rossmann.data import Plan, SalesHistory, StoreAttributes, read_history
from rossmann.models.learners import SEARCHABLE
from rossmann.schema import HORIZON_DAYS
from tests.support.chains import write_rich_chain

ORIGIN = np.datetime64("2014-08-20", "D")
CANDIDATES = models.candidates(models.CANDIDATE_NAMES)
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}


def replaced(history: SalesHistory, first: np.datetime64, last: np.datetime64, seed: int) -> SalesHistory:
    """Other sales and customers, some of them zero, on every day first … last; stores 1 and 5 have no rows."""
    random = np.random.default_rng(seed)
    in_range = (history.dates >= first) & (history.dates <= last)

    def other(values: np.ndarray) -> np.ndarray:
        random_values = np.round(np.exp(random.normal(8, 1, values.shape))) * (random.random(values.shape) > 0.1)
        random_values[[1, 5]] = np.nan
        return np.where(in_range & ~np.isnan(values), random_values, values)

    return replace(history, sales=other(history.sales), traffic=other(history.traffic))


def with_attributes(
    history: SalesHistory, opening: np.datetime64, distance_m: float, promo2_start: np.datetime64, month: int
) -> SalesHistory:
    """The history with a competitor and promo2 that begin then in stores 3 and 6, of which one had no promo2."""
    changed, stores = [3, 6], history.stores
    values = {name: each.copy() for name, each in vars(stores.kaggle).items()}
    values["competition_since"][changed] = opening
    values["competition_distance_m"][changed] = distance_m
    values["promo2"][changed] = True
    values["promo2_since"][changed] = promo2_start
    values["promo2_months"][changed] = np.arange(12) % 3 == month
    return replace(history, stores=replace(stores, kaggle=StoreAttributes(**values)))


def with_other_future(history: SalesHistory, origin: np.datetime64) -> SalesHistory:
    """The history with other sales and customers after the origin, and other attributes that begin after it."""
    next_month = origin.astype("datetime64[M]") + 1
    other = with_attributes(history, next_month, 30.0, origin + HORIZON_DAYS + 1, month=2)
    return replaced(other, origin + 1, history.origin, seed=3)


def arrays(value: object, name: str = "") -> dict[str, np.ndarray]:
    """Every array anywhere within frozen dataclasses, and the text of every other object."""
    if is_dataclass(value):
        parts = [arrays(getattr(value, field.name), f"{name}.{field.name}") for field in fields(value)]
        return {key: array for part in parts for key, array in part.items()}
    array = np.asarray(value)
    return {name: np.asarray(repr(value)) if array.dtype == object else array}


def changed(one: object, other: object) -> list[str]:
    """Names of the arrays that differ in any bit."""
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys()
    return [name for name in first if first[name].tobytes() != second[name].tobytes()]


def training_windows(history: SalesHistory) -> list[models.TrainingWindow]:
    origins = models.window_origins(history.dates[0], history.origin)
    return [*(models.training_window(history, origin) for origin in origins), models.past_window(history, ORIGIN)]


def forecast(
    history: SalesHistory, windows: list[models.TrainingWindow], candidate: models.Candidate, plan: Plan
) -> models.Forecast:
    """As in a backtest: fitted up to the origin, from the State of the origin."""
    forecaster = models.fit(candidate, windows, ORIGIN, seed=7)
    return forecaster.predict(features.fit_state(history.until(ORIGIN)), plan)


@pytest.fixture(scope="module")
def noisy(noisy):
    """The chain with attributes of two stores that begin after the origin."""
    month = ORIGIN.astype("datetime64[M]")
    return with_attributes(noisy, month + 3, 700.0, ORIGIN + HORIZON_DAYS + 22, month=0)


@pytest.fixture(scope="module")
def windows(noisy):
    return training_windows(noisy)


@pytest.fixture(scope="module")
def other_windows(noisy):
    return training_windows(with_other_future(noisy, ORIGIN))


def test_state_and_features_do_not_move_with_what_happens_later(noisy):
    one = features.fit_state(noisy.until(ORIGIN))
    other = features.fit_state(with_other_future(noisy, ORIGIN).until(ORIGIN))
    assert changed(one, other) == []
    plan = noisy.plan(ORIGIN, 48)
    spec = features.FeatureSpec()
    assert features.build(one, plan, spec).tobytes() == features.build(other, plan, spec).tobytes()


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_forecasts_do_not_move_with_what_happens_later(noisy, windows, other_windows, candidate):
    plan = noisy.plan(ORIGIN, 48)
    one = forecast(noisy, windows, candidate, plan)
    other = forecast(with_other_future(noisy, ORIGIN), other_windows, candidate, plan)
    assert one.sales.tobytes() == other.sales.tobytes()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "lightgbm_calendar"])
def test_fitted_models_do_not_move_with_what_happens_later(noisy, windows, other_windows, name, tmp_path):
    for folder, usable in (("one", windows), ("other", other_windows)):
        models.fit(BY_NAME[name], usable, ORIGIN, seed=7).save(tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_the_splits_of_every_booster_do_not_move_with_what_happens_later(windows, other_windows):
    """Also of scikit-learn's, whose file has time stamps and cannot be compared byte by byte."""
    for name in SEARCHABLE:
        one, other = (models.fit(BY_NAME[name], usable, ORIGIN, seed=7) for usable in (windows, other_windows))
        assert one.importance() == other.importance()


def test_the_training_windows_after_the_origin_were_really_replaced(windows, other_windows):
    assert any(not np.array_equal(a.log_sales, b.log_sales) for a, b in zip(windows, other_windows, strict=True))


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_forecasts_do_move_with_what_happened_before(noisy, windows, candidate):
    past = replaced(noisy, ORIGIN - 30, ORIGIN, seed=3)
    plan = noisy.plan(ORIGIN, 48)
    one, other = forecast(noisy, windows, candidate, plan), forecast(past, training_windows(past), candidate, plan)
    assert (one.sales != other.sales).mean() > 0.5


def test_attributes_that_begin_before_the_origin_or_in_the_published_plan_are_used(noisy):
    month = ORIGIN.astype("datetime64[M]")
    past = with_attributes(noisy, month - 1, 30.0, ORIGIN + HORIZON_DAYS, month=2)
    one, other = (features.fit_state(each.until(ORIGIN)) for each in (noisy, past))
    names = ("competition_distance_m", "competition_since", "promo2", "promo2_since", "promo2_months")
    assert {f".stores.kaggle.{name}" for name in names} <= set(changed(one, other))


def test_a_competitor_is_known_when_the_month_of_its_opening_is_over(noisy):
    opening = np.datetime64("2014-07", "M")
    history = with_attributes(noisy, opening, 30.0, ORIGIN + HORIZON_DAYS, month=2)
    for origin, distance in (("2014-07-30", np.nan), ("2014-07-31", 30.0)):
        stores = history.until(np.datetime64(origin, "D")).stores
        np.testing.assert_array_equal(stores.kaggle.competition_distance_m[[3, 6]], distance)
        assert np.isnat(stores.kaggle.competition_since[[3, 6]]).all() == np.isnan(distance)


def test_the_actuals_of_the_origin_itself_are_used(noisy):
    one = features.fit_state(noisy.until(ORIGIN))
    other = features.fit_state(replaced(noisy, ORIGIN, ORIGIN, seed=3).until(ORIGIN))
    assert ".levels.recent_deviation" in changed(one, other)
    assert ".ridge.coefficients" in changed(one, other)


def with_other_covariates(history: SalesHistory, after: np.datetime64) -> SalesHistory:
    """The history with other promotions, openings and covariates on all days after `after`; holidays are public."""
    random, calendar = np.random.default_rng(9), history.calendar
    later = calendar.dates > after
    shuffled = random.permutation(np.flatnonzero(later))
    panels = {name: getattr(calendar, name).copy() for name in ("open", "promotion", "covariates")}
    is_free = ~calendar.is_holiday & ~np.char.startswith(calendar.covariate_names, "static ")
    panels["open"][:, later] = 1 - panels["open"][:, later]
    panels["promotion"][:, later] = 1 - panels["promotion"][:, later]
    panels["covariates"][np.ix_(is_free, np.arange(len(calendar.open)), later)] = (
        1.5 * panels["covariates"][is_free][:, :, shuffled]
    )
    return replace(history, calendar=replace(calendar, **panels))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A chain with a flag, a number, a category, named holidays and attributes."""
    return read_history(write_rich_chain(tmp_path_factory.mktemp("raw"))).history


def test_of_a_chains_covariates_only_those_of_the_plan_matter(chain):
    origin = chain.origin - 60
    plan_end = origin + chain.horizon_days
    other = replaced(with_other_covariates(chain, plan_end), origin + 1, chain.origin, seed=3)
    one, two = (features.fit_state(each.until(origin)) for each in (chain, other))
    assert changed(one, two) == []
    plan, forecasts = chain.plan(origin, chain.horizon_days), []
    for each, state in ((chain, one), (other, two)):
        windows = [models.training_window(each, origin - days) for days in (150, 120, 90, 60, 45, 10)]
        windows.append(models.past_window(each, origin))
        for name in ("lightgbm_calendar", "xgboost"):
            forecasts.append(models.fit(BY_NAME[name], windows, origin, seed=7).predict(state, plan).sales.tobytes())
    assert forecasts[:2] == forecasts[2:]


def test_on_which_later_days_a_store_had_no_sales_does_not_matter(tmp_path):
    """Where the files do not say when stores open, a day without sales was a closed one: nobody planned it."""
    one, other = (
        read_history(write_rich_chain(tmp_path / str(seed), has_open=False, later_seed=seed)).history for seed in (1, 2)
    )
    origin = one.origin - 60
    assert (one.calendar.open != other.calendar.open).any()
    assert changed(*(features.fit_state(each.until(origin)) for each in (one, other))) == []
    assert changed(one.plan(origin, 39), other.plan(origin, 39)) == []
    assert (one.plan(origin, 39).open == 1).mean() > 0.8


def test_a_chains_covariates_in_the_plan_do_matter(chain):
    origin = chain.origin - 60
    one, two = (features.fit_state(each.until(origin)) for each in (chain, with_other_covariates(chain, origin)))
    plan, spec = chain.plan(origin, chain.horizon_days), features.FeatureSpec()
    names, values = features.column_names(one, spec), [features.build(each, plan, spec) for each in (one, two)]
    differs = {name for k, name in enumerate(names) if (values[0][:, k] != values[1][:, k]).any()}
    assert {"flag leaflet", "number price", "flag weather=rain", "ridge_over_expected"} <= differs
