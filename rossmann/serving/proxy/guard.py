"""One per node: starts HAProxy again when it is killed, and ends it when Ray ends. Usage: guard FOLDER RAYLET_PID LOCK

LOCK is the descriptor of the folder's guard lock, which the launcher has locked. Ray would notice a dead HAProxy after
some seconds and replace its actor first, which takes up to half a minute.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rossmann.serving.proxy.launcher import binary
from rossmann.serving.proxy.processes import Process, ProxyFolder, wait

PERIOD_S = 0.2
START_S = 5
WITHOUT_ACTOR_S = 60  # how long HAProxy goes on after Ray's actor, until Ray starts the next one


def main() -> None:
    """Watch until Ray ends, or until HAProxy has had no actor for a while.

    The second of two processes watches. If it fails or is killed, the first one starts another; if the first one is,
    the second takes its place and starts another, too.
    """
    node = Node(ProxyFolder(Path(sys.argv[1])), Process.of(int(sys.argv[2])), int(sys.argv[3]))
    while True:
        first = os.getpid()
        if (second := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes what this process has started
            if watch(node, first):
                end(node)
                os._exit(0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        elif exit_status(second) == 0:
            return
        time.sleep(PERIOD_S)


@dataclass(frozen=True)
class Node:
    """What a guard watches."""

    folder: ProxyFolder
    raylet: Process
    lock: int

    @property
    def is_in_use(self) -> bool:
        """Whether Ray runs, and this is its guard: a new folder, after this one was removed, gets a new guard."""
        return self.raylet.is_alive and self.folder.is_guarded_through(self.lock)


def exit_status(child: int) -> int:
    """Wait for the end of a child; the others, which HAProxy may be, are removed when they end."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return status


def watch(node: Node, first: int) -> bool:
    """True when HAProxy is no longer needed; False when the guard's first process has ended."""
    last_actor = time.monotonic()
    while node.is_in_use and time.monotonic() - last_actor < WITHOUT_ACTOR_S:
        if os.getppid() != first:
            return False
        time.sleep(PERIOD_S)
        if node.folder.process("actor").is_alive:
            last_actor = time.monotonic()
        if not node.folder.is_answering():
            with node.folder.lock():
                restart(node)
    return True


def restart(node: Node) -> None:
    """Start HAProxy with its last configuration, unless one is just starting.

    Ray's actor cannot reload a process that it has not started, so it is ended. Serve starts another, which takes over.
    """
    folder, current = node.folder, node.folder.process("current")
    if wait(folder.is_answering, START_S if current.is_alive else 0) or not node.is_in_use:
        return
    current.kill(signal.SIGKILL)
    folder.write_config(folder.running_config.read_text())
    command = ["haproxy", "-db", "-f", str(folder.config), "-dR"]  # as Ray starts it
    proxy = subprocess.Popen(command, executable=binary(), stdin=subprocess.DEVNULL)
    folder.remember("current", Process.of(proxy.pid))
    if wait(folder.is_answering, START_S):
        folder.process("actor").kill(signal.SIGKILL)
    else:
        sys.stderr.write(f"HAProxy {proxy.pid} does not answer within {START_S} s; it is started again\n")
        sys.stderr.flush()


def end(node: Node) -> None:
    """End HAProxy and remove its files, unless they are no longer this guard's."""
    if node.raylet.is_alive and not node.is_in_use:
        return
    for process in node.folder.proxies():
        process.kill(signal.SIGKILL)
    shutil.rmtree(node.folder.path, ignore_errors=True)
    if not node.raylet.is_alive:
        with contextlib.suppress(OSError):
            node.folder.path.parent.rmdir()  # unless it has the folders of other nodes


if __name__ == "__main__":
    main()
