"""The `rossmann` command in a small workspace: in this process, where its messages are read, or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from flows.cli.main import main
from flows.retrain import retrain
from rossmann.data import current_snapshot
from rossmann.simulation import write_sample

REPOSITORY = Path(__file__).parents[2]
STORES, DAYS = 8, 450
SETTINGS = {
    "ROSSMANN_FOLDS": "2",
    "ROSSMANN_CANDIDATES": "ridge",
    "ROSSMANN_PROMOTION_PROBABILITY": "0.01",  # with so few stores ridge is hardly better than the median
    "ROSSMANN_SLICE_MARGIN": "9",
}
IMPORTED = """
import sys
from flows.cli.main import main
sys.argv = ["rossmann", *sys.argv[1:]]
try:
    main()
finally:
    sys.stderr.write("imported: " + " ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""


@contextmanager
def trained_workspace(home: Path, new_mlflow_database: Callable[[Path], None]) -> Iterator[Path]:
    """A workspace in which one retraining has run. Its settings are in force in the block."""
    write_sample(home / "raw", STORES, DAYS, seed=3)
    new_mlflow_database(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)  # set by the endpoint that other tests share
        for name, value in (SETTINGS | {"ROSSMANN_DATA_DIR": str(home)}).items():
            patch.setenv(name, value)
        retrain()
        yield home


def run_command(
    command: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run a command in this process. Returns its exit code and stderr; {snapshot} is the current snapshot."""
    monkeypatch.setattr(sys, "argv", ["rossmann", *_words(command, home)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0, capsys.readouterr().err


def start_command(command: str, home: Path, **settings: str) -> subprocess.Popen:
    """Start a command in a process of its own, with this process's Prefect server."""
    environment = os.environ | settings | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *_words(command, home)],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def imported_packages(workspace: Path, *arguments: str) -> set[str]:
    """Top-level packages that a command imports, in a process of its own."""
    environment = {"ROSSMANN_DATA_DIR": str(workspace), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", IMPORTED, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split("imported: ")[1].split())


def _words(command: str, home: Path) -> list[str]:
    root = f"{home}/snapshots"
    return [current_snapshot(root) if word == "{snapshot}" else word for word in command.split()]
