"""A Rossmann-shaped world, seeded, in Kaggle's files: what the project runs on until the real data are there.

Arrays are [days, stores], the order in which Kaggle writes; effects are in log sales. The tables hold rounded
means of the real chain; `statistics` shows how near the world comes (data/README.md).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

FIRST_DAY = np.datetime64("2013-01-01", "D")
SHORTEST_DAYS = 28
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

TRAIN_HEADER = (
    "Store", "DayOfWeek", "Date", "Sales", "Customers", "Open", "Promo", "StateHoliday", "SchoolHoliday",
)  # fmt: skip
PLAN_HEADER = ("Id", "Store", "DayOfWeek", "Date", "Open", "Promo", "StateHoliday", "SchoolHoliday")
STORE_HEADER = (
    "Store", "StoreType", "Assortment", "CompetitionDistance", "CompetitionOpenSinceMonth",
    "CompetitionOpenSinceYear", "Promo2", "Promo2SinceWeek", "Promo2SinceYear", "PromoInterval",
)  # fmt: skip


def write_world(out: str | Path, stores: int = 60, days: int = 942, seed: int = 7, horizon_days: int = 48) -> Path:
    """Write train.csv, store.csv and test.csv into the folder `out` and return it.

    The same arguments give the same bytes; a longer horizon leaves train.csv as it is. Each file appears
    whole or not at all. ValueError for a world that cannot be.
    """
    _check(stores, days, horizon_days)
    of_calendar, of_stores, of_sales = np.random.default_rng(seed).spawn(3)
    chain = _chain(stores, days, of_stores)
    calendar = _calendar(chain, days + horizon_days, of_calendar)
    sales, customers = _sales(chain, calendar.until(days), of_sales)

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "store.csv", lambda sink: sink.write(_store_rows(chain)))
    _write(out / "test.csv", lambda sink: _write_rows(sink, _plan_rows(calendar, days)))
    _write(out / "train.csv", lambda sink: _write_rows(sink, _train_rows(chain, calendar, sales, customers)))
    return out


def _check(stores: int, days: int, horizon_days: int) -> None:
    if stores < 1:
        raise ValueError(f"a world of {stores} stores has nothing to sell; ask for 1 or more")
    if days < SHORTEST_DAYS:
        raise ValueError(f"{days} days are too short for a rhythm to show; ask for {SHORTEST_DAYS} or more")
    if horizon_days < 1:
        raise ValueError(f"a plan of {horizon_days} days is empty; ask for 1 or more")


# stores ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """A federal state. Its stores share holidays, never named in the files."""

    share: float  # of the chain's stores
    holidays: str  # the regional ones, by the letters of _REGIONAL
    summer: int  # slot of the summer holidays; 0 to 5 move from year to year, 6 stays late
    winter: int  # days of school holidays in February
    whitsun: int  # days after Whit Monday
    weekends: bool = False  # are Saturdays and Sundays marked as school holidays?


_STATES = (
    _State(0.162, "ecms", 6, 5, 11),  # the state whose stores are gone for half a year
    _State(0.066, "ecs", 6, 0, 11),
    _State(0.168, "c", 1, 0, 0, weekends=True),
    _State(0.256, "cs", 3, 0, 1),
    _State(0.036, "cs", 1, 0, 1),
    _State(0.083, "", 0, 6, 1),
    _State(0.066, "", 0, 2, 1),
    _State(0.014, "", 5, 0, 1),
    _State(0.050, "er", 2, 12, 6),
    _State(0.067, "rb", 2, 12, 1),
    _State(0.032, "r", 2, 6, 0),
)
_GAP_STATE = 0
_TYPES = np.array(list("abcd"))
_TYPE_ASSORTMENT_SHARE = {
    "aa": 0.342, "ac": 0.198, "ba": 0.006, "bb": 0.008, "bc": 0.001,
    "ca": 0.069, "cc": 0.064, "da": 0.115, "dc": 0.197,
}  # fmt: skip
_INTERVALS = ("Jan,Apr,Jul,Oct", "Feb,May,Aug,Nov", "Mar,Jun,Sept,Dec")


@dataclass(frozen=True)
class _Chain:
    """The stores: what store.csv says of them, and how they live. Arrays [stores]."""

    state: np.ndarray  # index into _STATES
    store_type: np.ndarray  # "a" … "d"
    assortment: np.ndarray  # "a" … "c"
    on_sundays: np.ndarray  # bool, open on Sundays and most holidays; type b (railway stations) on every day
    on_regional: np.ndarray  # bool, lies where the regional holidays are not kept
    competition_distance_m: np.ndarray  # multiple of 10, NaN unknown
    competition_day: np.ndarray  # day of the world on which the competitor opened
    competition_known: np.ndarray  # bool, store.csv tells when that was
    promo2: np.ndarray  # bool
    promo2_day: np.ndarray  # day of the world on which it joined
    interval: np.ndarray  # index into _INTERVALS
    rebuilt_from: np.ndarray  # first and last day of a long closure, -1 for none
    rebuilt_to: np.ndarray
    gap: np.ndarray  # bool, the store has no rows between gap_from and gap_to
    gap_from: int
    gap_to: int


def _chain(stores: int, days: int, rng: np.random.Generator) -> _Chain:
    state = _by_share([s.share for s in _STATES], stores, rng)
    kind = _by_share(list(_TYPE_ASSORTMENT_SHARE.values()), stores, rng)
    kinds = np.array(list(_TYPE_ASSORTMENT_SHARE))[kind]
    store_type, assortment = kinds.astype("U1"), np.array([k[1] for k in kinds])
    sunday = (store_type == "b") | _some(0.0145, stores, rng)
    distance = np.rint(np.exp(7.7 + 1.45 * rng.standard_normal(stores)).clip(20, 75_000) / 10) * 10
    distance[rng.random(stores) < 0.003] = np.nan
    opened_now = rng.random(stores) < 0.25
    opened_before = -1 - np.rint(365 * rng.exponential(6, stores)).astype(int)
    rebuilt = _some(0.06, stores, rng)
    rebuilt_from = rng.integers(days // 20, days - days // 10, stores)
    rebuilt_days = rng.integers(14, 45, stores).clip(max=max(14, days // 10))
    return _Chain(
        state=state,
        store_type=store_type,
        assortment=assortment,
        on_sundays=sunday,
        on_regional=rng.random(stores) < 0.07,
        competition_distance_m=distance,
        competition_day=np.where(opened_now, rng.integers(0, days, stores), opened_before),
        competition_known=rng.random(stores) < 0.68,
        promo2=rng.random(stores) < 0.512,
        promo2_day=rng.integers(-1400, days * 4 // 5, stores),
        interval=rng.choice(3, size=stores, p=[0.586, 0.228, 0.186]),
        rebuilt_from=np.where(rebuilt, rebuilt_from, -1),
        rebuilt_to=np.where(rebuilt, rebuilt_from + rebuilt_days - 1, -1),
        gap=state == _GAP_STATE,
        gap_from=days * 546 // 942,  # 2014-07-01 … 2014-12-31 in a world of 942 days
        gap_to=days * 729 // 942,
    )


def _by_share(shares: list[float], stores: int, rng: np.random.Generator) -> np.ndarray:
    """A class for every store; each class gets its share of them, in small worlds too. [stores]"""
    bounds = np.cumsum(shares)
    return rng.permutation(np.searchsorted(bounds[:-1], (np.arange(stores) + 0.5) / stores))


def _some(share: float, stores: int, rng: np.random.Generator) -> np.ndarray:
    """A `share` of the stores, one at least. bool [stores]"""
    return rng.permutation(stores) < max(1, round(share * stores))


# calendar -------------------------------------------------------------------------------------------

_CODES = np.array(["0", "a", "b", "c"])
_REGIONAL, _NATIONAL, _QUIET = 1, 2, 3  # how widely a holiday is kept: on quiet ones even Sunday stores close


@dataclass(frozen=True)
class _Calendar:
    """What is known of the days beforehand."""

    dates: np.ndarray  # datetime64[D] [days]
    weekday: np.ndarray  # 0 Monday … 6 [days]
    promo: np.ndarray  # int8 [days], chain-wide
    holiday: np.ndarray  # int8 index into _CODES [days, stores]
    school: np.ndarray  # int8 [days, stores]
    open: np.ndarray  # int8 [days, stores]

    def until(self, days: int) -> "_Calendar":
        return _Calendar(*(getattr(self, name)[:days] for name in self.__dataclass_fields__))


def _calendar(chain: _Chain, all_days: int, rng: np.random.Generator) -> _Calendar:
    dates = FIRST_DAY + np.arange(all_days)
    weekday = (dates.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    code, kept = (of_states[:, chain.state] for of_states in _holidays(dates))
    of_towns = (rng.random(code.shape) < 0.005) & (weekday < 5)[:, None]
    by_rule = np.where(weekday[:, None] == 6, chain.on_sundays, True)
    by_rule = np.where(kept == _REGIONAL, by_rule & (chain.on_regional | chain.on_sundays), by_rule)
    by_rule = np.where(kept == _NATIONAL, chain.on_sundays, by_rule)
    by_rule = np.where(kept == _QUIET, chain.store_type == "b", by_rule)
    day = np.arange(all_days)[:, None]
    rebuilt = (day >= chain.rebuilt_from) & (day <= chain.rebuilt_to)
    return _Calendar(
        dates=dates,
        weekday=weekday,
        promo=_promo(weekday, rng),
        holiday=code,
        school=(_school(dates, weekday)[:, chain.state] | of_towns).astype(np.int8),
        open=(by_rule & ~rebuilt).astype(np.int8),
    )


def _promo(weekday: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Monday to Friday of about every other week; now and then two weeks in a row. int8 [days]"""
    week = np.cumsum(weekday == 0)
    again = rng.random(week[-1] + 1)
    on = [False]
    for chance in again[1:]:
        on.append(bool(chance < (0.16 if on[-1] else 0.96)))
    return (np.array(on)[week] & (weekday < 5)).astype(np.int8)


def _years(dates: np.ndarray) -> range:
    return range(dates[0].item().year, dates[-1].item().year + 1)


def _easter(year: int) -> np.datetime64:
    """Easter Sunday (Gauss, for 1900 to 2099)."""
    d = (19 * (year % 19) + 24) % 30
    e = (2 * (year % 4) + 4 * (year % 7) + 6 * d + 5) % 7
    days = d + e - 7 * (d + e == 35 or (d == 28 and e == 6 and year % 19 > 10))
    return np.datetime64(f"{year}-03-22") + days


def _holidays(dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The code of the state holiday, and how widely it is kept. Both int8 [days, states]"""
    code = np.zeros((len(dates), len(_STATES)), np.int8)
    kept = np.zeros_like(code)
    for year in _years(dates):
        easter, on = _easter(year), lambda day, year=year: np.datetime64(f"{year}-{day}")
        repentance = on("11-22") - int(on("11-22").astype(int) + 1) % 7  # the Wednesday before November 23
        for day, letter, how in (
            (on("01-01"), "a", _QUIET), (easter - 2, "b", _QUIET), (easter + 1, "b", _NATIONAL),
            (on("05-01"), "a", _QUIET), (easter + 39, "a", _NATIONAL), (easter + 50, "a", _NATIONAL),
            (on("10-03"), "a", _NATIONAL), (on("12-25"), "c", _QUIET), (on("12-26"), "c", _QUIET),
        ):  # fmt: skip
            code[dates == day] = list(_CODES).index(letter)
            kept[dates == day] = how
        for day, letter in (
            (on("01-06"), "e"), (easter + 60, "c"), (on("08-15"), "m"), (on("10-31"), "r"),
            (on("11-01"), "s"), (repentance, "b"),
        ):  # fmt: skip
            keeping = np.array([letter in state.holidays for state in _STATES])
            code[np.ix_(dates == day, keeping)] = 1
            kept[np.ix_(dates == day, keeping)] = _REGIONAL
    return code, kept


def _school(dates: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """School holidays, marked on school days only except in states that mark weekends. bool [days, states]"""
    off = np.zeros((len(dates), len(_STATES)), bool)
    for column, state in enumerate(_STATES):
        for year in _years(dates):
            easter, new_year = _easter(year), np.datetime64(f"{year}-01-01")
            summer = 207 if state.summer == 6 else 174 + (state.summer + 2 * (year - 2013)) % 6 * 7
            for first, length in (
                (new_year, 4 + state.summer % 3),
                (easter - 48, state.winter),
                (easter - 13 + state.summer % 3, 16 - state.summer % 3),
                (easter + 40, 1),
                (easter + 51, state.whitsun),
                (new_year + summer, 42),
                (
                    new_year + (299 if state.summer == 6 else 276 + 3 * state.summer),
                    5 if state.summer == 6 else 12,
                ),
                (new_year + 355 + state.summer % 3, 12),
            ):
                off[(dates >= first) & (dates < first + length), column] = True
    marked = (weekday < 5)[:, None] | np.array([state.weekends for state in _STATES])
    return off & marked


# levels and effects ---------------------------------------------------------------------------------

_TYPE_LEVEL = {"a": 0.0, "b": 0.36, "c": 0.02, "d": 0.02}
_TYPE_SPEND = {"a": 2.16, "b": 1.60, "c": 2.13, "d": 2.40}
_WEEKDAY = np.array([0.043, -0.031, -0.042, -0.019, 0.084, -0.034, -0.05])
_WEEKDAY_SPREAD = np.array([0.05, 0.06, 0.045, 0.055, 0.045, 0.26, 0.55])
_WEEKDAY_SPEND = np.array([0.0, 0.0, 0.005, 0.005, 0.03, 0.055, -0.1])
_PROMO = np.array([0.45, 0.37, 0.31, 0.27, 0.18, 0.0, 0.0])
_MONTH = np.array([-0.035, 0.007, 0.05, -0.03, 0.01, 0.04, 0.045, -0.03, -0.07, -0.035, 0.075, 0.02])
_DAY_OF_MONTH = (
    (1, 2, 5, 10, 18, 26, 27, 29, 30, 31),
    (0.08, 0.04, 0.01, 0, -0.035, -0.04, 0, 0.05, 0.11, 0.13),
)
_DECEMBER = (
    (1, 5, 14, 16, 20, 21, 22, 23, 24, 25, 27, 30, 31),
    (0.02, 0.14, 0.14, 0.26, 0.34, 0.42, 0.64, 0.72, -0.35, 0.0, 0.05, 0.22, -0.6),
)


def _sales(chain: _Chain, calendar: _Calendar, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sales and customers, 0 on closed days. int32 [days, stores]

    Rounding to whole euros swallows the last bits, in which one machine's exp differs from another's.
    """
    log_sales = _level(chain, calendar, rng)
    log_sales += _rhythm(calendar, len(chain.state), rng)
    log_sales += _neighbours(chain, calendar, rng)
    log_sales += _noise(chain, calendar, rng)
    log_customers = log_sales - _log_spend(chain, calendar, rng)
    selling = calendar.open & (rng.random(log_sales.shape) > 7e-5)  # a few rows are open and sell nothing
    whole = lambda logs: np.rint(np.exp(logs)).clip(1).astype(np.int32) * selling  # noqa: E731
    return whole(log_sales), whole(log_customers)


def _of(table: dict[str, float], letters: np.ndarray) -> np.ndarray:
    return np.array([table[letter] for letter in letters])


def _level(chain: _Chain, calendar: _Calendar, rng: np.random.Generator) -> np.ndarray:
    """Where a store stands: size, trend, slow wandering, competitor, promo2, rebuilding. [days, stores]"""
    stores, day = len(chain.state), np.arange(len(calendar.dates))[:, None]
    size = 8.555 + _of(_TYPE_LEVEL, chain.store_type) + 0.1 * ((chain.assortment == "c") | chain.on_sundays)
    size = size + 0.25 * rng.standard_normal(stores) + 0.15 * rng.exponential(1, stores) - 0.15
    trend = 0.04 + 0.025 * rng.standard_normal(stores)
    near = np.exp(-np.nan_to_num(chain.competition_distance_m, nan=5000) / 6000)
    lost = (0.04 + 0.16 * rng.random(stores)) * near
    gained = 0.04 + 0.06 * rng.standard_normal(stores)  # by rebuilding
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


def _promo2(chain: _Chain, calendar: _Calendar, rng: np.random.Generator) -> np.ndarray:
    """A little less in general, a little more in the months in which a round starts. [days, stores]"""
    month = calendar.dates.astype("datetime64[M]").astype(int)[:, None] % 12
    active = chain.promo2 & (np.arange(len(month))[:, None] >= chain.promo2_day)
    lift = 0.03 + 0.02 * rng.standard_normal(len(chain.state))
    return active * (lift * (month % 3 == chain.interval) - 0.015)


def _rhythm(calendar: _Calendar, stores: int, rng: np.random.Generator) -> np.ndarray:
    """Weekday, promo, day of month, season and Christmas, stronger in some stores. [days, stores]"""
    own = lambda spread: 1 + spread * rng.standard_normal(stores)  # noqa: E731
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
        rhythm += np.sin(harmonic * phase) * (0.02 * rng.standard_normal(stores))
        rhythm += np.cos(harmonic * phase) * (0.02 * rng.standard_normal(stores))
    december = months.astype(int) % 12 == 11
    return rhythm + np.outer(december * np.interp(day_of_month, *_DECEMBER), own(0.25))


def _just_after_promo(calendar: _Calendar) -> np.ndarray:
    """Mondays whose last Friday was on promo: the cupboards are full. bool [days]"""
    return (calendar.weekday == 0) & (np.r_[0, 0, 0, calendar.promo[:-3]] == 1)


def _neighbours(chain: _Chain, calendar: _Calendar, rng: np.random.Generator) -> np.ndarray:
    """What a day owes to the days beside it (holidays, closures) and to school holidays. [days, stores]"""
    stores = len(chain.state)
    own = lambda mean, spread: mean + spread * rng.standard_normal(stores)  # noqa: E731
    holiday, day = calendar.holiday > 0, np.arange(len(calendar.dates))[:, None]
    tomorrow, yesterday = (np.zeros_like(holiday) for _ in range(2))
    tomorrow[:-1], yesterday[1:] = (
        holiday[1:] & (calendar.open[1:] == 0),
        holiday[:-1] & (calendar.open[:-1] == 0),
    )
    since = day - chain.rebuilt_to
    reopened = np.exp(-since.clip(0) / 6) * ((chain.rebuilt_to >= 0) & (since > 0))
    selling_out = (day >= chain.rebuilt_from - 4) & (day < chain.rebuilt_from)
    return (
        own(0.21, 0.07) * tomorrow
        + own(0.14, 0.06) * yesterday
        + own(0.3, 0.15) * reopened
        - own(0.25, 0.15) * selling_out
        + own(0.0, 0.04) * calendar.school
        + own(-0.02, 0.03) * (calendar.school * (calendar.weekday == 5)[:, None])
        + holiday * (-0.1 + 0.45 * rng.standard_normal(holiday.shape))
    )


def _noise(chain: _Chain, calendar: _Calendar, rng: np.random.Generator) -> np.ndarray:
    """A shock for all, one for each state (weather), and the store's own, heavy-tailed. [days, stores]"""
    days, stores = calendar.open.shape
    shock = 0.04 * rng.standard_normal((days, 1))
    weather = 0.02 * rng.standard_normal((days, len(_STATES)))[:, chain.state]
    restless = 0.047 * np.exp(0.25 * rng.standard_normal(stores))
    return shock + weather + restless * rng.standard_t(4, (days, stores)).clip(-9, 9)


def _log_spend(chain: _Chain, calendar: _Calendar, rng: np.random.Generator) -> np.ndarray:
    """Log of what a customer spends: more on promo days, and more every year. [days, stores]"""
    days, stores = calendar.open.shape
    of_store = _of(_TYPE_SPEND, chain.store_type) + 0.15 * rng.standard_normal(stores)
    growth = (0.02 + 0.02 * rng.standard_normal(stores)) * np.arange(days)[:, None] / 365
    of_day = _WEEKDAY_SPEND[calendar.weekday] + 0.14 * calendar.promo - 0.085
    return of_store + of_day[:, None] + growth + 0.055 * rng.standard_normal((days, stores))


# writing --------------------------------------------------------------------------------------------


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Under another name until the file is whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("wb") as sink:
        write(sink)
    unfinished.replace(path)


def _write_rows(sink: BinaryIO, columns: dict[str, np.ndarray]) -> None:
    sink.write((",".join(columns) + "\n").encode())
    plain = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(pa.table(columns), sink, plain)


def _known(calendar: _Calendar, day: np.ndarray, store: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that train.csv and test.csv share, one row per pair of `day` and `store` indices."""
    return {
        "Store": (store + 1).astype(np.int32),
        "DayOfWeek": (calendar.weekday[day] + 1).astype(np.int8),
        "Date": calendar.dates[day],
        "Open": calendar.open[day, store],
        "Promo": calendar.promo[day],
        "StateHoliday": pa.array(_CODES).take(pa.array(calendar.holiday[day, store])),
        "SchoolHoliday": calendar.school[day, store],
    }


def _train_rows(chain: _Chain, calendar: _Calendar, sales: np.ndarray, customers: np.ndarray) -> dict[str, np.ndarray]:
    """The latest day first, stores in ascending order; no rows in a store's gap."""
    days = np.arange(len(sales))[::-1, None]
    exists = ~(chain.gap & (days >= chain.gap_from) & (days <= chain.gap_to))
    back, store = np.nonzero(exists)
    day = len(sales) - 1 - back
    columns = _known(calendar, day, store) | {"Sales": sales[day, store], "Customers": customers[day, store]}
    return {name: columns[name] for name in TRAIN_HEADER}


def _plan_rows(calendar: _Calendar, days: int) -> dict[str, np.ndarray]:
    """The days after the history, in the same order."""
    planned, stores = calendar.open[days:].shape
    day, store = np.divmod(np.arange(planned * stores), stores)
    columns = _known(calendar, days + planned - 1 - day, store) | {"Id": np.arange(1, planned * stores + 1)}
    return {name: columns[name] for name in PLAN_HEADER}


def _store_rows(chain: _Chain) -> bytes:
    """store.csv: names and letters in quotes, nothing where nothing is known, "" for no interval."""
    lines = [",".join(f'"{name}"' for name in STORE_HEADER)]
    for i in range(len(chain.state)):
        distance = chain.competition_distance_m[i]
        opened, joined = ((FIRST_DAY + day).item() for day in (chain.competition_day[i], chain.promo2_day[i]))
        known = chain.competition_known[i] and not np.isnan(distance)
        since = f"{opened.month},{opened.year}" if known else ","
        year, week, _ = joined.isocalendar()
        promo2 = f'1,{week},{year},"{_INTERVALS[chain.interval[i]]}"' if chain.promo2[i] else '0,,,""'
        metres = "" if np.isnan(distance) else int(distance)
        lines.append(f'{i + 1},"{chain.store_type[i]}","{chain.assortment[i]}",{metres},{since},{promo2}')
    return ("\n".join(lines) + "\n").encode()


# how near it comes ----------------------------------------------------------------------------------


def statistics(train: pd.DataFrame) -> dict[str, float]:
    """What makes a chain this chain, from the rows of a train.csv; worlds are laid beside each other by it.

    Indices are relative to the mean sales of all selling days, months to that of whole years. Noise is the
    log residual to the store's median of the same weekday and promo.
    """
    date = pd.to_datetime(train["Date"])
    selling = train.assign(Date=date)[train["Sales"] > 0]
    sales, logs = selling["Sales"], np.log(selling["Sales"])
    cell = [selling["Store"], selling["DayOfWeek"], selling["Promo"]]
    noise = logs - logs.groupby(cell).transform("median")
    weekdays = sales.groupby(selling["DayOfWeek"]).mean() / sales.mean()
    on_week = selling["DayOfWeek"] < 6
    by_promo = sales[on_week].groupby(selling["Promo"]).mean()
    years = selling["Date"] < date.min() + pd.DateOffset(years=(date.max() - date.min()).days // 365)
    months = sales[years].groupby(selling["Date"].dt.month).mean() / sales[years].mean()
    spend = sales / selling["Customers"]
    stores, days = train["Store"].nunique(), date.nunique()
    return {
        "rows missing": 1 - len(train) / (stores * days),
        "stores with a gap": (train.groupby("Store").size() < days - 1).mean(),
        "zero-sales rows": (train["Sales"] == 0).mean(),
        "open rows without sales, per million": ((train["Sales"] == 0) & (train["Open"] == 1)).mean() * 1e6,
        "stores open on Sundays": selling.loc[selling["DayOfWeek"] == 7, "Store"].nunique() / stores,
        "promo days": train["Promo"].mean(),
        "school holidays": train["SchoolHoliday"].mean(),
        "state holidays": (train["StateHoliday"].astype(str) != "0").mean(),
        "sales per selling day": sales.mean(),
        "spread of stores (sd of mean log sales)": logs.groupby(selling["Store"]).mean().std(),
        "customers per selling day": selling["Customers"].mean(),
        "spend per customer": spend.mean(),
        "promo uplift (Mon-Fri)": by_promo[1] / by_promo[0],
        "noise (sd)": noise.std(),
        "noise, robust (1.48 MAD)": 1.4826 * (noise - noise.median()).abs().median(),
        "noise, excess kurtosis": noise.kurt(),
        "noise shared by all stores (sd of its daily mean)": noise.groupby(selling["Date"]).mean().std(),
        **{f"weekday {name}": weekdays.get(i + 1, np.nan) for i, name in enumerate(_WEEKDAYS)},
        **{f"month {month}": months.get(month, np.nan) for month in range(1, 13)},
    }
