"""Planned days without a row, or without a value for open: their holidays and promotions, and which stores open."""

from collections.abc import Callable

import numpy as np

from rossmann.chain import KAGGLE_COUNTRY
from rossmann.data.holiday_calendar import HolidayCalendar, holiday_calendar, nearest_region
from rossmann.data.opening import Past, usual_opening
from rossmann.data.panels import RawCalendar, fill_nan, mean, most_common
from rossmann.schema import CALENDAR_COLUMNS, LEFT_CHAIN_DAYS, SATURDAY, WEEKS_YEAR_DAYS, weekday

# The holidays by region on consecutive dates of past and plan, and the region of each store: int64 [stores].
RegionalHolidays = Callable[[np.ndarray], tuple[HolidayCalendar, np.ndarray]]
COUNTRY = 0  # the region of a store whose own is not known


def gone_stores(plan: RawCalendar, exists: np.ndarray) -> np.ndarray:
    """Which stores have left the chain: no row in the last LEFT_CHAIN_DAYS, and none in the plan. bool [stores]"""
    is_long = exists.shape[1] >= LEFT_CHAIN_DAYS
    return is_long & ~exists[:, -LEFT_CHAIN_DAYS:].any(axis=1) & np.isnan(plan.promotion).all(axis=1)


def complete_plan(plan: RawCalendar, past: Past, regional_holidays: RegionalHolidays | None = None) -> RawCalendar:
    """Fill the plan's missing values as REPAIRS of the cleaning say.

    regional_holidays: by default those of Germany, where a store's past shows its region.
    """
    if not any(np.isnan(getattr(plan, name)).any() for name in CALENDAR_COLUMNS):
        return plan
    dates = np.concatenate([past.calendar.dates, plan.dates])
    calendar, region = regional_holidays(dates) if regional_holidays else _inferred_regions(past, dates)
    planned = len(past.calendar.dates)
    of_others = fill_nan(
        _usual_in_region(plan.holiday_kind, region, most_common), calendar.holiday_kind[region, planned:]
    )
    holiday_kind = fill_nan(plan.holiday_kind, of_others)
    is_open = usual_opening(past, plan.dates, holiday_kind > 0, calendar.holiday)
    return RawCalendar(
        plan.dates,
        fill_nan(plan.open, is_open & ~gone_stores(plan, past.exists)[:, None]),
        fill_nan(plan.promotion, _promotion(plan, past)),
        holiday_kind,
        _school_break(plan, past, calendar, region),
    )


def _inferred_regions(past: Past, dates: np.ndarray) -> tuple[HolidayCalendar, np.ndarray]:
    """The holidays of past and plan by region, and the region of each store."""
    calendar = holiday_calendar(KAGGLE_COUNTRY, dates)
    region = nearest_region(calendar, past.calendar.holiday_kind > 0, past.calendar.school_break == 1, past.exists)
    return calendar, region


def _usual_in_region(values: np.ndarray, region: np.ndarray, usual: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The usual value of the stores of a store's region; NaN where none of them has a row. [stores, days]"""
    result = np.empty(values.shape)
    for each in np.unique(region):
        own = values[region == each]
        result[region == each] = np.where(np.isnan(own).all(axis=0), np.nan, usual(own))
    return result


def _promotion(plan: RawCalendar, past: Past) -> np.ndarray:
    """As most stores of the plan have it; on days without any row, as 52 weeks before. [stores, days]"""
    has_row = (~np.isnan(plan.promotion)).any(axis=0)
    return np.where(has_row, mean(plan.promotion, axis=0) >= 0.5, _year_before(past, plan.dates, "promotion"))


def _school_break(plan: RawCalendar, past: Past, calendar: HolidayCalendar, region: np.ndarray) -> np.ndarray:
    """As in the region's plan or calendar; as 52 weeks before where the region or its breaks are not known."""
    days = len(past.calendar.dates)
    of_region = calendar.school_break[region]
    weekend = weekday(calendar.dates) >= SATURDAY
    in_break = past.exists & weekend[:days] & (of_region[:, :days] == 1)
    marks_weekends = mean(np.where(in_break, past.calendar.school_break, np.nan), axis=1) >= 0.5
    of_region = np.where(weekend & ~marks_weekends[:, None], 0 * of_region, of_region)[:, days:]
    of_others = _usual_in_region(plan.school_break, region, lambda own: mean(own, axis=0) >= 0.5)
    of_others[region == COUNTRY] = np.nan
    usual = fill_nan(fill_nan(of_others, of_region), _year_before(past, plan.dates, "school_break"))
    return fill_nan(plan.school_break, usual)


def _year_before(past: Past, dates: np.ndarray, name: str) -> np.ndarray:
    """The values 52 weeks before these days; 0 where the past does not have them. [stores, days]"""
    days = len(past.calendar.dates)
    column = (dates - WEEKS_YEAR_DAYS - past.calendar.dates[0]).astype(int)
    exists = (column >= 0) & (column < days)
    return exists * getattr(past.calendar, name)[:, np.clip(column, 0, days - 1)]
