"""`ray up` and `ray down` with ray_cluster.yaml, over sshd, on hosts in namespaces: when nodes join and when they end.

Usage: python -m benchmarks.ray_up    Linux, as root, with openssh-server and rsync; ends no Ray but its own
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import httpx
import yaml

from tests.support.cluster import wait
from tests.support.hosts import Host, missing_requirement, running_hosts

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[1]
SSHD = "/usr/sbin/sshd"
CLIENT = "laptop"  # the host on which `ray up` is typed
TIMEOUT_S = 300


def main() -> None:
    """Exit code 1 with the reason if this machine cannot run it, or if not all nodes join and end."""
    tools = [tool for tool in (SSHD, "rsync", "ssh") if not shutil.which(tool)]
    missing = missing_requirement() or "; ".join(f"{tool} is missing" for tool in tools)
    if missing:
        sys.exit(missing)
    with (
        tempfile.TemporaryDirectory() as name,
        running_hosts([CLIENT, "head", "one", "two"], Path(name)) as (client, *nodes),
    ):
        try:
            up_and_down(Path(name), client, nodes)
        except (RuntimeError, TimeoutError):
            for log in Path(name).glob("*.log"):
                sys.stdout.write(f"--- {log.name}\n{log.read_text()}")
            raise


def up_and_down(folder: Path, client: Host, nodes: Sequence[Host]) -> None:
    """Start the cluster, end it, and print how long each step took."""
    token, config, head = secrets.token_hex(32), write_config(nodes, folder), nodes[0]
    environment = make_homes(folder, client, nodes, token)
    for node in nodes:
        start_sshd(folder, node)
    _, seconds = timed(lambda: client.run(f"ray up -y --no-config-cache {config}", environment))
    print(f"ray up returned after {seconds:.0f} s")
    _, seconds = timed(lambda: wait(lambda: alive_nodes(head, token) == len(nodes), TIMEOUT_S))
    print(f"{len(nodes)} nodes alive {seconds:.0f} s later: {', '.join(node.name for node in nodes)}")
    output, seconds = timed(lambda: client.run(f"ray down -y --log-color false {config}", environment))
    message = output.strip().splitlines()[-1].split(" -- ")[-1]
    running = ", ".join(node.name for node in nodes if runs_ray(node)) or "no host"
    print(f"ray down: {message!r} after {seconds:.0f} s; Ray still runs on {running}")
    _, seconds = timed(lambda: wait(lambda: not any(runs_ray(node) for node in nodes), TIMEOUT_S))
    print(f"no process of Ray is left {seconds:.0f} s later")


def write_config(nodes: Sequence[Host], folder: Path) -> Path:
    """ray_cluster.yaml with these hosts' addresses, and root as the user."""
    config = yaml.safe_load((REPOSITORY / "ray_cluster.yaml").read_text())
    head, *workers = [node.address for node in nodes]
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"]["ssh_user"] = "root"
    (folder / "ray_cluster.yaml").write_text(yaml.safe_dump(config))
    return folder / "ray_cluster.yaml"


def make_homes(folder: Path, client: Host, nodes: Sequence[Host], token: str) -> dict[str, str]:
    """Make a home folder on each host, and return the client's environment.

    The client's home has the ssh key, Ray's token and the settings, the nodes' homes have the checkout.
    """
    home = folder / client.name
    for part in (".ssh", ".ray"):
        (home / part).mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / ".ssh/id_ed25519"], check=True)
    (home / ".ray/auth_token").write_text(token)
    settings = f"ROSSMANN_HEAD={nodes[0].address}\nROSSMANN_DATA_DIR={folder}/workspace\n"
    (home / "rossmann.env").write_text(settings)
    for node in nodes:
        (folder / node.name / ".ray").mkdir(parents=True)
        (folder / node.name / "rossmann").symlink_to(REPOSITORY)
    for host in (client, *nodes):  # ssh and sshd look up homes in /etc/passwd
        (folder / f"{host.name}.passwd").write_text(
            f"root:x:0:0:root:{folder}/{host.name}:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
        )
        host.run(f"mount --bind {folder}/{host.name}.passwd /etc/passwd", os.environ)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "RAY_USAGE_STATS_ENABLED": "0"}


def start_sshd(folder: Path, node: Host) -> None:
    """Start an sshd on the node that accepts the client's key."""
    key = folder / f"{node.name}.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    options = {
        "AuthorizedKeysFile": folder / CLIENT / ".ssh/id_ed25519.pub", "StrictModes": "no", "PidFile": "none",
        "PermitRootLogin": "prohibit-password", "UsePAM": "no",
    }  # fmt: skip
    arguments = " ".join(f"-o '{name}={value}'" for name, value in options.items())
    node.start(f"mkdir -p /run/sshd && exec {SSHD} -D -e -f /dev/null -h {key} {arguments}", os.environ)


def alive_nodes(head: Host, token: str) -> int:
    """How many nodes of the cluster are alive, from Ray's dashboard."""
    response = httpx.get(f"http://{head.address}:8265/api/v0/nodes", headers={"Authorization": f"Bearer {token}"},
                         timeout=30, trust_env=False)  # fmt: skip
    nodes = response.raise_for_status().json()["data"]["result"]["result"]
    return sum(node["state"] == "ALIVE" for node in nodes)


def runs_ray(host: Host) -> bool:
    """Whether a raylet runs on the host."""
    return bool(host.processes("/raylet/raylet"))


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """The result of a call, and its seconds."""
    started = time.monotonic()
    return call(), time.monotonic() - started


if __name__ == "__main__":
    main()
