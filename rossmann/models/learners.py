"""How each learner learns, forecasts, and lies on disk. A learner returns log sales of the rows of a plan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import lightgbm
import numpy as np
import xgboost

from rossmann.features import Rows
from rossmann.models.candidate import Candidate
from rossmann.models.lessons import Lesson, gather, linear_base

FULL_ROWS = 300_000  # below, fewer rounds are as good
LEAST_ROUNDS = 40
MOST_VARIANCE = 0.3  # of log sales that a forecast may be lowered for
LIGHTGBM_FILE, XGBOOST_FILE = "model.txt", "model.ubj"


class Model(Protocol):
    """What a learner has learnt."""

    def log_sales(self, rows: Rows, matrix: np.ndarray) -> np.ndarray:
        """float64 [rows], as if every day were open."""

    def importance(self) -> tuple[tuple[str, float], ...]:
        """(column, gain), largest first; empty where there is no such thing."""

    def save(self, folder: Path) -> None:
        """Write into an existing folder, in the library's own format."""


@dataclass(frozen=True)
class FromState:
    """Nothing learnt: the State says it all."""

    rule: str

    def log_sales(self, rows: Rows, matrix: np.ndarray) -> np.ndarray:
        return RULES[self.rule](rows)

    def importance(self) -> tuple[tuple[str, float], ...]:
        return ()

    def save(self, folder: Path) -> None:
        """Nothing to write."""


@dataclass(frozen=True)
class LightGBM:
    """Trees on what the linear model leaves."""

    booster: lightgbm.Booster

    def log_sales(self, rows: Rows, matrix: np.ndarray) -> np.ndarray:
        return linear_base(rows) + self.booster.predict(matrix, num_threads=1) + _median_to_rmspe(rows)

    def importance(self) -> tuple[tuple[str, float], ...]:
        gains = self.booster.feature_importance("gain")
        return _ranked(self.booster.feature_name(), gains)

    def save(self, folder: Path) -> None:
        self.booster.save_model(folder / LIGHTGBM_FILE)


@dataclass(frozen=True)
class XGBoost:
    """Trees on what the linear model leaves, grown to a depth instead of leaf by leaf."""

    booster: xgboost.Booster

    def log_sales(self, rows: Rows, matrix: np.ndarray) -> np.ndarray:
        return (
            linear_base(rows)
            + self.booster.inplace_predict(matrix, validate_features=False).astype(float)
            + _median_to_rmspe(rows)
        )

    def importance(self) -> tuple[tuple[str, float], ...]:
        gains = self.booster.get_score(importance_type="total_gain")
        return _ranked(list(gains), list(gains.values()))

    def save(self, folder: Path) -> None:
        self.booster.save_model(folder / XGBOOST_FILE)


def learn(
    candidate: Candidate, lessons: Sequence[Lesson], known_until: np.datetime64, seed: int, threads: int
) -> Model:
    """The candidate's model, learnt from rows up to `known_until`."""
    if candidate.learner in RULES:
        return FromState(candidate.learner)
    params = dict(candidate.params)
    taught = gather(lessons, known_until, int(params.pop("rows")), seed)
    if taught.spec != candidate.spec:
        raise ValueError(f"{candidate.name} needs lessons of {candidate.spec}, these are of {taught.spec}")
    rounds = int(params.pop("rounds"))
    rounds = max(min(LEAST_ROUNDS, rounds), int(rounds * min(1.0, (len(taught.date) / FULL_ROWS) ** 0.5)))
    return BOOSTED[candidate.learner](taught, params, rounds, seed, threads)


def load(candidate: Candidate, folder: Path) -> Model:
    """What `save` wrote."""
    if candidate.learner == "lightgbm":
        return LightGBM(lightgbm.Booster(model_file=folder / LIGHTGBM_FILE))
    if candidate.learner == "xgboost":
        return XGBoost(xgboost.Booster({"nthread": 1}, model_file=folder / XGBOOST_FILE))
    return FromState(candidate.learner)


def _lightgbm(taught: Lesson, params: dict, rounds: int, seed: int, threads: int) -> LightGBM:
    fixed = {
        "objective": "regression", "max_bin": 63, "seed": seed, "num_threads": threads, "verbosity": -1,
        "deterministic": True, "force_row_wise": True,
         "use_quantized_grad": True, "feature_pre_filter": False,
    }  # fmt: skip
    days = lightgbm.Dataset(
        taught.matrix,
        taught.log_sales - taught.base,
        feature_name=list(taught.spec.columns),
        params=fixed,
        free_raw_data=True,
    )
    booster = lightgbm.train(fixed | params, days, rounds)
    return LightGBM(lightgbm.Booster(model_str=booster.model_to_string()))


def _xgboost(taught: Lesson, params: dict, rounds: int, seed: int, threads: int) -> XGBoost:
    fixed = {
        "objective": "reg:squarederror", "tree_method": "hist", "max_bin": 64, "base_score": 0.0,
        "seed": seed, "nthread": threads, "verbosity": 0,
    }  # fmt: skip
    days = xgboost.QuantileDMatrix(
        taught.matrix,
        taught.log_sales - taught.base,
        feature_names=list(taught.spec.columns),
        max_bin=64,
        nthread=threads,
    )
    booster = xgboost.train(fixed | params, days, rounds)
    return XGBoost(xgboost.Booster({"nthread": 1}, model_file=booster.save_raw("ubj")))


def _ridge(rows: Rows) -> np.ndarray:
    return linear_base(rows) + _median_to_rmspe(rows)


def _median_to_rmspe(rows: Rows) -> np.ndarray:
    """With log-normal errors of spread σ, exp(−1.5 σ²) × the median has the least relative squared error."""
    return -1.5 * np.minimum(rows.variance, MOST_VARIANCE)


def _ranked(names: Sequence[str], gains: Sequence[float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(zip(names, map(float, gains), strict=True), key=lambda pair: -pair[1]))


RULES: dict[str, Callable[[Rows], np.ndarray]] = {
    "last_week": lambda rows: np.log(rows.in_cell(rows.state.levels.last_sales)),
    "median": lambda rows: np.log(rows.in_cell(rows.state.levels.median_sales)),
    "ridge": _ridge,
}
BOOSTED: dict[str, Callable[[Lesson, dict, int, int, int], Model]] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
}
