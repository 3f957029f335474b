"""HAProxy as Ray starts it through our launcher: who can reach it, its errors, slow senders, and what a kill costs."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from ray.serve._private.constants import (
    SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
    SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
)

from flows.cli.doctor import network
from flows.cli.doctor.findings import Surroundings
from rossmann.serving.proxy import processes
from rossmann.serving.proxy.config import REQUEST_TIMEOUT_S, UnknownConfigError, edit_config
from rossmann.serving.proxy.contract import CLIENT_HEADER, MESSAGES
from rossmann.serving.proxy.processes import Process, ProxyFolder
from tests.support.cluster import PORTS, free_ports, stack_folder, wait
from tests.support.proxy import LARGE, ProxyNode, running_node, running_replica

REPOSITORY = Path(__file__).parents[1]
(ENDPOINT_PORT,) = [each for each in network.PORTS if each.variable == "ROSSMANN_HTTP_PORT"]
LAUNCHER, GUARD = "proxy.launcher", "proxy.guard"  # in their commands


@pytest.fixture(scope="module")
def replica() -> Iterator[int]:
    with running_replica() as port:
        yield port


@pytest.fixture(scope="module")
def node(replica: int) -> Iterator[ProxyNode]:
    """A node that no test changes."""
    with running_node([replica]) as running:
        wait(running.is_ready, 20)
        yield running


@pytest.fixture
def disposable_node(replica: int) -> Iterator[ProxyNode]:
    """A node whose processes are killed."""
    with running_node([replica]) as running:
        wait(running.is_ready, 20)
        yield running


def test_only_the_endpoints_port_is_open_and_its_sockets_are_private(node):
    connections = psutil.Process(node.haproxy().pid).net_connections()
    assert {each.laddr for each in connections if each.type == socket.SOCK_DGRAM} == set()
    assert {each.laddr for each in connections if each.status == psutil.CONN_LISTEN} == {("127.0.0.1", node.port)}
    assert stat.S_IMODE(node.folder.admin_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(node.folder.path.parent.stat().st_mode) == 0o700


def test_a_folder_of_another_user_is_refused(tmp_path):
    folder = tmp_path / "folder" / "node"
    folder.mkdir(parents=True)
    os.chown(folder.parent, 12345, -1) if os.getuid() == 0 else pytest.skip("needs root")
    assert "belongs to another user" in refusal(folder)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "folder" / "node").mkdir(parents=True, mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert "is not a folder" in refusal(tmp_path / "link" / "node")
    port = free_ports(1)[0]
    stack_folder(port).symlink_to(tmp_path)
    try:
        environment, message = serve_env(ROSSMANN_HTTP_PORT=str(port))
    finally:
        stack_folder(port).unlink()
    assert "RAY_SERVE_HAPROXY_SOCKET_PATH" not in environment
    assert "is not a folder of this user" in message


def refusal(folder: Path) -> str:
    """What the launcher says when it does not start HAProxy in this folder."""
    command = [REPOSITORY / "deployments" / "haproxy", "-db", "-f", folder / "haproxy.cfg", "-dR"]
    result = subprocess.run(command, env=venv_first(), text=True, capture_output=True, timeout=20)
    assert result.returncode == 1
    return result.stderr


def test_a_process_may_end_while_it_is_read_or_killed(monkeypatch):
    stats = iter([["S"] * 20, []])
    monkeypatch.setattr(processes, "_stat", lambda _: next(stats))
    assert Process.of(1) == Process(1, "S")
    monkeypatch.setattr(Process, "is_alive", True)
    Process(2**22 + 1, "").kill(signal.SIGTERM)  # larger than the largest id


def test_who_runs_haproxy_can_be_read_at_any_time(tmp_path):
    folder, process = ProxyFolder(tmp_path), Process.of(os.getpid())
    folder.remember("current", process)
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(lambda: [folder.remember("current", process) for _ in range(2000)])
        while not writing.done():
            assert folder.process("current") == process


def test_the_callers_address_comes_from_the_proxy_only(node):
    headers = node.get("/", headers={CLIENT_HEADER: "203.0.113.9"}).json()["headers"]
    assert headers[CLIENT_HEADER.lower()] == "127.0.0.1"


def test_callers_cannot_switch_off_serves_time_out(node):
    """The names are those that Serve reads."""
    names = {SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER, SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER}
    assert not names & set(node.get("/", headers=dict.fromkeys(names, "-1")).json()["headers"])


@pytest.mark.parametrize("status", [401, 413, 422, 429, 500, 503, 504])
def test_an_error_of_a_replica_arrives_as_it_is(node, status):
    response = node.get(f"/{status}")
    assert response.status_code == status
    assert response.json()["path"] == f"/{status}"


def test_a_large_request_and_its_answer_pass(node):
    response = httpx.post(f"{node.url}/large", content=b" " * 16_000_000, timeout=30, trust_env=False)
    assert response.content == LARGE


def test_health_and_routes(node):
    assert (node.get("/-/healthz").status_code, node.get("/-/healthz").text) == (200, "success")
    assert node.get("/-/routes").json() == {"/": "rossmann"}


def assert_is_error(response: httpx.Response, status: int, text: str) -> None:
    """HAProxy's own errors have the JSON of all others."""
    assert response.status_code == status
    content = response.json()
    assert text in content["error"]
    assert text in content["problems"][0]["message"]
    assert content["request_id"] == response.headers["X-Request-ID"]


def test_a_replica_that_ends_during_a_request_is_502(node):
    assert_is_error(node.get("/cut"), 502, "try again")


@pytest.mark.parametrize("replicas", [[], [1]], ids=["before the deployment", "no replica listens"])
def test_without_a_replica_the_status_is_503(replicas):
    with running_node(replicas) as node:
        wait(node.folder.is_answering, 20)
        wait(lambda: replicas == [] or node.get("/-/healthz").status_code == 503, 20)
        assert_is_error(node.get("/ready"), 503, "no replica is running")
        (finding,) = network.ports(Surroundings({"ROSSMANN_HTTP_PORT": str(node.port)}, None), (ENDPOINT_PORT,))
        assert (finding.status, finding.advice.endswith("rossmann serve")) == ("wrong", True)  # not: end HAProxy


def send_raw(port: int, sent: bytes) -> tuple[int, bytes]:
    """The status and the body of the response to a raw message."""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(sent)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_what_is_not_http_is_400(node):
    """HAProxy refuses it before it knows what to do with it, and with a page of its own."""
    assert send_raw(node.port, b"hello\r\n\r\n")[0] == 400


SLOW = {
    "head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
    "body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n",
}


def send_slowly(port: int, head: bytes) -> bytes:
    """Send the head, then a byte a second; returns what is received first."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head)
        connection.settimeout(1)
        for _ in range(3 * REQUEST_TIMEOUT_S):
            try:
                connection.sendall(b"x")
                return connection.recv(4096)
            except TimeoutError:
                continue
    return b"nothing"


def test_ten_slow_senders_do_not_stay_and_others_are_served_meanwhile(node):
    started = time.monotonic()
    with ThreadPoolExecutor(10) as senders:
        responses = [senders.submit(send_slowly, node.port, SLOW[part]) for part in ("head", "body") * 5]
        assert node.is_ready()
    assert time.monotonic() - started < REQUEST_TIMEOUT_S + 5
    assert {response.result()[:12] for response in responses} == {b"HTTP/1.1 408"}
    assert b"too long to arrive" in responses[1].result()


def test_a_killed_haproxy_answers_again_within_three_seconds_and_ray_starts_another(disposable_node):
    killed, actor = disposable_node.haproxy(), disposable_node.folder.process("actor")
    killed.kill(signal.SIGKILL)
    wait(lambda: not killed.is_alive and disposable_node.is_ready(), 3)
    wait(lambda: not actor.is_alive, 5)  # so that Ray notices, and starts the next one
    restarted = disposable_node.haproxy()
    with requests_without_failure(disposable_node):
        disposable_node.start_actor([])  # as Ray does: it adds the replicas later
        wait(lambda: disposable_node.haproxy() != restarted and not restarted.is_alive, 10)


def test_a_killed_actor_costs_no_request(disposable_node):
    before = disposable_node.haproxy()
    with requests_without_failure(disposable_node):
        disposable_node.folder.process("actor").kill(signal.SIGKILL)
        time.sleep(1)
        assert before.is_alive
        disposable_node.start_actor([])
        wait(lambda: disposable_node.haproxy() != before and not before.is_alive, 10)


def requests_without_failure(node: ProxyNode) -> ExitStack:
    """Requests all the time, each on a new connection; the block fails if one does."""
    stop, failures, answers = threading.Event(), [], []

    def send() -> None:
        while not stop.is_set():
            try:
                answers.append(node.get("/").status_code)
            except httpx.HTTPError as error:
                failures.append(error)

    thread = threading.Thread(target=send)

    def end() -> None:
        stop.set()
        thread.join()
        assert failures == []
        assert set(answers) == {200}

    stack = ExitStack()
    stack.callback(end)
    thread.start()
    return stack


def test_an_actor_that_ends_before_its_haproxy_starts_leaves_the_one_before(disposable_node):
    before = disposable_node.haproxy()
    with disposable_node.folder.lock():
        disposable_node.start_actor([])
        wait(lambda: any(os.getsid(each.pid) == each.pid for each in disposable_node.processes(LAUNCHER)), 5)
        (launcher,) = disposable_node.processes(LAUNCHER)
        actor = Process.of(launcher.ppid())
        actor.kill(signal.SIGKILL)
        wait(lambda: not actor.is_alive, 5)
    wait(lambda: not Process.of(launcher.pid).is_alive, 5)
    assert disposable_node.haproxy() == before
    assert before.is_alive


def test_a_reload_also_replaces_an_haproxy_that_ray_does_not_know(disposable_node, replica):
    before = disposable_node.haproxy()
    with requests_without_failure(disposable_node):
        disposable_node.start_actor([replica], "-sf", "4194303", "-x", str(disposable_node.folder.admin_socket))
        wait(lambda: disposable_node.haproxy() != before and not before.is_alive, 10)


def test_a_configuration_that_haproxy_refuses_changes_nothing(disposable_node, replica):
    before, config = disposable_node.haproxy(), disposable_node.folder.running_config.read_text()
    disposable_node.write_config([replica])
    file = disposable_node.folder.config
    file.write_text(file.read_text().replace("\ndefaults\n", "\ndefaults\n    nonsense\n"))
    assert "unknown keyword 'nonsense'" in refusal(disposable_node.folder.path)
    assert (disposable_node.haproxy(), disposable_node.folder.running_config.read_text()) == (before, config)
    assert disposable_node.is_ready()


def test_the_actor_stays_until_haproxy_answers(disposable_node):
    folder, actor = disposable_node.folder, disposable_node.folder.process("actor")
    accepted = folder.running_config.read_text()
    folder.running_config.write_text("no such keyword\n")
    disposable_node.haproxy().kill(signal.SIGKILL)
    wait(lambda: "does not answer" in (folder.path / "guard.log").read_text(), 15)
    assert actor.is_alive
    folder.running_config.write_text(accepted)
    wait(lambda: disposable_node.is_ready() and not actor.is_alive, 15)


def test_each_process_of_the_guard_replaces_the_other(disposable_node):
    for victim in (0, 1, 0):
        wait(lambda: len(disposable_node.processes(GUARD)) == 2, 5)
        killed = disposable_node.processes(GUARD)[victim]
        killed.kill()
        wait(lambda killed=killed: len(set(disposable_node.processes(GUARD)) - {killed}) == 2, 5)
    disposable_node.haproxy().kill(signal.SIGKILL)
    wait(disposable_node.is_ready, 5)


def test_a_node_has_one_guard(disposable_node):
    before = disposable_node.haproxy()
    for _ in range(3):
        disposable_node.start_actor([])
    wait(lambda: disposable_node.haproxy() != before and disposable_node.processes(LAUNCHER) == [], 10)
    assert len(disposable_node.processes(GUARD)) == 2


def test_a_guard_whose_folder_was_removed_ends_and_leaves_haproxy_to_ray(disposable_node, replica):
    before = disposable_node.haproxy()
    shutil.rmtree(disposable_node.folder.path)
    wait(lambda: disposable_node.processes(GUARD) == [], 5)
    disposable_node.folder.path.mkdir()  # without the socket through which the next HAProxy would take over
    disposable_node.start_actor([replica])
    wait(lambda: not before.is_alive, 10)
    wait(disposable_node.is_ready, 10)
    assert len(disposable_node.processes(GUARD)) == 2


def test_nothing_outlives_ray(disposable_node):
    wait(lambda: len(disposable_node.processes()) == 3, 5)
    disposable_node.raylet.kill()
    wait(lambda: disposable_node.processes() == [], 3)
    assert not disposable_node.folder.path.exists()


def test_a_configuration_that_is_not_rays_is_refused(node):
    text = node.folder.config.read_text()
    assert edit_config(text) == text
    node.write_config([1])
    fresh = node.folder.config.read_text()
    assert edit_config(fresh) != fresh
    with pytest.raises(UnknownConfigError, match="RAY_SERVE_ENABLE_HA_PROXY=0"):
        edit_config(fresh.replace("mode 666", "mode 644"))
    with pytest.raises(UnknownConfigError, match="bind HOST:PORT"):
        edit_config(fresh.replace("bind 127.0.0.1:", "bind ipv4@127.0.0.1/"))
    with pytest.raises(UnknownConfigError, match="server NAME HOST:PORT"):
        edit_config(fresh.replace("server replica1 127.0.0.1:1", "server replica1 unix@/tmp/socket"))


def test_no_message_ends_its_quotation_in_haproxys_configuration():
    assert not [text for text in MESSAGES.values() if set(text) & set("'%\"\\")]


@pytest.mark.parametrize(("host", "server"), [("198.51.100.7", "198.51.100.7"), ("0.0.0.0", "127.0.0.1")])
def test_replicas_are_asked_where_they_listen(node, host, server):
    node.write_config([4321], host)
    assert re.search(r"server replica4321 (\S+):4321 ", edit_config(node.folder.config.read_text()))[1] == server


def serve_env(**settings: str) -> tuple[dict[str, str], str]:
    """The environment after deployments/serve.env, and what it says."""
    command = '. deployments/serve.env; exec python3 -c "import json, os; print(json.dumps(dict(os.environ)))"'
    folder = stack_folder(int(settings.get("ROSSMANN_HTTP_PORT", 8000)))
    is_new = not folder.exists()
    result = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, env=venv_first() | settings, text=True,
                            capture_output=True, check=True)  # fmt: skip
    if is_new and folder.exists():
        folder.rmdir()
    return json.loads(result.stdout), result.stderr


def venv_first() -> dict[str, str]:
    """The environment of a shell in which `python` is this one."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_haproxy_is_used_unless_it_is_switched_off_or_does_not_run(tmp_path):
    assert serve_env()[0]["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert serve_env(RAY_SERVE_ENABLE_HA_PROXY="0")[0]["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    (tmp_path / "python").write_text("#!/bin/sh\necho no such program >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    environment, message = serve_env(PATH=f"{tmp_path}:{venv_first()['PATH']}")
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert message == "HAProxy does not run on this machine, so Ray Serve uses its own proxy: no such program\n"
    environment, message = serve_env(PATH=f"{tmp_path}:{venv_first()['PATH']}", ROSSMANN_HEAD="10.0.0.1")
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "1"  # the nodes of a cluster do not differ
    assert "(no such program): repair it, or set RAY_SERVE_ENABLE_HA_PROXY=0" in message


def test_two_stacks_share_neither_folders_nor_ports():
    stacks = [serve_env(ROSSMANN_HTTP_PORT=port)[0] for port in ("8000", "8001", "8100", "9000", "18000")]
    names = [name for name in stacks[0] if name.startswith("RAY_SERVE_HAPROXY_") and "/tmp/" in stacks[0][name]]
    assert len(names) == 5
    assert all(len({stack[name] for stack in stacks}) == len(stacks) for name in names)
    lowest, highest = (f"RAY_SERVE_DIRECT_INGRESS_{which}_HTTP_PORT" for which in ("MIN", "MAX"))
    ports = [range(int(each[lowest]), int(each[highest]) + 1) for each in stacks]
    assert len(set().union(*ports)) == sum(map(len, ports))
    assert all(20_000 <= own[0] < own[-1] < PORTS[0] for own in ports)
    assert all(
        int(stack["RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"]) in own for stack, own in zip(stacks, ports, strict=True)
    )
