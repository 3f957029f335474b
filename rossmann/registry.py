"""What was trained, what serves, and how that came: runs, model versions, aliases and the promotion ledger, kept in MLflow.

A model is stored in its learners' native formats beside its card; nothing is pickled. The alias `champion` is the one fact that
says what serves; every change of it, and every refusal, is an entry in the ledger that is written before the alias moves.
"""

import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from rossmann import models
from rossmann.evaluation import Verdict
from rossmann.models import Forecaster
from rossmann.validation import DataError

MODEL = "rossmann"
TRAININGS = "rossmann-trainings"
LEDGER = "rossmann-ledger"
CHALLENGER, CHAMPION = "challenger", "champion"


@dataclass(frozen=True)
class ModelCard:
    """Enough to rebuild a model, or to blame it."""

    candidate: str
    snapshot: str  # fingerprint of the data it learnt from
    origin: str  # last day it learnt from
    rmspe: dict[str, float]  # of its backtest, by origin of the fold
    coverage: float  # of its intervals, on folds that did not calibrate them
    seed: int
    code_version: str
    environment: str  # hash of the exact versions of all packages
    training: str  # MLflow run of the race it won


@dataclass(frozen=True)
class Registered:
    """One version of the model, as the registry knows it."""

    version: int
    aliases: tuple[str, ...]
    card: ModelCard
    source: str


@dataclass(frozen=True)
class Entry:
    """One line of the promotion ledger."""

    at: pd.Timestamp  # UTC
    action: str  # promote, refuse or rollback
    version: int  # the champion it wanted, or the challenger it refused
    previous: int | None  # the champion before
    done: bool  # False: a crash came between the decision and the alias; the alias tells what serves
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Registry:
    """An MLflow server or database; `artifacts` is where a database's files go (a server has its own place)."""

    tracking_uri: str
    artifacts: str

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.tracking_uri, self.tracking_uri)

    def experiment(self, name: str) -> str:
        """Its id; made with the first use."""
        found = self.client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        own_place = None if self.tracking_uri.startswith("http") else f"{self.artifacts}/{name}"
        return self.client.create_experiment(name, artifact_location=own_place)


@dataclass(frozen=True)
class CandidateRecord:
    """What a child run of a training holds: how the candidate was made and how it did."""

    params: Mapping[str, object]
    metrics: Mapping[str, float]
    per_fold: Mapping[str, float]  # RMSPE by origin
    files: Path | None  # figures


def record(
    registry: Registry,
    *,
    key: str,
    snapshot: str,
    snapshot_address: str,
    rows: int,
    candidates: Mapping[str, CandidateRecord],
    failures: Mapping[str, str],
    files: Path,
) -> str:
    """Keep a race: one parent run, one child per candidate. The same `key` again answers the run that is there."""
    experiment = registry.experiment(TRAININGS)
    finished = f"tags.key = '{key}' and attributes.status = 'FINISHED'"
    if found := registry.client.search_runs([experiment], finished):
        return found[0].info.run_id
    client = registry.client
    parent = client.create_run(experiment, run_name=f"race on {snapshot}", tags={"key": key, "snapshot": snapshot})
    client.log_inputs(parent.info.run_id, [_dataset(snapshot, snapshot_address, rows)])
    for name, candidate in candidates.items():
        child = _child(registry, experiment, parent, name, {})
        _log(client, child, candidate)
        client.set_terminated(child.info.run_id)
    for name, reason in failures.items():
        child = _child(registry, experiment, parent, name, {"failure": reason})
        client.set_terminated(child.info.run_id, "FAILED")
    client.log_artifacts(parent.info.run_id, str(files))
    client.set_terminated(parent.info.run_id)
    return parent.info.run_id


def save(registry: Registry, forecaster: Forecaster, card: ModelCard, key: str) -> int:
    """Register a model as challenger, and answer its version. The same `key` again answers the version that is there."""
    client = registry.client
    version = next((v.version for v in client.search_model_versions(f"name = '{MODEL}' and tags.key = '{key}'")), None)
    if version is None:
        with tempfile.TemporaryDirectory() as folder:
            forecaster.save(Path(folder))
            Path(folder, "card.json").write_text(json.dumps(asdict(card), indent=2))
            client.log_artifacts(card.training, folder, f"model-{key}")
        _ensure_model(client)
        source = f"{client.get_run(card.training).info.artifact_uri}/model-{key}"
        tags = {"key": key, "candidate": card.candidate, "snapshot": card.snapshot, "card": json.dumps(asdict(card))}
        version = client.create_model_version(MODEL, source, card.training, tags=tags).version
    client.set_registered_model_alias(MODEL, CHALLENGER, str(version))
    return int(version)


def find_key(registry: Registry, key: str) -> int | None:
    """The version that was saved under `key`, if any."""
    _ensure_model(registry.client)
    found = registry.client.search_model_versions(f"name = '{MODEL}' and tags.key = '{key}'")
    return int(found[0].version) if found else None


def versions(registry: Registry) -> tuple[Registered, ...]:
    """All versions, newest first."""
    _ensure_model(registry.client)
    aliases: dict[int, list[str]] = {}
    for alias, version in registry.client.get_registered_model(MODEL).aliases.items():
        aliases.setdefault(int(version), []).append(alias)
    found = registry.client.search_model_versions(f"name = '{MODEL}'")
    known = [_registered(version, aliases.get(int(version.version), ())) for version in found]
    return tuple(sorted(known, key=lambda v: -v.version))


def find(registry: Registry, alias: str) -> Registered | None:
    """The version that bears the alias, or None."""
    return next((version for version in versions(registry) if alias in version.aliases), None)


def champion(registry: Registry) -> Registered:
    """The version that serves. Raises DataError where there is none yet."""
    found = find(registry, CHAMPION)
    if found is None:
        raise DataError("no champion yet: train a challenger (`rossmann train`) and release it (`rossmann release`)")
    return found


def load(registry: Registry, version: Registered) -> Forecaster:
    """The model of a version, from its native files."""
    with tempfile.TemporaryDirectory() as folder:
        name = version.source.rsplit("/", 1)[-1]
        local = registry.client.download_artifacts(version.card.training, name, folder)
        return models.load(Path(local))


def promote(registry: Registry, version: int, verdict: Verdict) -> None:
    """Enter the promotion in the ledger, then move the alias: one atomic step, before which the old champion serves."""
    _move_champion(registry, "promote", version, verdict.reasons)


def refuse(registry: Registry, version: int, verdict: Verdict) -> None:
    """Enter the refusal in the ledger; the champion stays."""
    entry = _enter(registry, "refuse", version, verdict.reasons)
    registry.client.set_terminated(entry.info.run_id)


def rollback(registry: Registry) -> int:
    """Make the champion before this one champion again, and answer its version. Raises DataError where there was none."""
    current = champion(registry).version
    came = (e for e in ledger(registry) if e.action == "promote" and e.version == current and e.previous is not None)
    promotion = next(came, None)
    if promotion is None:
        raise DataError(f"nothing to roll back to: the ledger knows no champion before version {current}")
    if promotion.previous not in {version.version for version in versions(registry)}:
        raise DataError(f"version {promotion.previous}, the champion before {current}, is no longer in the registry")
    _move_champion(registry, "rollback", promotion.previous, (f"rolled back from version {current}",))
    return promotion.previous


def ledger(registry: Registry) -> tuple[Entry, ...]:
    """Every decision about the champion, newest first."""
    runs = registry.client.search_runs([registry.experiment(LEDGER)], order_by=["attributes.start_time DESC"])
    return tuple(_entry(run) for run in runs)


def _move_champion(registry: Registry, action: str, version: int, reasons: Iterable[str]) -> None:
    entry = _enter(registry, action, version, reasons)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    registry.client.set_terminated(entry.info.run_id)


def _enter(registry: Registry, action: str, version: int, reasons: Iterable[str]) -> Run:
    before = find(registry, CHAMPION)
    previous = str(before.version) if before else ""
    tags = {"action": action, "version": str(version), "previous": previous, "reasons": json.dumps(list(reasons))}
    return registry.client.create_run(registry.experiment(LEDGER), run_name=f"{action} version {version}", tags=tags)


def _entry(run: Run) -> Entry:
    tags = run.data.tags
    return Entry(
        pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
        tags["action"],
        int(tags["version"]),
        int(tags["previous"]) if tags["previous"] else None,
        run.info.status == "FINISHED",
        tuple(json.loads(tags["reasons"])),
    )


def _registered(version: ModelVersion, aliases: Iterable[str]) -> Registered:
    card = ModelCard(**json.loads(version.tags["card"]))
    return Registered(int(version.version), tuple(sorted(aliases)), card, version.source)


def _ensure_model(client: MlflowClient) -> None:
    try:
        client.create_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _dataset(snapshot: str, address: str, rows: int) -> DatasetInput:
    source, profile = json.dumps({"uri": address}), json.dumps({"rows": rows})
    dataset = Dataset(name="snapshot", digest=snapshot, source_type="local", source=source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _child(registry: Registry, experiment: str, parent: Run, name: str, tags: dict[str, str]) -> Run:
    return registry.client.create_run(experiment, run_name=name, tags={MLFLOW_PARENT_RUN_ID: parent.info.run_id, **tags})


def _log(client: MlflowClient, run: Run, candidate: CandidateRecord) -> None:
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in candidate.metrics.items() if value == value]
    metrics += [Metric("fold_rmspe", value, now, step) for step, value in enumerate(candidate.per_fold.values())]
    metrics += [Metric(f"rmspe_{origin}", value, now, 0) for origin, value in candidate.per_fold.items()]
    params = [Param(name, str(value)) for name, value in candidate.params.items()]
    client.log_batch(run.info.run_id, metrics=metrics, params=params)
    if candidate.files:
        client.log_artifacts(run.info.run_id, str(candidate.files), "figures")
