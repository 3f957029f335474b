"""scikit-learn's histogram gradient boosting on the residuals of the linear model.

skops saves it as arrays and JSON, and restores no other types than its own list and the ones named here: a file cannot
execute code. The libraries are imported when a model is fitted or loaded.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from rossmann.models.learner import TrainingInput, rank_by_gain

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

FILE = "model.skops"
MAX_BINS = 63
TRUSTED_TYPES = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]  # beside skops' own list


@dataclass(frozen=True)
class SklearnTrees:
    """A fitted HistGradientBoostingRegressor."""

    regressor: HistGradientBoostingRegressor
    columns: tuple[str, ...]

    def correction(self, matrix: np.ndarray) -> np.ndarray:
        """What to add to the log sales of the linear model. float64 [rows]"""
        with _threads(1):
            return self.regressor.predict(matrix)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Zeros: scikit-learn does not say what a column adds. float64 [rows, columns]"""
        return np.zeros(matrix.shape)

    def importance(self) -> tuple[tuple[str, float], ...]:
        """(column, gain), largest first: the sum over all splits, which scikit-learn itself does not offer."""
        gains = np.zeros(len(self.columns))
        for (tree,) in self.regressor._predictors:
            splits = tree.nodes[tree.nodes["is_leaf"] == 0]
            np.add.at(gains, splits["feature_idx"], splits["gain"])
        return rank_by_gain(self.columns, gains)

    def save(self, folder: Path) -> None:
        """Write FILE."""
        import skops.io

        skops.io.dump({"regressor": self.regressor, "columns": list(self.columns)}, folder / FILE)


def fit(training_input: TrainingInput) -> SklearnTrees:
    """Fit without early stopping; the same for the same seed, whatever the number of threads."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    regressor = HistGradientBoostingRegressor(
        max_iter=training_input.rounds,
        max_bins=MAX_BINS,
        early_stopping=False,
        random_state=training_input.seed,
        **training_input.params,
    )
    matrix = training_input.train_set.matrix
    is_unknown = np.isnan(matrix).all(axis=0)  # scikit-learn cannot bin such columns; a constant is never split
    if is_unknown.any():
        matrix = np.where(is_unknown, np.float32(0), matrix)
    with _threads(training_input.threads):
        regressor.fit(matrix, training_input.target)
    return SklearnTrees(regressor, training_input.train_set.columns)


def load(folder: Path) -> SklearnTrees:
    """Read what `save` wrote. skops raises UntrustedTypesFoundException for a file with any other type."""
    import skops.io

    content = skops.io.load(folder / FILE, trusted=TRUSTED_TYPES)
    return SklearnTrees(content["regressor"], tuple(content["columns"]))


def _threads(number: int) -> AbstractContextManager:
    """Within the context OpenMP has so many threads: the regressor has no parameter for it."""
    return _threadpools().limit(limits=number, user_api="openmp")


@cache  # finding the loaded libraries takes milliseconds
def _threadpools() -> ThreadpoolController:
    import sklearn.ensemble  # noqa: F401  the controller finds only what is loaded

    return ThreadpoolController()
