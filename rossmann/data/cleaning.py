"""Raw rows to one dense history: every cure has its rule here, is counted and is told."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.data.panel import HORIZON_DAYS, Calendar, SalesHistory, Stores
from rossmann.data.raw import PLAN_FILE, Raw
from rossmann.validation import CLOSURE_DAYS, MONTHS, Repair

HABIT_DAYS = 56
FEW_DAYS = 4  # of one weekday: with fewer, a missing row is no sign of a habit
YEAR_DAYS = 364  # 52 whole weeks: the same weekday a year before

REPAIRS = {
    "open_missing": ("a past day without Open", "open if it has sales, else closed"),
    "open_without_sales": ("open with zero sales", "kept as planned; never learnt from, never scored"),
    "closed_day_missing": (
        f"no row (fewer than {CLOSURE_DAYS} in a row) on a weekday the store, or a day most stores, are closed",
        "row added: closed, no sales",
    ),
    "plan_open_missing": ("a planned day without Open", "open by the store's habit on that weekday"),
    "plan_row_missing": (
        "a day after the origin, up to the horizon, that no plan covers",
        "promo and school holiday as 52 weeks before, or as the other stores' plan has it; open by habit",
    ),
    "plan_row_past": ("a planned day on or before the origin", "left out: what happened is known"),
    "plan_row_far": ("a planned day beyond the horizon", "left out"),
    "plan_store_without_history": ("a planned day of a store that never had a row", "left out"),
    "store_without_history": ("a store with attributes but without any row", "left out"),
}


@dataclass(frozen=True)
class Cleaned:
    history: SalesHistory
    repairs: tuple[Repair, ...]  # one per rule of REPAIRS, also where it had nothing to do


@dataclass(frozen=True)
class _Calendar:
    """float64 [stores, days] with NaN where nothing is said."""

    dates: np.ndarray
    open: np.ndarray
    promo: np.ndarray
    state_holiday: np.ndarray
    school_holiday: np.ndarray


def clean(raw: Raw, horizon_days: int = HORIZON_DAYS) -> Cleaned:
    """The dense history of raw rows that passed `validation.check_raw`, and what was repaired for it."""
    counts = dict.fromkeys(REPAIRS, 0)
    stores = _stores(raw.stores, raw.days)
    counts["store_without_history"] = len(raw.stores) - len(stores.number)
    past, sales, customers = _past(raw.days, stores.number)
    counts["open_missing"] = int((np.isnan(past.open) & ~np.isnan(sales)).sum())
    opened = np.where(np.isnan(past.open), np.where(np.isnan(sales), np.nan, sales > 0), past.open)
    counts["open_without_sales"] = int(((opened == 1) & (sales == 0)).sum())
    added = _closed_days_missing(opened, past)
    counts["closed_day_missing"] = int(added.sum())
    sales, customers = np.where(added, 0.0, sales), np.where(added, 0.0, customers)
    opened = np.where(added, 0.0, opened)
    habit = open_habit(opened, sales, past.dates)
    known = _complete_past(past, opened, habit)
    to_come, planned = _to_come(raw.plan, stores.number, known.dates[-1], horizon_days)
    counts.update(planned)
    calendar = _joined(known, _complete_plan(to_come, known, habit))
    repairs = tuple(Repair(name, *REPAIRS[name], rows) for name, rows in counts.items())
    return Cleaned(SalesHistory(stores, calendar, sales, customers), repairs)


def open_habit(opened: np.ndarray, sales: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whether a store is usually open on a weekday (Monday first): the majority of its last 8 weeks' rows.

    Where it has none there: of all its rows; then of the chain's. bool [stores, 7]
    """
    recent = _open_share(opened[:, -HABIT_DAYS:], sales[:, -HABIT_DAYS:], dates[-HABIT_DAYS:])
    ever = _open_share(opened, sales, dates)
    chain = _mean(ever, axis=0)
    share = np.where(np.isnan(recent), np.where(np.isnan(ever), chain, ever), recent)
    return np.nan_to_num(share, nan=0.0) >= 0.5


def weekday(dates: np.ndarray) -> np.ndarray:
    """0 Monday … 6 Sunday."""
    return (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7


def _open_share(opened: np.ndarray, sales: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """[stores, 7], NaN where a store has no row on that weekday."""
    day = weekday(dates)
    exists = ~np.isnan(sales)
    rows = np.stack([exists[:, day == d].sum(axis=1) for d in range(7)], axis=1)
    open_rows = np.stack([((opened == 1) & exists)[:, day == d].sum(axis=1) for d in range(7)], axis=1)
    return np.where(rows > 0, open_rows / np.maximum(rows, 1), np.nan)


def _past(days: pd.DataFrame, number: np.ndarray) -> tuple[_Calendar, np.ndarray, np.ndarray]:
    """The rows as they stand, on a dense grid: NaN where there is no row."""
    day = days["Date"].to_numpy().astype("datetime64[D]")
    dates = np.arange(day.min(), day.max() + 1)
    at = np.searchsorted(number, days["Store"].to_numpy()), (day - dates[0]).astype(int)

    def laid(column: str) -> np.ndarray:
        grid = np.full((len(number), len(dates)), np.nan)
        grid[at] = days[column].to_numpy()
        return grid

    calendar = _Calendar(dates, laid("Open"), laid("Promo"), laid("StateHoliday"), laid("SchoolHoliday"))
    return calendar, laid("Sales"), laid("Customers")


def _closed_days_missing(opened: np.ndarray, past: _Calendar) -> np.ndarray:
    """Days without a row, within a store's life and outside whole closures, when it must have been closed.

    It must if it is open on fewer than half of such weekdays of its life. Also if, of the stores usually open on
    such a weekday, most that have a row are closed; or, on a state holiday, fewer than half have a row and are open.
    """
    missing = np.isnan(opened)
    in_life = ~_before_first(missing) & ~_before_first(missing[:, ::-1])[:, ::-1]
    expected = in_life & (_run_length(missing) < CLOSURE_DAYS)
    rest_day = _rarely_open(opened == 1, expected, past.dates)[:, weekday(past.dates)]
    few_open = ((opened == 1) & ~rest_day).sum(axis=0) < (expected & ~rest_day).sum(axis=0) / 2
    mostly_closed = _mean(np.where(rest_day, np.nan, opened), axis=0) < 0.5
    shut = mostly_closed | (few_open & (_most_common(past.state_holiday) > 0))
    return missing & expected & (rest_day | shut)


def _rarely_open(opened: np.ndarray, expected: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whether a store is open on fewer than half of a weekday's days, with `FEW_DAYS` of them at least. [stores, 7]"""
    day = weekday(dates)
    days = np.stack([expected[:, day == d].sum(axis=1) for d in range(7)], axis=1)
    open_days = np.stack([opened[:, day == d].sum(axis=1) for d in range(7)], axis=1)
    return (days >= FEW_DAYS) & (open_days < days / 2)


def _before_first(missing: np.ndarray) -> np.ndarray:
    """True before a store's first row."""
    return np.logical_and.accumulate(missing, axis=1)


def _run_length(flags: np.ndarray) -> np.ndarray:
    """For every flagged day, how many flagged days in a row it belongs to; 0 elsewhere. [stores, days]"""
    padded = np.pad(flags, ((0, 0), (1, 1))).astype(np.int8)
    edges = np.diff(padded, axis=1)
    store, start = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    length = np.zeros((flags.shape[0], flags.shape[1] + 1), dtype=np.int32)
    np.add.at(length, (store, start), (end - start).astype(np.int32))
    np.add.at(length, (store, end), -(end - start).astype(np.int32))
    return np.cumsum(length, axis=1)[:, :-1]


def _complete_past(past: _Calendar, opened: np.ndarray, habit: np.ndarray) -> _Calendar:
    """Days without a row: open by habit, no school holiday; promo and state holiday as most stores have it.

    Not closed: that a store was to leave the books was in nobody's plan, and must not be in a backtest's.
    """
    return _Calendar(
        past.dates,
        _filled(opened, habit[:, weekday(past.dates)]),
        _filled(past.promo, _mean(past.promo, axis=0) >= 0.5),
        _filled(past.state_holiday, _most_common(past.state_holiday)),
        np.nan_to_num(past.school_holiday),
    )


def _to_come(
    plan: pd.DataFrame, number: np.ndarray, origin: np.datetime64, horizon_days: int
) -> tuple[_Calendar, dict[str, int]]:
    """The plan's rows of the days after the origin, NaN where it has none; earlier files go first."""
    dates = np.arange(origin + 1, origin + 1 + horizon_days)
    day = (plan["Date"].to_numpy().astype("datetime64[D]") - dates[0]).astype(int)
    store = np.searchsorted(number, plan["Store"].to_numpy())
    known = np.isin(plan["Store"].to_numpy(), number)
    used = known & (day >= 0) & (day < horizon_days)
    rows = np.flatnonzero(used)[::-1]  # the first row of a day is written last, and stays
    at = store[rows], day[rows]

    def laid(column: str) -> np.ndarray:
        grid = np.full((len(number), horizon_days), np.nan)
        grid[at] = plan[column].to_numpy()[rows]
        return grid

    calendar = _Calendar(dates, laid("Open"), laid("Promo"), laid("StateHoliday"), laid("SchoolHoliday"))
    covered = ~np.isnan(calendar.promo)
    return calendar, {
        "plan_open_missing": int((covered & np.isnan(calendar.open)).sum()),
        "plan_row_missing": int((~covered).sum()),
        "plan_row_past": int((known & (day < 0)).sum()),
        "plan_row_far": int((known & (day >= horizon_days) & (plan["file"] == PLAN_FILE)).sum()),
        "plan_store_without_history": int((~known).sum()),
    }


def _complete_plan(plan: _Calendar, past: _Calendar, habit: np.ndarray) -> _Calendar:
    """Where a store has no plan: as the other stores' plan has it, else the calendar of 52 weeks before."""
    covered = ~np.isnan(plan.promo)
    told = covered.any(axis=0)
    before = (plan.dates - YEAR_DAYS - past.dates[0]).astype(int)
    known = (before >= 0) & (before < len(past.dates))
    at = np.clip(before, 0, len(past.dates) - 1)
    promo = np.where(told, _mean(plan.promo, axis=0) >= 0.5, known * past.promo[:, at])
    school = known * past.school_holiday[:, at]
    state = np.where(told, _most_common(plan.state_holiday), 0)
    opened = habit[:, weekday(plan.dates)] & ~(~covered & (state > 0))
    return _Calendar(
        plan.dates,
        _filled(plan.open, opened),
        _filled(plan.promo, promo),
        _filled(plan.state_holiday, state),
        _filled(plan.school_holiday, school),
    )


def _joined(past: _Calendar, plan: _Calendar) -> Calendar:
    def both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.concatenate([a, b], axis=1).astype(np.int8)

    return Calendar(
        np.concatenate([past.dates, plan.dates]),
        both(past.open, plan.open),
        both(past.promo, plan.promo),
        both(past.state_holiday, plan.state_holiday),
        both(past.school_holiday, plan.school_holiday),
    )


def _filled(values: np.ndarray, default: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), default, values)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is known; NaN where nothing is."""
    known = (~np.isnan(values)).sum(axis=axis)
    return np.where(known > 0, np.nansum(values, axis=axis) / np.maximum(known, 1), np.nan)


def _most_common(codes: np.ndarray) -> np.ndarray:
    """The code most stores have on each day; 0 where none has any."""
    return np.stack([(codes == code).sum(axis=0) for code in range(4)]).argmax(axis=0)


def _stores(attributes: pd.DataFrame, days: pd.DataFrame) -> Stores:
    """The attributes of the stores that have at least one row, by number."""
    a = attributes[attributes["Store"].isin(days["Store"].unique())].sort_values("Store")
    year, month = a["CompetitionOpenSinceYear"].to_numpy(), a["CompetitionOpenSinceMonth"].to_numpy()
    takes_part = a["Promo2"].to_numpy() == 1
    return Stores(
        number=a["Store"].to_numpy(dtype=np.int32),
        store_type=a["StoreType"].to_numpy(dtype=np.int8),
        assortment=a["Assortment"].to_numpy(dtype=np.int8),
        competition_distance_m=a["CompetitionDistance"].to_numpy(dtype=float),
        competition_since=_month(year, month),
        promo2=takes_part,
        promo2_since=np.where(
            takes_part,
            _iso_monday(a["Promo2SinceYear"].to_numpy(), a["Promo2SinceWeek"].to_numpy()),
            np.datetime64("NaT", "D"),
        ),
        promo2_months=_round_starts(a["PromoInterval"]) & takes_part[:, None],
    )


def _month(year: np.ndarray, month: np.ndarray) -> np.ndarray:
    """datetime64[M], NaT where either is NaN."""
    unknown = np.isnan(year) | np.isnan(month)
    months = (np.nan_to_num(year, nan=1970) - 1970) * 12 + np.nan_to_num(month, nan=1) - 1
    return np.where(unknown, np.datetime64("NaT", "M"), months.astype(np.int64).astype("datetime64[M]"))


def _iso_monday(year: np.ndarray, week: np.ndarray) -> np.ndarray:
    """The Monday of an ISO week, datetime64[D]; NaT where either is NaN."""
    unknown = np.isnan(year) | np.isnan(week)
    years = (np.nan_to_num(year, nan=1970) - 1970).astype(np.int64).astype("datetime64[Y]")
    fourth = years.astype("datetime64[D]") + 3  # 4 January always lies in week 1
    monday = fourth - weekday(fourth) + (7 * (np.nan_to_num(week, nan=1) - 1)).astype(np.int64)
    return np.where(unknown, np.datetime64("NaT", "D"), monday)


def _round_starts(intervals: pd.Series) -> np.ndarray:
    """Months in which a round of promo2 starts, from "Jan,Apr,Jul,Oct". bool [stores, 12]"""
    text = intervals.fillna("").astype(str)
    return np.stack([text.str.contains(month).to_numpy() for month in MONTHS], axis=1)
