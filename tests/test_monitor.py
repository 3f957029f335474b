"""Monitoring and retraining on a small workspace: days are scored once, wrong data start no training, alarms close."""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from prefect import flow, get_client
from prefect.artifacts import Artifact
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed, Failed, Running

from flows import alarms, endpoint, run_checks
from flows.alarms import publish
from flows.cli.main import main
from flows.ingest import ingest
from flows.monitor import monitor, raise_alarms
from flows.monitor_alarms import new_system_alarms
from flows.retrain import retrain
from rossmann import data, journal, registry
from rossmann.alarms import (
    AlarmRecord,
    CheckOutcome,
    DataRejected,
    DriftDetected,
    EndpointFailed,
    FlowFailed,
    PerformanceDegraded,
    RetrainingOutcome,
    file_names,
    ids_to_answer,
    list_alarms,
    store,
)
from rossmann.data import Calendar
from rossmann.registry import Registry
from rossmann.schema import CALENDAR_COLUMNS
from rossmann.settings import Settings
from rossmann.simulation import write_replay_files, write_sample
from rossmann.validation import DataError, ValidationError

pytestmark = pytest.mark.slow

STORES, DAYS = 30, 640
LAST = date(2013, 1, 1) + timedelta(days=DAYS - 1)
WEEK_BEFORE = LAST - timedelta(days=7)
RIDGE = ["ridge"]
DASHBOARD = "http://dashboard"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, prefect_server, local_ray, new_mlflow_database):
    """A workspace with a champion whose forecasts of the last week are in the journal, and faulty raw files."""
    home = tmp_path_factory.mktemp("workspace")
    raw = str(write_sample(home / "raw", STORES, DAYS, seed=3))
    since = str(WEEK_BEFORE + timedelta(days=1))
    write_replay_files(raw, str(home / "shifted"), None, "concept_shift", since)
    write_replay_files(raw, str(home / "frozen"), None, "traffic_frozen", since)
    new_mlflow_database(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROSSMANN_DATA_DIR", str(home))
        patch.setenv("ROSSMANN_FOLDS", "2")
        patch.setenv("ROSSMANN_DASHBOARD_URL", DASHBOARD)
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
    (record,) = (each for each in list_alarms(Settings().workspace.alarms) if each.alarm.id == alarm_id)
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


def test_a_retraining_that_finds_the_champion_again_changes_nothing_and_says_so(workspace):
    """It is the first test, before there are data of another week."""
    alarm = DataRejected(reason="a test", raw="here")
    publish(Settings(), alarm)
    result = retrain(as_of=WEEK_BEFORE, candidates=RIDGE, alarm_id=alarm.id, raw=str(workspace / "raw"))
    outcome = record_of(alarm.id).outcome
    assert (outcome.decision, outcome.model_version) == ("unchanged", result.training.challenger)
    assert "champion already" in outcome.reason


def test_forecasts_are_scored_as_the_journal_has_them(workspace, clean_week):
    forecasts = pd.concat(journal.read_forecasts(Settings().journal_address, WEEK_BEFORE, LAST))
    raw = pd.read_csv(workspace / "raw/train.csv", parse_dates=["Date"], dtype={"StateHoliday": str})
    rows = forecasts.merge(raw, left_on=["store", "date"], right_on=["Store", "Date"])
    rows = rows[rows.Sales > 0]
    expected = np.sqrt(np.mean((rows.forecast / rows.Sales - 1) ** 2))
    assert clean_week.performance.rmspe == pytest.approx(expected)
    assert clean_week.performance.expected_rmspe < clean_week.performance.baseline_rmspe * 1.5
    assert not clean_week.performance.degraded
    assert set(read_table("accuracy").source) == {"batch", "baseline"}


def test_a_clean_week_raises_no_alarm(clean_week):
    assert clean_week.drift.alarm_findings == ()
    assert clean_week.alarms == ()
    artifact = Artifact.get("monitoring").data
    assert artifact.startswith("# No alarm; ")
    assert (
        "| slice | value | rows | WAPE | expected WAPE | RMSPE | expected RMSPE | MAE | bias | in bounds |" in artifact
    )
    assert re.search(r"\n\| store \| rows \| WAPE .*\n.*\n\| \d+ \| \d+ \| \d+\.\d% \| .* \| [\d,]+ \| [+-]", artifact)
    assert f"[dashboard]({DASHBOARD}/alarms)" in artifact
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
    assert "traffic_frozen" in alarm.reason
    result = retrain(str(workspace / "frozen"), LAST, candidates=RIDGE, reason=alarm.reason, alarm_id=alarm.id)
    assert result.training is None
    record = record_of(alarm.id)
    assert record.alarm == alarm
    assert record.outcome.decision == "skipped"
    assert record.outcome.reason == result.decision.reason
    assert "traffic_frozen" in record.outcome.reason
    assert "traffic_frozen" in run_command(monkeypatch, capsys, "alarms")


def test_raw_files_that_are_refused_raise_an_alarm(workspace, tmp_path):
    bad = pd.read_csv(workspace / "raw/train.csv", dtype=str).assign(Sales="-5")
    for name in ("store.csv", "test.csv"):
        (tmp_path / name).write_bytes((workspace / "raw" / name).read_bytes())
    bad.to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(ValidationError):
        ingest(str(tmp_path))
    newest = list_alarms(Settings().workspace.alarms)[0].alarm
    assert isinstance(newest, DataRejected)
    assert newest.raw == str(tmp_path)
    assert str(workspace / "reports/validation") in newest.reason


def test_a_folder_without_tables_raises_an_alarm_too(workspace, tmp_path):
    with pytest.raises(DataError):
        ingest(str(tmp_path))
    (workspace / "alarms/.DS_Store").write_bytes(b"not an alarm")
    newest = list_alarms(Settings().workspace.alarms)[0].alarm
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
    records = list_alarms(Settings().workspace.alarms)
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
    ids = ids_to_answer(list_alarms(settings.workspace.alarms), later, None, None)
    assert degraded.id in ids
    assert rejected.id not in ids
    outcome = RetrainingOutcome(
        alarm_id=degraded.id, started=later, decision="skipped", reason="over", model_version=None
    )
    publish(settings, outcome)
    assert record_of(degraded.id) == AlarmRecord(degraded, outcome)
    assert degraded.id not in ids_to_answer(list_alarms(settings.workspace.alarms), later, None, None)


def test_an_alarm_file_with_an_unknown_event_is_named_in_the_error(workspace):
    file = workspace / "alarms/2000-01-01T00-00-00-000000_abc.json"
    file.write_text(json.dumps({"event": "rossmann.drift.detected", "id": "abc"}))
    try:
        with pytest.raises(DataError, match=r"abc\.json: no alarm is called rossmann\.drift\.detected"):
            list_alarms(Settings().workspace.alarms)
    finally:
        file.unlink()


def test_a_degradation_is_raised_once_per_snapshot(workspace, clean_week):
    worse, (first, second, *_) = (
        replace(clean_week.performance, wape=1.0, weeks_beyond_limit=3),
        snapshot_fingerprints(),
    )
    raised = [raise_alarms.fn(each, worse, clean_week.drift) for each in (first, first, second)]
    snapshots = [[each.snapshot for each in alarms if isinstance(each, PerformanceDegraded)] for alarms in raised]
    assert snapshots == [[first], [], [second]]


def test_an_alarm_about_wrong_data_is_over_once_they_are_right_and_open_again_with_the_wrong_snapshot(clean_week):
    right = clean_week.drift
    wrong = replace(right, findings=tuple(
        replace(each, effect=2 * each.limit, alarm=True) if each.name == "store_out_of_scale" else each
        for each in right.findings
    ))  # fmt: skip
    (alarm,) = raise_alarms.fn("wrong", None, wrong)
    assert record_of(alarm.id).is_open
    assert raise_alarms.fn("right", None, right) == []
    assert record_of(alarm.id).is_over
    raise_alarms.fn("wrong", None, wrong)
    assert record_of(alarm.id).outcome.decision == "open again"
    assert raise_alarms.fn("wrong", None, wrong) == [], "nothing rings twice"
    names = file_names(Settings().workspace.alarms, alarm.id)
    counts = [alarms.read_dispatch(Settings(), name).count for name in names]
    assert counts == [1, 1, 1], "the alarm, its end, and that it is open again were sent"


def test_a_persistent_system_problem_is_raised_once_a_day(workspace, clean_week, monkeypatch):
    monkeypatch.setenv("ROSSMANN_SERVE_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("ROSSMANN_HTTP_PORT", "9")
    (alarm,) = current = endpoint.check_endpoint(Settings()).alarms
    assert isinstance(alarm, EndpointFailed)
    record = AlarmRecord(alarm, None)
    assert new_system_alarms(current, [], alarm.at) == [alarm]
    assert new_system_alarms(current, [record], alarm.at + timedelta(hours=19)) == []
    assert new_system_alarms(current, [record], alarm.at + timedelta(days=1)) == [alarm]
    over = AlarmRecord(alarm, CheckOutcome(alarm_id=alarm.id, decision="over", reason="it serves"))
    assert new_system_alarms(current, [over], alarm.at + timedelta(hours=1)) == [alarm], "it has failed once more"


def test_a_failed_run_of_a_deployment_is_raised_once_with_its_cause_and_no_other_run(workspace, clean_week):
    @flow
    def by_hand():
        raise DataError("whoever started this run sees it")

    with pytest.raises(DataError):
        by_hand()
    with get_client(sync_client=True) as client:
        weekly = client.create_flow_from_name("weekly")
        for name, tag in (("weekly", Settings().workspace.tag), ("foreign", "workspace:elsewhere")):
            run = client.create_flow_run_from_deployment(client.create_deployment(weekly, name, tags=[tag]))
            client.set_flow_run_state(run.id, Failed(message=f"the plan {name} cannot be used:\n  line 3"), force=True)
    (alarm,) = current = run_checks.failed_runs(Settings()).alarms
    assert isinstance(alarm, FlowFailed)
    assert re.fullmatch(r"weekly \([\w-]+\) failed: the plan weekly cannot be used: line 3", alarm.reason)
    assert new_system_alarms(current, [AlarmRecord(alarm, None)], alarm.at + timedelta(days=7)) == []
    store(Settings().workspace.alarms, alarm)
    assert run_checks.failed_runs(Settings()).passed == {}
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("weekly/weekly")
        client.set_flow_run_state(UUID(alarm.run), Running(), force=True)
        assert run_checks.failed_runs(Settings()).passed == {}, "it is being repeated"
        client.set_flow_run_state(UUID(alarm.run), Failed(), force=True)
        repeated = client.create_flow_run_from_deployment(deployment.id)
        client.set_flow_run_state(repeated.id, Completed(), force=True)
    assert run_checks.failed_runs(Settings()).passed == {alarm.cause: f"{repeated.name} has completed"}


def test_a_shift_raises_drift_once_and_a_retraining_closes_it(workspace, clean_week):
    ingest(str(workspace / "shifted"), LAST)
    (alarm,) = drift_alarms_of(monitor().alarms)
    assert alarm.name == "concept_shift"
    assert alarm.effect > alarm.limit
    title, _, first_line = Artifact.get("monitoring").data.splitlines()[:3]
    assert re.match(r"# New alarms: \d, raised before: 0; ", title)
    assert first_line == f"- **{alarm.event}**: {alarm.reason}"
    assert drift_alarms_of(monitor().alarms) == [], "it was raised already"
    assert f"raised before, still beyond its limit: **{alarm.name}**" in Artifact.get("monitoring").data
    shifted = data.current_snapshot(Settings().workspace.snapshots)
    result = retrain(candidates=RIDGE, reason=alarm.reason, alarm_id=alarm.id)
    assert result.snapshot == shifted, "the workspace's raw files, which have another history, are not read"
    outcome = record_of(alarm.id).outcome
    assert outcome.decision in ("promoted", "refused", "skipped")
    assert (result.training is None) == (outcome.decision == "skipped")
    assert outcome.model_version


def test_the_accuracy_of_wrong_data_is_corrected_after_they_are_mended(workspace, clean_week):
    def accuracy_of(raw: str) -> pd.DataFrame:
        """The accuracy table after a look at other files of the same days."""
        ingest(str(workspace / raw), LAST)
        monitor()
        table = read_table("accuracy")
        return table.sort_values([column.name for column in journal.accuracy.primary_key], ignore_index=True)

    clean = accuracy_of("raw")
    wrong = accuracy_of("shifted")
    assert (wrong.sales != clean.sales).any()
    pd.testing.assert_frame_equal(accuracy_of("raw"), clean)


def test_monitor_and_retraining_end_after_half_of_the_stores_and_two_weeks_are_gone(workspace, clean_week, tmp_path):
    settings = Settings()
    before = data.current_snapshot(settings.workspace.snapshots)
    history = data.load_snapshot(settings.workspace.snapshots, before).until(np.datetime64(LAST) - 15)
    half = np.arange(STORES) % 2 == 0
    panels = {name: getattr(history.calendar, name)[half] for name in CALENDAR_COLUMNS}
    shrunk = replace(
        history,
        stores=history.stores.at(half),
        calendar=Calendar(history.calendar.dates, **panels),
        sales=history.sales[half],
        traffic=history.traffic[half],
    )
    data.save_snapshot(shrunk, settings.workspace.snapshots, datetime.now(UTC), "a truncated file")
    try:
        assert monitor().drift.last_day == shrunk.origin
        result = retrain(candidates=RIDGE, reason="an alarm", alarm_id="shrunk")
        assert result.snapshot == shrunk.fingerprint
    finally:
        data.restore_snapshot(settings.workspace.snapshots, before)


def test_a_failed_run_says_so_in_the_alarm_that_started_it(workspace):
    """It stays open: the next monitoring run sends it again."""
    with pytest.raises(DataError):
        retrain("/nowhere", reason="x", alarm_id="abc")
    newest = sorted((workspace / "alarms").glob("*.json"))[-1]
    outcome = json.loads(newest.read_text())
    assert (outcome["alarm_id"], outcome["decision"]) == ("abc", "failed")
    assert "/nowhere" in outcome["reason"]


def events_of(name: str) -> list[dict]:
    """The events of a name that the Prefect server has, with their payload."""
    with get_client(sync_client=True) as client:
        response = client.request("POST", "/events/filter", json={"filter": {"event": {"name": [name]}}})
    return response.json()["events"]


def test_a_report_that_cannot_be_written_and_a_registry_that_is_away_hold_back_no_alarm(
    workspace, clean_week, tmp_path, monkeypatch
):
    """The run fails after it has raised the alarm, which is not raised again once all of it works again."""
    home = tmp_path / "home"
    shutil.copytree(workspace, home)
    for folder in ("alarms", "reports/monitoring"):
        shutil.rmtree(home / folder, ignore_errors=True)
    (home / "reports/monitoring").write_text("a file where the folder should be")
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(home))
    ingest(str(home / "frozen"), LAST)
    with monkeypatch.context() as registry_away:
        registry_away.setenv("ROSSMANN_SERVE_ADDRESS", "http://127.0.0.1:9")
        registry_away.setenv("ROSSMANN_MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db/away.db")
        with pytest.raises(Exception, match=r".") as failure:
            monitor()
    parts = " ".join(failure.value.__notes__)
    assert all(part in parts for part in ("find_champion", "check_endpoint", "write_report"))
    records = list_alarms(Settings().workspace.alarms)
    (reason,) = (each.alarm.reason for each in records if isinstance(each.alarm, DataRejected))
    assert "traffic_frozen" in reason
    (home / "reports/monitoring").unlink()
    assert monitor().alarms == (), "a fault is raised once per snapshot"
    assert list_alarms(Settings().workspace.alarms) == records


def test_an_alarm_of_a_run_that_was_killed_before_it_sent_the_event_is_sent_once(workspace, clean_week):
    alarm = DataRejected(reason="stored and not sent", raw="a folder", name="killed")
    store(Settings().workspace.alarms, alarm)
    for _ in range(2):
        monitor()
        publish(Settings(), alarm)
    sent = [each for each in events_of(alarm.event) if each["payload"]["id"] == alarm.id]
    assert len(sent) == 1


def test_an_event_that_prefect_did_not_accept_is_sent_by_the_next_run(workspace, clean_week):
    alarm = DataRejected(reason="Prefect is away", raw="a folder", name="away")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        publish(Settings(), alarm)
    assert record_of(alarm.id).alarm == alarm
    assert [each for each in events_of(alarm.event) if each["payload"]["id"] == alarm.id] == []
    monitor()
    assert len([each for each in events_of(alarm.event) if each["payload"]["id"] == alarm.id]) == 1


def test_an_open_alarm_is_sent_again_after_the_cool_down_unless_a_retraining_runs(workspace, clean_week):
    settings = Settings()
    alarm = DriftDetected(
        reason="r", snapshot="s", kind="k", name="open", subject="s", effect=2, limit=1, reference="r", report="p"
    )
    publish(settings, alarm)

    def make_older() -> None:
        """Let the alarm's event be sent an hour ago."""
        name = store(settings.workspace.alarms, alarm)
        dispatch = alarms.read_dispatch(settings, name)
        older = dispatch.model_copy(update={"at": dispatch.at - timedelta(hours=1)})
        (workspace / "alarms/dispatches" / name).write_text(older.model_dump_json())

    def look_again() -> int:
        """Events of the alarm after a monitoring run."""
        monitor()
        return len([each for each in events_of(alarm.event) if each["payload"]["id"] == alarm.id])

    assert look_again() == 1, "the trigger ignores it within the cool-down"
    make_older()
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("retrain")
        deployment = client.create_deployment(flow_id, "weekly", tags=[settings.workspace.tag])
        run = client.create_flow_run_from_deployment(deployment, state=Running())
        assert look_again() == 1, "a retraining runs"
        client.set_flow_run_state(run.id, Failed(), force=True)
    assert look_again() == 2
    publish(settings, RetrainingOutcome(
        alarm_id=alarm.id, started=alarm.at, decision="failed", reason="out of memory", model_version=None
    ))  # fmt: skip
    make_older()
    assert look_again() == 3, "a failed retraining has not answered it"
    publish(settings, RetrainingOutcome(
        alarm_id=alarm.id, started=alarm.at, decision="refused", reason="no better", model_version=None
    ))  # fmt: skip
    make_older()
    assert look_again() == 3
