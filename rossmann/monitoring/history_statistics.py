"""Drift statistics of the history alone: quality of the data, features, target, and the plan of the past days."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

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
    medians_of_rows,
    share_of_stores,
)
from rossmann.monitoring.store_series import USUAL_DAYS, StoreSeries, earlier_mean
from rossmann.schema import SATURDAY, WEEK_DAYS, WEEKS_YEAR_DAYS

ALL_STORES = "all stores"
MIN_YEAR_OVER_YEAR_DAYS = WEEKS_YEAR_DAYS + 60  # of history, from which on sales are compared with the year before
MAX_SALES_DEVIATION = 1.2  # |log| of one store against its own past: times 3.3
MAX_SCATTER = 3  # the same, in standard deviations of the store: of a few sales a day there are often twice as many
MEDIAN_DEVIATIONS = 1.5  # in a standard deviation, which a fault of a week hardly changes if it is estimated so
MAX_SALES_PER_CUSTOMER_DEVIATION = 0.9  # |log|: times 2.5
MIN_OPENING_SHARE = 0.25  # more of the stores open on a day of rest, where openings are not fixed: an alarm
OUT_OF_SCALE_DAYS = 4  # of the last 7, beyond these deviations
REPORTED_DAYS = (8, 35)  # first and last day back; who has rows on most of them is expected to have one today
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SHRINKAGE = 0.1  # added to the diagonal of the statistics' correlation matrix

StoreGroups = Sequence[tuple[str, np.ndarray]]  # name, and which stores have that attribute: bool [stores]


def history_statistics(history: SalesHistory, series: StoreSeries) -> Iterator[Statistic]:
    """Statistics of quality, plan, features and target."""
    types = [(name, stores) for name, stores in type_slices(history) if stores.sum() >= MIN_STORES]
    yield from _quality(series, types)
    if series.can_be_without_sales:
        whole_chain = [(ALL_STORES, np.ones(len(history.sales), bool))]
        yield from _zero_sales(series, types if history.chain.attributes else whole_chain)
    yield from _past_plan(series)
    yield from _features(series)
    yield from _target(series, types)


def multivariate(statistics: Sequence[Statistic]) -> Statistic:
    """All columns at once: how far a day is from the past in the directions in which the statistics move together.

    The Mahalanobis distance of the target's and the features' statistics, over the square root of their number.
    """
    included = [
        s for s in statistics if s.definition.kind in ("target", "feature") or s.definition.name == "other_unit"
    ]
    values = np.stack([statistic.values for statistic in included])
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


def _quality(series: StoreSeries, types: StoreGroups) -> Iterator[Statistic]:
    """Of the data as they were delivered."""
    yield _statistic("stores_missing", ALL_STORES, _missing_share(series, slice(None)))
    for name, stores in types:
        definition = find_definition("stores_missing").for_attribute()
        yield Statistic(definition=definition, subject=name, values=_missing_share(series, stores))
    if "traffic" in series.columns:
        yield from _traffic_quality(series, types)
    yield _statistic("store_out_of_scale", "single stores", _stores_out_of_scale(series))


def _zero_sales(series: StoreSeries, types: StoreGroups) -> Iterator[Statistic]:
    for name, stores in types:
        share = share_of_stores(series.is_open & ~series.has_sales, series.is_open & series.has_row, stores)
        yield _statistic("zero_sales", name, share)


def _traffic_quality(series: StoreSeries, types: StoreGroups) -> Iterator[Statistic]:
    repeated_share = share_of_stores(series.traffic_repeated, series.has_sales)
    yield _statistic("traffic_frozen", series.columns["traffic"], repeated_share)
    for name, stores in types:
        deviation = series.sales_per_customer_deviation
        difference = median_of_stores(deviation, stores) - median_of_stores(deviation, ~stores)
        yield _statistic("other_unit", name, difference)


def _past_plan(series: StoreSeries) -> Iterator[Statistic]:
    """Of the plan that the past days had."""
    is_rest_day = series.weekday == series.rest_weekday
    open_share = share_of_stores(series.is_open, series.has_row)
    if is_rest_day.any():
        yield _open_on_rest_days(series, np.where(is_rest_day, open_share, np.nan))
    shifted_share = share_of_stores(series.day_repeated, series.has_sales)
    if series.has_fixed_openings:
        closed_share = share_of_stores(~series.is_open & ~series.holiday, series.has_row)
        shifted_share = np.fmax(np.where(is_rest_day, 0.0, closed_share), shifted_share)
    elif is_rest_day.any():
        shifted_share = np.fmax(_exchanged_rest_days(open_share, is_rest_day), shifted_share)
    yield _statistic("dates_shifted", "open", shifted_share)
    is_unusual = (series.weekday >= SATURDAY) & ~series.promotion_weekdays[series.weekday]
    if "promotion" in series.columns and is_unusual.any():
        promotion_share = share_of_stores(series.promotion, series.has_row)
        subject = f"{series.columns['promotion']} on weekends"
        yield _statistic("promotion_inverted", subject, np.where(is_unusual, promotion_share, np.nan))


def _open_on_rest_days(series: StoreSeries, open_share: np.ndarray) -> Statistic:
    """open_share: NaN on other days. [days]

    Where openings are not fixed, a closing on a day of rest, as on a holiday that nobody named, is nothing unusual.
    """
    definition = find_definition("sundays_open").for_rest_day(DAY_NAMES[series.rest_weekday])
    if not series.has_fixed_openings:
        definition = replace(definition, floor=MIN_OPENING_SHARE)
        open_share = np.maximum(open_share, medians_of_rows(open_share[None])[0])
    return Statistic(definition=definition, subject="open", values=open_share)


def _exchanged_rest_days(open_share: np.ndarray, is_rest_day: np.ndarray) -> np.ndarray:
    """Share of the stores that are open on the week's day of rest and closed on another of its days. [days]

    That is what shifted dates look like. On a holiday that nobody named, stores rest on their day of rest as well.
    """
    open_on_rest, closed_on_others = (
        np.nan_to_num(np.where(days, share, 0.0))
        for days, share in ((is_rest_day, open_share), (~is_rest_day, 1 - open_share))
    )
    weeks = [np.lib.stride_tricks.sliding_window_view(np.pad(each, (WEEK_DAYS - 1, 0)), WEEK_DAYS).max(axis=1)
             for each in (open_on_rest, closed_on_others)]  # fmt: skip
    return np.minimum(*weeks)


def _features(series: StoreSeries) -> Iterator[Statistic]:
    if "open" in series.columns:
        yield _statistic("open_share", "open", _share_over_year(series.is_open, series))
    if "promotion" in series.columns:
        yield _statistic("promotion_share", series.columns["promotion"], _share_over_year(series.promotion, series))
    if series.can_be_without_sales:
        without_sales = series.is_open & ~series.has_sales
        yield _statistic("zero_sales_share", "zero sales", _share_over_year(without_sales, series))


def _target(series: StoreSeries, types: StoreGroups) -> Iterator[Statistic]:
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
    scatter = MEDIAN_DEVIATIONS * medians_of_rows(np.abs(series.recent_deviation))
    limit = np.fmax(MAX_SALES_DEVIATION, MAX_SCATTER * scatter)[:, None]
    out_of_scale = (np.abs(series.recent_deviation) > limit) | (
        np.abs(series.sales_per_customer_deviation) > MAX_SALES_PER_CUSTOMER_DEVIATION
    )
    days = count_between(out_of_scale, 1 - WINDOW_DAYS, 0)
    return (days >= OUT_OF_SCALE_DAYS).sum(axis=0).astype(float)


def _share_over_year(flags: np.ndarray, series: StoreSeries) -> np.ndarray:
    """Share of the stores with the flag minus that of the same stores 364 days before, as the mean of a week; by day"""
    change = np.full(len(series.dates), np.nan)
    year, year_before = slice(WEEKS_YEAR_DAYS, None), slice(None, -WEEKS_YEAR_DAYS)
    if len(change) > WEEKS_YEAR_DAYS:
        both = series.has_row[:, year] & series.has_row[:, year_before]
        change[year] = share_of_stores(flags[:, year], both) - share_of_stores(flags[:, year_before], both)
    return earlier_mean(change[None], 0, WINDOW_DAYS - 1)[0]


def _mahalanobis(values: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Distance of each column of `values` [statistics, days] from the columns of `past`, per root of statistics."""
    centre, scale = past.mean(axis=1, keepdims=True), past.std(axis=1, keepdims=True) + 1e-9
    correlation = np.cov((past - centre) / scale) + SHRINKAGE * np.eye(len(values))
    deviation = (values - centre) / scale
    return np.sqrt(np.einsum("kt,kt->t", deviation, np.linalg.solve(correlation, deviation)) / len(values))
