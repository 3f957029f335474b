"""Faults of data or market that are put into a history from a day on, to test whether monitoring finds and names them.

To add one, write a function that changes a history and an entry of FAULTS.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rossmann.data import Calendar, SalesHistory
from rossmann.schema import SATURDAY, SUNDAY, weekday
from rossmann.validation import DataError

Inject = Callable[[SalesHistory, int, float, np.random.Generator], SalesHistory]


@dataclass(frozen=True)
class Fault:
    """A kind of fault, of different sizes."""

    sizes: tuple[float, ...]  # the first is the default
    finding_names: tuple[str, ...]  # drift statistics that name it correctly
    description: str  # what happens, and what `size` is
    inject: Inject  # (history, position of the first faulty day, size, random numbers) → the changed history


def inject_fault(
    history: SalesHistory, name: str, since: np.datetime64, size: float | None = None, seed: int = 7
) -> SalesHistory:
    """The history with the fault from `since` on. DataError for an unknown fault or a day outside the past."""
    if name not in FAULTS:
        raise DataError(f'there is no fault "{name}"; expected one of {", ".join(FAULTS)}')
    first = int(history.calendar.offsets(np.datetime64(since, "D")))
    if not 0 < first < len(history.dates):
        raise DataError(f"a fault on {since} is outside the history, {history.dates[0]} to {history.origin}")
    fault = FAULTS[name]
    return fault.inject(history, first, fault.sizes[0] if size is None else size, np.random.default_rng(seed))


def _copy(history: SalesHistory) -> SalesHistory:
    """The same history with sales and customers that may be changed."""
    return replace(history, sales=history.sales.copy(), customers=history.customers.copy())


def _scale(
    history: SalesHistory, first: int, stores: np.ndarray, sales_factor: float, customers_factor: float = 1.0
) -> SalesHistory:
    changed = _copy(history)
    changed.sales[stores, first:] = np.round(changed.sales[stores, first:] * sales_factor)
    changed.customers[stores, first:] = np.round(changed.customers[stores, first:] * customers_factor)
    return changed


def _choose_stores(history: SalesHistory, count: float, random: np.random.Generator) -> np.ndarray:
    stores = len(history.stores.number)
    return random.choice(stores, min(int(count), stores), replace=False)


def _other_unit(history: SalesHistory, first: int, size: float, _: np.random.Generator) -> SalesHistory:
    types, counts = np.unique(history.stores.store_type, return_counts=True)
    second_largest = types[np.argsort(counts)[-2]]
    return _scale(history, first, np.flatnonzero(history.stores.store_type == second_largest), size)


def _concept_shift(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    share = 100 / 1115  # of the stores
    stores = _choose_stores(history, np.ceil(share * len(history.stores.number)), random)
    return _scale(history, first, stores, 1 - size, 1 - size)


def _promo_inverted(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    promo = history.calendar.promo.copy()
    stores = random.random(len(promo)) < size
    promo[stores, first:] = 1 - promo[stores, first:]
    return replace(history, calendar=replace(history.calendar, promo=promo))


def _promo_uplift_gone(history: SalesHistory, first: int, size: float, _: np.random.Generator) -> SalesHistory:
    """Sales with promotion fall by `size` of the store's earlier uplift."""
    changed = _copy(history)
    days = np.arange(history.sales.shape[1])
    promo = history.calendar.promo[:, days] > 0
    log_sales = np.log(np.where(history.sales > 0, history.sales, np.nan))
    past, workday = days < first, weekday(history.dates) < SATURDAY
    with_promo = np.nanmean(np.where(promo & past & workday, log_sales, np.nan), axis=1)
    without_promo = np.nanmean(np.where(~promo & past & workday, log_sales, np.nan), axis=1)
    loss = np.where(promo & ~past, size * (with_promo - without_promo)[:, None], 0.0)
    changed.sales[:] = np.round(changed.sales * np.exp(-loss))
    changed.customers[:] = np.round(changed.customers * np.exp(-loss))
    return changed


def _customers_frozen(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    customers = history.customers.copy()
    stores = random.random(len(customers)) < size
    week_before = slice(first - 7, first)
    frozen = np.nanmax(np.where(history.sales[:, week_before] > 0, customers[:, week_before], 0.0), axis=1)
    changed = np.where(history.sales[:, first:] > 0, frozen[:, None], customers[:, first:])
    customers[stores, first:] = changed[stores]
    return replace(history, customers=customers)


def _stores_missing(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    reporting = np.flatnonzero(~np.isnan(history.sales[:, first - 1]))
    changed = _copy(history)
    missing = random.choice(reporting, min(int(np.ceil(size * len(reporting))), len(reporting)), replace=False)
    changed.sales[missing, first:] = changed.customers[missing, first:] = np.nan
    return changed


def _sundays_open(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    """Half of Saturday's sales and customers on Sundays."""
    changed = _copy(history)
    is_open = history.calendar.open.copy()
    weekdays = weekday(history.dates)
    stores = np.flatnonzero(random.random(len(is_open)) < size)
    for day in np.flatnonzero((weekdays == SUNDAY) & (np.arange(len(weekdays)) >= first)):
        is_open[stores, day] = 1
        for values in (changed.sales, changed.customers):
            values[stores, day] = np.round(0.5 * values[stores, day - 1])
    return replace(changed, calendar=replace(history.calendar, open=is_open))


def _dates_shifted(history: SalesHistory, first: int, size: float, _: np.random.Generator) -> SalesHistory:
    """From the day on, each row has a date `size` days late; the first of these days repeat earlier ones."""
    delay_days = int(size)

    def shift(values: np.ndarray) -> np.ndarray:
        shifted = values.copy()
        shifted[:, first + delay_days :] = values[:, first:-delay_days]
        return shifted

    c = history.calendar
    calendar = Calendar(c.dates, shift(c.open), shift(c.promo), c.state_holiday, c.school_holiday)
    return replace(history, calendar=calendar, sales=shift(history.sales), customers=shift(history.customers))


def _store_times_ten(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    selling = np.flatnonzero(history.sales[:, first - 7 : first].max(axis=1) > 0)
    return _scale(history, first, random.choice(selling, 1), size)


FAULTS = {
    "other_unit": Fault(
        sizes=(100.0, 1 / 1.95583),
        finding_names=("other_unit",),
        description="sales × size, one store type",
        inject=_other_unit,
    ),
    "concept_shift": Fault(
        sizes=(0.15, 0.25),
        finding_names=("concept_shift",),
        description="sales and customers − size, 9 % of the stores",
        inject=_concept_shift,
    ),
    "promo_inverted": Fault(
        sizes=(1.0, 0.3),
        finding_names=("promo_inverted",),
        description="flag inverted, share of stores",
        inject=_promo_inverted,
    ),
    "promo_uplift_gone": Fault(
        sizes=(1.0, 0.5),
        finding_names=("promo_uplift_gone",),
        description="share of the uplift lost",
        inject=_promo_uplift_gone,
    ),
    "customers_frozen": Fault(
        sizes=(1.0, 0.2),
        finding_names=("customers_frozen",),
        description="customers as on the last day, share of stores",
        inject=_customers_frozen,
    ),
    "stores_missing": Fault(
        sizes=(50 / 1115, 0.2),
        finding_names=("stores_missing",),
        description="share of stores without rows",
        inject=_stores_missing,
    ),
    "sundays_open": Fault(
        sizes=(1.0, 0.1),
        finding_names=("sundays_open",),
        description="share of stores open on Sundays",
        inject=_sundays_open,
    ),
    "dates_shifted": Fault(
        sizes=(1.0, 2.0),
        finding_names=("dates_shifted",),
        description="days late",
        inject=_dates_shifted,
    ),
    "store_times_ten": Fault(
        sizes=(10.0, 0.2),
        finding_names=("store_out_of_scale",),
        description="sales × size, one store",
        inject=_store_times_ten,
    ),
}
