"""The effects of all terms on the logarithm of a forecast: their sum is that of the forecast, step by step as
`rossmann.models.forecaster` computes it.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from rossmann import features
from rossmann.explain import terms
from rossmann.features import PlanRows
from rossmann.features.calendar import date_parts
from rossmann.features.ridge_design import date_columns, design
from rossmann.models import Forecaster
from rossmann.models.day_corrections import day_excess
from rossmann.models.learner import Booster, loss_shift
from rossmann.models.state_rules import StateRule, ridge
from rossmann.models.training_windows import linear_base
from rossmann.schema import WEEK_DAYS, WEEKS_YEAR_DAYS

WHOLE = ""  # the part of a term without parts
# by (term, part): effect on log sales, computed as if every store were open. float64 [rows] each
Effects = Mapping[tuple[str, str], np.ndarray]


def log_effects(forecaster: Forecaster, rows: PlanRows) -> Effects:
    """The effects of a forecaster's terms. Effects of a blend are the means over its members."""
    if forecaster.members:
        return _mean([log_effects(member, rows) for member in forecaster.members], len(rows))
    effects = dict(_model_effects(forecaster, rows))
    if factor := forecaster.candidate.variance_factor:
        effects[terms.LOSS_SHIFT, WHOLE] = loss_shift(rows, factor)
    return effects


def _mean(effects: list[Effects], rows: int) -> Effects:
    """Means over the members; a term that a member lacks counts as 0."""
    keys = dict.fromkeys(key for each in effects for key in each)
    nothing = np.zeros(rows)
    return {key: np.mean([each.get(key, nothing) for each in effects], axis=0) for key in keys}


def _model_effects(forecaster: Forecaster, rows: PlanRows) -> Effects:
    """Effects on median log sales, by (term, part). A rule that is not the linear model has one term."""
    if forecaster.candidate.is_booster:
        return _linear_effects(rows) | _tree_effects(forecaster.booster, rows)
    if forecaster.model == StateRule(ridge):
        return _linear_effects(rows)
    return {(terms.USUAL, WHOLE): forecaster.rule.log_sales(rows)}


def _linear_effects(rows: PlanRows) -> dict[tuple[str, str], np.ndarray]:
    """Effects of the linear model and of its recent residuals, by (term, part)."""
    ridge_model, names, values = rows.state.ridge, *_design_rows(rows)
    coefficients = rows.at_store(ridge_model.coefficients)
    reference = _reference(rows, names)
    by_column = (values - reference) * coefficients
    effects = _sum_by(names, by_column, lambda name: (terms.design_term(name), terms.design_part(name)))
    effects[terms.USUAL, WHOLE] += rows.at_store(ridge_model.level) + (reference * coefficients).sum(axis=1)
    effects[terms.RECENT, WHOLE] = linear_base(rows) - rows.ridge
    return effects


def _sum_by(
    names: tuple[str, ...], by_column: np.ndarray, key_of: Callable[[str], tuple[str, str]]
) -> dict[tuple[str, str], np.ndarray]:
    """The sums of the columns of each term and part. by_column: [rows, columns]"""
    keys = [key_of(name) for name in names]
    return {
        each: by_column[:, [k for k, other in enumerate(keys) if other == each]].sum(axis=1)
        for each in dict.fromkeys(keys)
    }


def _design_rows(rows: PlanRows) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and values of the linear model's columns. float32 [rows, columns]"""
    first = int(rows.row_day.min())
    names, values = _design_days(rows, slice(first, int(rows.row_day.max()) + 1))
    return names, values[rows.row_store, rows.row_day - first]


def _design_days(rows: PlanRows, days: slice) -> tuple[tuple[str, ...], np.ndarray]:
    """The same for the stores of the plan on days of the calendar. float32 [stores, days, columns]"""
    state = rows.state
    breaks = state.breaks.of_stores(rows.store_positions)
    return design(rows.calendar, rows.stores, breaks, state.origin, days, state.weekdays)


def _reference(rows: PlanRows, names: tuple[str, ...]) -> np.ndarray:
    """What the columns usually are on the weekday of each row; 0 where `terms.is_centred` says no. [rows, columns]

    For columns of dates the mean of the last 52 weeks, for covariates of chain.toml that of the store's past days in
    the calendar of the State.
    """
    weekday = rows.on_date(rows.date_parts.weekday)
    reference = np.zeros((len(rows), len(names)))
    for name, by_weekday in _usual_dates(rows.state.origin):
        reference[:, names.index(name)] = by_weekday[weekday]
    covariates = [k for k, name in enumerate(names) if terms.is_centred_covariate(name)]
    if covariates:
        reference[:, covariates] = _usual_covariates(rows, covariates)[rows.row_store, weekday]
    return reference


def _usual_dates(origin: np.datetime64) -> Iterator[tuple[str, np.ndarray]]:
    """Name and mean by weekday [7] of each column of dates that is centred."""
    first = origin - WEEKS_YEAR_DAYS + 1
    weekday = date_parts(first + np.arange(WEEKS_YEAR_DAYS)).weekday
    for name, column in date_columns(first, WEEKS_YEAR_DAYS, origin).items():
        if terms.is_centred(name):
            yield name, np.bincount(weekday, column, WEEK_DAYS) / np.bincount(weekday, minlength=WEEK_DAYS)


def _usual_covariates(rows: PlanRows, columns: list[int]) -> np.ndarray:
    """Means of columns of the design over the past days of the calendar. float64 [stores, 7 weekdays, columns]"""
    past = slice(len(rows.calendar.dates) - rows.state.horizon_days)
    values, weekday = _design_days(rows, past)[1][:, :, columns], rows.date_parts.weekday[past]
    return np.stack([values[:, weekday == day].mean(axis=1) for day in range(WEEK_DAYS)], axis=1).astype(float)


def _tree_effects(booster: Booster, rows: PlanRows) -> dict[tuple[str, str], np.ndarray]:
    """Effects of the trees' correction and of the limit on what they add to the whole chain on a day, by part."""
    matrix = features.matrix(rows, booster.columns)
    by_column = booster.contributions(matrix)
    effects = _sum_by(booster.columns, by_column, lambda name: (terms.TREES, terms.feature_part(name)))
    # The constant of the trees, what cannot be attributed to a feature, and the roundings of float32 contributions.
    effects[terms.TREES, terms.NOT_ATTRIBUTED] = booster.correction(matrix) - sum(effects.values())
    effects[terms.TREES, terms.LIMIT] = -day_excess(booster, rows.state)[rows.lead_days - 1]
    return effects
