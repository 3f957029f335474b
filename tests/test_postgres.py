"""Prefect, MLflow and the journal on one PostgreSQL that is lost in the middle; two workers at once."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from stores import Postgres
from test_journal import entry

from benchmarks.cluster import free_ports, of_world, wait
from benchmarks.loop import MAKE, PORTS, REPOSITORY
from rossmann import registry
from rossmann.data import list_snapshots, load_snapshot
from rossmann.journal import Journal, record
from rossmann.registry import Registry
from rossmann.sample import write_world
from rossmann.storage import Storage

pytestmark = pytest.mark.timeout(600)

STORES, DAYS, HORIZON = 8, 450, 48
TERMS = {
    "ROSSMANN_FOLDS": "2",
    "ROSSMANN_CANDIDATES": "ridge",
    "ROSSMANN_PROMOTE_PROBABILITY": "0.01",  # so few stores teach ridge little
    "ROSSMANN_SLICE_MARGIN": "9",
}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PATIENCE_S = 300


@dataclass(frozen=True)
class Stack:
    """The server and two workers of the Procfile, on a database."""

    world: Path
    database: Postgres
    api: str

    def asked(self, flow: str, **parameters: object) -> str:
        """Ask for a run of a deployment, as the UI does; its id."""
        deployment = self._call("GET", f"deployments/name/{flow}/rossmann")["id"]
        told = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
        return self._call("POST", f"deployments/{deployment}/create_flow_run", told)["id"]

    def state(self, run: str) -> str:
        return self._call("GET", f"flow_runs/{run}")["state_type"]

    def ended(self, *runs: str) -> list[str]:
        """The states in which they end."""
        wait(lambda: all(self.state(run) in ENDED for run in runs), PATIENCE_S)
        return [self.state(run) for run in runs]

    def runs(self, flow: str) -> list[dict]:
        """Every run of a flow, also inside others."""
        return self._call("POST", "flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})

    def idle(self) -> bool:
        waiting = {"flow_runs": {"state": {"type": {"not_any_": sorted(ENDED)}}}}
        return self._call("POST", "flow_runs/filter", waiting) == []

    def _call(self, method: str, path: str, told: dict | None = None) -> dict | list:
        """Patient with a server whose database is away."""
        until = time.monotonic() + 60
        while True:
            try:
                answer = httpx.request(method, f"{self.api}/{path}", json=told, timeout=30, trust_env=False)
                if answer.is_success or time.monotonic() > until:
                    return answer.raise_for_status().json()
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.5)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with Postgres("prefect", "mlflow", "journal", "desk") as running:
        yield running


@pytest.fixture(scope="module")
def stack(database, tmp_path_factory) -> Iterator[Stack]:
    """As `make up` starts them, with nothing changed but addresses."""
    world = tmp_path_factory.mktemp("postgres") / "world"
    write_world(world / "raw", STORES, DAYS, seed=3)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    said = ["WORKERS=2", "PROCESSES=server worker", *(f"{name}={port}" for name, port in ports.items())]
    own = ("MAKE", "RAY_", "PREFECT_", "ROSSMANN_", "MLFLOW_")
    with (world.parent / "up.log").open("w") as log:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(own)} | TERMS
        environment |= {
            "ROSSMANN_DATA_DIR": str(world),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.url("prefect", "+asyncpg"),
            "ROSSMANN_MLFLOW_TRACKING_URI": database.url("mlflow"),
            "ROSSMANN_JOURNAL_URL": database.url("journal"),
        }
        terms = {"env": environment, "cwd": REPOSITORY, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}

        up = psutil.Popen([*MAKE.split(), *said, "up"], start_new_session=True, **terms)
        try:
            running = Stack(world, database, f"http://127.0.0.1:{ports['PREFECT_PORT']}/api")
            wait(lambda: _answers(running.api), 120)
            subprocess.run([*MAKE.split(), *said, "deploy"], check=True, **terms)
            yield running
        finally:
            for process in of_world(world):
                process.kill()
            up.wait(20)
            sys.stdout.write((world.parent / "up.log").read_text())


def _answers(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def known(stack) -> Registry:
    return Registry(stack.database.url("mlflow"), f"{stack.world}/models")


@pytest.fixture(scope="module")
def shaken(stack) -> list[str]:
    """Two retrainings asked at once, and the database lost again and again while they run; how they ended."""
    registry.versions(Registry(stack.database.url("mlflow"), ""))  # the tables are there, as MLflow's server makes them
    with ThreadPoolExecutor(2) as threads:
        asked = list(threads.map(lambda _: stack.asked("retrain"), range(2)))
    wait(lambda: any(stack.state(run) == "RUNNING" for run in asked), PATIENCE_S)
    for _ in range(6):
        stack.database.stop()
        stack.database.start()
        time.sleep(8)
        if all(stack.state(run) in ENDED for run in asked):
            break
    return stack.ended(*asked)


@pytest.mark.slow
def test_several_processes_may_migrate_and_write_at_once(database):
    url = database.url("desk")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(record, [(url, entry(f"r{k}", rows=5)) for k in range(6)])
    record(url, entry("r0", rows=5))
    assert database.read("desk", "select count(*) from requests") == [(6,)]
    assert database.read("desk", "select count(*) from forecasts") == [(30,)]


@pytest.mark.slow
def test_a_lost_database_costs_the_desk_no_entry(database, tmp_path):
    journal = Journal(database.url("desk"), Storage(str(tmp_path)))
    with ThreadPoolExecutor(1) as thread:
        losing = thread.submit(lambda: [act() for act in (database.stop, database.start) * 2])
        written = 0
        while not losing.done():
            journal.write(entry(f"desk-{written}", rows=2))
            written += 1
            time.sleep(0.01)
        losing.result()
    journal.close(30)
    health = journal.health()
    assert health.failures > 0
    assert (health.pending, health.lost, health.written) == (0, 0, 2 * written)
    assert database.read("desk", "select count(*) from requests where id like 'desk-%'") == [(written,)]
    assert database.read("desk", "select count(*) from forecasts where request_id like 'desk-%'") == [(2 * written,)]


@pytest.mark.proof
def test_of_two_retrainings_asked_at_once_one_is_cancelled_and_one_ends_or_can_be_repeated(stack, shaken):
    states = Counter(shaken)
    assert states["CANCELLED"] == 1
    if not states["COMPLETED"]:
        sys.stdout.write(f"{shaken}")
        assert stack.ended(stack.asked("retrain")) == ["COMPLETED"]


@pytest.mark.proof
def test_nothing_is_lost_or_doubled(stack, shaken, known):
    (version,) = registry.versions(known)
    assert set(version.aliases) == {"challenger", "champion"}
    (entry,) = registry.ledger(known)
    assert (entry.action, entry.version, entry.done) == ("promote", version.version, True)
    registry.load(known, version)
    (snapshot,) = list_snapshots(f"{stack.world}/snapshots")
    assert load_snapshot(f"{stack.world}/snapshots").fingerprint == snapshot.fingerprint == version.card.snapshot
    made = [run for run in stack.runs("forecast") if run["state_type"] == "COMPLETED"]
    wait(stack.idle, PATIENCE_S)
    requests = stack.database.read("journal", "select id, rows from requests")
    assert sorted(requests) == sorted((f"batch-{run['id']}", STORES * HORIZON) for run in made)
    assert stack.database.read("journal", "select count(*) from forecasts") == [(len(made) * STORES * HORIZON,)]


@pytest.mark.proof
def test_two_deployments_run_at_once_and_no_run_is_taken_by_both_workers(stack, shaken):
    asked = [stack.asked("forecast"), stack.asked("monitor")]
    assert stack.ended(*asked) == ["COMPLETED"] * 2
    runs = [run for flow in ("forecast", "monitor") for run in stack.runs(flow) if run["id"] in asked]
    assert max(run["start_time"] for run in runs) < min(run["end_time"] for run in runs)
    assert [run["run_count"] for run in runs] == [1, 1]
    assert stack.database.read("journal", f"select count(*) from requests where id = 'batch-{asked[0]}'") == [(1,)]
