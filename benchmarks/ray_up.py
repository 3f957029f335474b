"""`ray up` and `ray down` as ray_cluster.yaml has it, over sshd, on hosts in namespaces: when nodes came and went.

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

from benchmarks.cluster import wait
from benchmarks.hosts import Host, hosts, why_not

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[1]
SSHD = "/usr/sbin/sshd"
PATIENCE_S = 300


def main() -> None:
    """Exit code 1, and why, where this machine cannot do it or the nodes do not all come and go."""
    missing = why_not() or ("; ".join(f"no {tool} here" for tool in (SSHD, "rsync", "ssh") if not shutil.which(tool)))
    if missing:
        sys.exit(missing)
    with tempfile.TemporaryDirectory() as name, hosts(["desk", "head", "one", "two"], Path(name)) as (desk, *others):
        try:
            bring_up(Path(name), desk, others)
        except (RuntimeError, TimeoutError):
            for log in Path(name).glob("*.log"):
                sys.stdout.write(f"--- {log.name}\n{log.read_text()}")
            raise


def bring_up(folder: Path, desk: Host, others: Sequence[Host]) -> None:
    """From nothing to a cluster and back."""
    token, config = secrets.token_hex(32), configured(others, folder)
    at_desk = furnish(folder, desk, others, token)
    for host in others:
        open_door(folder, host)
    head = others[0]
    _, seconds = timed(lambda: desk.run(f"ray up -y --no-config-cache {config}", at_desk))
    print(f"ray up said done after {seconds:.0f} s")
    _, seconds = timed(lambda: wait(lambda: alive(head, token) == len(others), PATIENCE_S))
    print(f"{len(others)} nodes alive {seconds:.0f} s later: " + ", ".join(host.name for host in others))
    said, seconds = timed(lambda: desk.run(f"ray down -y --log-color false {config}", at_desk))
    print(f"ray down: {said.strip().splitlines()[-1].split(' -- ')[-1]!r} after {seconds:.0f} s; Ray still runs on "
          + (", ".join(host.name for host in others if raylets(host)) or "no host"))  # fmt: skip
    _, seconds = timed(lambda: wait(lambda: not any(raylets(host) for host in others), PATIENCE_S))
    print(f"nothing of Ray is left {seconds:.0f} s later")


def configured(others: Sequence[Host], folder: Path) -> Path:
    """ray_cluster.yaml with these hosts' addresses, and root as the user."""
    config = yaml.safe_load((REPOSITORY / "ray_cluster.yaml").read_text())
    head, *workers = [host.address for host in others]
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"]["ssh_user"] = "root"
    (folder / "ray_cluster.yaml").write_text(yaml.safe_dump(config))
    return folder / "ray_cluster.yaml"


def furnish(folder: Path, desk: Host, others: Sequence[Host], token: str) -> dict[str, str]:
    """A home for everybody: the desk's with key, token and settings, the others' with the checkout."""
    home = folder / desk.name
    for part in (".ssh", ".ray"):
        (home / part).mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / ".ssh/id_ed25519"], check=True)
    (home / ".ray/auth_token").write_text(token)
    (home / "rossmann.env").write_text(f"ROSSMANN_HEAD={others[0].address}\nROSSMANN_DATA_DIR={folder}/world\n")
    for host in others:
        (folder / host.name / ".ray").mkdir(parents=True)
        (folder / host.name / "rossmann").symlink_to(REPOSITORY)
    for host in (desk, *others):  # ssh and sshd look up homes there
        (folder / f"{host.name}.passwd").write_text(
            f"root:x:0:0:root:{folder}/{host.name}:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
        )
        host.run(f"mount --bind {folder}/{host.name}.passwd /etc/passwd", os.environ)
    return {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def open_door(folder: Path, host: Host) -> None:
    """An sshd that lets the desk in, into the host's own home."""
    key = folder / f"{host.name}.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    options = {
        "AuthorizedKeysFile": folder / "desk/.ssh/id_ed25519.pub", "StrictModes": "no", "PidFile": "none",
        "PermitRootLogin": "prohibit-password", "UsePAM": "no",
    }  # fmt: skip
    said = " ".join(f"-o '{name}={value}'" for name, value in options.items())
    host.start(f"mkdir -p /run/sshd && exec {SSHD} -D -e -f /dev/null -h {key} {said}", os.environ)


def alive(head: Host, token: str) -> int:
    """How many nodes the head counts."""
    asked = httpx.get(f"http://{head.address}:8265/api/v0/nodes", headers={"Authorization": f"Bearer {token}"},
                      timeout=30, trust_env=False)  # fmt: skip
    nodes = asked.raise_for_status().json()["data"]["result"]["result"]
    return sum(node["state"] == "ALIVE" for node in nodes)


def raylets(host: Host) -> bool:
    """Whether it still is a node."""
    return bool(host.processes("/raylet/raylet"))


def timed(does: Callable[[], T]) -> tuple[T, float]:
    """What it says, and how many seconds it took."""
    started = time.monotonic()
    return does(), time.monotonic() - started


if __name__ == "__main__":
    main()
