"""The endpoint on a real Ray Serve: the batch's numbers over HTTP, through load, swaps, kills and a lost journal."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import live as at
import pytest
from live import Live
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from benchmarks.cluster import wait
from benchmarks.load import load
from flows.endpoint import align
from rossmann import features, registry
from rossmann.data import save_snapshot
from rossmann.models import Forecaster
from rossmann.serving import deploying
from rossmann.serving.desk import Wanted
from rossmann.validation import DataError

pytestmark = pytest.mark.slow

CONNECTIONS = 4
SETTLE_S = 120
CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"


@pytest.fixture(scope="module")
def blend(endpoint: Live) -> Forecaster:
    """The champion's file, as the batch loads it."""
    return registry.load(endpoint.known, registry.versions(endpoint.known)[-1])


@pytest.fixture
def fresh(endpoint: Live) -> Wanted:
    """The first champion on the first snapshot, whatever a test before has done."""
    wanted = Wanted(1, endpoint.snapshot)
    deploying.deploy(endpoint.serve, wanted)
    deploying.settle(endpoint.serve, wanted, SETTLE_S)
    return wanted


@pytest.fixture(scope="module")
def bodies(endpoint: Live) -> list[bytes]:
    """Single rows of the published plan, and the same with the promotion turned round."""
    plan = endpoint.history.plan(endpoint.history.origin, 48)
    rows = [{"store": int(plan.store[k]), "date": str(plan.date[k])} for k in range(0, len(plan), 7)]
    return [json.dumps(row | told).encode() for row in rows for told in ({}, {"promo": True}, {"promo": False})]


def url(endpoint: Live) -> str:
    return f"{endpoint.serve.url}/predict"


def swap(endpoint: Live, wanted: Wanted) -> None:
    deploying.deploy(endpoint.serve, wanted)
    deploying.settle(endpoint.serve, wanted, SETTLE_S)


def test_the_smoke_test_passes_for_the_batch_and_fails_for_anything_else(endpoint, fresh, blend):
    state = features.summarise(endpoint.history)
    deploying.smoke(endpoint.serve, fresh, blend, state)
    with pytest.raises(DataError, match=r"the endpoint says forecast .* for store .* the batch"):
        deploying.smoke(endpoint.serve, fresh, at.learnt(endpoint.history, "ridge", 7), state)
    with pytest.raises(DataError, match="not Wanted"):
        deploying.smoke(endpoint.serve, replace(fresh, model=2), blend, state)


def test_a_document_driven_search_finds_no_server_error_and_no_broken_promise(endpoint, fresh, tmp_path):
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{endpoint.serve.url}/openapi.json",
               "--checks", CHECKS, "--max-examples", "40", "--seed", "7", "--no-color",
               "--suppress-health-check", "all", "--generation-database", "none"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, text=True, capture_output=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ten_promotions_and_five_new_snapshots_under_load_fail_no_request(endpoint, fresh, bodies):
    history, known = endpoint.history, endpoint.known
    recipes = {name: at.learnt(history, name, 1) for name in ("ridge", "xgboost")}
    models = [at.register(known, made, history, endpoint.snapshot, name) for name, made in recipes.items()]
    origins, place = history.dates[-6:-1], f"{endpoint.world}/snapshots"
    snapshots = [save_snapshot(history.until(origin), place, datetime.now(UTC), "test") for origin in origins]
    early = [body for body in bodies if json.loads(body)["date"] <= str(origins[0] + 48)]
    with load(url(endpoint), early, CONNECTIONS) as told:
        for turn in range(10):
            swap(endpoint, Wanted(models[turn % 2], endpoint.snapshot))
        for snapshot in snapshots:
            swap(endpoint, Wanted(models[0], snapshot))
        state = features.summarise(history.until(origins[-1]))
        deploying.smoke(endpoint.serve, Wanted(models[0], snapshots[-1]), recipes["ridge"], state)
    assert told.failed == 0, told.failures
    assert set(told.versions) == {1, *models}
    assert told.statuses[200] > 100


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(endpoint, fresh, bodies):
    with load(url(endpoint), bodies, CONNECTIONS) as told:
        swap(endpoint, Wanted(999, endpoint.snapshot))
        refused = deploying.ready(endpoint.serve)
        swap(endpoint, fresh)
    assert "no model version 999" in refused["refused"]
    assert refused["model_version"] == 1
    assert told.failed == 0, told.failures
    assert set(told.versions) == {1}


def test_what_the_endpoint_cannot_take_over_is_put_back(endpoint, fresh):
    """`align` ends release and ingest: here with a champion that would answer other numbers than its files say."""
    known, history = endpoint.known, endpoint.history
    broken = at.register(known, at.learnt(history, "median", 7), history, endpoint.snapshot, "broken")
    (version,) = (v for v in registry.versions(known) if v.version == broken)
    shutil.rmtree(version.source.removeprefix("file://"))
    at.promote(known, broken)
    with prefect_test_harness(server_startup_timeout=120), pytest.raises(DataError, match=f"model version {broken}"):
        flow(align.fn)()
    registry.withdraw(known, broken, "its files are gone")
    assert registry.champion(known).version == 1
    assert deploying.deployed(endpoint.serve) == fresh
    assert deploying.ask(endpoint.serve, {"store": int(history.stores.number[0]), "date": str(history.origin + 1)})


def test_a_killed_replica_costs_no_request_that_is_asked_again(endpoint, fresh, bodies):
    before = {replica.pid for replica in endpoint.replicas()}
    with load(url(endpoint), bodies, CONNECTIONS, retries=5) as told:
        time.sleep(1)
        endpoint.replicas()[0].kill()
        wait(lambda: len({r.pid for r in endpoint.replicas()} - before) >= 1, 60)
        deploying.settle(endpoint.serve, fresh, SETTLE_S)
        time.sleep(1)
    assert told.failed == 0, told.failures
    assert told.statuses[200] > 100


def test_a_lost_journal_costs_no_request_and_no_entry(endpoint, fresh, bodies):
    """Another process locks the database for a while; what is forecast meanwhile is written later."""
    journal = endpoint.world / "journal.db"
    with load(url(endpoint), bodies, CONNECTIONS) as told:
        wait(lambda: journal.exists() and counted(journal) > 0, 30)
        with closing(sqlite3.connect(journal, isolation_level=None)) as thief:
            thief.execute("BEGIN EXCLUSIVE")
            wait(lambda: deploying.ready(endpoint.serve)["journal"]["failures"] > 0, 60)
            wait(lambda: deploying.ready(endpoint.serve)["journal"]["problem"] is not None, 60)
            thief.execute("ROLLBACK")
    before = told.statuses[200]
    assert told.failed == 0, told.failures
    wait(lambda: counted(journal) >= before, 60)


def counted(journal: Path) -> int:
    with closing(sqlite3.connect(journal)) as database:
        if not database.execute("select 1 from sqlite_master where name = 'requests'").fetchone():
            return 0  # the first replica is making its tables
        return database.execute("select count(*) from requests where source = 'http'").fetchone()[0]


def test_replicas_come_under_load_and_go_after_it(endpoint, fresh):
    plan = endpoint.history.plan(endpoint.history.origin, 48)
    rows = [{"store": int(s), "date": str(d), "promo": True} for s, d in zip(plan.store, plan.date, strict=True)]
    body = json.dumps({"plan": rows}).encode()
    with load(url(endpoint), [body], 16) as told:
        wait(lambda: len(endpoint.replicas()) > 2, 60)
        time.sleep(3)
    assert told.failed == 0, told.failures
    wait(lambda: len(endpoint.replicas()) == 2, 90)


def test_a_full_queue_is_told_as_429(endpoint, fresh):
    """More at once than replicas take and the queue holds."""
    plan = endpoint.history.plan(endpoint.history.origin, 48)
    rows = [{"store": int(s), "date": str(d), "promo": True} for s, d in zip(plan.store, plan.date, strict=True)]
    with load(url(endpoint), [json.dumps({"plan": rows}).encode()], 150) as told:
        wait(lambda: told.statuses[429] > 0, 60)
    assert set(told.statuses) <= {200, 429}, told.failures


def test_prometheus_is_told_what_serve_and_the_endpoint_count(endpoint, fresh):
    def shown() -> str:
        return httpx.get(f"{endpoint.serve.url}/metrics", timeout=30).text

    day = {"store": int(endpoint.history.stores.number[0]), "date": str(endpoint.history.origin + 1)}
    assert httpx.post(f"{endpoint.serve.url}/predict", json=day, timeout=30).is_success
    names = ["ray_rossmann_forecasts", "ray_rossmann_snapshot_age_seconds", "ray_rossmann_requests",
             "ray_rossmann_latency_ms_bucket", "ray_rossmann_model_version", "ray_rossmann_journal_pending_rows",
             "ray_serve_num_http_requests", "ray_serve_http_request_latency_ms_sum"]  # fmt: skip
    wait(lambda: all(name in shown() for name in names), 60)
    before = deploying.counted(endpoint.serve)
    assert before["requests"] > before["errors"]
    assert before["mean_ms"] > 0
    wait(lambda: deploying.counted(endpoint.serve)["requests"] > before["requests"], 60)  # asking is asking


def test_ray_answers_nobody_without_the_token(endpoint):
    assert httpx.get(f"{endpoint.serve.address}/api/serve/applications/", timeout=30).status_code in (401, 403)


def test_an_open_endpoint_without_keys_is_not_deployed(endpoint):
    with pytest.raises(DataError, match="set ROSSMANN_API_KEYS"):
        deploying.deploy(replace(endpoint.serve, host="0.0.0.0"), Wanted())
