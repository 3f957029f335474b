"""The lock, the Makefile's environment, the deployments and their triggers, and a local stack that ends as a whole."""

import asyncio
import importlib
import inspect
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from uuid import uuid4

import httpx
import psutil
import pytest
import yaml
from packaging.requirements import Requirement
from prefect.server.api.server import create_ui_app
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent

from flows.alarms import COOL_DOWN, DataIngested, resource
from flows.automations import WORKSPACE_ID, definitions
from rossmann.alarms import Alarm, DriftDetected, Event, FlowFailed, Outcome, PerformanceDegraded
from rossmann.settings import TELEMETRY_OFF, Settings
from tests.support.cluster import free_ports, is_open, kill_all, processes_named, processes_of
from tests.support.nap import NAPPING, deploy_nap, query_prefect

REPOSITORY = Path(__file__).parents[1]
LOCK = (REPOSITORY / "requirements.lock").read_text().splitlines()
PROJECT = (REPOSITORY / "pyproject.toml").read_text()
PREFECT = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
AUTOMATIONS = yaml.safe_load((REPOSITORY / "deployments/automations.yaml").read_text())
ALARMS, OUTCOMES = Alarm.__subclasses__(), Outcome.__subclasses__()

AMPLITUDE = "amplitude.com"
PORTS = ("PREFECT_PORT", "MLFLOW_PORT", "RAY_DASHBOARD_PORT", "RAY_CLIENT_PORT", "ROSSMANN_HTTP_PORT", "DASHBOARD_PORT")
MAKE = "make --assume-old=.venv/installed-from-lock"  # a test must not rebuild the .venv it runs in


def test_the_lock_is_exact_versions_and_names_no_address() -> None:
    assert [line for line in LOCK if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []


def test_the_lock_satisfies_the_project_requirements() -> None:
    locked = dict(line.split("==") for line in LOCK)
    project = tomllib.loads(PROJECT)["project"]
    requirements = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    assert [str(each) for each in requirements if not each.specifier.contains(locked[each.name])] == []


def test_every_upper_bound_has_its_reason() -> None:
    bounded = [line for line in PROJECT.splitlines() if re.search(r'^[^#]*".*<', line)]
    assert len(bounded) > 3
    assert [line for line in bounded if "#" not in line] == []


def test_the_local_stack_switches_all_telemetry_off() -> None:
    exports = re.sub(r" #.*", "", (REPOSITORY / "deployments/local.env").read_text()).split()
    assert [name for name, value in TELEMETRY_OFF.items() if f"{name}={value}" not in exports] == []


def test_the_page_that_prefect_opens_asks_no_other_host_for_its_telemetry() -> None:
    ui = create_ui_app(ephemeral=False)  # with the settings of TELEMETRY_OFF

    async def scripts(path: str) -> str:
        transport = httpx.ASGITransport(ui)
        async with httpx.AsyncClient(transport=transport, base_url="http://ui", follow_redirects=True) as client:
            page = await client.get(path, headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
            files = re.findall(r'(?:src|href)="(/[^"]+\.js)"', page.text)
            assert files, page.text
            return "".join([(await client.get(file)).text for file in files])

    assert AMPLITUDE not in asyncio.run(scripts("/"))
    assert AMPLITUDE in asyncio.run(scripts("/v2/")), "Prefect's V2 asks nobody by now: let it open again"


def test_the_addresses_are_said_once_everything_that_was_started_listens() -> None:
    """`make up` runs it beside the parts, and its output may be a file."""
    assert "deployments/ready.sh" in (REPOSITORY / "deployments/supervisord.conf").read_text()
    prefect, dashboard, *others = free_ports(4)
    ports = dict(zip(("MLFLOW_PORT", "ROSSMANN_HTTP_PORT"), others, strict=True))
    ports |= {"PREFECT_PORT": prefect, "DASHBOARD_PORT": dashboard}
    started = {"START_server": "true", "START_dashboard": "true", "START_mlflow": "false", "START_endpoint": "false"}
    environment = os.environ | started | {name: str(port) for name, port in ports.items()}
    with socket.create_server(("127.0.0.1", prefect)):
        command = ["deployments/ready.sh"]
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        with socket.create_server(("127.0.0.1", dashboard)):
            output, _ = process.communicate(timeout=20)
    assert output == f"ready: Prefect http://127.0.0.1:{prefect}, dashboard http://127.0.0.1:{dashboard}\n"


def test_a_second_backup_into_the_same_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "journal.db").touch()
    command = [sys.executable, "deployments/backup.py", f"{tmp_path}/workspace", f"{tmp_path}/copy"]
    first, second = (subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 1)
    assert second.stderr == f"{tmp_path}/copy exists: name another folder, so that no copy is mixed with an older one\n"


@pytest.mark.parametrize("deployment", PREFECT["deployments"], ids=lambda each: each["entrypoint"])
def test_a_deployment_names_a_flow_and_its_parameters(deployment: dict) -> None:
    file, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
    schedules = deployment.get("schedules", [])
    triggers = deployment.get("triggers", [])
    parameters = set(deployment.get("parameters", {}))
    parameters = parameters.union(*(each.get("parameters", {}) for each in [*schedules, *triggers]))
    assert flow.name == name
    assert parameters <= set(inspect.signature(flow.fn).parameters)
    assert not any(each["active"] for each in schedules), "a fresh installation must do nothing by itself"


def test_every_flow_is_deployed_to_the_pool_that_the_worker_polls() -> None:
    deployed = {each["entrypoint"].split(":")[1] for each in PREFECT["deployments"]}
    assert deployed == {"sweep", "ingest", "refresh", "train", "release", "forecast", "monitor", "retrain"}
    pools = {each["work_pool"]["name"] for each in PREFECT["deployments"]}
    assert pools == {"rossmann"}
    assert "prefect worker start --pool rossmann " in (REPOSITORY / "deployments/supervisord.conf").read_text()


@pytest.mark.parametrize("file", ["deployments/supervisord.conf", "deployments/compose.yaml", "ray_cluster.yaml"])
def test_every_ray_node_has_the_settings_of_its_http_proxy(file: str) -> None:
    lines = [line for line in (REPOSITORY / file).read_text().splitlines() if re.search(r"^[^#]*\bray start ", line)]
    assert lines
    assert [line for line in lines if not re.search(r"\. deployments/(serve|cluster)\.env && .*ray start", line)] == []


def test_deployments_and_triggers_have_names_of_their_own() -> None:
    names = [each["name"] for each in PREFECT["deployments"]]
    names += [trigger["name"] for each in PREFECT["deployments"] for trigger in each.get("triggers", [])]
    names += [each["name"] for each in AUTOMATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("event", [*ALARMS, DataIngested, *OUTCOMES], ids=lambda each: each.event)
def test_a_trigger_reacts_to_the_events_of_its_classes_and_to_no_other(event: type[Event]) -> None:
    triggers, notifications = triggers_of(Settings()), notifications_of(Settings())
    assert reacts(triggers["monitor after ingest"], event) == (event is DataIngested)
    assert reacts(triggers["retrain on alarm"], event) == event.starts_retraining
    notified = issubclass(event, Alarm) and event is not FlowFailed  # failed runs have a notification of their own
    assert reacts(notifications["rossmann · notify of alarms"], event) == notified
    assert reacts(notifications["rossmann · notify of outcomes"], event) == issubclass(event, Outcome)


def test_nothing_reacts_to_another_workspace_of_the_same_name(monkeypatch, tmp_path) -> None:
    own = Settings()
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path / own.workspace.name))
    assert Settings().workspace.name == own.workspace.name
    for event in (*ALARMS, DataIngested, *OUTCOMES):
        for trigger in [*triggers_of(own).values(), *notifications_of(own).values()]:
            assert not reacts(trigger, event)


def test_all_deployments_and_everything_about_runs_have_the_tag_of_the_workspace() -> None:
    tag = Settings().workspace.tag
    assert all(tag in each["tags"] for each in for_workspace(PREFECT["deployments"], Settings()))
    about_runs = [each["trigger"] for each in definitions(Settings()) if "flow-run" in str(each["trigger"]["match"])]
    assert len(about_runs) == 2
    assert all(f"prefect.tag.{tag}" in str(each["match_related"]) for each in about_runs)


def test_open_alarms_are_sent_again_only_after_the_cool_down_of_their_trigger() -> None:
    assert triggers_of(Settings())["retrain on alarm"]["within"] == COOL_DOWN.total_seconds()


def test_only_drift_and_bad_forecasts_start_a_retraining() -> None:
    assert {each for each in ALARMS if each.starts_retraining} == {DriftDetected, PerformanceDegraded}


def for_workspace(definition: list | dict, settings: Settings) -> list | dict:
    """A part of prefect.yaml as it is registered for a workspace."""
    text = yaml.safe_dump(definition).replace(f"{{{{ ${WORKSPACE_ID} }}}}", settings.workspace.id)
    return yaml.safe_load(text)


def triggers_of(settings: Settings) -> dict[str, dict]:
    """The triggers of prefect.yaml by name."""
    deployments = for_workspace(PREFECT["deployments"], settings)
    return {each["name"]: each for deployment in deployments for each in deployment.get("triggers", [])}


def notifications_of(settings: Settings) -> dict[str, dict]:
    """The triggers of the automations that notify of our own events, by the automation's name."""
    return {
        each["name"]: each["trigger"]
        for each in definitions(settings)
        if "notify" in each and "flow-run" not in str(each["trigger"]["match"])
    }


def reacts(trigger: dict, event: type[Event]) -> bool:
    """Whether Prefect's own trigger, as the YAML defines it, covers and expects an event of ours."""
    definition = {"posture": "Reactive", "threshold": 1} | {name: trigger[name] for name in ("match", "expect")}
    received = ReceivedEvent(
        id=uuid4(), occurred=datetime.now(UTC), event=event.event, resource=resource(Settings(), event), payload={}
    )
    event_trigger = EventTrigger.model_validate(definition)
    return event_trigger.covers(received) and event_trigger.expects(event.event)


@pytest.mark.parametrize(
    ("data_dir", "workspace", "local"),
    [
        (None, f"{REPOSITORY}/data", f"{REPOSITORY}/data"),
        ("some/where", f"{REPOSITORY}/some/where", f"{REPOSITORY}/some/where"),
        ("/my workspaces/one", "/my workspaces/one", "/my workspaces/one"),
        ("s3://bucket/one", "s3://bucket/one", f"{REPOSITORY}/data/s3/bucket/one"),
    ],
)
def test_the_workspace_of_a_terminal_is_an_absolute_folder_or_a_bucket(
    data_dir: str | None, workspace: str, local: str
) -> None:
    settings = {name: value for name, value in os.environ.items() if name != "ROSSMANN_DATA_DIR"}
    settings |= {"ROSSMANN_DATA_DIR": data_dir} if data_dir else {}
    output = _sh('eval "$(make -s env)"; echo "$ROSSMANN_DATA_DIR:$PREFECT_HOME:$MLFLOW_TRACKING_URI"', settings)
    assert output == f"{workspace}:{local}/prefect:sqlite:///{local}/mlflow.db"


def test_external_databases_come_from_the_environment() -> None:
    external = {"ROSSMANN_MLFLOW_TRACKING_URI": "postgresql+psycopg://me:secret@host/mlflow", "AWS_MAX_ATTEMPTS": "3"}
    output = _sh(
        'eval "$(make -s env)"; echo "$MLFLOW_TRACKING_URI $AWS_MAX_ATTEMPTS $AWS_RETRY_MODE"', os.environ | external
    )
    assert output == "postgresql+psycopg://me:secret@host/mlflow 3 standard"


def test_settings_given_to_make_up_reach_a_terminal_that_is_given_the_same() -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("ROSSMANN_")}
    echo = (
        'echo "$(python -c "from rossmann.settings import Settings; s = Settings(); print(len(s.api_keys), s.folds)")"'
    )
    assert _sh(f'eval "$(make -s env ROSSMANN_API_KEYS=one,tw-o== ROSSMANN_FOLDS=5)"; {echo}', settings) == "2 5"
    assert _sh(f'eval "$(ROSSMANN_API_KEYS=one make -s env)"; {echo}', settings) == "1 8"
    assert _sh(f'eval "$(make -s env)"; {echo}', settings) == "0 8"


def test_a_venv_is_created_once_and_again_if_incomplete_or_older_than_the_lock(tmp_path: Path) -> None:
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / file).write_bytes((REPOSITORY / file).read_bytes())

    def is_created() -> bool:
        return "venv --clear .venv" in _sh(f"make -n -C {shlex.quote(str(tmp_path))} install", dict(os.environ))

    (tmp_path / ".venv/bin").mkdir(parents=True)
    assert is_created(), "a .venv without its stamp is incomplete"
    stamp = tmp_path / ".venv/installed-from-lock"
    stamp.touch()
    assert not is_created()
    later = stamp.stat().st_mtime + 10
    os.utime(tmp_path / "requirements.lock", (later, later))
    assert is_created()


@dataclass(frozen=True)
class Stack:
    """A running `make up`, in a process group of its own as in a terminal."""

    make: psutil.Popen
    workspace: Path
    ports: dict[str, int]

    def run(self, command: str) -> str:
        """The output of a command in another terminal after `eval "$(make -s env)"` and the command."""
        environment = f'eval "$(make -s env {_assignments(self.ports)} ROSSMANN_DATA_DIR={self.workspace})"'
        return _sh(f"{environment} && {command}", dict(os.environ))

    def has_prefect(self) -> bool:
        return _is_ok(self.ports["PREFECT_PORT"], "api/health")

    def has_mlflow(self) -> bool:
        return _is_ok(self.ports["MLFLOW_PORT"], "health")

    def processes(self) -> set[psutil.Process]:
        return {self.make, *self.make.children(recursive=True)} if self.make.is_running() else set()

    def supervisor(self) -> psutil.Process:
        (process,) = (each for each in self.processes() if each.name() == "supervisord")
        return process

    def open_ports(self) -> list[str]:
        return [name for name, port in self.ports.items() if is_open(port)]


@pytest.fixture
def stack(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """All processes, or those that the test names as the fixture's parameter."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    command = [*MAKE.split(), "up", *_assignments(ports).split(), f"ROSSMANN_DATA_DIR={tmp_path}/workspace"]
    command += [f"PROCESSES={request.param}"] if hasattr(request, "param") else []
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
        running = Stack(make, tmp_path / "workspace", ports)
        try:
            yield running
        finally:
            kill_all({*running.processes(), *processes_of(running.workspace)})
            make.wait(10)
            sys.stdout.write((tmp_path / "up.log").read_text())


@pytest.mark.proof
@pytest.mark.alone
def test_ctrl_c_ends_the_whole_stack_and_its_flow_run(stack: Stack, tmp_path: Path) -> None:
    _wait_until(stack.has_prefect, 180)
    stack.run(f"{MAKE} deploy")
    deploy_nap(stack.run, tmp_path / "checkout")
    stack.run("prefect deployment run nap/nap")
    _wait_until(stack.has_mlflow, 90)
    _wait_until(lambda: _is_ok(stack.ports["DASHBOARD_PORT"], "_stcore/health"), 90)
    _wait_until(lambda: processes_named(stack.workspace, NAPPING), 90)

    processes = stack.processes()
    os.killpg(stack.make.pid, signal.SIGINT)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert [process.cmdline() for process in alive] == []
    assert processes_of(stack.workspace) == []
    assert stack.open_ports() == []
    deployed = {each["entrypoint"] for each in PREFECT["deployments"]} | {"nap.py:nap"}
    assert sorted(query_prefect(stack.workspace, "select entrypoint from deployment")) == sorted(deployed)
    assert query_prefect(stack.workspace, "select state_type from flow_run") == ["CRASHED"], (
        "a run that does not report its end keeps its place in the concurrency limit"
    )


ENDINGS: dict[str, Callable[[Stack], None]] = {
    "make gets SIGTERM": lambda stack: stack.make.terminate(),
    "the terminal is closed": lambda stack: os.killpg(stack.make.pid, signal.SIGHUP),
    "make is killed": lambda stack: stack.make.kill(),
    "supervisord is killed": lambda stack: stack.supervisor().kill(),
}


@pytest.mark.proof
@pytest.mark.alone
@pytest.mark.parametrize("stack", ["mlflow ray"], indirect=True)
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_nothing_outlives_the_stack_however_it_ends(stack: Stack, end: Callable[[Stack], None]) -> None:
    _wait_until(lambda: stack.has_mlflow() and is_open(stack.ports["RAY_DASHBOARD_PORT"]), 90)
    processes = stack.processes()
    end(stack)
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert [process.cmdline() for process in alive] == []
    assert processes_of(stack.workspace) == []
    assert stack.open_ports() == []
    assert stack.make.wait() != 0, "only make up itself ends the stack without an error"


def _terminal(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a terminal, also if these tests were started by make."""
    return {name: value for name, value in settings.items() if not name.startswith("MAKE")}


def _sh(command: str, settings: dict[str, str]) -> str:
    result = subprocess.run(
        ["sh", "-c", command], cwd=REPOSITORY, env=_terminal(settings), text=True, capture_output=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def _is_ok(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as response:
            return response.status == 200
    except (URLError, OSError):
        return False


def _assignments(ports: dict[str, int]) -> str:
    return " ".join(f"{name}={port}" for name, port in ports.items())


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.3)
