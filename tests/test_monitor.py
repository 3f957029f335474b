"""The loop's flows on a small world: what came due is judged once, what is broken is not learnt, alarms are closed."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from prefect import flow, get_client
from prefect.artifacts import Artifact
from prefect.states import Failed
from prefect.testing.utilities import prefect_test_harness

from flows import alarms
from flows.__main__ import main
from flows.alarms import BrokenData, Degradation
from flows.ingest import ingest
from flows.monitor import monitor, raise_alarms, troubles
from flows.retrain import retrain
from rossmann import data, journal, monitoring, registry, training
from rossmann.evaluation import rmspe
from rossmann.registry import Registry
from rossmann.sample import write_world
from rossmann.settings import Settings
from rossmann.validation import DataError, ValidationError

pytestmark = pytest.mark.slow

STORES, DAYS = 30, 640
LAST = date(2013, 1, 1) + timedelta(days=DAYS - 1)
BEFORE = LAST - timedelta(days=7)
RIDGE = ["ridge"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world with a champion, whose forecasts of the last week are in the journal; faulty raw files beside it."""
    home = tmp_path_factory.mktemp("world")
    raw = str(write_world(home / "raw", STORES, DAYS, seed=3))
    since = str(BEFORE + timedelta(days=1))
    monitoring.stage(raw, str(home / "shifted"), None, "concept_shift", since)
    monitoring.stage(raw, str(home / "frozen"), None, "customers_frozen", since)
    with pytest.MonkeyPatch.context() as patch, prefect_test_harness(server_startup_timeout=120):
        patch.setenv("ROSSMANN_DATA_DIR", str(home))
        patch.setenv("ROSSMANN_FOLDS", "2")
        patch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
        with training.cluster(None):
            ingest(as_of=BEFORE)
            assert monitor().performance is None, "nothing has been forecast yet"
            assert retrain(as_of=BEFORE, candidates=RIDGE).delivered
            yield home


@pytest.fixture(scope="module")
def seen(world):
    """The monitor's first look at the week, in which nothing happened."""
    ingest(as_of=LAST)
    return monitor()


def known_snapshots() -> list[str]:
    return [each.fingerprint for each in data.list_snapshots(Settings().place("snapshots"))]


def table(name: str) -> pd.DataFrame:
    return journal.kept(Settings().journal, getattr(journal, name), date(2013, 1, 1))


def test_the_forecasts_that_came_due_are_scored_as_they_were_given(world, seen):
    given = journal.given(Settings().journal, BEFORE, LAST)
    raw = pd.read_csv(world / "raw/train.csv", parse_dates=["Date"], dtype={"StateHoliday": str})
    both = given.merge(raw, left_on=["store", "date"], right_on=["Store", "Date"])
    expected = rmspe(both.Sales.to_numpy(float), both.forecast.to_numpy())
    assert seen.performance.rmspe == pytest.approx(expected)
    assert seen.performance.promised_rmspe < seen.performance.baseline_rmspe * 1.5
    assert not seen.performance.degraded
    assert set(table("accuracy").source) == {"batch", "baseline"}


def test_a_clean_week_raises_nothing(seen):
    assert seen.examination.alarms == ()
    assert seen.raised == ()
    page = Artifact.get("monitor").data
    assert "Worst stores" in page
    assert "Serve since its start: –" in page
    assert "alarms" in Path(seen.report).read_text()


def test_looking_again_changes_nothing(seen):
    before = {name: len(table(name)) for name in ("accuracy", "findings")}
    again = monitor()
    assert again.performance.rmspe == seen.performance.rmspe
    assert {name: len(table(name)) for name in ("accuracy", "findings")} == before


def test_nothing_new_is_not_learnt_again(seen):
    champion = registry.champion(Registry(Settings().tracking_uri, Settings().place("models")))
    made = retrain(as_of=BEFORE, candidates=RIDGE, reason="scheduled")
    assert made.trained is None
    assert made.decision.reason == f"nothing new has come since version {champion.version} was trained"
    assert made.delivered, "a fresh forecast costs seconds"


def test_broken_data_are_not_learnt_and_the_alarm_is_closed_by_saying_so(world, seen, capsys, monkeypatch):
    ingest(str(world / "frozen"), LAST)
    (raised,) = monitor().raised
    assert raised.event == "rossmann.data.failed"
    assert "customers_frozen" in raised.reason
    made = retrain(str(world / "frozen"), LAST, candidates=RIDGE, reason=raised.reason, alarm=raised.id)
    assert made.trained is None
    ((alarm, outcome),) = [pair for pair in alarms.told(Settings()) if pair[0]["id"] == raised.id]
    assert alarm["reason"] == raised.reason
    assert outcome["decision"] == "skipped"
    assert "mend them first" in outcome["reason"]
    monkeypatch.setattr("sys.argv", ["rossmann", "trail"])
    with pytest.raises(SystemExit):
        main()
    assert "customers_frozen" in capsys.readouterr().out


def test_raw_files_that_are_refused_raise_an_alarm(world, tmp_path):
    bad = pd.read_csv(world / "raw/train.csv", dtype=str).assign(Sales="-5")
    for name in ("store.csv", "test.csv"):
        (tmp_path / name).write_bytes((world / "raw" / name).read_bytes())
    bad.to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(ValidationError):
        ingest(str(tmp_path))
    newest, _ = alarms.told(Settings())[0]
    assert newest["event"] == "rossmann.data.failed"
    assert newest["raw"] == str(tmp_path)


def test_a_folder_without_tables_raises_an_alarm_too(world, tmp_path):
    with pytest.raises(DataError):
        ingest(str(tmp_path))
    (world / "alarms/.DS_Store").write_bytes(b"not an alarm")
    newest, _ = alarms.told(Settings())[0]
    assert (newest["event"], newest["raw"]) == ("rossmann.data.failed", str(tmp_path))


def test_the_trail_shows_a_reason_as_it_stands(world, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    alarms.tell(Settings(), BrokenData(reason="no train.csv in [here] or x[/y]", raw="x[/y]"))
    monkeypatch.setattr("sys.argv", ["rossmann", "trail"])
    with pytest.raises(SystemExit):
        main()
    assert "no train.csv in [here] or x[/y]" in capsys.readouterr().out


def test_a_degradation_is_told_once_per_snapshot(world, seen):
    worse, one, two = replace(seen.performance, wape=1.0, beyond=3), *known_snapshots()[:2]
    told = [raise_alarms.fn(each, worse, seen.examination, "a report") for each in (one, one, two)]
    assert [[each.snapshot for each in raised if isinstance(each, Degradation)] for raised in told] == [
        [one],
        [],
        [two],
    ]


def test_what_stays_wrong_is_told_once_a_day(world, seen, monkeypatch):
    monkeypatch.setenv("ROSSMANN_SERVE_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("ROSSMANN_HTTP_PORT", "9")
    snapshot, settings = known_snapshots()[0], Settings()
    (down,) = troubles(settings, snapshot, [])
    assert down.event == "rossmann.system.endpoint"
    told = {"event": down.event, "at": down.at.isoformat()}
    assert troubles(settings, snapshot, [told]) == []
    yesterday = told | {"at": (down.at - timedelta(days=1)).isoformat()}
    assert [each.event for each in troubles(settings, snapshot, [yesterday])] == [down.event]


def test_a_failed_run_of_a_deployment_is_told_with_its_cause_and_one_by_hand_is_not(world, seen):
    @flow
    def by_hand():
        raise DataError("whoever typed this sees it")

    with pytest.raises(DataError):
        by_hand()
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow_from_name("weekly"), "rossmann")
        run = client.create_flow_run_from_deployment(deployment)
        client.set_flow_run_state(run.id, Failed(message="the plan cannot be used:\n  line 3"), force=True)
    (told,) = [each for each in troubles(Settings(), known_snapshots()[0], []) if each.event == "rossmann.system.flow"]
    assert told.reason == f"weekly ({run.name}) failed: the plan cannot be used: line 3"


def test_a_shift_is_told_as_drift_once_and_a_training_deals_with_it(world, seen):
    ingest(str(world / "shifted"), LAST)
    raised = [each for each in monitor().raised if each.event == "rossmann.drift.detected"]
    assert [each.name for each in raised] == ["concept_shift"]
    assert raised[0].effect > raised[0].limit
    assert [each for each in monitor().raised if each.event == "rossmann.drift.detected"] == [], "told already"
    shifted = data.current_snapshot(Settings().place("snapshots"))
    made = retrain(candidates=RIDGE, reason=raised[0].reason, alarm=raised[0].id)
    assert made.snapshot == shifted, "raw/, which has another history, is not read again"
    ((_, outcome),) = [pair for pair in alarms.told(Settings()) if pair[0]["id"] == raised[0].id]
    assert outcome["decision"] in ("promoted", "refused", "skipped")
    assert (made.trained is None) == (outcome["decision"] == "skipped")
    assert outcome["model_version"]


def test_a_failed_run_that_an_alarm_started_closes_it_too(world):
    with pytest.raises(DataError):
        retrain("/nowhere", reason="x", alarm="abc")
    newest = sorted((world / "alarms").glob("*.json"))[-1]
    outcome = json.loads(newest.read_text())
    assert (outcome["alarm"], outcome["decision"]) == ("abc", "failed")
    assert "/nowhere" in outcome["reason"]
