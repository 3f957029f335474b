"""Contracts of a chain's files. They use the files' own column names, since a user corrects the files."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from rossmann.chain import CHAIN_FILE, Chain
from rossmann.data.chain_files.gaps import days_without_row
from rossmann.data.chain_files.reading import ChainTables, amount_columns, key_columns, known_keys, static_key
from rossmann.data.csv_parsing import MISSING
from rossmann.data.day_rules import (
    amount_rules,
    daily,
    no_isolated_dates,
    no_stray_dates,
    not_empty,
    plausible_date,
    readable,
    row_keys,
    unusable_rows,
)
from rossmann.validation import (
    Column,
    Contract,
    DataError,
    Rule,
    StageReport,
    ValidationError,
    Violation,
    check_contracts,
)
from rossmann.validation.contract import DATE, NUMBER, TEXT
from rossmann.validation.rules import flags_are_0_or_1, one_row_per, one_row_per_store_and_day

OPTIONAL = Column(NUMBER, may_be_empty=True)
MAX_CHAIN_GAP_DAYS = 366  # a chain that had no row for longer has dates with a wrong year
MAX_NAMED = 10  # stores or rows in a note


def check_chain(tables: ChainTables, chain: Chain) -> StageReport:
    """Check the rows of a chain's files. Raises ValidationError with all violations in all files."""
    keys = list(key_columns(chain.own_days))
    days = tables.days.sort_values(keys, kind="stable") if tables.days.duplicated(keys).any() else tables.days
    contracts = [(_days_contract(chain), days)]
    if tables.plan is not None and len(tables.plan):
        contracts.append((_plan_contract(chain), tables.plan))
    contracts += [(_known_contract(chain, name), tables.known[name]) for name, column in chain.known if column.file]
    if not (tables.days[chain.own_days.sales] > 0).any():
        raise DataError(
            f"No row has {chain.own_days.sales} above 0, so nothing can be forecast: export the files again, or correct"
            f" days.sales in {CHAIN_FILE}."
        )
    contracts += [(_static_contract(chain, name), tables.static[name]) for name, _ in chain.static]
    report = check_contracts("raw data", contracts)
    if chain.own_days.missing == "refuse":
        _refuse_missing_days(tables.days, chain)
    return replace(report, notes=(*_notes_of_accepted(tables.days, chain), *_notes_of_files(tables, chain)))


def without_unplaced_rows(
    tables: ChainTables, chain: Chain, as_of: date | None = None
) -> tuple[ChainTables, int, tuple[Violation, ...]]:
    """The tables without rows of days that belong to no store or no day, how many these are, and what is wrong.

    With `as_of`, those up to this day are counted: rows without a date are left out, as later ones are. Raises
    ValidationError if all rows are unplaced.
    """
    store, day = key_columns(chain.own_days)
    unreadable = readable(
        day,
        f"is not a date like {chain.own_days.date.format}",
        f"Correct the cells; if most are listed, the format of days.date in {CHAIN_FILE}.",
    )
    rules = (unreadable, not_empty(day), plausible_date(day), no_stray_dates(day), _has_store(store))
    days, contract = tables.days, Contract("days", {}, rules, ("file", store, chain.own_days.sales))
    is_unplaced, violations = unusable_rows(contract, days)
    if is_unplaced.all():
        raise ValidationError("raw data", violations)
    if not is_unplaced.any():
        return tables, 0, ()
    placed = replace(tables, days=days[~is_unplaced].reset_index(drop=True))
    if as_of:
        is_unplaced, violations = unusable_rows(contract, days[days[day] <= pd.Timestamp(as_of)])
    return placed, int(is_unplaced.sum()), violations


def unusable_amounts(days: pd.DataFrame, chain: Chain) -> tuple[np.ndarray, tuple[Violation, ...]]:
    """Rows whose sales or customers cannot be read or cannot be right, but for those that chain.toml accepts.

    bool [rows], and why. These rows are set aside: the day counts as unknown, and the others are used.
    """
    amounts, keys = amount_columns(chain.own_days), key_columns(chain.own_days)
    rules = amount_rules(*keys, chain.own_days.open, amounts, chain.own_days.accept)
    unreadable = tuple(readable(name) for name in amounts)
    return unusable_rows(Contract("days", {}, (*unreadable, *rules), ("file", *keys)), days)


def _days_contract(chain: Chain) -> Contract:
    days, date = chain.own_days, chain.own_days.date.column
    amounts = {name: OPTIONAL for name in (days.sales, days.open, days.customers) if name}
    rules = (*_key_rules(chain), daily(date, days.store), no_isolated_dates(date, MAX_CHAIN_GAP_DAYS))
    return Contract("days", _keys(chain) | amounts, rules, ("file", days.store, date))


def _plan_contract(chain: Chain) -> Contract:
    opened = {chain.own_days.open: OPTIONAL} if chain.own_days.open else {}
    return Contract("plan", _keys(chain) | opened, _key_rules(chain), ("file", *key_columns(chain.own_days)))


def _known_contract(chain: Chain, name: str) -> Contract:
    *store, date = keys = known_keys(chain.own_days, dict(chain.known)[name])
    columns = dict.fromkeys(store, Column(TEXT)) | {date: Column(DATE)}
    one_row = one_row_per_store_and_day(*keys) if store else one_row_per(date, "day")
    return Contract(f"known.{name}", columns, (one_row,), ("file", *keys))


def _keys(chain: Chain) -> dict[str, Column]:
    return {chain.own_days.store: Column(TEXT), chain.own_days.date.column: Column(DATE)}


def _key_rules(chain: Chain) -> tuple[Rule, ...]:
    store, date = key_columns(chain.own_days)
    flags = flags_are_0_or_1([chain.own_days.open]) if chain.own_days.open else ()
    return (plausible_date(date), one_row_per_store_and_day(store, date), *flags)


def _has_store(store: str) -> Rule:
    return Rule(
        f"{store}_not_empty",
        f"{store} is empty, or one of the words for empty cells: {', '.join(MISSING[1:])}",
        "Fill the cells in, give a store of such a name another one, or leave the rows out.",
        (store,),
        lambda days: days[store].notna() & (days[store] != ""),
    )


def _static_contract(chain: Chain, name: str) -> Contract:
    store = static_key(chain.own_days, dict(chain.static)[name])
    return Contract(f"static.{name}", {store: Column(TEXT)}, (one_row_per(store, "store"),), (store,))


def _refuse_missing_days(days: pd.DataFrame, chain: Chain) -> None:
    """Raise ValidationError with the days between a store's first and last row that have none."""
    missing = days_without_row(days, *key_columns(chain.own_days))
    if len(missing):
        problem = f"the store has no row on this day, and {CHAIN_FILE} says missing = refuse"
        remedy = f'Add the rows, or write missing = "unknown" or "closed" in {CHAIN_FILE}.'
        violation = Violation(", ".join(chain.own_days.files), "every_day_has_a_row", problem, remedy, missing)
        raise ValidationError("raw data", [violation])


def _notes_of_accepted(days: pd.DataFrame, chain: Chain) -> list[str]:
    """A sentence about entries of `accept` that no row is of."""
    if not chain.own_days.accept:
        return []
    store, date = key_columns(chain.own_days)
    rows = days[days[store].isin([entry.rpartition("@")[0] for entry in chain.own_days.accept])]
    entries = set(chain.own_days.accept) - set(row_keys(rows[store], rows[date]))
    last = f"{days[date].max():%Y-%m-%d}"
    unmatched = sorted(entry for entry in entries if entry.rpartition("@")[2] <= last)  # later ones are not read yet
    return [f"{CHAIN_FILE} accepts rows that do not exist: {_first(unmatched)}. Correct days.accept."] * bool(unmatched)


def _notes_of_files(tables: ChainTables, chain: Chain) -> list[str]:
    """Sentences about stores without attributes, and columns that the plan does not have."""
    notes, stores = [], set(tables.days[chain.own_days.store])
    for name, column in chain.static:
        if lacking := sorted(stores - set(tables.static[name][static_key(chain.own_days, column)])):
            count = f"{len(lacking)} of {len(stores)} stores"
            notes.append(f"{count} have no row for static.{name}, and share a group: {_first(lacking)}.")
    if tables.plan is not None and len(tables.plan):
        if new := sorted(set(tables.plan[chain.own_days.store].dropna()) - stores):
            notes.append(
                f"{len(new)} stores of the plan have no sales and get no forecast: {_first(new)}. They have one"
                f" as soon as {chain.own_days.files[0]} has their first sales."
            )
        columns = dict.fromkeys(column.column for _, column in chain.known if not column.file)
        if empty := [name for name in columns if tables.plan[name].isna().all()]:
            notes.append(f"The plan has no values of {', '.join(empty)}: those of 52 weeks before are used.")
    return [*notes, *_notes_of_known_files(tables, chain), *_notes_of_places(tables, chain)]


def _notes_of_known_files(tables: ChainTables, chain: Chain) -> Iterator[str]:
    """A sentence about each covariate whose own file has no value after the sales."""
    last_sales = tables.days[chain.own_days.date.column].max()
    for name, column in chain.known:
        if not column.file:
            continue
        table, date = tables.known[name], known_keys(chain.own_days, column)[-1]
        last = table.loc[table[column.column].notna(), date].max()
        if last <= last_sales:
            yield (
                f"known.{name}: {column.file} ends on {last:%Y-%m-%d}, and the sales on {last_sales:%Y-%m-%d}."
                " Forecasts use the values of 52 weeks before, backtests the true ones: they are too good if the"
                f" values are only known afterwards. Then delete known.{name}; otherwise add the coming days."
            )


def _notes_of_places(tables: ChainTables, chain: Chain) -> Iterator[str]:
    """A sentence about holidays of places in which no store is."""
    if tables.holidays is None or chain.holidays is None or not chain.holidays.place:
        return
    place = chain.holidays.place
    known = {text for name in place.static for text in tables.static[name][dict(chain.static)[name].column].dropna()}
    places = set(tables.holidays[place.column].dropna()) - {""}
    if unknown := sorted(places - known - set(place.everywhere)):
        yield (
            f"{chain.holidays.file}: no store is in {_first(unknown)} ({', '.join(place.static)}); their holidays are"
            " left out. Add those that mean all stores to holidays.place.everywhere."
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
