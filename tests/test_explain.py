"""Reasons of a forecast add up to it, whatever the model; and why a forecast moved."""

from dataclasses import replace

import numpy as np
import pytest

from rossmann import explain, features
from rossmann.data import Plan, SalesHistory, read_history
from rossmann.explain import Basis, Reasons, effects, terms
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.schema import DAY, FRIDAY, TUESDAY, weekday
from tests.conftest import TOY_LEVEL, TOY_PROMO, TOY_WEEKDAY
from tests.support.chains import write_rich_chain
from tests.support.endpoint import fit_on_whole_history

CANDIDATES = ("last_week", "median", "ridge", "hist_gradient_boosting", "blend")


def log_sum(reasons: Reasons) -> float:
    return sum(term.log_effect for term in reasons.terms)


def amount_of(reasons: Reasons, name: str) -> float:
    return sum(term.amount for term in reasons.terms if term.name == name)


def row_of(state: State, store: int, day: np.datetime64, **values: int) -> Plan:
    """The published row of a store's day, with other values of some columns."""
    plan = features.published_plan(state)
    is_row = (plan.store == store) & (plan.date == day)
    row = Plan(**{name: column[is_row] for name, column in vars(plan).items()})
    return replace(row, **{name: np.array([value], np.int8) for name, value in values.items()})


@pytest.fixture(scope="module")
def noisy_state(noisy: SalesHistory) -> State:
    return features.fit_state(noisy)


@pytest.fixture(scope="module")
def noisy_blend(noisy: SalesHistory) -> Forecaster:
    return fit_on_whole_history(noisy, "blend", 7)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> SalesHistory:
    """A chain with covariates of every kind."""
    return read_history(write_rich_chain(tmp_path_factory.mktemp("raw"))).history


def assert_adds_up(forecaster: Forecaster, state: State, plan: Plan) -> None:
    """Every row against the forecaster's own forecast, and every term against its parts."""
    forecast = forecaster.predict(state, plan).sales
    for row, each in enumerate(explain.reasons(forecaster, state, plan)):
        assert (each.store, each.date, each.forecast) == (plan.store[row], plan.date[row].item(), forecast[row])
        assert each.closed == (plan.open[row] == 0)
        if not each.closed:
            assert log_sum(each) == pytest.approx(np.log(forecast[row]), abs=1e-9)
            assert each.terms[0].name == terms.USUAL
        assert sum(term.amount for term in each.terms) == pytest.approx(forecast[row], rel=1e-9)
        for term in each.terms:
            if term.parts:
                assert sum(part.log_effect for part in term.parts) == pytest.approx(term.log_effect, abs=1e-12)
                assert sum(part.amount for part in term.parts) == pytest.approx(term.amount, abs=1e-6)


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_terms_add_up_to_the_forecast(noisy, noisy_state, noisy_blend, name):
    forecaster = noisy_blend if name == "blend" else fit_on_whole_history(noisy, name, 7)
    plan = features.published_plan(noisy_state, slice(4, 7))  # open on Sundays; closed for a refurbishment
    assert (plan.open == 0).any()
    assert_adds_up(forecaster, noisy_state, plan)


def test_the_terms_of_a_chain_with_its_own_covariates_add_up_and_have_their_names(rich):
    state = features.fit_state(rich)
    plan = features.published_plan(state, slice(2))
    forecaster = fit_on_whole_history(rich, "blend", 7)
    assert_adds_up(forecaster, state, plan)
    rows = explain.reasons(forecaster, state, plan)
    names = {term.name for each in rows for term in each.terms}
    assert {"leaflet", "price", "weather", terms.PROMOTION, terms.HOLIDAY} <= names
    parts = {part.name for each in rows for term in each.terms for part in term.parts}
    assert {"leaflet", "price", "weather", terms.STORE} <= parts


def test_a_number_of_a_chain_counts_from_its_usual_size(rich):
    """With its column as on average the term vanishes: the effect is in the usual level."""
    state = features.fit_state(rich)
    rows = features.join_plan(state, features.published_plan(state, slice(1)))
    names, values = effects._design_rows(rows)
    reference = effects._reference(rows, names)
    price, shown = names.index("number price"), effects.log_effects(fit_on_whole_history(rich, "ridge", 7), rows)
    past = np.log1p(state.calendar.covariates[state.calendar.covariate_names.tolist().index("number price"), 0])
    mondays = np.flatnonzero(weekday(state.calendar.dates[: -state.horizon_days]) == 0)
    is_monday = weekday(state.calendar.dates[-state.horizon_days :]) == 0
    assert reference[is_monday, price] == pytest.approx(past[mondays].mean())
    effect = (values[:, price] - reference[:, price]) * state.ridge.coefficients[0, price]
    assert shown["price", ""] == pytest.approx(effect)


def test_every_column_of_the_linear_model_and_of_the_trees_has_a_term(noisy_state, rich):
    for state in (noisy_state, features.fit_state(rich)):
        rows = features.join_plan(state, features.published_plan(state, slice(1)))
        shown = {*terms.FIRST_TERMS, *terms.LAST_TERMS, "leaflet", "price", "weather"}
        assert {terms.design_term(name) for name in effects._design_rows(rows)[0]} <= shown
        for name in features.column_names(state, features.FeatureSpec()):
            terms.feature_part(name)


def test_a_column_that_is_in_no_table_is_refused():
    for table in (terms.design_term, terms.feature_part):
        with pytest.raises(KeyError, match="full_moon"):
            table("full_moon tonight")


def test_the_terms_of_a_chain_by_a_formula_are_its_factors(toy):
    """Level × weekday × promotion: the usual level is without the promotion.

    Mondays and Saturdays without a promotion always follow one there, so these two effects cannot be told apart.
    """
    state, forecaster = features.fit_state(toy), fit_on_whole_history(toy, "ridge", 7)
    plan = features.published_plan(state)
    for promo, each in zip(plan.promotion, explain.reasons(forecaster, state, plan), strict=True):
        if TUESDAY <= each.date.weekday() <= FRIDAY:
            usual = TOY_LEVEL[each.store - 1] * TOY_WEEKDAY[each.date.weekday()]
            assert each.terms[0].amount == pytest.approx(usual, rel=0.05)
            assert amount_of(each, terms.PROMOTION) == pytest.approx(usual * (TOY_PROMO - 1) * promo, abs=0.06 * usual)


def test_the_effect_of_a_promotion_is_that_of_switching_it_on(noisy_state, noisy):
    forecaster = fit_on_whole_history(noisy, "median", 7)
    store, day = int(noisy.stores.number[0]), noisy_state.origin + DAY
    with_promo, without = (
        explain.reasons(forecaster, noisy_state, row_of(noisy_state, store, day, promotion=promo, open=1))[0]
        for promo in (1, 0)
    )
    assert [term.name for term in with_promo.terms] == [terms.USUAL]  # a baseline has no other term
    assert with_promo.forecast > without.forecast


@pytest.fixture(scope="module")
def earlier_state(noisy: SalesHistory) -> State:
    return features.fit_state(noisy.until(noisy.origin - 7 * DAY))


def test_a_movement_adds_up_and_a_cause_that_did_not_change_has_nothing(noisy, noisy_state, earlier_state, noisy_blend):
    ridge = fit_on_whole_history(noisy, "ridge", 7)
    store, day = int(noisy.stores.number[0]), noisy_state.origin + 5 * DAY  # a Monday
    published, promoted = row_of(noisy_state, store, day, open=1), row_of(noisy_state, store, day, open=1, promotion=1)
    published = replace(published, promotion=np.zeros(1, np.int8))
    before, after = Basis(ridge, earlier_state, published), Basis(noisy_blend, noisy_state, promoted)
    moved = explain.why_it_moved(before, after, store, day)
    assert moved.before == ridge.predict(earlier_state, published).sales[0]
    assert moved.after == noisy_blend.predict(noisy_state, promoted).sales[0]
    assert moved.actuals + moved.plan + moved.model == pytest.approx(moved.after - moved.before, abs=1e-6)
    assert moved.plan > 0.15 * moved.before  # a promotion
    same_plan = explain.why_it_moved(replace(before, plan=promoted), after, store, day)
    assert same_plan.plan == 0
    assert same_plan.actuals * same_plan.model != 0
    same_model = explain.why_it_moved(replace(before, forecaster=noisy_blend), after, store, day)
    assert same_model.model == 0
    assert same_model.plan == pytest.approx(moved.plan, rel=0.2)
    same_day = explain.why_it_moved(replace(before, state=noisy_state), after, store, day)
    assert same_day.actuals == 0
