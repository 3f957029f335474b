"""A real endpoint for tests: a Ray head of its own, Serve, a registry with models of the `noisy` chain."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import yaml

from benchmarks.cluster import cluster, named
from rossmann import models, registry
from rossmann.data import SalesHistory, save_snapshot
from rossmann.evaluation import Verdict
from rossmann.models import Forecaster
from rossmann.registry import ModelCard, Registry
from rossmann.serving.deploying import Serve
from rossmann.settings import code_version

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
        return named(self.world, "ServeReplica:rossmann")


def registry_of(world: Path) -> Registry:
    return Registry(f"sqlite:///{world}/mlflow.db", f"{world}/models")


def learnt(history: SalesHistory, name: str, seed: int) -> Forecaster:
    """A candidate learnt from a whole history."""
    (candidate,) = (c for c in models.candidates((name,)) if c.name == name)
    lessons = [models.lesson(history, o) for o in models.lesson_origins(history.dates[0], history.origin)]
    bounds = models.calibrate(history.stores.number[:3], [0.1, -0.2, 0.05], coverage=0.9)
    return models.fit(candidate, lessons, history.origin, seed).with_intervals(bounds)


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
    with cluster(world, world / "serve.yaml") as host:
        yield Live(host, world, history, snapshot)
