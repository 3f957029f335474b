"""The plan beside the past: one row of numbers per store and coming day."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rossmann.data import Calendar, Plan
from rossmann.features import level, ridge
from rossmann.features.calendar import (
    DAY,
    GONE_DAYS,
    Dates,
    closing_in,
    count_between,
    days_since,
    days_until,
    promo2_phase,
    reopened_since,
    shifted,
    take_apart,
)
from rossmann.features.spec import FeatureSpec
from rossmann.features.state import HORIZON_DAYS, State

# Days; beyond, further is the same.
PROMO_CAP, HOLIDAY_CAP, CLOSED_CAP, SCHOOL_CAP, CLOSING_CAP, REOPENED_CAP = 14, 21, 14, 28, 14, 28


def build(state: State, plan: Plan, spec: FeatureSpec) -> np.ndarray:
    """One row per row of the plan, one column per `spec.columns`. float32, C-order; NaN is unknown.

    A row depends on the State, on its own values and on the other rows of the same store only.
    """
    return lay(state, plan).matrix(spec)


def lay(state: State, plan: Plan) -> "Rows":
    """The plan's rows over the published plan. ValueError for a day outside the horizon or an unknown store."""
    lead = (plan.date - state.origin).astype(np.int64)
    outside = (lead < 1) | (lead > HORIZON_DAYS)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(
            f"plan for store {plan.store[first]} asks for {plan.date[first]}, but sales are known "
            f"until {state.origin}; "
            f"plan days from {state.origin + DAY} to {state.origin + HORIZON_DAYS * DAY}"
        )
    stores, own = np.unique(state.positions(plan.store), return_inverse=True)
    c = state.calendar
    day = len(c.dates) - HORIZON_DAYS - 1 + lead

    def laid(published: np.ndarray, asked: np.ndarray) -> np.ndarray:
        values = published[stores]
        values[own, day] = asked
        return values

    calendar = Calendar(
        c.dates,
        laid(c.open, plan.open),
        laid(c.promo, plan.promo),
        laid(c.state_holiday, plan.state_holiday),
        laid(c.school_holiday, plan.school_holiday),
    )
    return Rows(state, calendar, stores, own, day)


@dataclass(frozen=True)
class Rows:
    """The rows of a plan, each the day `day` of the store `stores[own]` in a calendar of these stores."""

    state: State
    calendar: Calendar  # [asked stores, tail + horizon]
    stores: np.ndarray  # positions of the asked stores in the State, ascending
    own: np.ndarray  # [rows]
    day: np.ndarray  # [rows]

    def __len__(self) -> int:
        return len(self.day)

    @cached_property
    def open(self) -> np.ndarray:
        """bool [rows]"""
        return self.calendar.open[self.own, self.day] == 1

    @cached_property
    def ridge(self) -> np.ndarray:
        """The linear model's log sales, without any correction. float64 [rows]"""
        return ridge.predict(self.state.ridge, self.stores, self._design)[self.own, self._lead]

    @cached_property
    def variance(self) -> np.ndarray:
        """Of the linear model's error. float64 [rows]"""
        weekday = self._dates.weekday[-HORIZON_DAYS:]
        return ridge.variance(self.state.ridge, self.stores, self._design, weekday)[self.own, self._lead]

    @cached_property
    def expected(self) -> np.ndarray:
        """The cell's shrunken mean log sales. float64 [rows]"""
        return self.in_cell(self.state.levels.expected)

    def of_store(self, values: np.ndarray) -> np.ndarray:
        """A State's [stores, …] at each row's store."""
        return values[self.stores[self.own]]

    def in_cell(self, cells: np.ndarray) -> np.ndarray:
        """A State's [stores, weekday, promo] at each row's store, weekday and promo. [rows]"""
        return cells[self.stores[self.own], self._dates.weekday[self.day], self._plan(self.calendar.promo)]

    def matrix(self, spec: FeatureSpec) -> np.ndarray:
        """float32 [rows, columns of the spec], C-order."""
        columns = self._always
        if spec.neighbours:
            columns = columns | self._neighbours
        if spec.year_ago:
            columns = columns | self._year_ago
        if spec.ridge:
            columns = columns | self._ridge
        values = np.empty((len(self), len(spec.columns)), np.float32)
        for k, name in enumerate(spec.columns):
            values[:, k] = columns[name]
        return values

    @cached_property
    def _always(self) -> dict[str, np.ndarray]:
        return self._plain() | self._level() | self._attributes()

    @cached_property
    def _design(self) -> np.ndarray:
        stores = ridge.stores_at(self.state.attributes, self.stores)
        return ridge.design(self.calendar, stores, self.state.origin, slice(-HORIZON_DAYS, None))[1]

    @cached_property
    def _dates(self) -> Dates:
        return take_apart(self.calendar.dates)

    @property
    def _lead(self) -> np.ndarray:
        return self.day - (len(self.calendar.dates) - HORIZON_DAYS)  # from 0

    def _plan(self, panel: np.ndarray) -> np.ndarray:
        """A [asked stores, days] at each row."""
        return panel[self.own, self.day]

    def _plain(self) -> dict[str, np.ndarray]:
        d, c = self._dates, self.calendar
        return {
            "lead_days": self._lead + 1,
            "weekday": d.weekday[self.day],
            "day": d.day[self.day],
            "days_left": d.days_left[self.day],
            "promo": self._plan(c.promo),
            "state_holiday": self._plan(c.state_holiday),
            "school_holiday": self._plan(c.school_holiday),
        }

    def _attributes(self) -> dict[str, np.ndarray]:
        s = ridge.stores_at(self.state.attributes, self.stores)
        month = self.calendar.dates.astype("datetime64[M]")
        since = (month - s.competition_since[:, None]).astype(np.float32)
        since[np.isnat(s.competition_since)] = np.nan
        taking_part = (month - s.promo2_since.astype("datetime64[M]")[:, None]).astype(np.float32)
        taking_part[np.isnat(s.promo2_since)] = np.nan
        return {
            "store_type": s.store_type[self.own],
            "assortment": s.assortment[self.own],
            "competition_log_distance": np.log1p(s.competition_distance_m)[self.own],
            "competition_months": np.clip(self._plan(since), -12, 60),
            "promo2": s.promo2[self.own],
            "promo2_phase": self._plan(promo2_phase(self.calendar.dates, s)),
            "promo2_months": np.clip(self._plan(taking_part), -12, 60),
        }

    def _level(self) -> dict[str, np.ndarray]:
        v = self.state.levels
        part = np.searchsorted((6, 16, 26), self._dates.day, side="right")[self.day]
        recent = self.of_store(v.recent)
        return {
            "cell_expected": self.expected,
            "cell_count": self.in_cell(v.count),
            "cell_deviation": self.in_cell(v.deviation),
            "cell_median": self.in_cell(v.median),
            "departure_decayed": self.of_store(v.decayed),
            "departure_slope": self.of_store(v.slope),
            "school_effect": self.of_store(v.school),
            "month_effect": v.month_part[self.stores[self.own], part],
            "customers_recent": self.of_store(v.customers),
            "basket_recent": self.of_store(v.basket),
            "basket_level": self.of_store(v.basket_level),
        } | {f"departure_{days}": recent[:, k] for k, days in enumerate(level.RECENT_DAYS)}

    @cached_property
    def _neighbours(self) -> dict[str, np.ndarray]:
        c = self.calendar
        promo, closed, school = c.promo == 1, c.open == 0, c.school_holiday == 1
        holiday = c.state_holiday > 0
        shut = closed & (self._dates.weekday != 6)  # a Sunday's rest is no closure
        panels = {
            "promo_run": days_since(~promo, PROMO_CAP),
            "promo_next": days_until(promo, PROMO_CAP),
            "promo_in_7": count_between(promo, 1, 7),
            "promo_in_14": count_between(promo, 1, 14),
            "promo_past_7": count_between(promo, -7, -1),
            "promo_past_14": count_between(promo, -14, -1),
            "holiday_since": days_since(holiday, HOLIDAY_CAP),
            "holiday_until": days_until(holiday, HOLIDAY_CAP),
            "closed_since": days_since(shut, CLOSED_CAP),
            "closed_until": days_until(shut, CLOSED_CAP),
            "open_yesterday": ~shifted(closed, 1),
            "open_tomorrow": ~shifted(closed, -1),
            "open_past_7": count_between(~closed, -7, -1),
            "open_in_7": count_between(~closed, 1, 7),
            "school_run": days_since(~school, SCHOOL_CAP),
            "school_left": days_until(~school, SCHOOL_CAP),
            "school_since": days_since(school, SCHOOL_CAP),
            "school_until": days_until(school, SCHOOL_CAP),
        } | _closures(closed)
        return {name: self._plan(panel) for name, panel in panels.items()}

    @cached_property
    def _year_ago(self) -> dict[str, np.ndarray]:
        v = self.state.levels
        around = v.year_ago[self.stores[self.own], self._lead]
        on_year = self.of_store(v.on_year)
        return {f"year_ago_{days}": around[:, k] for k, days in enumerate(level.YEAR_AGO_AROUND)} | {
            "on_year_28": on_year[:, 0],
            "on_year_91": on_year[:, 1],
        }

    @cached_property
    def _ridge(self) -> dict[str, np.ndarray]:
        recent = self.of_store(self.state.ridge.recent)
        return {
            "ridge_over_expected": self.ridge - self.expected,
            "ridge_spread": np.sqrt(self.variance),
        } | {f"residual_{days}": recent[:, k] for k, days in enumerate(ridge.RECENT_DAYS)}


def _closures(closed: np.ndarray) -> dict[str, np.ndarray]:
    """A refurbishment to come, the last one, and how long it took. [stores, days]"""
    since = reopened_since(closed, REOPENED_CAP)
    run = days_since(~closed, GONE_DAYS)  # days closed so far, 0 when open
    last_closed = np.clip(np.arange(closed.shape[1]) - since - 1, 0, None)
    length = np.where(since < REOPENED_CAP, np.take_along_axis(run, last_closed, axis=1), 0)
    return {"closing_in": closing_in(closed, CLOSING_CAP), "reopened_since": since, "closure_length": length}
