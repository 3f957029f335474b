"""Registering, finding and loading model versions."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rossmann import figures, models
from rossmann.models import Forecaster
from rossmann.provenance import code_version
from rossmann.registry import files
from rossmann.registry.cards import ModelCard, RegisteredModel
from rossmann.registry.connection import CHALLENGER, CHAMPION, MODEL, RUN_KEY_TAG, Registry
from rossmann.registry.records import VersionRecord, read_versions
from rossmann.validation import DataError, UnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

REMEDY = "roll back (rossmann models rollback) or train another (rossmann retrain)"
log = logging.getLogger(__name__)


def register_model(registry: Registry, forecaster: Forecaster, card: ModelCard, backtest_run: str) -> int:
    """Store a model and its card as a new version under the key of its backtest run; returns the version.

    The card gets the hashes of the files. The folder is named by its content, so that two fits of one run never
    overwrite each other. If the candidate is registered under that key already, its version is returned.
    """
    client = registry.client
    with tempfile.TemporaryDirectory() as folder:
        _write_files(forecaster, Path(folder))
        card = replace(card, files=files.hash_files(Path(folder)))
        Path(folder, files.CARD_FILE).write_text(files.card_json(card))
        folder_name = f"model-{backtest_run}-{files.content_key(card.files)}"
        client.log_artifacts(card.run_id, folder, folder_name)
    if version := find_registered(registry, backtest_run, card.candidate):  # another process was quicker
        return version
    registry.ensure_model()
    source = f"{client.get_run(card.run_id).info.artifact_uri}/{folder_name}"
    about = {"candidate": card.candidate, "snapshot": card.snapshot, "card": files.card_json(card)}
    return int(
        client.create_model_version(MODEL, source, card.run_id, tags={RUN_KEY_TAG: backtest_run} | about).version
    )


def find_registered(registry: Registry, backtest_run: str, candidate: str) -> int | None:
    """The version of a candidate under the key of a backtest run whose files can be read; else None."""
    origin = (backtest_run, candidate)
    models_of_run = (each for each in list_models(registry) if (each.backtest_run, each.card.candidate) == origin)
    return next((model.version for model in models_of_run if is_readable(registry, model)), None)


def set_challenger(registry: Registry, version: int) -> None:
    """Make the version the challenger."""
    registry.client.set_registered_model_alias(MODEL, CHALLENGER, str(version))


def list_models(registry: Registry) -> tuple[RegisteredModel, ...]:
    """All versions, newest first."""
    return tuple(_registered_model(record) for record in read_versions(registry))


def find_by_alias(registry: Registry, alias: str) -> RegisteredModel | None:
    """The version with the alias, or None."""
    return next((model for model in list_models(registry) if alias in model.aliases), None)


def find_champion(registry: Registry) -> RegisteredModel | None:
    """The version that serves, or None."""
    return find_by_alias(registry, CHAMPION)


def find_version(registry: Registry, version: int) -> RegisteredModel:
    """A version by its number. DataError where there is none."""
    for model in list_models(registry):
        if model.version == version:
            return model
    raise DataError(f"there is no model version {version} in the registry; `rossmann models` lists the versions")


def champion(registry: Registry) -> RegisteredModel:
    """The version that serves. DataError where there is none yet."""
    return _require(registry, CHAMPION, "train a challenger (`rossmann train`) and release it (`rossmann release`)")


def challenger(registry: Registry) -> RegisteredModel:
    """The version that is a candidate for release. DataError where there is none yet."""
    return _require(registry, CHALLENGER, "train one (`rossmann train`)")


def load_forecaster(registry: Registry, model: RegisteredModel) -> Forecaster:
    """The fitted model of a version, for forecasts.

    DataError if it was fitted by another code version, because its forecasts could differ from those of its backtest,
    or if its files are damaged; UnavailableError if they cannot be read now.
    """
    require_same_code(model)
    return _load(registry, model)


def copy_files(registry: Registry, model: RegisteredModel, folder: Path) -> None:
    """Copy the files of a version to a new folder. DataError if they cannot be read."""
    with _download(registry, model) as local:
        shutil.copytree(local, folder)


def load_files(model: RegisteredModel, folder: Path) -> Forecaster:
    """What `load_forecaster` returns, from a copy of the version's files."""
    require_same_code(model)
    return _load_folder(model, folder)


def require_same_code(model: RegisteredModel) -> None:
    """DataError if a version was fitted by another code version than this one."""
    if model.code_mismatch:
        raise DataError(
            f"model version {model.version} was fitted by another code version ({model.card.code_version}, this is "
            f"{code_version()}), so its forecasts could differ from those of its backtest: train and release again "
            "(rossmann retrain)"
        )


def is_readable(registry: Registry, model: RegisteredModel) -> bool:
    """Whether all files of a version are as they were registered. UnavailableError if they cannot be read now."""
    try:
        _load(registry, model)
    except UnavailableError:
        raise
    except DataError:
        return False
    return True


def _require(registry: Registry, alias: str, remedy: str) -> RegisteredModel:
    model = find_by_alias(registry, alias)
    if model is None:
        raise DataError(f"no {alias} yet in {registry.address}: {remedy}")
    return model


def _write_files(forecaster: Forecaster, folder: Path) -> None:
    """All files of a version but its card."""
    forecaster.save(folder)
    if importance := forecaster.importance():
        (folder / "importance.png").write_bytes(figures.importance_figure(dict(importance)))


def _load(registry: Registry, model: RegisteredModel) -> Forecaster:
    with _download(registry, model) as folder:
        return _load_folder(model, folder)


def _load_folder(model: RegisteredModel, folder: Path) -> Forecaster:
    _verify(model, files.hashes_of_version(model.card), files.hash_files(folder))
    return models.load(folder)


@contextmanager
def _download(registry: Registry, model: RegisteredModel) -> Iterator[Path]:
    """A local folder with all files of a version. DataError if some are missing, else UnavailableError."""
    if registry.sqlite_file and Path(model.source).is_dir():
        yield Path(model.source)
        return
    path = model.source.rsplit("/", 1)[-1]
    with tempfile.TemporaryDirectory() as folder:
        try:
            local = registry.client.download_artifacts(model.card.run_id, path, folder)
        except Exception as error:  # each kind of storage raises its own errors
            problem = f"the files of model version {model.version} cannot be read from {model.source} ({error})"
            if _is_incomplete(registry, model, path):
                raise DataError(f"{problem}: {REMEDY}") from error
            raise UnavailableError(f"{problem}: run this again when the storage is available") from error
        yield Path(local)


def _is_incomplete(registry: Registry, model: RegisteredModel, path: str) -> bool:
    """Whether the storage says that a file of a version does not exist; False if the storage does not respond."""
    try:
        names = set(_list_files(registry.client, model.card.run_id, path))
    except Exception as error:  # each kind of storage raises its own errors
        log.warning("the files of model version %s cannot be listed: %s", model.version, error)
        return False
    return not names >= {f"{path}/{name}" for name in files.hashes_of_version(model.card)}


def _list_files(client: "MlflowClient", run_id: str, path: str) -> Iterator[str]:
    for file in client.list_artifacts(run_id, path):
        if file.is_dir:
            yield from _list_files(client, run_id, file.path)
        else:
            yield file.path


def _verify(model: RegisteredModel, expected: Mapping[str, str], actual: Mapping[str, str]) -> None:
    """DataError with the first file that is not as it was registered."""
    if damage := files.find_damage(expected, actual):
        name, problem = damage
        raise DataError(f"{name} of model version {model.version} {problem} in {model.source}: {REMEDY}")


def _registered_model(record: VersionRecord) -> RegisteredModel:
    card = ModelCard(**json.loads(record.tags["card"]))
    return RegisteredModel(record.version, record.aliases, card, record.source, record.tags[RUN_KEY_TAG])
