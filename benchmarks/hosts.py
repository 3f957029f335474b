"""Hosts on one machine, on one bridge: each its own processes, network, name, /dev/shm and /tmp/ray. Linux, as root."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TOOLS = ("ip", "unshare", "nsenter", "setpriv")
INIT = "trap '' CHLD; exec sleep infinity"  # who ignores its children's end buries them


@dataclass(frozen=True)
class Host:
    """One of them: its process 1 as this machine numbers it, and the end of its cable on the bridge."""

    name: str
    address: str
    init: int
    cable: str
    log: Path
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, command: str, environment: Mapping[str, str]) -> subprocess.Popen:
        """A shell command in the background; what it says goes to the host's log."""
        with self.log.open("a") as log:
            self.started.append(subprocess.Popen(self._entered(command), env=environment, stdin=subprocess.DEVNULL,
                                                 stdout=log, stderr=log, start_new_session=True))  # fmt: skip
        return self.started[-1]

    def run(self, command: str, environment: Mapping[str, str]) -> str:
        """What a shell command says; RuntimeError if it fails."""
        done = subprocess.run(self._entered(command), env=environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command} on {self.name}: {done.stdout}")
        return done.stdout

    def kill(self) -> None:
        """All its processes at once, −9; the host itself stays, as after a restart."""
        running = self.processes()
        subprocess.run(self._entered("kill -9 -1"), check=False)  # the shell is among them
        psutil.wait_procs(running, timeout=10)

    def cut(self) -> None:
        """Pull the cable: nothing comes or goes, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self.cable, "up")

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Those that run on it, with `name` in what they call themselves."""
        space = os.readlink(f"/proc/{self.init}/ns/pid")
        found = []
        for process in psutil.process_iter():
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid") == space and name in " ".join(process.cmdline()):
                    found.append(process)
            except (psutil.Error, OSError):
                continue  # gone meanwhile
        return [process for process in found if process.pid != self.init]

    def _entered(self, command: str) -> list[str]:
        spaces = ["--pid", "--net", "--mount", "--uts", f"--wdns={Path.cwd()}"]
        return ["nsenter", "--target", str(self.init), *spaces, "sh", "-c", command]


@contextmanager
def hosts(names: Sequence[str], folder: Path) -> Iterator[list[Host]]:
    """So many hosts that reach each other and this machine; all of it is gone afterwards."""
    number = os.getpid()
    bridge, net = f"br{number}", f"198.18.{number % 256}"  # a range that is kept for measuring networks
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("address", "add", f"{net}.254/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        yield [stack.enter_context(_host(name, f"{net}.{at}", bridge, folder)) for at, name in enumerate(names, 1)]


@contextmanager
def _host(name: str, address: str, bridge: str, folder: Path) -> Iterator[Host]:
    unshared = ["--pid", "--fork", "--kill-child", "--net", "--mount", "--uts", "--mount-proc"]
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *unshared, "sh", "-c", f"hostname {name}; echo; {INIT}"]
    holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    holder.stdout.readline()  # it is there
    (init,) = (child.pid for child in psutil.Process(holder.pid).children())
    host = Host(name, address, init, f"h{init}", folder / f"{name}.log")
    try:
        _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", str(init))
        _ip("link", "set", host.cable, "master", bridge, "up")
        host.run(
            f"mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray && mount -t tmpfs none /dev/shm && "
            f"ip link set lo up && ip address add {address}/24 dev eth0 && ip link set eth0 up",
            os.environ,
        )
        yield host
    finally:
        holder.kill()  # and with it the init, and with that every process of the host
        for each in (holder, *host.started):
            each.wait()
        holder.stdout.close()


def why_not() -> str | None:
    """Why this machine cannot have hosts; None where it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"hosts need {', '.join(missing)} (Debian: iproute2, util-linux)"
    if os.getuid() != 0:
        return "hosts need root"
    tried = subprocess.run(["unshare", "--pid", "--fork", "--net", "--mount", "--mount-proc", "true"],
                           capture_output=True, text=True)  # fmt: skip
    return f"namespaces are not allowed here: {tried.stderr.strip()}" if tried.returncode else None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
