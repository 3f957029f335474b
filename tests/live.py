"""A real endpoint for tests: a Ray head of its own, Serve, a registry with models of the `noisy` chain."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import yaml

from rossmann import models, registry
from rossmann.data import SalesHistory, save_snapshot
from rossmann.evaluation import Verdict
from rossmann.models import Forecaster
from rossmann.registry import ModelCard, Registry
from rossmann.serving.deploying import Serve
from rossmann.settings import Settings, code_version

REPOSITORY = Path(__file__).parents[1]
WON = Verdict(True, ("test",), ())


@dataclass(frozen=True)
class Live:
    """A Ray cluster of its own and a world."""

    serve: Serve
    world: Path
    history: SalesHistory
    snapshot: str

    @property
    def known(self) -> Registry:
        return registry_of(self.world)

    def replicas(self) -> list[psutil.Process]:
        """The processes of the endpoint's replicas."""
        return [p for p in of_world(self.world) if "ServeReplica:rossmann" in p.name() + " ".join(p.cmdline())]


def registry_of(world: Path) -> Registry:
    return Registry(f"sqlite:///{world}/mlflow.db", f"{world}/models")


def learnt(history: SalesHistory, name: str, seed: int) -> Forecaster:
    """A candidate learnt from a whole history."""
    (candidate,) = (c for c in models.candidates((name,)) if c.name == name)
    lessons = [models.lesson(history, o) for o in models.lesson_origins(history.dates[0], history.origin)]
    bounds = models.calibrate(history.stores.number[:3], [0.1, -0.2, 0.05], coverage=0.9)
    return models.fit(candidate, lessons if candidate.learns or candidate.members else [], history.origin, seed).with_intervals(bounds)  # fmt: skip


def register(known: Registry, forecaster: Forecaster, history: SalesHistory, snapshot: str, race: str) -> int:
    """A new version of the model."""
    run = known.client.create_run(known.experiment(registry.TRAININGS)).info.run_id
    card = ModelCard(forecaster.candidate.name, snapshot, str(history.origin), {"2014-01-01": 0.1}, 0.9, 7,
                     code_version(), "e", run)  # fmt: skip
    return registry.save(known, forecaster, card, race)


def promote(known: Registry, version: int) -> None:
    registry.promote(known, version, WON)


@contextmanager
def live(world: Path, history: SalesHistory, **deployment: object) -> Iterator[Live]:
    """Everything running, with one champion; `deployment` overrides options of deployments/serve.yaml."""
    snapshot = save_snapshot(history, f"{world}/snapshots", datetime.now(UTC), "test")
    version = register(registry_of(world), learnt(history, "blend", 7), history, snapshot, "first")
    promote(registry_of(world), version)
    config = yaml.safe_load((REPOSITORY / "deployments/serve.yaml").read_text())
    config["applications"][0]["deployments"][0] |= deployment
    (world / "serve.yaml").write_text(yaml.safe_dump(config))
    with ExitStack() as stack:
        host = stack.enter_context(cluster(world))
        yield Live(host, world, history, snapshot)


@contextmanager
def cluster(world: Path) -> Iterator[Serve]:
    """A Ray head on free ports, in this world's environment; every process of it is gone afterwards."""
    dashboard, client, http = free_ports(3)
    token = world / "ray-token"
    token.write_text(secrets.token_hex(32))
    environment = {
        "ROSSMANN_DATA_DIR": str(world), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token),
        "ROSSMANN_SERVE_ADDRESS": f"http://127.0.0.1:{dashboard}", "ROSSMANN_HTTP_PORT": str(http),
        "ROSSMANN_SERVE_CONFIG": str(world / "serve.yaml"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [
        Path(sys.executable).parent / "ray", "start", "--head", "--block", "--port", "0", "--num-cpus", "4",
        "--ray-client-server-port", str(client), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard),
        "--dashboard-agent-listen-port", "0", "--include-log-monitor", "false", "--object-store-memory", "100000000",
        "--disable-usage-stats",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, (world / "ray.log").open("w") as log:
        for name, value in environment.items():
            patch.setenv(name, value)
        head = psutil.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait(lambda: listens(dashboard), 90)
            settings = Settings()
            yield Serve(settings.serve_address, world / "serve.yaml", "127.0.0.1", http, None)
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
            continue
    return found


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(true, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.2)
