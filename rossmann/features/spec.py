"""Which features of the table a model uses, and the matrix of them."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from rossmann.data import Calendar, Plan
from rossmann.features import columns
from rossmann.features.levels import DEVIATION_DAYS
from rossmann.features.plan_rows import PlanRows, join_plan
from rossmann.features.state import State


@dataclass(frozen=True)
class FeatureSpec:
    """Switches of the feature groups in `columns.GROUPS`; by default all are on."""

    levels: bool = True  # the store's usual sales on the origin, and the days since the origin
    recent_days: tuple[int, ...] = DEVIATION_DAYS  # which of the windows of the mean recent deviation
    neighbours: bool = True  # the days around the row's day
    year_ago: bool = True  # the same season one year before
    ridge: bool = True  # the linear model's forecast and residuals

    def __post_init__(self):
        unknown = set(self.recent_days) - set(DEVIATION_DAYS)
        if unknown:
            raise ValueError(f"no mean deviation over {sorted(unknown)} days; choose from {DEVIATION_DAYS}")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix's columns, in the order of the table of features."""
        return tuple(_features(self))


# What a row has without the sales of any day: its day, the days around it, and the attributes of its store.
CALENDAR_SPEC = FeatureSpec(levels=False, recent_days=(), year_ago=False, ridge=False)


def build(state: State, plan: Plan, spec: FeatureSpec) -> np.ndarray:
    """One row per row of the plan, one column per `spec.columns`. float32, C-order; NaN is unknown.

    A row depends on the State, on its own values and on the other rows of the same store only.
    DataError for a day outside the horizon or an unknown store.
    """
    return matrix(join_plan(state, plan), spec)


def matrix(rows: PlanRows, spec: FeatureSpec) -> np.ndarray:
    """The feature matrix of rows that `join_plan` returned. float32 [rows, columns], those of `column_names`"""
    table = _features(spec) | _covariates(rows.calendar)
    values = np.empty((len(rows), len(table)), np.float32)
    for column, feature in enumerate(table.values()):
        values[:, column] = feature(rows)
    return values


def column_names(state: State, spec: FeatureSpec) -> tuple[str, ...]:
    """The names of the matrix's columns: those of the table of features, then the chain's own covariates."""
    return (*spec.columns, *_covariates(state.calendar))


def _covariates(calendar: Calendar) -> dict[str, columns.Feature]:
    """The chain's own covariates, but for its holidays: each name occurs too rarely for trees."""
    return {
        name: partial(_covariate, index=index)
        for index, name in enumerate(calendar.covariate_names.tolist())
        if not name.startswith("holiday ")
    }


def _covariate(rows: PlanRows, index: int) -> np.ndarray:
    return rows.on_day(rows.calendar.covariates[index])


def _features(spec: FeatureSpec) -> dict[str, columns.Feature]:
    groups = [group for group in columns.GROUPS if group.switch is None or getattr(spec, group.switch)]
    dropped = {columns.deviation_name(days) for days in set(DEVIATION_DAYS) - set(spec.recent_days)}
    return {name: feature for name, feature in columns.merge_groups(groups).items() if name not in dropped}
