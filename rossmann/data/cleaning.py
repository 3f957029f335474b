"""From raw rows to one dense history. Every repair is listed in REPAIRS, and its rows are counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd

from rossmann.chain import KAGGLE_CHAIN, Chain
from rossmann.data.covariates import CovariatePanel, add_covariates
from rossmann.data.history import LATER_HOLIDAY_DAYS, Calendar, SalesHistory, Stores
from rossmann.data.holiday_calendar import HolidayCalendar
from rossmann.data.opening import Past, opening_habit
from rossmann.data.panels import RawCalendar, count_by_weekday, fill_nan, mean, most_common, panel, raw_calendar
from rossmann.data.plan_completion import RegionalHolidays, complete_plan, gone_stores
from rossmann.schema import (
    CALENDAR_COLUMNS,
    CLOSURE_DAYS,
    DAY,
    DTYPES,
    HORIZON_DAYS,
    LEFT_CHAIN_DAYS,
    weekday,
)
from rossmann.validation import Repair

MIN_WEEKDAY_DAYS = 4  # fewer days of a weekday do not show that a store is usually closed on it

# Name of a repair: the problem, the action.
REPAIRS = {
    "amounts_unusable": (
        "sales or customers are empty or cannot be right: negative, far above the store's usual, or of a closed store",
        "set aside: the day is unknown, neither trained on nor scored",
    ),
    "open_day_missing": (
        f"no row (fewer than {CLOSURE_DAYS} in a row) on a day on which the store should have been open",
        "set aside in the same way",
    ),
    "open_missing": ("a past day without a value for open", "open if it has sales, otherwise closed"),
    "open_without_sales": (
        "a store is open, but its sales are zero",
        "unchanged, as it was planned; not used for training or scores",
    ),
    "closed_day_missing": (
        f"no row (fewer than {CLOSURE_DAYS} in a row) on a weekday on which the store is usually closed, or on a day "
        "on which most stores are closed",
        "row added: closed, no sales",
    ),
    "plan_open_missing": (
        "a planned day without a value for open",
        "open if the store usually is on that weekday, and on a state holiday if it usually is on this holiday",
    ),
    "plan_row_missing": (
        "a day after the origin, within the horizon, without a row in the plan",
        "promo as most other stores have it, otherwise as 52 weeks before; state and school holidays as most other "
        "stores of its federal state have them, otherwise by that state's calendar (school holidays as 52 weeks before "
        "if the state is not clear); open as with a missing value",
    ),
    "plan_store_gone": (
        f"a planned day of a store that has no row in the plan and none in the last {LEFT_CHAIN_DAYS} days",
        "closed: it has left the chain",
    ),
    "plan_row_past": ("a planned day on or before the origin", "left out: the sales file has this day"),
    "plan_row_beyond_horizon": ("a planned day beyond the horizon", "left out"),
    "plan_store_without_history": (
        "a planned day of a store without any row of sales and without any planned day within the horizon",
        "left out",
    ),
    "store_new": (
        "a store without any row of sales that can be used, and with planned days within the horizon",
        "unchanged: it is forecast from stores of its type and assortment",
    ),
    "store_without_history": ("a store with attributes, but without such rows and planned days", "left out"),
}


@dataclass(frozen=True)
class RawTables:
    """Checked raw rows under the schema's names, in any order. Codes are indices; an empty `open` is NaN.

    The plan has a column `is_published` as well: False for rows that a replay takes from the sales file, some of which
    may be beyond the horizon.
    """

    days: pd.DataFrame  # PLAN_COLUMNS and ACTUAL_COLUMNS; one row per store and day
    stores: Stores  # those without any row, too
    plan: pd.DataFrame  # PLAN_COLUMNS and is_published; of several rows of a store and day the first is used
    chain: Chain = KAGGLE_CHAIN
    regional_holidays: Callable[[Stores, np.ndarray], tuple[HolidayCalendar, np.ndarray]] | None = (
        None  # of stores, dates
    )
    covariates: Mapping[str, CovariatePanel] = field(
        default_factory=dict
    )  # by name, as Calendar.covariate_names has it


@dataclass(frozen=True)
class CleaningResult:
    """The dense history, and one Repair for each of REPAIRS, including those that changed no row."""

    history: SalesHistory
    repairs: tuple[Repair, ...]
    set_aside_days: pd.DataFrame  # store, date, has_row, and share: of the stores on this day


def clean(raw: RawTables, horizon_days: int = HORIZON_DAYS) -> CleaningResult:
    """The dense history of checked raw rows, and the repairs that it needed.

    Attributes of stores that begin later than what is known on the last day are left out, as in any earlier past.
    """
    has_sales, is_planned = _has_sales(raw.stores, raw.days), _is_planned(raw, horizon_days)
    stores = raw.stores.at(has_sales | is_planned)
    past, sales, traffic = _past(raw.days[raw.days["store"].isin(stores.number)], stores)
    holidays_of = _holidays_of(raw, stores)
    past = _complete_holidays(past, holidays_of)
    is_open = np.where(np.isnan(past.open), np.where(np.isnan(sales), np.nan, sales > 0), past.open)
    is_expected = _expected_days(is_open)
    is_added = _missing_closed_days(is_open, is_expected, past)
    is_missing = np.isnan(is_open) & np.isnan(past.promotion) & is_expected & ~is_added
    is_unusable = ~np.isnan(past.promotion) & np.isnan(sales)
    set_aside_days = _set_aside_days(is_missing, is_unusable, is_expected, stores, past.dates)
    counts = {
        "amounts_unusable": is_unusable.sum(),
        "open_day_missing": is_missing.sum(),
        "open_missing": (np.isnan(past.open) & ~np.isnan(sales)).sum(),
        "open_without_sales": ((is_open == 1) & (sales == 0)).sum(),
        "closed_day_missing": is_added.sum(),
        "store_new": (is_planned & ~has_sales).sum(),
        "store_without_history": len(raw.stores.number) - len(stores.number),
    }
    sales, traffic, is_open = (np.where(is_added, 0.0, values) for values in (sales, traffic, is_open))
    exists = ~np.isnan(sales)
    habit = opening_habit(is_open, exists, past.dates)
    past = _complete_past(past, is_open, habit)
    plan, plan_counts = _plan(raw.plan, stores, exists, past.dates[-1], horizon_days)
    calendar = _join_calendars(past, complete_plan(plan, Past(past, exists, habit), holidays_of))
    calendar = add_covariates(_add_later_holidays(calendar, holidays_of), stores, raw.covariates)
    rows = counts | plan_counts
    repairs = tuple(Repair(name, *texts, int(rows[name])) for name, texts in REPAIRS.items())
    stores = stores.as_of(past.dates[-1], calendar.dates[-1])
    return CleaningResult(SalesHistory(stores, calendar, sales, traffic, raw.chain), repairs, set_aside_days)


def _holidays_of(raw: RawTables, stores: Stores) -> RegionalHolidays | None:
    """The chain's holidays of these stores; None if they are to be inferred."""
    return partial(raw.regional_holidays, stores) if raw.regional_holidays else None


def _complete_holidays(past: RawCalendar, holidays_of: RegionalHolidays | None) -> RawCalendar:
    """The holidays of days without a row, where the chain's are known."""
    if holidays_of is None:
        return past
    return replace(past, holiday_kind=fill_nan(past.holiday_kind, _holiday_kinds(holidays_of, past.dates)))


def _add_later_holidays(calendar: Calendar, holidays_of: RegionalHolidays | None) -> Calendar:
    """The calendar with the holidays of the days after it, where the chain's are known."""
    if holidays_of is None:
        return calendar
    later_dates = calendar.dates[-1] + DAY * np.arange(1, LATER_HOLIDAY_DAYS + 1)
    return replace(calendar, later_holiday_kind=_holiday_kinds(holidays_of, later_dates))


def _holiday_kinds(holidays_of: RegionalHolidays, dates: np.ndarray) -> np.ndarray:
    """Codes of the stores' holidays on consecutive dates. int8 [stores, days]"""
    calendar, region = holidays_of(dates)
    return calendar.holiday_kind[region]


def _has_sales(stores: Stores, days: pd.DataFrame) -> np.ndarray:
    """Whether a store has a row of sales that can be used. bool [stores]"""
    return np.isin(stores.number, days.loc[days["sales"].notna(), "store"].unique())


def _is_planned(raw: RawTables, horizon_days: int) -> np.ndarray:
    """Whether a store has a planned day within the horizon. bool [stores]"""
    lead = raw.plan["date"] - raw.days["date"].max()
    within = (lead > pd.Timedelta(0)) & (lead <= pd.Timedelta(days=horizon_days))
    return np.isin(raw.stores.number, raw.plan.loc[within, "store"].unique())


def _past(days: pd.DataFrame, stores: Stores) -> tuple[RawCalendar, np.ndarray, np.ndarray]:
    """Calendar, sales and traffic of the rows, unchanged, as panels. NaN where there is no row."""
    day = days["date"].to_numpy().astype("datetime64[D]")
    dates = np.arange(day.min(), day.max() + 1)
    store, column = stores.positions(days["store"].to_numpy()), (day - dates[0]).astype(int)

    def panel_of(name: str) -> np.ndarray:
        return panel((len(stores.number), len(dates)), store, column, days[name].to_numpy())

    return raw_calendar(dates, panel_of), panel_of("sales"), panel_of("traffic")


def _plan(
    plan: pd.DataFrame, stores: Stores, exists: np.ndarray, origin: np.datetime64, horizon_days: int
) -> tuple[RawCalendar, dict[str, int]]:
    """The plan's rows of the days after the origin as panels, and the number of rows of each repair."""
    dates = np.arange(origin + 1, origin + 1 + horizon_days)
    number = plan["store"].to_numpy()
    day = (plan["date"].to_numpy().astype("datetime64[D]") - dates[0]).astype(int)
    has_history = stores.contains(number)
    is_used = has_history & (day >= 0) & (day < horizon_days)
    rows = np.flatnonzero(is_used)[::-1]  # the first row of a day is written last, so it replaces the others
    store = stores.positions(number[rows])

    def panel_of(name: str) -> np.ndarray:
        return panel((len(stores.number), horizon_days), store, day[rows], plan[name].to_numpy()[rows])

    calendar = raw_calendar(dates, panel_of)
    has_row, is_gone = ~np.isnan(calendar.promotion), gone_stores(calendar, exists)
    is_far = has_history & (day >= horizon_days) & plan["is_published"].to_numpy()
    return calendar, {
        "plan_open_missing": (has_row & np.isnan(calendar.open)).sum(),
        "plan_row_missing": (~has_row[~is_gone]).sum(),
        "plan_store_gone": is_gone.sum() * horizon_days,
        "plan_row_past": (has_history & (day < 0)).sum(),
        "plan_row_beyond_horizon": is_far.sum(),
        "plan_store_without_history": (~has_history).sum(),
    }


def _expected_days(is_open: np.ndarray) -> np.ndarray:
    """Days between a store's first and last row, outside whole closures. bool [stores, days]"""
    is_missing = np.isnan(is_open)
    is_active = ~_before_first_row(is_missing) & ~_before_first_row(is_missing[:, ::-1])[:, ::-1]
    return is_active & (_run_length(is_missing) < CLOSURE_DAYS)


def _set_aside_days(
    is_missing: np.ndarray, is_unusable: np.ndarray, is_expected: np.ndarray, stores: Stores, dates: np.ndarray
) -> pd.DataFrame:
    """The days that are missing or unusable, and their `share` of all stores that are expected on the same day."""
    is_set_aside = is_missing | is_unusable
    share = is_set_aside.sum(axis=0) / np.maximum(is_expected.sum(axis=0), 1)
    store, day = np.nonzero(is_set_aside)
    date = dates[day].astype(DTYPES["date"])
    columns = {"store": stores.number[store], "date": date, "has_row": is_unusable[store, day], "share": share[day]}
    return pd.DataFrame(columns)


def _missing_closed_days(is_open: np.ndarray, is_expected: np.ndarray, past: RawCalendar) -> np.ndarray:
    """Expected days without a row on which the store was closed.

    It was closed if it is open on fewer than half of such weekdays. Also if, of the stores that usually are open on
    such a weekday, most of those with a row are closed; or, on a state holiday, fewer than half of them have a row
    and are open. bool [stores, days]
    """
    is_rest_day = _rarely_open(is_open == 1, is_expected, past.dates)[:, weekday(past.dates)]
    few_open = ((is_open == 1) & ~is_rest_day).sum(axis=0) < (is_expected & ~is_rest_day).sum(axis=0) / 2
    mostly_closed = mean(np.where(is_rest_day, np.nan, is_open), axis=0) < 0.5
    chain_closed = mostly_closed | (few_open & (most_common(past.holiday_kind) > 0))
    return np.isnan(is_open) & np.isnan(past.promotion) & is_expected & (is_rest_day | chain_closed)


def _rarely_open(is_open: np.ndarray, is_expected: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whether a store is open on fewer than half of at least MIN_WEEKDAY_DAYS expected days. bool [stores, 7]"""
    days, open_days = count_by_weekday(is_expected, dates), count_by_weekday(is_open, dates)
    return (days >= MIN_WEEKDAY_DAYS) & (open_days < days / 2)


def _before_first_row(is_missing: np.ndarray) -> np.ndarray:
    """Whether a day is before the store's first row. bool [stores, days]"""
    return np.logical_and.accumulate(is_missing, axis=1)


def _run_length(flags: np.ndarray) -> np.ndarray:
    """For every flagged day, the length of its run of consecutive flagged days; 0 elsewhere. int32 [stores, days]"""
    padded = np.pad(flags, ((0, 0), (1, 1))).astype(np.int8)
    edges = np.diff(padded, axis=1)
    store, start = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    length = np.zeros((flags.shape[0], flags.shape[1] + 1), dtype=np.int32)
    np.add.at(length, (store, start), (end - start).astype(np.int32))
    np.add.at(length, (store, end), -(end - start).astype(np.int32))
    return np.cumsum(length, axis=1)[:, :-1]


def _complete_past(past: RawCalendar, is_open: np.ndarray, habit: np.ndarray) -> RawCalendar:
    """Fill days without a row: open by habit, no school break, promotion and kind of holiday as in most stores.

    They are not set to closed: nobody planned that the store has no rows, so the plan of a backtest must not say it.
    """
    return RawCalendar(
        past.dates,
        fill_nan(is_open, habit[:, weekday(past.dates)]),
        fill_nan(past.promotion, mean(past.promotion, axis=0) >= 0.5),
        fill_nan(past.holiday_kind, most_common(past.holiday_kind)),
        np.nan_to_num(past.school_break),
    )


def _join_calendars(past: RawCalendar, plan: RawCalendar) -> Calendar:
    panels = {
        name: np.concatenate([getattr(past, name), getattr(plan, name)], axis=1).astype(np.int8)
        for name in CALENDAR_COLUMNS
    }
    return Calendar(np.concatenate([past.dates, plan.dates]), **panels)
