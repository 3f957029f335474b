"""Prefect, MLflow and the journal on one PostgreSQL that is restarted during a run; two workers at once."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest
import yaml
from alembic import command
from test_journal import NOW, ORIGIN, batch, entry, reference

from benchmarks.loop import MAKE, PORTS, REPOSITORY
from rossmann import journal, registry
from rossmann.data import list_snapshots, load_snapshot
from rossmann.journal import OPERATIONAL, QUESTION, Journal, prune, write_entries
from rossmann.journal.tables import alembic_config, connect
from rossmann.registry import Registry
from rossmann.schema import HORIZON_DAYS
from rossmann.simulation import write_sample
from rossmann.workspace import Workspace
from tests.support.cluster import free_ports, kill_all, processes_of, wait
from tests.support.stores import Postgres

pytestmark = pytest.mark.timeout(600)

STORES, DAYS = 8, 450
SETTINGS = {
    "ROSSMANN_FOLDS": "2",
    "ROSSMANN_CANDIDATES": "ridge",
    "ROSSMANN_PROMOTION_PROBABILITY": "0.01",  # ridge is not much better with so few stores
    "ROSSMANN_SLICE_MARGIN": "9",
}
# Names of the deployments by flow.
DEPLOYMENTS = {
    each["entrypoint"].split(":")[1]: each["name"]
    for each in yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
}
FINAL_STATES = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
RUN_TIMEOUT_S, DATABASE_TIMEOUT_S = 300, 60

DEPLOYMENTS = {"retrain": "retrain-weekly", "forecast": "forecast-daily", "monitor": "monitor-daily"}


@dataclass(frozen=True)
class Stack:
    """Prefect's server and two workers of the local stack, on a database."""

    workspace: Workspace
    database: Postgres
    api: str  # URL of Prefect's API

    def create_run(self, flow: str) -> str:
        """Create a run of a deployment, as the UI does; returns its id."""
        deployment = self._call("GET", f"deployments/name/{flow}/{DEPLOYMENTS[flow]}")["id"]
        return self._call("POST", f"deployments/{deployment}/create_flow_run", {"state": {"type": "SCHEDULED"}})["id"]

    def state(self, run: str) -> str:
        """The type of the run's state, for example RUNNING."""
        return self._call("GET", f"flow_runs/{run}")["state_type"]

    def final_states(self, *runs: str) -> list[str]:
        """Wait until all runs have ended; returns their states."""
        wait(lambda: all(self.state(run) in FINAL_STATES for run in runs), RUN_TIMEOUT_S)
        return [self.state(run) for run in runs]

    def runs(self, flow: str) -> list[dict]:
        """Every run of a flow, also as part of another flow's run."""
        return self._call("POST", "flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})

    def is_idle(self) -> bool:
        """Whether every run has ended."""
        not_ended = {"flow_runs": {"state": {"type": {"not_any_": sorted(FINAL_STATES)}}}}
        return self._call("POST", "flow_runs/filter", not_ended) == []

    def _call(self, method: str, path: str, body: dict | None = None) -> dict | list:
        """Call Prefect's API, again for up to DATABASE_TIMEOUT_S while the server has no database."""
        deadline = time.monotonic() + DATABASE_TIMEOUT_S
        while True:
            try:
                response = httpx.request(method, f"{self.api}/{path}", json=body, timeout=30, trust_env=False)
                if response.is_success or time.monotonic() > deadline:
                    return response.raise_for_status().json()
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with Postgres("prefect", "mlflow", "journal", "endpoint", "old", "queries") as running:
        yield running


@pytest.fixture(scope="module")
def stack(database, tmp_path_factory) -> Iterator[Stack]:
    """Started by `make up`; only addresses and SETTINGS differ."""
    folder = tmp_path_factory.mktemp("postgres")
    workspace = Workspace(str(folder / "workspace"))
    write_sample(workspace.raw, STORES, DAYS, seed=3)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    make = [*MAKE.split(), "WORKERS=2", "PROCESSES=server worker", *(f"{name}={port}" for name, port in ports.items())]
    prefixes = ("MAKE", "RAY_", "PREFECT_", "ROSSMANN_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | SETTINGS
    environment |= {
        "ROSSMANN_DATA_DIR": workspace.root,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.url("prefect", "+asyncpg"),
        "ROSSMANN_MLFLOW_TRACKING_URI": database.url("mlflow"),
        "ROSSMANN_JOURNAL_URL": database.url("journal"),
    }
    with (folder / "up.log").open("w") as log:
        options = {"env": environment, "cwd": REPOSITORY, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        up = psutil.Popen([*make, "up"], start_new_session=True, **options)
        try:
            running = Stack(workspace, database, f"http://127.0.0.1:{ports['PREFECT_PORT']}/api")
            wait(lambda: _is_healthy(running.api), 120)
            subprocess.run([*make, "deploy"], check=True, **options)
            yield running
        finally:
            kill_all(processes_of(Path(workspace.root)))
            up.wait(20)
            sys.stdout.write((folder / "up.log").read_text())


def _is_healthy(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def model_registry(stack) -> Registry:
    return Registry(stack.database.url("mlflow"), stack.workspace.models)


@pytest.fixture(scope="module")
def retrain_states(stack, model_registry) -> list[str]:
    """Final states of two retrainings that were created at once, with the database restarted while they ran."""
    model_registry.ensure_model()  # makes the tables, as MLflow's server does when it starts
    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(lambda _: stack.create_run("retrain"), range(2)))
    wait(lambda: any(stack.state(run) == "RUNNING" for run in runs), RUN_TIMEOUT_S)
    for _ in range(6):
        stack.database.stop()
        stack.database.start()
        time.sleep(8)
        if all(stack.state(run) in FINAL_STATES for run in runs):
            break
    return stack.final_states(*runs)


@pytest.mark.slow
def test_several_processes_may_migrate_and_write_at_once(database):
    url = database.url("endpoint")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(write_entries, [(url, [entry(f"r{k}", rows=5)]) for k in range(6)])
    write_entries(url, [entry("r0", rows=5)])
    assert database.read("endpoint", "select count(*) from requests") == [(6,)]
    assert database.read("endpoint", "select count(*) from forecasts") == [(30,)]


@pytest.mark.slow
def test_a_journal_of_version_0_2_is_upgraded_with_its_rows(database):
    url = database.url("old")
    engine = connect(url)
    with engine.connect() as connection:
        command.upgrade(alembic_config(connection), "0003")
        for name, source in (("batch-1", "batch"), ("a", "http")):
            connection.exec_driver_sql(
                f"INSERT INTO requests VALUES ('{name}', '2015-02-10 12:00', '{source}', 3, 'f', '2015-02-09', 1, 1.5)"
            )
            connection.exec_driver_sql(
                f"INSERT INTO forecasts VALUES ('{name}', 0, 1, '2015-02-10', 1, 9, 8, NULL, true, false, 'a', false)"
            )
        connection.commit()
    engine.dispose()
    (day,) = journal.read_forecasts(url, date(2015, 2, 1), date(2015, 2, 28))
    assert day.request_id.tolist() == ["batch-1"]
    assert database.read("old", "select id, purpose from requests order by id") == [
        ("a", "question"), ("batch-1", "operational"),
    ]  # fmt: skip
    name = "restaurants beside a railway station"
    key = {"date": date(2015, 2, 10), "source": "batch", "model_version": 1, "slice": "attribute", "value": name}
    sums = dict.fromkeys([column.name for column in journal.accuracy.columns if column.name not in key], 1)
    journal.append_rows(url, journal.accuracy, pd.DataFrame([key | sums]))
    assert database.read("old", "select value from accuracy") == [(name,)]


@pytest.mark.slow
def test_postgresql_answers_what_sqlite_answers(database, tmp_path):
    """Several origins, batches, references, and requests of two days."""
    entries = [batch(), reference("a", [1, 2, 5]), reference("b", [5, 0])]
    for number in range(20):
        operational = OPERATIONAL if number % 3 else QUESTION
        other = entry(f"r{number}", rows=1 + number % 4, at=NOW + timedelta(hours=2 * number), sales=50.0 + number)
        entries.append(replace(other, purpose=operational, latency_ms=number**1.5, origin=ORIGIN - number % 5))
    answers = []
    for url in (database.url("queries"), f"sqlite:///{tmp_path}/journal.db"):
        write_entries(url, entries)
        days = date(2015, 2, 1), date(2015, 2, 20)
        tables = [
            pd.concat(journal.read_forecasts(url, *days)).sort_values(["request_id", "store"], ignore_index=True),
            journal.read_newest_forecasts(url, *days).sort_values(["date", "store"], ignore_index=True),
            journal.daily_traffic(url, *days).sort_values(["date", "source"], ignore_index=True),
            journal.read_answer(url, "a"),
            journal.read_newest_forecasts(url, *days, stores=[1, 3]),
            _overrides(url).drop(columns="id"),
        ]
        answers.append((tables, journal.count_old(url, NOW + timedelta(hours=9)), prune(url, NOW + timedelta(hours=9))))
    (fast, *counts), (slow, *other_counts) = answers
    assert counts == other_counts
    for one, other in zip(fast, slow, strict=True):
        assert len(one)
        pd.testing.assert_frame_equal(one, other, check_dtype=False)


def _overrides(url: str) -> pd.DataFrame:
    """A journal's overrides after one was added and withdrawn, and one that is old was deleted."""
    forecast = {"forecast": 5.5, "model_version": 3, "origin": ORIGIN.item()}
    signature = {"reason": "fair", "planner": "Ana", "at": NOW}
    row = {"store": 1, "label": "Ä", "date": date(2015, 2, 12), "amount": 7.25, **forecast, **signature}
    old = {"at": NOW - timedelta(days=9), "date": date(2015, 2, 2)}
    journal.add_overrides(url, pd.DataFrame([row, row | {"amount": None, "label": None}, row | old]))
    assert journal.count_old_overrides(url, NOW) == journal.prune_overrides(url, NOW) == 1
    return journal.read_overrides(url, date(2015, 1, 1), date.max, stores=[1])


@pytest.mark.slow
def test_a_restarted_database_loses_no_journal_entry(database, tmp_path):
    writer = Journal(database.url("endpoint"), tmp_path)
    with ThreadPoolExecutor(1) as thread:
        restarts = thread.submit(lambda: [action() for action in (database.stop, database.start) * 2])
        count = 0
        while not restarts.done():
            writer.write(entry(f"http-{count}", rows=2))
            count += 1
            time.sleep(0.01)
        restarts.result()
    writer.close(30)
    health = writer.health()
    assert health.failures > 0
    assert (health.pending_rows, health.lost_rows, health.written_rows) == (0, 0, 2 * count)
    assert database.read("endpoint", "select count(*) from requests where id like 'http-%'") == [(count,)]
    assert database.read("endpoint", "select count(*) from forecasts where request_id like 'http-%'") == [(2 * count,)]


@pytest.mark.proof
def test_of_two_retrainings_at_once_one_is_cancelled_and_the_other_completes_or_can_be_repeated(stack, retrain_states):
    states = Counter(retrain_states)
    assert states["CANCELLED"] == 1
    if not states["COMPLETED"]:
        sys.stdout.write(f"{retrain_states}")
        assert stack.final_states(stack.create_run("retrain")) == ["COMPLETED"]


@pytest.mark.proof
def test_restarts_of_the_database_lose_and_double_nothing(stack, retrain_states, model_registry):
    (model,) = registry.list_models(model_registry)
    assert set(model.aliases) == {"challenger", "champion"}
    (promotion,) = registry.ledger(model_registry)
    assert (promotion.action, promotion.version, promotion.done) == ("promote", model.version, True)
    registry.load_forecaster(model_registry, model)
    (snapshot,) = list_snapshots(stack.workspace.snapshots)
    assert load_snapshot(stack.workspace.snapshots).fingerprint == snapshot.fingerprint == model.card.snapshot
    forecast_runs = [run for run in stack.runs("forecast") if run["state_type"] == "COMPLETED"]
    wait(stack.is_idle, RUN_TIMEOUT_S)
    row_count = STORES * HORIZON_DAYS
    requests = stack.database.read("journal", "select id, rows, batch from requests where batch <> id")
    (stored,) = {batch for _, _, batch in requests}
    assert stored.startswith(f"published-{model.version}-{snapshot.fingerprint}-")
    assert sorted(requests) == sorted((f"batch-{run['id']}", row_count, stored) for run in forecast_runs)
    assert stack.database.read("journal", "select count(*) from forecasts") == [(row_count,)], "stored once"


@pytest.mark.proof
def test_two_flows_run_at_once_and_each_run_is_taken_by_one_worker(stack, retrain_states):
    ids = [stack.create_run("forecast"), stack.create_run("monitor")]
    assert stack.final_states(*ids) == ["COMPLETED"] * 2
    runs = [run for flow in ("forecast", "monitor") for run in stack.runs(flow) if run["id"] in ids]
    assert max(run["start_time"] for run in runs) < min(run["end_time"] for run in runs)
    assert [run["run_count"] for run in runs] == [1, 1]
    assert stack.database.read("journal", f"select count(*) from requests where id = 'batch-{ids[0]}'") == [(1,)]
