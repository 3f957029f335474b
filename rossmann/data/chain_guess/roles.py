"""What the files of a folder probably are, from their columns' names and cells."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from rossmann.chain import RESERVED_NAMES
from rossmann.data.chain_files.tables import MAX_ENCODED_TEXTS
from rossmann.data.chain_guess import names
from rossmann.data.chain_guess.cells import EXAMPLES, Cells
from rossmann.data.chain_guess.keys import StoreDays, find_days, missing_days, store_days
from rossmann.data.chain_guess.side_tables import MIN_COVERAGE, find_holidays, static_columns, why_unused
from rossmann.data.chain_guess.tables import MAX_ROWS, RawTable, read_tables
from rossmann.data.chain_guess.values import (
    ChainGuess,
    ColumnGuess,
    CovariateGuess,
    DaysGuess,
    HolidaysGuess,
    PlanGuess,
)
from rossmann.data.csv_parsing import HEADER_BYTES, header_names
from rossmann.data.kaggle.columns import STORE_COLUMNS, STORE_FILE, TRAIN_COLUMNS, TRAIN_FILE
from rossmann.schema import DAY, MAX_SET_ASIDE_SHARE, to_date
from rossmann.storage import Storage

MAX_GUESSED_TEXTS = 50  # of a covariate; more different texts are no groups


def is_kaggle_format(folder: str) -> bool:
    """Whether the files are those of Kaggle's competition, for which no chain.toml is needed."""
    storage = Storage(folder)
    return all(
        storage.exists(name) and set(columns) <= header_names(storage.read_start(name, HEADER_BYTES))
        for name, columns in ((TRAIN_FILE, TRAIN_COLUMNS), (STORE_FILE, STORE_COLUMNS))
    )


def guess_chain(folder: str) -> ChainGuess:
    """What the files of a folder, a local one or an s3:// address, probably are.

    Raises DataError if they cannot be the sales of stores: no file, no dates, no stores, or no amounts.
    """
    tables, problems = read_tables(folder)
    days = find_days(folder, tables)
    days_guess = _days(days)
    tables.remove(days.table)
    side = [reading for table in tables if (reading := _with_stores(table, days))]
    plan = _plan(days, side)
    static = tuple(_unique_names(column for table in tables for column in static_columns(table, days)))
    holidays = find_holidays(tables, days, _categories(tables, static))
    calendars = tuple(column for table in tables for column in _of_all_stores(table, days, holidays))
    sources = {column.file for column in (*static, *calendars)} | {holidays and holidays.file}
    rest = [table for table in tables if table not in [each.table for each in side] and table.label not in sources]
    return ChainGuess(
        folder=folder,
        days=days_guess,
        covariates=tuple(_unique_names((*_covariates(days, days_guess, side, plan), *calendars))),
        plan=plan,
        static=static,
        holidays=holidays,
        remarks=(*problems, *(why_unused(table, days) for table in rest)),
    )


def _with_stores(table: RawTable, days: StoreDays) -> StoreDays | None:
    """The table read as one row per store and day, if most of its stores are those of the sales."""
    stores, usual_format = set(days.store.values), days.date.date_formats[0]
    for each in store_days(table):
        if len(stores & set(each.store.values)) >= MIN_COVERAGE * len(each.store.values):
            return replace(each, days=each.date.days(_format(each.date, usual_format)))
    return None


def _format(date: Cells, usual: str) -> str:
    """The usual format if all dates have it; otherwise the first that they have."""
    return usual if usual in date.date_formats else date.date_formats[0]


def _categories(tables: list[RawTable], static: tuple[CovariateGuess, ...]) -> dict[str, frozenset[str]]:
    """The values of each attribute that is a category, by its name."""
    columns = {(table.files[0], cells.name): cells for table in tables for cells in table.columns}
    likely = [each for each in static if each.kind == "category" and each.is_likely]
    return {each.name: frozenset(columns[each.file or "", each.column].values) for each in likely}


def _of_all_stores(table: RawTable, days: StoreDays, holidays: HolidaysGuess | None) -> Iterator[CovariateGuess]:
    """The covariates of a table with one row per day and no stores."""
    dates = [each for each in table.columns if each.date_formats]
    if not dates or table.find(days.store.name) or len(dates[0].values) < table.rows:
        return
    date, date_format = dates[0], _format(dates[0], days.date.date_formats[0])
    of_day = date.days(date_format)
    is_ahead = of_day.max() > days.last_day
    covers = f"its days: {of_day.min()} to {of_day.max()}" + ("" if is_ahead else ", none after the sales")
    used = (date.name, holidays.name, holidays.place) if holidays and holidays.file in table.files else (date.name,)
    for cells in table.columns:
        if cells.name not in used and not cells.is_empty:
            guess = _covariate(cells, of_day, table.files[0], (is_ahead, f"{covers}; the same for all stores"))
            yield replace(guess, of_all_stores=True, date=_other_date(date, date_format, days))


def _other_date(date: Cells, date_format: str, days: StoreDays) -> tuple[str, str] | None:
    """The column of dates and its format, if they are not those of the sales."""
    mine, usual = (date.name, date_format), (days.date.name, days.date.date_formats[0])
    return None if mine == usual else mine


def _days(days: StoreDays) -> DaysGuess:
    sales, others = days.amounts[0], days.others
    is_open = next((each for each in others if each.is_flag and names.matches(each.name, names.OPEN)), None)
    customers = next((each for each in days.amounts[1:] if names.matches(each.name, names.CUSTOMERS)), None)
    looked_at = "" if days.table.is_whole else f" (only the first {MAX_ROWS:,} rows of a file were looked at)"
    missing, reason = _missing(days)
    return DaysGuess(
        files=days.table.files,
        reason=f"{days.table.rows:,} rows, {len(days.store.values):,} stores, {days.first_day} to {days.last_day}"
        f"{looked_at}",
        store=ColumnGuess(
            days.store.name, f"{len(days.store.values):,} different values, one row a day each: {days.store.examples}"
        ),
        date=ColumnGuess(days.date.name, _date_reason(days.date)),
        date_format=days.date.date_formats[0],
        sales=ColumnGuess(sales.name, _sales_reason(sales, days.amounts[1:])),
        open=ColumnGuess(is_open.name, f"only {' and '.join(sorted(is_open.values))}") if is_open else None,
        customers=ColumnGuess(customers.name, _amount_reason(customers)) if customers else None,
        missing=missing,
        missing_reason=reason,
        last_day=to_date(days.last_day),
    )


def _date_reason(date: Cells) -> str:
    other = date.date_formats[1:]
    doubt = f"; all of them are also dates by {' and '.join(other)}: check it" if other else ""
    return f"{len(date.values):,} days: {date.examples}{doubt}"


def _amount_reason(cells: Cells) -> str:
    amounts = cells.numbers[cells.codes[cells.codes >= 0]]
    return f"{amounts.min():,.10g} to {amounts.max():,.10g}, median {np.median(amounts):,.10g}"


def _sales_reason(sales: Cells, others: tuple[Cells, ...]) -> str:
    alternatives = "; ".join(f"{each.name} ({_amount_reason(each)})" for each in others)
    return _amount_reason(sales) + (f". Other amounts: {alternatives}" if others else "")


def _missing(days: StoreDays) -> tuple[str, str]:
    """What a day without a row is, and why."""
    missing_of_stores, between = missing_days(days)
    missing = len(missing_of_stores)
    share = f"{missing:,} of {between:,} days between others of their store have no row ({missing / between:.1%})"
    if missing > MAX_SET_ASIDE_SHARE * between:
        return "closed", f"{share}: too many for lost rows, so the stores are probably closed on them"
    of_chain = missing_of_stores[~np.isin(missing_of_stores, days.days)]
    if len(of_chain) > missing / 2:
        examples = _examples(np.unique(of_chain))
        return (
            "closed",
            f"{share}, most of them on days on which no store has one ({examples}): probably all are closed",
        )
    return "unknown", f"{share}: so few are probably lost rows" if missing else share


def _examples(days: np.ndarray) -> str:
    return ", ".join(map(str, days[:EXAMPLES])) + (" …" if len(days) > EXAMPLES else "")


def _plan(days: StoreDays, side: list[StoreDays]) -> PlanGuess | None:
    """The table of which most days come after the sales."""
    for each in side:
        has_keys = each.store.name == days.store.name and not _other_date(
            each.date, _format(each.date, days.date.date_formats[0]), days
        )
        if has_keys and np.median((each.days - days.last_day) / DAY) > 0:
            horizon_days = int((each.last_day - days.last_day) / DAY)
            reason = f"{each.table.rows:,} rows, {len(each.store.values):,} stores, {each.first_day} to {each.last_day}"
            return PlanGuess(each.table.files, f"{reason}: after the last sales", horizon_days)
    return None


def _covariates(
    days: StoreDays, days_guess: DaysGuess, side: list[StoreDays], plan: PlanGuess | None
) -> Iterator[CovariateGuess]:
    """The covariates beside the sales, and those of files of their own."""
    plan_table = next((each.table for each in side if plan and each.table.files == plan.files), None)
    roles = {guess.column for guess in (days_guess.open, days_guess.customers) if guess}
    for cells in days.others:
        if cells.name in roles:
            continue
        yield _covariate(cells, days.days, None, _is_known_before(cells, plan_table))
    for each in side:
        if each.table is not plan_table:
            why = _has_coming_days(each, days)
            store = each.store.name if each.store.name != days.store.name else None
            date = _other_date(each.date, _format(each.date, days.date.date_formats[0]), days)
            for cells in (*each.amounts[:1], *each.others):
                yield replace(_covariate(cells, each.days, each.table.files[0], why), store=store, date=date)


def _has_coming_days(side: StoreDays, days: StoreDays) -> tuple[bool, str]:
    """Whether a file of covariates goes on after the sales, and its days."""
    covers = f"its days: {side.first_day} to {side.last_day}"
    if side.last_day > days.last_day:
        return True, covers
    return False, f"{covers}, none after the sales, so not known beforehand?"


def _is_known_before(cells: Cells, plan: RawTable | None) -> tuple[bool, str]:
    """Whether a column of the sales' table is known before the day, and why."""
    if plan is not None:
        if plan.find(cells.name):
            return True, f"{plan.label} has it, too"
        return False, f"not in {plan.label}, so not known beforehand?"
    if not cells.is_number or cells.is_flag or names.matches(cells.name, names.COVARIATES):
        return True, "if it is known before the day; otherwise delete this line"
    return False, "a number of the day itself? If it is known before the day, take the # away"


def _covariate(cells: Cells, days: np.ndarray, file: str | None, why: tuple[bool, str]) -> CovariateGuess:
    is_likely, reason = why
    kind, look = _kind(cells)
    if cells.follows_from(days):
        is_likely, reason = False, "it follows from the date, which the models see anyway"
    elif len(cells.values) == 1:
        is_likely, reason = False, "it is always the same"
    elif kind == "category" and len(cells.values) > MAX_GUESSED_TEXTS:
        is_likely, reason = False, f"more than {MAX_GUESSED_TEXTS} different texts are no groups"
    elif kind == "category" and len(cells.values) > MAX_ENCODED_TEXTS:
        reason = f"the {MAX_ENCODED_TEXTS} most common have an effect; {reason}"
    return CovariateGuess(names.covariate_name(cells.name), cells.name, kind, file, f"{look}; {reason}", is_likely)


def _kind(cells: Cells) -> tuple[str, str]:
    """The kind of a covariate, and what its cells look like."""
    if cells.is_flag:
        return "flag", f"only {' and '.join(sorted(cells.values))}"
    if cells.is_number:
        return "number", _amount_reason(cells)
    return "category", f"{len(cells.values):,} different texts: {cells.examples}"


def _unique_names(columns: Iterable[CovariateGuess]) -> Iterator[CovariateGuess]:
    """The same with names of their own: a second `promo` gets the name of its column."""
    previous: set[str] = set()
    for each in columns:
        name = each.column if each.name in previous and each.column not in RESERVED_NAMES else each.name
        while name in previous:
            name += "_2"
        previous.add(name)
        yield replace(each, name=name)
