"""Whether what candidates fit can be stored, read again and explained: tried in milliseconds, before hours of fits.

Each candidate is fitted to a few random rows. A fit that fails here is left to the fits of the folds, whose failures
are on the leaderboard.
"""

import logging
import tempfile
from collections.abc import Iterable

import numpy as np
import ray

from rossmann import models
from rossmann.features import FeatureSpec
from rossmann.models import Candidate, Forecaster, TrainingWindow
from rossmann.schema import DAY
from rossmann.validation import DataError

ROWS = 100
TRAIN_END = np.datetime64("2015-01-02")
ATTRIBUTES = ('attribute ["kind", "a [b]"]',)  # a column of a chain's own, whose name has all that names may have
log = logging.getLogger(__name__)


def require_storable(candidates: Iterable[Candidate]) -> None:
    """DataError for the first candidate whose fit Ray cannot pass on, or that cannot be saved, loaded and explained."""
    for candidate in dict.fromkeys(candidates):
        if problem := _problem(candidate):
            raise DataError(
                f"what {candidate.name} fits {problem}: mend `fit` and `load` of the learner {candidate.learner} "
                "(rossmann/models/learners.py), and the methods of what it fits, which are those of `Booster`"
            )


def _problem(candidate: Candidate) -> str:
    """Why what the candidate fits cannot be stored; empty where it can."""
    windows = [_window(TRAIN_END - DAY, candidate.spec, False), _window(TRAIN_END, candidate.spec, True)]
    try:
        forecaster = models.fit(candidate, windows, TRAIN_END, seed=0)
    except Exception as error:  # of any learner; the fits of the folds, on real rows, report their failures
        log.warning("whether %s can be stored is not known: it cannot fit random rows (%s)", candidate.name, error)
        return ""
    step = "pickled"  # by Ray, from the process that fits to the one that saves
    try:
        copy = ray.cloudpickle.loads(ray.cloudpickle.dumps(forecaster))
        with tempfile.TemporaryDirectory() as folder:
            step = "saved"
            copy.save(folder)
            step = "loaded"
            loaded = models.load(folder)
        step = "explained"
        is_same = _content(loaded, windows[0].matrix) == _content(forecaster, windows[0].matrix)
    except Exception as error:  # of any learner or library; the caller raises a DataError with it
        reason = str(error).partition("\n")[0]
        return f"cannot be {step} ({type(error).__name__}: {reason})"
    return "" if is_same else "is another model after it was saved and loaded"


def _content(forecaster: Forecaster, matrix: np.ndarray) -> tuple[object, ...]:
    """What makes two forecasters equal: the candidate, and what a booster corrects and says about it."""
    if not forecaster.candidate.is_booster:
        return (forecaster.candidate.key(),)
    booster = forecaster.booster
    numbers = booster.correction(matrix).tobytes(), booster.contributions(matrix).tobytes()
    return forecaster.candidate.key(), booster.columns, booster.importance(), numbers


def _window(origin: np.datetime64, spec: FeatureSpec, is_past: bool) -> TrainingWindow:
    """Random rows with the columns that a history would have."""
    random, columns = np.random.default_rng(0), spec.columns(ATTRIBUTES)
    matrix = random.normal(size=(ROWS, len(columns))).astype(np.float32)
    log_sales = random.normal(8, 0.1, ROWS)
    date, base, day_difference = np.full(ROWS, TRAIN_END), np.full(ROWS, 8.0), np.zeros(ROWS)
    return TrainingWindow(origin, spec, columns, matrix, date, log_sales, base, day_difference, is_past)
