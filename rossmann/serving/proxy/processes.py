"""HAProxy's processes and files on a node, whose folder is in the one that deployments/serve.env names."""

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05


@dataclass(frozen=True)
class Process:
    """A process by its id and the time of its start, so that another process with the same id is not taken for it."""

    pid: int
    start: str

    @staticmethod
    def of(pid: int) -> "Process":
        """The process with this id now; one that has ended if there is none."""
        stat = _stat(pid)
        return Process(pid, stat[19] if stat else "")

    @property
    def is_alive(self) -> bool:
        """Whether it runs. A zombie does not."""
        stat = _stat(self.pid)
        return bool(stat) and stat[19] == self.start and stat[0] != "Z"

    @property
    def parent(self) -> "Process | None":
        """Its parent; None if it has ended."""
        stat = _stat(self.pid)
        return Process.of(int(stat[1])) if stat and stat[19] == self.start else None

    def kill(self, signal: int) -> None:
        """Send a signal, if it is alive."""
        if self.is_alive:
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(self.pid, signal)


@dataclass(frozen=True)
class ProxyFolder:
    """The folder of a node: Ray's configuration and sockets of HAProxy, and who runs it."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "haproxy.cfg"

    @property
    def running_config(self) -> Path:
        """A copy of the last configuration that HAProxy accepted; Ray overwrites `config` before it starts another."""
        return self.path / "running.cfg"

    @property
    def admin_socket(self) -> Path:
        return self.path / "admin.sock"

    @property
    def guard_lock(self) -> Path:
        """Locked while a guard runs."""
        return self.path / "guard.lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process at a time starts HAProxy."""
        with (self.path / "start.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def is_guarded_through(self, descriptor: int) -> bool:
        """Whether a descriptor is of this folder's guard lock: not if the folder was removed, or is a new one."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.guard_lock.stat())
        except FileNotFoundError:
            return False

    def write_config(self, text: str) -> None:
        """Write an accepted configuration for an HAProxy that is about to start."""
        for file in (self.config, self.running_config):
            if not file.exists() or file.read_text() != text:
                _replace(file, text)

    def remember(self, name: str, process: Process) -> None:
        """Store who is `actor`, Ray's process that starts HAProxy, or `current`, the newest HAProxy."""
        _replace(self.path / name, f"{process.pid} {process.start}")

    def process(self, name: str) -> Process:
        """The process that was stored under this name."""
        pid, start = (self.path / name).read_text().split(" ")
        return Process(int(pid), start)

    def is_answering(self) -> bool:
        """Whether an HAProxy that accepts requests listens on the admin socket; one that drains does not."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            try:
                probe.connect(str(self.admin_socket))
            except OSError:
                return False
        return True

    def proxies(self) -> list[Process]:
        """All HAProxy processes of this node, also those that drain."""
        pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
        return [Process.of(pid) for pid in pids if self._is_proxy(pid)]

    def _is_proxy(self, pid: int) -> bool:
        try:
            program, *arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except (OSError, ValueError):
            return False  # it has ended
        return Path(program).name == "haproxy" and str(self.config) in arguments


def wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition becomes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _replace(file: Path, text: str) -> None:
    """Write a file so that a reader, or a process that starts after a kill, has all of the old text or of the new."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
