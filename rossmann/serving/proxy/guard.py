"""One per node: starts HAProxy again when it is killed, and ends it when Ray ends. Usage: guard FOLDER RAYLET_PID

Ray would notice a dead HAProxy after some seconds and replace its actor first, which takes up to half a minute.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from rossmann.serving.proxy.launcher import binary
from rossmann.serving.proxy.processes import Process, ProxyFolder, wait

PERIOD_S = 0.2
START_S = 5
WITHOUT_MANAGER_S = 60  # how long HAProxy goes on after Ray's actor, until Ray starts the next one


def main() -> None:
    """Watch until Ray ends, or until HAProxy has had no actor for a while.

    A second process watches; this one starts another if it fails or is killed, and if this one is, the other goes on.
    """
    folder, raylet = ProxyFolder(Path(sys.argv[1])), Process.of(int(sys.argv[2]))
    with folder.lock("guard.lock"):
        while True:
            if (watcher := os.fork()) == 0:
                guard(folder, raylet)
                os._exit(0)
            if os.waitpid(watcher, 0)[1] == 0:
                return
            time.sleep(PERIOD_S)


def guard(folder: ProxyFolder, raylet: Process) -> None:
    """Watch, then end HAProxy and remove its files."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes what this process has started
    watch(folder, raylet)
    for process in folder.proxies():
        process.kill(signal.SIGKILL)
    shutil.rmtree(folder.path, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.path.parent.rmdir()  # unless it has the folders of other nodes


def watch(folder: ProxyFolder, raylet: Process) -> None:
    """Returns when HAProxy is no longer needed."""
    last_manager = time.monotonic()
    while raylet.is_alive and time.monotonic() - last_manager < WITHOUT_MANAGER_S:
        time.sleep(PERIOD_S)
        if folder.process("manager").is_alive:
            last_manager = time.monotonic()
        if not folder.is_answering():
            with folder.lock():
                restart(folder, raylet)


def restart(folder: ProxyFolder, raylet: Process) -> None:
    """Start HAProxy with its last configuration, unless one is just starting.

    Ray's actor cannot reload a process that it has not started, so it is ended. Serve starts another, which takes over.
    """
    current = folder.process("current")
    if wait(folder.is_answering, START_S if current.is_alive else 0) or not raylet.is_alive:
        return
    current.kill(signal.SIGKILL)
    folder.write_config(folder.running_config.read_text())
    with (folder.path / "restart.log").open("a") as log:
        command = ["haproxy", "-db", "-f", str(folder.config), "-dR"]  # as Ray starts it
        proxy = subprocess.Popen(command, executable=binary(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    folder.remember("current", Process.of(proxy.pid))
    wait(folder.is_answering, START_S)
    with contextlib.suppress(ProcessLookupError):
        folder.process("manager").kill(signal.SIGKILL)


if __name__ == "__main__":
    main()
