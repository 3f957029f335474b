"""What a replica costs: its modules and memory, and many rows on all cores."""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message

from rossmann import features, registry
from rossmann.data import Plan, save_snapshot
from rossmann.registry import Registry, fetch_forecaster
from rossmann.schema import HORIZON_DAYS
from rossmann.serving.server import blocks
from rossmann.serving.server.app import create_app
from rossmann.serving.server.blocks import BlockForecaster, blocks_of_stores
from rossmann.serving.server.cores import Cores
from rossmann.serving.server.requests import PlanRow, RequestRows
from rossmann.serving.server.usual_rows import read_usual_rows
from rossmann.serving.target import ServingTarget
from rossmann.validation import DataError
from tests.support.endpoint import fit_on_whole_history, promote, register, registry_of
from tests.test_serving import FIRST, LIMITS, loaded_model, running_host

MAX_MEMORY_MB = 400
UNWANTED = {"mlflow", "prefect", "matplotlib", "evidently", "streamlit", "pandera", "holidays"}
START = """
import asyncio, json, sys, psutil
from rossmann.serving.server.app import create_app
from rossmann.serving.server.replica import build_host
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings

host, limits = build_host(Settings())
asyncio.run(host.switch_to(ServingTarget(1)))
create_app(host, limits).openapi()
host.journal.close(5)
memory = psutil.Process().memory_info().rss / 1e6
print(json.dumps({"version": host.model.version, "modules": sorted(sys.modules), "memory_mb": memory}))
"""


@pytest.fixture(scope="module")
def workspace(noisy, tmp_path_factory, new_mlflow_database) -> Path:
    """A workspace with the noisy chain and a champion."""
    folder = tmp_path_factory.mktemp("workspace")
    new_mlflow_database(folder)
    snapshot = save_snapshot(noisy, f"{folder}/snapshots", datetime.now(UTC), "test")
    features.save_state(f"{folder}/snapshots", snapshot, features.fit_state(noisy))
    model_registry = registry_of(folder)
    version = register(model_registry, fit_on_whole_history(noisy, "blend", 7), noisy, snapshot, "first")
    promote(model_registry, version)
    return folder


def of_client(workspace: Path) -> Registry:
    """The registry by an address for which MLflow's client is needed, as for a server."""
    return Registry(f"sqlite+pysqlite:///{workspace}/mlflow.db", f"{workspace}/models")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_replica_needs_little_memory_and_no_module_of_others(workspace, scheme, monkeypatch):
    """The second address is one for which MLflow's client is needed."""
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(workspace))
    monkeypatch.setenv("ROSSMANN_MLFLOW_TRACKING_URI", f"{scheme}:///{workspace}/mlflow.db")
    result = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True, timeout=200)
    replica = json.loads(result.stdout.splitlines()[-1])
    assert replica["version"] == 1
    assert not UNWANTED & set(replica["modules"])
    assert replica["memory_mb"] < MAX_MEMORY_MB


@pytest.mark.slow
def test_a_version_that_another_process_fetches_is_the_same(workspace, noisy):
    """With the champion, with its number, and with a number that does not exist."""
    (model,) = registry.list_models(registry_of(workspace))
    expected = registry.load_forecaster(registry_of(workspace), model)
    state = features.fit_state(noisy)
    plan = noisy.plan(noisy.origin, HORIZON_DAYS)
    for address in (registry_of(workspace), of_client(workspace)):
        fetched, forecaster = fetch_forecaster(address, None)
        assert fetched == model
        assert forecaster.predict(state, plan).sales.tobytes() == expected.predict(state, plan).sales.tobytes()
        with pytest.raises(DataError, match="no model version 99"):
            fetch_forecaster(address, 99)


@pytest.fixture
def cores(tmp_path):
    return Cores(tmp_path)


def test_many_rows_in_blocks_have_the_numbers_of_all_at_once(noisy, cores, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_STORES", 3)
    forecaster, state = fit_on_whole_history(noisy, "blend", 7), features.fit_state(noisy)
    plan = noisy.plan(noisy.origin, HORIZON_DAYS)
    order = np.random.default_rng(3).permutation(len(plan))
    plan = Plan(**{name: values[order] for name, values in vars(plan).items()})
    expected, actual = forecaster.predict(state, plan), BlockForecaster(forecaster, cores).predict(state, plan)
    for name, values in vars(expected).items():
        assert getattr(actual, name).tobytes() == values.tobytes(), name


@pytest.mark.parametrize(("stores", "days"), [(1, 1), (1, 48), (7, 48), (300, 48), (5_000, 1), (100, 120)])
def test_a_store_is_in_one_block_and_every_row_in_some(stores, days):
    store = np.random.default_rng(stores).permutation(np.repeat(np.arange(1, stores + 1), days))
    parts = blocks_of_stores(store)
    assert sorted(np.concatenate(parts)) == list(range(len(store)))
    assert sum(len(np.unique(store[rows])) for rows in parts) == stores
    assert max(map(len, parts)) <= blocks.BLOCK_STORES * days


def test_no_more_threads_compute_than_there_are_cores(tmp_path):
    """Two replicas on one machine."""
    running, most, lock = 0, 0, threading.Lock()

    def compute(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    results = [Cores(tmp_path).map(compute, range(20)) for _ in range(2)]
    for result in results:
        assert list(result) == [None] * 20
    assert most == len(os.sched_getaffinity(0))


def test_cores_whose_folder_was_cleared_are_shared_again(tmp_path):
    cores = Cores(tmp_path / "cores")
    shutil.rmtree(tmp_path / "cores")
    assert list(cores.map(str, range(3))) == ["0", "1", "2"]


VALUES = {
    "store": (1, 2, 2**31 - 1, 0, 2**31, True, "1", 1.0, None),
    "date": ("2015-08-01", "2016-02-29", "2015-02-29", "2015-8-1", "1438387200", 5, None),
    "open": (True, False, None, 0, 1, 2, 1.0, "1"),
    "promo": (True, False, None, 0, 1, -1, 0.0),
    "state_holiday": ("0", "a", "b", "c", 0, None, "d", False, 0.0, ""),
    "school_holiday": (True, False, None, 0, 1, [], {}),
    "day_of_week": (1, 7, None, 0, 8, True, 1.0, "1"),
    "id": (None, 1, 2**70, -5, True, 1.5, "x"),
    "other": (1,),
}
KAGGLE = {"store": "Store", "date": "Date", "open": "Open", "promo": "Promo", "state_holiday": "StateHoliday"}


def random_row(draw: random.Random, names: list[str]) -> dict[str, object]:
    """Mostly usual values: the first ones are."""
    return {name: VALUES[name][min(int(draw.expovariate(0.9)), len(VALUES[name]) - 1)] for name in names}


def test_usual_rows_are_those_of_pydantic_and_what_pydantic_refuses_is_not_usual():
    draw, validator, usual_count, refused_count = random.Random(5), TypeAdapter(list[PlanRow]), 0, 0
    for _ in range(3_000):
        optional = draw.sample(list(VALUES)[2:-1], draw.randrange(4))
        names = ["store", "date", *optional, *(["other"] if draw.random() < 0.05 else [])]
        rows = [random_row(draw, names) for _ in range(draw.choice((1, 1, 2)))]
        if draw.random() < 0.2:
            rows = [{KAGGLE.get(name, name): value for name, value in row.items()} for row in rows]
        usual = read_usual_rows(rows)
        try:
            expected = RequestRows.of(validator.validate_python(rows))
        except ValidationError:
            assert usual is None, rows
            refused_count += 1
            continue
        if usual is not None:
            usual_count += 1
            for name in ("store", "date", "day_of_week"):
                assert getattr(usual, name).tolist() == getattr(expected, name).tolist(), rows
            assert {n: c.tolist() for n, c in usual.codes.items()} == {n: c.tolist() for n, c in expected.codes.items()}
    assert usual_count > 500
    assert refused_count > 500


ROW_MS, BATCHES, BATCH_REQUESTS = 0.35, 30, 20


def test_a_row_as_published_takes_a_third_of_a_millisecond(toy, tmp_path):
    """From body to answer, with JSON, look-up and journal. The quickest of many batches: others use the cores, too."""
    with running_host(lambda _: loaded_model(toy), tmp_path) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        app, row = create_app(host, LIMITS), {"store": 1, "date": FIRST, "open": True, "school_holiday": False}
        seconds = asyncio.run(batch_seconds(app, json.dumps(row).encode()))
    assert min(seconds) / BATCH_REQUESTS < ROW_MS / 1e3


async def batch_seconds(app: ASGIApp, body: bytes) -> list[float]:
    """The processor time of this thread for each batch of requests for one row."""
    headers = [(b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/predict",
             "query_string": b"", "root_path": "", "headers": headers, "client": ("127.0.0.1", 1)}  # fmt: skip
    statuses = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 200))

    seconds = []
    for _ in range(BATCHES):
        started = time.thread_time()
        for _ in range(BATCH_REQUESTS):
            await app(dict(scope), receive, send)
        seconds.append(time.thread_time() - started)
    assert set(statuses) == {200}
    return seconds
