"""Several hosts on one machine, connected by a bridge. Linux, as root.

Each has its own processes, network, host name, /dev/shm and /tmp/ray.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TOOLS = ("ip", "unshare", "nsenter", "setpriv")
INIT_COMMAND = "trap '' CHLD; exec sleep infinity"  # process 1 ignores SIGCHLD, so the kernel removes its zombies


@dataclass(frozen=True)
class Host:
    """One host: the pid of its process 1 on this machine, and its network interface on the bridge."""

    name: str
    address: str
    init_pid: int
    interface: str
    log: Path
    commands: list[subprocess.Popen] = field(default_factory=list)  # started on the host

    def start(self, command: str, environment: Mapping[str, str]) -> subprocess.Popen:
        """Start a shell command in the background; its output goes to the host's log."""
        with self.log.open("a") as log:
            self.commands.append(subprocess.Popen(self._on_host(command), env=environment, stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log, start_new_session=True))  # fmt: skip
        return self.commands[-1]

    def run(self, command: str, environment: Mapping[str, str]) -> str:
        """Run a shell command and return its output; RuntimeError if it fails."""
        result = subprocess.run(self._on_host(command), env=environment, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        if result.returncode:
            raise RuntimeError(f"{command} on {self.name}: {result.stdout}")
        return result.stdout

    def kill(self) -> None:
        """Kill all processes of the host with signal 9; the host itself stays, as after a restart."""
        processes = self.processes()
        subprocess.run(self._on_host("kill -9 -1"), check=False)  # kills its own shell, too
        psutil.wait_procs(processes, timeout=10)

    def disconnect(self) -> None:
        """Take the network down: packets are lost and no connection is closed, as with a pulled cable."""
        _ip("link", "set", self.interface, "down")

    def reconnect(self) -> None:
        """Bring the network up again."""
        _ip("link", "set", self.interface, "up")

    def processes(self, name: str = "") -> list[psutil.Process]:
        """The processes of the host with `name` in their command line."""
        namespace = os.readlink(f"/proc/{self.init_pid}/ns/pid")
        processes = []
        for process in psutil.process_iter():
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid") == namespace and name in " ".join(process.cmdline()):
                    processes.append(process)
            except (psutil.Error, OSError):
                continue  # ended meanwhile
        return [process for process in processes if process.pid != self.init_pid]

    def _on_host(self, command: str) -> list[str]:
        namespaces = ["--pid", "--net", "--mount", "--uts", f"--wdns={Path.cwd()}"]
        return ["nsenter", "--target", str(self.init_pid), *namespaces, "sh", "-c", command]


@contextmanager
def running_hosts(names: Sequence[str], folder: Path) -> Iterator[list[Host]]:
    """Hosts that reach each other and this machine; at the end all of it is removed."""
    number = os.getpid()
    bridge, network = f"br{number}", f"198.18.{number % 256}"  # 198.18.0.0/15 is reserved for network tests
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("address", "add", f"{network}.254/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        yield [stack.enter_context(_host(name, f"{network}.{k}", bridge, folder)) for k, name in enumerate(names, 1)]


@contextmanager
def _host(name: str, address: str, bridge: str, folder: Path) -> Iterator[Host]:
    options = ["--pid", "--fork", "--kill-child", "--net", "--mount", "--uts", "--mount-proc"]
    shell = f"hostname {name}; echo; {INIT_COMMAND}"
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *options, "sh", "-c", shell]
    parent = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    parent.stdout.readline()  # the shell runs
    (init_pid,) = (child.pid for child in psutil.Process(parent.pid).children())
    host = Host(name, address, init_pid, f"h{init_pid}", folder / f"{name}.log")
    try:
        _ip("link", "add", host.interface, "type", "veth", "peer", "name", "eth0", "netns", str(init_pid))
        _ip("link", "set", host.interface, "master", bridge, "up")
        host.run(
            f"mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray && mount -t tmpfs none /dev/shm && "
            f"ip link set lo up && ip address add {address}/24 dev eth0 && ip link set eth0 up",
            os.environ,
        )
        yield host
    finally:
        parent.kill()  # ends process 1 of the host, and with it every process there
        for process in (parent, *host.commands):
            process.wait()
        parent.stdout.close()


def missing_requirement() -> str | None:
    """Why this machine cannot run hosts; None if it can."""
    tools = [tool for tool in TOOLS if shutil.which(tool) is None]
    if tools:
        return f"hosts need {', '.join(tools)} (Debian: iproute2, util-linux)"
    if os.getuid() != 0:
        return "hosts need root"
    trial = subprocess.run(["unshare", "--pid", "--fork", "--net", "--mount", "--mount-proc", "true"],
                           capture_output=True, text=True)  # fmt: skip
    return f"namespaces are not allowed here: {trial.stderr.strip()}" if trial.returncode else None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
