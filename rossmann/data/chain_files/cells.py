"""The cells of a chain's files: CSV, also compressed, or Parquet, and the types of their columns."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from rossmann.chain import CHAIN_FILE, ISO_DATE, Column, DateColumn
from rossmann.data.csv_parsing import DATES, HEADER_BYTES, NUMBERS, TEXT, CellType, CsvCells, check_header, read_cells
from rossmann.storage import Storage
from rossmann.validation import DataError

ENDINGS = (".csv", ".csv.gz", ".parquet")
FOOTER_LENGTH_BYTES = 8  # at the end of a Parquet file: the length of the footer before it, and a mark
PARQUET_MARK = b"PAR1"  # at the start
DATE_LENGTH = len("2015-06-13")
ISO_TIME = r"^\s*(\d{4}-\d{2}-\d{2})[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?\s*$"


def file_names(storage: Storage, names: Sequence[str]) -> list[str]:
    """The files of these names; of a folder all of its files that can be read. DataError if there is none."""
    files = []
    for name in names:
        folder, _, file = name.rpartition("/")
        if file in storage.subfolder(folder).file_names():
            files.append(name)
            continue
        inside = [f"{name}/{file}" for file in storage.subfolder(name).file_names() if file.endswith(ENDINGS)]
        if not inside:
            raise DataError(
                f"There is no file {name} in {storage.address('')}, which {CHAIN_FILE} names, and no folder of that"
                f" name with files {', '.join(ENDINGS)}. Correct the name, or add the file."
            )
        files += inside
    return files


def require_columns(storage: Storage, name: str, required: Sequence[str]) -> None:
    """Raise DataError if a file lacks one of these columns. Reads its first line, or the footer of a Parquet file."""
    with _errors_of_file(storage, name):
        if name.endswith(".parquet"):
            _require_names(name, _parquet_names(storage, name), required)
            return
        start = storage.read_start(name, HEADER_BYTES)
        if name.endswith(".gz"):
            start = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(start, HEADER_BYTES)
    check_header(name, start, required)


def text_cells(
    storage: Storage, name: str, required: Sequence[str], optional: Sequence[str], keys: Sequence[str]
) -> CsvCells:
    """The cells of a file as text. Those of an `optional` column that it does not have are empty."""
    with _errors_of_file(storage, name):
        content = storage.read(name)
        if name.endswith(".parquet"):
            cells = parquet_cells(name, content, required, optional, keys)
        else:
            content = gzip.decompress(content) if name.endswith(".gz") else content
            cells = read_cells(name, content, required, optional, keys)
    table = cells.cells
    for column in optional:
        if column not in table.column_names:
            table = table.append_column(column, pa.nulls(len(table), pa.string()))
    return replace(cells, cells=table)


@contextmanager
def _errors_of_file(storage: Storage, name: str) -> Iterator[None]:
    """A file that cannot be read, or is not what its ending says, raises DataError."""
    try:
        yield
    except (zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{storage.address(name)} is no whole gzip file: {error}. Export it again.") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"{storage.address(name)} is no Parquet file: {error}. Export it again.") from None
    except OSError as error:
        raise DataError(f"{storage.address(name)} cannot be read: {error}") from error


def _parquet_names(storage: Storage, name: str) -> list[str]:
    """The columns of a Parquet file. Only its footer is read."""
    end = storage.read_end(name, HEADER_BYTES)
    footer = int.from_bytes(end[-FOOTER_LENGTH_BYTES:-4], "little") + FOOTER_LENGTH_BYTES
    if footer > len(end):
        end = storage.read_end(name, footer)
    return parquet.read_schema(pa.BufferReader(end)).names


def is_parquet(content: bytes) -> bool:
    """Whether this is the content of a Parquet file."""
    return content.startswith(PARQUET_MARK)


def parquet_names(file: str, content: bytes) -> list[str]:
    """The columns of a Parquet file. DataError if it is not one."""
    try:
        return parquet.read_schema(pa.BufferReader(content)).names
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is no whole Parquet file: {error}. Export it again.") from None


def parquet_cells(
    name: str,
    content: bytes,
    required: Sequence[str],
    optional: Sequence[str],
    keys: Sequence[str],
    stage: str = "raw data",
) -> CsvCells:
    """The cells of a Parquet file as text. Its rows are counted from 1."""
    file = parquet.ParquetFile(pa.BufferReader(content))
    names = file.schema_arrow.names
    _require_names(name, names, required)
    table = file.read([column for column in (*required, *optional) if column in names])
    text = pa.table({column: _as_text(table[column]) for column in table.column_names})
    extra = tuple(column for column in names if column not in required and column not in optional)
    return CsvCells(name, text, np.arange(1, len(text) + 1), tuple(keys), extra, is_cut_off=False, stage=stage)


def _require_names(file: str, names: Sequence[str], required: Sequence[str]) -> None:
    if missing := [column for column in required if column not in names]:
        raise DataError(
            f"{file} has no column {', '.join(missing)}; it has {', '.join(names)[:200]}."
            f" Export the file with the column, or correct a name that {CHAIN_FILE} gives."
        )


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.date32(), safe=False)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, pa.string())


def cell_type(column: Column) -> CellType:
    """The type of a covariate's or an attribute's cells."""
    return {"number": NUMBERS, "category": TEXT, "flag": FLAGS}[column.kind]


def date_type(date: DateColumn) -> CellType:
    """Dates of the given format, by default ISO dates; a time of day behind it is left out."""
    if date.format == ISO_DATE:
        return replace(DATES, parse=_parse_iso_dates)

    def parse(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        iso, is_text = _parse_iso_dates(cells)  # what a Parquet file has as dates
        text = cells.to_pandas().str.strip()
        values = pd.to_datetime(text, format=date.format, errors="coerce").to_numpy()
        values = np.where(is_text, values.astype("datetime64[D]").astype("datetime64[s]"), iso)
        return values, np.isnat(values) & is_text

    return CellType(parse, f"is not a date like {date.format}", f"Correct the cell, or the format in {CHAIN_FILE}.")


def _parse_iso_dates(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    if pc.any(pc.greater(pc.utf8_length(cells), DATE_LENGTH)).as_py():
        cells = pc.replace_substring_regex(cells, ISO_TIME, r"\1")
    return DATES.parse(cells)


def _parse_flags(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    text = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
    index = pc.index_in(text, pa.array(["0", "1", "false", "true", "no", "yes", "n", "y", "0.0", "1.0"]))
    values = pc.cast(index, pa.float64()).to_numpy() % 2
    return values, np.isnan(values) & ~pc.is_null(cells).to_numpy()


FLAGS = CellType(_parse_flags, "is neither 0 nor 1", "Write 0 or 1; a covariate may have another kind in chain.toml.")
