"""A Ray head for one test session, on free ports, beside whatever else runs on the machine."""

import os
import random
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import psutil

from rossmann.serving.deployment import ServeCluster

REPOSITORY = Path(__file__).parents[2]
PORTS = range(30_000, 32_768)  # neither the system, Ray nor deployments/serve.env assigns these by itself


@contextmanager
def running_cluster(workspace: Path, config: Path) -> Iterator[ServeCluster]:
    """A Ray head for a workspace. The block has the head's environment; at its end every process of it is killed."""
    dashboard, client, http = free_ports(3)
    environment = {
        "ROSSMANN_DATA_DIR": str(workspace),
        "ROSSMANN_SERVE_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "ROSSMANN_SERVE_CONFIG": str(config),
        "ROSSMANN_HTTP_PORT": str(http),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    options = {
        "--port": 0, "--num-cpus": 4, "--ray-client-server-port": client, "--dashboard-host": "127.0.0.1",
        "--dashboard-port": dashboard, "--dashboard-agent-listen-port": 0, "--include-log-monitor": "false",
        "--object-store-memory": 100_000_000,
    }  # fmt: skip
    ray = ["ray", "start", "--head", "--block", "--disable-usage-stats"]
    ray += [str(part) for option in options.items() for part in option]
    command = ["sh", "-c", f". deployments/serve.env && exec {shlex.join(ray)}"]
    with patch.dict(os.environ, environment), (workspace / "ray.log").open("w") as log:
        head = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait(lambda: is_open(dashboard), 90)
            yield ServeCluster(environment["ROSSMANN_SERVE_ADDRESS"], config, "127.0.0.1", http, None)
        finally:
            kill_all(processes_of(workspace))
            head.wait(10)
            shutil.rmtree(stack_folder(http), ignore_errors=True)


def stack_folder(http_port: int) -> Path:
    """The folder in which HAProxy has its files, in the stack whose endpoint has this port (deployments/serve.env)."""
    return Path(f"/tmp/serve-{os.getuid()}-{http_port}")


def processes_of(workspace: Path) -> list[psutil.Process]:
    """The processes with this workspace in their environment, except this one."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ROSSMANN_DATA_DIR") == str(workspace) and not _is_of_tests(process):
                processes.append(process)
        except psutil.Error:
            continue  # of another user, or ended meanwhile
    return processes


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill processes; some may end meanwhile, because others are killed."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _is_of_tests(process: psutil.Process) -> bool:
    """Whether it is this process, or the one that removes this process's semaphores."""
    return process.pid == os.getpid() or "multiprocessing.resource_tracker" in " ".join(process.cmdline())


def processes_named(workspace: Path, name: str) -> list[psutil.Process]:
    """The processes of a workspace with `name` in their command line."""
    return [process for process in processes_of(workspace) if name in _command_line(process)]


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""  # ended meanwhile


def free_ports(count: int) -> list[int]:
    """`count` different ports of PORTS that nobody uses now."""
    ports: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"fewer than {count} free ports in {PORTS}")


def is_open(port: int) -> bool:
    """Whether a process listens on this port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until the condition is true; TimeoutError if it is not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition was not true within {timeout_s} s")
        time.sleep(0.2)
