"""What a store usually sells on a weekday with and without promo, and how it lately departed from that."""

from dataclasses import dataclass

import numpy as np

from rossmann.features.calendar import take_apart

WINDOW_DAYS = 364  # whole weeks, so that every weekday weighs the same
SHRINK_DAYS = 3.0  # a cell counts as much as the chain's when it has this many days
RECENT_DAYS = (7, 14, 28, 56, 91, 182)
DECAY_HALF_LIFE_DAYS = 28.0
YEAR_DAYS = 364
YEAR_AGO_AROUND = (3, 10)  # days either side of the same weekday a year before
CELLS = 14  # weekday × promo


@dataclass(frozen=True)
class Levels:
    """Log sales and departures from `expected`, but for the two named sales. Cells: [stores, 7 weekdays, 2 promo]."""

    expected: np.ndarray  # shrunken mean of log sales, never NaN. float64 cells
    count: np.ndarray  # days behind it. float32 cells
    deviation: np.ndarray  # standard deviation in the cell; NaN below two days. float32 cells
    median: np.ndarray  # median minus expected; NaN without days. float32 cells
    last_sales: np.ndarray  # sales on the last such day; the expected where there is none. float64 cells
    median_sales: np.ndarray  # median sales; the expected where there is none. float64 cells
    recent: np.ndarray  # mean departure over RECENT_DAYS; NaN without days. float32 [stores, windows]
    decayed: np.ndarray  # mean departure, weight halving every DECAY_HALF_LIFE_DAYS, drawn to 0. float64 [stores]
    slope: np.ndarray  # of the departure per year over 182 days; NaN with too few. float32 [stores]
    year_ago: np.ndarray  # mean departure around the same day a year before. float32 [stores, horizon, YEAR_AGO_AROUND]
    on_year: np.ndarray  # mean departure of 28 and of 91 days minus that a year before. float32 [stores, 2]
    school: np.ndarray  # departure on school holidays minus on other days, shrunk. float32 [stores]
    month_part: np.ndarray  # departure on days 1–5, 6–15, 16–25, 26–31, shrunk. float32 [stores, 4]
    customers: np.ndarray  # log customers of 28 days minus of 364 days; NaN without. float32 [stores]
    basket: np.ndarray  # the same of sales per customer. float32 [stores]
    basket_level: np.ndarray  # log sales per customer over 364 days. float32 [stores]


def summarise(
    dates: np.ndarray,
    promo: np.ndarray,
    school: np.ndarray,
    sales: np.ndarray,
    customers: np.ndarray,
    horizon_days: int,
) -> Levels:
    """The levels on the last of `dates`; the others are [stores, days]. Sales of 0 or NaN do not count."""
    sold = sales > 0
    log_sales = np.log(np.where(sold, sales, np.nan))
    cell = take_apart(dates).weekday * 2 + promo  # [stores, days]
    recent = slice(-WINDOW_DAYS, None)
    expected, count, deviation = _cells(log_sales[:, recent], cell[:, recent], _life_level(log_sales))
    departure = log_sales - np.take_along_axis(expected, cell, axis=1)
    sums = _PrefixSums(departure)
    basket = log_sales - np.log(np.where(sold & (customers > 0), customers, np.nan))
    buyers = log_sales - basket
    lately, usually = slice(-28, None), recent
    medians = _cell_medians(sales[:, recent], sold[:, recent], cell[:, recent], np.exp(expected))
    with np.errstate(invalid="ignore"):
        median = np.where(count > 0, np.log(medians) - expected, np.nan)
    return Levels(
        expected=_as_cells(expected),
        count=_as_cells(count).astype(np.float32),
        deviation=_as_cells(deviation).astype(np.float32),
        median=_as_cells(median).astype(np.float32),
        last_sales=_as_cells(_cell_last(sales, sold, cell, np.exp(expected))),
        median_sales=_as_cells(medians),
        recent=np.stack([sums.mean(-days, 0) for days in RECENT_DAYS], axis=1).astype(np.float32),
        decayed=_decayed(departure),
        slope=_slope(departure[:, -182:]).astype(np.float32),
        year_ago=_year_ago(sums, horizon_days).astype(np.float32),
        on_year=np.stack([sums.mean(-n, 0) - sums.mean(-n - YEAR_DAYS, -YEAR_DAYS) for n in (28, 91)], 1).astype(
            np.float32
        ),
        school=_school_effect(departure[:, recent], school[:, recent] == 1).astype(np.float32),
        month_part=_month_parts(departure[:, recent], take_apart(dates[recent]).day).astype(np.float32),
        customers=(nanmean(buyers[:, lately]) - nanmean(buyers[:, usually])).astype(np.float32),
        basket=(nanmean(basket[:, lately]) - nanmean(basket[:, usually])).astype(np.float32),
        basket_level=nanmean(basket[:, usually]).astype(np.float32),
    )


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean of each row without its NaN; NaN for a row of nothing else. [rows]"""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=1) / np.maximum(count, 1), np.nan)


class _PrefixSums:
    """Means over any run of days, from sums over all days before."""

    def __init__(self, values: np.ndarray):
        known = ~np.isnan(values)
        start = np.zeros((len(values), 1))
        self.sums = np.concatenate([start, np.cumsum(np.where(known, values, 0), axis=1)], axis=1)
        self.counts = np.concatenate([start, np.cumsum(known, axis=1)], axis=1)

    def mean(self, first: np.ndarray | int, stop: np.ndarray | int) -> np.ndarray:
        """Mean over days first … stop - 1 from the end (0: just after the last day); NaN where none is known."""
        days = self.sums.shape[1] - 1
        a, b = np.clip(days + np.asarray(first), 0, days), np.clip(days + np.asarray(stop), 0, days)
        count = self.counts[:, b] - self.counts[:, a]
        return np.where(count > 0, (self.sums[:, b] - self.sums[:, a]) / np.maximum(count, 1), np.nan)


def _as_cells(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), 7, 2)


def _life_level(log_sales: np.ndarray) -> np.ndarray:
    """Mean log sales over the whole life; the chain's for a store that never sold, else 0. [stores]"""
    own = nanmean(log_sales)
    chain = nanmean(own[None])[0]
    return np.nan_to_num(np.where(np.isnan(own), chain, own))


def _cells(log_sales: np.ndarray, cell: np.ndarray, life: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shrunken mean, count and standard deviation of log sales per store and cell. [stores, CELLS] each"""
    known = ~np.isnan(log_sales)
    store, day = np.nonzero(known)
    at = store * CELLS + cell[store, day]
    values = log_sales[store, day]
    shape, size = (len(log_sales), CELLS), len(log_sales) * CELLS
    count = np.bincount(at, minlength=size).reshape(shape)
    total = np.bincount(at, values, minlength=size).reshape(shape)
    square = np.bincount(at, values * values, minlength=size).reshape(shape)
    mean = total / np.maximum(count, 1)
    own = nanmean(log_sales)
    store_mean = np.where(np.isnan(own), life, own)[:, None]
    chain = ((total - count * store_mean).sum(axis=0) / np.maximum(count.sum(axis=0), 1))[None]
    expected = store_mean + chain + count / (count + SHRINK_DAYS) * np.where(count > 0, mean - store_mean - chain, 0)
    variance = np.maximum(square / np.maximum(count, 1) - mean * mean, 0)
    return expected, count, np.where(count > 1, np.sqrt(variance), np.nan)


def _cell_medians(sales: np.ndarray, sold: np.ndarray, cell: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Median sales per store and cell. [stores, CELLS]"""
    medians = otherwise.copy()
    rows = np.arange(len(sales))
    for c in range(CELLS):
        days = (cell == c).any(axis=0)
        if not days.any():
            continue
        own = np.where(sold[:, days] & (cell[:, days] == c), sales[:, days], np.inf)
        count = np.isfinite(own).sum(axis=1)
        own.sort(axis=1)
        middle = (own[rows, np.maximum(count - 1, 0) // 2] + own[rows, np.minimum(count // 2, own.shape[1] - 1)]) / 2
        medians[:, c] = np.where(count > 0, middle, medians[:, c])
    return medians


def _cell_last(sales: np.ndarray, sold: np.ndarray, cell: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Sales on the last day of each store and cell. [stores, CELLS]"""
    last = otherwise.copy()
    store, day = np.nonzero(sold)
    last[store, cell[store, day]] = sales[store, day]  # in order of days: the last one stays
    return last


def _decayed(departure: np.ndarray) -> np.ndarray:
    days = departure.shape[1]
    known = ~np.isnan(departure)
    weight = known * 0.5 ** (np.arange(days - 1, -1, -1) / DECAY_HALF_LIFE_DAYS)
    return (weight * np.where(known, departure, 0)).sum(axis=1) / (weight.sum(axis=1) + 1)


def _slope(departure: np.ndarray) -> np.ndarray:
    """Least squares through the known days; NaN below 30 of them."""
    known = ~np.isnan(departure)
    count = np.maximum(known.sum(axis=1), 1)
    x = np.broadcast_to(np.arange(departure.shape[1]) / 365.25, departure.shape)
    y = np.where(known, departure, 0)
    centred = np.where(known, x - (np.where(known, x, 0).sum(axis=1) / count)[:, None], 0)
    spread = (centred * centred).sum(axis=1)
    return np.where(known.sum(axis=1) >= 30, (centred * y).sum(axis=1) / np.maximum(spread, 1e-9), np.nan)


def _year_ago(sums: _PrefixSums, horizon_days: int) -> np.ndarray:
    day = np.arange(horizon_days) - YEAR_DAYS  # the first day of the horizon is number 0 from the end
    return np.stack([sums.mean(day - around, day + around + 1) for around in YEAR_AGO_AROUND], axis=2)


def _school_effect(departure: np.ndarray, school: np.ndarray) -> np.ndarray:
    difference = nanmean(np.where(school, departure, np.nan)) - nanmean(np.where(school, np.nan, departure))
    count = (school & ~np.isnan(departure)).sum(axis=1)
    return _towards_chain(difference, count, 20)


def _month_parts(departure: np.ndarray, day: np.ndarray) -> np.ndarray:
    parts = []
    for first, last in ((1, 5), (6, 15), (16, 25), (26, 31)):
        own = departure[:, (day >= first) & (day <= last)]
        parts.append(_towards_chain(nanmean(own), (~np.isnan(own)).sum(axis=1), 20))
    return np.stack(parts, axis=1)


def _towards_chain(effect: np.ndarray, count: np.ndarray, shrink: float) -> np.ndarray:
    """A store's effect minus the chain's, shrunk. (The chain's own would tell trees which period it is.)"""
    chain = np.nan_to_num(nanmean(effect[None])[0])
    return np.where(np.isnan(effect), 0, (effect - chain) * count / (count + shrink))
