"""A Ray cluster of three hosts, started as the README says, trains and serves on while hosts are lost and come."""

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

import jsonschema
import live as at
import pandas as pd
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from benchmarks import hosts as lab
from benchmarks.cluster import wait
from benchmarks.hosts import Host
from benchmarks.load import load
from rossmann import evaluation, models, training
from rossmann.data import SalesHistory, current_snapshot, read_history, save_snapshot
from rossmann.evaluation import Race
from rossmann.sample import write_world
from rossmann.storage import Storage
from rossmann.training import Entrant

REPOSITORY = Path(__file__).parents[1]
TYPED = re.findall(r"^(head|node)\$ (.+)$", (REPOSITORY / "README.md").read_text(), re.M)
CONFIG = REPOSITORY / "ray_cluster.yaml"
SMALL = {"head": "--object-store-memory 100000000", "node": "--num-cpus 1 --object-store-memory 100000000"}
STORES, DAYS = 80, 700
RACE = {"folds": 4, "candidates": ["lightgbm", "xgboost"], "search": 3}
KEY, REPLICA = "secret", "ServeReplica:rossmann"
PATIENCE_S = 150


def on_hosts(test: Callable) -> Callable:
    """Three hosts take their time, on a busy machine in particular."""
    return pytest.mark.proof(pytest.mark.timeout(600)(test))


def told(who: str, what: str) -> str:
    """The README's one command for it."""
    (command,) = (command for host, command in TYPED if host == who and what in command)
    return command


@dataclass
class Cluster:
    """Three hosts and a world on the file system they share."""

    head: Host
    nodes: tuple[Host, Host]
    world: Path
    environment: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)  # what was seen, for the report

    def type(self, host: Host, what: str, small: str = "") -> subprocess.Popen:
        """A command of the README, on the head or on a node."""
        command = told("head" if host is self.head else "node", what).removesuffix(" &")
        return host.start(f"{told('head', 'cluster.env')} && exec {command} {small}", self.environment)

    def join(self, node: Host) -> subprocess.Popen:
        """A node comes, again perhaps."""
        return self.type(node, "ray start", SMALL["node"])

    def work(self) -> subprocess.Popen:
        """Prefect's worker."""
        return self.type(self.head, "worker start")

    def train(self) -> subprocess.Popen:
        """Ask Prefect for a training; ends with it, with code 0 if it is completed."""
        parameters = " ".join(f"-p {name}='{json.dumps(value)}'" for name, value in RACE.items())
        return self.type(self.head, "train/rossmann", parameters)

    def fits(self) -> dict[str, int]:
        """What is kept, and when it was made."""
        return {file.name: file.stat().st_mtime_ns for file in (self.world / "backtests/fits").glob("*.npz")}

    def works(self, node: Host) -> bool:
        """Whether a fit runs on the node while some are done and more are to come."""
        return len(self.fits()) >= 4 and bool(node.processes("ray::_fit"))

    def forget(self) -> None:
        """What was fitted, so that all of it is done again."""
        shutil.rmtree(self.world / "backtests", ignore_errors=True)


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> SalesHistory:
    """So many stores that a fit takes a second."""
    return read_history(str(write_world(tmp_path_factory.mktemp("raw"), STORES, DAYS))).history


@pytest.fixture(scope="module")
def cluster(history: SalesHistory, tmp_path_factory) -> Iterator[Cluster]:
    if missing := lab.why_not():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("cluster")
    world, home = folder / "world", folder / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    save_snapshot(history, f"{world}/snapshots", datetime.now(UTC), "test")
    with lab.hosts(["head", "one", "two"], folder) as (head, *nodes):
        said = {"HEAD": head.address, "API_KEYS": KEY, "DATA_DIR": world}
        (home / "rossmann.env").write_text("".join(f"ROSSMANN_{name}={value}\n" for name, value in said.items()))
        bare = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
        made = Cluster(head, tuple(nodes), world, bare)
        try:
            up(made)
            yield made
        finally:
            for log in folder.glob("*.log"):
                sys.stdout.write(f"--- {log.name}\n{log.read_text()[-8000:]}")
            sys.stdout.write(f"seconds: {made.seconds}\n")


def up(made: Cluster) -> None:
    """Everything the README types before the training."""
    started = time.monotonic()
    ended(made.type(made.head, "ray start", SMALL["head"]), 120)
    joined = [made.join(node) for node in made.nodes]
    for each in joined:
        ended(each, 120)
    made.seconds["Ray is up"] = time.monotonic() - started
    made.type(made.head, "server start")
    wait(lambda: ":4200 " in made.head.run("ss --listening --numeric --tcp", made.environment), 120)
    ended(made.type(made.head, "work-pool create"), 120)
    deploy = told("head", "deploy --all").replace("--all", "--name train/rossmann")  # who is asked here
    made.head.run(f"{told('head', 'cluster.env')} && {deploy}", made.environment)
    made.work()
    made.seconds["up"] = time.monotonic() - started


def ended(command: subprocess.Popen, seconds: float) -> None:
    """It does within the time, and well."""
    assert command.wait(seconds) == 0, command.args


@pytest.fixture(scope="module")
def calm(cluster: Cluster, history: SalesHistory, tmp_path_factory) -> Race:
    """The same race on this machine alone, which nothing disturbs."""
    started, kept = time.monotonic(), Storage(str(tmp_path_factory.mktemp("calm")))
    racing = models.candidates(tuple(RACE["candidates"]), RACE["search"])
    origins = evaluation.fold_origins(history, RACE["folds"], 48, 48)
    entrants = [Entrant(candidate.name, candidate) for candidate in racing]
    terms = {"horizon_days": 48, "coverage": 0.9, "seed": 7, "ray_address": None, "progress": lambda *_: None}
    race = training.race(history, entrants, origins, **terms, kept=kept)
    cluster.seconds["undisturbed, on one machine"] = time.monotonic() - started
    return race


def same(cluster: Cluster, calm: Race) -> None:
    """Every row of the leaderboard's races, to the last bit."""
    race = training.load_race(Storage(f"{cluster.world}/backtests"), calm.key)
    pd.testing.assert_frame_equal(race.backtest.rows, calm.backtest.rows)
    assert race.failures == {}


@on_hosts
def test_a_killed_node_and_one_that_joins_change_nothing_but_the_time(cluster: Cluster, calm: Race) -> None:
    _, two = cluster.nodes
    run = cluster.train()
    wait(lambda: cluster.works(two), PATIENCE_S)
    two.kill()
    started, before = time.monotonic(), len(cluster.fits())
    ended(cluster.join(two), PATIENCE_S)
    wait(lambda: two.processes("ray::_fit"), PATIENCE_S)  # who comes in mid-run gets work
    cluster.seconds["joined again and at work after"] = time.monotonic() - started
    ended(run, PATIENCE_S)
    cluster.seconds[f"one node killed with {before} fits done, ended after"] = time.monotonic() - started
    same(cluster, calm)


@pytest.fixture(scope="module")
def crashed(cluster: Cluster) -> dict[str, int]:
    """What is kept of a training whose Prefect worker was killed in the middle, and started again."""
    cluster.forget()
    run = cluster.train()
    wait(lambda: cluster.works(cluster.nodes[1]), PATIENCE_S)
    started = time.monotonic()
    for process in cluster.head.processes("worker start"):
        process.kill()
    cluster.work()
    assert run.wait(PATIENCE_S) == 1
    cluster.seconds["found crashed after its Prefect worker was killed"] = time.monotonic() - started
    return cluster.fits()


@on_hosts
def test_a_killed_prefect_worker_orphans_no_run(cluster: Cluster, crashed: dict[str, int]) -> None:
    assert "Flow run finished in state 'Crashed'" in cluster.head.log.read_text()
    wait(lambda: not any(node.processes("ray::_fit") for node in cluster.nodes), 60)  # nor its fits


@on_hosts
def test_a_run_that_is_repeated_goes_on_and_a_pulled_cable_does_not_hold_it_up(
    cluster: Cluster, crashed: dict[str, int], calm: Race
) -> None:
    _, two = cluster.nodes
    again = cluster.train()
    wait(lambda: len(cluster.fits()) > len(crashed) and two.processes("ray::_fit"), PATIENCE_S)
    two.cut()
    try:
        started = time.monotonic()
        wait(lambda: Path(cluster.world, "backtests", calm.key, "race.json").exists(), 90)
        cluster.seconds["cable pulled, all fits done after"] = time.monotonic() - started
        ended(again, PATIENCE_S)  # MLflow and the final fit have no cable there
        cluster.seconds["cable pulled, run ended after"] = time.monotonic() - started
    finally:
        two.kill()
        two.mend()
    same(cluster, calm)
    assert crashed.items() <= cluster.fits().items()  # not made again
    ended(cluster.join(two), 120)


@on_hosts
def test_the_endpoint_is_on_both_nodes_and_survives_the_loss_of_one(cluster: Cluster, history: SalesHistory) -> None:
    known, (one, two) = at.registry_of(cluster.world), cluster.nodes
    snapshot = current_snapshot(f"{cluster.world}/snapshots")
    at.promote(known, at.register(known, at.learnt(history, "ridge", 7), history, snapshot, "ridge"))
    ended(cluster.type(cluster.head, "rossmann serve"), 150)
    assert [len(node.processes(REPLICA)) for node in (one, two)] == [1, 1]
    urls = [f"http://{node.address}:8000/predict" for node in (one, two)]
    plan = history.plan(history.origin, 48)
    bodies = [json.dumps({"store": int(plan.store[k]), "date": str(plan.date[k])}).encode() for k in range(len(plan))]
    with load(urls[0], bodies, 4, retries=5, others=urls[1:], key=KEY) as asked:
        time.sleep(3)
        two.kill()
        wait(lambda: len(one.processes(REPLICA)) == 2, 90)
        time.sleep(3)
    cluster.seconds["slowest answer with one node lost"] = max(asked.seconds)
    assert asked.failed == 0, asked.failures
    assert asked.retried > 0, "nothing was lost"


def test_ray_takes_ray_cluster_yaml_as_it_stands() -> None:
    """By Ray's own schema, which does not ask for a user to log in as: that is asked here."""
    config = yaml.safe_load(CONFIG.read_text())
    validate_config(prepare_config(config))
    assert config["auth"]["ssh_user"]
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config | {"head_adress": "10.0.0.1"}))


def test_the_commented_variant_for_a_cloud_is_one_that_ray_takes() -> None:
    text = CONFIG.read_text()
    variant = yaml.safe_load("\n".join(re.findall(r"^# (.*)$", text.split("# On a cloud")[1].split("\n\n")[0], re.M)))
    whole = prepare_config(yaml.safe_load(text) | variant)
    validate_config(whole)
    assert whole["auth"]["ssh_user"]
    assert whole["available_node_types"][whole["head_node_type"]]["resources"] == {"CPU": 0}


def test_ray_up_types_what_the_readme_types() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    for who, commands in (("head", config["head_start_ray_commands"]), ("node", config["worker_start_ray_commands"])):
        assert told(who, "cluster.env") in commands[-1]
        assert told(who, "ray start") in commands[-1]
