"""Alarms that start runs, on a real server with a real worker: no storms, nobody forgotten, nobody called in vain."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from prefect.client.base import PrefectHttpxSyncClient

from benchmarks.cluster import free_ports, of_world, wait

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
PREFECT = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
RETRAIN = next(each for each in PREFECT["deployments"] if each["entrypoint"].endswith(":retrain"))
FORECAST = next(each for each in PREFECT["deployments"] if each["entrypoint"].endswith(":forecast"))
TOYS = """
import time
from prefect import flow
from flows import schedule

@flow
def retrain(reason: str = "asked", alarm: str | None = None):
    pass

@flow
def forecast():
    schedule.only_this_one()
    time.sleep(3)  # the others find their place taken

@flow
def nap():
    time.sleep(600)
"""
TELL = """
import sys
from flows import alarms
from rossmann.settings import Settings
for number in range(int(sys.argv[2])):
    if sys.argv[1] == "drift":
        told = alarms.Drift(reason=f"drift {number}", snapshot="s", kind="concept", name="n", of="o", effect=2, limit=1,
                            reference="r", report="p")
    else:
        told = alarms.BrokenData(reason="a broken file", raw="here")
    alarms.tell(Settings(), told)
"""


@dataclass
class Server:
    """A Prefect server of its own, and what it was told over its webhook."""

    world: Path
    port: int
    hook: int
    heard: list[dict] = field(default_factory=list)
    began: list[psutil.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "ROSSMANN_"))} | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PWD": str(self.world),
            "ROSSMANN_DATA_DIR": str(self.world),
            "ROSSMANN_NOTIFY_WEBHOOK": f"http://127.0.0.1:{self.hook}/alarms",
            "PREFECT_HOME": f"{self.world}/prefect",
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        }

    def start(self, *command: str) -> psutil.Popen:
        """In the background."""
        with (self.world / "log").open("a") as log:
            began = psutil.Popen(self.line(command), cwd=self.world, env=self.environment, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        self.began.append(began)
        return began

    def worker(self) -> psutil.Popen:
        return self.start("prefect", "worker", "start", "--pool", "rossmann", "--type", "process")

    def typed(self, *command: str) -> None:
        done = subprocess.run(self.line(command), cwd=self.world, env=self.environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def line(self, command: tuple[str, ...]) -> list[str]:
        return [f"{Path(sys.executable).parent}/{command[0]}", *command[1:]]

    def end(self) -> None:
        for process in of_world(self.world):
            process.kill()
        psutil.wait_procs(self.began, timeout=10)

    def tell(self, kind: str, count: int) -> None:
        self.typed("python", "-c", TELL, kind, str(count))

    def asked(self, path: str, **content: object) -> list[dict]:
        """By Prefect's own client, which asks again while the server's SQLite is locked (503)."""
        address = f"http://127.0.0.1:{self.port}/api/"
        with PrefectHttpxSyncClient(base_url=address, timeout=120, trust_env=False) as client:
            return client.post(path, json=content).json()

    def runs(self, flow: str) -> list[dict]:
        return self.asked("flow_runs/filter", flows={"name": {"any_": [flow]}})

    def states(self, flow: str) -> list[str]:
        return sorted(run["state_name"] for run in self.runs(flow))

    def automations(self) -> list[str]:
        return sorted(each["name"] for each in self.asked("automations/filter"))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """Toys deployed as the real flows are: same pool, same limits, same triggers; the automations of the house."""
    world = tmp_path_factory.mktemp("server")
    running = Server(world, *free_ports(2))
    toys = [RETRAIN | {"entrypoint": "toys.py:retrain"}, FORECAST | {"entrypoint": "toys.py:forecast"},
            {"name": "rossmann", "entrypoint": "toys.py:nap", "work_pool": RETRAIN["work_pool"]}]  # fmt: skip
    (world / "toys.py").write_text(TOYS)
    (world / "prefect.yaml").write_text(yaml.safe_dump(PREFECT | {"deployments": toys}))
    with listening(running):
        running.start("prefect", "server", "start", "--port", str(running.port))
        try:
            wait(lambda: answers(running.port), 300)
            running.typed("prefect", "work-pool", "create", "rossmann", "--type", "process")
            running.typed("prefect", "--no-prompt", "deploy", "--all")
            running.typed("rossmann", "automations")
            yield running
        finally:
            running.end()


@pytest.fixture(scope="module")
def orphan(server: Server) -> str:
    """A run whose process and whose worker died without a word, right after a heartbeat."""
    worker = server.worker()
    (run,) = [make_run(server, "nap", datetime.now(UTC))]
    wait(lambda: server.states("nap") == ["Running"], 300)
    wait(
        lambda: server.asked("events/filter", filter={"event": {"name": ["prefect.flow-run.heartbeat"]}})["events"], 60
    )
    for process in [*worker.children(recursive=True), worker]:
        process.send_signal(signal.SIGKILL)
    return run


@pytest.fixture(scope="module")
def worker(server: Server, orphan: str, late: list[str]) -> psutil.Popen:
    """Alive again, after the outage."""
    return server.worker()


@pytest.fixture(scope="module")
def late(server: Server, orphan: str) -> list[str]:
    """Runs that were planned for days on which no worker lived, and one with a plan of its own."""
    days = [datetime.now(UTC) - timedelta(days=days) for days in range(4, 0, -1)]
    return [make_run(server, "forecast", day) for day in days]


def test_registering_again_changes_nothing(server):
    before = server.automations()
    assert len([name for name in before if name.startswith("rossmann ·")]) == 3
    server.typed("rossmann", "automations")
    server.typed("prefect", "--no-prompt", "deploy", "--all")
    assert server.automations() == before


def test_fifty_alarms_at_once_start_one_run_with_their_reason(server, worker):
    server.tell("drift", 50)
    wait(lambda: server.runs("retrain"), 300)
    wait(lambda: server.states("retrain") == ["Completed"], 300)
    server.tell("drift", 1)  # within the cool-down
    told = [json.loads(file.read_text()) for file in (server.world / "alarms").glob("*.json")]
    assert len(told) == 51
    # Prefect may tell one twice: what met a locked SQLite is delivered again after a minute
    wait(lambda: {named(each) for each in heard(server, "rossmann.drift.detected")} == {e["id"] for e in told}, 280)
    (run,) = server.runs("retrain")
    assert run["parameters"] in [{"reason": each["reason"], "alarm": each["id"]} for each in told]


def test_broken_data_start_nothing_and_are_told(server, worker):
    before = len(server.runs("retrain"))
    server.tell("broken", 1)
    wait(lambda: heard(server, "rossmann.data.failed"), 300)
    assert "a broken file" in heard(server, "rossmann.data.failed")[0]["text"]
    assert len(server.runs("retrain")) == before


def test_after_an_outage_one_of_the_late_runs_does_for_all(server, late, worker):
    wait(lambda: set(server.states("forecast")) <= {"Completed", "Cancelled"}, 300)
    assert server.states("forecast") == ["Cancelled"] * (len(late) - 1) + ["Completed"]


def test_a_run_whose_process_died_is_found(server, orphan):
    wait(lambda: server.states("nap") == ["Crashed"], 300)
    (run,) = server.runs("nap")
    assert "no heartbeats" in run["state"]["message"]


def make_run(server: Server, flow: str, at: datetime) -> str:
    """A run of a deployment, as its schedule would have made it."""
    (deployment,) = server.asked("deployments/filter", flows={"name": {"any_": [flow]}})
    details = {"scheduled_time": at.isoformat()}
    state = {"type": "SCHEDULED", "state_details": details}
    return server.asked(f"deployments/{deployment['id']}/create_flow_run", state=state)["id"]


def heard(server: Server, event: str) -> list[dict]:
    """The notifications about an event."""
    return [message for message in server.heard if event in message["subject"]]


def named(message: dict) -> str:
    """The alarm that a notification is about."""
    return re.match(r"alarm (\w+):", message["text"])[1]


def answers(port: int) -> bool:
    """Whether Prefect does."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


class listening:  # noqa: N801
    """A webhook on the loopback."""

    def __init__(self, server: Server) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            log_message: Callable = staticmethod(lambda *_: None)

        self.http = HTTPServer(("127.0.0.1", server.hook), Handler)

    def __enter__(self) -> None:
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
