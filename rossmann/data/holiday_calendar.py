"""Public holidays and school breaks of a country's regions, from the package `holidays`.

They are public years ahead, so that they may be used for any planned day.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from dateutil.easter import easter

from rossmann.data.history import SalesHistory
from rossmann.schema import HOLIDAY_KINDS, SATURDAY, weekday

PUBLIC, CATHOLIC, SCHOOL = "public", "catholic", "school"  # categories of the package
CHRISTMAS_DAYS = ("12-24", "12-25", "12-26")
EASTER_OFFSETS = range(-3, 2)  # days from Easter Sunday: Maundy Thursday to Easter Monday
MAX_DIFFERENCE = 0.02  # share of a store's weekdays; the real stores differ on 0.5 % at most from their region
MIN_WEEKDAYS = 250  # a year of them


@dataclass(frozen=True)
class HolidayCalendar:
    """The holidays of every region on consecutive dates. Region 0 is the whole country: holidays of all its regions."""

    regions: tuple[str, ...]  # names
    dates: np.ndarray  # datetime64[D] [days]
    holiday: np.ndarray  # which holiday a day is in any region: index of its name, -1 none. int64 [days]
    holiday_kind: np.ndarray  # index into HOLIDAY_KINDS. int8 [regions, days]
    school_break: np.ndarray  # 1 in a break, 0 out of it, NaN where the breaks are unknown. float64 [regions, days]

    @staticmethod
    def of_names(by_region: Mapping[str, Mapping[date, str]], dates: np.ndarray) -> "HolidayCalendar":
        """Of regions whose holidays are given as names by date. School breaks are unknown."""
        days = dates.tolist()
        return HolidayCalendar(
            tuple(by_region),
            dates,
            _holiday_index(days, by_region.values()),
            np.stack([_codes(days, each) for each in by_region.values()]),
            np.full((len(by_region), len(days)), np.nan),
        )

    def from_day(self, position: int) -> "HolidayCalendar":
        """The same from this position of the dates on."""
        days = slice(position, None)
        return HolidayCalendar(
            self.regions,
            self.dates[days],
            self.holiday[days],
            self.holiday_kind[:, days],
            self.school_break[:, days],
        )


def named_holidays(country: str, region: str | None, years: Iterable[int]) -> dict[date, str]:
    """The names of the public holidays of a country, or of a region of it, by date; in English where there is one.

    Raises NotImplementedError for a country or a region that the package does not have.
    """
    import holidays  # takes a third of a second

    whole = holidays.country_holidays(country, subdiv=region)
    language = "en_US" if "en_US" in whole.supported_languages else None
    return dict(holidays.country_holidays(country, subdiv=region, years=years, language=language).items())


def subdivisions_of(country: str) -> list[str] | None:
    """The subdivisions of a country that `named_holidays` has, with their other names; None without such a country."""
    import holidays

    try:
        whole = holidays.country_holidays(country)
    except NotImplementedError:
        return None
    return [*whole.subdivisions, *whole.subdivisions_aliases]


def holiday_calendar(country: str, dates: np.ndarray) -> HolidayCalendar:
    """The holidays of a country (its ISO code, as "DE") on consecutive `dates`.

    Regions are the country's subdivisions, each with its public holidays and once more with those of its mostly
    Catholic towns; only the whole country if the package does not have the school breaks, which tell regions apart.
    Raises NotImplementedError for a country that the package does not have.
    """
    import holidays  # takes a third of a second, and only a plan with missing days needs it

    days = dates.tolist()
    years = range(days[0].year, days[-1].year + 1)

    def names(category: str, region: str | None) -> dict[date, str]:
        of_region = holidays.country_holidays(country, subdiv=region, years=years, categories=(category,))
        return dict(of_region.items())

    whole = holidays.country_holidays(country)
    categories = whole.supported_categories
    public = {"": names(PUBLIC, None)}
    breaks: dict[str, dict[date, str]] = {"": {}}
    for region in whole.subdivisions if SCHOOL in categories else ():
        public[region], breaks[region] = names(PUBLIC, region), names(SCHOOL, region)
        if catholic := names(CATHOLIC, region) if CATHOLIC in categories else {}:
            public[f"{region} {CATHOLIC}"] = public[region] | catholic
            breaks[f"{region} {CATHOLIC}"] = breaks[region]
    return HolidayCalendar(
        regions=tuple(public),
        dates=dates,
        holiday=_holiday_index(days, public.values()),
        holiday_kind=np.stack([_codes(days, each) for each in public.values()]),
        school_break=np.stack([_in_break(days, each) for each in breaks.values()]),
    )


def regional_breaks(
    country: str | None, past: SalesHistory, first: np.datetime64, last: np.datetime64
) -> tuple[np.ndarray, np.ndarray]:
    """The region of each store [stores], and for every region which days from `first` to `last` are in a school break.

    The region is an index into bool [regions, days]. Region 0 stands for an unknown region and has no breaks; neither
    have days for which the package has none. Of the history only the past is read. `first` is not after the first day
    of the history, and `last` not before its origin. Without a country, all regions are unknown.
    """
    if country is None:
        return np.zeros(len(past.stores.number), np.int64), np.zeros((1, int((last - first).astype(int)) + 1), bool)
    calendar = _calendar_of_years(country, first.astype("datetime64[Y]"), last.astype("datetime64[Y]"))
    begin, days = int((past.dates[0] - calendar.dates[0]).astype(int)), len(past.dates)
    region = nearest_region(
        calendar.from_day(begin),
        past.calendar.holiday_kind[:, :days] > 0,
        past.calendar.school_break[:, :days] == 1,
        ~np.isnan(past.sales),
    )
    in_period = (calendar.dates >= first) & (calendar.dates <= last)
    return region, calendar.school_break[:, in_period] == 1


@lru_cache(maxsize=8)  # takes half a second, and the origins of a training lie in a few years
def _calendar_of_years(country: str, first: np.datetime64, last: np.datetime64) -> HolidayCalendar:
    return holiday_calendar(country, np.arange(first.astype("datetime64[D]"), (last + 1).astype("datetime64[D]")))


def nearest_region(
    calendar: HolidayCalendar, holiday_kind: np.ndarray, school_break: np.ndarray, exists: np.ndarray
) -> np.ndarray:
    """The region of each store: the one whose holidays differ on the fewest of the store's weekdays. int64 [stores]

    0, the whole country, where they differ on more than MAX_DIFFERENCE of them, or there are fewer than MIN_WEEKDAYS.
    The arrays are bool [stores, first days of the calendar]; `exists` tells where a store has a row.
    """
    days = exists.shape[1]
    rows = exists & (weekday(calendar.dates[:days]) < SATURDAY)  # regions differ in whether they mark weekends
    state_differs = _differences(holiday_kind, calendar.holiday_kind[1:, :days] > 0, rows)
    differs = state_differs + _differences(school_break, calendar.school_break[1:, :days] == 1, rows)
    weekdays = rows.sum(axis=1)
    if not differs.shape[1]:
        return np.zeros(len(weekdays), np.int64)
    is_near = (differs.min(axis=1) <= MAX_DIFFERENCE * weekdays) & (weekdays >= MIN_WEEKDAYS)
    return np.where(is_near, differs.argmin(axis=1) + 1, 0)


def _differences(of_stores: np.ndarray, of_regions: np.ndarray, days: np.ndarray) -> np.ndarray:
    """On how many of its `days` a store differs from a region. float32 [stores, regions], from bool [… , days]"""
    stores, regions = (of_stores & days).astype(np.float32), of_regions.astype(np.float32)
    return stores.sum(axis=1)[:, None] + days.astype(np.float32) @ regions.T - 2 * stores @ regions.T


def _holiday_index(days: list[date], regions: Iterable[Mapping[date, str]]) -> np.ndarray:
    """The index of each day's holiday in the sorted names of all regions' holidays; -1 for none. int64 [days]"""
    name_of: dict[date, str] = {}
    for names in regions:
        name_of = {**names, **name_of}  # where regions differ, the first one's name
    index = {name: k for k, name in enumerate(sorted(set(name_of.values())))}
    return np.array([index[name_of[day]] if day in name_of else -1 for day in days])


def _codes(days: list[date], names: Mapping[date, str]) -> np.ndarray:
    """Indices into HOLIDAY_KINDS: none, public, Easter, Christmas. int8 [days]"""
    return np.array([HOLIDAY_KINDS.index(_code(day) if day in names else "0") for day in days], np.int8)


def _code(day: date) -> str:
    if f"{day:%m-%d}" in CHRISTMAS_DAYS:
        return "c"
    return "b" if (day - easter(day.year)).days in EASTER_OFFSETS else "a"


def _in_break(days: list[date], names: dict[date, str]) -> np.ndarray:
    """1 in a break, 0 out of it, NaN before the first year with breaks and after the last break. float64 [days]"""
    if not names:
        return np.full(len(days), np.nan)
    first, last = date(min(names).year, 1, 1), max(names)  # the package ends with the last break that is announced
    return np.array([float(day in names) if first <= day <= last else np.nan for day in days])
