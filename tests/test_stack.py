"""What one types keeps its word: the lock, the environment, the deployments, a local stack that ends when asked to."""

import importlib
import inspect
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest
import yaml
from packaging.requirements import Requirement

from benchmarks.cluster import free_ports

REPOSITORY = Path(__file__).parents[1]
LOCK = (REPOSITORY / "requirements.lock").read_text().splitlines()
PROJECT = (REPOSITORY / "pyproject.toml").read_text()
PREFECT = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())

PORTS = ("PREFECT_PORT", "MLFLOW_PORT", "RAY_DASHBOARD_PORT", "RAY_CLIENT_PORT", "ROSSMANN_HTTP_PORT")
MAKE = "make --assume-old=.venv/installed-from-lock"  # a test must not rebuild the .venv it runs in

NAP = """
import time
import ray
from prefect import flow

@flow
def nap():
    ray.init("local", num_cpus=1, include_dashboard=False)
    ray.get(ray.remote(lambda: time.sleep(600)).options(name="napping").remote())
"""


def test_the_lock_is_exact_versions_and_names_no_address() -> None:
    assert [line for line in LOCK if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []


def test_the_lock_holds_what_the_project_asks_for() -> None:
    locked = dict(line.split("==") for line in LOCK)
    project = tomllib.loads(PROJECT)["project"]
    asked = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    assert [str(each) for each in asked if not each.specifier.contains(locked[each.name])] == []


def test_every_upper_bound_has_its_reason() -> None:
    bounded = [line for line in PROJECT.splitlines() if re.search(r'^[^#]*".*<', line)]
    assert len(bounded) > 3
    assert [line for line in bounded if "#" not in line] == []


@pytest.mark.parametrize("deployment", PREFECT["deployments"], ids=lambda each: each["entrypoint"])
def test_a_deployment_names_a_flow_and_its_parameters(deployment: dict) -> None:
    file, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
    schedules = deployment.get("schedules", [])
    given = set(deployment.get("parameters", {})).union(*(each.get("parameters", {}) for each in schedules))
    assert flow.name == name
    assert given <= set(inspect.signature(flow.fn).parameters)
    assert not any(each["active"] for each in schedules), "a fresh installation must do nothing by itself"


def test_every_flow_is_deployed_to_the_pool_that_the_worker_polls() -> None:
    deployed = {each["entrypoint"].split(":")[1] for each in PREFECT["deployments"]}
    assert deployed == {"ingest", "train", "release", "forecast", "monitor", "retrain"}
    pools = {each["work_pool"]["name"] for each in PREFECT["deployments"]}
    assert pools == {"rossmann"}
    assert "'--pool', 'rossmann'" in (REPOSITORY / "deployments/Procfile").read_text()


@pytest.mark.parametrize(
    ("asked", "world", "local"),
    [
        (None, f"{REPOSITORY}/data", f"{REPOSITORY}/data"),
        ("some/where", f"{REPOSITORY}/some/where", f"{REPOSITORY}/some/where"),
        ("/my worlds/one", "/my worlds/one", "/my worlds/one"),
        ("s3://bucket/one", "s3://bucket/one", f"{REPOSITORY}/data/s3/bucket/one"),
    ],
)
def test_the_world_of_a_terminal_is_an_absolute_folder_or_a_bucket(asked: str | None, world: str, local: str) -> None:
    settings = {name: value for name, value in os.environ.items() if name != "ROSSMANN_DATA_DIR"}
    settings |= {"ROSSMANN_DATA_DIR": asked} if asked else {}
    shown = _sh('eval "$(make -s env)"; echo "$ROSSMANN_DATA_DIR:$PREFECT_HOME:$MLFLOW_TRACKING_URI"', settings)
    assert shown == f"{world}:{local}/prefect:sqlite:///{local}/mlflow.db"


def test_databases_elsewhere_are_taken_from_the_environment() -> None:
    there = {"ROSSMANN_MLFLOW_TRACKING_URI": "postgresql+psycopg://me:secret@there/mlflow", "AWS_MAX_ATTEMPTS": "3"}
    shown = _sh(
        'eval "$(make -s env)"; echo "$MLFLOW_TRACKING_URI $AWS_MAX_ATTEMPTS $AWS_RETRY_MODE"', os.environ | there
    )
    assert shown == "postgresql+psycopg://me:secret@there/mlflow 3 standard"


def test_a_venv_is_made_once_and_again_when_half_made_or_the_lock_changed(tmp_path: Path) -> None:
    for file in ("Makefile", "requirements.lock"):
        (tmp_path / file).write_bytes((REPOSITORY / file).read_bytes())

    def would_make() -> bool:
        return "venv --clear .venv" in _sh(f"make -n -C {shlex.quote(str(tmp_path))} install", dict(os.environ))

    (tmp_path / ".venv/bin").mkdir(parents=True)
    assert would_make(), "a .venv without its stamp is half made"
    stamp = tmp_path / ".venv/installed-from-lock"
    stamp.touch()
    assert not would_make()
    later = stamp.stat().st_mtime + 10
    os.utime(tmp_path / "requirements.lock", (later, later))
    assert would_make()


@dataclass(frozen=True)
class Stack:
    """A running `make up`, in a process group of its own as a terminal gives it."""

    make: psutil.Popen
    world: Path
    ports: dict[str, int]

    def typed(self, command: str, folder: Path = REPOSITORY) -> str:
        """What another terminal shows after `eval "$(make -s env)"` and the command."""
        environment = f'eval "$(make -s env {_said(self.ports)} ROSSMANN_DATA_DIR={self.world})"'
        return _sh(f"{environment} && cd {folder} && {command}", dict(os.environ))

    def has_prefect(self) -> bool:
        return _answers(self.ports["PREFECT_PORT"], "api/health")

    def has_mlflow(self) -> bool:
        return _answers(self.ports["MLFLOW_PORT"], "health")

    def processes(self) -> set[psutil.Process]:
        return {self.make, *self.make.children(recursive=True)} if self.make.is_running() else set()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    command = [*MAKE.split(), "up", *_said(ports).split(), f"ROSSMANN_DATA_DIR={tmp_path}/world"]
    with (tmp_path / "up.log").open("w") as log:
        make = psutil.Popen(
            command,
            cwd=REPOSITORY,
            env=_terminal(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        running = Stack(make, tmp_path / "world", ports)
        try:
            yield running
        finally:
            for process in running.processes():
                process.kill()
            make.wait(10)
            sys.stdout.write((tmp_path / "up.log").read_text())


@pytest.mark.slow
def test_ctrl_c_ends_the_whole_stack_and_the_run_in_the_middle_of_it(stack: Stack, tmp_path: Path) -> None:
    _wait(stack.has_prefect, 90)
    stack.typed(f"{MAKE} deploy")
    _deploy_nap(stack, tmp_path / "checkout")
    stack.typed("prefect deployment run nap/rossmann")
    _wait(stack.has_mlflow, 90)
    _wait(lambda: any("napping" in process.name() for process in stack.processes()), 90)

    processes = stack.processes()
    os.killpg(stack.make.pid, signal.SIGINT)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert [process.cmdline() for process in alive] == []
    assert _of_world(stack.world) == []
    deployed = {each["entrypoint"] for each in PREFECT["deployments"]} | {"nap.py:nap"}
    assert sorted(_kept(stack.world, "select entrypoint from deployment")) == sorted(deployed)
    assert _kept(stack.world, "select state_type from flow_run") == ["CRASHED"], "it would keep its place in the limit"


def _deploy_nap(stack: Stack, checkout: Path) -> None:
    """A flow that sleeps in a local Ray, deployed the way ours are."""
    deployment = PREFECT["deployments"][0] | {"entrypoint": "nap.py:nap"}
    checkout.mkdir()
    (checkout / "nap.py").write_text(NAP)
    (checkout / "prefect.yaml").write_text(yaml.safe_dump(PREFECT | {"deployments": [deployment]}))
    stack.typed("prefect --no-prompt deploy --all", checkout)


def _kept(world: Path, query: str) -> list[str]:
    with closing(sqlite3.connect(world / "prefect/prefect.db")) as database:
        return [row[0] for row in database.execute(query)]


def _of_world(world: Path) -> list[str]:
    """The processes that were started for this world, whoever is their parent now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ROSSMANN_DATA_DIR") == str(world):
                found.append(process.name())
        except psutil.Error:
            continue  # not ours, or gone meanwhile
    return found


def _terminal(settings: Mapping[str, str]) -> dict[str, str]:
    """As a person's terminal has it, also where these tests were started by make."""
    return {name: value for name, value in settings.items() if not name.startswith("MAKE")}


def _sh(command: str, settings: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-c", command], cwd=REPOSITORY, env=_terminal(settings), text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


def _said(ports: dict[str, int]) -> str:
    return " ".join(f"{name}={port}" for name, port in ports.items())


def _wait(true: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.3)
