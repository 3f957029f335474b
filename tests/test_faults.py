"""Faults of a workspace: damaged files, killed commands, two at once, a clock set back, servers that are away."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.alarms import publish
from rossmann import registry
from rossmann.alarms import RetrainingOutcome, StaleData, list_alarms
from rossmann.data import SalesHistory, current_snapshot, list_snapshots, load_snapshot, save_snapshot
from rossmann.registry import Registry
from rossmann.settings import Settings
from rossmann.simulation import write_sample
from tests.support.cluster import free_ports, wait
from tests.support.commands import DAYS, STORES, run_command, start_command, trained_workspace

pytestmark = pytest.mark.proof

COMMAND_TIMEOUT_S = 120
READERS = [  # a file, and a command that reads it
    ("snapshots/*/days.parquet", "forecast"),
    ("snapshots/*/plan.parquet", "forecast"),
    ("snapshots/*/stores.parquet", "forecast"),
    ("snapshots/*/manifest.json", "forecast"),
    ("snapshots/current", "forecast"),
    ("models/**/candidate.json", "forecast"),
    ("models/**/quantiles.npz", "forecast"),
    ("models/**/card.json", "forecast"),
    ("alarms/*.json", "alarms"),
]
DATABASES = [("mlflow.db", "models"), ("journal.db", "forecast")]
STAGES = ["ingest", "train", "release", "forecast", "monitor"]
TWICE = [  # `train` is a part of `retrain`
    "ingest", "release", "forecast", "monitor", "retrain", "snapshots restore {snapshot}", "models rollback",
]  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, prefect_server, local_ray, new_mlflow_database) -> Iterator[Path]:
    with trained_workspace(tmp_path_factory.mktemp("faults"), new_mlflow_database) as home:
        publish(Settings(), StaleData(reason="a drill", days=11))
        yield home


@pytest.fixture
def rossmann(workspace, monkeypatch, capsys) -> Callable[[str], tuple[int, str]]:
    """Runs `rossmann` in this process; returns its exit code and what it writes to stderr."""
    return lambda command: run_command(command, workspace, monkeypatch, capsys)


@contextmanager
def damaged(files: list[Path], position: float) -> Iterator[None]:
    """In the block, one byte of each file is another; `position` is its place as a share of the file."""
    contents = {file: file.read_bytes() for file in files}
    assert contents, "the pattern names no file"
    try:
        for file, content in contents.items():
            at = int(position * (len(content) - 1))
            file.write_bytes(content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :])
        yield
    finally:
        for file, content in contents.items():
            file.write_bytes(content)


def assert_valid(home: Path) -> None:
    """The current snapshot and the champion can be loaded, and the ledger's last promotion is the champion."""
    load_snapshot(f"{home}/snapshots", current_snapshot(f"{home}/snapshots"))
    models = Registry(f"sqlite:///{home}/mlflow.db", f"{home}/models")
    champion = registry.champion(models)
    registry.load_forecaster(models, champion)
    promotions = [entry for entry in registry.ledger(models) if entry.action == "promote" and entry.done]
    assert promotions[0].version == champion.version
    assert models.client.search_runs([models.experiment(registry.BACKTESTS)], "attributes.status = 'RUNNING'") == []


@pytest.mark.parametrize(("pattern", "command"), READERS)
def test_a_changed_byte_is_one_message_that_names_the_file(workspace, rossmann, pattern, command):
    with damaged(list(workspace.glob(pattern)), 0.5):
        code, message = rossmann(command)
    assert code == 2, "the damage went unnoticed"
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 3
    assert pattern.split("/")[-1].removeprefix("*") in message
    assert rossmann(command)[0] == 0


@pytest.mark.parametrize(("name", "command"), DATABASES)
def test_a_damaged_database_is_named(workspace, name, command):
    """SQLite notices a changed byte in its own structures; in the middle of a value it does not."""
    with damaged([workspace / name], 0.0):
        process = start_command(command, workspace)  # this process has pages of the database in memory
        _, message = process.communicate(timeout=COMMAND_TIMEOUT_S)
    assert process.returncode == 2, message
    assert f"{workspace}/{name} is damaged" in message.splitlines()[-1]


@pytest.mark.parametrize("name", ["backtest.parquet", "run.json"])
def test_a_damaged_backtest_run_is_named_or_computed_again(workspace, rossmann, name):
    with damaged(list((workspace / "backtests").glob(f"*/{name}")), 0.5):
        code, message = rossmann("train")
        assert (code == 2 and name in message and "Traceback" not in message) or code == 0, message
    assert rossmann("train")[0] == 0
    assert_valid(workspace)


def test_a_damaged_fit_is_computed_again(workspace, rossmann):
    """Without the finished run, which has the same forecasts, the fits are read."""
    for run in (workspace / "backtests").glob("*/run.json"):
        run.rename(run.with_suffix(".away"))
    with damaged(list((workspace / "backtests/fits").glob("*.npz")), 0.5):
        assert rossmann("train")[0] == 0
    assert_valid(workspace)


@pytest.mark.parametrize("command", STAGES)
def test_a_command_that_is_killed_while_it_writes_can_be_repeated(workspace, command):
    write_sample(workspace / "raw", STORES, DAYS + STAGES.index(command), seed=3, overwrite=True)
    settings = {"ROSSMANN_SEED": str(100 + STAGES.index(command))}
    started = time.time()
    process = start_command(command, workspace, **settings)
    wait(lambda: process.poll() is not None or is_written(workspace, started), COMMAND_TIMEOUT_S)
    process.kill()
    process.communicate()
    load_snapshot(f"{workspace}/snapshots", current_snapshot(f"{workspace}/snapshots"))
    repeated = start_command(command, workspace, **settings)
    _, message = repeated.communicate(timeout=COMMAND_TIMEOUT_S)
    assert repeated.returncode == 0, message
    assert_valid(workspace)


def is_written(home: Path, since: float) -> bool:
    """Whether a file of the workspace has changed since a moment."""
    return any(path.is_file() and path.stat().st_mtime > since for path in home.rglob("*"))


@pytest.mark.parametrize("command", TWICE)
def test_two_of_a_command_at_once_leave_a_valid_workspace(workspace, command):
    settings = {"ROSSMANN_SEED": str(200 + len(command))}
    processes = [start_command(command, workspace, **settings) for _ in range(2)]
    messages = [process.communicate(timeout=COMMAND_TIMEOUT_S)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) <= {0, 2}, messages
    assert not any("Traceback" in message for message in messages), messages
    assert 0 in codes or command == "models rollback", messages
    assert_valid(workspace)


def test_a_clock_that_is_set_back_changes_neither_the_current_snapshot_nor_an_outcome(
    workspace, noisy: SalesHistory, tmp_path, monkeypatch
):
    root, now = str(tmp_path / "snapshots"), datetime(2015, 8, 1, 12)
    older = save_snapshot(noisy.until(noisy.origin - 7), root, now, "raw")
    newer = save_snapshot(noisy, root, now - timedelta(days=1), "raw")
    assert current_snapshot(root) == newer
    assert {each.fingerprint: each.parent for each in list_snapshots(root)}[newer] == older
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    alarm, at = StaleData(reason="a drill", days=11), datetime.now(UTC) - timedelta(days=1)
    publish(Settings(), alarm)
    publish(Settings(), RetrainingOutcome(alarm_id=alarm.id, at=at, started=at, decision="failed", reason="r",
                                          model_version=None))  # fmt: skip
    assert [record.outcome.decision for record in list_alarms(Settings().workspace.alarms)] == ["failed"]


@pytest.mark.parametrize(
    ("variable", "address", "command"),
    [
        ("ROSSMANN_MLFLOW_TRACKING_URI", "http://127.0.0.1:{port}", "models"),
        ("ROSSMANN_JOURNAL_URL", "postgresql+psycopg://me:secret@127.0.0.1:{port}/journal", "forecast"),
    ],
)
def test_a_server_that_is_away_is_named(workspace, rossmann, monkeypatch, variable, address, command):
    """MLflow's client tries for four minutes; here it tries once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    shown = address.format(port=free_ports(1)[0])
    monkeypatch.setenv(variable, shown)
    code, message = rossmann(command)
    assert code == 2, message
    assert "does not respond" in message.splitlines()[-1]
    assert shown.split("@")[-1].removeprefix("http://") in message
    assert "secret" not in message


def test_a_prefect_server_that_is_away_is_named(rossmann, monkeypatch):
    address = f"http://127.0.0.1:{free_ports(1)[0]}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    code, message = rossmann("monitor")
    assert (code, len(message.splitlines())) == (2, 1), message
    assert f"there is no Prefect server at {address}" in message
