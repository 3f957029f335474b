"""A real endpoint for tests: a Ray head of its own, Serve, and a registry with models of the `noisy` chain."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import yaml

from rossmann import models, registry
from rossmann.data import SalesHistory, save_snapshot
from rossmann.evaluation import Verdict
from rossmann.models import Forecaster, VarianceComponents
from rossmann.provenance import code_version
from rossmann.registry import ModelCard, Registry
from rossmann.serving.deployment import ServeCluster
from tests.support.cluster import processes_named, running_cluster

REPOSITORY = Path(__file__).parents[2]
VARIANCE_COMPONENTS = VarianceComponents(0.05, 0.05, 0.1, 0.1, 0.1, 0.6)  # arbitrary
PROMOTION = Verdict(True, ("test",), ())


@dataclass(frozen=True)
class RunningEndpoint:
    """An endpoint on a Ray cluster of its own, and its workspace."""

    serve: ServeCluster
    workspace: Path
    history: SalesHistory
    snapshot: str

    @property
    def registry(self) -> Registry:
        return registry_of(self.workspace)

    def replicas(self) -> list[psutil.Process]:
        """The processes of the replicas."""
        return processes_named(self.workspace, "ServeReplica:rossmann")


def registry_of(workspace: Path) -> Registry:
    """The registry of a workspace, in its default database."""
    return Registry(f"sqlite:///{workspace}/mlflow.db", f"{workspace}/models")


def fit_on_whole_history(history: SalesHistory, name: str, seed: int) -> Forecaster:
    """A candidate fitted on all training windows of a history, with arbitrary quantiles."""
    candidate = models.default_candidate(name)
    origins = models.window_origins(history.dates[0], history.origin)
    training_windows = [models.training_window(history, origin) for origin in origins]
    training_windows.append(models.past_window(history, history.origin))
    residuals = np.ones(3), [1.5, -2.0, 0.5]
    fitted = models.fit(candidate, training_windows, history.origin, seed)
    quantiles = models.calibrate(*residuals, 0.9)
    intervals = models.calibrate(*residuals, 0.95, models.interval_levels())
    return (
        fitted.with_quantiles(quantiles)
        .with_interval_quantiles(intervals)
        .with_variance_components(VARIANCE_COMPONENTS)
    )


def register(
    model_registry: Registry, forecaster: Forecaster, history: SalesHistory, snapshot: str, backtest_run: str
) -> int:
    """Register a forecaster as a new model version, with arbitrary scores; returns the version."""
    run = model_registry.client.create_run(model_registry.experiment(registry.BACKTESTS)).info.run_id
    card = ModelCard(forecaster.candidate.name, snapshot, str(history.origin), {"2014-01-01": 0.1}, 0.9, 7,
                     code_version(), "e", run)  # fmt: skip
    return registry.register_model(model_registry, forecaster, card, backtest_run)


def promote(model_registry: Registry, version: int, awaits_endpoint: bool = False) -> None:
    """Make a version the champion."""
    current = registry.find_champion(model_registry)
    registry.promote(model_registry, version, PROMOTION, current.version if current else None, awaits_endpoint)


def save_with_champion(workspace: Path, history: SalesHistory, candidate: str) -> str:
    """Save a history in a workspace, with a first champion that is fitted on it; returns the snapshot's fingerprint."""
    snapshot = save_snapshot(history, f"{workspace}/snapshots", datetime.now(UTC), "test")
    forecaster = fit_on_whole_history(history, candidate, 7)
    promote(registry_of(workspace), register(registry_of(workspace), forecaster, history, snapshot, "first"))
    return snapshot


@contextmanager
def running_endpoint(workspace: Path, history: SalesHistory, **deployment: object) -> Iterator[RunningEndpoint]:
    """A Ray head and a registry with one champion; `deployment` replaces options of deployments/serve.yaml."""
    snapshot = save_with_champion(workspace, history, "blend")
    config = yaml.safe_load((REPOSITORY / "deployments/serve.yaml").read_text())
    config["applications"][0]["deployments"][0] |= deployment
    (workspace / "serve.yaml").write_text(yaml.safe_dump(config))
    with running_cluster(workspace, workspace / "serve.yaml") as serve:
        yield RunningEndpoint(serve, workspace, history, snapshot)
