"""What every learner has: how it is fitted and loaded, its default parameters, and what a fit of it returns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

import numpy as np

from rossmann.features import FeatureSpec, PlanRows
from rossmann.models.training_windows import TrainingWindow

Param = int | float | str

MAX_VARIANCE = 0.3  # of log sales; a larger variance moves a forecast no further


class FittedModel(Protocol):
    """The result of a fit: a Rule or a Booster."""

    def importance(self) -> tuple[tuple[str, float], ...]:
        """(column, gain), largest first; empty where a model has no such thing."""

    def save(self, folder: Path) -> None:
        """Write into an existing folder, in a format that executes no code when it is loaded."""


class Rule(FittedModel, Protocol):
    """What a learner that is not fitted to rows returns."""

    def log_sales(self, rows: PlanRows) -> np.ndarray:
        """Median log sales as if every day were open. float64 [rows]"""


class Booster(FittedModel, Protocol):
    """What a learner that is fitted to rows returns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the matrix's columns, as `features.column_names` had them for the training."""

    def correction(self, matrix: np.ndarray) -> np.ndarray:
        """What to add to the log sales of the linear model, from the features of the rows. float64 [rows]"""

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each column adds to the correction of a row; the rest is not attributed. float64 [rows, columns]"""


@dataclass(frozen=True)
class TrainingInput:
    """What a booster is fitted to: rows, parameters, seed and threads."""

    train_set: TrainingWindow
    params: Mapping[str, Param]  # of the library; without `max_rows` and `max_rounds`, which are applied already
    rounds: int
    seed: int
    threads: int

    @property
    def target(self) -> np.ndarray:
        """By how much log sales differ from the linear model's, without what they differ by in all stores. [rows]

        What all stores share on a day is mostly weather or chance, so it is removed from the target.
        """
        return self.train_set.difference - self.train_set.day_difference


@dataclass(frozen=True)
class Learner:
    """One line of the table in `rossmann.models.learners`.

    A booster needs training windows or a past window, with the features of `spec`. Its `defaults` include `max_rounds`
    (of boosting; with few rows there are fewer) and, with training windows, `max_rows` (a random sample of larger
    sets). `ranges` are (lowest, highest) of the parameters that a search tries, on a log scale; whole numbers
    stay whole.
    """

    name: str
    fit: Callable[[Any], FittedModel]  # from a TrainingInput; from None where it is no booster
    load: Callable[[Path], FittedModel]  # from the folder of `save`
    needs_training_windows: bool = False
    needs_past_window: bool = False
    spec: FeatureSpec = FeatureSpec()  # noqa: RUF009  it is frozen
    is_baseline: bool = False  # a baseline is a candidate of every backtest run, named or not
    defaults: Mapping[str, Param] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def loss_shift(rows: PlanRows, variance_factor: float) -> np.ndarray:
    """What to add to median log sales to minimise an expected loss (`rossmann.evaluation.losses`). float64 [rows]"""
    return variance_factor * np.minimum(rows.variance, MAX_VARIANCE)


def library_names(columns: Iterable[str]) -> list[str]:
    """Names of columns without the characters that LightGBM and XGBoost refuse or replace."""
    return [quote(name, safe="") for name in columns]


def own_names(names: Iterable[str]) -> tuple[str, ...]:
    """What `library_names` has changed, as it was."""
    return tuple(map(unquote, names))


def rank_by_gain(names: Iterable[str], gains: Iterable[Any]) -> tuple[tuple[str, float], ...]:
    """Pairs of name and gain, largest first."""
    return tuple(sorted(zip(names, map(float, gains), strict=True), key=lambda pair: -pair[1]))
