"""A model version for a process that only forecasts: MLflow's client stays out of its memory, where it needs 100 MB.

A SQLite database is read without the client. Any other registry is asked by a process of its own, which copies the
version's files and ends.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rossmann.models import Forecaster
from rossmann.registry.cards import ModelCard, RegisteredModel
from rossmann.registry.connection import Registry
from rossmann.registry.versions import champion, copy_files, find_version, load_files, load_forecaster
from rossmann.validation import DataError

TIMEOUT_S = 300
FILES, MODEL, ERROR = "files", "model.json", "error.txt"  # what the process writes


def fetch_forecaster(registry: Registry, version: int | None) -> tuple[RegisteredModel, Forecaster]:
    """A version, or the champion for None, and its fitted model.

    Raises DataError like `load_forecaster` and `find_version`.
    """
    if registry.sqlite_file:
        model = _find(registry, version)
        return model, load_forecaster(registry, model)
    with tempfile.TemporaryDirectory() as folder:
        _run_process({"registry": asdict(registry), "version": version, "folder": folder})
        model = _read_model(Path(folder))
        return model, load_files(model, Path(folder) / FILES)


def _run_process(request: dict[str, object]) -> None:
    """Run `main`; the request goes through a pipe, since the address may contain a password."""
    command = [sys.executable, "-c", "from rossmann.registry.fetch import main; main()"]
    subprocess.run(command, input=json.dumps(request), text=True, check=True, timeout=TIMEOUT_S)


def _read_model(folder: Path) -> RegisteredModel:
    if (folder / ERROR).exists():
        raise DataError((folder / ERROR).read_text())
    fields = json.loads((folder / MODEL).read_text())
    return RegisteredModel(**fields | {"aliases": tuple(fields["aliases"]), "card": ModelCard(**fields["card"])})


def _find(registry: Registry, version: int | None) -> RegisteredModel:
    return champion(registry) if version is None else find_version(registry, version)


def main() -> None:
    """The process: copy the version that the request on the standard input names, or say why that is impossible."""
    request = json.load(sys.stdin)
    registry, folder = Registry(**request["registry"]), Path(request["folder"])
    try:
        model = _find(registry, request["version"])
        copy_files(registry, model, folder / FILES)
        (folder / MODEL).write_text(json.dumps(asdict(model)))
    except DataError as error:
        (folder / ERROR).write_text(str(error))
