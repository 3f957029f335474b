"""The closed loop on the whole stack: one week of drifted data, then no further action. Prints the delay of each step.

Usage: python -m benchmarks.loop [RAW [STORES]]   raw files; default: a sample chain of 60 stores
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pandas as pd
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from rossmann.alarms import RetrainingOutcome
from rossmann.data.kaggle.columns import RAW_PLAN_COLUMNS
from rossmann.simulation import write_replay_files, write_sample
from tests.support.cluster import free_ports, kill_all, processes_of, wait

REPOSITORY = Path(__file__).parents[1]
PORTS = ("PREFECT_PORT", "MLFLOW_PORT", "RAY_DASHBOARD_PORT", "RAY_CLIENT_PORT", "ROSSMANN_HTTP_PORT", "DASHBOARD_PORT")
MAKE = "make --assume-old=.venv/installed-from-lock"
FAULT, WEEK = "concept_shift", pd.Timedelta(days=7)
FIRST_CANDIDATES = '["ridge"]'  # so that another candidate can win later
SETTINGS = {"ROSSMANN_PROMOTION_PROBABILITY": "0.5", "ROSSMANN_FOLDS": "2"}  # for a short demonstration only
FLOW_TIMEOUT_S = 600


@dataclass(frozen=True)
class Stack:
    """A running `make up`."""

    workspace: Path
    ports: dict[str, int]
    environment: dict[str, str]

    def run(self, command: str) -> str:
        """Run a command as in another terminal and return its output; RuntimeError if it fails."""
        ports = " ".join(f"{name}={port}" for name, port in self.ports.items())
        line = f'eval "$(make -s env {ports} ROSSMANN_DATA_DIR={self.workspace})" && {command}'
        result = subprocess.run(
            ["sh", "-c", line], cwd=REPOSITORY, env=self.environment, text=True, capture_output=True
        )
        if result.returncode:
            raise RuntimeError(f"{command}: {result.stdout}{result.stderr}")
        return result.stdout

    def get(self, port: str, path: str) -> httpx.Response | None:
        """The response of a server; None if it is an error, or if nothing responds."""
        try:
            response = httpx.get(f"http://127.0.0.1:{self.ports[port]}/{path}", timeout=10, trust_env=False)
        except httpx.HTTPError:
            return None
        return response if response.is_success else None

    def served_version(self) -> int | None:
        """The model version that the endpoint has loaded; None if it is not ready."""
        response = self.get("ROSSMANN_HTTP_PORT", "ready")
        return response.json()["model_version"] if response else None

    def alarms(self) -> list[dict]:
        """Alarms and their outcomes, oldest first."""
        return [json.loads(file.read_text()) for file in sorted((self.workspace / "alarms").glob("*.json"))]

    def outcome(self) -> dict | None:
        """The outcome of a retraining; None until there is one."""
        return next((alarm for alarm in self.alarms() if alarm["event"] == RetrainingOutcome.event), None)


def main() -> None:
    """Print the steps."""
    with tempfile.TemporaryDirectory() as folder:
        raw = sys.argv[1] if len(sys.argv) > 1 else str(write_sample(f"{folder}/sample", 60))
        stores = int(sys.argv[2]) if len(sys.argv) > 2 else None
        steps, outcome = loop(Path(folder) / "workspace", raw, stores)
    table = Table("step", "seconds after the files arrived", box=box.SIMPLE_HEAD)
    for step, seconds in steps:
        table.add_row(step, f"{seconds:.1f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    sys.stdout.write(f"{outcome['decision']}: {outcome['reason']}\n")


def loop(workspace: Path, raw: str, stores: int | None, **settings: str) -> tuple[list[tuple[str, float]], dict]:
    """(step, seconds after the week's files arrived) of each step, and the outcome of the alarm."""
    last = pd.Timestamp(pd.read_csv(f"{raw}/train.csv", usecols=["Date"], dtype=str).Date.max())
    fault_start = f"{last - WEEK + pd.Timedelta(days=1):%Y-%m-%d}"
    files = write_replay_files(raw, str(workspace.parent / "staged"), stores, FAULT, fault_start)
    with running_stack(workspace, SETTINGS | settings) as stack:
        first_version = train_first_champion(stack, files, last - WEEK)
        write_files_until(files, workspace / "raw", last)
        started = datetime.now(UTC)
        stack.run("prefect deployment run ingest/ingest-raw-files")
        wait(lambda: stack.outcome() is not None, FLOW_TIMEOUT_S)
        outcome = stack.outcome()
        if outcome["decision"] == "promoted":
            wait(lambda: stack.served_version() not in (None, first_version), 60)
        served = datetime.now(UTC)
    (alarm,) = (alarm for alarm in stack.alarms() if alarm.get("id") == outcome["alarm_id"])
    times = [
        (f"alarm: {alarm['event']}, {alarm.get('name', '')}", alarm["at"]),
        ("the automation's run of retrain has started", outcome["started"]),
        (f"verdict: {outcome['decision']}", outcome["at"]),
        (f"version {outcome['model_version']} is served over HTTP", served.isoformat()),
    ]
    return [(step, (datetime.fromisoformat(at) - started).total_seconds()) for step, at in times], outcome


def train_first_champion(stack: Stack, files: str, until: pd.Timestamp) -> int:
    """Deploy the flows, train on the history until a day, and return the version that is then served."""
    wait(lambda: stack.get("PREFECT_PORT", "api/health") is not None, 120)
    stack.run(f"{MAKE} deploy")
    write_files_until(files, stack.workspace / "raw", until)
    stack.run(f"prefect deployment run retrain/retrain-weekly --watch -p candidates={shlex.quote(FIRST_CANDIDATES)}")
    wait(lambda: stack.served_version() is not None, FLOW_TIMEOUT_S)
    return stack.served_version()


def write_files_until(files: str, raw: Path, until: pd.Timestamp) -> None:
    """The raw files as at the end of `until`: train.csv up to that day, and the days after it in test.csv."""
    raw.mkdir(parents=True, exist_ok=True)
    days = pd.read_csv(f"{files}/train.csv", dtype=str, keep_default_na=False)
    is_past = days.Date <= f"{until:%Y-%m-%d}"
    days[is_past].to_csv(raw / "train.csv", index=False)
    (raw / "store.csv").write_bytes(Path(files, "store.csv").read_bytes())
    coming = [days[~is_past]]
    if Path(files, "test.csv").exists():
        coming.append(pd.read_csv(f"{files}/test.csv", dtype=str, keep_default_na=False))
    pd.concat(coming)[list(RAW_PLAN_COLUMNS)].to_csv(raw / "test.csv", index=False)


@contextmanager
def running_stack(workspace: Path, settings: dict[str, str]) -> Iterator[Stack]:
    """`make up` on free ports; at the end every process of it is killed."""
    environment = terminal_environment() | settings
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace.parent / "up.log").open("w") as log:
        variables = [*(f"{name}={port}" for name, port in ports.items()), f"ROSSMANN_DATA_DIR={workspace}"]
        make = psutil.Popen([*MAKE.split(), "up", *variables], cwd=REPOSITORY, env=environment,
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        try:
            yield Stack(workspace, ports, environment)
        finally:
            os.killpg(make.pid, signal.SIGINT)
            psutil.wait_procs([make], timeout=30)
            time.sleep(1)
            kill_all([*processes_of(workspace), make])
            make.wait(10)


def terminal_environment() -> dict[str, str]:
    """The environment of a new terminal; the stack has its own telemetry settings and its own Ray token."""
    prefixes = ("MAKE", "RAY_", "PREFECT_", "ROSSMANN_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


if __name__ == "__main__":
    main()
