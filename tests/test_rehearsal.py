"""A learner whose fits could not be registered as a model is refused before any fit: Ray is not even started."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rossmann import evaluation, models, training
from rossmann.models import LEARNERS
from rossmann.storage import Storage
from rossmann.training import BacktestEntry
from rossmann.training.rehearsal import require_storable
from rossmann.validation import DataError

RIDGE, LIGHTGBM = (models.default_candidate(name) for name in ("ridge", "lightgbm"))


class Zero:
    """A booster that corrects nothing, and has no columns."""

    columns = ()
    correction = staticmethod(lambda matrix: np.zeros(len(matrix)))
    contributions = staticmethod(np.zeros_like)
    importance = staticmethod(lambda: ())

    def save(self, folder: Path) -> None:
        """Write nothing."""


class Locked(Zero):
    def __init__(self):
        self.lock = threading.Lock()


class Unfinished(Zero):
    save = property()


class Silent(Zero):
    contributions = property()


def no_load(_: Path) -> Zero:
    raise NotImplementedError("later")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"fit": lambda _: Locked()}, r"cannot be pickled \(TypeError: cannot pickle '_thread.lock'"),
     ({"fit": lambda _: Unfinished()}, r"cannot be saved \(AttributeError"),
     ({"load": no_load}, r"cannot be loaded \(NotImplementedError: later\)"),
     ({"load": lambda _: Silent()}, r"cannot be explained \(AttributeError"),
     ({"load": lambda _: Zero()}, "is another model after it was saved and loaded")],
)  # fmt: skip
def test_a_learner_whose_fits_cannot_be_stored_is_refused_before_any_fit(
    noisy, tmp_path, monkeypatch, changes, problem
):
    monkeypatch.setitem(LEARNERS, "lightgbm", replace(LEARNERS["lightgbm"], **changes))
    options = {
        "origins": evaluation.fold_origins(noisy, 2, 48, 48), "horizon_days": 48, "seed": 7, "progress": print,
        "ray_address": "127.0.0.1:1", "storage": Storage(str(tmp_path)),
    }  # fmt: skip
    entries = [BacktestEntry(each.name, each) for each in (RIDGE, LIGHTGBM)]
    with pytest.raises(DataError, match=f"what lightgbm fits {problem}.*: mend `fit` and `load` of the learner"):
        training.run_backtests(noisy, entries, coverage=0.9, **options)
    with pytest.raises(DataError, match=problem):
        training.run_search(noisy, [LIGHTGBM], 1, **options)


def test_a_parameter_that_is_no_json_is_refused():
    params = tuple((dict(LIGHTGBM.params) | {"num_leaves": np.int64(63)}).items())
    with pytest.raises(DataError, match=r"cannot be saved .*int64 is not JSON serializable"):
        require_storable([replace(LIGHTGBM, params=params)])


def test_what_the_learners_of_the_table_fit_can_be_stored(monkeypatch):
    for name, learner in list(LEARNERS.items()):
        require_storable([models.default_candidate(name)])
        monkeypatch.setitem(LEARNERS, name, replace(learner, load=no_load))
        with pytest.raises(DataError, match=f"what {name} fits cannot be loaded"):  # so it was fitted
            require_storable([models.default_candidate(name)])


def test_a_fit_that_fails_is_left_to_the_leaderboard(caplog):
    require_storable([replace(LIGHTGBM, params=tuple((dict(LIGHTGBM.params) | {"num_leaves": -5}).items()))])
    assert "whether lightgbm can be stored is not known: it cannot fit random rows" in caplog.text
