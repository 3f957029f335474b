"""What `rossmann sweep` deletes, and what stays however old it is."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from flows import retention, training_report
from flows.cli.main import main
from flows.retention import ALARMS, BACKTESTS, FITS, OVERRIDES, REPORTS, REQUESTS, SNAPSHOTS
from flows.sweep import sweep
from rossmann import alarms as alarm_files
from rossmann import data, evaluation, journal, registry
from rossmann.alarms import Alarm, DriftDetected, EndpointFailed, RetrainingOutcome, list_alarms
from rossmann.data import SalesHistory
from rossmann.evaluation import BacktestRun, Verdict
from rossmann.journal import QUESTION, ForecastRows, JournalEntry
from rossmann.journal.tables import read_table
from rossmann.models import Forecast
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.training import FITS_FOLDER, save_backtest_run
from rossmann.validation import DataError
from tests.support.endpoint import fit_on_whole_history, register

NOW = datetime.now(UTC)
OLD, YOUNG = NOW - timedelta(days=1000), NOW - timedelta(days=10)
REFUSED = Verdict(False, ("not better",), ())


def save_snapshot(history: SalesHistory, days_back: int, created: datetime) -> str:
    root = Settings().workspace.snapshots
    return data.save_snapshot(history.until(history.origin - days_back), root, created, "test")


def store_alarm(event: Alarm | RetrainingOutcome) -> None:
    content = json.dumps({"event": event.event, **event.model_dump(mode="json")})
    Storage(Settings().workspace.alarms).write(alarm_files._file_name(event), content.encode())


def drift(alarm_id: str, snapshot: str, at: datetime) -> DriftDetected:
    return DriftDetected(id=alarm_id, at=at, reason="r", snapshot=snapshot, kind="target", name="n", subject="s",
                         effect=1.0, limit=0.5, reference="r", report="x")  # fmt: skip


def store_backtest_run(history: SalesHistory, key: str, modified: datetime) -> None:
    fold = evaluation.cut_fold(history, history.origin - 48, 48)
    rows = evaluation.backtest_rows("median", fold, fold.actuals.sales)
    storage = Storage(Settings().workspace.backtests)
    save_backtest_run(BacktestRun(key, evaluation.Backtest(rows), {}, {}, {}), storage)
    set_modified(Path(storage.address(key)), modified)


def store_fit(name: str, modified: datetime) -> None:
    path = Path(Storage(Settings().workspace.backtests).subfolder(FITS_FOLDER).write(name, b"x" * 1000))
    os.utime(path, (modified.timestamp(),) * 2)


def store_report(key: str, modified: datetime) -> None:
    path = training_report.folder(Settings()).write(training_report.file_name("2015-07-31", key), b"<html/>")
    os.utime(path, (modified.timestamp(),) * 2)


def set_modified(folder: Path, modified: datetime) -> None:
    for path in folder.iterdir():
        os.utime(path, (modified.timestamp(),) * 2)


def request(request_id: str, at: datetime, history: SalesHistory) -> JournalEntry:
    plan = history.plan(history.origin, 1)
    sales = np.ones(len(plan))
    rows = ForecastRows(plan, Forecast(sales, sales, sales, sales), None)
    return JournalEntry(request_id, at, "http", QUESTION, 1, "f" * 16, history.origin, 1.0, rows)


def override(planner: str, at: datetime) -> dict[str, object]:
    forecast = {"forecast": 1.0, "model_version": 1, "origin": at.date()}
    signature = {"planner": planner, "reason": "r", "at": at}
    return {"store": 1, "label": None, "date": at.date(), "amount": 2.0, **forecast, **signature}


@pytest.fixture
def workspace(noisy, tmp_path, new_mlflow_database, monkeypatch):
    """One old thing in use, one old thing that is not, and one young thing, of each kind."""
    new_mlflow_database(tmp_path)
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
    settings = Settings()
    names = {
        "unused": save_snapshot(noisy, 9, OLD), "of the champion": save_snapshot(noisy, 8, OLD),
        "of a refused challenger": save_snapshot(noisy, 7, OLD), "of an open alarm": save_snapshot(noisy, 6, OLD),
        "of a closed alarm": save_snapshot(noisy, 5, OLD), "young": save_snapshot(noisy, 4, YOUNG),
        "current": save_snapshot(noisy, 3, OLD),
    }  # fmt: skip
    models = registry.Registry(settings.mlflow_address, settings.workspace.models)
    forecaster = fit_on_whole_history(noisy, "median", 7)
    register(models, forecaster, noisy, names["unused"], "run-unused")
    champion = register(models, forecaster, noisy, names["of the champion"], "run-champion")
    registry.promote(models, champion, Verdict(True, ("better",), ()), None)
    refused = register(models, forecaster, noisy, names["of a refused challenger"], "run-refused")
    registry.record_refusal(models, refused, REFUSED)
    for key in ("run-unused", "run-champion", "run-refused"):
        store_backtest_run(noisy, key, OLD)
        store_report(key, OLD)
    store_backtest_run(noisy, "run-young", YOUNG)
    store_report("run-young", YOUNG)
    for name, modified in (("old.npz", OLD), ("older.npz", OLD - timedelta(days=1)), ("young.npz", YOUNG)):
        store_fit(name, modified)
    for each in (drift("open", names["of an open alarm"], OLD), drift("closed", names["of a closed alarm"], OLD),
                 EndpointFailed(id="endpoint", at=OLD, reason="r", url="u"), drift("young", "x", YOUNG),
                 RetrainingOutcome(alarm_id="closed", at=OLD, started=OLD, decision="refused", reason="r",
                                   model_version=None)):  # fmt: skip
        store_alarm(each)
    journal.write_entries(settings.journal_address, [request("old", OLD, noisy), request("young", YOUNG, noisy)])
    journal.add_overrides(settings.journal_address, pd.DataFrame([override("old", OLD), override("young", YOUNG)]))
    return names


def contents(settings: Settings) -> dict[str, set[str]]:
    """What a workspace has, by kind."""
    root, backtests = settings.workspace, Storage(settings.workspace.backtests)
    return {
        SNAPSHOTS: {each.fingerprint for each in data.list_snapshots(root.snapshots)},
        FITS: set(backtests.subfolder(FITS_FOLDER).file_names()),
        BACKTESTS: set(backtests.folders()) - {FITS_FOLDER},
        REPORTS: {training_report.backtest_run_of(name) for name in training_report.folder(settings).file_names()},
        ALARMS: {record.alarm.id for record in list_alarms(settings.workspace.alarms)},
        REQUESTS: set(read_table(settings.journal_address, sa.select(journal.requests.c.id)).id),
        OVERRIDES: set(read_table(settings.journal_address, sa.select(journal.overrides.c.planner)).planner),
    }


def test_what_is_old_and_unused_is_deleted_and_all_else_stays(workspace):
    settings = Settings()
    retention.delete(settings, retention.find_expired(settings, NOW), NOW)
    assert contents(settings) == {
        SNAPSHOTS: set(workspace.values()) - {workspace["unused"], workspace["of a closed alarm"]},
        FITS: {"young.npz"},
        BACKTESTS: {"run-champion", "run-refused", "run-young"},
        REPORTS: {"run-champion", "run-refused", "run-young"},
        ALARMS: {"open", "young"},
        REQUESTS: {"young"},
        OVERRIDES: {"young"},
    }
    for fingerprint in contents(settings)[SNAPSHOTS]:
        assert data.load_snapshot(settings.workspace.snapshots, fingerprint)
    assert not Path(Storage(settings.workspace.snapshots).address(workspace["unused"])).exists()
    assert retention.find_expired(settings, NOW) == []


def test_a_dry_run_lists_all_of_it_with_sizes_and_deletes_nothing(workspace, monkeypatch, capsys):
    settings = Settings()
    before = contents(settings)
    monkeypatch.setattr(sys, "argv", ["rossmann", "sweep", "--dry-run", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    listed = json.loads(capsys.readouterr().out)
    assert contents(settings) == before
    sizes = {(each["kind"], each["name"]): each["size"] for each in listed}
    folder = Path(Storage(settings.workspace.snapshots).address(workspace["unused"]))
    assert sizes[SNAPSHOTS, workspace["unused"]] == sum(path.stat().st_size for path in folder.iterdir())
    assert [(each["count"], each["size"]) for each in listed if each["kind"] == FITS] == [(2, 2000)]
    assert [each["count"] for each in listed if each["kind"] in (REQUESTS, OVERRIDES)] == [1, 1]
    assert len(sizes) == len(listed) == 2 + 1 + 1 + 1 + 2 + 1 + 1


@pytest.mark.parametrize("name", ["journal", "snapshot", "fit", "backtest", "alarm"])
def test_each_retention_is_a_setting(workspace, monkeypatch, name):
    kinds = {"snapshot": {SNAPSHOTS}, "fit": {FITS}, "backtest": {BACKTESTS, REPORTS}, "alarm": {ALARMS}}
    kinds |= {"journal": {REQUESTS, OVERRIDES}}
    monkeypatch.setenv(f"ROSSMANN_{name.upper()}_RETENTION_DAYS", "2000")
    expired_kinds = {each.kind for each in retention.find_expired(Settings(), NOW)}
    assert expired_kinds == set.union(*kinds.values()) - kinds[name]


def test_the_current_snapshot_cannot_be_deleted(workspace):
    with pytest.raises(DataError, match="is the current snapshot"):
        data.remove_snapshot(Settings().workspace.snapshots, workspace["current"])


def test_a_snapshot_that_is_deleted_in_part_is_no_snapshot(workspace):
    """As after a kill in the middle: the manifest goes first."""
    root = Settings().workspace.snapshots
    Storage(root).subfolder(workspace["unused"]).delete_if_exists("manifest.json")
    assert workspace["unused"] not in {each.fingerprint for each in data.list_snapshots(root)}


def test_a_file_that_is_being_written_stays(workspace):
    folder = Path(Storage(Settings().workspace.snapshots).address(workspace["unused"]))
    (folder / "days.parquet.0a.unfinished").write_bytes(b"half")
    data.remove_snapshot(Settings().workspace.snapshots, workspace["unused"])
    assert [path.name for path in folder.iterdir()] == ["days.parquet.0a.unfinished"]


@pytest.mark.slow
def test_the_flow_deletes_what_the_dry_run_listed(workspace, prefect_server):
    expired = retention.find_expired(Settings(), NOW)
    assert sweep() == expired
    assert retention.find_expired(Settings(), datetime.now(UTC)) == []
