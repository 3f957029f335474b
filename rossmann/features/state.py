"""Everything that the features need from the past, computed once per origin."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from rossmann.chain import KAGGLE_CHAIN, Chain
from rossmann.data import Calendar, SalesHistory, Stores
from rossmann.features import chain_ridge, levels, store_ridge
from rossmann.features.calendar import extend_calendar
from rossmann.features.new_stores import lifetime_level
from rossmann.features.ridge_design import CONTEXT_DAYS, DESIGN_LOOKAHEAD_DAYS
from rossmann.features.school_breaks import SchoolBreaks, fit_school_breaks
from rossmann.features.weekdays import Weekdays, learn_weekdays
from rossmann.schema import DAY


@dataclass(frozen=True, eq=False)  # a State is equal to itself only: what is computed from it can be cached
class State:
    """What was known on `origin`, in the form that `build` needs."""

    origin: np.datetime64  # the last known day
    stores: Stores
    calendar: Calendar  # the last days, usually CONTEXT_DAYS, and the published plan of the horizon after them
    breaks: SchoolBreaks  # on the days of the calendar
    weekdays: Weekdays
    levels: levels.Levels
    ridge: store_ridge.StoreRidge
    chain: Chain = KAGGLE_CHAIN  # how the files are described

    @cached_property
    def horizon_days(self) -> int:
        """How many days after the origin can be forecast."""
        return int((self.calendar.dates[-1] - self.origin).astype(int))

    @property
    def store_numbers(self) -> np.ndarray:
        """The numbers of the stores, ascending. int32"""
        return self.stores.number


@threadpool_limits.wrap(limits=1, user_api="blas")  # sums of two threads differ in their last bits from those of one
def fit_state(past: SalesHistory, context_days: int = CONTEXT_DAYS) -> State:
    """Fit the State of a history on its origin and for its horizon; after the origin only the calendar is read.

    context_days: how many days up to the origin its calendar has.
    """
    origin, dates, horizon_days = past.origin, past.dates, past.horizon_days
    days = len(dates)
    calendar = extend_calendar(past.calendar, origin + DESIGN_LOOKAHEAD_DAYS * DAY)
    sold = (past.sales > 0) & (calendar.open[:, :days] == 1)
    sales = np.where(sold, past.sales, np.nan)
    log_sales = np.log(sales)
    promotion, school_break = calendar.promotion[:, :days], calendar.school_break[:, :days]
    ridge_calendar = calendar.between(dates[0], origin + DESIGN_LOOKAHEAD_DAYS * DAY)
    breaks, weekdays = fit_school_breaks(past, calendar.dates), learn_weekdays(past)
    fit_ridge = store_ridge.fit if past.chain.is_kaggle else chain_ridge.fit_chain
    context = slice(max(days - context_days, 0), days + horizon_days)
    return State(
        origin=origin,
        stores=past.stores,
        calendar=calendar.between(calendar.dates[context][0], calendar.dates[context][-1]),
        breaks=breaks.of_days(context),
        weekdays=weekdays,
        levels=levels.fit_levels(
            dates, promotion, school_break, sales, past.traffic, horizon_days, lifetime_level(log_sales, past.stores)
        ),
        ridge=fit_ridge(ridge_calendar, past.stores, breaks.of_days(slice(days)), log_sales, weekdays),
        chain=past.chain,
    )
