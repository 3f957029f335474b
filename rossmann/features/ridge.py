"""A linear model of log sales per store, fitted for all stores in one batch.

Every store's coefficients are drawn towards those of the whole chain; days are weighted by age and, against
outliers, by a Huber rule. Trees cannot extrapolate a season and learn little from one store; this can, and they
correct it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rossmann.data import Calendar, Stores
from rossmann.features.calendar import (
    YEAR_DAYS,
    closing_in,
    promo2_phase,
    reopened_since,
    shifted,
    take_apart,
)

HALF_LIFE_DAYS = 1000
HUBER_CLIP = 2.0  # in median absolute deviations
REWEIGHTINGS = 2
WILD = ("feast", "holiday", "closure")  # columns of rare days that are harder to foretell than others
OUTLIER = 0.2  # a residual beyond says nothing more of the days to come
NEVER = 1e9  # a penalty that leaves nothing
PENALTY = {"trend": 10.0, "season": 4.0, "feast": 0.2, "holiday": 0.2, "closure": 10.0}  # by first word; others 1
SHORT_HISTORY_DAYS = 400  # below, no season is learnt: there is none to learn from
CONTEXT_DAYS, AHEAD_DAYS = 126, 17  # how far the design of a day looks back and ahead
FEASTS = (-52, -50, -48, -47, -1, 0)  # days from Easter Sunday on which some stores differ: carnival, Easter
STORES_AT_ONCE = 64  # bounds the memory of the design


@dataclass(frozen=True)
class Ridge:
    """Fitted coefficients, and how the store has lately sold beside them."""

    level: np.ndarray  # mean log sales that the target is taken from. float64 [stores]
    coefficients: np.ndarray  # float64 [stores, columns of the design]
    recent: np.ndarray  # mean residual of the last RECENT_DAYS; NaN without open days. float32 [stores, windows]
    excess: np.ndarray  # variance that days of a column have over others; 0 but for rare ones. float64 [columns]
    spread: np.ndarray  # standard deviation of the clipped residuals of SPREAD_DAYS. float64 [stores, 7 weekdays]


RECENT_DAYS = (14, 28, 91)
SPREAD_DAYS = 364


def design(
    calendar: Calendar, stores: Stores, origin: np.datetime64, days: slice
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and values of the explaining columns of `days` of the calendar: float32 [stores, days, columns], C-order.

    A day's values depend on the CONTEXT_DAYS before and the AHEAD_DAYS after it, as far as the calendar has them.
    """
    dates = _date_columns(calendar.dates[0], len(calendar.dates), origin)
    columns = {**dates, **_store_columns(calendar, stores, origin)}
    values = np.empty((len(stores.number), len(calendar.dates[days]), len(columns)), np.float32)
    for k, column in enumerate(columns.values()):
        values[:, :, k] = column[..., days]
    return tuple(columns), values


@lru_cache(maxsize=8)  # of a State: asked for with every row that is forecast
def _date_columns(first: np.datetime64, days: int, origin: np.datetime64) -> dict[str, np.ndarray]:
    """What is the same for all stores. [days] each"""
    dates = first + np.arange(days)
    d = take_apart(dates)
    year = 2 * np.pi * d.day_of_year / YEAR_DAYS
    age = _years(dates, origin)
    december = d.month == 11
    columns = {f"weekday {w}": d.weekday == w for w in range(7)}
    columns |= {
        f"day {a}-{b}": (d.day >= a) & (d.day <= b) for a, b in ((1, 2), (3, 5), (6, 9), (10, 14), (15, 18), (19, 22))
    }
    columns |= {"last day": d.days_left == 0, "days before last": (d.days_left == 1) | (d.days_left == 2)}
    columns |= {f"season sin {k}": np.sin(k * year) for k in range(1, 5)}
    columns |= {f"season cos {k}": np.cos(k * year) for k in range(1, 5)}
    columns |= {"advent": np.where(december & (d.day <= 24), d.day / 24, 0)}
    late = ((15, 24), (22, 23), (27, 30))
    columns |= {f"december {a}-{b}": december & (d.day >= a) & (d.day <= b) for a, b in late}
    columns |= {f"feast december {day}": december & (d.day == day) for day in (24, 31)}
    columns |= {f"feast easter {day:+d}": d.from_easter == day for day in FEASTS}
    columns |= {"before easter": np.clip(d.from_easter + 9, 0, 8) / 8 * (d.from_easter < 0)}
    columns |= {"monday turn of month": (d.weekday == 0) & ((d.day <= 3) | (d.days_left <= 1))}
    columns |= {
        "season saturday sin": (d.weekday == 5) * np.sin(year),
        "season saturday cos": (d.weekday == 5) * np.cos(year),
    }
    return columns | {"trend": np.clip(age, -2.5, 0), "trend lately": np.clip(age, -0.5, 0)}


def _store_columns(calendar: Calendar, stores: Stores, origin: np.datetime64) -> dict[str, np.ndarray]:
    """What differs between stores. [stores, days] each"""
    d = take_apart(calendar.dates)
    year = 2 * np.pi * d.day_of_year / YEAR_DAYS
    promo, school = calendar.promo == 1, calendar.school_holiday == 1
    closed, holiday = calendar.open == 0, calendar.state_holiday > 0
    monday, saturday = d.weekday == 0, d.weekday == 5
    phase = promo2_phase(calendar.dates, stores)
    rival_open = ~(calendar.dates < stores.competition_since[:, None])  # unknown since when: has always been there
    columns = {f"promo {w}": promo & (d.weekday == w) for w in range(5)}
    columns |= {
        "monday after promo": monday & shifted(promo, 3),
        "trend promo": promo * np.clip(_years(calendar.dates, origin), -1, 0),
        "promo again": promo & shifted(promo, 7),
        "season promo sin": promo * np.sin(year),
        "season promo cos": promo * np.cos(year),
        "promo early in month": promo & (d.day <= 5),
        "saturday after promo": saturday & shifted(promo, 1),
        "school": school,
        "school saturday": school & saturday,
        "school promo": school & promo,
        "holiday": holiday,
        "before holiday": shifted(holiday, -1) | (saturday & shifted(holiday, -2)),
        "two before holiday": shifted(holiday, -2) & ~saturday,
        "after holiday": shifted(holiday, 1),
        "closed yesterday": shifted(closed, 1) & ~monday,
        "closed tomorrow": shifted(closed, -1) & ~saturday,
        "promo2": phase < 3,
        "promo2 month 0": phase == 0,
        "promo2 month 1": phase == 1,
        "competitor": rival_open,
    }
    return columns | _closures(closed)


def _years(dates: np.ndarray, origin: np.datetime64) -> np.ndarray:
    """Years after the origin, before it negative. [days]"""
    return (dates - origin).astype(np.int64) / YEAR_DAYS


def _closures(closed: np.ndarray) -> dict[str, np.ndarray]:
    """The clearance before a refurbishment, and the rush after it. [stores, days] each"""
    to_come, over = closing_in(closed, 14), reopened_since(closed, 28)
    before, after = ((1, 1), (2, 3), (4, 7), (8, 12)), ((0, 0), (1, 2), (3, 6), (7, 20))
    columns = {f"closure in {a}-{b}": (to_come >= a) & (to_come <= b) for a, b in before}
    return columns | {f"closure over {a}-{b}": (over >= a) & (over <= b) for a, b in after}


def fit(calendar: Calendar, stores: Stores, log_sales: np.ndarray) -> Ridge:
    """The model of `log_sales` (NaN: not to be learnt from), of the first days of `calendar`. [stores, days]"""
    days = log_sales.shape[1]
    origin = calendar.dates[days - 1]
    valid = ~np.isnan(log_sales)
    age_weight = np.float32(0.5) ** (np.arange(days - 1, -1, -1, dtype=np.float32) / HALF_LIFE_DAYS)
    weight = valid * age_weight
    level = _store_level(log_sales, weight)
    target = np.where(valid, log_sales - level[:, None], 0).astype(np.float32)

    parts = [slice(i, i + STORES_AT_ONCE) for i in range(0, len(level), STORES_AT_ONCE)]
    names, designs = (), []
    for part in parts:
        names, values = design(_of(calendar, part), stores_at(stores, part), origin, slice(days))
        designs.append(values)
    grams = [_gram(A, weight[part], target[part]) for A, part in zip(designs, parts, strict=True)]
    penalty = np.array([PENALTY.get(name.split()[0], 1.0) for name in names])
    seasonal = np.array([name.startswith("season") for name in names])
    chain = _chain(grams, np.where(seasonal & (days < SHORT_HISTORY_DAYS), NEVER, penalty))
    rare = np.array([name.startswith(("feast", "holiday")) for name in names])
    fitted = [
        _reweighted(A, target[part], weight[part], gram, chain, penalty, rare)
        for A, part, gram in zip(designs, parts, grams, strict=True)
    ]
    residual = np.where(valid, np.concatenate([residual for _, residual in fitted]), np.nan)
    coefficients = np.concatenate([coefficients for coefficients, _ in fitted])
    wild = np.array([name.startswith(WILD) for name in names])
    excess = np.zeros(len(names))
    excess[wild] = _excess(residual, np.concatenate([A[:, :, wild] for A in designs]) != 0)
    weekday = take_apart(calendar.dates[:days]).weekday
    return Ridge(level, coefficients, _recent(residual), excess, _spread(residual, weekday))


def predict(ridge: Ridge, store: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Log sales of the stores at positions `store`, for their design. float64 [stores, days]"""
    terms = values * ridge.coefficients[store][:, None, :]  # summed row by row: a sum that no other row can change
    return ridge.level[store][:, None] + terms.sum(axis=2)


def stores_at(stores: Stores, which: np.ndarray | slice) -> Stores:
    """The attributes of the stores at these positions."""
    return Stores(**{name: values[which] for name, values in vars(stores).items()})


def variance(ridge: Ridge, store: np.ndarray, values: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Of the error of `predict`, by store, weekday and kind of day. float64 [stores, days]"""
    return np.square(ridge.spread[store])[:, weekday] + ((values != 0) * ridge.excess).sum(axis=2)


def _of(calendar: Calendar, part: slice) -> Calendar:
    c = calendar
    return Calendar(c.dates, c.open[part], c.promo[part], c.state_holiday[part], c.school_holiday[part])


def _store_level(log_sales: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean per store; a store that never sold has the chain's. [stores]"""
    sums, weights = np.nansum(log_sales * weight, axis=1), weight.sum(axis=1)
    chain = sums.sum() / max(weights.sum(), 1e-12)
    return np.where(weights > 0, sums / np.maximum(weights, 1e-12), chain)


def _gram(A: np.ndarray, weight: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AᵀWA and AᵀWy per store. float64 [stores, columns, columns], [stores, columns]"""
    weighted = A * weight[:, :, None]
    across = weighted.transpose(0, 2, 1)
    return (across @ A).astype(float), (across @ target[:, :, None])[:, :, 0].astype(float)


def _chain(grams: list[tuple[np.ndarray, np.ndarray]], penalty: np.ndarray) -> np.ndarray:
    """One ridge over all stores, which every store's is drawn to. [columns]"""
    quadratic = sum(quadratic.sum(axis=0) for quadratic, _ in grams)
    linear = sum(linear.sum(axis=0) for _, linear in grams)
    return np.linalg.solve(quadratic + np.diag(penalty), linear)


def _reweighted(
    A: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    gram: tuple[np.ndarray, np.ndarray],
    chain: np.ndarray,
    penalty: np.ndarray,
    rare: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [stores, columns] and residuals [stores, days] after down-weighting outliers."""
    coefficients = _towards(chain, gram, penalty)
    residual = _residual(A, target, coefficients)
    spared = (A[:, :, rare] != 0).any(axis=2)
    for _ in range(REWEIGHTINGS):
        gram = _gram(A, weight * np.where(spared, 1, _huber(residual, weight > 0)), target)
        coefficients = _towards(chain, gram, penalty)
        residual = _residual(A, target, coefficients)
    return coefficients, residual


def _towards(chain: np.ndarray, gram: tuple[np.ndarray, np.ndarray], penalty: np.ndarray) -> np.ndarray:
    """chain + (AᵀWA + diag(penalty))⁻¹ (AᵀWy − AᵀWA chain), per store."""
    quadratic, linear = gram
    step = np.linalg.solve(quadratic + np.diag(penalty), (linear - quadratic @ chain)[:, :, None])
    return chain + step[:, :, 0]


def _residual(A: np.ndarray, target: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return target - (A @ coefficients[:, :, None].astype(np.float32))[:, :, 0]


def _huber(residual: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Weights that bound a day's pull at HUBER_CLIP median absolute deviations of its store."""
    size = np.where(valid, np.abs(residual), np.nan)
    limit = HUBER_CLIP * np.maximum(_median(size), 1e-3)[:, None]
    return np.minimum(1, limit / np.maximum(np.abs(residual), 1e-6)).astype(np.float32)


def _median(values: np.ndarray) -> np.ndarray:
    """Median of each row without its NaN; 0 for a row of nothing else. [rows]"""
    count = (~np.isnan(values)).sum(axis=1)
    ordered = np.sort(values, axis=1)  # NaN last
    rows = np.arange(len(values))
    middle = (ordered[rows, np.maximum(count - 1, 0) // 2] + ordered[rows, count // 2]) / 2
    return np.where(count > 0, middle, 0)


def _excess(residual: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Mean squared residual on a column's days beyond that of all, as if it had twenty usual days more. [columns]"""
    square = np.nan_to_num(np.square(residual))
    known = ~np.isnan(residual)
    usual = square.sum() / max(known.sum(), 1)
    count = (active & known[:, :, None]).sum(axis=(0, 1))
    total = (active * square[:, :, None]).sum(axis=(0, 1))
    return np.maximum(total - count * usual, 0) / (count + 20)


def _recent(residual: np.ndarray) -> np.ndarray:
    means = [_mean(np.clip(residual[:, -days:], -OUTLIER, OUTLIER)) for days in RECENT_DAYS]
    return np.stack(means, axis=1).astype(np.float32)


def _mean(values: np.ndarray) -> np.ndarray:
    count = (~np.isnan(values)).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def _spread(residual: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """As if each store had twenty more days of the chain's variance, and each of its weekdays twenty of the store's."""
    square = np.square(np.clip(residual[:, -SPREAD_DAYS:], -0.5, 0.5))
    count = (~np.isnan(square)).sum(axis=1)
    total = np.nansum(square, axis=1)
    chain = total.sum() / max(count.sum(), 1)
    store = (total + 20 * chain) / (count + 20)
    on_weekday = [square[:, weekday[-SPREAD_DAYS:] == w] for w in range(7)]
    count = np.stack([(~np.isnan(own)).sum(axis=1) for own in on_weekday], axis=1)
    total = np.stack([np.nansum(own, axis=1) for own in on_weekday], axis=1)
    return np.sqrt((total + 20 * store[:, None]) / (count + 20))
