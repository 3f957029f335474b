"""What-if: what a changed plan would sell, with which prediction interval, and scenarios that are kept by name."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations

import numpy as np
import pytest

from rossmann import features
from rossmann.models import Forecast, Quantiles
from rossmann.planning import scenarios
from rossmann.planning.scenarios import Change, Scenario
from rossmann.schema import FRIDAY, MONDAY, SUNDAY, weekday
from rossmann.storage import Storage
from rossmann.validation import DataError
from tests.support.endpoint import fit_on_whole_history


@pytest.fixture(scope="module")
def state(noisy):
    return features.fit_state(noisy)


@pytest.fixture(scope="module")
def forecaster(noisy):
    return fit_on_whole_history(noisy, "ridge", 7)


@pytest.fixture(scope="module")
def weeks(state):
    return scenarios.whole_weeks(state)


def test_the_difference_is_that_of_two_forecasts_of_the_model(forecaster, state, weeks):
    first, last = weeks[1], weeks[1] + timedelta(days=6)
    store = state.stores.label[3]
    result = scenarios.compare(forecaster, state, [Change("promotion", first, last, (store,))])
    plan = features.published_plan(state, slice(3, 4))
    in_week = (plan.date >= np.datetime64(first)) & (plan.date <= np.datetime64(last)) & (weekday(plan.date) <= FRIDAY)
    changed = forecaster.predict(state, replace(plan, promotion=np.where(in_week, 1, plan.promotion).astype(np.int8)))
    base = forecaster.predict(state, plan)
    assert result.total().amount == pytest.approx(changed.sales.sum() - base.sales.sum())
    assert result.total().base == pytest.approx(base.sales.sum())
    assert result.total().amount != 0
    assert set(result.plan.store) == {state.stores.number[3]}


def test_a_closing_costs_what_the_days_would_have_sold_and_a_range_around_it(forecaster, state, weeks):
    result = scenarios.compare(forecaster, state, [Change("closed", weeks[0], weeks[0] + timedelta(days=6))])
    in_week = (result.plan.date >= np.datetime64(weeks[0])) & (result.plan.date < np.datetime64(weeks[1]))
    difference = result.total(in_week)
    assert difference.amount == pytest.approx(-result.base.sales[in_week].sum())
    assert difference.lower < difference.amount < difference.upper < 0


def test_the_interval_of_a_difference_is_narrower_than_those_of_its_rows(forecaster, state, weeks):
    """A closed day of one store has the range of its row; a week of all stores does not add up its rows' ranges."""
    result = scenarios.compare(forecaster, state, [Change("closed", weeks[0], weeks[0] + timedelta(days=6))])
    summed = replace(result, variance_components=None)
    sold = np.flatnonzero(result.base.sales != result.alternative.sales)
    one, other = result.total(sold[:1]), summed.total(sold[:1])
    assert [one.lower, one.upper] == pytest.approx([other.lower, other.upper])
    whole, wide = result.total(), summed.total()
    assert 0.3 < (whole.upper - whole.lower) / (wide.upper - wide.lower) < 0.7
    assert whole.lower < whole.amount < whole.upper


def test_the_plan_of_a_comparison_is_that_of_the_stores_which_its_changes_name(forecaster, state, weeks):
    first, second = state.stores.label[:2].tolist()
    one, other = (Change("closed", weeks[0], weeks[0], (label,)) for label in (first, second))
    everywhere = Change("promotion", weeks[1], weeks[1])
    for changes, count in (([one, one], 1), ([one, other], 2), ([one, everywhere], len(state.stores.number))):
        assert len(set(scenarios.compare(forecaster, state, changes).plan.store)) == count


def test_the_later_of_two_changes_of_a_day_holds(state, weeks):
    plan = features.published_plan(state)
    week = (weeks[0], weeks[0] + timedelta(days=6))
    changed = scenarios.apply_changes(plan, [Change("no promotion", *week), Change("promotion", *week)], state)
    of_week = (plan.date >= np.datetime64(week[0])) & (plan.date <= np.datetime64(week[1]))
    assert (changed.promotion[of_week] == state.weekdays.has_promotion[weekday(plan.date[of_week])]).all()
    assert (changed.promotion[~of_week] == plan.promotion[~of_week]).all()
    assert not changed.promotion[of_week & (weekday(plan.date) == SUNDAY)].any()


def test_the_relative_error_of_a_day_carries_over_to_the_difference():
    """With 100 and 150 forecast and a day that sells 20 % more than forecast, the difference is 60 and not 50."""
    base, changed = _forecast(100.0), _forecast(150.0)
    quantiles = Quantiles((0.05, 0.5, 0.95), (np.log(0.8) / 0.1, 0.0, np.log(1.2) / 0.1), 0.9)
    lower, upper = scenarios.difference_bounds(base, changed, quantiles)
    np.testing.assert_allclose([lower, upper], [[0.8 * 50], [1.2 * 50]])
    lower, upper = scenarios.difference_bounds(changed, base, quantiles)
    np.testing.assert_allclose([lower, upper], [[-1.2 * 50], [-0.8 * 50]])


def test_levels_outside_the_bounds_do_not_widen_the_range():
    quantiles = Quantiles((0.01, 0.05, 0.95, 0.99), (-9.0, -1.0, 1.0, 9.0), 0.9)
    lower, upper = scenarios.difference_bounds(_forecast(100.0), _forecast(150.0), quantiles)
    np.testing.assert_allclose([lower, upper], [[50 * np.exp(-0.1)], [50 * np.exp(0.1)]])


def test_the_best_weeks_are_found_by_forecasting_every_choice(forecaster, state, weeks):
    calls = []
    stores = tuple(state.stores.label[:2].tolist())
    result = scenarios.best_weeks(forecaster, state, stores, lambda done, total: calls.append((done, total)))
    assert sorted(choice.weeks for choice in result) == list(combinations(weeks[:6], 2))
    assert calls[-1] == (15, 15)
    amounts = [choice.difference.amount for choice in result]
    assert amounts == sorted(amounts, reverse=True)
    changes = scenarios.weeks_as_changes(result[0].weeks, weeks[:6], stores)
    assert scenarios.compare(forecaster, state, changes).total() == result[0].difference


def test_weeks_are_whole_ones_of_the_horizon(state, weeks):
    assert {weekday(np.datetime64(monday, "D")) for monday in weeks} == {MONDAY}
    assert np.datetime64(weeks[0]) - state.origin <= np.timedelta64(7, "D")
    assert np.datetime64(weeks[-1]) + 6 <= state.calendar.dates[-1]


def test_a_scenario_survives_under_its_name_and_replaces_one_of_the_same_name(tmp_path):
    folder = Storage(str(tmp_path / "scenarios"))
    change = Change("closed", date(2015, 8, 3), date(2015, 8, 9), ("262", "Köln 1"))
    for changes in ((), (change,)):
        scenarios.save_scenario(folder, Scenario("Q3: more / less", changes, "2015-07-31T12:00:00+00:00"))
    (scenario,) = scenarios.list_scenarios(folder)
    assert scenario == Scenario("Q3: more / less", (change,), "2015-07-31T12:00:00+00:00")
    scenarios.remove_scenario(folder, "Q3: more / less")
    assert scenarios.list_scenarios(folder) == []


@pytest.mark.parametrize("name", ["", "  ", "x" * 81])
def test_a_scenario_needs_a_name(tmp_path, name):
    with pytest.raises(DataError, match="give the scenario a name"):
        scenarios.save_scenario(Storage(str(tmp_path)), Scenario(name, (), "2015-07-31"))


def test_a_name_may_have_any_characters_as_long_as_it_fits_a_file(tmp_path):
    folder = Storage(str(tmp_path))
    scenarios.save_scenario(folder, Scenario("Umbau 🎉 / " + "ü" * 25, (), "2015-07-31"))
    with pytest.raises(DataError, match="give it a shorter one"):
        scenarios.save_scenario(folder, Scenario("🎉" * 40, (), "2015-07-31"))


def test_changes_survive_in_an_address():
    changes = (
        Change("closed", date(2015, 8, 3), date(2015, 8, 9), ("262", "Köln, 1")),
        Change("open", *[date.max] * 2),
    )
    assert scenarios.changes_of_json(scenarios.changes_to_json(changes)) == changes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "1",
        '[["closed"]]',
        '[["closed","a","b"]]',
        '[["burnt","2015-08-03","2015-08-03"]]',
        '[["open","2015-08-04","2015-08-03"]]',
        "[" * 3000,
    ],
)
def test_changes_that_cannot_be_read_are_refused(text):
    with pytest.raises(DataError):
        scenarios.changes_of_json(text)


def test_a_file_that_is_no_scenario_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match=r"a\.json is no scenario"):
        scenarios.list_scenarios(Storage(str(tmp_path)))


def test_a_change_of_a_store_that_does_not_exist_is_refused(forecaster, state, weeks):
    with pytest.raises(DataError, match="there is no store nowhere"):
        scenarios.compare(forecaster, state, [Change("closed", weeks[0], weeks[0], ("nowhere",))])


def _forecast(sales: float) -> Forecast:
    return Forecast(np.array([sales]), np.array([np.nan]), np.array([np.nan]), np.array([0.1]))
