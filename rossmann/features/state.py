"""All that features need of the past, computed once per origin."""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from rossmann.data import Calendar, SalesHistory, Stores
from rossmann.features import level, ridge
from rossmann.features.calendar import DAY, extended

HORIZON_DAYS = 48
TAIL_DAYS = ridge.CONTEXT_DAYS  # of the past that the features of a coming day look back on


@dataclass(frozen=True)
class State:
    """What was known on `origin`."""

    origin: np.datetime64
    attributes: Stores
    calendar: Calendar  # the TAIL_DAYS up to the origin and the published plan of the HORIZON_DAYS after it
    levels: level.Levels
    ridge: ridge.Ridge

    @property
    def stores(self) -> np.ndarray:
        """The stores' numbers, ascending. int32"""
        return self.attributes.number

    def positions(self, store: np.ndarray) -> np.ndarray:
        """Where the numbers stand in `stores`; ValueError for an unknown one."""
        at = np.minimum(np.searchsorted(self.stores, store), len(self.stores) - 1)
        unknown = store[self.stores[at] != store]
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} rows of the plan are of stores without a history, first store {unknown[0]}; "
                f"known are {len(self.stores)} stores from {self.stores[0]} to {self.stores[-1]}"
            )
        return at


@threadpool_limits.wrap(limits=1, user_api="blas")  # sums of two threads differ in their last bits from those of one
def summarise(past: SalesHistory) -> State:
    """The past up to and including its origin; of the days after it only the calendar is read."""
    origin, dates = past.origin, past.dates
    days = len(dates)
    calendar = extended(past.calendar, origin + HORIZON_DAYS * DAY)
    sold = (past.sales > 0) & (calendar.open[:, :days] == 1)
    sales = np.where(sold, past.sales, np.nan)
    log_sales = np.log(sales)
    return State(
        origin=origin,
        attributes=past.stores,
        calendar=calendar.between(dates[-min(TAIL_DAYS, days)], origin + HORIZON_DAYS * DAY),
        levels=level.summarise(
            dates,
            calendar.promo[:, :days],
            calendar.school_holiday[:, :days],
            sales,
            past.customers,
            HORIZON_DAYS,
        ),
        ridge=ridge.fit(calendar.between(dates[0], origin + ridge.AHEAD_DAYS * DAY), past.stores, log_sales),
    )
