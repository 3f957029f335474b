"""Read the files that a chain.toml names into typed tables under their own column names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import pandas as pd

from rossmann.chain import CHAIN_FILE, Chain, Column, Days, parse_chain
from rossmann.data.chain_files.cells import FLAGS, cell_type, date_type, file_names, require_columns, text_cells
from rossmann.data.chain_files.holidays import require_country
from rossmann.data.csv_parsing import NUMBERS, TEXT, CellType, parse_columns
from rossmann.storage import Storage
from rossmann.validation import DataError


@dataclass(frozen=True)
class ChainTables:
    """The typed but unchecked content of a chain's files. Every table also has `file` and `line`, a row's place.

    `days` has for the date and the amounts the columns `as_written`, too, of cells that cannot be read.
    """

    days: pd.DataFrame  # under the files' column names
    plan: pd.DataFrame | None
    known: Mapping[str, pd.DataFrame]  # by name of those with a file of their own: its keys and the column
    static: Mapping[str, pd.DataFrame]  # by name: store and the column
    holidays: pd.DataFrame | None  # of a file: date, name, and the place if chain.toml names its column
    source: str


@dataclass(frozen=True)
class _Source:
    """Files of one table, and their columns."""

    files: tuple[str, ...]
    types: Mapping[str, CellType]
    keys: tuple[str, ...]  # that identify a row in messages
    optional: tuple[str, ...] = ()  # columns that the files need not have
    lenient: tuple[str, ...] = ()  # columns whose unreadable cells are kept as text

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that the files must have."""
        return tuple(name for name in self.types if name not in self.optional)


def read_chain(raw_dir: str) -> Chain:
    """The chain whose files are in a folder or at an s3:// address. DataError if its chain.toml is wrong."""
    storage = Storage(str(raw_dir))
    if not storage.exists(CHAIN_FILE):
        return parse_chain("")
    try:
        text = storage.read(CHAIN_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{storage.address(CHAIN_FILE)} is not UTF-8 text: {error}. Save it again.") from None
    if not text.strip():
        raise DataError(f"{storage.address(CHAIN_FILE)} is empty. Describe the files (rossmann init), or delete it.")
    return parse_chain(text, storage.address(CHAIN_FILE))


def require_chain_files(raw_dir: str, chain: Chain) -> None:
    """Raise DataError if a file that chain.toml names is missing or lacks a column, or its country does not exist.

    Only headers are read.
    """
    storage = Storage(str(raw_dir))
    require_country(chain)
    for source in _sources(chain):
        for name in file_names(storage, source.files):
            require_columns(storage, name, source.required)


def chain_file_names(raw_dir: str, chain: Chain) -> tuple[str, ...]:
    """All files that a chain consists of, chain.toml first. DataError if one is missing."""
    storage = Storage(str(raw_dir))
    files = (name for source in _sources(chain) for name in file_names(storage, source.files))
    return (CHAIN_FILE, *dict.fromkeys(files))


def read_tables(raw_dir: str, chain: Chain) -> ChainTables:
    """Read all files of the chain. Raises DataError for a file that is missing or cannot be read.

    Unreadable dates, sales and customers are empty cells of the days, and `as_written` has their text.
    """
    storage = Storage(str(raw_dir))
    holidays = _holidays_source(chain)
    return ChainTables(
        days=_read(storage, _days_source(chain)),
        plan=_read(storage, _plan_source(chain)) if chain.plan else None,
        known={name: _read(storage, source) for name, source in _known_sources(chain).items()},
        static={name: _read(storage, source) for name, source in _static_sources(chain).items()},
        holidays=_read(storage, holidays) if holidays else None,
        source=storage.address("").rstrip("/"),
    )


def split_at(tables: ChainTables, chain: Chain, as_of: date) -> ChainTables:
    """The tables as if the files of days ended on `as_of`: the days after it are a part of the plan, without sales."""
    rows, column = tables.days, chain.own_days.date.column
    is_later = rows[column] > pd.Timestamp(as_of)
    if is_later.all():
        first, last = rows[column].min(), rows[column].max()
        raise DataError(
            f"--as-of {as_of}: the sales are from {first:%Y-%m-%d} to {last:%Y-%m-%d}; name one of these days"
        )
    plan = rows.loc[is_later, [*_plan_types(chain), "file", "line"]]
    if tables.plan is not None:
        later, planned = (
            pd.MultiIndex.from_frame(table[list(key_columns(chain.own_days))]) for table in (plan, tables.plan)
        )
        plan = pd.concat([plan, tables.plan[~planned.isin(later)]], ignore_index=True)
    return replace(tables, days=rows[~is_later].reset_index(drop=True), plan=plan)


def _sources(chain: Chain) -> Iterator[_Source]:
    yield _days_source(chain)
    if chain.plan:
        yield _plan_source(chain)
    yield from _known_sources(chain).values()
    yield from _static_sources(chain).values()
    if holidays := _holidays_source(chain):
        yield holidays


def _days_source(chain: Chain) -> _Source:
    days = chain.own_days
    amounts = amount_columns(days)
    types = _key_types(days) | dict.fromkeys(amounts, NUMBERS) | _plan_types(chain)
    return _Source(days.files, types, key_columns(days), lenient=(days.date.column, *amounts))


def _plan_source(chain: Chain) -> _Source:
    assert chain.plan
    keys, types = key_columns(chain.own_days), _plan_types(chain)
    return _Source(chain.plan.files, types, keys, optional=tuple(name for name in types if name not in keys))


def _known_sources(chain: Chain) -> dict[str, _Source]:
    sources = {}
    for name, column in chain.known:
        if column.file:
            keys = known_keys(chain.own_days, column)
            types = dict.fromkeys(keys[:-1], TEXT) | {keys[-1]: date_type(column.date or chain.own_days.date)}
            sources[name] = _Source((column.file,), types | {column.column: cell_type(column)}, keys)
    return sources


def _static_sources(chain: Chain) -> dict[str, _Source]:
    sources = {}
    for name, column in chain.static:
        assert column.file  # chain.toml is refused without it
        store = static_key(chain.own_days, column)
        sources[name] = _Source((column.file,), {store: TEXT, column.column: cell_type(column)}, (store,))
    return sources


def _holidays_source(chain: Chain) -> _Source | None:
    if not (chain.holidays and chain.holidays.file):
        return None
    date, name, place = chain.holidays.date, chain.holidays.name, chain.holidays.place
    types = {date.column: date_type(date), name: TEXT} | ({place.column: TEXT} if place else {})
    return _Source((chain.holidays.file,), types, (date.column,))


def amount_columns(days: Days) -> tuple[str, ...]:
    """The columns of amounts: sales, and customers if there are any."""
    return tuple(name for name in (days.sales, days.customers) if name)


def key_columns(days: Days) -> tuple[str, str]:
    """The columns of store and date."""
    return days.store, days.date.column


def known_keys(days: Days, column: Column) -> tuple[str, ...]:
    """The columns of store and date in the file of a covariate; of the date alone if its rows count for all stores."""
    date = (column.date or days.date).column
    return (date,) if column.stores == "all" else (column.store or days.store, date)


def static_key(days: Days, column: Column) -> str:
    """The column of the store in the file of an attribute."""
    return column.store or days.store


def _plan_types(chain: Chain) -> dict[str, CellType]:
    opened = {chain.own_days.open: FLAGS} if chain.own_days.open else {}
    return _key_types(chain.own_days) | opened | _known_types(chain)


def _known_types(chain: Chain) -> dict[str, CellType]:
    return {column.column: cell_type(column) for _, column in chain.known if not column.file}


def _key_types(days: Days) -> dict[str, CellType]:
    return {days.store: TEXT, days.date.column: date_type(days.date)}


def _read(storage: Storage, source: _Source) -> pd.DataFrame:
    tables = [
        parse_columns(
            text_cells(storage, name, source.required, source.optional, source.keys),
            source.types,
            lenient=source.lenient,
        )
        for name in file_names(storage, source.files)
    ]
    return pd.concat(tables, ignore_index=True)
