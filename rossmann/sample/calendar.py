"""Days and what is known of them beforehand: opening, promo, state and school holidays."""

from dataclasses import dataclass

import numpy as np
from dateutil.easter import easter

from rossmann.sample.chain import STATES, Chain
from rossmann.validation import STATE_HOLIDAYS

FIRST_DAY = np.datetime64("2013-01-01", "D")
_REGIONAL, _NATIONAL, _QUIET = 1, 2, 3  # how widely a holiday is kept: on quiet ones even Sunday stores close


@dataclass(frozen=True)
class DayPlan:
    """What is known of the days beforehand."""

    dates: np.ndarray  # datetime64[D] [days]
    weekday: np.ndarray  # 0 Monday … 6 [days]
    promo: np.ndarray  # int8 [days], chain-wide
    holiday: np.ndarray  # int8 index into STATE_HOLIDAYS [days, stores]
    school: np.ndarray  # int8 [days, stores]
    open: np.ndarray  # int8 [days, stores]

    def until(self, days: int) -> "DayPlan":
        return DayPlan(*(getattr(self, name)[:days] for name in self.__dataclass_fields__))


def plan_days(chain: Chain, all_days: int, rng: np.random.Generator) -> DayPlan:
    of_promo, of_towns = rng.spawn(2)
    dates = FIRST_DAY + np.arange(all_days)
    weekday = (dates.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    code, kept = (of_states[:, chain.state] for of_states in _holidays(dates))
    in_town = (of_towns.random(code.shape) < 0.005) & (weekday < 5)[:, None]
    by_rule = np.where(weekday[:, None] == 6, chain.on_sundays, True)
    by_rule = np.where(kept == _REGIONAL, by_rule & (chain.on_regional | chain.on_sundays), by_rule)
    by_rule = np.where(kept == _NATIONAL, chain.on_sundays, by_rule)
    by_rule = np.where(kept == _QUIET, chain.store_type == "b", by_rule)
    day = np.arange(all_days)[:, None]
    rebuilt = (day >= chain.rebuilt_from) & (day <= chain.rebuilt_to)
    return DayPlan(
        dates=dates,
        weekday=weekday,
        promo=_promo(weekday, of_promo),
        holiday=code,
        school=(_school(dates, weekday)[:, chain.state] | in_town).astype(np.int8),
        open=(by_rule & ~rebuilt).astype(np.int8),
    )


def _promo(weekday: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Monday to Friday of about every other week; now and then two weeks in a row. int8 [days]"""
    week = np.cumsum(weekday == 0)
    again = rng.random(week[-1] + 1)
    on = [False]
    for chance in again[1:]:
        on.append(bool(chance < (0.2 if on[-1] else 0.96)))
    return (np.array(on)[week] & (weekday < 5)).astype(np.int8)


def _years(dates: np.ndarray) -> range:
    return range(dates[0].item().year, dates[-1].item().year + 1)


def _holidays(dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The code of the state holiday, and how widely it is kept. Both int8 [days, states]"""
    code = np.zeros((len(dates), len(STATES)), np.int8)
    kept = np.zeros_like(code)
    for year in _years(dates):
        sunday, on = np.datetime64(easter(year)), lambda day, year=year: np.datetime64(f"{year}-{day}")
        repentance = on("11-22") - int(on("11-22").astype(int) + 1) % 7  # the Wednesday before November 23
        for day, letter, how in (
            (on("01-01"), "a", _QUIET), (sunday - 2, "b", _QUIET), (sunday + 1, "b", _NATIONAL),
            (on("05-01"), "a", _QUIET), (sunday + 39, "a", _NATIONAL), (sunday + 50, "a", _NATIONAL),
            (on("10-03"), "a", _NATIONAL), (on("12-25"), "c", _QUIET), (on("12-26"), "c", _QUIET),
        ):  # fmt: skip
            code[dates == day] = STATE_HOLIDAYS.index(letter)
            kept[dates == day] = how
        for day, letter in (
            (on("01-06"), "e"), (sunday + 60, "c"), (on("08-15"), "m"), (on("10-31"), "r"),
            (on("11-01"), "s"), (repentance, "b"),
        ):  # fmt: skip
            keeping = np.array([letter in state.holidays for state in STATES])
            code[np.ix_(dates == day, keeping)] = 1
            kept[np.ix_(dates == day, keeping)] = _REGIONAL
    return code, kept


def _school(dates: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """School holidays, marked on school days only except in states that mark weekends. bool [days, states]"""
    off = np.zeros((len(dates), len(STATES)), bool)
    for column, state in enumerate(STATES):
        for year in _years(dates):
            sunday, new_year = np.datetime64(easter(year)), np.datetime64(f"{year}-01-01")
            late = state.summer == 6
            autumn = 299 if late else 276 + 3 * state.summer
            summer = 207 if late else 174 + (state.summer + 2 * (year - 2013)) % 6 * 7
            for first, length in (
                (new_year, 4 + state.summer % 3),
                (sunday - 48, state.winter),
                (sunday - 13 + state.summer % 3, 15 - state.summer % 3),
                (sunday + 40, 1),
                (sunday + 51, state.whitsun),
                (new_year + summer, 40),
                (new_year + autumn, 5 if late else 12),
                (new_year + 355 + state.summer % 3, 12),
            ):
                off[(dates >= first) & (dates < first + length), column] = True
    marked = (weekday < 5)[:, None] | np.array([state.weekends for state in STATES])
    return off & marked
