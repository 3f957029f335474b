"""Drift statistics of forecasts and their residuals: prediction and concept drift."""

from collections.abc import Iterator

import numpy as np

from rossmann.features.calendar import count_between
from rossmann.monitoring.definitions import find_definition
from rossmann.monitoring.history_statistics import ALL_STORES, minus_usual
from rossmann.monitoring.statistics import MIN_STORES, WINDOW_DAYS, Statistic, median_of_days, median_of_stores
from rossmann.monitoring.store_series import StoreSeries, earlier_mean
from rossmann.schema import WEEKS_YEAR_DAYS

SETTLING_DAYS = 28  # a store that reopened is compared with its forecasts only after so many days with rows
MAX_STORE_DEVIATION = 3  # standard deviations of a store's weekly mean residual
MIN_GROUP_STORES = 2  # a single store that deviates is a matter of its own
MIN_RESIDUAL_DAYS = 3  # of a week, for its mean
PRIOR_DAYS = 30  # weight of all stores' variance in the variance of one store


def forecast_statistics(series: StoreSeries, residual: np.ndarray, lead_days: np.ndarray) -> Iterator[Statistic]:
    """Statistics of the newest forecast of every store and day.

    residual, lead_days: arrays [stores, days] of `store_series.forecast_residuals`.
    """
    reported_days = count_between(series.has_row, -SETTLING_DAYS, -1)
    residual = np.where(reported_days >= SETTLING_DAYS - 1, residual, np.nan)
    log_forecast = series.log_sales - residual
    sales_before = np.full_like(log_forecast, np.nan)
    sales_before[:, WEEKS_YEAR_DAYS:] = series.log_sales[:, :-WEEKS_YEAR_DAYS]
    all_stores = np.ones(len(residual), bool)
    for name, subject, values in (
        ("stale_forecasts", "lead days", _comparable_lead_days(median_of_stores(lead_days, all_stores))),
        ("forecast_level", ALL_STORES, minus_usual(median_of_stores(log_forecast - sales_before, all_stores))),
        ("residual_level", ALL_STORES, median_of_stores(residual, all_stores)),
        ("concept_shift", "groups of stores", deviating_share(residual)),
    ):
        yield Statistic(definition=find_definition(name), subject=subject, values=values)
    if "promotion" in series.columns:
        definition = find_definition("promotion_uplift_gone")
        yield Statistic(
            definition=definition, subject="days with promotion", values=_promotion_residual(residual, series)
        )


def deviating_share(residual: np.ndarray) -> np.ndarray:
    """Share of the stores whose week deviates by more than MAX_STORE_DEVIATION in one direction. [days]

    The larger of the shares above and below, 0 for fewer than MIN_GROUP_STORES stores; NaN with fewer than MIN_STORES.
    """
    deviation = weekly_deviation(residual)
    count = np.isfinite(deviation).sum(axis=0)
    below = (deviation < -MAX_STORE_DEVIATION).sum(axis=0)
    above = (deviation > MAX_STORE_DEVIATION).sum(axis=0)
    group = np.maximum(below, above)
    share = np.where(group >= MIN_GROUP_STORES, group, 0) / np.maximum(count, 1)
    return np.where(count >= MIN_STORES, share, np.nan)


def weekly_deviation(residual: np.ndarray) -> np.ndarray:
    """Mean residual of the last 7 days relative to the median of all stores, in the store's own standard deviations.

    The standard deviation is that of the store's earlier weeks, shrunk towards that of all stores. [stores, days]
    """
    enough = np.isfinite(residual).sum(axis=0) >= MIN_STORES
    median = np.full(residual.shape[1], np.nan)
    median[enough] = np.nanmedian(residual[:, enough], axis=0)
    relative = residual - median
    days = count_between(np.isfinite(relative), 1 - WINDOW_DAYS, 0)
    weekly = np.where(days >= MIN_RESIDUAL_DAYS, earlier_mean(relative, 0, WINDOW_DAYS - 1), np.nan)
    return weekly / _store_deviations(weekly[:, :-WINDOW_DAYS])[:, None]


def _store_deviations(weekly: np.ndarray) -> np.ndarray:
    """Standard deviation of each store's weekly means around 0; NaN where it is 0. [stores]"""
    squares = np.square(np.where(np.isfinite(weekly), weekly, 0.0)).sum(axis=1)
    count = np.isfinite(weekly).sum(axis=1)
    variance_of_all = squares.sum() / max(count.sum(), 1)
    deviation = np.sqrt((squares + PRIOR_DAYS * variance_of_all) / (count + PRIOR_DAYS))
    return np.where(deviation > 0, deviation, np.nan)


def _comparable_lead_days(lead_days: np.ndarray) -> np.ndarray:
    """The median lead days of each day; NaN on all days if those before the window are of one origin. [days]

    Their lead grows day by day then, and nothing says yet how often forecasts are made.
    """
    past = lead_days[:-WINDOW_DAYS]
    is_renewed = np.any(np.diff(past[np.isfinite(past)]) <= 0)
    return lead_days if is_renewed else np.full_like(lead_days, np.nan)


def _promotion_residual(residual: np.ndarray, series: StoreSeries) -> np.ndarray:
    """Median residual of promotion days, minus that of the other days of the last 15; by day."""
    with_promotion = median_of_days(residual, series.promotion)
    without = earlier_mean(median_of_days(residual, ~series.promotion)[None], 0, 2 * WINDOW_DAYS)[0]
    return with_promotion - np.where(np.isfinite(without), without, 0.0)
