"""The files of a folder as tables of text; files with the same columns are one table."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from rossmann.data.chain_files.cells import ENDINGS
from rossmann.data.chain_guess.cells import Cells
from rossmann.data.csv_parsing import MISSING, OTHER_DELIMITERS, check_not_excel, header_names
from rossmann.storage import S3, Storage
from rossmann.validation import DataError

MAX_ROWS = 2_000_000  # of a file; more rows hardly change a guess
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class RawTable:
    """One file, or several with the same columns."""

    files: tuple[str, ...]
    columns: tuple[Cells, ...]
    rows: int
    is_whole: bool  # False: only the first MAX_ROWS rows of a file were looked at

    @property
    def label(self) -> str:
        """The files' names, as text."""
        return " + ".join(self.files)

    def find(self, name: str) -> Cells | None:
        """The column of this name, if there is one with values."""
        return next((each for each in self.columns if each.name == name and not each.is_empty), None)


def read_tables(folder: str) -> tuple[list[RawTable], tuple[str, ...]]:
    """The tables of a folder, a local one or an s3:// address; and a sentence per file that cannot be read.

    The files of a folder in it are one table under the folder's name. Raises DataError if there is no file of
    ENDINGS, or none that can be read, or no folder.
    """
    _require_folder(folder)
    storage = Storage(folder)
    sources = _sources(storage)
    if not sources:
        raise DataError(
            f"{folder} has no file that ends in {', '.join(ENDINGS)}; put the export of your sales there: one row "
            "per store and day, with a column for the store, one for the date and one for the sales"
        )
    parts: dict[tuple[tuple[str, bool], ...], dict[str, pa.Table]] = {}
    problems = []
    for name, files in sources.items():
        try:
            cells = _join([_read_cells(file, storage.read(file)) for file in files])
        except (pa.ArrowException, DataError) as error:
            problems.append(f"{name} cannot be read: {_reason(error)}")
            continue
        signature = tuple((column, cells[column].null_count == len(cells)) for column in cells.column_names)
        parts.setdefault(signature, {})[name] = cells
    if not parts:
        raise DataError("\n".join([f"no file of {folder} can be read:", *problems]))
    return [_table(each) for each in parts.values()], tuple(problems)


def _require_folder(folder: str) -> None:
    """Raise DataError for a local folder that does not exist."""
    path = Path(folder)
    if S3 in folder or path.is_dir():
        return
    if path.exists():
        raise DataError(f"{folder} is a file; name its folder, {path.parent}")
    raise DataError(f"there is no folder {folder}; correct the name")


def _reason(error: pa.ArrowException | DataError) -> str:
    if "invalid UTF8" in str(error):
        return "it is not UTF-8 text, perhaps Latin-1; save it as CSV in UTF-8"
    return str(error).splitlines()[0]


def _sources(storage: Storage) -> dict[str, list[str]]:
    """The files that can be read, by their names, and those of folders by the folders' names."""
    sources = {name: [name] for name in storage.file_names() if name.endswith(ENDINGS)}
    for folder in storage.folders():
        names = [name for name in storage.subfolder(folder).file_names() if name.endswith(ENDINGS)]
        if names:
            sources[folder] = [f"{folder}/{name}" for name in names]
    return sources


def _join(parts: list[pa.Table]) -> pa.Table:
    """The rows of all files of a folder. Raises DataError if their columns differ."""
    columns = parts[0].column_names
    if other := next((part.column_names for part in parts if part.column_names != columns), None):
        raise DataError(f"its files have different columns: {', '.join(columns)}, and {', '.join(other)}")
    return pa.concat_tables(parts)


def _read_cells(name: str, content: bytes) -> pa.Table:
    """The first rows of a file, all columns as text without spaces around it, empty cells as null."""
    cells = _read_parquet(content) if name.endswith(".parquet") else _read_csv(name, content)
    names = [column.strip() for column in cells.column_names]
    if len(set(names)) < len(names):
        raise DataError(f"it has two columns of the same name among {', '.join(names)}")
    return pa.table([pc.utf8_trim_whitespace(column) for column in cells.columns], names=names)


def _read_csv(name: str, content: bytes) -> pa.Table:
    text = _decompress(content) if name.endswith(".gz") else content
    check_not_excel("it", text)
    header = header_names(text)
    other = [plural for delimiter, plural in OTHER_DELIMITERS.items() if delimiter.encode() in text.split(b"\n", 1)[0]]
    if other and b"," not in text.split(b"\n", 1)[0]:
        raise DataError(f"it separates its cells by {other[0]}; save it with commas")
    reader = arrow_csv.open_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), null_values=MISSING, strings_can_be_null=True
        ),
    )
    batches: list[pa.RecordBatch] = []
    while sum(len(batch) for batch in batches) < MAX_ROWS:
        try:
            batches.append(reader.read_next_batch())
        except StopIteration:
            break
    return _as_text(pa.Table.from_batches(batches, reader.schema))


def _decompress(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"it is no complete gzip file: {error}") from None


def _read_parquet(content: bytes) -> pa.Table:
    return _as_text(pq.read_table(pa.BufferReader(content)))


def _as_text(table: pa.Table) -> pa.Table:
    """The first MAX_ROWS rows; moments become days."""
    columns = [pc.cast(column, pa.date32()) if pa.types.is_timestamp(column.type) else column for column in table]
    return pa.table([pc.cast(column, pa.string()) for column in columns], names=table.column_names)[:MAX_ROWS]


def _table(parts: dict[str, pa.Table]) -> RawTable:
    cells = pa.concat_tables(parts.values())
    is_whole = all(len(part) < MAX_ROWS for part in parts.values())
    return RawTable(tuple(parts), tuple(_cells(name, cells[name]) for name in cells.column_names), len(cells), is_whole)


def _cells(name: str, column: pa.ChunkedArray) -> Cells:
    encoded = pc.dictionary_encode(column).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().chunk(0)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Cells(name, encoded.dictionary.to_numpy(zero_copy_only=False), codes)
