"""What the stores sell, and to how many: level + rhythm + neighbouring days + noise, in log sales."""

from functools import partial

import numpy as np

from rossmann.sample.calendar import DayPlan
from rossmann.sample.chain import STATES, Chain

_TYPE_LEVEL = {"a": 0.0, "b": 0.36, "c": 0.02, "d": 0.02}
_TYPE_SPEND = {"a": 2.16, "b": 1.60, "c": 2.13, "d": 2.40}
_WEEKDAY = np.array([0.043, -0.031, -0.042, -0.019, 0.084, -0.034, 0.03])
_WEEKDAY_SPREAD = np.array([0.05, 0.06, 0.045, 0.055, 0.045, 0.26, 0.55])
_WEEKDAY_SPEND = np.array([0.0, 0.0, 0.005, 0.005, 0.03, 0.055, -0.1])
_PROMO = np.array([0.45, 0.37, 0.31, 0.27, 0.18, 0.0, 0.0])
_MONTH = np.array([-0.035, 0.01, 0.03, -0.02, 0.005, 0.03, 0.03, 0.01, -0.06, -0.045, 0.11, 0.01])
_DAY_OF_MONTH = (
    (1, 2, 5, 10, 18, 26, 27, 29, 30, 31),
    (0.1, 0.05, 0.01, 0, -0.04, -0.045, 0, 0.06, 0.13, 0.16),
)
_BEFORE_HOLIDAY = np.array([0.12, 0.12, 0.11, 0.21, 0.24, -0.08, 0.0])
_AFTER_HOLIDAY = np.array([-0.06, 0.16, 0.1, 0.11, 0.17, 0.2, 0.1])
_DECEMBER = (
    (1, 5, 14, 16, 20, 21, 22, 23, 24, 25, 27, 30, 31),
    (0.02, 0.14, 0.14, 0.26, 0.36, 0.45, 0.68, 0.76, -0.38, 0.0, 0.05, 0.25, -0.6),
)


def sell(chain: Chain, calendar: DayPlan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sales and customers, 0 on closed days. int32 [days, stores]

    Rounding to whole euros swallows the last bits, in which one machine's exp differs from another's.
    """
    log_sales = _level(chain, calendar, rng)
    log_sales += _rhythm(calendar, len(chain.state), rng)
    log_sales += _neighbours(chain, calendar, rng)
    log_sales += _noise(chain, calendar, rng)
    log_customers = log_sales - _log_spend(chain, calendar, rng)
    selling = calendar.open & (rng.random(log_sales.shape) > 7e-5)  # a few rows are open and sell nothing
    sales, customers = (np.rint(np.exp(logs)).clip(1).astype(np.int32) for logs in (log_sales, log_customers))
    return sales * selling, customers * selling


def _own(mean: float, spread: float, stores: int, rng: np.random.Generator) -> np.ndarray:
    """What differs from store to store. [stores]"""
    return mean + spread * rng.standard_normal(stores)


def _of(table: dict[str, float], letters: np.ndarray) -> np.ndarray:
    return np.array([table[letter] for letter in letters])


def _level(chain: Chain, calendar: DayPlan, rng: np.random.Generator) -> np.ndarray:
    """Where a store stands: size, trend, slow wandering, competitor, promo2, rebuilding. [days, stores]"""
    stores, day = len(chain.state), np.arange(len(calendar.dates))[:, None]
    size = 8.555 + _of(_TYPE_LEVEL, chain.store_type) + 0.1 * ((chain.assortment == "c") | chain.on_sundays)
    size = size + _own(-0.16, 0.26, stores, rng) + 0.16 * rng.exponential(1, stores)
    trend = _own(0.04, 0.025, stores, rng)
    near = np.exp(-np.nan_to_num(chain.competition_distance_m, nan=5000) / 3500)
    lost = (0.07 + 0.18 * rng.random(stores)) * near
    gained = _own(0.04, 0.06, stores, rng)  # by rebuilding
    level = size + trend * day / 365
    level -= lost * ((day - chain.competition_day) / 40).clip(0, 1)
    level += gained * ((chain.rebuilt_to >= 0) & (day > chain.rebuilt_to))
    level += gained * (chain.gap & (day > chain.gap_to))
    return level + _promo2(chain, calendar, rng) + _wander(len(day), stores, 0.05, 110, rng)


def _wander(days: int, stores: int, spread: float, memory_days: float, rng: np.random.Generator) -> np.ndarray:
    """A stationary first-order autoregression for every store. [days, stores]"""
    keep = 1 - 1 / memory_days
    walk = spread * rng.standard_normal((days, stores))
    for day in range(1, days):
        walk[day] = keep * walk[day - 1] + (1 - keep**2) ** 0.5 * walk[day]
    return walk


def _promo2(chain: Chain, calendar: DayPlan, rng: np.random.Generator) -> np.ndarray:
    """A little less in general, a little more in the months in which a round starts. [days, stores]"""
    month = calendar.dates.astype("datetime64[M]").astype(int)[:, None] % 12
    active = chain.promo2 & (np.arange(len(month))[:, None] >= chain.promo2_day)
    lift = _own(0.03, 0.02, len(chain.state), rng)
    return active * (lift * (month % 3 == chain.interval) - 0.015)


def _rhythm(calendar: DayPlan, stores: int, rng: np.random.Generator) -> np.ndarray:
    """Weekday, promo, day of month, season and Christmas, stronger in some stores. [days, stores]"""
    own = partial(_own, 1.0, stores=stores, rng=rng)
    dates, weekday, promo = calendar.dates, calendar.weekday, calendar.promo
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months).astype(int) + 1
    phase = 2 * np.pi * (dates - dates.astype("datetime64[Y]")).astype(int)[:, None] / 365.25
    weekdays = _WEEKDAY + _WEEKDAY_SPREAD * rng.standard_normal((stores, 7))
    rhythm = np.ascontiguousarray(weekdays.T)[weekday]
    rhythm += np.outer(promo * _PROMO[weekday], own(0.25))
    rhythm += np.outer(promo * (day_of_month <= 3) * 0.03 - 0.03 * _just_after_promo(calendar), own(0.5))
    rhythm += np.outer(np.interp(day_of_month, *_DAY_OF_MONTH), own(0.35))
    middles = np.arange(-1, 13) * 30.44 + 15
    rhythm += np.interp(phase / (2 * np.pi) * 365.25, middles, _MONTH[np.arange(-1, 13) % 12])
    for harmonic in (1, 2):
        rhythm += np.sin(harmonic * phase) * _own(0, 0.02, stores, rng)
        rhythm += np.cos(harmonic * phase) * _own(0, 0.02, stores, rng)
    december = months.astype(int) % 12 == 11
    return rhythm + np.outer(december * np.interp(day_of_month, *_DECEMBER), own(0.25))


def _just_after_promo(calendar: DayPlan) -> np.ndarray:
    """Mondays whose last Friday was on promo: the cupboards are full. bool [days]"""
    return (calendar.weekday == 0) & (np.r_[0, 0, 0, calendar.promo[:-3]] == 1)


def _neighbours(chain: Chain, calendar: DayPlan, rng: np.random.Generator) -> np.ndarray:
    """What a day owes to the days beside it (holidays, closures) and to school holidays. [days, stores]"""
    stores = len(chain.state)
    own = partial(_own, stores=stores, rng=rng)
    holiday, day = calendar.holiday > 0, np.arange(len(calendar.dates))[:, None]
    shut = holiday & (calendar.open == 0)
    tomorrow, yesterday = _sum_of(shut, 1, 1), _sum_of(shut, -1, -1)
    shopped_elsewhen = _sum_of(shut, -3, 3)  # what a week lacks in days its other days get
    away = _sum_of(calendar.school, -21, -1) >= 12  # the long holidays empty the town
    since = day - chain.rebuilt_to
    reopened = np.exp(-since.clip(0) / 6) * ((chain.rebuilt_to >= 0) & (since > 0))
    selling_out = (day >= chain.rebuilt_from - 4) & (day < chain.rebuilt_from)
    return (
        own(1, 0.3) * tomorrow * _BEFORE_HOLIDAY[calendar.weekday][:, None]
        + own(1, 0.3) * yesterday * _AFTER_HOLIDAY[calendar.weekday][:, None]
        + own(0.3, 0.15) * reopened
        - own(0.25, 0.15) * selling_out
        + own(0.05, 0.02) * shopped_elsewhen
        + own(0.01, 0.04) * calendar.school
        - own(0.07, 0.04) * (away & (calendar.school > 0))
        + own(-0.02, 0.03) * (calendar.school * (calendar.weekday == 5)[:, None])
        + holiday * (-0.1 + 0.45 * rng.standard_normal(holiday.shape))
    )


def _sum_of(flag: np.ndarray, first: int, last: int) -> np.ndarray:
    """How often `flag` holds from `first` to `last` days from each day, as far as is known. [days, stores]"""
    days, stores = flag.shape
    sums = np.zeros((days + 1, stores), np.int16)
    np.cumsum(flag, axis=0, out=sums[1:])
    day = np.arange(days)
    return sums[(day + last + 1).clip(0, days)] - sums[(day + first).clip(0, days)]


def _noise(chain: Chain, calendar: DayPlan, rng: np.random.Generator) -> np.ndarray:
    """A shock for all, one for each state (weather), and the store's own, heavy-tailed. [days, stores]"""
    days, stores = calendar.open.shape
    shock = 0.043 * rng.standard_normal((days, 1))
    weather = 0.02 * rng.standard_normal((days, len(STATES)))[:, chain.state]
    restless = 0.039 * np.exp(0.25 * rng.standard_normal(stores))
    upset = 0.45 * rng.standard_normal((days, stores)) * (rng.random((days, stores)) < 0.004)  # a fair, a broken road
    return shock + weather + restless * rng.standard_t(4, (days, stores)).clip(-9, 9) + upset


def _log_spend(chain: Chain, calendar: DayPlan, rng: np.random.Generator) -> np.ndarray:
    """Log of what a customer spends: more on promo days, and more every year. [days, stores]"""
    days, stores = calendar.open.shape
    of_store = _of(_TYPE_SPEND, chain.store_type) + 0.15 * rng.standard_normal(stores)
    growth = _own(0.025, 0.02, stores, rng) * np.arange(days)[:, None] / 365
    of_day = _WEEKDAY_SPEND[calendar.weekday] + 0.14 * calendar.promo - 0.085
    return of_store + of_day[:, None] + growth + 0.055 * rng.standard_normal((days, stores))
