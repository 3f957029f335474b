"""A node of Ray for tests of HAProxy: Ray's own configuration and our launcher, with stand-ins for everything else.

The raylet and Ray's actor are processes that only start the next one; replicas are small servers in this process.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from rossmann.serving.proxy.processes import Process, ProxyFolder
from tests.support.cluster import free_ports, stack_folder

LAUNCHER = Path(__file__).parents[2] / "deployments" / "haproxy"
ACTOR = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]).wait(); time.sleep(600)"
RAYLET = "import subprocess, sys\nfor line in sys.stdin: subprocess.Popen(line.split(chr(0))[:-1])"


LARGE = random.Random(7).randbytes(10_000_000)  # as large as an answer of 53,520 rows


class Replica(BaseHTTPRequestHandler):
    """Returns the request's headers, or the status that its path names; LARGE for /large, no response for /cut."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/cut":
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        content = LARGE if self.path == "/large" else json.dumps({"path": self.path, "headers": headers}).encode()
        status = self.path.strip("/")
        self.send_response(int(status) if status.isdigit() else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def running_config(http_port: int) -> str:
    """The configuration of HAProxy in the stack whose endpoint has this port."""
    (node,) = stack_folder(http_port).iterdir()
    return ProxyFolder(node).running_config.read_text()


@contextmanager
def running_replica() -> Iterator[int]:
    """A replica; the block gets its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@dataclass
class ProxyNode:
    """The stand-ins of one node."""

    folder: ProxyFolder
    port: int
    raylet: subprocess.Popen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options: object) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=20, trust_env=False, **options)

    def is_ready(self) -> bool:
        """Whether a replica answers through HAProxy."""
        try:
            return self.get("/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def write_config(self, replicas: list[int], host: str = "127.0.0.1") -> None:
        """Write what Ray writes for these replicas."""
        path = self.folder.path
        config = HAProxyConfig(
            http_options=HTTPOptions(host=host, port=self.port), is_head=True, has_received_routes=bool(replicas),
            socket_path=str(self.folder.admin_socket), metrics_socket_path=f"{path}/metrics.sock",
            server_state_base=str(path), server_state_file=f"{path}/server-state",
            retry_on="conn-failure empty-response", retries=2, timeout_client_s=65, timeout_server_s=65,
        )  # fmt: skip
        servers = [ServerConfig(f"replica{port}", "127.0.0.1", port) for port in replicas]
        backend = BackendConfig(name="http-rossmann", path_prefix="/", app_name="rossmann", servers=servers)
        backends = {"http-rossmann": backend} if replicas else {}
        HAProxyApi(config, backends, str(self.folder.config))._generate_config_file_internal()

    def start_actor(self, replicas: list[int], *more_arguments: str) -> None:
        """Start an actor, which starts HAProxy as Ray does."""
        self.write_config(replicas)
        arguments = [str(LAUNCHER), "-db", "-f", str(self.folder.config), "-dR", *more_arguments]
        self.raylet.stdin.write("\0".join([sys.executable, "-c", ACTOR, *arguments, "\n"]))
        self.raylet.stdin.flush()

    def haproxy(self) -> Process:
        """The HAProxy that answers."""
        return self.folder.process("current")

    def processes(self, name: str = "") -> list[psutil.Process]:
        """HAProxy and its guard, or those with `name` in their command; the oldest first."""
        lines = {each: _command_line(each) for each in psutil.process_iter()}
        of_node = [each for each, line in lines.items() if str(self.folder.path) in line and ACTOR not in line]
        return sorted((each for each in of_node if name in lines[each]), key=psutil.Process.create_time)


@contextmanager
def running_node(replicas: list[int]) -> Iterator[ProxyNode]:
    """A node whose HAProxy has these replicas, and its files where deployments/serve.env puts them."""
    (port,) = free_ports(1)
    folder = ProxyFolder(stack_folder(port) / "node")
    folder.path.mkdir(parents=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    raylet = subprocess.Popen(
        [sys.executable, "-c", RAYLET], stdin=subprocess.PIPE, text=True, env=os.environ | {"PATH": path},
        start_new_session=True,
    )  # fmt: skip
    node = ProxyNode(folder, port, raylet)
    try:
        node.start_actor(replicas)
        yield node
    finally:
        os.killpg(raylet.pid, signal.SIGKILL)
        raylet.wait()
        raylet.stdin.close()
        deadline = time.monotonic() + 5
        while node.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        shutil.rmtree(folder.path.parent, ignore_errors=True)


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""  # ended meanwhile
