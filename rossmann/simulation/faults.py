"""Faults of data or market that are put into a history from a day on, to test whether monitoring finds and names them.

To add one, write a function that changes a history and an entry of FAULTS. Its key is the name of the drift statistic
that must find it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rossmann.data import Calendar, SalesHistory
from rossmann.schema import SATURDAY, SUNDAY, weekday, whole_day
from rossmann.validation import DataError

Inject = Callable[[SalesHistory, int, float, np.random.Generator], SalesHistory]


@dataclass(frozen=True)
class Fault:
    """A kind of fault, of different sizes."""

    sizes: tuple[float, ...]  # the first is the default
    description: str  # what happens, and what `size` is
    inject: Inject  # (history, position of the first faulty day, size, random numbers) → the changed history


def inject_fault(
    history: SalesHistory, name: str, fault_start: np.datetime64, size: float | None = None, seed: int = 7
) -> SalesHistory:
    """The history with the fault from `fault_start` on. DataError for an unknown fault or a day outside the past."""
    if name not in FAULTS:
        raise DataError(f'there is no fault "{name}"; expected one of {", ".join(FAULTS)}')
    first_position = int(history.calendar.offsets(whole_day(fault_start)))
    if not 0 < first_position < len(history.dates):
        raise DataError(f"a fault on {fault_start} is outside the history, {history.dates[0]} to {history.origin}")
    fault = FAULTS[name]
    return fault.inject(history, first_position, fault.sizes[0] if size is None else size, np.random.default_rng(seed))


def _copy(history: SalesHistory) -> SalesHistory:
    """The same history with sales and traffic that may be changed."""
    return replace(history, sales=history.sales.copy(), traffic=history.traffic.copy())


def _scale(
    history: SalesHistory, first_position: int, stores: np.ndarray, sales_factor: float, traffic_factor: float = 1.0
) -> SalesHistory:
    result = _copy(history)
    result.sales[stores, first_position:] = np.round(result.sales[stores, first_position:] * sales_factor)
    result.traffic[stores, first_position:] = np.round(result.traffic[stores, first_position:] * traffic_factor)
    return result


def _choose_stores(history: SalesHistory, count: float, rng: np.random.Generator) -> np.ndarray:
    stores = len(history.stores.number)
    return rng.choice(stores, min(int(count), stores), replace=False)


def _other_unit(history: SalesHistory, first_position: int, size: float, _: np.random.Generator) -> SalesHistory:
    types, counts = np.unique(history.stores.first_attribute, return_counts=True)
    second_largest = types[np.argsort(counts)[-2]]
    return _scale(history, first_position, np.flatnonzero(history.stores.first_attribute == second_largest), size)


def _concept_shift(history: SalesHistory, first_position: int, size: float, rng: np.random.Generator) -> SalesHistory:
    share = 100 / 1115  # of the stores
    stores = _choose_stores(history, np.ceil(share * len(history.stores.number)), rng)
    return _scale(history, first_position, stores, 1 - size, 1 - size)


def _promotion_inverted(
    history: SalesHistory, first_position: int, size: float, rng: np.random.Generator
) -> SalesHistory:
    promotion = history.calendar.promotion.copy()
    stores = rng.random(len(promotion)) < size
    promotion[stores, first_position:] = 1 - promotion[stores, first_position:]
    return replace(history, calendar=replace(history.calendar, promotion=promotion))


def _promotion_uplift_gone(
    history: SalesHistory, first_position: int, size: float, _: np.random.Generator
) -> SalesHistory:
    """Sales with promotion fall by `size` of the store's earlier uplift."""
    result = _copy(history)
    days = np.arange(history.sales.shape[1])
    promotion = history.calendar.promotion[:, days] > 0
    log_sales = np.log(np.where(history.sales > 0, history.sales, np.nan))
    past, workday = days < first_position, weekday(history.dates) < SATURDAY
    with_promotion = np.nanmean(np.where(promotion & past & workday, log_sales, np.nan), axis=1)
    without_promotion = np.nanmean(np.where(~promotion & past & workday, log_sales, np.nan), axis=1)
    loss = np.where(promotion & ~past, size * (with_promotion - without_promotion)[:, None], 0.0)
    result.sales[:] = np.round(result.sales * np.exp(-loss))
    result.traffic[:] = np.round(result.traffic * np.exp(-loss))
    return result


def _traffic_frozen(history: SalesHistory, first_position: int, size: float, rng: np.random.Generator) -> SalesHistory:
    traffic = history.traffic.copy()
    stores = rng.random(len(traffic)) < size
    week_before = slice(first_position - 7, first_position)
    last_traffic = np.nanmax(np.where(history.sales[:, week_before] > 0, traffic[:, week_before], 0.0), axis=1)
    faulty_traffic = np.where(history.sales[:, first_position:] > 0, last_traffic[:, None], traffic[:, first_position:])
    traffic[stores, first_position:] = faulty_traffic[stores]
    return replace(history, traffic=traffic)


def _stores_missing(history: SalesHistory, first_position: int, size: float, rng: np.random.Generator) -> SalesHistory:
    reporting = np.flatnonzero(~np.isnan(history.sales[:, first_position - 1]))
    result = _copy(history)
    missing = rng.choice(reporting, min(int(np.ceil(size * len(reporting))), len(reporting)), replace=False)
    result.sales[missing, first_position:] = result.traffic[missing, first_position:] = np.nan
    return result


def _sundays_open(history: SalesHistory, first_position: int, size: float, rng: np.random.Generator) -> SalesHistory:
    """Half of Saturday's sales and traffic on Sundays."""
    result = _copy(history)
    is_open = history.calendar.open.copy()
    weekdays = weekday(history.dates)
    stores = np.flatnonzero(rng.random(len(is_open)) < size)
    for day in np.flatnonzero((weekdays == SUNDAY) & (np.arange(len(weekdays)) >= first_position)):
        is_open[stores, day] = 1
        for values in (result.sales, result.traffic):
            values[stores, day] = np.round(0.5 * values[stores, day - 1])
    return replace(result, calendar=replace(history.calendar, open=is_open))


def _dates_shifted(history: SalesHistory, first_position: int, size: float, _: np.random.Generator) -> SalesHistory:
    """From the day on, each row has a date `size` days late; the first of these days repeat earlier ones."""
    delay_days = int(size)

    def shift(values: np.ndarray) -> np.ndarray:
        result = values.copy()
        result[:, first_position + delay_days :] = values[:, first_position:-delay_days]
        return result

    c = history.calendar
    calendar = Calendar(c.dates, shift(c.open), shift(c.promotion), c.holiday_kind, c.school_break)
    return replace(history, calendar=calendar, sales=shift(history.sales), traffic=shift(history.traffic))


def _store_out_of_scale(
    history: SalesHistory, first_position: int, size: float, rng: np.random.Generator
) -> SalesHistory:
    selling = np.flatnonzero(history.sales[:, first_position - 7 : first_position].max(axis=1) > 0)
    return _scale(history, first_position, rng.choice(selling, 1), size)


FAULTS = {
    "other_unit": Fault(
        sizes=(100.0, 1 / 1.95583),
        description="sales × size, one store type",
        inject=_other_unit,
    ),
    "concept_shift": Fault(
        sizes=(0.15, 0.25),
        description="sales and customers − size, 9 % of the stores",
        inject=_concept_shift,
    ),
    "promotion_inverted": Fault(
        sizes=(1.0, 0.3),
        description="flag inverted, share of stores",
        inject=_promotion_inverted,
    ),
    "promotion_uplift_gone": Fault(
        sizes=(1.0, 0.5),
        description="share of the uplift lost",
        inject=_promotion_uplift_gone,
    ),
    "traffic_frozen": Fault(
        sizes=(1.0, 0.2),
        description="customers as on the last day, share of stores",
        inject=_traffic_frozen,
    ),
    "stores_missing": Fault(
        sizes=(50 / 1115, 0.2),
        description="share of stores without rows",
        inject=_stores_missing,
    ),
    "sundays_open": Fault(
        sizes=(1.0, 0.1),
        description="share of stores open on Sundays",
        inject=_sundays_open,
    ),
    "dates_shifted": Fault(
        sizes=(1.0, 2.0),
        description="days late",
        inject=_dates_shifted,
    ),
    "store_out_of_scale": Fault(
        sizes=(10.0, 0.2),
        description="sales × size, one store",
        inject=_store_out_of_scale,
    ),
}
