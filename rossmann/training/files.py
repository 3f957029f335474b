"""Finished fits and backtest runs in a storage, under keys that change with everything that they depend on."""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rossmann import evaluation
from rossmann.evaluation import LOSSES, Backtest, BacktestRun
from rossmann.provenance import FORECAST_CODE, code_hash
from rossmann.storage import Storage
from rossmann.training.fits import FitResult, FitTask
from rossmann.validation import DataError

FITS_FOLDER = "fits"  # in the storage of backtest runs
ROWS_FILE, LEADERBOARD_FILE, RUN_FILE = "backtest.parquet", "leaderboard.csv", "run.json"
RUN_FIELDS = ("cpu_seconds", "importance", "failures", "param_changes")  # of BacktestRun, in RUN_FILE
LOSS = "loss"  # in RUN_FILE: the name of the backtest's loss
DIGEST = "sha256"  # in RUN_FILE: of the rows and of all other fields

# Modules and packages whose code changes the result. A change of the evaluation alone leaves the fits reusable.
FIT_CODE = (*FORECAST_CODE, "training/fits.py", "training/files.py")
RUN_CODE = (*FORECAST_CODE, "training", "evaluation")


def fit_key(*parts: object) -> str:
    """16 hex digits: a hash of the arguments of a fit and of the code behind it."""
    return _hash(FIT_CODE, parts)


def run_key(*parts: object) -> str:
    """16 hex digits: a hash of the arguments of a backtest run and of the code behind it."""
    return _hash(RUN_CODE, parts)


@dataclass(frozen=True)
class FitFiles:
    """The finished fits in a storage that were fitted to one history, with one horizon and one seed."""

    storage: Storage
    fingerprint: str  # of the history
    horizon_days: int
    seed: int

    def name(self, task: FitTask) -> str:
        """The file of a task's result in the storage."""
        return f"{FITS_FOLDER}/{fit_key(self.fingerprint, self.horizon_days, self.seed, task)}.npz"

    def load(self, task: FitTask) -> FitResult | None:
        """The result of an earlier fit; None if there is none or its file is damaged: the fit is then done again."""
        return load_fit(self.storage, self.name(task))

    def save(self, task: FitTask, result: FitResult) -> None:
        """Save a result; one with a failure is not saved, so that the next run tries the fit again."""
        if not result.failure:
            save_fit(result, self.storage, self.name(task))


def save_backtest_run(run: BacktestRun, storage: Storage) -> None:
    """Write the rows (Parquet), the leaderboard (CSV) and the rest (JSON) into the folder with the run's key."""
    folder = storage.subfolder(run.key)
    buffer = io.BytesIO()
    run.backtest.rows.to_parquet(buffer, index=False)
    folder.write(ROWS_FILE, buffer.getvalue())
    folder.write(LEADERBOARD_FILE, run.leaderboard().to_csv().encode())
    fields = {name: getattr(run, name) for name in RUN_FIELDS} | {LOSS: run.backtest.loss.name}
    folder.write(RUN_FILE, json.dumps(fields | {DIGEST: _digest(buffer.getvalue(), fields)}, indent=2).encode())


def load_backtest_run(storage: Storage, key: str) -> BacktestRun:
    """Read what `save_backtest_run` wrote under the key. DataError if any of it was changed."""
    folder = storage.subfolder(key)
    content = folder.read(ROWS_FILE)
    try:
        fields = json.loads(folder.read(RUN_FILE))
        is_intact = fields.pop(DIGEST) == _digest(content, fields)
        loss = LOSSES[fields.pop(LOSS)]
    except (ValueError, KeyError, AttributeError):  # not JSON, or another JSON
        is_intact = False
    if not is_intact:
        raise DataError(f"{folder.address('')} was changed after it was written: train again (rossmann retrain)")
    rows = pd.read_parquet(io.BytesIO(content)).astype(evaluation.BACKTEST_COLUMNS)
    return BacktestRun(key, Backtest(rows, loss), **fields)


def remove_backtest_run(storage: Storage, key: str) -> None:
    """Delete what `save_backtest_run` wrote under the key."""
    storage.delete_folder(key, first=RUN_FILE)


def save_fit(result: FitResult, storage: Storage, name: str) -> None:
    """Write a result without failure."""
    buffer = io.BytesIO()
    names, gains = np.array(list(result.importance), dtype=str), np.array(list(result.importance.values()))
    arrays: dict[str, Any] = {"forecast": result.forecast, "standard_deviation": result.standard_deviation}
    np.savez(buffer, **arrays, cpu_seconds=result.cpu_seconds, names=names, gains=gains)
    storage.write(name, buffer.getvalue())


def load_fit(storage: Storage, name: str) -> FitResult | None:
    """Read what `save_fit` wrote; None if there is no such file or it is damaged: the fit is then done again."""
    try:
        with np.load(io.BytesIO(storage.read(name)), allow_pickle=False) as arrays:
            importance = dict(zip(arrays["names"].tolist(), arrays["gains"].tolist(), strict=True))
            forecast, standard_deviation = arrays["forecast"], arrays["standard_deviation"]
            return FitResult(forecast, standard_deviation, float(arrays["cpu_seconds"]), importance)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None


def _digest(rows: bytes, fields: dict[str, object]) -> str:
    """SHA-256 of the rows' file and of the other fields."""
    return hashlib.sha256(rows + json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _hash(code: tuple[str, ...], parts: tuple[object, ...]) -> str:
    return hashlib.sha256(repr([code_hash(code), *(str(part) for part in parts)]).encode()).hexdigest()[:16]


def fit_cpu_seconds(storage: Storage) -> float:
    """CPU seconds of all finished fits in the storage, each counted once."""
    names = [f"{FITS_FOLDER}/{name}" for name in storage.subfolder(FITS_FOLDER).file_names()]
    return sum(result.cpu_seconds for name in names if (result := load_fit(storage, name)))
