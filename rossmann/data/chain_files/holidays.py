"""The named holidays of a chain, by country and subdivision or from a file, also by place."""

from collections.abc import Iterable, Mapping
from datetime import date

import numpy as np
import pandas as pd

from rossmann.chain import CHAIN_FILE, Chain, Holidays
from rossmann.data.covariates import CovariatePanel
from rossmann.data.history import Stores
from rossmann.data.holiday_calendar import HolidayCalendar, named_holidays, subdivisions_of
from rossmann.schema import FIRST_DAY, MAX_HORIZON_DAYS, to_date
from rossmann.validation import DataError

NO_NAME = "without a name"
NAME_SEPARATOR = "; "  # of two holidays on one day, in the package `holidays`


class ChainHolidays:
    """The holidays of each region on any days. Region 0 is that of stores without a subdivision."""

    def __init__(self, by_region: Mapping[str, Mapping[date, str]], region: Mapping[int, int]):
        self.by_region = by_region  # the names by date, by name of the region
        self.region = region  # by store number; of others 0

    def __call__(self, stores: Stores, dates: np.ndarray) -> tuple[HolidayCalendar, np.ndarray]:
        """The calendar of holidays on consecutive `dates`, and the region of each store."""
        return HolidayCalendar.of_names(self.by_region, dates), self.regions(stores)

    def regions(self, stores: Stores) -> np.ndarray:
        """The region of each store. int64 [stores]"""
        return np.array([self.region.get(number, 0) for number in stores.number.tolist()])

    def codes(self, number: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Codes of state holidays on rows of stores and days. float64 [rows]"""
        if not len(day):
            return np.zeros(0)
        first, last = day.min(), day.max()
        calendar = HolidayCalendar.of_names(self.by_region, np.arange(first, last + 1))
        numbers, inverse = np.unique(number, return_inverse=True)
        region = np.array([self.region.get(each, 0) for each in numbers.tolist()])[inverse]
        return calendar.holiday_kind[region, (day - first).astype(int)].astype(float)

    def panels(self) -> dict[str, CovariatePanel]:
        """One covariate for each name of a holiday."""
        names = {
            name for days in self.by_region.values() for text in days.values() for name in text.split(NAME_SEPARATOR)
        }
        return {f"holiday {name}": self._panel_of(name) for name in sorted(names)}

    def _panel_of(self, name: str) -> CovariatePanel:
        def panel(stores: Stores, dates: np.ndarray) -> np.ndarray:
            days = dates.tolist()
            flags = [
                [name in names.get(day, "").split(NAME_SEPARATOR) for day in days] for names in self.by_region.values()
            ]
            return np.array(flags, np.float32)[self.regions(stores)]

        return panel


def chain_holidays(
    chain: Chain,
    table: pd.DataFrame | None,
    places: Mapping[int, tuple[str, ...]],
    first: np.datetime64,
    last: np.datetime64,
) -> ChainHolidays:
    """The holidays from `first` to MAX_HORIZON_DAYS after `last`.

    table: the rows of the chain's file of holidays. places: of the stores with `Chain.place_attributes`, by number.
    """
    if table is not None and chain.holidays is not None:
        return _holidays_of_file(chain.holidays, table, places)
    if chain.country is None:
        return ChainHolidays({"": {}}, {})
    years = range(to_date(first).year, to_date(last + MAX_HORIZON_DAYS).year + 2)
    subdivision = {number: place[0] for number, place in places.items()}
    regions = ("", *sorted(set(subdivision.values()) - {""}))
    by_region = {region: _named_holidays(chain.country, region, years) for region in regions}
    return ChainHolidays(by_region, {number: regions.index(name) for number, name in subdivision.items()})


def _holidays_of_file(holidays: Holidays, table: pd.DataFrame, places: Mapping[int, tuple[str, ...]]) -> ChainHolidays:
    """The holidays of a file. If its rows have places, a region is a combination of the places that stores are in."""
    columns = holidays.date.column, holidays.name
    if not holidays.place:
        return ChainHolidays({"": _names_by_date(table, *columns)}, {})
    place = table[holidays.place.column].fillna("")
    regions = ((), *sorted(set(places.values())))
    by_region = {
        ", ".join(region): _names_by_date(table[place.isin(["", *holidays.place.everywhere, *region])], *columns)
        for region in regions
    }
    return ChainHolidays(by_region, {number: regions.index(region) for number, region in places.items()})


def _names_by_date(table: pd.DataFrame, date: str, name: str) -> dict[date, str]:
    """All names of each day; a holiday without a name is one, too."""
    rows = table[[date, name]].fillna({name: NO_NAME}).drop_duplicates()
    names = rows.groupby(rows[date].dt.date)[name].agg(NAME_SEPARATOR.join)
    return dict(zip(names.index, names, strict=True))


def require_country(chain: Chain) -> None:
    """Raise DataError if the package `holidays` does not have the chain's country."""
    if chain.country is not None:
        _named_holidays(chain.country, "", (FIRST_DAY.year,))


def _named_holidays(country: str, region: str, years: Iterable[int]) -> dict[date, str]:
    try:
        return named_holidays(country, region or None, years)
    except NotImplementedError:
        pass
    subdivisions = subdivisions_of(country)
    if subdivisions is None:
        raise DataError(
            f"{CHAIN_FILE}: holidays.country {country} is none that the package `holidays` has. Write its ISO code, as "
            "EC or US, or name a file with the holidays (holidays.file)."
        )
    raise DataError(
        f"{CHAIN_FILE}: holidays.subdivision: a store is in {region}, which the package `holidays` does not have for "
        f"{country}. Use {', '.join(subdivisions)}, leave the cell empty for the country's own holidays, or leave "
        "holidays.subdivision out."
    )
