"""Chains with a chain.toml: what they do not have is not monitored, what they have is monitored by its name."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows import workspace as parts
from flows.alarms import publish
from flows.forecast import forecast
from flows.ingest import ingest
from flows.monitor import monitor
from flows.release import release
from flows.retrain import retrain
from flows.train import train
from rossmann import data, evaluation, journal, registry
from rossmann.alarms import DriftDetected, list_alarms
from rossmann.chain import KAGGLE_CHAIN, Chain, Forecast
from rossmann.data import SalesHistory
from rossmann.monitoring import DriftReport, detect_drift
from rossmann.monitoring.report import select_rows
from rossmann.monitoring.slices import explaining_slice
from rossmann.schema import MONDAY, WEEKS_YEAR_DAYS, weekday
from rossmann.settings import Settings
from tests.support.chain_files import BARE_STORES, LAST_DAY, write_bare_chain, write_rich_chain

WEEKS = 9
LAST = date.fromisoformat(LAST_DAY)
WEEK_BEFORE = date(2016, 3, 24)


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> SalesHistory:
    return data.read_history(str(write_bare_chain(tmp_path_factory.mktemp("bare")))).history


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> SalesHistory:
    return data.read_history(str(write_rich_chain(tmp_path_factory.mktemp("rich")))).history


def findings(drift: DriftReport) -> set[tuple[str, str]]:
    return {(each.name, each.subject) for each in drift.findings}


def with_covariate(history: SalesHistory, label: str, change) -> SalesHistory:
    """The history with another plan of a covariate, on all days after its origin."""
    calendar = history.calendar
    position, days = calendar.covariate_names.tolist().index(label), len(history.dates)
    covariates = calendar.covariates.copy()
    covariates[position, :, days:] = change(covariates[position, :, days:])
    return replace(history, calendar=replace(calendar, covariates=covariates))


def forecasts_with_actuals(history: SalesHistory, days: int) -> pd.DataFrame:
    """Exact forecasts of the last days, but for noise, each made a week before."""
    plan, actuals = (each(history.origin - days, days) for each in (history.plan, history.actuals))
    day = pd.Series(plan.date.astype("datetime64[s]"))
    noise = np.exp(np.random.default_rng(1).normal(0, 0.03, len(plan)))
    return pd.DataFrame(
        {
            "store": plan.store, "date": day, "origin": day - pd.Timedelta(days=7), "lead_days": 7,
            "forecast": actuals.sales * noise, "sales": actuals.sales,
        }
    )  # fmt: skip


def test_fingerprints_do_not_change_with_our_names_for_columns(bare, rich):
    """Without attributes, and with two. Written down before covariates had the names of roles."""
    assert (bare.fingerprint, rich.fingerprint) == ("206247275ccef5c4", "4356bf89e991d7e6")


def test_what_a_chain_of_store_date_and_sales_lacks_has_no_statistic(bare):
    assert findings(detect_drift(bare, forecasts_with_actuals(bare, 90))) == {
        ("dates_shifted", "open"), ("stores_missing", "all stores"), ("store_out_of_scale", "single stores"),
        ("sales_level", "all stores"), ("multivariate", "all columns"), ("stale_forecasts", "lead days"),
        ("concept_shift", "groups of stores"), ("residual_level", "all stores"), ("forecast_level", "all stores"),
    }  # fmt: skip
    rows = select_rows(bare, None, detect_drift(bare, None))
    assert list(rows.current) == ["weekday", "sales"]


def test_a_repeated_day_is_found_without_customers(bare):
    sales = bare.sales.copy()
    sales[:, -3] = sales[:, -4]
    assert {each.name for each in detect_drift(replace(bare, sales=sales), None).alarm_findings} == {"dates_shifted"}


def with_days(history: SalesHistory, target: np.ndarray, source: np.ndarray) -> SalesHistory:
    """The history in which these past days have the sales and openings of others. target, source: positions"""
    sales, is_open = history.sales.copy(), history.calendar.open.copy()
    sales[:, target], is_open[:, target] = history.sales[:, source], history.calendar.open[:, source]
    return replace(history, sales=sales, calendar=replace(history.calendar, open=is_open))


def test_a_rest_day_that_another_day_has_is_a_wrong_date_and_a_closing_that_nobody_named_is_not(rich):
    days = len(rich.dates)
    monday = days - 1 - (int(weekday(rich.dates)[-1]) - MONDAY)
    exchanged = with_days(rich, np.array([monday, monday + 1]), np.array([monday + 1, monday]))
    assert {each.name for each in detect_drift(exchanged, None).alarm_findings} == {"dates_shifted"}
    closed = with_days(rich, np.array([monday + 1, monday + 2]), np.array([monday, monday]))
    assert detect_drift(closed, None).alarm_findings == ()


def test_traffic_has_the_name_of_its_column(bare):
    """On the last days a third of the stores count as many visitors as on the day before."""
    random, days = np.random.default_rng(2), bare.chain.days.model_copy(update={"customers": "visitors"})
    traffic = np.round(bare.sales / random.uniform(7, 12, bare.sales.shape))
    traffic[::3, -8:] = traffic[::3, -8:-7]
    counted = replace(bare, traffic=traffic, chain=replace(bare.chain, days=days))
    drift = detect_drift(counted, None)
    (alarm,) = [each for each in drift.alarm_findings if each.name == "traffic_frozen"]
    assert alarm.subject == "visitors"
    assert "of the stores report as many visitors as on the day before" in alarm.message
    assert "visitors" in select_rows(counted, None, drift).current
    called_sales = replace(bare.chain, days=days.model_copy(update={"customers": "residual"}))
    assert "number residual" in select_rows(replace(counted, chain=called_sales), None, drift).current


def test_a_store_with_few_customers_is_out_of_its_scale_only_beyond_its_own_scatter(bare):
    """Its sales scatter by a factor of two from day to day, and that is usual for it."""
    sales = bare.sales.copy()
    sales[0] *= np.exp(np.random.default_rng(2).normal(0, 0.8, sales.shape[1]))
    scattered = replace(bare, sales=sales)
    ends = [bare.origin - 7 * week for week in range(20)]
    assert not any(detect_drift(scattered.until(end), None).alarm_findings for end in ends)
    sales[1, -4:] *= 10
    (alarm,) = detect_drift(replace(bare, sales=sales), None).alarm_findings
    assert (alarm.name, round(alarm.effect)) == ("store_out_of_scale", 1)


def test_covariates_and_attributes_are_monitored_by_the_names_of_chain_toml(rich):
    drift = detect_drift(rich, None)
    assert {
        ("planned_flag_share", "fair"), ("planned_number_mean", "temp"), ("planned_promotion_share", "promo"),
        ("unseen_combinations", "weekday, promo, holidays"), ("sales_level", "format big"), ("open_share", "open"),
    } <= findings(drift)  # fmt: skip
    assert not {"traffic_frozen", "other_unit", "zero_sales", "promotion_inverted"} & {
        name for name, _ in findings(drift)
    }
    messages = [each.message for each in drift.findings if each.name == "sundays_open"]
    assert ["open on Monday" in message for message in messages] == [True]
    columns = ["format", "weekday", "open", "promo", "holiday", "fair", "sales", "temp"]
    assert list(select_rows(rich, None, drift).current) == columns


@pytest.mark.parametrize("chain", ["bare", "rich"])
def test_weeks_without_a_fault_have_no_alarm(chain, request):
    """Holidays on new weekdays, weekend promotions and a day of rest on Mondays are nothing unusual."""
    history = request.getfixturevalue(chain)
    ends = [history.origin - 7 * week for week in range(WEEKS)]
    assert {str(end): detect_drift(history.until(end), None).alarm_findings for end in ends} == {
        str(end): () for end in ends
    }


@pytest.mark.parametrize(
    ("label", "change", "statistic"),
    [
        ("flag fair", lambda values: 1 - values, "planned_flag_share"),
        ("number temp", lambda values: 32 + 1.8 * values, "planned_number_mean"),
    ],
)
def test_a_plan_with_an_unusual_covariate_is_an_alarm_that_names_it(rich, label, change, statistic):
    (alarm,) = detect_drift(with_covariate(rich, label, change), None).alarm_findings
    assert (alarm.name, alarm.subject, alarm.broken_data) == (statistic, label.split()[1], False)


def test_a_feast_is_no_drift_three_weeks_later_than_a_year_before(rich):
    """But it is where there was none in that season."""
    feast = np.arange(14)
    plan = with_covariate(rich, "flag fair", lambda values: 0 * values + (np.arange(values.shape[1]) < len(feast)))
    assert [each.subject for each in detect_drift(plan, None).alarm_findings] == ["fair"]
    covariates = plan.calendar.covariates.copy()
    covariates[0, :, len(rich.dates) - WEEKS_YEAR_DAYS - 21 + feast] = 1
    earlier = replace(plan, calendar=replace(plan.calendar, covariates=covariates))
    assert detect_drift(earlier, None).alarm_findings == ()


@pytest.mark.parametrize(("attribute", "value"), [("format", "small"), ("region", "north")])
def test_the_slice_that_explains_an_alarm_is_called_as_in_chain_toml(rich, attribute, value):
    names = rich.stores.attributes[:, rich.chain.attributes.index(attribute)]
    residual = np.where((names == value)[:, None], -0.3, 0.0) * (np.arange(60) >= 53)
    assert explaining_slice(rich, residual).name == f"{attribute} {value}"
    assert evaluation.chain_names(rich).slices == {
        "attribute": "format",
        "promotion": "promo",
        "lead_week": "lead_week",
    }


def test_the_loss_is_that_of_the_environment_else_that_of_the_chain_else_the_default(monkeypatch):
    mae = Chain(text="[days]", country=None, forecast=Forecast(loss="mae"))
    other = replace(mae, forecast=Forecast())
    monkeypatch.delenv("ROSSMANN_LOSS", raising=False)
    assert [parts.loss(Settings(), each).name for each in (mae, other, KAGGLE_CHAIN)] == ["mae", "rmspe", "rmspe"]
    monkeypatch.setenv("ROSSMANN_LOSS", "rmspe")
    assert parts.loss(Settings(), mae).name == "rmspe"
    monkeypatch.setenv("ROSSMANN_LOSS", "total")
    assert [parts.loss(Settings(), each).name for each in (mae, KAGGLE_CHAIN)] == ["total", "total"]


@pytest.fixture(scope="module")
def monitored(tmp_path_factory, prefect_server, local_ray, new_mlflow_database):
    """The bare chain from its files to the monitoring of a week that came after the first forecast."""
    home = tmp_path_factory.mktemp("workspace")
    write_bare_chain(home / "raw")
    new_mlflow_database(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROSSMANN_DATA_DIR", str(home))
        for name in ("ROSSMANN_SERVE_ADDRESS", "ROSSMANN_LOSS", "ROSSMANN_FOLDS"):
            patch.delenv(name, raising=False)
        ingest(as_of=WEEK_BEFORE)
        train(candidates=["ridge"])
        verdict = release()
        assert forecast().summary.stores == len(BARE_STORES)
        ingest(as_of=LAST)
        yield verdict, monitor()


@pytest.mark.slow
def test_a_chain_of_store_date_and_sales_is_trained_for_its_own_loss_on_enough_folds(monitored):
    verdict, _ = monitored
    champion = registry.find_champion(parts.registry(Settings()))
    assert (champion.card.loss, champion.card.candidate) == ("mae", "ridge")
    assert len(champion.card.folds) >= 2
    assert verdict.promote, verdict.reasons
    assert any("no slice (lead_week) is" in reason for reason in verdict.reasons)
    (errors,) = (reason for reason in verdict.reasons if reason.startswith("rows with the largest"))
    assert any(f"store {label} on" in errors for label in BARE_STORES)


@pytest.mark.slow
def test_a_chain_of_store_date_and_sales_is_monitored_without_an_alarm(monitored):
    _, result = monitored
    assert (result.alarms, result.drift.alarm_findings) == ((), ())
    assert set(result.performance.slices.index.get_level_values("slice")) == {"all", "lead_week"}
    assert set(result.performance.worst_stores.index) == set(BARE_STORES)
    assert "residual_level" in {name for name, _ in findings(result.drift)}
    assert Path(result.report).exists()
    rows = journal.read_rows(Settings().journal_address, journal.accuracy, WEEK_BEFORE)
    assert set(rows.source) == {"batch", "baseline"}
    again = monitor()
    assert (again.alarms, again.performance.wape) == ((), result.performance.wape)


@pytest.mark.slow
def test_an_alarm_about_a_covariate_is_answered_from_the_snapshot_without_raw_files(monitored):
    _, result = monitored
    alarm = DriftDetected(
        reason="the mean of temp has changed", snapshot=data.current_snapshot(Settings().workspace.snapshots), day=LAST,
        name="planned_number_mean", kind="plan", subject="temp", effect=4.0, limit=1.0, reference="the year before",
        report=result.report,
    )  # fmt: skip
    publish(Settings(), alarm)
    retraining = retrain(candidates=["ridge"], reason=alarm.reason, alarm_id=alarm.id)
    assert "in its backtest: a retraining is expected to save" in retraining.decision.reason
    assert retraining.forecast.summary.stores == len(BARE_STORES)
    (record,) = (each for each in list_alarms(Settings().workspace.alarms) if each.alarm.id == alarm.id)
    assert record.outcome.decision in ("skipped", "promoted", "refused", "unchanged")
