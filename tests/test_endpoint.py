"""The endpoint on a real Ray Serve: forecasts equal the batch's, under load, promotions, kills and a locked journal."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest
import yaml
from prefect import flow

from benchmarks.load import background_load
from flows import workspace
from flows.cli import explain as command_line
from flows.cli.doctor import network
from flows.cli.doctor.findings import Surroundings
from flows.endpoint import champion_target, check_endpoint, switch_endpoint, sync_endpoint
from flows.explanation import explain_day
from flows.refresh import refresh
from rossmann import features, registry
from rossmann.alarms import Check, EndpointFailed, JournalGap, list_alarms
from rossmann.data import current_snapshot, restore_snapshot, save_snapshot
from rossmann.models import Forecaster
from rossmann.schema import DAY, HORIZON_DAYS
from rossmann.serving import deployment
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings
from rossmann.simulation import write_sample
from rossmann.validation import DataError
from tests.support.cluster import processes_named, wait
from tests.support.endpoint import RunningEndpoint, fit_on_whole_history, promote, register
from tests.support.proxy import running_config

pytestmark = pytest.mark.slow

CONNECTIONS = 4
READY_TIMEOUT_S = 120
CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"


@pytest.fixture(scope="module")
def blend(endpoint: RunningEndpoint) -> Forecaster:
    """The first champion, loaded as the batch loads it."""
    return registry.load_forecaster(endpoint.registry, registry.list_models(endpoint.registry)[-1])


def deploy_and_wait(endpoint: RunningEndpoint, target: ServingTarget) -> None:
    """Returns when all replicas have loaded the target."""
    deployment.deploy(endpoint.serve, target)
    deployment.wait_until_ready(endpoint.serve, target, READY_TIMEOUT_S)


@pytest.fixture
def first_target(endpoint: RunningEndpoint) -> ServingTarget:
    """The first champion on the first snapshot is deployed again, whatever the test before has deployed."""
    target = ServingTarget(1, endpoint.snapshot)
    deploy_and_wait(endpoint, target)
    return target


@pytest.fixture(scope="module")
def bodies(endpoint: RunningEndpoint) -> list[bytes]:
    """Requests of single rows: as published, with a promotion, and without one."""
    plan = endpoint.history.plan(endpoint.history.origin, HORIZON_DAYS)
    rows = [{"store": int(plan.store[k]), "date": str(plan.date[k])} for k in range(0, len(plan), 7)]
    changes = ({}, {"promo": True}, {"promo": False})
    return [json.dumps(row | change).encode() for row in rows for change in changes]


@pytest.fixture(scope="module")
def large_body(endpoint: RunningEndpoint) -> bytes:
    """A request for all stores and days, which goes to the model."""
    plan = endpoint.history.plan(endpoint.history.origin, HORIZON_DAYS)
    rows = [{"store": int(s), "date": str(d), "promo": True} for s, d in zip(plan.store, plan.date, strict=True)]
    return json.dumps({"plan": rows}).encode()


def urls(endpoint: RunningEndpoint) -> list[str]:
    return [f"{endpoint.serve.url}/predict"]


def test_the_smoke_test_passes_only_if_the_endpoint_equals_the_batch(endpoint, first_target, blend):
    state = features.fit_state(endpoint.history)
    deployment.smoke_test(endpoint.serve, first_target, blend, state)
    with pytest.raises(DataError, match=r"the endpoint returns forecast .* for store .* the batch"):
        deployment.smoke_test(endpoint.serve, first_target, fit_on_whole_history(endpoint.history, "ridge", 7), state)
    with pytest.raises(DataError, match=r"the endpoint serves model version 1 .* not model version 2"):
        deployment.smoke_test(endpoint.serve, replace(first_target, model_version=2), blend, state)


def test_the_reasons_of_a_blend_add_up_to_the_forecast_of_a_request(endpoint, first_target, bodies):
    body = json.loads(bodies[1]) | {"open": True}
    predicted, explained = (
        httpx.post(f"{endpoint.serve.url}/{path}", json=body, timeout=30).json() for path in ("predict", "explain")
    )
    (forecast,), (explanation,) = predicted["forecasts"], explained["explanations"]
    assert explanation["forecast"] == pytest.approx(forecast["forecast"], rel=1e-12)
    assert sum(term["amount"] for term in explanation["terms"]) == pytest.approx(forecast["forecast"], rel=1e-9)
    trees = next(term for term in explanation["terms"] if term["name"] == "tree correction")
    assert len(trees["parts"]) > 3


def test_why_a_forecast_moved_is_what_the_command_says_and_a_refusal_says_what_to_choose(endpoint, first_target):
    origin, last = endpoint.history.origin, endpoint.history.calendar.dates[-1]
    body = {"store": int(endpoint.history.stores.number[1]), "date": str(origin + 5), "since": str(origin - 9)}

    def explain(**changes: object) -> httpx.Response:
        return httpx.post(f"{endpoint.serve.url}/explain", json=body | changes, timeout=30)

    (explained,) = explain().json()["explanations"]
    restore_snapshot(f"{endpoint.workspace}/snapshots", endpoint.snapshot)  # the command explains the current one
    settings, since = Settings(data_dir=str(endpoint.workspace)), (origin - 9).item()
    document = command_line.document(explain_day(settings, str(body["store"]), (origin + 5).item(), since=since))
    inputs, numbers = explained["movement"].pop("from"), explained["movement"]
    assert (inputs, explained["notes"]) == (document["movement"].pop("from"), document["notes"])
    assert numbers == pytest.approx(document["movement"])
    assert numbers["actuals"] == pytest.approx(numbers["after"] - numbers["before"]) != 0
    for changes, message in (
        ({"since": str(origin + 1)}, "choose an earlier day"),
        ({"since": "2000-01-01"}, "the origin 2000-01-01 is before the history, which begins on"),
        ({"since_version": 99}, "there is no model version 99"),
        ({"date": str(last)}, "choose one of these days, or another origin"),
        ({"since": "yesterday"}, "expected the last day with known sales"),
        ({"since_version": 0}, "expected the number of a model version"),
    ):
        response = explain(**changes)
        assert (response.status_code, message in response.json()["error"]) == (422, True), response.text


def test_the_replicas_that_run_are_counted(endpoint, first_target):
    assert deployment.replica_states(endpoint.serve)["RUNNING"] >= 2


def test_requests_generated_from_the_openapi_document_get_responses_that_it_allows(endpoint, first_target, tmp_path):
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{endpoint.serve.url}/openapi.json",
               "--checks", CHECKS, "--max-examples", "40", "--seed", "7", "--no-color",
               "--suppress-health-check", "all", "--generation-database", "none"]  # fmt: skip
    result = subprocess.run(list(map(str, command)), cwd=tmp_path, text=True, capture_output=True, timeout=250)
    assert result.returncode == 0, result.stdout + result.stderr


def test_ten_promotions_and_five_new_snapshots_under_load_fail_no_request(endpoint, first_target, bodies):
    history = endpoint.history
    forecasters = {name: fit_on_whole_history(history, name, 1) for name in ("ridge", "xgboost")}
    versions = [
        register(endpoint.registry, forecaster, history, endpoint.snapshot, name)
        for name, forecaster in forecasters.items()
    ]
    origins, folder = history.dates[-6:-1], f"{endpoint.workspace}/snapshots"
    snapshots = [save_snapshot(history.until(origin), folder, datetime.now(UTC), "test") for origin in origins]
    early_bodies = [body for body in bodies if json.loads(body)["date"] <= str(origins[0] + HORIZON_DAYS * DAY)]
    with background_load(urls(endpoint), early_bodies, CONNECTIONS) as result:
        for turn in range(10):
            deploy_and_wait(endpoint, ServingTarget(versions[turn % 2], endpoint.snapshot))
        for snapshot in snapshots:
            deploy_and_wait(endpoint, ServingTarget(versions[0], snapshot))
        state = features.fit_state(history.until(origins[-1]))
        target = ServingTarget(versions[0], snapshots[-1])
        deployment.smoke_test(endpoint.serve, target, forecasters["ridge"], state)
    assert result.failed == 0, result.failures
    assert set(result.versions) == {1, *versions}
    assert result.statuses[200] > 100


def test_new_days_reach_the_endpoint_and_the_batch_in_one_call(endpoint, first_target, prefect_server, tmp_path):
    """They are those of another chain; the batch's file has two decimals."""
    raw = str(write_sample(tmp_path / "raw", 6, 700, seed=3))
    try:
        delivered = refresh(raw, date(2014, 12, 1), allow_shrink=True)
        batch = pd.read_csv(delivered.file)
        plan = batch[["store", "date"]].to_dict("records")
        answer = deployment.request_forecast(endpoint.serve, {"plan": plan})
        assert [batch.date.min(), batch.date.max()] == ["2014-12-02", "2015-01-18"]
        assert [row["forecast"] for row in answer["forecasts"]] == pytest.approx(batch.forecast.tolist(), abs=0.006)
        assert deployment.readiness(endpoint.serve)["snapshot"] == current_snapshot(Settings().workspace.snapshots)
        assert delivered.model_version == 1
    finally:
        restore_snapshot(f"{endpoint.workspace}/snapshots", endpoint.snapshot)


def test_if_a_version_cannot_be_loaded_the_old_one_serves_on(endpoint, first_target, bodies):
    with background_load(urls(endpoint), bodies, CONNECTIONS) as result:
        deploy_and_wait(endpoint, ServingTarget(999, endpoint.snapshot))
        readiness = deployment.readiness(endpoint.serve)
        deploy_and_wait(endpoint, first_target)
    assert "no model version 999" in readiness["load_error"]
    assert readiness["model_version"] == 1
    assert result.failed == 0, result.failures
    assert set(result.versions) == {1}


def test_sync_endpoint_restores_the_target_before_if_the_champion_cannot_be_served(
    endpoint, first_target, prefect_server
):
    """`sync_endpoint` is the last step of release and of ingest; here the champion's files are missing."""
    model_registry, history = endpoint.registry, endpoint.history
    forecaster = fit_on_whole_history(history, "median", 7)
    broken = register(model_registry, forecaster, history, endpoint.snapshot, "broken")
    (model,) = (model for model in registry.list_models(model_registry) if model.version == broken)
    shutil.rmtree(model.source.removeprefix("file://"))
    promote(model_registry, broken)
    with pytest.raises(DataError, match=f"model version {broken}"):
        flow(sync_endpoint.fn)()
    registry.withdraw(model_registry, broken, "its files are gone")
    assert registry.champion(model_registry).version == 1
    assert deployment.deployed_target(endpoint.serve) == first_target
    assert deployment.request_forecast(endpoint.serve, next_day(endpoint))


def test_the_promotion_of_a_killed_release_is_taken_back_if_the_endpoint_cannot_serve_it(
    endpoint, first_target, prefect_server
):
    """The release was killed after it had requested the version, whose files are missing."""
    restore_snapshot(f"{endpoint.workspace}/snapshots", endpoint.snapshot)
    forecaster = fit_on_whole_history(endpoint.history, "median", 8)
    broken = register(endpoint.registry, forecaster, endpoint.history, endpoint.snapshot, "killed")
    shutil.rmtree(registry.find_version(endpoint.registry, broken).source.removeprefix("file://"))
    promote(endpoint.registry, broken, awaits_endpoint=True)
    deployment.deploy(endpoint.serve, ServingTarget(broken, endpoint.snapshot))
    with pytest.raises(DataError, match=f"model version {broken}"):
        flow(sync_endpoint.fn)()
    assert registry.champion(endpoint.registry).version == 1
    assert registry.find_veto(endpoint.registry, broken)
    assert deployment.deployed_target(endpoint.serve) == first_target
    newest = lambda: list_alarms(Settings().workspace.alarms)[0]  # noqa: E731
    assert newest().is_open
    flow(sync_endpoint.fn)()
    assert newest().is_over, "the endpoint serves what it should"


def test_a_new_snapshot_waits_for_a_promotion_that_is_being_deployed(endpoint, first_target):
    """Neither of two processes redeploys an older target over the newer one, or takes the promotion back."""
    history, snapshots, settings = endpoint.history, f"{endpoint.workspace}/snapshots", Settings()
    forecaster = fit_on_whole_history(history, "ridge", 1)
    version = register(endpoint.registry, forecaster, history, endpoint.snapshot, "at-once")
    older = save_snapshot(history.until(history.dates[-8]), snapshots, datetime.now(UTC), "test")
    restore_snapshot(snapshots, endpoint.snapshot)
    command = [sys.executable, "-m", "flows.cli", "models", "promote", str(version), "--because", "a test"]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as promotion:
            in_deployment = ServingTarget(version, endpoint.snapshot)
            wait(lambda: deployment.deployed_target(endpoint.serve) == in_deployment, READY_TIMEOUT_S)
            with workspace.lock(settings, "test"):
                restore_snapshot(snapshots, older)
                switch_endpoint(settings)
            output, _ = promotion.communicate(timeout=READY_TIMEOUT_S)
        assert promotion.returncode == 0, output
        assert deployment.deployed_target(endpoint.serve) == ServingTarget(version, older)
        assert registry.champion(endpoint.registry).version == version
    finally:
        registry.withdraw(endpoint.registry, version, "the test is over")
        restore_snapshot(snapshots, endpoint.snapshot)


def test_an_endpoint_that_serves_something_else_than_what_is_current_raises_an_alarm_after_a_while(
    endpoint, first_target, monkeypatch
):
    """The snapshot became current, and whoever made it so could not switch the endpoint."""
    history, snapshots = endpoint.history, f"{endpoint.workspace}/snapshots"
    serves = Check(passed={
        EndpointFailed.event: f"{endpoint.serve.url} serves {first_target}",
        JournalGap.event: f"{endpoint.serve.url} loses no forecast and can write the journal",
    })  # fmt: skip
    assert check_endpoint(Settings()) == serves
    older = save_snapshot(history.until(history.dates[-9]), snapshots, datetime.now(UTC), "test")
    try:
        switching = check_endpoint(Settings())
        assert (switching.alarms, set(switching.passed)) == ((), {JournalGap.event}), "neither wrong nor right"
        monkeypatch.setattr("flows.endpoint.SWITCH_GRACE", timedelta(0))
        (alarm,) = check_endpoint(Settings()).alarms
        assert f"serves {first_target}, not model version 1 on snapshot {older}" in alarm.reason
    finally:
        restore_snapshot(snapshots, endpoint.snapshot)
    assert check_endpoint(Settings()) == serves


@pytest.mark.proof
def test_an_endpoint_with_other_keys_is_not_taken_for_a_broken_one(
    endpoint, first_target, prefect_server, monkeypatch, tmp_path
):
    """As after `make up` with API keys, from a terminal without them: the target is deployed and stays."""
    config = yaml.safe_load(endpoint.serve.config.read_text())
    config["applications"][0]["runtime_env"]["env_vars"]["ROSSMANN_API_KEYS"] = "another-key"
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("ROSSMANN_SERVE_CONFIG", str(tmp_path / "serve.yaml"))
    flow(sync_endpoint.fn)()
    settings = Settings()
    (alarm,) = (record.alarm for record in list_alarms(settings.workspace.alarms) if "API keys" in record.alarm.reason)
    assert "is deployed and ready, but was not compared with the batch" in alarm.reason
    assert deployment.deployed_target(endpoint.serve) == champion_target(settings)
    assert deployment.readiness(endpoint.serve)["ready"]
    assert ["API keys" in alarm.reason for alarm in check_endpoint(settings).alarms] == [True]
    with_key = replace(endpoint.serve, api_key="another-key")
    assert deployment.request_forecast(with_key, next_day(endpoint))
    deploy_and_wait(endpoint, first_target)  # without keys again


def next_day(endpoint: RunningEndpoint) -> dict:
    """The first store's first day after the origin."""
    return {"store": int(endpoint.history.stores.number[0]), "date": str(endpoint.history.origin + DAY)}


def test_a_killed_replica_fails_no_request_that_is_retried(endpoint, first_target, bodies):
    before, journal = {replica.pid for replica in endpoint.replicas()}, endpoint.workspace / "journal.db"
    wait(lambda: deployment.readiness(endpoint.serve)["journal"]["pending_rows"] == 0, 60)
    count_before = request_count(journal)
    with background_load(urls(endpoint), bodies, CONNECTIONS, retries=5) as result:
        time.sleep(1)
        endpoint.replicas()[0].kill()
        wait(lambda: len({r.pid for r in endpoint.replicas()} - before) >= 1, 60)
        deployment.wait_until_ready(endpoint.serve, first_target, READY_TIMEOUT_S)
        time.sleep(1)
    assert result.failed == 0, result.failures
    assert result.statuses[200] > 100
    wait(lambda: request_count(journal) - count_before >= result.statuses[200], 60)  # also the killed replica's


def test_a_locked_journal_fails_no_request_and_loses_no_entry(endpoint, first_target, bodies):
    """Another process locks the database for a while; forecasts of that time are written afterwards."""
    journal = endpoint.workspace / "journal.db"
    with background_load(urls(endpoint), bodies, CONNECTIONS) as result:
        wait(lambda: journal.exists() and request_count(journal) > 0, 30)
        with closing(sqlite3.connect(journal, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            wait(lambda: deployment.readiness(endpoint.serve)["journal"]["failures"] > 0, 60)
            wait(lambda: deployment.readiness(endpoint.serve)["journal"]["problem"] is not None, 60)
            other.execute("ROLLBACK")
    assert result.failed == 0, result.failures
    wait(lambda: request_count(journal) >= result.statuses[200], 60)


def request_count(journal: Path) -> int:
    """How many HTTP requests are in a journal; 0 as long as it has no tables."""
    with closing(sqlite3.connect(journal)) as database:
        if not database.execute("select 1 from sqlite_master where name = 'requests'").fetchone():
            return 0
        return database.execute("select count(*) from requests where source = 'http'").fetchone()[0]


@pytest.mark.proof
@pytest.mark.alone
def test_replicas_are_added_under_load_and_removed_after_it(endpoint, first_target, large_body):
    with background_load(urls(endpoint), [large_body], 16) as result:
        wait(lambda: len(endpoint.replicas()) > 2, 60)
        time.sleep(3)
    assert result.failed == 0, result.failures
    wait(lambda: len(endpoint.replicas()) == 2, 90)


def test_a_full_queue_returns_429(endpoint, first_target, large_body):
    """150 connections are more than the replicas and the queue accept."""
    responses: list[httpx.Response] = []

    def is_refused() -> bool:
        responses.append(httpx.get(f"{endpoint.serve.url}/model", timeout=60))
        return responses[-1].status_code == 429

    with background_load(urls(endpoint), [large_body], 150) as result:
        wait(lambda: result.statuses[429] > 0, 60)
        wait(is_refused, 60)
    assert set(result.statuses) <= {200, 429}, result.failures
    error = responses[-1].json()
    assert error["problems"][0]["message"] in error["error"]
    assert error["request_id"] == responses[-1].headers["X-Request-ID"]
    assert responses[-1].headers["Retry-After"] == "1"


def test_the_proxy_passes_what_the_application_refuses(endpoint, first_target):
    assert processes_named(endpoint.workspace, "haproxy -db"), "the endpoint is behind HAProxy"
    health = httpx.get(f"{endpoint.serve.url}/health")
    assert len(health.headers.get_list("X-Request-ID")) == 1
    surroundings = Surroundings({"ROSSMANN_HTTP_PORT": str(endpoint.serve.port)}, None)
    assert "the endpoint answers there" in f"{list(network.ports(surroundings))}"

    def status(body: bytes, **headers: str) -> int:
        return httpx.post(f"{endpoint.serve.url}/predict", content=body, headers=headers, timeout=60).status_code

    assert status(json.dumps(next_day(endpoint)).encode()) == 200
    assert status(b" " * 16_000_001) == 413
    assert status(b"{}") == 422
    assert status(b"{}", Forwarded="for=127.0.0.1") == 401
    assert status(b"{}", Host="attacker.example") == 400
    assert httpx.get(f"{endpoint.serve.url}/-/healthz", timeout=30).text == "success"


def test_replicas_and_proxies_listen_on_the_loopback_address_only(endpoint, first_target):
    servers = re.findall(r"^    server \S+ \S+:(\d+) ", running_config(endpoint.serve.port), re.MULTILINE)
    ports = {endpoint.serve.port, *map(int, servers)}
    listening = [each.laddr for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert len(ports) >= 4, "two replicas, Serve's own proxy, and HAProxy"
    assert {address.ip for address in listening if address.port in ports} == {"127.0.0.1"}


def test_metrics_contain_those_of_serve_and_of_the_endpoint(endpoint, first_target):
    def metrics() -> str:
        return httpx.get(f"{endpoint.serve.url}/metrics", timeout=30).text

    assert httpx.post(f"{endpoint.serve.url}/predict", json=next_day(endpoint), timeout=30).is_success
    endpoint_names = ("forecasts", "requests", "latency_ms_bucket", "model_version", "snapshot_age_seconds",
           "journal_pending_rows", "load_failed")  # fmt: skip
    names = [*(f"ray_rossmann_{name}" for name in endpoint_names), "ray_serve_num_http_requests",
             "ray_serve_http_request_latency_ms_sum"]  # fmt: skip
    wait(lambda: all(name in metrics() for name in names), 60)
    before = deployment.request_counts(endpoint.serve)
    assert before["requests"] > before["errors"]
    assert before["mean_ms"] > 0
    wait(lambda: deployment.request_counts(endpoint.serve)["requests"] > before["requests"], 60)  # /metrics is counted


def test_rays_dashboard_requires_the_token(endpoint):
    assert httpx.get(f"{endpoint.serve.dashboard_url}/api/serve/applications/", timeout=30).status_code in (401, 403)


def test_an_endpoint_on_all_addresses_is_not_deployed_without_api_keys(endpoint):
    with pytest.raises(DataError, match="set ROSSMANN_API_KEYS"):
        deployment.deploy(replace(endpoint.serve, host="0.0.0.0"), ServingTarget())
