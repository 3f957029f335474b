"""LightGBM on the residuals of the linear model: trees that grow leaf by leaf.

The library is imported when a model is fitted or loaded, which keeps commands that do neither quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rossmann.models.learner import TrainingInput, library_names, own_names, rank_by_gain

if TYPE_CHECKING:
    import lightgbm

FILE = "model.txt"
# Of a leaf with fewer rows, LightGBM 4.7.0 sums quantized gradients (of 4 bins) in 8 bits: it finds splits that leave a
# side empty and stops with "Check failed: (best_split_info.right_count) > (0)".
MIN_LEAF_ROWS = 64


@dataclass(frozen=True)
class LightGBMTrees:
    """A fitted LightGBM model; its file is LightGBM's text."""

    booster: lightgbm.Booster

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the matrix's columns."""
        return own_names(self.booster.feature_name())

    def correction(self, matrix: np.ndarray) -> np.ndarray:
        """What to add to the log sales of the linear model. float64 [rows]"""
        return np.asarray(self.booster.predict(matrix, num_threads=1))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each column adds to the mean correction of the training, by TreeSHAP. float64 [rows, columns]"""
        return np.asarray(self.booster.predict(matrix, num_threads=1, pred_contrib=True))[:, :-1]

    def importance(self) -> tuple[tuple[str, float], ...]:
        """(column, gain), largest first."""
        return rank_by_gain(self.columns, self.booster.feature_importance("gain"))

    def save(self, folder: Path) -> None:
        """Write FILE."""
        self.booster.save_model(folder / FILE)


def fit(training_input: TrainingInput) -> LightGBMTrees:
    """Fit with quantized gradients: the same for the same seed and the same number of threads."""
    import lightgbm

    fixed = {
        "objective": "regression", "max_bin": 63, "seed": training_input.seed,
        "num_threads": training_input.threads, "verbosity": -1, "deterministic": True, "force_row_wise": True,
        "use_quantized_grad": True, "feature_pre_filter": False,
    }  # fmt: skip
    rows = lightgbm.Dataset(
        training_input.train_set.matrix,
        training_input.target,
        feature_name=library_names(training_input.train_set.columns),
        params=fixed,
        free_raw_data=True,
    )
    booster = lightgbm.train(fixed | dict(training_input.params), rows, training_input.rounds)
    return LightGBMTrees(lightgbm.Booster(model_str=booster.model_to_string()))  # without the training rows


def load(folder: Path) -> LightGBMTrees:
    """Read what `save` wrote."""
    import lightgbm

    return LightGBMTrees(lightgbm.Booster(model_file=folder / FILE))
