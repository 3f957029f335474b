"""Monitoring and retraining on a small workspace: days are scored once, wrong data start no training, alarms close."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from prefect import flow, get_client
from prefect.artifacts import Artifact
from prefect.states import Failed

from flows.alarms import (
    AlarmRecord,
    DataRejected,
    DriftDetected,
    EndpointFailed,
    FlowFailed,
    PerformanceDegraded,
    RetrainingOutcome,
    list_alarms,
    open_alarm_ids,
    publish,
)
from flows.cli.main import main
from flows.ingest import ingest
from flows.monitor import monitor, new_system_alarms, raise_alarms
from flows.retrain import retrain
from rossmann import data, journal, registry
from rossmann.evaluation import rmspe
from rossmann.registry import Registry
from rossmann.settings import Settings
from rossmann.simulation import write_replay_files, write_sample
from rossmann.validation import DataError, ValidationError

pytestmark = pytest.mark.slow

STORES, DAYS = 30, 640
LAST = date(2013, 1, 1) + timedelta(days=DAYS - 1)
WEEK_BEFORE = LAST - timedelta(days=7)
RIDGE = ["ridge"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, prefect_server, local_ray, new_mlflow_database):
    """A workspace with a champion whose forecasts of the last week are in the journal, and faulty raw files."""
    home = tmp_path_factory.mktemp("workspace")
    raw = str(write_sample(home / "raw", STORES, DAYS, seed=3))
    since = str(WEEK_BEFORE + timedelta(days=1))
    write_replay_files(raw, str(home / "shifted"), None, "concept_shift", since)
    write_replay_files(raw, str(home / "frozen"), None, "customers_frozen", since)
    new_mlflow_database(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROSSMANN_DATA_DIR", str(home))
        patch.setenv("ROSSMANN_FOLDS", "2")
        patch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
        ingest(as_of=WEEK_BEFORE)
        assert monitor().performance is None, "nothing has been forecast yet"
        assert retrain(as_of=WEEK_BEFORE, candidates=RIDGE).forecast
        yield home


@pytest.fixture(scope="module")
def clean_week(workspace):
    """The monitor's result after a week without a fault."""
    ingest(as_of=LAST)
    return monitor()


def snapshot_fingerprints() -> list[str]:
    return [each.fingerprint for each in data.list_snapshots(Settings().workspace.snapshots)]


def read_table(name: str) -> pd.DataFrame:
    return journal.read_rows(Settings().journal_address, getattr(journal, name), date(2013, 1, 1))


def record_of(alarm_id: str) -> AlarmRecord:
    (record,) = (each for each in list_alarms(Settings()) if each.alarm.id == alarm_id)
    return record


def drift_alarms_of(raised) -> list[DriftDetected]:
    return [each for each in raised if isinstance(each, DriftDetected)]


def run_command(monkeypatch, capsys, *arguments: str) -> str:
    """What `rossmann` prints to stdout."""
    monkeypatch.setattr("sys.argv", ["rossmann", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    return capsys.readouterr().out


def test_forecasts_are_scored_as_the_journal_has_them(workspace, clean_week):
    forecasts = pd.concat(journal.read_forecasts(Settings().journal_address, WEEK_BEFORE, LAST))
    raw = pd.read_csv(workspace / "raw/train.csv", parse_dates=["Date"], dtype={"StateHoliday": str})
    rows = forecasts.merge(raw, left_on=["store", "date"], right_on=["Store", "Date"])
    expected = rmspe(rows.Sales.to_numpy(float), rows.forecast.to_numpy())
    assert clean_week.performance.rmspe == pytest.approx(expected)
    assert clean_week.performance.expected_rmspe < clean_week.performance.baseline_rmspe * 1.5
    assert not clean_week.performance.degraded
    assert set(read_table("accuracy").source) == {"batch", "baseline"}


def test_a_clean_week_raises_no_alarm(clean_week):
    assert clean_week.drift.alarm_findings == ()
    assert clean_week.alarms == ()
    artifact = Artifact.get("monitoring").data
    assert "Worst stores" in artifact
    assert "Serve since its start: –" in artifact
    assert "alarms" in Path(clean_week.report).read_text()


def test_monitoring_again_changes_nothing(clean_week):
    rows = {name: len(read_table(name)) for name in ("accuracy", "drift_findings")}
    again = monitor()
    assert again.performance.rmspe == clean_week.performance.rmspe
    assert {name: len(read_table(name)) for name in rows} == rows


def test_the_monitor_command_prints_the_result_as_json_and_nothing_else(clean_week, monkeypatch, capsys):
    document = json.loads(run_command(monkeypatch, capsys, "monitor", "--json"))
    assert document["performance"]["rmspe"] == pytest.approx(clean_week.performance.rmspe)
    assert document["alarms"] == []
    assert len(document["drift"]["findings"]) == len(clean_week.drift.findings)


def test_without_new_data_there_is_no_training(clean_week):
    champion = registry.champion(Registry(Settings().mlflow_address, Settings().workspace.models))
    result = retrain(as_of=WEEK_BEFORE, candidates=RIDGE, reason="scheduled")
    assert result.training is None
    assert result.decision.reason == f"there are no new data since version {champion.version} was trained"
    assert result.forecast, "a fresh forecast costs seconds"


def test_wrong_data_start_no_training_and_the_alarm_is_closed_with_the_reason(
    workspace, clean_week, capsys, monkeypatch
):
    ingest(str(workspace / "frozen"), LAST)
    (alarm,) = monitor().alarms
    assert isinstance(alarm, DataRejected)
    assert "customers_frozen" in alarm.reason
    result = retrain(str(workspace / "frozen"), LAST, candidates=RIDGE, reason=alarm.reason, alarm_id=alarm.id)
    assert result.training is None
    record = record_of(alarm.id)
    assert record.alarm == alarm
    assert record.outcome.decision == "skipped"
    assert record.outcome.reason == result.decision.reason
    assert "customers_frozen" in record.outcome.reason
    assert "customers_frozen" in run_command(monkeypatch, capsys, "alarms")


def test_raw_files_that_are_refused_raise_an_alarm(workspace, tmp_path):
    bad = pd.read_csv(workspace / "raw/train.csv", dtype=str).assign(Sales="-5")
    for name in ("store.csv", "test.csv"):
        (tmp_path / name).write_bytes((workspace / "raw" / name).read_bytes())
    bad.to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(ValidationError):
        ingest(str(tmp_path))
    newest = list_alarms(Settings())[0].alarm
    assert isinstance(newest, DataRejected)
    assert newest.raw == str(tmp_path)
    assert str(workspace / "reports/validation") in newest.reason


def test_a_folder_without_tables_raises_an_alarm_too(workspace, tmp_path):
    with pytest.raises(DataError):
        ingest(str(tmp_path))
    (workspace / "alarms/.DS_Store").write_bytes(b"not an alarm")
    newest = list_alarms(Settings())[0].alarm
    assert isinstance(newest, DataRejected)
    assert newest.raw == str(tmp_path)


def test_a_reason_is_printed_without_markup_wrapping_or_truncation(workspace, capsys, monkeypatch):
    reason = f"no train.csv in [here] or x[/y], {'and so on ' * 30}"
    publish(Settings(), DataRejected(reason=reason, raw="x[/y]"))
    lines = run_command(monkeypatch, capsys, "alarms").splitlines()
    assert reason.strip() in [cell.strip() for cell in lines[1].split("\t")]
    assert all(line == line.rstrip() for line in lines), "no trailing blanks"


def test_the_alarms_command_prints_events_and_outcomes_as_json(workspace, capsys, monkeypatch):
    documents = json.loads(run_command(monkeypatch, capsys, "alarms", "--json"))
    records = list_alarms(Settings())
    assert [each["id"] for each in documents] == [each.alarm.id for each in records]
    assert [each["event"] for each in documents] == [each.alarm.event for each in records]
    assert [each["outcome"] is None for each in documents] == [each.outcome is None for each in records]


def test_only_alarms_that_start_a_retraining_are_open(workspace):
    settings = Settings()
    rejected = DataRejected(reason="a damaged file", raw="here")
    degraded = PerformanceDegraded(
        reason="worse", snapshot="s", model_version=1, wape=0.2, expected_wape=0.1, baseline_wape=0.15, wape_limit=0.1
    )
    for alarm in (rejected, degraded):
        publish(settings, alarm)
    later = degraded.at + timedelta(seconds=1)
    assert degraded.id in open_alarm_ids(settings, later)
    assert rejected.id not in open_alarm_ids(settings, later)
    assert degraded.id not in open_alarm_ids(settings, degraded.at)
    outcome = RetrainingOutcome(
        alarm_id=degraded.id, started=later, decision="skipped", reason="over", model_version=None
    )
    publish(settings, outcome)
    assert record_of(degraded.id) == AlarmRecord(degraded, outcome)
    assert degraded.id not in open_alarm_ids(settings, later)


def test_an_alarm_file_with_an_unknown_event_is_named_in_the_error(workspace):
    file = workspace / "alarms/2000-01-01T00-00-00-000000_abc.json"
    file.write_text(json.dumps({"event": "rossmann.drift.detected", "id": "abc"}))
    try:
        with pytest.raises(DataError, match=r"abc\.json: no alarm is called rossmann\.drift\.detected"):
            list_alarms(Settings())
    finally:
        file.unlink()


def test_a_degradation_is_raised_once_per_snapshot(workspace, clean_week):
    worse, (first, second, *_) = (
        replace(clean_week.performance, wape=1.0, weeks_beyond_limit=3),
        snapshot_fingerprints(),
    )
    raised = [raise_alarms.fn(each, worse, clean_week.drift, "a report") for each in (first, first, second)]
    snapshots = [[each.snapshot for each in alarms if isinstance(each, PerformanceDegraded)] for alarms in raised]
    assert snapshots == [[first], [], [second]]


def test_a_persistent_system_problem_is_raised_once_a_day(workspace, clean_week, monkeypatch):
    monkeypatch.setenv("ROSSMANN_SERVE_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("ROSSMANN_HTTP_PORT", "9")
    snapshot, settings = snapshot_fingerprints()[0], Settings()
    (alarm,) = new_system_alarms(settings, snapshot, [])
    assert isinstance(alarm, EndpointFailed)
    assert new_system_alarms(settings, snapshot, [alarm]) == []
    yesterday = alarm.model_copy(update={"at": alarm.at - timedelta(days=1)})
    assert [type(each) for each in new_system_alarms(settings, snapshot, [yesterday])] == [EndpointFailed]


def test_a_failed_run_of_a_deployment_is_raised_once_with_its_cause_and_a_run_by_hand_is_not(workspace, clean_week):
    @flow
    def by_hand():
        raise DataError("whoever started this run sees it")

    with pytest.raises(DataError):
        by_hand()
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow_from_name("weekly"), "weekly")
        run = client.create_flow_run_from_deployment(deployment)
        client.set_flow_run_state(run.id, Failed(message="the plan cannot be used:\n  line 3"), force=True)
    settings, snapshot = Settings(), snapshot_fingerprints()[0]
    (alarm,) = [each for each in new_system_alarms(settings, snapshot, []) if isinstance(each, FlowFailed)]
    assert alarm.reason == f"weekly ({run.name}) failed: the plan cannot be used: line 3"
    last_week = alarm.model_copy(update={"at": alarm.at - timedelta(days=7)})
    assert not [each for each in new_system_alarms(settings, snapshot, [last_week]) if isinstance(each, FlowFailed)]


def test_a_shift_raises_drift_once_and_a_retraining_closes_it(workspace, clean_week):
    ingest(str(workspace / "shifted"), LAST)
    (alarm,) = drift_alarms_of(monitor().alarms)
    assert alarm.name == "concept_shift"
    assert alarm.effect > alarm.limit
    assert drift_alarms_of(monitor().alarms) == [], "it was raised already"
    shifted = data.current_snapshot(Settings().workspace.snapshots)
    result = retrain(candidates=RIDGE, reason=alarm.reason, alarm_id=alarm.id)
    assert result.snapshot == shifted, "the workspace's raw files, which have another history, are not read"
    outcome = record_of(alarm.id).outcome
    assert outcome.decision in ("promoted", "refused", "skipped")
    assert (result.training is None) == (outcome.decision == "skipped")
    assert outcome.model_version


def test_a_failed_run_closes_the_alarm_that_started_it(workspace):
    with pytest.raises(DataError):
        retrain("/nowhere", reason="x", alarm_id="abc")
    newest = sorted((workspace / "alarms").glob("*.json"))[-1]
    outcome = json.loads(newest.read_text())
    assert (outcome["alarm_id"], outcome["decision"]) == ("abc", "failed")
    assert "/nowhere" in outcome["reason"]
