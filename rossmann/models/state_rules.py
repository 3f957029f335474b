"""Learners without a fit of their own: the State has all that they need."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rossmann.features import PlanRows
from rossmann.models.learner import Learner
from rossmann.models.training_windows import linear_base


@dataclass(frozen=True)
class StateRule:
    """A forecast by a formula over the State."""

    formula: Callable[[PlanRows], np.ndarray]

    def log_sales(self, rows: PlanRows) -> np.ndarray:
        """The formula's log sales. float64 [rows]"""
        return self.formula(rows)

    def importance(self) -> tuple[tuple[str, float], ...]:
        """Empty: a rule has no gain."""
        return ()

    def save(self, folder: Path) -> None:
        """A rule has nothing to write."""


def last_week(rows: PlanRows) -> np.ndarray:
    """Log sales of the store's last day with the same weekday and promotion. [rows]"""
    return np.log(rows.in_cell(rows.state.levels.last_sales))


def median(rows: PlanRows) -> np.ndarray:
    """Log of the store's median sales with the same weekday and promotion, over one year. [rows]"""
    return np.log(rows.in_cell(rows.state.levels.median_sales))


def ridge(rows: PlanRows) -> np.ndarray:
    """Log sales by the linear model of each store (`rossmann.features.store_ridge`). [rows]"""
    return linear_base(rows)


def rule(formula: Callable[[PlanRows], np.ndarray], is_baseline: bool) -> Learner:
    """The learner with the name of the formula."""
    model = StateRule(formula)
    return Learner(formula.__name__, fit=lambda _: model, load=lambda *_: model, is_baseline=is_baseline)
