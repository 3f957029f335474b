"""Read the files that a chain.toml names into typed tables under their own column names."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from rossmann.chain import CHAIN_FILE, ISO_DATE, Chain, Column, DateColumn, Days, parse_chain
from rossmann.data.csv_parsing import DATES, NUMBERS, TEXT, CellType, CsvCells, check_header, parse_columns, read_cells
from rossmann.storage import Storage
from rossmann.validation import DataError

ENDINGS = (".csv", ".csv.gz", ".parquet")
HEADER_BYTES = 1 << 16  # more than any first line has


@dataclass(frozen=True)
class ChainTables:
    """The typed but unchecked content of a chain's files. Every table also has `file` and `line`, a row's place."""

    days: pd.DataFrame  # under the files' column names
    plan: pd.DataFrame | None
    known: Mapping[str, pd.DataFrame]  # by name of those with a file of their own: store, date and the column
    static: Mapping[str, pd.DataFrame]  # by name: store and the column
    holidays: pd.DataFrame | None  # of a file: date and name
    source: str


def read_chain(raw_dir: str) -> Chain:
    """The chain whose files are in a folder or at an s3:// address. DataError if its chain.toml is wrong."""
    storage = Storage(str(raw_dir))
    if not storage.exists(CHAIN_FILE):
        return parse_chain("")
    try:
        text = storage.read(CHAIN_FILE).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{storage.address(CHAIN_FILE)} is not UTF-8 text: {error}. Save it again.") from None
    if not text.strip():
        raise DataError(f"{storage.address(CHAIN_FILE)} is empty. Describe the files (rossmann init), or delete it.")
    return parse_chain(text, storage.address(CHAIN_FILE))


def require_chain_files(raw_dir: str, chain: Chain) -> None:
    """Raise DataError if a file of days is missing or lacks a column. Of CSV files only the header is read."""
    storage = Storage(str(raw_dir))
    needed = _day_columns(chain)
    for name in _file_names(storage, chain.days.files):
        if name.endswith(".csv"):
            check_header(name, storage.read_start(name, HEADER_BYTES), needed)


def read_tables(raw_dir: str, chain: Chain, as_of: date | None = None) -> ChainTables:
    """Read all files of the chain. Raises DataError for a file that is missing or cannot be read.

    With `as_of`, the days after it are a part of the plan, without their sales.
    """
    storage, days = Storage(str(raw_dir)), chain.days
    keys = (days.store, days.date.column)
    known = dict(chain.known)
    rows = _read(storage, days.files, _day_types(chain), keys)
    plan = _read(storage, chain.plan.files, _plan_types(chain), keys) if chain.plan else None
    if as_of is not None:
        rows, later = _split(rows, days.date.column, as_of)
        later = later[[*_plan_types(chain), "file", "line"]]
        plan = later if plan is None else pd.concat([later, plan], ignore_index=True)
    return ChainTables(
        days=rows,
        plan=plan,
        known={
            name: _read(storage, (column.file,), _key_types(days) | {column.column: _cell_type(column)}, keys)
            for name, column in known.items()
            if column.file
        },
        static={
            name: _read(storage, (column.file,), {days.store: TEXT, column.column: _cell_type(column)}, (days.store,))
            for name, column in chain.static
        },
        holidays=_read_holidays(storage, chain),
        source=storage.address("").rstrip("/"),
    )


def _split(rows: pd.DataFrame, column: str, as_of: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows up to `as_of`, and those after it."""
    is_later = rows[column] > pd.Timestamp(as_of)
    if is_later.all():
        first, last = rows[column].min(), rows[column].max()
        raise DataError(
            f"--as-of {as_of}: the sales are from {first:%Y-%m-%d} to {last:%Y-%m-%d}; name one of these days"
        )
    return rows[~is_later].reset_index(drop=True), rows[is_later].reset_index(drop=True)


def _read_holidays(storage: Storage, chain: Chain) -> pd.DataFrame | None:
    if not (chain.holidays and chain.holidays.file):
        return None
    date, name = chain.holidays.date, chain.holidays.name
    return _read(storage, (chain.holidays.file,), {date.column: _date_type(date), name: TEXT}, (date.column,))


def _day_columns(chain: Chain) -> tuple[str, ...]:
    """The columns that the files of days must have."""
    return tuple(dict.fromkeys(_day_types(chain)))


def _day_types(chain: Chain) -> dict[str, CellType]:
    days = chain.days
    amounts = {name: NUMBERS for name in (days.sales, days.open, days.customers) if name}
    return _key_types(days) | amounts | _known_types(chain)


def _plan_types(chain: Chain) -> dict[str, CellType]:
    opened = {chain.days.open: NUMBERS} if chain.days.open else {}
    return _key_types(chain.days) | opened | _known_types(chain)


def _known_types(chain: Chain) -> dict[str, CellType]:
    return {column.column: _cell_type(column) for _, column in chain.known if not column.file}


def _key_types(days: Days) -> dict[str, CellType]:
    return {days.store: TEXT, days.date.column: _date_type(days.date)}


def _cell_type(column: Column) -> CellType:
    return {"number": NUMBERS, "category": TEXT, "flag": FLAGS}[column.kind]


def _date_type(date: DateColumn) -> CellType:
    if date.format == ISO_DATE:
        return DATES

    def parse(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        iso, is_text = DATES.parse(cells)  # what a Parquet file has as dates
        text = cells.to_pandas().str.strip()
        values = pd.to_datetime(text, format=date.format, errors="coerce").to_numpy().astype("datetime64[s]")
        values = np.where(is_text, values, iso)
        return values, np.isnat(values) & is_text

    return CellType(parse, f"is not a date like {date.format}", f"Correct the cell, or the format in {CHAIN_FILE}.")


def _parse_flags(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    text = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
    index = pc.index_in(text, pa.array(["0", "1", "false", "true", "no", "yes", "0.0", "1.0"]))
    values = pc.cast(index, pa.float64()).to_numpy() % 2
    return values, np.isnan(values) & ~pc.is_null(cells).to_numpy()


FLAGS = CellType(_parse_flags, "is neither 0 nor 1", "Write 0 or 1, or give it another kind in chain.toml.")


def _file_names(storage: Storage, names: Sequence[str]) -> list[str]:
    """The files of these names; of a folder all of its files that can be read. DataError if there is none."""
    found = []
    for name in names:
        if storage.exists(name):
            found.append(name)
            continue
        inside = [f"{name}/{file}" for file in sorted(storage.subfolder(name).file_names()) if file.endswith(ENDINGS)]
        if not inside:
            raise DataError(
                f"There is no file {name} in {storage.address('')}, which {CHAIN_FILE} names, and no folder of that"
                f" name with files {', '.join(ENDINGS)}."
            )
        found += inside
    return found


def _read(storage: Storage, names: Sequence[str], types: Mapping[str, CellType], keys: Sequence[str]) -> pd.DataFrame:
    tables = [parse_columns(_cells(storage, name, tuple(types), keys), types) for name in _file_names(storage, names)]
    return pd.concat(tables, ignore_index=True)


def _cells(storage: Storage, name: str, required: Sequence[str], keys: Sequence[str]) -> CsvCells:
    try:
        content = storage.read(name)
        if name.endswith(".gz"):
            content = gzip.decompress(content)
    except OSError as error:
        raise DataError(f"{storage.address(name)} cannot be read: {error}") from error
    if not name.endswith(".parquet"):
        return read_cells(name, content, required, keys=keys)
    try:
        table = parquet.read_table(pa.BufferReader(content))
    except pa.ArrowInvalid as error:
        raise DataError(f"{storage.address(name)} is no Parquet file: {error}. Export it again.") from None
    if missing := [column for column in required if column not in table.column_names]:
        raise DataError(f"{name} has no column {', '.join(missing)}; it has {', '.join(table.column_names)}.")
    text = pa.table({column: _as_text(table[column]) for column in required})
    return CsvCells(name, text, np.arange(1, len(text) + 1), tuple(keys), (), is_cut_off=False, stage="raw data")


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.date32(), safe=False)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, pa.string())
