"""A Ray head of one's own, on free ports, beside whatever else runs on the machine."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import psutil

from rossmann.serving.deploying import Serve

OF_NOBODY = range(20_000, 32_768)


@contextmanager
def cluster(world: Path, config: Path) -> Iterator[Serve]:
    """A head in this world's environment, which the block has too; every process of it is gone afterwards."""
    dashboard, client, http = free_ports(3)
    environment = {
        "ROSSMANN_DATA_DIR": str(world),
        "ROSSMANN_SERVE_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "ROSSMANN_SERVE_CONFIG": str(config),
        "ROSSMANN_HTTP_PORT": str(http),
    }
    options = {
        "--port": 0, "--num-cpus": 4, "--ray-client-server-port": client, "--dashboard-host": "127.0.0.1",
        "--dashboard-port": dashboard, "--dashboard-agent-listen-port": 0, "--include-log-monitor": "false",
        "--object-store-memory": 100_000_000,
    }  # fmt: skip
    ray = [Path(sys.executable).parent / "ray", "start", "--head", "--block", "--disable-usage-stats"]
    command = [str(part) for part in (*ray, *(each for option in options.items() for each in option))]
    with patch.dict(os.environ, environment), (world / "ray.log").open("w") as log:
        head = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            wait(lambda: listens(dashboard), 90)
            yield Serve(environment["ROSSMANN_SERVE_ADDRESS"], config, "127.0.0.1", http, None)
        finally:
            for process in of_world(world):
                process.kill()
            head.wait(10)


def of_world(world: Path) -> list[psutil.Process]:
    """The processes started for a world, except this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ROSSMANN_DATA_DIR") == str(world) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue  # not ours, or gone meanwhile
    return found


def named(world: Path, name: str) -> list[psutil.Process]:
    """Those of a world with `name` in what they call themselves."""
    return [process for process in of_world(world) if name in " ".join(process.cmdline())]


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, of those that neither the system nor Ray hands out by itself later."""
    found: list[int] = []
    for port in random.sample(OF_NOBODY, len(OF_NOBODY)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"fewer than {count} free ports in {OF_NOBODY}")


def listens(port: int) -> bool:
    """Whether somebody does on the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(true: Callable[[], bool], seconds: float) -> None:
    """Until it is true; TimeoutError after the seconds."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.2)
