"""A linear model of log sales per store, fitted for all stores in one batch (a ridge regression).

Every store's coefficients are shrunk towards those of the whole chain; days are weighted by age and, against outliers,
by Huber's rule. Trees cannot extrapolate a season and learn little from one store; this model can, and the boosters of
`rossmann.models` are fitted to its residuals. It belongs to the features, not to the models, because its forecast and
its residuals are features. The learner `ridge` of `rossmann.models.learners` forecasts with it alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.linalg import lapack

from rossmann.data import Calendar, Stores
from rossmann.features.calendar import date_parts
from rossmann.features.levels import decayed_mean, nanmean
from rossmann.features.new_stores import fit_new_stores
from rossmann.features.ridge_design import NAMED_HOLIDAY, date_columns, design, is_for_chain_only, kind, number_centres
from rossmann.features.school_breaks import SchoolBreaks
from rossmann.features.shrinkage import KAGGLE_SHRINKAGE, Shrinkage
from rossmann.features.store_groups import StoreGroup, group_stores
from rossmann.features.weekdays import USUAL_WEEKDAYS, Weekdays
from rossmann.schema import WEEK_DAYS, WEEKS_YEAR_DAYS

WEIGHT_HALF_LIFE_DAYS = 1000  # of a day's weight
HUBER_CLIP = 2.0  # in median absolute deviations
CLIPPINGS = 2  # steps with Huber's rule, after one without
RARE_KINDS = ("special_day", "holiday", NAMED_HOLIDAY)  # days that Huber's rule must not mistake for outliers
UNCERTAIN_KINDS = (*RARE_KINDS, "closure")  # days whose error is larger than that of others
MAX_RESIDUAL = 0.2  # a larger residual says nothing more about the coming days
RESIDUAL_DAYS = (14, 28, 91)
RESIDUAL_HALF_LIVES_DAYS = (2, 14)
VARIANCE_DAYS = WEEKS_YEAR_DAYS
# A larger residual is an accident, and counts as so large in the variance. In a store that scatters as much on ordinary
# days, an accident is beyond so many robust standard deviations.
MAX_VARIANCE_RESIDUAL = 0.5
MAX_VARIANCE_DEVIATIONS = 3.0
NORMAL_DEVIATION = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
VARIANCE_SHRINK_DAYS = 20  # a group's own variance has the same weight as the larger group's with so many days
# Matrix products of different CPU types differ in their last bits: by 1e-13 here, in float64. Rounding removes the
# difference, and is finer than float32 features of log sales, whose steps are 5e-7.
DECIMALS = 7


@dataclass(frozen=True)
class StoreRidge:
    """Fitted coefficients of every store, its recent residuals, and the variance of its errors."""

    level: np.ndarray  # log sales where all columns are 0, or numbers. float64 [stores]
    coefficients: np.ndarray  # float64 [stores, columns of the design]
    recent_residual: np.ndarray  # mean over the last RESIDUAL_DAYS; NaN without open days. float32 [stores, windows]
    decayed_residual: np.ndarray  # `decayed_mean` for RESIDUAL_HALF_LIVES_DAYS. float64 [stores, half-lives]
    extra_variance: np.ndarray  # additional variance on days of a column; 0 but for UNCERTAIN_KINDS. float64 [columns]
    standard_deviation: np.ndarray  # of the clipped residuals. float64 [stores, 7 weekdays]


def fit(
    calendar: Calendar,
    stores: Stores,
    breaks: SchoolBreaks,
    log_sales: np.ndarray,
    weekdays: Weekdays = USUAL_WEEKDAYS,
    shrinkage: Shrinkage = KAGGLE_SHRINKAGE,
) -> StoreRidge:
    """Fit the model to `log_sales` of the first days of `calendar`; NaN days are left out. [stores, days]"""
    days = log_sales.shape[1]
    valid = ~np.isnan(log_sales)
    weight = valid * 0.5 ** (np.arange(days - 1, -1, -1) / WEIGHT_HALF_LIFE_DAYS)
    level = _store_level(log_sales, weight)
    new_stores = fit_new_stores(log_sales, level, stores)
    level[new_stores.positions] = new_stores.level
    target = np.where(valid, log_sales - level[:, None], 0)

    origin = calendar.dates[days - 1]
    dates = date_columns(calendar.dates[0], len(calendar.dates), origin)
    dates = {name: column[:days] for name, column in dates.items()}
    centres = number_centres(calendar, weight)
    groups = group_stores(calendar, stores, breaks, dates, weekdays, centres)
    gram = [group.gram(weight[group.stores]) for group in groups]
    chain = _chain_coefficients(groups, gram, dates, weight, target, shrinkage)
    one = np.array([0])
    names, _ = design(calendar.of_stores(one), stores.at(one), breaks.of_stores(one), origin, slice(1), weekdays)
    coefficients = np.tile([chain[name] for name in names], (len(level), 1))
    residual = target - sum(chain[name] * dates[name] for name in dates if is_for_chain_only(name))
    for group, matrices in zip(groups, gram, strict=True):
        own, of_group = np.array([names.index(name) for name in group.names]), group.stores
        coefficients[of_group[:, None], own], residual[of_group] = _fit_group(
            group, matrices, residual[of_group], weight[of_group], chain, shrinkage
        )
    residual = np.where(valid, residual, np.nan)
    recent_residual = np.clip(residual[:, -RESIDUAL_DAYS[-1] :], -MAX_RESIDUAL, MAX_RESIDUAL)
    weekday = date_parts(calendar.dates[:days]).weekday
    coefficients = np.round(coefficients, DECIMALS)
    return StoreRidge(
        level - sum(coefficients[:, names.index(name)] * centre for name, centre in centres.items()),
        coefficients,
        _recent_residual(recent_residual),
        np.round(_decayed_residual(recent_residual), DECIMALS),
        np.round(_extra_variance(names, groups, residual), DECIMALS),
        np.round(new_stores.standard_deviation(_standard_deviation(residual, weekday)), DECIMALS),
    )


def predict(ridge: StoreRidge, positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Log sales of the stores at `positions` for `values`, their design. float64 [stores, days]"""
    terms = values * ridge.coefficients[positions][:, None, :]  # no matrix product: its sums depend on the other rows
    return ridge.level[positions][:, None] + terms.sum(axis=2)


def variance(ridge: StoreRidge, positions: np.ndarray, values: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Variance of the error of `predict`, by store, weekday and kind of day. float64 [stores, days]"""
    extra_variance = ((values != 0) * ridge.extra_variance).sum(axis=2)
    return np.square(ridge.standard_deviation[positions])[:, weekday] + extra_variance


def _store_level(log_sales: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean per store; until `fit_new_stores` a store that never sold has the chain's. [stores]"""
    sums, weights = np.nansum(log_sales * weight, axis=1), weight.sum(axis=1)
    chain = sums.sum() / max(weights.sum(), 1e-12)
    return np.where(weights > 0, sums / np.maximum(weights, 1e-12), chain)


def _chain_coefficients(
    groups: Sequence[StoreGroup],
    gram: Sequence[np.ndarray],
    dates: Mapping[str, np.ndarray],
    weight: np.ndarray,
    target: np.ndarray,
    shrinkage: Shrinkage,
) -> dict[str, float]:
    """The coefficients of one ridge regression over all stores; those of every store are shrunk to them. [columns]"""
    chain_only = {name: column for name, column in dates.items() if is_for_chain_only(name)}
    names = (*groups[0].names, *chain_only)
    fine = np.stack(list(chain_only.values()), axis=1).astype(float)
    count = len(groups[0].names)
    quadratic, linear = np.zeros((len(names), len(names))), np.zeros(len(names))
    for group, matrices in zip(groups, gram, strict=True):
        order = [names.index(name) for name in group.names]
        own_weight, own_target = weight[group.stores], (weight * target)[group.stores]
        quadratic[np.ix_(order, order)] += matrices.sum(axis=0)
        quadratic[order, count:] += group.total_products(own_weight, fine)
        linear[order] += group.products(own_target).sum(axis=0)
    quadratic[count:, :count] = quadratic[:count, count:].T
    quadratic[count:, count:] = (fine * weight.sum(axis=0)[:, None]).T @ fine
    linear[count:] = (weight * target).sum(axis=0) @ fine
    penalties = np.diag([shrinkage.of_chain(name, len(weight), len(fine)) for name in names])
    return dict(zip(names, np.linalg.solve(quadratic + penalties, linear), strict=True))


def _fit_group(
    group: StoreGroup,
    gram: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    chain: Mapping[str, float],
    shrinkage: Shrinkage,
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [stores, columns] and residuals [stores, days] of a group.

    Huber's loss with the Gram matrices of the first step: later steps fit clipped residuals and need no new ones.
    """
    penalties = np.array([shrinkage.of_store(name) for name in group.names])
    chain_values = np.array([chain[name] for name in group.names])
    is_rare = reduce(np.logical_or, (group.days_of(name) for name in group.names if kind(name) in RARE_KINDS))
    factors = [_cholesky_factor(matrix) for matrix in gram + np.diag(penalties)]
    coefficients = np.tile(chain_values, (len(target), 1))
    residual = bounded = target - group.fitted(coefficients)
    for number in range(1 + CLIPPINGS):
        if number:
            limit = _huber_limit(residual, weight > 0)
            bounded = np.where(is_rare, residual, np.clip(residual, -limit, limit))
        gradient = group.products(weight * bounded) - penalties * (coefficients - chain_values)
        coefficients = coefficients + _solve(factors, gradient)
        residual = target - group.fitted(coefficients)
    return coefficients, residual


def _cholesky_factor(matrix: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor. LinAlgError for a matrix that is not positive definite, as one with NaN."""
    factor, info = lapack.dpotrf(matrix, lower=1)
    if info:
        raise np.linalg.LinAlgError(f"the equations of a store cannot be solved: LAPACK's dpotrf returned {info}")
    return factor


def _solve(factors: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
    """The solution of each store's equations, given their Cholesky factors. [stores, columns]"""
    return np.stack([lapack.dpotrs(factor, right, lower=1)[0] for factor, right in zip(factors, values, strict=True)])


def _huber_limit(residual: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The residual beyond which a day has no more influence: HUBER_CLIP median absolute deviations. [stores, 1]"""
    size = np.where(valid, np.abs(residual), np.nan)
    return HUBER_CLIP * np.maximum(_nanmedian(size), 1e-3)[:, None]


def _nanmedian(values: np.ndarray) -> np.ndarray:
    """Median of each row over its values that are not NaN; 0 where a row has none. [rows]"""
    count = (~np.isnan(values)).sum(axis=1)
    ascending = np.sort(values, axis=1)  # NaN last
    rows = np.arange(len(values))
    middle = (ascending[rows, np.maximum(count - 1, 0) // 2] + ascending[rows, count // 2]) / 2
    return np.where(count > 0, middle, 0)


def _extra_variance(names: Sequence[str], groups: Sequence[StoreGroup], residual: np.ndarray) -> np.ndarray:
    """Mean squared residual on the days of a column minus that of all days, shrunk to 0. [columns]"""
    square, valid = np.nan_to_num(np.square(residual)), ~np.isnan(residual)
    mean_square = square.sum() / max(valid.sum(), 1)
    count, total = np.zeros(len(names)), np.zeros(len(names))
    uncertain = [k for k, name in enumerate(names) if kind(name) in UNCERTAIN_KINDS]
    for group in groups:
        own_square, own_valid = square[group.stores], valid[group.stores]
        for k in uncertain:
            days = np.broadcast_to(group.days_of(names[k]), own_valid.shape)
            count[k] += own_valid[days].sum()
            total[k] += own_square[days].sum()
    return np.maximum(total - count * mean_square, 0) / (count + VARIANCE_SHRINK_DAYS)


def _recent_residual(residual: np.ndarray) -> np.ndarray:
    """Mean residual over the last RESIDUAL_DAYS; NaN without open days. float32 [stores, windows]"""
    return np.stack([nanmean(residual[:, -days:]) for days in RESIDUAL_DAYS], axis=1).astype(np.float32)


def _decayed_residual(residual: np.ndarray) -> np.ndarray:
    """Mean residual with weights that halve every RESIDUAL_HALF_LIVES_DAYS, shrunk to 0. [stores, half-lives]"""
    return np.stack([decayed_mean(residual, days) for days in RESIDUAL_HALF_LIVES_DAYS], axis=1)


def _standard_deviation(residual: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Standard deviation per store and weekday. [stores, 7 weekdays]

    The variance of a weekday is shrunk to that of the store, and the store's to that of the chain.
    """
    recent = residual[:, -VARIANCE_DAYS:]
    robust_deviation = NORMAL_DEVIATION * _nanmedian(np.abs(recent))[:, None]
    limit = np.maximum(MAX_VARIANCE_RESIDUAL, MAX_VARIANCE_DEVIATIONS * robust_deviation)
    square = np.square(np.clip(recent, -limit, limit))
    count = (~np.isnan(square)).sum(axis=1)
    total = np.nansum(square, axis=1)
    chain = total.sum() / max(count.sum(), 1)
    store = (total + VARIANCE_SHRINK_DAYS * chain) / (count + VARIANCE_SHRINK_DAYS)
    by_weekday = [square[:, weekday[-VARIANCE_DAYS:] == w] for w in range(WEEK_DAYS)]
    count = np.stack([(~np.isnan(squares)).sum(axis=1) for squares in by_weekday], axis=1)
    total = np.stack([np.nansum(squares, axis=1) for squares in by_weekday], axis=1)
    return np.sqrt((total + VARIANCE_SHRINK_DAYS * store[:, None]) / (count + VARIANCE_SHRINK_DAYS))
