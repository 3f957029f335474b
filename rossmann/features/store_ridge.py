"""A linear model of log sales per store, fitted for all stores in one batch (a ridge regression).

Every store's coefficients are shrunk towards those of the whole chain; days are weighted by age and, against outliers,
by Huber's rule. Trees cannot extrapolate a season and learn little from one store; this model can, and the boosters of
`rossmann.models` are fitted to its residuals. It belongs to the features, not to the models, because its forecast and
its residuals are features. The learner `ridge` of `rossmann.models.learners` forecasts with it alone.
"""

from dataclasses import dataclass

import numpy as np

from rossmann.data import Calendar, Stores
from rossmann.features.calendar import date_parts
from rossmann.features.levels import nanmean
from rossmann.features.ridge_design import design
from rossmann.schema import MIN_SEASON_HISTORY_DAYS, WEEK_DAYS, WEEKS_YEAR_DAYS

WEIGHT_HALF_LIFE_DAYS = 1000  # of a day's weight
HUBER_CLIP = 2.0  # in median absolute deviations
REWEIGHTINGS = 2
PENALTY = {"trend": 10.0, "season": 4.0, "special_day": 0.2, "holiday": 0.2, "closure": 10.0}  # by kind; others 1
RARE_KINDS = ("special_day", "holiday")  # days that Huber's rule must not mistake for outliers
UNCERTAIN_KINDS = (*RARE_KINDS, "closure")  # days whose error is larger than that of others
NO_SEASON_PENALTY = 1e9  # leaves nothing of a coefficient
MAX_RESIDUAL = 0.2  # a larger residual says nothing more about the coming days
RESIDUAL_DAYS = (14, 28, 91)
VARIANCE_DAYS = WEEKS_YEAR_DAYS
MAX_VARIANCE_RESIDUAL = 0.5
VARIANCE_SHRINK_DAYS = 20  # a group's own variance has the same weight as the larger group's with so many days
STORES_AT_ONCE = 64  # bounds the memory of the design
# Matrix products of different CPU types differ in their last bits: by 1e-13 here, in float64. Rounding removes the
# difference, and is finer than float32 features of log sales, whose steps are 5e-7.
DECIMALS = 7

Gram = tuple[np.ndarray, np.ndarray]  # AᵀWA [stores, columns, columns] and AᵀWy [stores, columns], float64


@dataclass(frozen=True)
class StoreRidge:
    """Fitted coefficients of every store, its recent residuals, and the variance of its errors."""

    level: np.ndarray  # mean log sales, subtracted from the target. float64 [stores]
    coefficients: np.ndarray  # float64 [stores, columns of the design]
    recent_residual: np.ndarray  # mean over the last RESIDUAL_DAYS; NaN without open days. float32 [stores, windows]
    extra_variance: np.ndarray  # additional variance on days of a column; 0 but for UNCERTAIN_KINDS. float64 [columns]
    standard_deviation: np.ndarray  # of the clipped residuals. float64 [stores, 7 weekdays]


def fit(calendar: Calendar, stores: Stores, log_sales: np.ndarray) -> StoreRidge:
    """Fit the model to `log_sales` of the first days of `calendar`; NaN days are left out. [stores, days]"""
    days = log_sales.shape[1]
    valid = ~np.isnan(log_sales)
    age_weight = 0.5 ** (np.arange(days - 1, -1, -1) / WEIGHT_HALF_LIFE_DAYS)
    weight = valid * age_weight
    level = _store_level(log_sales, weight)
    target = np.where(valid, log_sales - level[:, None], 0)

    batches = [slice(i, i + STORES_AT_ONCE) for i in range(0, len(level), STORES_AT_ONCE)]
    names, designs = _designs(calendar, stores, batches, days)
    coefficients, residual = _fit_batches(names, designs, batches, target, weight)
    residual = np.where(valid, residual, np.nan)
    uncertain = _of_kind(names, UNCERTAIN_KINDS)
    extra_variance = np.zeros(len(names))
    extra_variance[uncertain] = _extra_variance(residual, np.concatenate([A[:, :, uncertain] for A in designs]) != 0)
    weekday = date_parts(calendar.dates[:days]).weekday
    return StoreRidge(
        level,
        np.round(coefficients, DECIMALS),
        _recent_residual(residual),
        np.round(extra_variance, DECIMALS),
        np.round(_standard_deviation(residual, weekday), DECIMALS),
    )


def predict(ridge: StoreRidge, positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Log sales of the stores at `positions` for `values`, their design. float64 [stores, days]"""
    terms = values * ridge.coefficients[positions][:, None, :]  # no matrix product: its sums depend on the other rows
    return ridge.level[positions][:, None] + terms.sum(axis=2)


def variance(ridge: StoreRidge, positions: np.ndarray, values: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Variance of the error of `predict`, by store, weekday and kind of day. float64 [stores, days]"""
    extra_variance = ((values != 0) * ridge.extra_variance).sum(axis=2)
    return np.square(ridge.standard_deviation[positions])[:, weekday] + extra_variance


def _designs(
    calendar: Calendar, stores: Stores, batches: list[slice], days: int
) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names of the columns, and the design of each batch of stores on the first `days` of the calendar."""
    origin = calendar.dates[days - 1]
    names, designs = (), []
    for batch in batches:
        names, values = design(_calendar_of(calendar, batch), stores.at(batch), origin, slice(days))
        designs.append(values)
    return names, designs


def _calendar_of(calendar: Calendar, batch: slice) -> Calendar:
    c = calendar
    return Calendar(c.dates, c.open[batch], c.promo[batch], c.state_holiday[batch], c.school_holiday[batch])


def _fit_batches(
    names: tuple[str, ...], designs: list[np.ndarray], batches: list[slice], target: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [stores, columns] and residuals [stores, days] of all stores."""
    grams = [_gram(A.astype(float), weight[batch], target[batch]) for A, batch in zip(designs, batches, strict=True)]
    penalty = np.array([PENALTY.get(_kind(name), 1.0) for name in names])
    no_season = _of_kind(names, ("season",)) & (target.shape[1] < MIN_SEASON_HISTORY_DAYS)
    chain = _chain_coefficients(grams, np.where(no_season, NO_SEASON_PENALTY, penalty))
    rare = _of_kind(names, RARE_KINDS)
    fits = [
        _fit_batch(A.astype(float), target[batch], weight[batch], gram, chain, penalty, rare)
        for A, batch, gram in zip(designs, batches, grams, strict=True)
    ]
    coefficients, residuals = zip(*fits, strict=True)
    return np.concatenate(coefficients), np.concatenate(residuals)


def _kind(name: str) -> str:
    """The first word of a column's name."""
    return name.split()[0]


def _of_kind(names: tuple[str, ...], kinds: tuple[str, ...]) -> np.ndarray:
    """Which of the columns are of these kinds. bool [columns]"""
    return np.array([_kind(name) in kinds for name in names])


def _store_level(log_sales: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean per store; a store that never sold has the chain's. [stores]"""
    sums, weights = np.nansum(log_sales * weight, axis=1), weight.sum(axis=1)
    chain = sums.sum() / max(weights.sum(), 1e-12)
    return np.where(weights > 0, sums / np.maximum(weights, 1e-12), chain)


def _gram(A: np.ndarray, weight: np.ndarray, target: np.ndarray) -> Gram:
    """AᵀWA and AᵀWy per store. A is [stores, days, columns], here and below; weight and target are [stores, days]."""
    transposed = (A * weight[:, :, None]).transpose(0, 2, 1)
    return transposed @ A, (transposed @ target[:, :, None])[:, :, 0]


def _chain_coefficients(grams: list[Gram], penalty: np.ndarray) -> np.ndarray:
    """One ridge regression over all stores, towards which every store's is shrunk. [columns]"""
    quadratic = sum(quadratic.sum(axis=0) for quadratic, _ in grams)
    linear = sum(linear.sum(axis=0) for _, linear in grams)
    return np.linalg.solve(quadratic + np.diag(penalty), linear)


def _fit_batch(
    A: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    gram: Gram,
    chain: np.ndarray,
    penalty: np.ndarray,
    rare: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [stores, columns] and residuals [stores, days] after reducing the weights of outliers."""
    coefficients = _shrink_to_chain(chain, gram, penalty)
    residual = _residual(A, target, coefficients)
    is_rare = (A[:, :, rare] != 0).any(axis=2)
    for _ in range(REWEIGHTINGS):
        gram = _gram(A, weight * np.where(is_rare, 1, _huber_weights(residual, weight > 0)), target)
        coefficients = _shrink_to_chain(chain, gram, penalty)
        residual = _residual(A, target, coefficients)
    return coefficients, residual


def _shrink_to_chain(chain: np.ndarray, gram: Gram, penalty: np.ndarray) -> np.ndarray:
    """chain + (AᵀWA + diag(penalty))⁻¹ (AᵀWy − AᵀWA chain), per store. [stores, columns]"""
    quadratic, linear = gram
    step = np.linalg.solve(quadratic + np.diag(penalty), (linear - quadratic @ chain)[:, :, None])
    return chain + step[:, :, 0]


def _residual(A: np.ndarray, target: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Target minus fitted log sales. [stores, days]"""
    return target - (A @ coefficients[:, :, None])[:, :, 0]


def _huber_weights(residual: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Weights that bound the influence of a day at HUBER_CLIP median absolute deviations. [stores, days]"""
    size = np.where(valid, np.abs(residual), np.nan)
    limit = HUBER_CLIP * np.maximum(_nanmedian(size), 1e-3)[:, None]
    return np.minimum(1, limit / np.maximum(np.abs(residual), 1e-6))


def _nanmedian(values: np.ndarray) -> np.ndarray:
    """Median of each row over its values that are not NaN; 0 where a row has none. [rows]"""
    count = (~np.isnan(values)).sum(axis=1)
    ascending = np.sort(values, axis=1)  # NaN last
    rows = np.arange(len(values))
    middle = (ascending[rows, np.maximum(count - 1, 0) // 2] + ascending[rows, count // 2]) / 2
    return np.where(count > 0, middle, 0)


def _extra_variance(residual: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Mean squared residual on the days of a column minus that of all days, shrunk to 0. [columns]

    active: which days are days of the column. bool [stores, days, columns]
    """
    square = np.nan_to_num(np.square(residual))
    valid = ~np.isnan(residual)
    mean_square = square.sum() / max(valid.sum(), 1)
    count = (active & valid[:, :, None]).sum(axis=(0, 1))
    total = (active * square[:, :, None]).sum(axis=(0, 1))
    return np.maximum(total - count * mean_square, 0) / (count + VARIANCE_SHRINK_DAYS)


def _recent_residual(residual: np.ndarray) -> np.ndarray:
    """Mean clipped residual over the last RESIDUAL_DAYS; NaN without open days. float32 [stores, windows]"""
    means = [nanmean(np.clip(residual[:, -days:], -MAX_RESIDUAL, MAX_RESIDUAL)) for days in RESIDUAL_DAYS]
    return np.stack(means, axis=1).astype(np.float32)


def _standard_deviation(residual: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Standard deviation per store and weekday. [stores, 7 weekdays]

    The variance of a weekday is shrunk to that of the store, and the store's to that of the chain.
    """
    square = np.square(np.clip(residual[:, -VARIANCE_DAYS:], -MAX_VARIANCE_RESIDUAL, MAX_VARIANCE_RESIDUAL))
    count = (~np.isnan(square)).sum(axis=1)
    total = np.nansum(square, axis=1)
    chain = total.sum() / max(count.sum(), 1)
    store = (total + VARIANCE_SHRINK_DAYS * chain) / (count + VARIANCE_SHRINK_DAYS)
    by_weekday = [square[:, weekday[-VARIANCE_DAYS:] == w] for w in range(WEEK_DAYS)]
    count = np.stack([(~np.isnan(squares)).sum(axis=1) for squares in by_weekday], axis=1)
    total = np.stack([np.nansum(squares, axis=1) for squares in by_weekday], axis=1)
    return np.sqrt((total + VARIANCE_SHRINK_DAYS * store[:, None]) / (count + VARIANCE_SHRINK_DAYS))
