"""What was trained, what serves, and how that came: runs, versions, aliases and the promotion ledger, in MLflow.

A model is stored in its learners' native formats beside its card; nothing is pickled. The alias `champion` is the one
fact that says what serves; every change of it, and every refusal, is in the ledger before the alias moves.
"""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from rossmann import figures, models
from rossmann.evaluation import Race, Verdict
from rossmann.models import Candidate, Forecaster
from rossmann.settings import code_version, environment, without_password
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

    @property
    def folds(self) -> tuple[np.datetime64, ...]:
        """Origins of its backtest."""
        return tuple(np.datetime64(origin) for origin in self.rmspe)


@dataclass(frozen=True)
class Registered:
    """One version of the model, as the registry knows it."""

    version: int
    aliases: tuple[str, ...]
    card: ModelCard
    source: str
    race: str  # key of the race it won

    @property
    def made_by_other_code(self) -> bool:
        """Whether features or learners have changed since."""
        return self.card.code_version != code_version()

    def days_behind(self, other: "Registered") -> int:
        """How many days less of history this version has learnt from; 0 if it has as many or more."""
        return max(0, (date.fromisoformat(other.card.origin) - date.fromisoformat(self.card.origin)).days)


@dataclass(frozen=True)
class Entry:
    """One line of the promotion ledger."""

    at: pd.Timestamp  # UTC
    action: str  # promote, refuse, rollback or withdraw
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

    @property
    def address(self) -> str:
        """`tracking_uri` without its password."""
        return without_password(self.tracking_uri)

    def experiment(self, name: str) -> str:
        """Its id; made with the first use."""
        found = self.client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        own_place = None if self.tracking_uri.startswith("http") else f"{self.artifacts}/{name}"
        return self.client.create_experiment(name, artifact_location=own_place)


def record(
    registry: Registry, race: Race, candidates: Iterable[Candidate], snapshot: str, snapshot_address: str
) -> str:
    """Keep a race: one parent run, one child per candidate. The same race again answers the run that is there."""
    experiment, client = registry.experiment(TRAININGS), registry.client
    done = client.search_runs([experiment], f"tags.race = '{race.key}' and attributes.status = 'FINISHED'")
    if done:
        return done[0].info.run_id
    for run in client.search_runs([experiment], f"tags.race = '{race.key}' and attributes.status = 'RUNNING'"):
        client.set_terminated(run.info.run_id, "KILLED")  # whoever recorded it was killed on the way
    parent = client.create_run(experiment, run_name=f"race on {snapshot}", tags={"race": race.key}).info.run_id
    client.log_inputs(parent, [_dataset(snapshot, snapshot_address, len(race.backtest.rows))])
    board = race.leaderboard()
    for candidate in candidates:
        tags = {MLFLOW_PARENT_RUN_ID: parent, "failure": race.failures.get(candidate.name, "")}
        child = client.create_run(experiment, run_name=candidate.name, tags=tags).info.run_id
        client.log_batch(child, params=[Param(name, str(value)) for name, value in candidate.params])
        if candidate.name not in race.failures:
            _log_scores(client, child, board.loc[candidate.name])
            _log_figures(client, child, race, candidate.name)
        client.set_terminated(child, "FAILED" if candidate.name in race.failures else "FINISHED")
    _log_rows(client, parent, race)
    client.set_terminated(parent)
    return parent


def save(registry: Registry, forecaster: Forecaster, card: ModelCard, race: str) -> int:
    """Store a model and its card as a new version, under the race it won; answers the version."""
    client, folder_name = registry.client, f"model-{race}"
    with tempfile.TemporaryDirectory() as folder:
        forecaster.save(Path(folder))
        Path(folder, "card.json").write_text(json.dumps(asdict(card), indent=2))
        if importance := forecaster.importance():
            Path(folder, "importance.png").write_bytes(figures.importance_figure(dict(importance)))
        client.log_artifacts(card.training, folder, folder_name)
    if known := saved(registry, race):  # somebody was quicker
        return known
    source = f"{client.get_run(card.training).info.artifact_uri}/{folder_name}"
    tags = {"race": race, "candidate": card.candidate, "snapshot": card.snapshot, "card": json.dumps(asdict(card))}
    return int(client.create_model_version(MODEL, source, card.training, tags=tags).version)


def saved(registry: Registry, race: str) -> int | None:
    """The version that was saved under the race, if there is one and its files are there."""
    tagged = {
        int(v.version) for v in registry.client.search_model_versions(f"name = '{MODEL}' and tags.race = '{race}'")
    }
    return next((v.version for v in versions(registry) if v.version in tagged and _readable(registry, v)), None)


def challenge(registry: Registry, version: int) -> None:
    """Make the version the challenger."""
    registry.client.set_registered_model_alias(MODEL, CHALLENGER, str(version))


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
    return _need(registry, CHAMPION, "train a challenger (`rossmann train`) and release it (`rossmann release`)")


def challenger(registry: Registry) -> Registered:
    """The version that wants to serve. Raises DataError where there is none yet."""
    return _need(registry, CHALLENGER, "train one (`rossmann train`)")


def _need(registry: Registry, alias: str, remedy: str) -> Registered:
    found = find(registry, alias)
    if found is None:
        raise DataError(f"no {alias} yet in {registry.address}: {remedy}")
    return found


def load(registry: Registry, version: Registered) -> Forecaster:
    """The model of a version, to forecast with. DataError if other code made it: its backtest was not of this one."""
    if version.made_by_other_code:
        raise DataError(
            f"model version {version.version} was made by other code ({version.card.code_version}, this is "
            f"{code_version()}) and would not forecast as it was judged: train and release again (rossmann retrain)"
        )
    return _stored(registry, version)


def recipe(registry: Registry, version: Registered) -> Candidate:
    """How a version was made."""
    return _stored(registry, version).candidate


def _readable(registry: Registry, version: Registered) -> bool:
    try:
        _stored(registry, version)
    except DataError:
        return False
    return True


def _stored(registry: Registry, version: Registered) -> Forecaster:
    with tempfile.TemporaryDirectory() as folder:
        name = version.source.rsplit("/", 1)[-1]
        try:
            return models.load(Path(registry.client.download_artifacts(version.card.training, name, folder)))
        except (MlflowException, OSError) as error:
            raise DataError(
                f"the files of model version {version.version} cannot be read from {version.source} ({error}): "
                f"go back to the champion before (rossmann models rollback) or make another (rossmann retrain)"
            ) from error


def promote(registry: Registry, version: int, verdict: Verdict) -> None:
    """Enter the promotion in the ledger, then move the alias in one atomic step; until then the old champion serves."""
    _move_champion(registry, "promote", version, verdict.reasons)


def refuse(registry: Registry, version: int, verdict: Verdict) -> None:
    """Enter the refusal in the ledger, unless that is its last word already; the champion stays."""
    last = next(iter(ledger(registry)), None)
    if last and (last.action, last.version, last.reasons) == ("refuse", version, verdict.reasons):
        return
    entry = _enter(registry, "refuse", version, verdict.reasons)
    registry.client.set_terminated(entry.info.run_id)


def withdraw(registry: Registry, version: int, reason: str) -> None:
    """Take a promotion back that did not come into service: the champion before is champion again, or nobody is."""
    if (current := find(registry, CHAMPION)) is None or current.version != version:
        return
    if _promotion(registry, version) is not None:
        rollback(registry, reason)
        return
    entry = _enter(registry, "withdraw", version, (reason,))
    registry.client.delete_registered_model_alias(MODEL, CHAMPION)
    registry.client.set_terminated(entry.info.run_id)


def rollback(registry: Registry, reason: str = "asked") -> int:
    """Make the champion before this one champion again; answers its version. DataError where there was none."""
    current = champion(registry).version
    promotion = _promotion(registry, current)
    if promotion is None:
        raise DataError(f"nothing to roll back to: the ledger knows no champion before version {current}")
    if promotion.previous not in {version.version for version in versions(registry)}:
        raise DataError(f"version {promotion.previous}, the champion before {current}, is no longer in the registry")
    _move_champion(registry, "rollback", promotion.previous, (f"rolled back from version {current}: {reason}",))
    return promotion.previous


def ledger(registry: Registry) -> tuple[Entry, ...]:
    """Every decision about the champion, newest first."""
    runs = registry.client.search_runs([registry.experiment(LEDGER)], order_by=["attributes.start_time DESC"])
    return tuple(_entry(run) for run in runs)


def _promotion(registry: Registry, version: int) -> Entry | None:
    """The last promotion of a version over another one."""
    came = (e for e in ledger(registry) if e.action == "promote" and e.version == version and e.previous is not None)
    return next(came, None)


def _move_champion(registry: Registry, action: str, version: int, reasons: Iterable[str]) -> None:
    entry = _enter(registry, action, version, reasons)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    registry.client.set_terminated(entry.info.run_id)


def _enter(registry: Registry, action: str, version: int, reasons: Iterable[str]) -> Run:
    """A new entry, or the one that an interrupted try of the same left unfinished."""
    experiment = registry.experiment(LEDGER)
    same = f"attributes.status = 'RUNNING' and tags.action = '{action}' and tags.version = '{version}'"
    if unfinished := registry.client.search_runs([experiment], same):
        return unfinished[0]
    before = find(registry, CHAMPION)
    previous = str(before.version) if before else ""
    tags = {"action": action, "version": str(version), "previous": previous, "reasons": json.dumps(list(reasons))}
    return registry.client.create_run(experiment, run_name=f"{action} version {version}", tags=tags)


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
    return Registered(int(version.version), tuple(sorted(aliases)), card, version.source, version.tags["race"])


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


def _log_scores(client: MlflowClient, run: str, scores: pd.Series) -> None:
    """All numbers of a line of the leaderboard; RMSPE per fold also as the steps of one metric, oldest first."""
    step = 0
    for name, value in scores.drop("failure").dropna().items():
        fold = name[0].isdigit()
        client.log_metric(run, f"rmspe_{name}" if fold else name, float(value))
        if fold:
            client.log_metric(run, "fold_rmspe", float(value), step=step)
            step += 1


def _log_figures(client: MlflowClient, run: str, race: Race, candidate: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pictures = figures.backtest_figures(race.backtest, candidate)
        if race.importance[candidate]:
            pictures["importance.png"] = figures.importance_figure(race.importance[candidate])
        for name, png in pictures.items():
            Path(folder, name).write_bytes(png)
        client.log_artifacts(run, folder, "figures")


def _log_rows(client: MlflowClient, run: str, race: Race) -> None:
    with tempfile.TemporaryDirectory() as folder:
        race.backtest.rows.to_parquet(Path(folder, "backtest.parquet"), index=False)
        race.leaderboard().to_csv(Path(folder, "leaderboard.csv"))
        Path(folder, "environment.txt").write_text("\n".join(environment()))
        client.log_artifacts(run, folder)
