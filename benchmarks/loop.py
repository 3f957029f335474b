"""The closed loop, for real: the whole stack, a drifted week, nobody who does anything. Prints the delay of each hop.

Usage: python -m benchmarks.loop [RAW [STORES]]   raw files; default: a sample world of 60 stores
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

from benchmarks.cluster import free_ports, of_world, wait
from rossmann import monitoring
from rossmann.sample import write_world

REPOSITORY = Path(__file__).parents[1]
PORTS = ("PREFECT_PORT", "MLFLOW_PORT", "RAY_DASHBOARD_PORT", "RAY_CLIENT_PORT", "ROSSMANN_HTTP_PORT")
MAKE = "make --assume-old=.venv/installed-from-lock"
FAULT, WEEK = "concept_shift", pd.Timedelta(days=7)
PLAN = ["Store", "DayOfWeek", "Date", "Open", "Promo", "StateHoliday", "SchoolHoliday"]
FIRST_CANDIDATES = '["ridge"]'  # so that what wins later is another
TERMS = {"ROSSMANN_PROMOTE_PROBABILITY": "0.5", "ROSSMANN_FOLDS": "2"}  # a demonstration, not a policy
PATIENCE_S = 600


@dataclass(frozen=True)
class Stack:
    """A running `make up`."""

    world: Path
    ports: dict[str, int]
    environment: dict[str, str]

    def typed(self, command: str) -> str:
        """What another terminal shows."""
        said = " ".join(f"{name}={port}" for name, port in self.ports.items())
        line = f'eval "$(make -s env {said} ROSSMANN_DATA_DIR={self.world})" && {command}'
        done = subprocess.run(["sh", "-c", line], cwd=REPOSITORY, env=self.environment, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def answers(self, port: str, path: str) -> dict | None:
        """JSON of a server; None while it does not answer well."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.ports[port]}/{path}", timeout=10, trust_env=False)
            return {"content": answer.json()} if answer.is_success else None
        except (httpx.HTTPError, ValueError):
            return None

    def serving(self) -> int | None:
        """The version that answers over HTTP."""
        said = self.answers("ROSSMANN_HTTP_PORT", "ready")
        return said["content"]["model_version"] if said else None

    def told(self) -> list[dict]:
        """Alarms and outcomes, oldest first."""
        return [json.loads(file.read_text()) for file in sorted((self.world / "alarms").glob("*.json"))]


def main() -> None:
    """Prints the hops."""
    with tempfile.TemporaryDirectory() as folder:
        raw = sys.argv[1] if len(sys.argv) > 1 else str(write_world(f"{folder}/sample", 60))
        hops, outcome = loop(Path(folder) / "world", raw, int(sys.argv[2]) if len(sys.argv) > 2 else None)
    table = Table("what happened by itself", "seconds after the files came", box=box.SIMPLE_HEAD)
    for what, seconds in hops:
        table.add_row(what, f"{seconds:.1f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    sys.stdout.write(f"{outcome['decision']}: {outcome['reason']}\n")


def loop(world: Path, raw: str, stores: int | None, **terms: str) -> tuple[list[tuple[str, float]], dict]:
    """(what, seconds after the week's files were handed in), and the outcome of the alarm. `terms`: more settings."""
    last = pd.read_csv(f"{raw}/train.csv", usecols=["Date"], dtype=str).Date.max()
    before = pd.Timestamp(last) - WEEK
    staged = monitoring.stage(
        raw, str(world.parent / "staged"), stores, FAULT, f"{before + pd.Timedelta(days=1):%Y-%m-%d}"
    )
    with up(world, TERMS | terms) as stack:
        wait(lambda: stack.answers("PREFECT_PORT", "api/health") is not None, 120)
        stack.typed(f"{MAKE} deploy")
        reveal(staged, world / "raw", before)
        stack.typed(f"prefect deployment run retrain/rossmann --watch -p candidates={shlex.quote(FIRST_CANDIDATES)}")
        wait(lambda: stack.serving() is not None, PATIENCE_S)
        first = stack.serving()
        reveal(staged, world / "raw", pd.Timestamp(last))
        started = datetime.now(UTC)
        stack.typed("prefect deployment run ingest/rossmann")
        wait(lambda: any("decision" in each for each in stack.told()), PATIENCE_S)
        outcome = next(each for each in stack.told() if "decision" in each)
        if outcome["decision"] == "promoted":
            wait(lambda: stack.serving() not in (None, first), 60)
        answered = datetime.now(UTC)
    (alarm,) = (each for each in stack.told() if each.get("id") == outcome["alarm"])
    moments = [
        (f"alarm: {alarm['event']}, {alarm.get('name', '')}", alarm["at"]),
        ("the automation's run of retrain has started", outcome["started"]),
        (f"verdict: {outcome['decision']}", outcome["at"]),
        (f"version {outcome['model_version']} answers over HTTP", answered.isoformat()),
    ]
    return [(what, (datetime.fromisoformat(at) - started).total_seconds()) for what, at in moments], outcome


def reveal(staged: str, raw: Path, until: pd.Timestamp) -> None:
    """The files as they are on the evening of `until`: the days up to it, and the plan of the days after it."""
    raw.mkdir(parents=True, exist_ok=True)
    days = pd.read_csv(f"{staged}/train.csv", dtype=str, keep_default_na=False)
    known = days.Date <= f"{until:%Y-%m-%d}"
    days[known].to_csv(raw / "train.csv", index=False)
    (raw / "store.csv").write_bytes(Path(staged, "store.csv").read_bytes())
    later = [days[~known]]
    if Path(staged, "test.csv").exists():
        later.append(pd.read_csv(f"{staged}/test.csv", dtype=str, keep_default_na=False))
    pd.concat(later)[PLAN].to_csv(raw / "test.csv", index=False)


@contextmanager
def up(world: Path, terms: dict[str, str]) -> Iterator[Stack]:
    """`make up` on free ports, with settings of its own; every process of it is gone afterwards."""
    environment = terminal() | terms
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    said = [f"{name}={port}" for name, port in ports.items()]
    world.mkdir(parents=True, exist_ok=True)
    with (world.parent / "up.log").open("w") as log:
        command = [*MAKE.split(), "up", *said, f"ROSSMANN_DATA_DIR={world}"]
        make = psutil.Popen(command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                            start_new_session=True)  # fmt: skip
        try:
            yield Stack(world, ports, environment)
        finally:
            os.killpg(make.pid, signal.SIGINT)
            psutil.wait_procs([make], timeout=30)
            time.sleep(1)
            for process in of_world(world):
                process.kill()


def terminal() -> dict[str, str]:
    """As a person's terminal has it; telemetry and Ray's token are the stack's own."""
    own = ("MAKE", "RAY_", "PREFECT_", "ROSSMANN_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


if __name__ == "__main__":
    main()
