"""Events that start runs, on a real Prefect server with a real worker: which do, how often, and who is notified."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from prefect.client.base import PrefectHttpxSyncClient

from flows.cli.doctor import watching
from rossmann.alarms import DataRejected, DriftDetected
from rossmann.workspace import Workspace
from tests.support.cluster import free_ports, kill_all, processes_of, wait

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
PREFECT = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
DEPLOYMENTS = {each["entrypoint"].split(":")[1]: each for each in PREFECT["deployments"]}
AUTOMATIONS = yaml.safe_load((REPOSITORY / "deployments/automations.yaml").read_text())
TOY_FLOWS = """
import time
from prefect import flow
from flows import run_checks

@flow
def retrain(reason: str = "by hand", alarm_id: str | None = None):
    pass

@flow
def forecast():
    run_checks.cancel_duplicate_runs()
    time.sleep(3)  # the concurrency limit is reached meanwhile

@flow
def nap():
    time.sleep(600)

@flow
def fail():
    raise ValueError("the plan cannot be used")
"""
PUBLISH_ALARMS = """
import sys
from flows.alarms import publish
from rossmann import alarms
from rossmann.settings import Settings
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    if sys.argv[1] == "drift":
        alarm = alarms.DriftDetected(reason=f"drift {number}", snapshot="s", kind="concept", name=f"n{number}",
                                     subject="o", effect=2, limit=1, reference="r", report="p")
    else:
        alarm = alarms.DataRejected(reason="a damaged file", raw="here")
    publish(Settings(), alarm)
"""

CREATE_RETRAINING = """
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Running
from rossmann.settings import Settings

@flow
def retrain():
    pass

with get_client(sync_client=True) as client:
    run = client.create_flow_run(retrain, state=Running(), tags=[Settings().workspace.tag])
    client.set_flow_run_state(run.id, Running(), force=True)
print(run.name, run.id)
"""
DIAGNOSE_WATCHING = """
import json, os
from flows.cli.doctor.findings import read_surroundings
from flows.cli.doctor.watching import watching
print(json.dumps([each.text for each in watching(read_surroundings(os.environ)) if each.advice]))
"""
DELETE_RUN = """
import sys
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    client.delete_flow_run(sys.argv[1])
"""


@dataclass
class Server:
    """A Prefect server of its own, and the notifications that its webhook has received."""

    workspace: Path
    port: int
    webhook_port: int
    notifications: list[dict] = field(default_factory=list)
    processes: list[psutil.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "ROSSMANN_"))} | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "ROSSMANN_DATA_DIR": str(self.workspace),
            "ROSSMANN_NOTIFY_WEBHOOK": f"http://127.0.0.1:{self.webhook_port}/alarms",
            "PREFECT_HOME": f"{self.workspace}/prefect",
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        }

    def start(self, *command: str) -> psutil.Popen:
        """Start a command of the environment in the background."""
        with (self.workspace / "log").open("a") as log:
            output = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            process = psutil.Popen(
                _absolute(command), cwd=self.workspace, env=self.environment, start_new_session=True, **output
            )
        self.processes.append(process)
        return process

    def start_worker(self) -> psutil.Popen:
        return self.start("prefect", "worker", "start", "--pool", "rossmann", "--type", "process")

    def run(self, *command: str, **settings: str) -> str:
        """Run a command of the environment, with other settings; it must succeed. Returns its stdout."""
        environment = self.environment | settings
        result = subprocess.run(_absolute(command), cwd=self.workspace, env=environment, text=True, capture_output=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def end(self) -> None:
        kill_all(processes_of(self.workspace))
        psutil.wait_procs(self.processes, timeout=10)

    def publish_alarms(self, kind: str, first: int, last: int, **settings: str) -> None:
        self.run("python", "-c", PUBLISH_ALARMS, kind, str(first), str(last), **settings)

    def post(self, path: str, **content: object) -> list[dict]:
        """Call the API by Prefect's own client, which retries while the server's SQLite is locked (503)."""
        address = f"http://127.0.0.1:{self.port}/api/"
        with PrefectHttpxSyncClient(base_url=address, timeout=120, trust_env=False) as client:
            return client.post(path, json=content).json()

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/api/health", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def runs(self, flow: str) -> list[dict]:
        return self.post("flow_runs/filter", flows={"name": {"any_": [flow]}})

    def states(self, flow: str) -> list[str]:
        return sorted(run["state_name"] for run in self.runs(flow))

    def automations(self) -> list[str]:
        return sorted(each["name"] for each in self.post("automations/filter"))

    def schedule_run(self, flow: str, at: datetime, name: str | None = None) -> str:
        """Create a run of a deployment as its schedule does; by name where a flow has several. Returns its id."""
        names = {"deployments": {"name": {"any_": [name]}}} if name else {}
        (deployment,) = self.post("deployments/filter", flows={"name": {"any_": [flow]}}, **names)
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}
        return self.post(f"deployments/{deployment['id']}/create_flow_run", state=state)["id"]

    def notifications_of(self, event: str) -> list[dict]:
        return [message for message in self.notifications if event in message["subject"]]


def toy(flow: str, tags: list[str]) -> dict:
    """The deployment of a toy flow."""
    return {
        "name": flow, "entrypoint": f"toys.py:{flow}", "tags": tags, "work_pool": DEPLOYMENTS["retrain"]["work_pool"]
    }  # fmt: skip


def _absolute(command: tuple[str, ...]) -> list[str]:
    return [f"{Path(sys.executable).parent}/{command[0]}", *command[1:]]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """Toy flows, deployed as the real ones are: same pool, same limits, same triggers; and the real automations."""
    workspace = tmp_path_factory.mktemp("server")
    server = Server(workspace, *free_ports(2))
    toys = [DEPLOYMENTS["retrain"] | {"entrypoint": "toys.py:retrain"},
            DEPLOYMENTS["forecast"] | {"entrypoint": "toys.py:forecast"},
            toy("nap", DEPLOYMENTS["retrain"]["tags"]), toy("fail", DEPLOYMENTS["retrain"]["tags"]),
            toy("fail", ["of another project"]) | {"name": "foreign"}]  # fmt: skip
    (workspace / "toys.py").write_text(TOY_FLOWS)
    (workspace / "prefect.yaml").write_text(yaml.safe_dump(PREFECT | {"deployments": toys}))
    with webhook(server):
        server.start("prefect", "server", "start", "--port", str(server.port))
        try:
            wait(server.is_ready, 300)
            server.run("prefect", "work-pool", "create", "rossmann", "--type", "process")
            server.run("python", "-m", "flows.cli", "deploy")
            yield server
        finally:
            server.end()


@pytest.fixture(scope="module")
def dead_run(server: Server) -> str:
    """The id of a run whose process and whose worker were killed right after a heartbeat."""
    worker = server.start_worker()
    run = server.schedule_run("nap", datetime.now(UTC))
    heartbeat = {"event": {"name": ["prefect.flow-run.heartbeat"]}}
    wait(lambda: server.states("nap") == ["Running"], 300)
    wait(lambda: server.post("events/filter", filter=heartbeat)["events"], 60)
    for process in [*worker.children(recursive=True), worker]:
        process.send_signal(signal.SIGKILL)
    return run


@pytest.fixture(scope="module")
def late_runs(server: Server, dead_run: str) -> list[str]:
    """Ids of runs that were scheduled for days on which no worker ran."""
    days = [datetime.now(UTC) - timedelta(days=days) for days in range(4, 0, -1)]
    return [server.schedule_run("forecast", day) for day in days]


@pytest.fixture(scope="module")
def worker(server: Server, late_runs: list[str]) -> psutil.Popen:
    """The worker after the outage."""
    return server.start_worker()


def test_an_open_alarm_says_which_retraining_will_answer_it(server, tmp_path):
    elsewhere = {"ROSSMANN_DATA_DIR": str(tmp_path / "own"), "PREFECT_UI_URL": "http://ui"}
    server.publish_alarms("drift", 0, 1, **elsewhere)
    command = ("python", "-m", "flows.cli", "alarms", "--json")
    (alarm,) = json.loads(server.run(*command, **elsewhere))
    assert alarm["retraining"] is None
    name, run = server.run("python", "-c", CREATE_RETRAINING, **elsewhere).split()[-2:]
    (alarm,) = json.loads(server.run(*command, **elsewhere))
    server.run("python", "-c", DELETE_RUN, run)  # other tests count the runs
    assert re.fullmatch(
        rf"a retraining, {name}, runs since \S+ \S+ UTC and answers the alarms that wait for it: http://ui/runs/flow-run/\S+",
        alarm["retraining"],
    )


def test_deploy_and_doctor_say_that_no_schedule_is_active_and_nobody_is_notified(server):
    def texts(**settings: str) -> list[str]:
        return json.loads(server.run("python", "-c", DIAGNOSE_WATCHING, **settings))

    assert texts() == [watching.NO_SCHEDULE]
    assert texts(ROSSMANN_NOTIFY_WEBHOOK="") == [watching.NOBODY, watching.NO_SCHEDULE]
    command = [sys.executable, "-m", "flows.cli", "deploy"]
    output = subprocess.run(command, cwd=server.workspace, env=server.environment, text=True, capture_output=True)
    assert output.stderr == f"{watching.NO_SCHEDULE}: {watching.ACTIVATE}\n"


def test_registering_again_changes_nothing(server):
    automations = server.automations()
    assert set(automations) == {"retrain on alarm", *(each["name"] for each in AUTOMATIONS)}
    lines = server.run("python", "-m", "flows.cli", "deploy").splitlines()
    assert server.automations() == automations
    assert "deployment retrain/retrain-weekly" in lines
    assert {line.split(" ")[0] for line in lines} == {"deployment", "automation"}, "and nothing of Prefect's"


@pytest.fixture(scope="module")
def drift_alarms(server: Server, worker: psutil.Popen) -> list[dict]:
    """Fifty alarms that were published at once, and one that was published after the run that they started."""
    server.publish_alarms("drift", 0, 50)
    wait(lambda: server.runs("retrain"), 300)
    wait(lambda: server.states("retrain") == ["Completed"], 300)
    server.publish_alarms("drift", 50, 51)  # within the cool-down
    alarms = [json.loads(file.read_text()) for file in (server.workspace / "alarms").glob("*.json")]
    return [alarm for alarm in alarms if alarm["event"] == DriftDetected.event]


def foreign_workspace(server: Server) -> Path:
    """A workspace with the same name in another folder."""
    return server.workspace / "elsewhere" / server.workspace.name


def test_an_alarm_starts_one_run_with_its_reason_and_one_of_another_workspace_starts_none(server, worker):
    server.publish_alarms("drift", 200, 201, ROSSMANN_DATA_DIR=str(foreign_workspace(server)))
    server.publish_alarms("drift", 201, 202)
    wait(lambda: server.states("retrain") == ["Completed"], 300)
    assert len(list((foreign_workspace(server) / "alarms").glob("*.json"))) == 1
    (alarm,) = [json.loads(file.read_text()) for file in (server.workspace / "alarms").glob("*.json")]
    (run,) = server.runs("retrain")
    assert run["parameters"] == {"reason": alarm["reason"], "alarm_id": alarm["id"]}


@pytest.mark.proof
def test_fifty_alarms_at_once_start_one_run_with_their_reason(server, drift_alarms):
    assert len(drift_alarms) == 51
    (run,) = server.runs("retrain")
    assert run["parameters"] in [{"reason": alarm["reason"], "alarm_id": alarm["id"]} for alarm in drift_alarms]


@pytest.mark.proof
def test_each_of_fifty_alarms_at_once_is_notified(server, drift_alarms):
    # An action that met a locked SQLite is repeated after a minute, so Prefect may also notify twice of one alarm.
    ids = {alarm["id"] for alarm in drift_alarms}
    wait(lambda: {alarm_id(each) for each in server.notifications_of(DriftDetected.event)} == ids, 280)
    assert len(server.runs("retrain")) == 1  # neither did the alarm within the cool-down start a run


def test_rejected_data_start_no_run_and_are_notified(server, worker):
    runs = len(server.runs("retrain"))
    server.publish_alarms("data", 0, 1)
    wait(lambda: server.notifications_of(DataRejected.event), 300)
    assert "a damaged file" in server.notifications_of(DataRejected.event)[0]["text"]
    assert len(server.runs("retrain")) == runs


def test_a_failed_run_is_notified_when_it_fails_and_that_of_another_project_is_not(server, worker):
    for deployment in ("foreign", "fail"):
        server.schedule_run("fail", datetime.now(UTC), deployment)
    wait(lambda: server.states("fail") == ["Failed", "Failed"], 300)
    wait(lambda: server.notifications_of("prefect.flow-run.Failed"), 60)
    (message,) = server.notifications_of("prefect.flow-run.Failed")
    assert re.match(r"run .* of fail/fail: .*the plan cannot be used", message["text"])
    assert message["subject"].endswith(Workspace(str(server.workspace)).id)


def test_after_an_outage_one_of_the_late_runs_does_the_work_of_all(server, late_runs, worker):
    wait(lambda: set(server.states("forecast")) <= {"Completed", "Cancelled"}, 300)
    assert server.states("forecast") == ["Cancelled"] * (len(late_runs) - 1) + ["Completed"]


@pytest.mark.proof
def test_a_run_whose_process_died_is_marked_as_crashed(server, dead_run):
    wait(lambda: server.states("nap") == ["Crashed"], 300)
    (run,) = server.runs("nap")
    assert "no longer sends heartbeats" in run["state"]["message"]


def alarm_id(notification: dict) -> str:
    """The id of the alarm in a notification."""
    return re.match(r"alarm (\w+):", notification["text"])[1]


@contextmanager
def webhook(server: Server) -> Iterator[None]:
    """Appends what is posted to the server's notifications."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.notifications.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        log_message: Callable = staticmethod(lambda *_: None)

    http = HTTPServer(("127.0.0.1", server.webhook_port), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        http.shutdown()
        http.server_close()
