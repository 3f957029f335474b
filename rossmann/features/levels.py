"""What a store usually sells by weekday and promotion, and how its recent sales deviate from that.

A *cell* is a pair of weekday and promotion of one store. A *deviation* is the log sales of a day minus the expected log
sales of its cell.
"""

from dataclasses import dataclass

import numpy as np

from rossmann.features.calendar import date_parts
from rossmann.schema import MEAN_YEAR_DAYS, WEEK_DAYS, WEEKS_YEAR_DAYS

CELL_SHRINK_DAYS = 3.0  # a store's own cell has the same weight as the chain's when it has so many days
EFFECT_SHRINK_DAYS = 20  # the same for the effects of school holidays and of parts of the month
DEVIATION_DAYS = (7, 14, 28, 56, 91, 182)
DEVIATION_HALF_LIFE_DAYS = 28.0
SLOPE_DAYS, MIN_SLOPE_DAYS = 182, 30
YEAR_AGO_AROUND = (3, 10)  # days on either side of the same weekday one year before
YEAR_OVER_YEAR_DAYS = (28, 91)
TRAFFIC_DAYS = 28
MONTH_PARTS = ((1, 5), (6, 15), (16, 25), (26, 31))  # first and last day of the month
CELLS = 2 * WEEK_DAYS


@dataclass(frozen=True)
class Levels:
    """Usual sales of every store and recent deviations from them. Cells are [stores, 7 weekdays, 2 promotion]."""

    expected: np.ndarray  # shrunken mean of log sales, never NaN. float64 cells
    count: np.ndarray  # days behind it. float32 cells
    standard_deviation: np.ndarray  # of log sales in the cell; NaN below two days. float32 cells
    median_deviation: np.ndarray  # log of the median sales minus expected; NaN without days. float32 cells
    last_sales: np.ndarray  # sales of the cell's last day; exp(expected) where there is none. float64 cells
    median_sales: np.ndarray  # median sales; exp(expected) where there are no days. float64 cells
    recent_deviation: np.ndarray  # mean deviation over DEVIATION_DAYS; NaN without days. float32 [stores, windows]
    decayed_deviation: np.ndarray  # weights halve every DEVIATION_HALF_LIFE_DAYS, shrunk to 0. float64 [stores]
    deviation_slope: np.ndarray  # per year, over SLOPE_DAYS; NaN with too few days. float32 [stores]
    year_ago: np.ndarray  # mean deviation around the same day one year before. float32 [stores, horizon, 2 widths]
    year_over_year: np.ndarray  # mean deviation of YEAR_OVER_YEAR_DAYS minus that a year before. float32 [stores, 2]
    school_effect: np.ndarray  # deviation on school holidays minus on other days, shrunk. float32 [stores]
    month_effect: np.ndarray  # deviation in the MONTH_PARTS, shrunk. float32 [stores, 4]
    traffic_change: np.ndarray  # mean log traffic of 28 days minus of a year; NaN without. float32 [stores]
    sales_per_customer_change: np.ndarray  # the same of log sales per customer. float32 [stores]
    sales_per_customer: np.ndarray  # mean log sales per customer of a year. float32 [stores]


def fit_levels(
    dates: np.ndarray,
    promotion: np.ndarray,
    school_break: np.ndarray,
    sales: np.ndarray,
    traffic: np.ndarray,
    horizon_days: int,
    lifetime_level: np.ndarray,
) -> Levels:
    """The levels on the last of `dates`; the other arrays are [stores, days]. Sales of 0 or NaN do not count.

    lifetime_level: mean log sales over all days, the level of a store without sales in the last year. [stores]
    """
    sold = sales > 0
    log_sales = np.log(np.where(sold, sales, np.nan))
    parts = date_parts(dates)
    cell = parts.weekday * 2 + promotion  # [stores, days]
    year = slice(-WEEKS_YEAR_DAYS, None)  # whole weeks, so that every weekday has the same weight
    expected, count, standard_deviation = _cells(log_sales[:, year], cell[:, year], lifetime_level)
    deviation = log_sales - np.take_along_axis(expected, cell, axis=1)
    median_sales = _cell_medians(sales[:, year], sold[:, year], cell[:, year], np.exp(expected))
    with np.errstate(invalid="ignore"):
        median_deviation = np.where(count > 0, np.log(median_sales) - expected, np.nan)
    return Levels(
        expected=_by_cell(expected),
        count=_by_cell(count).astype(np.float32),
        standard_deviation=_by_cell(standard_deviation).astype(np.float32),
        median_deviation=_by_cell(median_deviation).astype(np.float32),
        last_sales=_by_cell(_cell_last(sales, sold, cell, np.exp(expected))),
        median_sales=_by_cell(median_sales),
        **_recent_deviations(deviation, horizon_days),
        school_effect=_school_effect(deviation[:, year], school_break[:, year] == 1).astype(np.float32),
        month_effect=_month_effect(deviation[:, year], parts.day_of_month[year]).astype(np.float32),
        **_traffic_levels(log_sales, traffic),
    )


def _recent_deviations(deviation: np.ndarray, horizon_days: int) -> dict[str, np.ndarray]:
    """The fields of Levels that are means and trends of the deviation over time."""
    sums = _PrefixSums(deviation)
    year_over_year = [
        sums.mean(-days, 0) - sums.mean(-days - WEEKS_YEAR_DAYS, -WEEKS_YEAR_DAYS) for days in YEAR_OVER_YEAR_DAYS
    ]
    return {
        "recent_deviation": np.stack([sums.mean(-days, 0) for days in DEVIATION_DAYS], axis=1).astype(np.float32),
        "decayed_deviation": decayed_mean(deviation, DEVIATION_HALF_LIFE_DAYS),
        "deviation_slope": _slope(deviation[:, -SLOPE_DAYS:]).astype(np.float32),
        "year_ago": _year_ago(sums, horizon_days).astype(np.float32),
        "year_over_year": np.stack(year_over_year, axis=1).astype(np.float32),
    }


def _traffic_levels(log_sales: np.ndarray, traffic: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of Levels that need the traffic."""
    log_sales_per_customer = log_sales - np.log(np.where(traffic > 0, traffic, np.nan))
    log_traffic = log_sales - log_sales_per_customer
    month, year = slice(-TRAFFIC_DAYS, None), slice(-WEEKS_YEAR_DAYS, None)

    def change(values: np.ndarray) -> np.ndarray:
        return (nanmean(values[:, month]) - nanmean(values[:, year])).astype(np.float32)

    return {
        "traffic_change": change(log_traffic),
        "sales_per_customer_change": change(log_sales_per_customer),
        "sales_per_customer": nanmean(log_sales_per_customer[:, year]).astype(np.float32),
    }


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean of each row over its values that are not NaN; NaN where a row has none. [rows]"""
    valid = ~np.isnan(values)
    count = valid.sum(axis=1)
    return np.where(count > 0, np.where(valid, values, 0).sum(axis=1) / np.maximum(count, 1), np.nan)


def decayed_mean(values: np.ndarray, half_life_days: float) -> np.ndarray:
    """Mean of each row with weights that halve every `half_life_days` back from the last, shrunk to 0. [rows]"""
    valid = ~np.isnan(values)
    weight = valid * 0.5 ** (np.arange(values.shape[1])[::-1] / half_life_days)
    return (weight * np.where(valid, values, 0)).sum(axis=1) / (weight.sum(axis=1) + 1)


class _PrefixSums:
    """Means over any run of days, computed from sums over all days before."""

    def __init__(self, values: np.ndarray):
        valid = ~np.isnan(values)
        start = np.zeros((len(values), 1))
        self.sums = np.concatenate([start, np.cumsum(np.where(valid, values, 0), axis=1)], axis=1)
        self.counts = np.concatenate([start, np.cumsum(valid, axis=1)], axis=1)

    def mean(self, first: np.ndarray | int, stop: np.ndarray | int) -> np.ndarray:
        """Mean over days first … stop − 1, counted from the end (0: just after the last day); NaN without values."""
        days = self.sums.shape[1] - 1
        a, b = np.clip(days + np.asarray(first), 0, days), np.clip(days + np.asarray(stop), 0, days)
        count = self.counts[:, b] - self.counts[:, a]
        return np.where(count > 0, (self.sums[:, b] - self.sums[:, a]) / np.maximum(count, 1), np.nan)


def _by_cell(values: np.ndarray) -> np.ndarray:
    """[stores, CELLS] as [stores, weekday, promotion]."""
    return values.reshape(len(values), WEEK_DAYS, 2)


def _cells(
    log_sales: np.ndarray, cell: np.ndarray, lifetime_level: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shrunken mean, count and standard deviation of log sales per store and cell. [stores, CELLS] each"""
    store, day = np.nonzero(~np.isnan(log_sales))
    position = store * CELLS + cell[store, day]
    values = log_sales[store, day]
    shape, size = (len(log_sales), CELLS), len(log_sales) * CELLS
    count = np.bincount(position, minlength=size).reshape(shape)
    total = np.bincount(position, values, minlength=size).reshape(shape)
    square = np.bincount(position, values * values, minlength=size).reshape(shape)
    mean = total / np.maximum(count, 1)
    year_mean = nanmean(log_sales)
    store_mean = np.where(np.isnan(year_mean), lifetime_level, year_mean)[:, None]
    chain = ((total - count * store_mean).sum(axis=0) / np.maximum(count.sum(axis=0), 1))[None]
    own_weight = count / (count + CELL_SHRINK_DAYS)
    expected = store_mean + chain + own_weight * np.where(count > 0, mean - store_mean - chain, 0)
    variance = np.maximum(square / np.maximum(count, 1) - mean * mean, 0)
    return expected, count, np.where(count > 1, np.sqrt(variance), np.nan)


def _cell_medians(sales: np.ndarray, sold: np.ndarray, cell: np.ndarray, default: np.ndarray) -> np.ndarray:
    """Median sales per store and cell; `default` where a cell has no day. [stores, CELLS]"""
    medians = default.copy()
    rows = np.arange(len(sales))
    for c in range(CELLS):
        days = (cell == c).any(axis=0)
        if not days.any():
            continue
        cell_sales = np.where(sold[:, days] & (cell[:, days] == c), sales[:, days], np.inf)
        count = np.isfinite(cell_sales).sum(axis=1)
        cell_sales.sort(axis=1)
        lower, upper = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, cell_sales.shape[1] - 1)
        middle = (cell_sales[rows, lower] + cell_sales[rows, upper]) / 2
        medians[:, c] = np.where(count > 0, middle, medians[:, c])
    return medians


def _cell_last(sales: np.ndarray, sold: np.ndarray, cell: np.ndarray, default: np.ndarray) -> np.ndarray:
    """Sales on the last day of each store and cell; `default` where a cell has no day. [stores, CELLS]"""
    last = default.copy()
    store, day = np.nonzero(sold)
    last[store, cell[store, day]] = sales[store, day]  # days are in ascending order: the last one stays
    return last


def _slope(deviation: np.ndarray) -> np.ndarray:
    """Least-squares slope per year; NaN below MIN_SLOPE_DAYS days. [stores]"""
    valid = ~np.isnan(deviation)
    count = np.maximum(valid.sum(axis=1), 1)
    x = np.broadcast_to(np.arange(deviation.shape[1]) / MEAN_YEAR_DAYS, deviation.shape)
    y = np.where(valid, deviation, 0)
    centred = np.where(valid, x - (np.where(valid, x, 0).sum(axis=1) / count)[:, None], 0)
    spread = (centred * centred).sum(axis=1)
    enough = valid.sum(axis=1) >= MIN_SLOPE_DAYS
    return np.where(enough, (centred * y).sum(axis=1) / np.maximum(spread, 1e-9), np.nan)


def _year_ago(sums: _PrefixSums, horizon_days: int) -> np.ndarray:
    """Mean deviation around each day of the horizon one year before. [stores, horizon, widths]"""
    day = np.arange(horizon_days) - WEEKS_YEAR_DAYS  # the first day of the horizon is number 0 from the end
    return np.stack([sums.mean(day - around, day + around + 1) for around in YEAR_AGO_AROUND], axis=2)


def _school_effect(deviation: np.ndarray, school_break: np.ndarray) -> np.ndarray:
    """Deviation on school holidays minus on other days, relative to the chain's. [stores]"""
    on_holidays = nanmean(np.where(school_break, deviation, np.nan))
    on_other_days = nanmean(np.where(school_break, np.nan, deviation))
    count = (school_break & ~np.isnan(deviation)).sum(axis=1)
    return _relative_to_chain(on_holidays - on_other_days, count)


def _month_effect(deviation: np.ndarray, day_of_month: np.ndarray) -> np.ndarray:
    """Deviation in each of the MONTH_PARTS, relative to the chain's. [stores, 4]"""
    effects = []
    for first, last in MONTH_PARTS:
        deviation_in_part = deviation[:, (day_of_month >= first) & (day_of_month <= last)]
        count = (~np.isnan(deviation_in_part)).sum(axis=1)
        effects.append(_relative_to_chain(nanmean(deviation_in_part), count))
    return np.stack(effects, axis=1)


def _relative_to_chain(effect: np.ndarray, count: np.ndarray) -> np.ndarray:
    """A store's effect minus the chain's mean effect, shrunk to 0; 0 where it is NaN. [stores]

    The chain's own effect is left out because it would tell the trees from which period a training window is.
    """
    chain = np.nan_to_num(nanmean(effect[None])[0])
    return np.where(np.isnan(effect), 0, (effect - chain) * count / (count + EFFECT_SHRINK_DAYS))
