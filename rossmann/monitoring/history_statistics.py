"""Drift statistics of the history alone: quality of the data, features, target, and the plan of the past days."""

from collections.abc import Iterator, Sequence

import numpy as np

from rossmann.data import SalesHistory
from rossmann.features.calendar import count_between
from rossmann.monitoring.definitions import find_definition
from rossmann.monitoring.slices import type_slices
from rossmann.monitoring.statistics import (
    MIN_LIMIT_DAYS,
    MIN_STORES,
    WINDOW_DAYS,
    Statistic,
    median_of_stores,
    share_of_stores,
)
from rossmann.monitoring.store_series import USUAL_DAYS, StoreSeries, earlier_mean
from rossmann.schema import SATURDAY, WEEKS_YEAR_DAYS

ALL_STORES = "all stores"
MIN_YEAR_OVER_YEAR_DAYS = WEEKS_YEAR_DAYS + 60  # of history, from which on sales are compared with the year before
MAX_SALES_DEVIATION = 1.2  # |log| of one store against its own past: times 3.3
MAX_SALES_PER_CUSTOMER_DEVIATION = 0.9  # |log|: times 2.5
OUT_OF_SCALE_DAYS = 4  # of the last 7, beyond these deviations
REPORTED_DAYS = (8, 35)  # first and last day back; who has rows on most of them is expected to have one today
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SHRINKAGE = 0.1  # added to the diagonal of the statistics' correlation matrix

StoreTypes = Sequence[tuple[str, np.ndarray]]  # name, and which stores are of that type: bool [stores]


def history_statistics(history: SalesHistory, series: StoreSeries) -> Iterator[Statistic]:
    """Statistics of quality, plan, features and target."""
    types = [(name, stores) for name, stores in type_slices(history) if stores.sum() >= MIN_STORES]
    yield from _quality(series, types)
    if series.can_be_without_sales:
        yield from _zero_sales(
            series, types if history.chain.attributes else [(ALL_STORES, np.ones(len(history.sales), bool))]
        )
    yield from _past_plan(series)
    yield from _features(series)
    yield from _target(series, types)


def multivariate(statistics: Sequence[Statistic]) -> Statistic:
    """All columns at once: how far a day is from the past in the directions in which the statistics move together.

    The Mahalanobis distance of the target's and the features' statistics, over the square root of their number.
    """
    selected = [
        s for s in statistics if s.definition.kind in ("target", "feature") or s.definition.name == "other_unit"
    ]
    values = np.stack([statistic.values for statistic in selected])
    values = values[np.isfinite(values).sum(axis=1) >= 2 * MIN_LIMIT_DAYS]
    distance = np.full(len(statistics[0].values), np.nan)
    if len(values):
        complete = np.isfinite(values).all(axis=0)
        past = values[:, complete & (np.arange(len(complete)) < len(complete) - WINDOW_DAYS)]
        if past.shape[1] >= MIN_LIMIT_DAYS:
            distance[complete] = _mahalanobis(values[:, complete], past)
    return _statistic("multivariate", "all columns", distance)


def _statistic(name: str, subject: str, values: np.ndarray) -> Statistic:
    return Statistic(definition=find_definition(name), subject=subject, values=values)


def _quality(series: StoreSeries, types: StoreTypes) -> Iterator[Statistic]:
    """Of the data as they were delivered."""
    yield _statistic("stores_missing", ALL_STORES, _missing_share(series, slice(None)))
    for name, stores in types:
        definition = find_definition("stores_missing").for_store_type()
        yield Statistic(definition=definition, subject=name, values=_missing_share(series, stores))
    if "customers" in series.columns:
        yield from _customer_quality(series, types)
    yield _statistic("store_out_of_scale", "single stores", _stores_out_of_scale(series))


def _zero_sales(series: StoreSeries, types: StoreTypes) -> Iterator[Statistic]:
    for name, stores in types:
        share = share_of_stores(series.is_open & ~series.has_sales, series.is_open & series.has_row, stores)
        yield _statistic("zero_sales", name, share)


def _customer_quality(series: StoreSeries, types: StoreTypes) -> Iterator[Statistic]:
    yield _statistic("customers_frozen", "customers", share_of_stores(series.customers_repeated, series.has_sales))
    for name, stores in types:
        deviation = series.sales_per_customer_deviation
        difference = median_of_stores(deviation, stores) - median_of_stores(deviation, ~stores)
        yield _statistic("other_unit", name, difference)


def _past_plan(series: StoreSeries) -> Iterator[Statistic]:
    """Of the plan that the past days had."""
    is_rest_day = series.weekday == series.rest_weekday
    if is_rest_day.any():
        open_share = share_of_stores(series.is_open, series.has_row)
        definition = find_definition("sundays_open").for_rest_day(DAY_NAMES[series.rest_weekday])
        yield Statistic(definition=definition, subject="open", values=np.where(is_rest_day, open_share, np.nan))
    repeated = share_of_stores(series.day_repeated, series.has_sales)
    if {"open", "state_holiday"} <= series.columns:  # who does not know holidays cannot tell a wrong date from one
        closed = share_of_stores(~series.is_open & ~series.holiday, series.has_row)
        repeated = np.fmax(np.where(is_rest_day, 0.0, closed), repeated)
    yield _statistic("dates_shifted", "open", repeated)
    unusual = (series.weekday >= SATURDAY) & ~series.promo_weekdays[series.weekday]
    if "promo" in series.columns and unusual.any():
        promo_share = share_of_stores(series.promo, series.has_row)
        yield _statistic("promo_inverted", "promo on weekends", np.where(unusual, promo_share, np.nan))


def _features(series: StoreSeries) -> Iterator[Statistic]:
    if "open" in series.columns:
        yield _statistic("open_share", "open", _share_over_year(series.is_open, series))
    if "promo" in series.columns:
        yield _statistic("promo_share", "promo", _share_over_year(series.promo, series))
    if series.can_be_without_sales:
        without_sales = series.is_open & ~series.has_sales
        yield _statistic("zero_sales_share", "zero sales", _share_over_year(without_sales, series))


def _target(series: StoreSeries, types: StoreTypes) -> Iterator[Statistic]:
    definition, level = find_definition("sales_level"), series.year_over_year
    if series.dates[-1] - series.dates[0] <= np.timedelta64(MIN_YEAR_OVER_YEAR_DAYS, "D"):
        definition, level = definition.for_first_year(), series.recent_deviation
    for name, stores in [(ALL_STORES, np.ones(len(level), bool)), *types]:
        values = minus_usual(median_of_stores(level, stores))
        yield Statistic(definition=definition, subject=name, values=values)


def minus_usual(daily: np.ndarray) -> np.ndarray:
    """Daily values minus their mean over USUAL_DAYS, so that growth which lasts stops being a deviation. [days]"""
    return daily - earlier_mean(daily[None], *USUAL_DAYS)[0]


def _missing_share(series: StoreSeries, stores: np.ndarray | slice) -> np.ndarray:
    """Share of the stores without a row, among those that had one on most of REPORTED_DAYS; by day."""
    first, last = REPORTED_DAYS
    expected = count_between(series.has_row, -last, -first) > (last - first + 1) // 2
    return share_of_stores(~series.has_row, expected, stores)


def _stores_out_of_scale(series: StoreSeries) -> np.ndarray:
    """Number of stores out of their own scale on OUT_OF_SCALE_DAYS of the last 7 days; by day."""
    out_of_scale = (np.abs(series.recent_deviation) > MAX_SALES_DEVIATION) | (
        np.abs(series.sales_per_customer_deviation) > MAX_SALES_PER_CUSTOMER_DEVIATION
    )
    days = count_between(out_of_scale, 1 - WINDOW_DAYS, 0)
    return (days >= OUT_OF_SCALE_DAYS).sum(axis=0).astype(float)


def _share_over_year(flags: np.ndarray, series: StoreSeries) -> np.ndarray:
    """Share of the stores with the flag minus that of the same stores 364 days before, as the mean of a week; by day"""
    change = np.full(len(series.dates), np.nan)
    now, before = slice(WEEKS_YEAR_DAYS, None), slice(None, -WEEKS_YEAR_DAYS)
    if len(change) > WEEKS_YEAR_DAYS:
        both = series.has_row[:, now] & series.has_row[:, before]
        change[now] = share_of_stores(flags[:, now], both) - share_of_stores(flags[:, before], both)
    return earlier_mean(change[None], 0, WINDOW_DAYS - 1)[0]


def _mahalanobis(values: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Distance of each column of `values` [statistics, days] from the columns of `past`, per root of statistics."""
    centre, scale = past.mean(axis=1, keepdims=True), past.std(axis=1, keepdims=True) + 1e-9
    correlation = np.cov((past - centre) / scale) + SHRINKAGE * np.eye(len(values))
    deviation = (values - centre) / scale
    return np.sqrt(np.einsum("kt,kt->t", deviation, np.linalg.solve(correlation, deviation)) / len(values))
