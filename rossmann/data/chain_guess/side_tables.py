"""The files beside the sales: attributes of the stores, and named holidays."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from rossmann.data.chain_guess import names
from rossmann.data.chain_guess.cells import Cells
from rossmann.data.chain_guess.keys import StoreDays
from rossmann.data.chain_guess.tables import RawTable
from rossmann.data.chain_guess.values import CovariateGuess, HolidaysGuess

MIN_COVERAGE = 0.5  # of the stores that must be in a file of stores
MAX_GROUPS, MAX_NUMBERED_GROUPS = 0.8, 0.5  # different texts and whole numbers of groups, as a share of the stores
MIN_SHARED = 2  # values of a column of places that are values of an attribute
MAX_NUMBERS_PER_GROUP = 1.5  # numbers of groups are counted through; of seats or square metres most do not occur


def static_columns(table: RawTable, days: StoreDays) -> Iterator[CovariateGuess]:
    """The attributes in a table with one row per store."""
    store = _store_list(table, days)
    if store is None:
        return
    key = store.name if store.name != days.store.name else None
    for cells in table.columns:
        if cells is not store and not cells.is_empty:
            yield replace(_static(cells, table), store=key)


def _store_list(table: RawTable, days: StoreDays) -> Cells | None:
    """The column that has every store once, whatever it is called."""
    stores = set(days.store.values)
    for cells in table.columns:
        is_key = len(cells.values) == table.rows
        if is_key and len(stores & set(cells.values)) >= MIN_COVERAGE * len(stores):
            return cells
    return None


def _static(cells: Cells, table: RawTable) -> CovariateGuess:
    count, name, file = len(cells.values), names.plain_name(cells.name), table.files[0]
    look = f"{count:,} different values in {table.rows:,} stores: {cells.examples}"
    if count == 1:
        return CovariateGuess(name, cells.name, "category", file, f"{look}; it is always the same", False)
    if _are_group_numbers(cells, table.rows):
        return CovariateGuess(name, cells.name, "category", file, f'{look}; or a "number", if more is more')
    if cells.is_number:
        return CovariateGuess(name, cells.name, "number", file, look)
    is_group = count <= MAX_GROUPS * table.rows
    reason = look if is_group else f"{look}; almost every store has another one"
    return CovariateGuess(name, cells.name, "category", file, reason, is_group and not cells.date_formats)


def _are_group_numbers(cells: Cells, stores: int) -> bool:
    if not cells.is_whole_number or len(cells.values) > MAX_NUMBERED_GROUPS * stores:
        return False
    return float(np.ptp(cells.numbers)) + 1 <= MAX_NUMBERS_PER_GROUP * len(cells.values)


def find_holidays(
    tables: list[RawTable], days: StoreDays, categories: Mapping[str, frozenset[str]]
) -> HolidaysGuess | None:
    """The table with dates and names, and without stores; most names are on few days.

    categories: the values of the stores' attributes, by name.
    """
    for table in tables:
        dates = [each for each in table.columns if each.date_formats]
        if not dates or table.find(days.store.name):
            continue
        texts = [each for each in table.columns if not each.is_number and not each.date_formats and not each.is_flag]
        if name_columns := [each for each in texts if not each.is_empty and not each.follows_from(_days(dates[0]))]:
            return _holidays(table, dates[0], name_columns, categories)
    return None


def _holidays(
    table: RawTable, date: Cells, texts: list[Cells], categories: Mapping[str, frozenset[str]]
) -> HolidaysGuess:
    name = min(texts, key=lambda each: (names.rank(each.name, names.HOLIDAY_NAMES), -len(each.values)))
    static = {each.name: _attributes_with(each, categories) for each in texts if each is not name}
    place = next((each for each in texts if static.get(each.name)), None)
    others = ", ".join(each.name for each in texts if each not in (name, place))
    ignored = f". Not read: {others}; delete rows that are no days off" if others else ""
    reason = f"{table.rows:,} rows, {len(name.values):,} different names: {name.examples}{ignored}"
    if place is None:
        reason += ". Every row counts for all stores; delete rows that do not"
        return HolidaysGuess(table.files[0], date.name, date.date_formats[0], name.name, reason, None, (), ())
    elsewhere = set(place.values).difference(*(categories[each] for each in static[place.name]))
    reason += f". {place.name} says where; take out of everywhere what is no name of the whole country"
    return HolidaysGuess(
        table.files[0], date.name, date.date_formats[0], name.name, reason,
        place.name, static[place.name], tuple(sorted(elsewhere)),
    )  # fmt: skip


def _attributes_with(cells: Cells, categories: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The attributes that share at least MIN_SHARED values with a column, or all of their values if they have fewer."""
    values = set(cells.values)
    return tuple(name for name, texts in categories.items() if len(values & texts) >= min(MIN_SHARED, len(texts)))


def why_unused(table: RawTable, days: StoreDays) -> str:
    """Why nothing is taken from a table."""
    columns = ", ".join(cells.name for cells in table.columns)
    if any(each.date_formats for each in table.columns) and not table.find(days.store.name):
        return f"{table.label} ({columns}) has several rows for a day and no stores. Sum them to one row per day"
    return f"{table.label} ({columns}) has neither one row per store nor one per {days.store.name} and {days.date.name}"


def _days(date: Cells) -> np.ndarray:
    return date.days(date.date_formats[0])
