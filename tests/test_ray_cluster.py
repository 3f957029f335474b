"""A Ray cluster of three hosts, started with the documented commands, keeps working while hosts fail and join."""

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import jsonschema
import pandas as pd
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from benchmarks.load import background_load
from rossmann import evaluation, models, training
from rossmann.data import SalesHistory, current_snapshot, read_history, save_snapshot
from rossmann.evaluation import BacktestRun
from rossmann.schema import HORIZON_DAYS
from rossmann.simulation import write_sample
from rossmann.storage import Storage
from rossmann.training import BacktestEntry
from rossmann.workspace import Workspace
from tests.support.cluster import kill_all, wait
from tests.support.endpoint import fit_on_whole_history, promote, register, registry_of
from tests.support.hosts import Host, missing_requirement, running_hosts

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("**/*.md"))]
COMMANDS = [command for page in PAGES for command in re.findall(r"^(head|node)\$ (.+)$", page.read_text(), re.M)]
CONFIG = REPOSITORY / "ray_cluster.yaml"
SMALL_HEAD = "--object-store-memory 100000000"
SMALL_NODE = "--num-cpus 1 --object-store-memory 100000000"
STORES, DAYS = 80, 700
TRAIN_PARAMETERS = {"folds": 4, "candidates": ["lightgbm", "xgboost"], "search": 6}
API_KEY = "secret"
FIRST_REPLICA_PORT = 22000  # deployments/serve.env: it follows from the endpoint's port, 8000
FIT_PROCESS, REPLICA_PROCESS = "ray::_fit", "ServeReplica:rossmann"
TIMEOUT_S = 150


def on_hosts(test: Callable) -> Callable:
    """Tests on three hosts are proofs, and slow on a busy machine."""
    return pytest.mark.proof(pytest.mark.alone(pytest.mark.timeout(600)(test)))


def documented_command(host: str, part: str) -> str:
    """The one documented command that contains `part`, for the "head" or a "node"."""
    (command,) = (command for name, command in COMMANDS if name == host and part in command)
    return command


@dataclass
class Cluster:
    """Three hosts, and a workspace on the file system that they share."""

    head: Host
    nodes: tuple[Host, Host]
    workspace: Workspace
    environment: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)  # measured by the tests, printed at the end

    def start(self, host: Host, part: str, options: str = "") -> subprocess.Popen:
        """Start a documented command on the head or on a node, with more options."""
        role = "head" if host is self.head else "node"
        command = documented_command(role, part).removesuffix(" &")
        return host.start(f"{documented_command(role, 'cluster.env')} && exec {command} {options}", self.environment)

    def join(self, node: Host) -> subprocess.Popen:
        """Start Ray on a node."""
        return self.start(node, "ray start", SMALL_NODE)

    def start_worker(self) -> subprocess.Popen:
        """Start Prefect's worker."""
        return self.start(self.head, "worker start")

    def train(self) -> subprocess.Popen:
        """Start a training through Prefect; the process ends with the run, with code 0 if it is completed."""
        parameters = " ".join(f"-p {name}='{json.dumps(value)}'" for name, value in TRAIN_PARAMETERS.items())
        return self.start(self.head, "train/train-candidates", parameters)

    def fits(self) -> dict[str, int]:
        """The files of finished fits, with the time of their last change in ns."""
        return {file.name: file.stat().st_mtime_ns for file in Path(self.workspace.backtests, "fits").glob("*.npz")}

    def is_half_done(self, node: Host) -> bool:
        """Whether several fits are finished while another runs on the node."""
        return len(self.fits()) >= 4 and bool(node.processes(FIT_PROCESS))

    def remove_fits(self) -> None:
        """Remove finished fits and backtest runs, so that the next training repeats all of them."""
        shutil.rmtree(self.workspace.backtests, ignore_errors=True)


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> SalesHistory:
    """So many stores that a fit takes a second."""
    return read_history(str(write_sample(tmp_path_factory.mktemp("raw"), STORES, DAYS))).history


@pytest.fixture(scope="module")
def cluster(history: SalesHistory, tmp_path_factory) -> Iterator[Cluster]:
    if missing := missing_requirement():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("cluster")
    workspace, home = Workspace(str(folder / "workspace")), folder / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    save_snapshot(history, workspace.snapshots, datetime.now(UTC), "test")
    with running_hosts(["head", "one", "two"], folder) as (head, *nodes):
        settings = {"HEAD": head.address, "API_KEYS": API_KEY, "DATA_DIR": workspace.root}
        (home / "rossmann.env").write_text("".join(f"ROSSMANN_{name}={value}\n" for name, value in settings.items()))
        environment = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
        cluster = Cluster(head, tuple(nodes), workspace, environment)
        try:
            start_all(cluster)
            yield cluster
        finally:
            for log in folder.glob("*.log"):
                sys.stdout.write(f"--- {log.name}\n{log.read_text()[-8000:]}")
            sys.stdout.write(f"seconds: {cluster.seconds}\n")


def start_all(cluster: Cluster) -> None:
    """Run all documented commands before the training: Ray, Prefect's server, one deployment, the worker."""
    started = time.monotonic()
    wait_for_success(cluster.start(cluster.head, "ray start", SMALL_HEAD), 120)
    for command in [cluster.join(node) for node in cluster.nodes]:
        wait_for_success(command, 120)
    cluster.seconds["Ray is up"] = time.monotonic() - started
    cluster.start(cluster.head, "server start")
    wait(lambda: ":4200 " in cluster.head.run("ss --listening --numeric --tcp", cluster.environment), 120)
    wait_for_success(cluster.start(cluster.head, "work-pool create"), 120)
    deploy = documented_command("head", "rossmann deploy")
    cluster.head.run(f"{documented_command('head', 'cluster.env')} && {deploy}", cluster.environment)
    cluster.start_worker()
    cluster.seconds["everything is up"] = time.monotonic() - started


def wait_for_success(command: subprocess.Popen, timeout_s: float) -> None:
    """Wait until a command ends; it must end in time and with code 0."""
    assert command.wait(timeout_s) == 0, command.args


@pytest.fixture(scope="module")
def undisturbed_run(cluster: Cluster, history: SalesHistory, tmp_path_factory) -> BacktestRun:
    """The same backtests on this machine alone, without failures."""
    started, storage = time.monotonic(), Storage(str(tmp_path_factory.mktemp("undisturbed")))
    candidates = models.candidates(tuple(TRAIN_PARAMETERS["candidates"]))
    origins = evaluation.fold_origins(history, TRAIN_PARAMETERS["folds"], HORIZON_DAYS, 48)
    options = {"horizon_days": HORIZON_DAYS, "seed": 7, "ray_address": None, "storage": storage}
    quiet = options | {"progress": lambda *_: None}
    trials = training.run_search(history, candidates, TRAIN_PARAMETERS["search"], origins, **quiet)
    candidates += training.search_results(trials, candidates)
    entries = [BacktestEntry(candidate.name, candidate) for candidate in candidates]
    run = training.run_backtests(history, entries, origins, coverage=0.9, **quiet)
    cluster.seconds["undisturbed, on one machine"] = time.monotonic() - started
    return run


def assert_same_backtest(cluster: Cluster, undisturbed_run: BacktestRun) -> None:
    """The cluster's backtest run has the same rows, to the last bit."""
    run = training.load_backtest_run(Storage(cluster.workspace.backtests), undisturbed_run.key)
    pd.testing.assert_frame_equal(run.backtest.rows, undisturbed_run.backtest.rows)
    assert run.failures == {}


@on_hosts
def test_a_node_that_is_killed_and_joins_again_changes_no_result(
    cluster: Cluster, undisturbed_run: BacktestRun
) -> None:
    _, node = cluster.nodes
    run = cluster.train()
    wait(lambda: cluster.is_half_done(node), TIMEOUT_S)
    node.kill()
    started, fit_count = time.monotonic(), len(cluster.fits())
    wait_for_success(cluster.join(node), TIMEOUT_S)
    wait(lambda: node.processes(FIT_PROCESS), TIMEOUT_S)  # a node that joins during a run gets fits
    cluster.seconds["killed node joined again and fitted after"] = time.monotonic() - started
    wait_for_success(run, TIMEOUT_S)
    cluster.seconds[f"node killed after {fit_count} fits, run ended after"] = time.monotonic() - started
    assert_same_backtest(cluster, undisturbed_run)


@pytest.fixture(scope="module")
def fits_of_crashed_run(cluster: Cluster) -> dict[str, int]:
    """The finished fits of a training whose Prefect worker was killed during the run; the worker is started again."""
    cluster.remove_fits()
    run = cluster.train()
    wait(lambda: cluster.is_half_done(cluster.nodes[1]), TIMEOUT_S)
    started = time.monotonic()
    kill_all(cluster.head.processes("worker start"))
    cluster.start_worker()
    assert run.wait(TIMEOUT_S) == 1
    cluster.seconds["run reported as crashed after its Prefect worker was killed"] = time.monotonic() - started
    return cluster.fits()


@on_hosts
def test_after_a_killed_prefect_worker_neither_run_nor_fits_go_on(
    cluster: Cluster, fits_of_crashed_run: dict[str, int]
) -> None:
    assert "Flow run finished in state 'Crashed'" in cluster.head.log.read_text()
    wait(lambda: not any(node.processes(FIT_PROCESS) for node in cluster.nodes), 60)


@on_hosts
def test_a_repeated_run_uses_finished_fits_and_a_disconnected_node_does_not_block_it(
    cluster: Cluster, fits_of_crashed_run: dict[str, int], undisturbed_run: BacktestRun
) -> None:
    _, node = cluster.nodes
    run = cluster.train()
    wait(lambda: len(cluster.fits()) > len(fits_of_crashed_run) and node.processes(FIT_PROCESS), TIMEOUT_S)
    node.disconnect()
    try:
        started = time.monotonic()
        folder = Path(cluster.workspace.backtests, undisturbed_run.key)
        wait(lambda: any(folder.glob("*.json")), 90)  # the last file of a backtest run
        cluster.seconds["node disconnected, all fits finished after"] = time.monotonic() - started
        wait_for_success(run, TIMEOUT_S)  # MLflow and the final fit do not need that node
        cluster.seconds["node disconnected, run ended after"] = time.monotonic() - started
    finally:
        node.kill()
        node.reconnect()
    assert_same_backtest(cluster, undisturbed_run)
    assert fits_of_crashed_run.items() <= cluster.fits().items(), "finished fits were repeated"
    wait_for_success(cluster.join(node), 120)


@on_hosts
def test_the_endpoint_runs_on_both_nodes_and_survives_the_loss_of_one(cluster: Cluster, history: SalesHistory) -> None:
    model_registry, (first, second) = registry_of(Path(cluster.workspace.root)), cluster.nodes
    snapshot, forecaster = current_snapshot(cluster.workspace.snapshots), fit_on_whole_history(history, "ridge", 7)
    promote(model_registry, register(model_registry, forecaster, history, snapshot, "ridge"))
    wait_for_success(cluster.start(cluster.head, "rossmann serve"), 150)
    assert [len(node.processes(REPLICA_PROCESS)) for node in (first, second)] == [1, 1]
    assert all(host.processes("haproxy -db") for host in (cluster.head, first, second))
    replica = f"http://{first.address}:{FIRST_REPLICA_PORT}/model"  # the network reaches it; it needs the key, too
    assert [httpx.get(replica, headers=key).status_code for key in ({}, {"X-API-Key": API_KEY})] == [401, 200]
    urls = [f"http://{node.address}:8000/predict" for node in (first, second)]
    plan = history.plan(history.origin, HORIZON_DAYS)
    bodies = [json.dumps({"store": int(plan.store[k]), "date": str(plan.date[k])}).encode() for k in range(len(plan))]
    with background_load(urls, bodies, 4, retries=5, api_key=API_KEY) as result:
        time.sleep(3)
        second.kill()
        wait(lambda: len(first.processes(REPLICA_PROCESS)) == 2, 90)
        time.sleep(3)
    cluster.seconds["slowest response with one node lost"] = max(result.seconds)
    assert result.failed == 0, result.failures
    assert result.retries > 0, "no request met the lost node"


def test_ray_cluster_yaml_is_valid_by_rays_own_schema() -> None:
    """The schema does not require ssh_user, so that is checked here."""
    config = yaml.safe_load(CONFIG.read_text())
    validate_config(prepare_config(config))
    assert config["auth"]["ssh_user"]
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config | {"head_adress": "10.0.0.1"}))


def test_the_commented_cloud_variant_is_valid_by_rays_own_schema() -> None:
    text = CONFIG.read_text()
    variant = yaml.safe_load("\n".join(re.findall(r"^# (.*)$", text.split("# On a cloud")[1].split("\n\n")[0], re.M)))
    config = prepare_config(yaml.safe_load(text) | variant)
    validate_config(config)
    assert config["auth"]["ssh_user"]
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}


def test_ray_up_runs_the_documented_commands() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    for host, commands in (("head", config["head_start_ray_commands"]), ("node", config["worker_start_ray_commands"])):
        assert documented_command(host, "cluster.env") in commands[-1]
        assert documented_command(host, "ray start") in commands[-1]
