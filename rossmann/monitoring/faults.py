"""What can go wrong with data or world, put into a history from a day on: to see whether it is found and named."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rossmann.data import Calendar, SalesHistory
from rossmann.validation import DataError

SATURDAY, SUNDAY = 5, 6  # from 0 Monday


@dataclass(frozen=True)
class Fault:
    """`change(history, first day as position, size, random)` answers the changed history."""

    sizes: tuple[float, ...]  # the first is the default
    diagnosis: tuple[str, ...]  # names of findings that say it right
    means: str
    change: Callable[[SalesHistory, int, float, np.random.Generator], SalesHistory]


def inject(
    history: SalesHistory, name: str, since: np.datetime64, size: float | None = None, seed: int = 7
) -> SalesHistory:
    """The history with the fault from `since` on. DataError for an unknown fault or a day outside the past."""
    if name not in FAULTS:
        raise DataError(f'there is no fault "{name}"; expected one of {", ".join(FAULTS)}')
    first = int((np.datetime64(since, "D") - history.dates[0]).astype(int))
    if not 0 < first < len(history.dates):
        raise DataError(f"a fault on {since} is outside the history, {history.dates[0]} to {history.origin}")
    fault = FAULTS[name]
    return fault.change(history, first, fault.sizes[0] if size is None else size, np.random.default_rng(seed))


def _scaled(
    history: SalesHistory, first: int, stores: np.ndarray, sales: float, customers: float = 1.0
) -> SalesHistory:
    changed = replace(history, sales=history.sales.copy(), customers=history.customers.copy())
    changed.sales[stores, first:] = np.round(changed.sales[stores, first:] * sales)
    changed.customers[stores, first:] = np.round(changed.customers[stores, first:] * customers)
    return changed


def _some(history: SalesHistory, count: float, random: np.random.Generator) -> np.ndarray:
    stores = len(history.stores.number)
    return random.choice(stores, min(int(count), stores), replace=False)


def _other_unit(history: SalesHistory, first: int, size: float, _: np.random.Generator) -> SalesHistory:
    kinds, counts = np.unique(history.stores.store_type, return_counts=True)
    return _scaled(history, first, np.flatnonzero(history.stores.store_type == kinds[np.argsort(counts)[-2]]), size)


def _concept_shift(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    share = 100 / 1115  # of the stores
    return _scaled(
        history, first, _some(history, np.ceil(share * len(history.stores.number)), random), 1 - size, 1 - size
    )


def _promo_inverted(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    promo = history.calendar.promo.copy()
    chosen = random.random(len(promo)) < size
    promo[chosen, first:] = 1 - promo[chosen, first:]
    return replace(history, calendar=replace(history.calendar, promo=promo))


def _promo_uplift_gone(history: SalesHistory, first: int, size: float, _: np.random.Generator) -> SalesHistory:
    """Per store and weekday: sales with promotion fall by `size` of what it brought in the past."""
    changed = replace(history, sales=history.sales.copy(), customers=history.customers.copy())
    days = np.arange(history.sales.shape[1])
    promo = history.calendar.promo[:, days] > 0
    log_sales = np.log(np.where(history.sales > 0, history.sales, np.nan))
    weekday = (history.dates.astype(np.int64) + 3) % 7
    past, workday = days < first, weekday < SATURDAY
    with_promo = np.nanmean(np.where(promo & past & workday, log_sales, np.nan), axis=1)
    without = np.nanmean(np.where(~promo & past & workday, log_sales, np.nan), axis=1)
    loss = np.where(promo & ~past, size * (with_promo - without)[:, None], 0.0)
    changed.sales[:] = np.round(changed.sales * np.exp(-loss))
    changed.customers[:] = np.round(changed.customers * np.exp(-loss))
    return changed


def _customers_frozen(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    customers = history.customers.copy()
    chosen = random.random(len(customers)) < size
    last = np.nanmax(np.where(history.sales[:, first - 7 : first] > 0, customers[:, first - 7 : first], 0.0), axis=1)
    frozen = np.where(history.sales[:, first:] > 0, last[:, None], customers[:, first:])
    customers[chosen, first:] = frozen[chosen]
    return replace(history, customers=customers)


def _stores_missing(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    reporting = np.flatnonzero(~np.isnan(history.sales[:, first - 1]))
    changed = replace(history, sales=history.sales.copy(), customers=history.customers.copy())
    gone = random.choice(reporting, min(int(np.ceil(size * len(reporting))), len(reporting)), replace=False)
    changed.sales[gone, first:] = changed.customers[gone, first:] = np.nan
    return changed


def _sundays_open(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    changed = replace(history, sales=history.sales.copy(), customers=history.customers.copy())
    opened = history.calendar.open.copy()
    weekday = (history.dates.astype(np.int64) + 3) % 7
    chosen = np.flatnonzero(random.random(len(opened)) < size)
    for day in np.flatnonzero((weekday == SUNDAY) & (np.arange(len(weekday)) >= first)):
        opened[chosen, day] = 1
        for values in (changed.sales, changed.customers):
            values[chosen, day] = np.round(0.5 * values[chosen, day - 1])
    return replace(changed, calendar=replace(history.calendar, open=opened))


def _dates_shifted(history: SalesHistory, first: int, size: float, _: np.random.Generator) -> SalesHistory:
    """From the day on, each row is dated `size` days late; the first days are told twice."""
    by = int(size)

    def late(values: np.ndarray) -> np.ndarray:
        moved = values.copy()
        moved[:, first + by :] = values[:, first:-by]
        return moved

    c = history.calendar
    calendar = Calendar(c.dates, late(c.open), late(c.promo), c.state_holiday, c.school_holiday)
    return replace(history, calendar=calendar, sales=late(history.sales), customers=late(history.customers))


def _store_times(history: SalesHistory, first: int, size: float, random: np.random.Generator) -> SalesHistory:
    selling = np.flatnonzero(history.sales[:, first - 7 : first].max(axis=1) > 0)
    return _scaled(history, first, random.choice(selling, 1), size)


FAULTS = {
    "other_unit": Fault((100.0, 1 / 1.95583), ("other_unit",), "sales × size, one store type", _other_unit),
    "concept_shift": Fault(
        (0.15, 0.25), ("concept_shift",), "sales and customers − size, 9 % of the stores", _concept_shift
    ),
    "promo_inverted": Fault((1.0, 0.3), ("promo_inverted",), "flag inverted, share of stores", _promo_inverted),
    "promo_uplift_gone": Fault((1.0, 0.5), ("promo_uplift_gone",), "share of the uplift lost", _promo_uplift_gone),
    "customers_frozen": Fault(
        (1.0, 0.2), ("customers_frozen",), "as on the last day, share of stores", _customers_frozen
    ),
    "stores_missing": Fault((50 / 1115, 0.2), ("stores_missing",), "share of stores without rows", _stores_missing),
    "sundays_open": Fault((1.0, 0.1), ("sundays_open",), "share of stores", _sundays_open),
    "dates_shifted": Fault((1.0, 2.0), ("dates_shifted",), "days late", _dates_shifted),
    "store_times_ten": Fault((10.0, 0.2), ("store_out_of_scale",), "sales × size, one store", _store_times),
}
