"""The sample's calendar: opening, promo, state and school holidays, which are known before the day."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from dateutil.easter import easter

from rossmann.schema import DAY, HOLIDAY_KINDS, MONDAY, SATURDAY, SUNDAY, WEDNESDAY, WEEK_DAYS, weekday
from rossmann.simulation.chain import FEDERAL_STATES, Chain, FederalState

FIRST_DATE = np.datetime64("2013-01-01", "D")
# Which stores close on a holiday; on strict ones also the stores that open on Sundays.
_REGIONAL, _NATIONAL, _STRICT = 1, 2, 3
# Of a week with promotion, after a week with and after one without; and of a school holiday of one town on a day.
_PROMO_AFTER_PROMO_PROBABILITY, _PROMO_AFTER_PAUSE_PROBABILITY = 0.2, 0.96
_TOWN_HOLIDAY_PROBABILITY = 0.005


@dataclass(frozen=True)
class SampleCalendar:
    """The plan of all days and stores."""

    dates: np.ndarray  # datetime64[D] [days]
    weekday: np.ndarray  # 0 Monday … 6 Sunday [days]
    promo: np.ndarray  # int8 [days], the same for all stores
    holiday: np.ndarray  # int8 index into HOLIDAY_KINDS [days, stores]
    school: np.ndarray  # int8 [days, stores]
    open: np.ndarray  # int8 [days, stores]

    def until(self, days: int) -> "SampleCalendar":
        """The plan of the first `days` days."""
        return SampleCalendar(*(getattr(self, name)[:days] for name in self.__dataclass_fields__))


def make_calendar(chain: Chain, days: int, rng: np.random.Generator) -> SampleCalendar:
    """The plan of the first `days` days; more days leave the first ones as they are."""
    promo_rng, town_rng = rng.spawn(2)
    dates = FIRST_DATE + np.arange(days)
    weekdays = weekday(dates)
    holiday, scope = (of_states[:, chain.federal_state] for of_states in _state_holidays(dates))
    in_town = (town_rng.random(holiday.shape) < _TOWN_HOLIDAY_PROBABILITY) & (weekdays < SATURDAY)[:, None]
    opens = np.where(weekdays[:, None] == SUNDAY, chain.opens_on_sundays, True)
    opens = np.where(scope == _REGIONAL, opens & (chain.ignores_regional_holidays | chain.opens_on_sundays), opens)
    opens = np.where(scope == _NATIONAL, chain.opens_on_sundays, opens)
    opens = np.where(scope == _STRICT, chain.store_type == "b", opens)
    day = np.arange(days)[:, None]
    is_refurbishment = (day >= chain.refurbishment_first_day) & (day <= chain.refurbishment_last_day)
    return SampleCalendar(
        dates=dates,
        weekday=weekdays,
        promo=_promo(weekdays, promo_rng),
        holiday=holiday,
        school=(_school_holidays(dates, weekdays)[:, chain.federal_state] | in_town).astype(np.int8),
        open=(opens & ~is_refurbishment).astype(np.int8),
    )


def _promo(weekdays: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Monday to Friday of about every other week, sometimes two weeks in a row. int8 [days]"""
    week = np.cumsum(weekdays == MONDAY)
    draws = rng.random(week[-1] + 1)
    promo_week = [False]
    for draw in draws[1:]:
        promo_week.append(
            bool(draw < (_PROMO_AFTER_PROMO_PROBABILITY if promo_week[-1] else _PROMO_AFTER_PAUSE_PROBABILITY))
        )
    return (np.array(promo_week)[week] & (weekdays < SATURDAY)).astype(np.int8)


def _years(dates: np.ndarray) -> range:
    return range(dates[0].item().year, dates[-1].item().year + 1)


def _state_holidays(dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The state holiday (index into HOLIDAY_KINDS), and its scope (0 for none). Both int8 [days, states]"""
    holiday = np.zeros((len(dates), len(FEDERAL_STATES)), np.int8)
    scope = np.zeros_like(holiday)
    for year in _years(dates):
        for day, code, day_scope in _national_holidays(year):
            holiday[dates == day] = HOLIDAY_KINDS.index(code)
            scope[dates == day] = day_scope
        for day, regional_letter in _regional_holidays(year):
            has_holiday = np.array([regional_letter in state.regional_holidays for state in FEDERAL_STATES])
            holiday[np.ix_(dates == day, has_holiday)] = HOLIDAY_KINDS.index("a")
            scope[np.ix_(dates == day, has_holiday)] = _REGIONAL
    return holiday, scope


def _date(year: int, month_and_day: str) -> np.datetime64:
    return np.datetime64(f"{year}-{month_and_day}")


def _national_holidays(year: int) -> list[tuple[np.datetime64, str, int]]:
    """Date, code and scope of the holidays of all states."""
    easter_sunday = np.datetime64(easter(year))
    return [
        (_date(year, "01-01"), "a", _STRICT),
        (easter_sunday - 2, "b", _STRICT),  # Good Friday
        (easter_sunday + 1, "b", _NATIONAL),
        (_date(year, "05-01"), "a", _STRICT),
        (easter_sunday + 39, "a", _NATIONAL),  # Ascension
        (easter_sunday + 50, "a", _NATIONAL),  # Whit Monday
        (_date(year, "10-03"), "a", _NATIONAL),
        (_date(year, "12-25"), "c", _STRICT),
        (_date(year, "12-26"), "c", _STRICT),
    ]


def _regional_holidays(year: int) -> list[tuple[np.datetime64, str]]:
    """Date and letter of the holidays of some states, as in `FederalState.regional_holidays`."""
    last_possible = _date(year, "11-22")  # the day of repentance is the Wednesday before November 23
    repentance = last_possible - int((weekday(last_possible) - WEDNESDAY) % WEEK_DAYS)
    easter_sunday = np.datetime64(easter(year))
    return [
        (_date(year, "01-06"), "e"),
        (easter_sunday + 60, "c"),
        (_date(year, "08-15"), "m"),
        (_date(year, "10-31"), "r"),
        (_date(year, "11-01"), "s"),
        (repentance, "b"),
    ]


def _school_holidays(dates: np.ndarray, weekdays: np.ndarray) -> np.ndarray:
    """School holidays, from Monday to Friday only except in states that mark weekends. bool [days, states]"""
    holiday = np.zeros((len(dates), len(FEDERAL_STATES)), bool)
    for column, state in enumerate(FEDERAL_STATES):
        for year in _years(dates):
            for first, days in _school_holidays_of(state, year):
                holiday[(dates >= first) & (dates < first + days * DAY), column] = True
    is_marked = (weekdays < SATURDAY)[:, None] | np.array([state.marks_weekends for state in FEDERAL_STATES])
    return holiday & is_marked


def _school_holidays_of(state: FederalState, year: int) -> Iterator[tuple[np.datetime64, int]]:
    """First day and length in days of a state's school holidays in a year."""
    slot, new_year, easter_sunday = state.summer_slot, _date(year, "01-01"), np.datetime64(easter(year))
    late_summer = slot == 6
    summer_day = 207 if late_summer else 174 + (slot + 2 * (year - 2013)) % 6 * 7
    autumn_day = 299 if late_summer else 276 + 3 * slot
    yield new_year, 4 + slot % 3
    yield easter_sunday - 48, state.winter_days
    yield easter_sunday - 13 + slot % 3, 15 - slot % 3
    yield easter_sunday + 40, 1  # the day after Ascension
    yield easter_sunday + 51, state.whitsun_days
    yield new_year + summer_day, 40
    yield new_year + autumn_day, 5 if late_summer else 12
    yield new_year + 355 + slot % 3, 12  # Christmas
