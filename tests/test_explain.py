"""Reasons of a forecast add up to it, whatever the model; and why a forecast movement."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import explain as command_line
from flows.cli.commands import app
from flows.explanation import explain_day
from rossmann import explain, features, models
from rossmann.data import Plan, SalesHistory, read_history, save_snapshot
from rossmann.explain import ForecastInputs, Reasons, Term, effects, terms
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.schema import DAY, FRIDAY, TUESDAY, weekday
from rossmann.settings import Settings
from rossmann.validation import DataError
from tests.conftest import TOY_LEVEL, TOY_PROMO, TOY_WEEKDAY
from tests.support.chains import write_rich_chain
from tests.support.endpoint import fit_on_whole_history, save_with_champion

CANDIDATES = ("last_week", "median", "ridge", "hist_gradient_boosting", "blend")


def fit_rule(history: SalesHistory, name: str) -> Forecaster:
    """A model that is not fitted to rows."""
    return models.fit(models.default_candidate(name), [], history.origin, 7)


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


@pytest.fixture(scope="module")
def rich_state(rich: SalesHistory) -> State:
    return features.fit_state(rich)


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


def test_the_terms_of_a_chain_with_its_own_covariates_add_up_and_have_their_names(rich, rich_state):
    plan = features.published_plan(rich_state, slice(2))
    forecaster = fit_on_whole_history(rich, "blend", 7)
    assert_adds_up(forecaster, rich_state, plan)
    rows = explain.reasons(forecaster, rich_state, plan)
    names = {term.name for each in rows for term in each.terms}
    assert {"leaflet", "price", "weather", terms.PROMOTION, terms.HOLIDAY} <= names
    parts = {part.name for each in rows for term in each.terms for part in term.parts}
    assert {"leaflet", "price", "weather", terms.STORE} <= parts


def test_a_number_of_a_chain_counts_from_its_usual_size(rich, rich_state):
    """With its column as on average the term vanishes: the effect is in the usual level."""
    state = rich_state
    rows = features.join_plan(state, features.published_plan(state, slice(1)))
    names, values = effects._design_rows(rows)
    reference = effects._reference(rows, names)
    price, shown = names.index("number price"), effects.log_effects(fit_rule(rich, "ridge"), rows)
    past = np.log1p(state.calendar.covariates[state.calendar.covariate_names.tolist().index("number price"), 0])
    mondays = np.flatnonzero(weekday(state.calendar.dates[: -state.horizon_days]) == 0)
    is_monday = weekday(state.calendar.dates[-state.horizon_days :]) == 0
    assert reference[is_monday, price] == pytest.approx(past[mondays].mean())
    effect = (values[:, price] - reference[:, price]) * state.ridge.coefficients[0, price]
    assert shown["price", ""] == pytest.approx(effect)


def test_every_column_of_the_linear_model_and_of_the_trees_has_a_term(noisy_state, rich_state):
    for state in (noisy_state, rich_state):
        rows = features.join_plan(state, features.published_plan(state, slice(1)))
        shown = {*terms.FIRST_TERMS, *terms.LAST_TERMS, "leaflet", "price", "weather"}
        assert {terms.design_term(name) for name in effects._design_rows(rows)[0]} <= shown
        for name in features.column_names(state, features.FeatureSpec()):
            terms.feature_part(name)


def test_a_column_that_is_in_no_table_is_refused():
    for table in (terms.design_term, terms.feature_part):
        with pytest.raises(KeyError, match="full_moon"):
            table("full_moon tonight")


def test_a_new_feature_without_a_part_is_refused_with_the_place_where_it_gets_one():
    with pytest.raises(KeyError, match=r"new_feature.*add it.*rossmann/explain/terms.py"):
        terms.feature_part("new_feature")


def test_the_terms_of_a_chain_by_a_formula_are_its_factors(toy):
    """Level × weekday × promotion: the usual level is without the promotion.

    Mondays and Saturdays without a promotion always follow one there, so these two effects cannot be told apart.
    """
    state, forecaster = features.fit_state(toy), fit_rule(toy, "ridge")
    plan = features.published_plan(state)
    for promo, each in zip(plan.promotion, explain.reasons(forecaster, state, plan), strict=True):
        if TUESDAY <= each.date.weekday() <= FRIDAY:
            usual = TOY_LEVEL[each.store - 1] * TOY_WEEKDAY[each.date.weekday()]
            assert each.terms[0].amount == pytest.approx(usual, rel=0.05)
            assert amount_of(each, terms.PROMOTION) == pytest.approx(usual * (TOY_PROMO - 1) * promo, abs=0.06 * usual)


def test_a_baseline_has_one_term_and_a_closed_day_none(noisy_state, noisy):
    forecaster, plan = fit_rule(noisy, "median"), features.published_plan(noisy_state, slice(2))
    for row, each in enumerate(explain.reasons(forecaster, noisy_state, plan)):
        assert [term.name for term in each.terms] == [terms.USUAL] * int(plan.open[row])


def test_the_terms_of_a_sum_of_stores_are_the_sums_of_their_amounts(noisy_state, noisy_blend, noisy):
    """On the first day of which one of the stores is closed, which adds nothing."""
    inputs, stores = ForecastInputs(noisy_blend, noisy_state), noisy.stores.number[[0, 4, 5]].tolist()
    is_open = noisy.calendar.open[[0, 4, 5], -noisy.horizon_days :]
    day = noisy.calendar.dates[-noisy.horizon_days :][(is_open.sum(axis=0) == 2)][0]
    of_each = [explain.reasons_of_day(inputs, store, day) for store in stores]
    several = explain.reasons_of_stores(inputs, stores, day)
    assert [each.forecast for each in several] == pytest.approx([each.forecast for each in of_each])
    summed, forecast = explain.sum_terms(several), sum(each.forecast for each in of_each)
    assert sum(term.amount for term in summed) == pytest.approx(forecast)
    assert sum(term.log_effect for term in summed) == pytest.approx(np.log(forecast))
    names = {term.name for each in of_each for term in each.terms}
    amounts = {name: sum(amount_of(each, name) for each in of_each) for name in names}
    assert {term.name: term.amount for term in summed} == pytest.approx(amounts)
    assert [term.name for term in summed[:1]] == [terms.USUAL]
    assert explain.sum_terms([each for each in several if each.closed]) == ()


def test_the_rows_of_a_caller_are_neighbours_of_the_day(noisy_state, noisy_blend, noisy):
    """A promotion a week before changes the forecast of a day without changing its own row."""
    store, day = int(noisy.stores.number[0]), noisy_state.origin + 12 * DAY
    plan = row_of(noisy_state, store, day - 7 * DAY, open=1)
    plan = replace(plan, promotion=1 - plan.promotion)
    inputs = ForecastInputs(noisy_blend, noisy_state, plan)
    whole = inputs.rows_of(store)
    forecast = noisy_blend.predict(noisy_state, whole).sales[whole.date == day][0]
    assert explain.reasons_of_day(inputs, store, day).forecast == forecast
    assert explain.reasons_of_day(replace(inputs, plan=None), store, day).forecast != forecast


@pytest.fixture(scope="module")
def earlier_state(noisy: SalesHistory) -> State:
    return features.fit_state(noisy.until(noisy.origin - 7 * DAY))


def test_a_movement_adds_up_and_a_cause_that_did_not_change_has_nothing(noisy, noisy_state, earlier_state, noisy_blend):
    ridge = fit_rule(noisy, "ridge")
    store, day = int(noisy.stores.number[0]), noisy_state.origin + 5 * DAY  # a Monday
    published, promoted = row_of(noisy_state, store, day, open=1), row_of(noisy_state, store, day, open=1, promotion=1)
    published = replace(published, promotion=np.zeros(1, np.int8))
    before, after = ForecastInputs(ridge, earlier_state, published), ForecastInputs(noisy_blend, noisy_state, promoted)
    movement = explain.why_it_moved(before, after, store, day)
    assert movement.before == ridge.predict(earlier_state, published).sales[0]
    assert movement.after == noisy_blend.predict(noisy_state, promoted).sales[0]
    assert movement.actuals + movement.plan + movement.model == pytest.approx(
        movement.after - movement.before, abs=1e-6
    )
    assert movement.plan > 0.15 * movement.before  # a promotion
    same_plan = explain.why_it_moved(replace(before, plan=promoted), after, store, day)
    assert same_plan.plan == 0
    assert same_plan.actuals * same_plan.model != 0
    same_model = explain.why_it_moved(replace(before, forecaster=noisy_blend), after, store, day)
    assert same_model.model == 0
    assert same_model.plan == pytest.approx(movement.plan, rel=0.2)
    same_day = explain.why_it_moved(replace(before, state=noisy_state), after, store, day)
    assert same_day.actuals == 0


def test_a_day_that_one_of_the_two_cannot_forecast_has_no_movement(noisy, noisy_state, earlier_state, noisy_blend):
    store, later = int(noisy.stores.number[0]), ForecastInputs(noisy_blend, noisy_state)
    for day in (noisy_state.origin, noisy_state.calendar.dates[-1]):
        with pytest.raises(DataError, match=f"{day} cannot be forecast from sales up to"):
            explain.why_it_moved(replace(later, state=earlier_state), later, store, day)


@pytest.fixture(scope="module")
def settings(noisy, tmp_path_factory, new_mlflow_database) -> Settings:
    """A workspace with a snapshot of a week before, the current one, and the linear model as champion, version 1."""
    home = tmp_path_factory.mktemp("workspace")
    new_mlflow_database(home)
    save_snapshot(noisy.until(noisy.origin - 7 * DAY), f"{home}/snapshots", datetime.now(UTC), "test")
    save_with_champion(home, noisy, "ridge")
    return Settings(data_dir=str(home))


def test_a_day_is_explained_from_the_latest_data_before_it(settings, noisy):
    store, origin = str(noisy.stores.number[0]), noisy.origin.item()
    coming, past = (explain_day(settings, store, origin + timedelta(days=days)) for days in (5, -3))
    assert (coming.versions.data.origin, coming.reasons.lead_days) == (noisy.origin, 5)
    assert not coming.versions.data.is_truncated
    assert (past.versions.data.origin, past.reasons.lead_days) == (noisy.origin - 4 * DAY, 1)
    assert past.versions.data.is_truncated  # no snapshot ends then
    assert coming.earlier is None


def test_a_movement_is_counted_from_a_snapshot_or_from_a_truncated_one_and_a_plan_from_the_published(
    settings, noisy, tmp_path
):
    store, day = str(noisy.stores.number[0]), noisy.origin.item() + timedelta(days=5)
    for days, is_truncated in ((7, False), (9, True)):
        since = noisy.origin.item() - timedelta(days=days)
        earlier = explain_day(settings, store, day, since=since).earlier
        assert earlier.versions.data.is_truncated == is_truncated
        movement = earlier.movement
        assert movement.actuals == pytest.approx(movement.after - movement.before)
    published = features.published_plan(features.fit_state(noisy))
    (promo,) = published.promotion[(published.store == int(store)) & (published.date == np.datetime64(day))]
    file = tmp_path / "plan.csv"
    file.write_text(f"store,date,promo\n{store},{day},{1 - promo}\n")
    planned = explain_day(settings, store, day, plan=str(file))
    movement = planned.earlier.movement
    assert movement.plan == pytest.approx(movement.after - movement.before)
    assert movement.plan != 0
    assert planned.reasons.forecast == movement.after


@pytest.mark.parametrize(
    ("store", "days", "options", "message"),
    [
        ("0", 5, {}, "store 0 has no history; there are 12 stores"),
        (None, 60, {}, "cannot be forecast from sales up to .*: the plan covers"),
        (None, 5, {"since_version": 9}, "there is no model version 9"),
        (None, 5, {"since": 6}, "choose an earlier day"),
        (None, 5, {"since": -900}, "the origin 2012-04-28 is before the history"),
        (None, -499, {}, "which begins on 2013-06-03: explain a day from 2013-06-04 on"),
    ],
)
def test_what_is_missing_is_said(settings, noisy, store, days, options, message):
    origin = noisy.origin.item()
    if "since" in options:
        options = {"since": origin + timedelta(days=options["since"])}
    with pytest.raises(DataError, match=message):
        explain_day(settings, store or str(noisy.stores.number[0]), origin + timedelta(days=days), **options)


def test_the_command_prints_a_waterfall_and_the_same_as_json(settings, noisy, monkeypatch):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", settings.data_dir)
    store, day = str(noisy.stores.number[0]), noisy.origin.item() + timedelta(days=5)
    command = ["explain", "--store", store, "--date", f"{day}", "--since-version", "1"]
    text, document = (CliRunner().invoke(app, [*command, *more]).stdout for more in ([], ["--json"]))
    document = json.loads(document)
    assert sum(term["amount"] for term in document["terms"]) == pytest.approx(document["forecast"])
    lines = text.splitlines()
    assert "amount, EUR" in text
    assert lines[0] == f"store {store}, {day:%A} {day}: forecast {document['forecast']:,.0f}"
    assert [line.split("\t")[0] for line in lines if line.startswith(tuple(t["name"] for t in document["terms"]))] == [
        term["name"] for term in document["terms"]
    ]
    assert "changed model\t+0" in text
    assert document["movement"]["before"] == document["forecast"]
    assert (document["plan"], document["is_truncated"], document["notes"]) == (None, False, [])


def test_what_was_sold_stands_beside_the_forecast_of_a_day_that_is_over(settings, noisy, monkeypatch):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", settings.data_dir)
    day = len(noisy.dates) - 1 - int(np.argmax(noisy.sales[0, ::-1] > 0))  # the last one with sales
    command = ["explain", "--store", str(noisy.stores.number[0]), "--date", str(noisy.dates[day])]
    text, document = (CliRunner().invoke(app, [*command, *more]).stdout for more in ([], ["--json"]))
    assert text.splitlines()[0].endswith(f", sold {noisy.sales[0, day]:,.0f}")
    assert json.loads(document)["sales"] == noisy.sales[0, day]


def test_a_term_that_rounds_to_zero_has_no_sign():
    assert command_line._signed_texts(Term("season", -0.0004, -0.4)) == ["0", "0.0%"]
    assert command_line._signed_texts(Term("season", -0.0104, -140.4)) == ["-140", "-1.0%"]


def test_each_model_of_a_movement_that_has_seen_the_day_is_noted(settings, noisy):
    store, day = str(noisy.stores.number[0]), noisy.origin.item() + timedelta(days=5)
    explanation = explain_day(settings, store, day, since_version=1)
    versions = replace(explanation.earlier.versions, model_version=7, train_end=f"{day}")
    earlier = replace(explanation.earlier, versions=versions)
    document = command_line.document(replace(explanation, earlier=earlier))
    assert document["notes"] == [f"model version 7 was trained until {day}: it knows this day"]
