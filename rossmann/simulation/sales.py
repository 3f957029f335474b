"""Sales and customers of the sample: level + weekly and yearly pattern + neighbouring days + noise, in log sales.

Arrays are [days, stores]. Where both take part, a function draws by store from `draws.rng` and by day from `draws`.
"""

from functools import partial

import numpy as np

from rossmann.schema import MEAN_YEAR_DAYS, MONDAY, SATURDAY, WEEK_DAYS
from rossmann.simulation.calendar import SampleCalendar
from rossmann.simulation.chain import FEDERAL_STATES, Chain
from rossmann.simulation.draws import Draws

_TYPE_LEVEL = {"a": 0.0, "b": 0.36, "c": 0.02, "d": 0.02}
_TYPE_SALES_PER_CUSTOMER = {"a": 2.16, "b": 1.60, "c": 2.13, "d": 2.40}
_WEEKDAY = np.array([0.043, -0.031, -0.042, -0.019, 0.084, -0.034, 0.03])
_WEEKDAY_SPREAD = np.array([0.05, 0.06, 0.045, 0.055, 0.045, 0.26, 0.55])
_WEEKDAY_SALES_PER_CUSTOMER = np.array([0.0, 0.0, 0.005, 0.005, 0.03, 0.055, -0.1])
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
SALES_LOOKAHEAD_DAYS = 3  # of the calendar after the last day, which its sales depend on
_ZERO_SALES_PROBABILITY = 7e-5  # of an open day without sales
_UNUSUAL_DAY_PROBABILITY = 0.004  # of a day with an unusual event in one store, for example a fair or a road closure


def simulate_sales(chain: Chain, calendar: SampleCalendar, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Sales and customers of `draws.days + draws.extra_days` days, 0 on closed days. int32 [days, stores]

    The calendar may be longer; the last extra days need SALES_LOOKAHEAD_DAYS more days of it. Rounding to whole
    euros removes the last bits, in which the exp of one machine differs from another's.
    """
    days = calendar.until(draws.days + draws.extra_days)
    log_sales = _level(chain, days, draws)
    log_sales += _patterns(days, len(chain.federal_state), draws.rng)
    log_sales += _neighbouring_days(chain, calendar, draws)
    log_sales += _noise(chain, draws)
    log_customers = log_sales - _log_sales_per_customer(chain, days, draws)
    selling = days.open & (draws.daily_uniform(len(chain.federal_state)) > _ZERO_SALES_PROBABILITY)
    sales, customers = (np.rint(np.exp(logs)).clip(1).astype(np.int32) for logs in (log_sales, log_customers))
    return sales * selling, customers * selling


def _by_store(mean: float, spread: float, stores: int, rng: np.random.Generator) -> np.ndarray:
    """A normal number for every store. [stores]"""
    return mean + spread * rng.standard_normal(stores)


def _by_type(table: dict[str, float], store_type: np.ndarray) -> np.ndarray:
    return np.array([table[letter] for letter in store_type])


def _level(chain: Chain, calendar: SampleCalendar, draws: Draws) -> np.ndarray:
    """A store's level: size, trend, slow random walk, competitor, promo2, refurbishment. [days, stores]"""
    rng, stores, day = draws.rng, len(chain.federal_state), np.arange(len(calendar.dates))[:, None]
    size = 8.555 + _by_type(_TYPE_LEVEL, chain.store_type)
    size = size + 0.1 * ((chain.assortment == "c") | chain.opens_on_sundays)
    size = size + _by_store(-0.16, 0.26, stores, rng) + 0.16 * rng.exponential(1, stores)
    trend = _by_store(0.04, 0.025, stores, rng)
    nearness = np.exp(-np.nan_to_num(chain.competition_distance_m, nan=5000) / 3500)
    competition_loss = (0.07 + 0.18 * rng.random(stores)) * nearness
    refurbishment_gain = _by_store(0.04, 0.06, stores, rng)
    level = size + trend * day / 365
    level -= competition_loss * ((day - chain.competition_opening_day) / 40).clip(0, 1)
    level += refurbishment_gain * ((chain.refurbishment_last_day >= 0) & (day > chain.refurbishment_last_day))
    level += refurbishment_gain * (chain.has_gap & (day > chain.gap_last_day))
    return level + _promo2(chain, calendar, rng) + _random_walk(0.05, 110, stores, draws)


def _random_walk(spread: float, memory_days: float, stores: int, draws: Draws) -> np.ndarray:
    """A stationary first-order autoregression for every store. [days, stores]"""
    weight = 1 - 1 / memory_days
    walk = spread * draws.daily_normal(stores)
    for day in range(1, len(walk)):
        walk[day] = weight * walk[day - 1] + (1 - weight**2) ** 0.5 * walk[day]
    return walk


def _promo2(chain: Chain, calendar: SampleCalendar, rng: np.random.Generator) -> np.ndarray:
    """A little less in general, a little more in the months in which a round starts. [days, stores]"""
    month = calendar.dates.astype("datetime64[M]").astype(int)[:, None] % 12
    active = chain.promo2 & (np.arange(len(month))[:, None] >= chain.promo2_day)
    uplift = _by_store(0.03, 0.02, len(chain.federal_state), rng)
    return active * (uplift * (month % 3 == chain.promo2_interval) - 0.015)


def _patterns(calendar: SampleCalendar, stores: int, rng: np.random.Generator) -> np.ndarray:
    """Weekday, promo, day of month, season and Christmas, of different strength by store. [days, stores]"""
    strength = partial(_by_store, 1.0, stores=stores, rng=rng)
    dates, weekday, promo = calendar.dates, calendar.weekday, calendar.promo
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months).astype(int) + 1
    phase = 2 * np.pi * (dates - dates.astype("datetime64[Y]")).astype(int)[:, None] / MEAN_YEAR_DAYS
    weekday_effects = _WEEKDAY + _WEEKDAY_SPREAD * rng.standard_normal((stores, WEEK_DAYS))
    patterns = np.ascontiguousarray(weekday_effects.T)[weekday]
    patterns += np.outer(promo * _PROMO[weekday], strength(0.25))
    start_of_month = promo * (day_of_month <= 3) * 0.03
    patterns += np.outer(start_of_month - 0.03 * _is_monday_after_promo(calendar), strength(0.5))
    patterns += np.outer(np.interp(day_of_month, *_DAY_OF_MONTH), strength(0.35))
    middles = np.arange(-1, 13) * 30.44 + 15  # of the months, from the December before
    patterns += np.interp(phase / (2 * np.pi) * MEAN_YEAR_DAYS, middles, _MONTH[np.arange(-1, 13) % 12])
    for harmonic in (1, 2):
        patterns += np.sin(harmonic * phase) * _by_store(0, 0.02, stores, rng)
        patterns += np.cos(harmonic * phase) * _by_store(0, 0.02, stores, rng)
    december = months.astype(int) % 12 == 11
    return patterns + np.outer(december * np.interp(day_of_month, *_DECEMBER), strength(0.25))


def _is_monday_after_promo(calendar: SampleCalendar) -> np.ndarray:
    """Mondays after a Friday with promotion, on which customers need less. bool [days]"""
    return (calendar.weekday == MONDAY) & (np.r_[0, 0, 0, calendar.promo[:-3]] == 1)


def _neighbouring_days(chain: Chain, calendar: SampleCalendar, draws: Draws) -> np.ndarray:
    """Effects of holidays, closures and school holidays on the days around them. [days, stores]"""
    stores = len(chain.federal_state)
    effect = partial(_by_store, stores=stores, rng=draws.rng)
    holiday_closure = (calendar.holiday > 0) & (calendar.open == 0)
    tomorrow, yesterday = _count_around(holiday_closure, 1, 1, draws), _count_around(holiday_closure, -1, -1, draws)
    closures_around = _count_around(
        holiday_closure, -3, SALES_LOOKAHEAD_DAYS, draws
    )  # their customers come on the other days
    long_holidays = _count_around(calendar.school, -21, -1, draws) >= 12  # many customers travel
    calendar = calendar.until(len(tomorrow))
    holiday, day = calendar.holiday > 0, np.arange(len(tomorrow))[:, None]
    days_since = day - chain.refurbishment_last_day
    reopening = np.exp(-days_since.clip(0) / 6) * ((chain.refurbishment_last_day >= 0) & (days_since > 0))
    sell_off = (day >= chain.refurbishment_first_day - 4) & (day < chain.refurbishment_first_day)
    return (
        effect(1, 0.3) * tomorrow * _BEFORE_HOLIDAY[calendar.weekday][:, None]
        + effect(1, 0.3) * yesterday * _AFTER_HOLIDAY[calendar.weekday][:, None]
        + effect(0.3, 0.15) * reopening
        - effect(0.25, 0.15) * sell_off
        + effect(0.05, 0.02) * closures_around
        + effect(0.01, 0.04) * calendar.school
        - effect(0.07, 0.04) * (long_holidays & (calendar.school > 0))
        + effect(-0.02, 0.03) * (calendar.school * (calendar.weekday == SATURDAY)[:, None])
        + holiday * (-0.1 + 0.45 * draws.daily_normal(stores))
    )


def _count_around(flags: np.ndarray, first: int, last: int, draws: Draws) -> np.ndarray:
    """Number of days with the flag from `first` to `last` days after each day. [days + extra days, stores]

    The first `draws.days` days see the flags of these days only, so that extra days leave them as they are.
    """
    counts = _window_sum(flags[: draws.days], first, last)
    extra_counts = _window_sum(flags, first, last)[draws.days : draws.days + draws.extra_days]
    return np.concatenate([counts, extra_counts])


def _window_sum(flags: np.ndarray, first: int, last: int) -> np.ndarray:
    """Sum of the rows from `first` to `last` after each row, of those that exist. [days, stores]"""
    days, stores = flags.shape
    sums = np.zeros((days + 1, stores), np.int16)
    np.cumsum(flags, axis=0, out=sums[1:])
    day = np.arange(days)
    return sums[(day + last + 1).clip(0, days)] - sums[(day + first).clip(0, days)]


def _noise(chain: Chain, draws: Draws) -> np.ndarray:
    """Noise of all stores, of each state (weather), and of the store itself, heavy-tailed. [days, stores]"""
    stores = len(chain.federal_state)
    of_all = 0.043 * draws.daily_normal(1)
    of_state = 0.02 * draws.daily_normal(len(FEDERAL_STATES))[:, chain.federal_state]
    scale = 0.039 * np.exp(0.25 * draws.rng.standard_normal(stores))
    unusual = 0.45 * draws.daily_normal(stores) * (draws.daily_uniform(stores) < _UNUSUAL_DAY_PROBABILITY)
    return of_all + of_state + scale * draws.daily_student_t(4, stores).clip(-9, 9) + unusual


def _log_sales_per_customer(chain: Chain, calendar: SampleCalendar, draws: Draws) -> np.ndarray:
    """Log of the sales per customer: more on promo days, and more every year. [days, stores]"""
    stores, day = len(chain.federal_state), np.arange(len(calendar.dates))[:, None]
    of_store = _by_type(_TYPE_SALES_PER_CUSTOMER, chain.store_type) + 0.15 * draws.rng.standard_normal(stores)
    growth = _by_store(0.025, 0.02, stores, draws.rng) * day / 365
    of_day = _WEEKDAY_SALES_PER_CUSTOMER[calendar.weekday] + 0.14 * calendar.promo - 0.085
    return of_store + of_day[:, None] + growth + 0.055 * draws.daily_normal(stores)
