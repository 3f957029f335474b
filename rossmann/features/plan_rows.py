"""The rows of a plan beside the State: what the features of a row are computed from."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rossmann.data import Calendar, Plan, Stores
from rossmann.features import ridge_design, store_ridge
from rossmann.features.calendar import (
    REOPENING_CAP_DAYS,
    DateParts,
    date_parts,
    days_since_reopening,
    prefix_counts,
)
from rossmann.features.state import State
from rossmann.schema import CALENDAR_COLUMNS, DAY
from rossmann.validation import DataError

MIN_STANDARD_DEVIATION = 1e-6  # of sales that the linear model reproduces: bounds must not divide by 0


def join_plan(state: State, plan: Plan) -> "PlanRows":
    """The plan's rows laid over a copy of the published plan.

    DataError for a day outside the horizon or an unknown store.
    """
    lead_days = (plan.date - state.origin).astype(np.int64)
    _check_horizon(state, plan, lead_days)
    store_positions, row_store = np.unique(state.stores.positions(plan.store), return_inverse=True)
    row_day = len(state.calendar.dates) - state.horizon_days - 1 + lead_days
    panels = {}
    for name in CALENDAR_COLUMNS:
        panels[name] = getattr(state.calendar, name)[store_positions]  # a copy, as the positions are an array
        panels[name][row_store, row_day] = getattr(plan, name)
    covariates = state.calendar.covariates[:, store_positions]  # a copy, too
    if plan.covariates.shape[1]:
        covariates[:, row_store, row_day] = plan.covariates.T
    calendar = replace(state.calendar.of_stores(store_positions), covariates=covariates, **panels)
    return PlanRows(state, calendar, store_positions, row_store, row_day)


def published_plan(state: State, stores: slice = slice(None)) -> Plan:
    """A row for each of these stores and each day of the horizon, by store, then date, as the snapshot has them."""
    days = slice(-state.horizon_days, None)
    columns = {name: getattr(state.calendar, name)[stores, days].ravel() for name in CALENDAR_COLUMNS}
    numbers = state.store_numbers[stores]
    return Plan(np.repeat(numbers, state.horizon_days), np.tile(state.calendar.dates[days], len(numbers)), **columns)


def past_rows(state: State, stores: slice) -> "PlanRows":
    """A row for each of these stores and each day of the calendar up to the origin, by store, then date."""
    positions = np.arange(len(state.store_numbers))[stores]
    days = len(state.calendar.dates) - state.horizon_days
    row_store, row_day = np.repeat(np.arange(len(positions)), days), np.tile(np.arange(days), len(positions))
    return PlanRows(state, state.calendar.of_stores(positions), positions, row_store, row_day)


def _check_horizon(state: State, plan: Plan, lead_days: np.ndarray) -> None:
    outside = (lead_days < 1) | (lead_days > state.horizon_days)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            f"plan for store {plan.store[row]} has a row for {plan.date[row]}, but the last day with known sales is "
            f"{state.origin}; plan days from {state.origin + DAY} to {state.calendar.dates[-1]}"
        )


@dataclass(frozen=True)
class PlanRows:
    """The rows of a plan. Row i is the day row_day[i] of the store store_positions[row_store[i]] in the calendar.

    The values of the features in `rossmann.features.columns` are computed from the properties below.
    """

    state: State
    calendar: Calendar  # [stores of the plan, CONTEXT_DAYS + horizon]
    store_positions: np.ndarray  # positions of the plan's stores in the State, ascending
    row_store: np.ndarray  # int64 [rows]
    row_day: np.ndarray  # int64 [rows]

    def __len__(self) -> int:
        return len(self.row_day)

    def on_day(self, panel: np.ndarray) -> np.ndarray:
        """The value of each row in a panel [stores of the plan, days]. [rows]"""
        return panel[self.row_store, self.row_day]

    def on_date(self, values: np.ndarray) -> np.ndarray:
        """The value of each row's day in values of the calendar's dates [days]. [rows]"""
        return values[self.row_day]

    def at_store(self, values: np.ndarray) -> np.ndarray:
        """The value of each row's store in values of all stores [stores, …]. [rows, …]"""
        return values[self.store_positions[self.row_store]]

    def in_cell(self, cells: np.ndarray) -> np.ndarray:
        """The value at each row's store, weekday and promotion in values [stores, weekday, promotion]. [rows]"""
        weekday, promotion = self.on_date(self.date_parts.weekday), self.on_day(self.calendar.promotion)
        return cells[self.store_positions[self.row_store], weekday, promotion]

    def on_lead_day(self, values: np.ndarray) -> np.ndarray:
        """The value at each row's store and day of the horizon in values [stores, horizon, …]. [rows, …]"""
        return values[self.store_positions[self.row_store], self.lead_days - 1]

    def count_around(self, counts: np.ndarray, first: int, last: int) -> np.ndarray:
        """How many of the days day + first … day + last of each row have the flag whose `prefix_counts` these are."""
        days = counts.shape[1] - 1
        stop = np.minimum(np.maximum(self.row_day + last + 1, 0), days)
        start = np.minimum(np.maximum(self.row_day + first, 0), days)
        return counts[self.row_store, stop] - counts[self.row_store, start]

    # Panels of the days around the rows: [stores of the plan, days].

    @cached_property
    def has_promotion(self) -> np.ndarray:
        """Whether the store has a promotion. bool"""
        return self.calendar.promotion == 1

    @cached_property
    def closed(self) -> np.ndarray:
        """Whether the store is closed. bool"""
        return self.calendar.open == 0

    @cached_property
    def closed_except_rest_day(self) -> np.ndarray:
        """Whether the store is closed and the day is not the weekday on which most stores always are. bool"""
        return self.closed & (self.date_parts.weekday != self.state.weekdays.rest)

    @cached_property
    def holiday(self) -> np.ndarray:
        """Whether the day is a state holiday of the store; of the later days that the calendar knows, too. bool"""
        return self.calendar.all_holiday_kinds > 0

    @cached_property
    def school(self) -> np.ndarray:
        """Whether the day is a school holiday of the store. bool"""
        return self.calendar.school_break == 1

    @cached_property
    def since_reopening(self) -> np.ndarray:
        """Days since the first open day after a long closure. int64"""
        return days_since_reopening(self.closed, REOPENING_CAP_DAYS)

    @cached_property
    def promotion_counts(self) -> np.ndarray:
        """Days with a promotion before each day. int64 [stores of the plan, days + 1]"""
        return prefix_counts(self.has_promotion)

    @cached_property
    def open_counts(self) -> np.ndarray:
        """Open days before each day. int64 [stores of the plan, days + 1]"""
        return prefix_counts(~self.closed)

    @cached_property
    def lead_days(self) -> np.ndarray:
        """Days after the origin, from 1. int64 [rows]"""
        return self.row_day - (len(self.calendar.dates) - self.state.horizon_days) + 1

    @cached_property
    def open(self) -> np.ndarray:
        """Whether the store is open. bool [rows]"""
        return self.on_day(self.calendar.open) == 1

    @cached_property
    def date_parts(self) -> DateParts:
        """The parts of the calendar's dates. [days]"""
        return date_parts(self.calendar.dates)

    @cached_property
    def stores(self) -> Stores:
        """The plan's stores."""
        return self.state.stores.at(self.store_positions)

    @cached_property
    def ridge(self) -> np.ndarray:
        """Log sales by the linear model, without any correction. float64 [rows]"""
        log_sales = store_ridge.predict(self.state.ridge, self.store_positions, self._design)
        return log_sales[self.row_store, self.row_day - self._days.start]

    @cached_property
    def variance(self) -> np.ndarray:
        """Variance of the linear model's error. float64 [rows]"""
        weekday = self.date_parts.weekday[self._days]
        variance = store_ridge.variance(self.state.ridge, self.store_positions, self._design, weekday)
        return variance[self.row_store, self.row_day - self._days.start]

    @property
    def standard_deviation(self) -> np.ndarray:
        """Standard deviation of the linear model's error; never below MIN_STANDARD_DEVIATION. float64 [rows]"""
        return np.maximum(np.sqrt(self.variance), MIN_STANDARD_DEVIATION)

    @cached_property
    def _design(self) -> np.ndarray:
        breaks = self.state.breaks.of_stores(self.store_positions)
        return ridge_design.design(
            self.calendar, self.stores, breaks, self.state.origin, self._days, self.state.weekdays
        )[1]

    @cached_property
    def _days(self) -> slice:
        """The days from the first to the last row's. The linear model is computed for these days only."""
        days = len(self.calendar.dates)  # without rows: none
        return slice(int(self.row_day.min(initial=days)), int(self.row_day.max(initial=-1)) + 1)
