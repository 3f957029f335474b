"""Which features of the table a model uses, and the matrix of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rossmann.data import Calendar, Plan
from rossmann.features import columns
from rossmann.features.levels import DEVIATION_DAYS
from rossmann.features.plan_rows import PlanRows, join_plan
from rossmann.features.state import State
from rossmann.validation import DataError

ATTRIBUTE = "attribute "  # begins the name of a column with the codes of one of the chain's own attributes


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

    def columns(self, attributes: Sequence[str]) -> tuple[str, ...]:
        """Names of the matrix's columns in the order of the table of features, with those of the attributes."""
        groups = [group for group in columns.GROUPS if group.switch is None or getattr(self, group.switch)]
        names = [name for group in groups for name in (attributes if group is columns.ATTRIBUTES else group.features)]
        dropped = {columns.deviation_name(days) for days in set(DEVIATION_DAYS) - set(self.recent_days)}
        return tuple(name for name in names if name not in dropped)


# What a row has without the sales of any day: its day, the days around it, and the attributes of its store.
CALENDAR_SPEC = FeatureSpec(levels=False, recent_days=(), year_ago=False, ridge=False)


def build(state: State, plan: Plan, spec: FeatureSpec) -> np.ndarray:
    """One row per row of the plan, one column per `column_names`. float32, C-order; NaN is unknown.

    A row depends on the State, on its own values and on the other rows of the same store only.
    DataError for a day outside the horizon or an unknown store.
    """
    return matrix(join_plan(state, plan), column_names(state, spec))


def matrix(rows: PlanRows, names: Sequence[str]) -> np.ndarray:
    """The features of these names, of rows that `join_plan` returned. float32 [rows, names]

    names: of `column_names` for the State of the training. The State of the rows may lack some of them: the flag of a
    category's value is then 0; DataError for anything else.
    """
    table = columns.merge_groups(columns.GROUPS) | _covariates(rows.calendar)
    if absent := [name for name in names if name not in table]:
        table |= _category_features(absent, rows.state)
    values = np.empty((len(rows), len(names)), np.float32)
    for column, name in enumerate(names):
        values[:, column] = table[name](rows)
    return values


def column_names(state: State, spec: FeatureSpec) -> tuple[str, ...]:
    """The names of the matrix's columns: those of the table of features, then the chain's own covariates."""
    return (*spec.columns(_attribute_names(state)), *_covariates(state.calendar))


def _attribute_names(state: State) -> tuple[str, ...]:
    """The names of the columns with the codes of the stores' attributes.

    The codes of Kaggle's files are always the same. In other chains, the name of a column contains the attribute and
    its categories: so a model knows what its codes meant, whatever categories a newer history has.
    """
    if state.chain.is_kaggle:
        return state.chain.attribute_columns
    values = zip(state.chain.attributes, state.stores.attributes.T, strict=True)
    return tuple(ATTRIBUTE + json.dumps([name, *np.unique(categories).tolist()]) for name, categories in values)


def _attribute_codes(column: str, state: State) -> np.ndarray | None:
    """What a column of `_attribute_names` has for each store; None if it is none of this chain's. float32 [stores]"""
    if state.chain.is_kaggle:
        codes = dict(zip(state.chain.attribute_columns, state.stores.attribute_codes.T, strict=True))
        return codes.get(column)
    if not column.startswith(ATTRIBUTE):
        return None
    name, *categories = json.loads(column.removeprefix(ATTRIBUTE))
    own = dict(zip(state.chain.attributes, state.stores.attributes.T, strict=True))
    return _codes_of(own[name], categories) if name in own else None


def _category_features(names: Sequence[str], state: State) -> dict[str, columns.Feature]:
    """The features of columns that are not in the table: codes of attributes, values of categories that are gone."""
    table: dict[str, columns.Feature] = {}
    own, absent = state.calendar.covariate_names.tolist(), []
    for name in names:
        codes = _attribute_codes(name, state)
        if codes is not None:
            table[name] = partial(_codes, codes=codes)
        elif "=" in name and any(each.startswith(name.partition("=")[0] + "=") for each in own):
            table[name] = _zero
        else:
            absent.append(name)
    if absent:
        raise DataError(
            f"the model was trained with {', '.join(absent)}, which the snapshot does not have: it is no longer in "
            "chain.toml, or has the same value on all days. Train a model for these files (rossmann retrain)."
        )
    return table


def _codes_of(of_store: np.ndarray, categories: Sequence[str]) -> np.ndarray:
    """The position of each store's category, NaN if it is another one. float32 [stores]"""
    code = {category: position for position, category in enumerate(categories)}
    return np.array([code.get(category, np.nan) for category in of_store.tolist()], np.float32)


def _codes(rows: PlanRows, codes: np.ndarray) -> np.ndarray:
    return rows.at_store(codes)


def _zero(rows: PlanRows) -> np.ndarray:
    return np.zeros(len(rows), np.float32)


def _covariates(calendar: Calendar) -> dict[str, columns.Feature]:
    """The chain's own covariates, but for its holidays: each name occurs too rarely for trees."""
    return {
        name: partial(_covariate, index=index)
        for index, name in enumerate(calendar.covariate_names.tolist())
        if not calendar.is_holiday[index]
    }


def _covariate(rows: PlanRows, index: int) -> np.ndarray:
    return rows.on_day(rows.calendar.covariates[index])
