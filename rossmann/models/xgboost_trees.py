"""XGBoost on the residuals of the linear model: trees that grow to a depth.

The library is imported when a model is fitted or loaded, which keeps commands that do neither quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rossmann.models.flat_trees import FlatTrees
from rossmann.models.learner import TrainingInput, library_names, own_names, rank_by_gain

if TYPE_CHECKING:
    import xgboost

FILE = "model.ubj"
MAX_BINS = 64
PREDICTION = {"nthread": 1}  # a request or a fit has one thread


@dataclass(frozen=True)
class XGBoostTrees:
    """A fitted XGBoost model; its file is XGBoost's UBJSON."""

    booster: xgboost.Booster

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the matrix's columns."""
        return own_names(self.booster.feature_names or ())

    def correction(self, matrix: np.ndarray) -> np.ndarray:
        """What to add to the log sales of the linear model. float64 [rows]"""
        if len(matrix) == 1:
            return np.array([self._flat_trees.sum(matrix[0])], float)
        import xgboost

        return self.booster.predict(xgboost.DMatrix(matrix, nthread=1), validate_features=False).astype(float)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each column adds to the mean correction of the training, by TreeSHAP. float64 [rows, columns]"""
        import xgboost

        rows = xgboost.DMatrix(matrix, nthread=1)
        return self.booster.predict(rows, pred_contribs=True, validate_features=False)[:, :-1].astype(float)

    @cached_property
    def _flat_trees(self) -> FlatTrees:
        return FlatTrees.of(self.booster.save_raw("json"))

    def importance(self) -> tuple[tuple[str, float], ...]:
        """(column, gain) of the columns that are used, largest first."""
        gains = self.booster.get_score(importance_type="total_gain")
        return rank_by_gain(own_names(gains), list(gains.values()))

    def save(self, folder: Path) -> None:
        """Write FILE."""
        self.booster.save_model(folder / FILE)


def fit(training_input: TrainingInput) -> XGBoostTrees:
    """Fit with the histogram method; the same for the same seed, whatever the number of threads."""
    import xgboost

    fixed = {
        "objective": "reg:squarederror", "tree_method": "hist", "max_bin": MAX_BINS, "base_score": 0.0,
        "seed": training_input.seed, "nthread": training_input.threads, "verbosity": 0,
    }  # fmt: skip
    rows = xgboost.QuantileDMatrix(
        training_input.train_set.matrix,
        training_input.target,
        feature_names=library_names(training_input.train_set.columns),
        max_bin=MAX_BINS,
        nthread=training_input.threads,
    )
    booster = xgboost.train(fixed | dict(training_input.params), rows, training_input.rounds)
    return XGBoostTrees(xgboost.Booster(PREDICTION, model_file=booster.save_raw("ubj")))


def load(folder: Path) -> XGBoostTrees:
    """Read what `save` wrote."""
    import xgboost

    return XGBoostTrees(xgboost.Booster(PREDICTION, model_file=folder / FILE))
