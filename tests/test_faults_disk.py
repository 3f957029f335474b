"""A disk that is full, fills up during a run, or is read-only: one sentence with the path, and nothing half-written."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.workspace import MIN_FREE_BYTES
from rossmann import registry
from rossmann.data import current_snapshot, load_snapshot
from rossmann.registry import Registry
from rossmann.storage import UNFINISHED
from tests.support.commands import run_command, trained_workspace

pytestmark = pytest.mark.proof

DISK_BYTES = 2 * MIN_FREE_BYTES
# Another sample is another chain, which lacks sales that the one before has.
WRITING_COMMANDS = ("sample --force --seed 8", "ingest --allow-shrink", "train", "release", "forecast",
                    "retrain --allow-shrink", "monitor", "snapshots restore {snapshot}")  # fmt: skip


@dataclass(frozen=True)
class Disk:
    """A file system of DISK_BYTES of its own, with a data folder in which one retraining has run."""

    root: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte is free in the block."""
        self.fill()
        try:
            yield
        finally:
            (self.root / "filler").unlink()

    def fill(self) -> None:
        with suppress(OSError), (self.root / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """A read-only view of the same files; a file system with open files cannot become read-only itself."""
        root = str(self.root)
        subprocess.run(["mount", "--bind", root, root], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
            yield
        finally:
            subprocess.run(["umount", root], check=True)

    def unfinished_files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.name.endswith(UNFINISHED)]


@pytest.fixture(scope="module")
def disk(tmp_path_factory, prefect_server, local_ray, new_mlflow_database) -> Iterator[Disk]:
    disk = Disk(tmp_path_factory.mktemp("disk"))
    trial = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk.root)],
                           capture_output=True, text=True)  # fmt: skip
    if trial.returncode:
        pytest.skip(f"a file system cannot be mounted here: {trial.stderr.strip()}")
    try:
        with trained_workspace(disk.root, new_mlflow_database):
            yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk.root)], check=True)


@pytest.fixture
def rossmann(disk, monkeypatch, capsys) -> Callable[[str], tuple[int, str]]:
    """Runs `rossmann` in this process; returns its exit code and what it writes to stderr."""
    return lambda command: run_command(command, disk.root, monkeypatch, capsys)


@pytest.mark.parametrize("command", WRITING_COMMANDS)
def test_on_a_full_disk_a_command_names_the_path_and_the_same_command_succeeds_afterwards(disk, rossmann, command):
    with disk.full():
        code, message = rossmann(command)
    assert (code, len(message.splitlines())) == (2, 1), message
    assert message.startswith(str(disk.root))
    assert message.endswith("; free some space and run this again\n")
    assert disk.unfinished_files() == []
    assert rossmann(command)[0] == 0


@pytest.mark.parametrize("command", [*WRITING_COMMANDS, "models", "models rollback"])
def test_on_a_read_only_disk_a_command_names_the_path(disk, rossmann, command):
    with disk.read_only():
        code, message = rossmann(command)
    assert (code, len(message.splitlines())) == (2, 1), message
    assert message.startswith(str(disk.root))
    assert "make it writable" in message


@pytest.mark.parametrize("command", ["snapshots", "alarms"])
def test_a_read_only_disk_can_be_listed(disk, rossmann, command):
    with disk.read_only():
        assert rossmann(command)[0] == 0


def test_a_disk_that_fills_up_during_a_retraining_leaves_a_valid_workspace(disk, rossmann):
    """New raw files, and a disk that is full as soon as their validation report is written."""
    rossmann("sample --force --seed 4")
    reports = disk.root / "reports/validation"
    before = len(list(reports.iterdir()))
    full = threading.Thread(target=_fill_when, args=(disk, lambda: len(list(reports.iterdir())) > before))
    full.start()
    code, message = rossmann("retrain --allow-shrink")
    full.join()
    (disk.root / "filler").unlink()
    assert code == 2
    assert "Traceback" not in message
    assert message.splitlines()[-1].startswith(str(disk.root)), message
    assert disk.unfinished_files() == []
    load_snapshot(f"{disk.root}/snapshots", current_snapshot(f"{disk.root}/snapshots"))
    assert rossmann("retrain --allow-shrink")[0] == 0
    assert running_mlflow_runs(disk) == []


def _fill_when(disk: Disk, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    disk.fill()


def running_mlflow_runs(disk: Disk) -> list[str]:
    models = Registry(f"sqlite:///{disk.root}/mlflow.db", f"{disk.root}/models")
    experiment = models.experiment(registry.BACKTESTS)
    return [run.info.run_id for run in models.client.search_runs([experiment], "attributes.status = 'RUNNING'")]
