"""Every process of the running stack is killed in turn, with requests on the endpoint all the time."""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.load import background_load
from benchmarks.loop import Stack, running_stack
from rossmann.data import SalesHistory
from rossmann.schema import DAY
from tests.support.cluster import is_open, processes_named, processes_of, stack_folder, wait
from tests.support.endpoint import save_with_champion
from tests.support.nap import NAPPING, deploy_nap, query_prefect
from tests.support.proxy import running_config

pytestmark = [pytest.mark.proof, pytest.mark.alone, pytest.mark.timeout(900)]  # it waits for more than one recovery

RESTART_S, RECOVERY_S = 90, 270  # on two busy cores; docs/faults.md has the usual times
OTHERS = {  # process: where it answers again
    "mlflow server": ("MLFLOW_PORT", "health"),
    "prefect server start": ("PREFECT_PORT", "api/health"),
    "prefect worker start": None,
    "rossmann dashboard": ("DASHBOARD_PORT", "_stcore/health"),
}
PARTS_OF_RAY = ("ray::ServeReplica", "ray::ProxyActor", "raylet/raylet", "gcs_server",
                "dashboard.py", "ray start --head")  # fmt: skip
HAPROXY, ACTOR, GUARD = "haproxy -db", "ray::HAProxyManager", "rossmann.serving.proxy.guard"


@pytest.fixture(scope="module")
def stack(noisy: SalesHistory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`make up` with a champion that serves."""
    workspace = tmp_path_factory.mktemp("stack") / "workspace"
    workspace.mkdir()
    save_with_champion(workspace, noisy, "ridge")
    with running_stack(workspace, {}) as running:
        wait(lambda: running.served_version() is not None, RECOVERY_S)
        wait(lambda: running.get("PREFECT_PORT", "api/health") is not None, RECOVERY_S)
        yield running
        assert find(running, HAPROXY), "the endpoint is behind HAProxy"
        find(running, "supervisord")[0].terminate()  # as Ctrl-C
        wait(lambda: processes_of(workspace) == [], RESTART_S)
        assert not is_open(running.ports["ROSSMANN_HTTP_PORT"])
        assert not stack_folder(running.ports["ROSSMANN_HTTP_PORT"]).exists()
    sys.stdout.write((workspace.parent / "up.log").read_text())


@pytest.fixture
def url(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.ports['ROSSMANN_HTTP_PORT']}/predict"


@pytest.fixture
def bodies(noisy: SalesHistory) -> list[bytes]:
    """Requests of single rows on the day after the history."""
    date = str(noisy.origin + DAY)
    return [json.dumps({"store": int(store), "date": date}).encode() for store in noisy.stores.number]


def find(stack: Stack, command: str) -> list[psutil.Process]:
    """The processes with this command, without the shells that started them."""
    return [each for each in processes_named(stack.workspace, command) if each.name() != "bash"]


def kill(stack: Stack, command: str) -> set[psutil.Process]:
    """Kill the oldest process with this command, which has started the others; returns all of them."""
    while True:
        processes = set(find(stack, command))
        with suppress(psutil.NoSuchProcess):  # it has just ended, as an HAProxy does that was replaced
            min(processes, key=psutil.Process.create_time).kill()
            return processes


def is_restarted(stack: Stack, command: str, before: set[psutil.Process]) -> bool:
    """Whether another process has this command now; Ray may give an actor to a process that it started earlier."""
    return not before.issuperset(find(stack, command))


@pytest.mark.parametrize("command", OTHERS)
def test_the_endpoint_answers_every_request_while_another_process_is_restarted(stack, url, bodies, command):
    with background_load([url], bodies, 2) as result:
        time.sleep(1)
        before = kill(stack, command)
        wait(lambda: is_restarted(stack, command, before), RESTART_S)
        wait(lambda: OTHERS[command] is None or stack.get(*OTHERS[command]) is not None, RESTART_S)
        time.sleep(1)
    assert result.failed == 0, result.failures
    assert result.statuses[200] > 100


def test_a_flow_run_whose_worker_is_killed_ends_and_its_place_is_free(stack, tmp_path: Path):
    deploy_nap(stack.run, tmp_path / "checkout")
    stack.run("prefect deployment run nap/nap")
    wait(lambda: processes_named(stack.workspace, NAPPING), RESTART_S)
    (nap,) = processes_named(stack.workspace, NAPPING)
    kill(stack, "prefect worker start")
    wait(lambda: query_prefect(stack.workspace, "select state_type from flow_run") == ["CRASHED"], 30)
    wait(lambda: not nap.is_running(), 30)
    stack.run("prefect deployment run nap/nap")
    wait(lambda: processes_named(stack.workspace, NAPPING), RESTART_S)
    kill(stack, "prefect worker start")  # with the second nap, whose Ray would be taken for the stack's
    wait(lambda: len(find(stack, "gcs_server")) == 1, RESTART_S)


def test_requests_do_not_need_serves_controller(stack, url, bodies):
    with background_load([url], bodies, 2) as result:
        time.sleep(1)
        before = kill(stack, "ray::ServeController")
        wait(lambda: is_restarted(stack, "ray::ServeController", before), RECOVERY_S)
        time.sleep(1)
    assert result.failed == 0, result.failures


def test_a_killed_haproxy_is_back_within_three_seconds_and_follows_new_replicas(stack, url, bodies):
    """Serve starts another actor, because the one before cannot reload a process that it has not started."""
    before = kill(stack, HAPROXY)
    wait(lambda: is_restarted(stack, HAPROXY, before) and stack.served_version() == 1, 3)
    with background_load([url], bodies, 2, retries=3) as result:
        replica = kill(stack, "ray::ServeReplica")
        wait(lambda: is_restarted(stack, "ray::ServeReplica", replica), RECOVERY_S)
        wait(lambda: has_both_replicas(stack), RECOVERY_S)
        time.sleep(1)
    assert result.failed == 0, result.failures
    assert len(find(stack, GUARD)) == 2  # each starts the other again


def has_both_replicas(stack: Stack) -> bool:
    """Whether the configuration of the running HAProxy has the two replicas that run, and no other."""
    config = running_config(stack.ports["ROSSMANN_HTTP_PORT"])
    ports = {int(port) for port in re.findall(r"^    server \S+ \S+:(\d+) check observe", config, re.MULTILINE)}
    connections = [each for replica in find(stack, "ray::ServeReplica") for each in replica.net_connections("tcp4")]
    listening = {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}
    return len(ports) == 2 and ports <= listening


def test_a_killed_actor_of_haproxy_costs_no_request(stack, url, bodies):
    with background_load([url], bodies, 2) as result:
        time.sleep(1)
        before, proxies = kill(stack, ACTOR), set(find(stack, HAPROXY))
        wait(lambda: is_restarted(stack, ACTOR, before), RECOVERY_S)
        wait(lambda: is_restarted(stack, HAPROXY, proxies), RECOVERY_S)
        time.sleep(1)
    assert result.failed == 0, result.failures
    assert result.statuses[200] > 100


@pytest.mark.parametrize("command", PARTS_OF_RAY)
def test_the_endpoint_recovers_from_the_death_of_any_part_of_ray(stack, command):
    """A replica and the proxy are restarted by Ray, everything else together with the head and all replicas."""
    replicas = set(find(stack, "ray::ServeReplica"))
    before, started = kill(stack, command), time.monotonic()
    wait(lambda: is_restarted(stack, command, before), RECOVERY_S)
    if not command.startswith("ray::"):
        wait(lambda: not any(replica.is_running() for replica in replicas), RECOVERY_S)
    wait(lambda: stack.served_version() == 1, RECOVERY_S)
    sys.stdout.write(f"{command}: {time.monotonic() - started:.1f} s\n")
    wait(lambda: len(find(stack, "ray::ServeReplica")) == 2, RECOVERY_S)
    assert stack.served_version() == 1
