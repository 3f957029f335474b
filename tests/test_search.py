"""The search for hyperparameters on a real Ray: the same trials whatever happens, and no fit too many."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rossmann import evaluation, models, training
from rossmann.data import save_snapshot
from rossmann.models.learners import LEARNERS
from rossmann.storage import Storage
from rossmann.training import BacktestEntry
from rossmann.validation import DataError
from tests.support.commands import REPOSITORY

pytestmark = pytest.mark.slow

CANDIDATES = models.candidates(("ridge", "xgboost", "blend"))
TRIALS = 9  # some of them after enough others to be pruned
FOLDS, STEP_DAYS, HORIZON_DAYS = 4, 24, 48


def no_progress(done: int, total: int, what: str) -> None:
    """Show nothing."""


def run_search(history, storage, trials=TRIALS, seed=7, ray_address=None, progress=no_progress):
    origins = evaluation.fold_origins(history, FOLDS, STEP_DAYS, HORIZON_DAYS)
    options = {"seed": seed, "ray_address": ray_address, "storage": storage, "progress": progress}
    return training.run_search(history, CANDIDATES, trials, origins, horizon_days=HORIZON_DAYS, **options)


def fits(storage: Storage) -> dict[str, object]:
    """The times of the files of all finished fits by name."""
    return {file.name: file.modified for file in storage.subfolder(training.FITS_FOLDER).files()}


@pytest.fixture(scope="module")
def finished(local_ray, noisy, tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("search")))
    started = time.time()
    trials = run_search(noisy, storage)
    print(time.time() - started)
    return storage, trials


def test_x(finished):
    storage, trials = finished
    for row in training.trial_table(trials): print(row)
    print(training.search_results(trials, CANDIDATES))
