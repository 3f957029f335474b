"""Parse the bytes of a CSV file into typed columns. Every error names the file, the line and the remedy."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from rossmann.schema import ACTUAL_COLUMNS, CALENDAR_COLUMNS, HOLIDAY_KINDS
from rossmann.validation import DataError, ValidationError, Violation

HEADER_BYTES = 1 << 16  # more than any first line has, and than most footers of Parquet files
MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
MAX_MALFORMED_LINES = 1000  # parsing stops here
EXCEL_FILES = {  # by their first bytes, which are also those of others
    b"PK\x03\x04": "an Excel file or an archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file or another document of Office",
}
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}

Parser = Callable[[pa.ChunkedArray], tuple[np.ndarray, np.ndarray]]  # → values, and which cells are unreadable


@dataclass(frozen=True)
class CellType:
    """How the cells of a column are parsed, and the message for cells that are not of this type."""

    parse: Parser
    problem: str = "cannot be read"
    remedy: str = "Correct the cell."


@dataclass(frozen=True)
class CsvCells:
    """A CSV file, split into cells of text."""

    file: str
    cells: pa.Table
    line: np.ndarray  # int64 [rows], line numbers in the file; the header is line 1
    keys: tuple[str, ...]  # columns that identify a row in messages
    extra_columns: tuple[str, ...]  # in the file, but neither required nor optional
    is_cut_off: bool  # the last line has no line end
    stage: str  # of the validation, for messages


def read_cells(
    file: str,
    content: bytes,
    required: Sequence[str],
    optional: Sequence[str] = (),
    keys: Sequence[str] = (),
    stage: str = "raw data",
) -> CsvCells:
    """Split a CSV file into cells. Raises DataError if that is impossible or a `required` column is missing."""
    _check_encoding(file, content)
    header = _header(file, content, required)
    names = [name.strip() for name in header]
    if not any(end in content.strip() for end in (b"\n", b"\r")):
        raise DataError(f"{file} has a header but no rows: the export is empty. Export it again.")
    cells, malformed = _split(file, content, header)
    is_cut_off = not content.endswith((b"\n", b"\r"))
    if malformed:
        raise ValidationError(stage, [_malformed_lines(file, malformed, len(names), content, is_cut_off)])
    if content.count(b'"') % 2:
        raise DataError(f"{file} ends within a quoted cell: it is incomplete. Download it again.")
    extra = tuple(name for name in names if name not in required and name not in optional)
    lines = _line_numbers(content, len(cells))
    return CsvCells(file, cells.rename_columns(names), lines, tuple(keys), extra, is_cut_off, stage)


def parse_columns(
    csv_file: CsvCells, types: Mapping[str, CellType], rows: np.ndarray | None = None, lenient: Sequence[str] = ()
) -> pd.DataFrame:
    """The columns of `types` as values (NaN or NaT where a cell is empty), with the columns `file` and `line`.

    `rows`, bool [rows of the file], selects rows; the others are not parsed. Raises ValidationError for cells that
    are not of their type; but in the columns `lenient` these are empty, and a column `as_written` has their text.
    """
    table, violations = parse_readable(csv_file, types, rows, lenient)
    if violations:
        raise ValidationError(csv_file.stage, violations)
    return table


def parse_readable(
    csv_file: CsvCells, types: Mapping[str, CellType], rows: np.ndarray | None = None, lenient: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[Violation]]:
    """As `parse_columns`, with the cells that are not of their type empty, and the violations that they are."""
    positions = np.arange(len(csv_file.line)) if rows is None else np.flatnonzero(rows)
    cells = csv_file.cells if rows is None else csv_file.cells.take(positions)
    values, violations = {}, []
    for name, cell_type in types.items():
        values[name], unreadable = cell_type.parse(cells[name])
        if name in lenient:
            values[as_written(name)] = _text_where(cells[name], unreadable)
        elif unreadable.any():
            violations.append(_unreadable_cells(csv_file, name, cell_type, positions[unreadable]))
    table = pd.DataFrame(values, copy=False).assign(file=csv_file.file, line=csv_file.line[positions])
    return table, violations


def as_written(name: str) -> str:
    """The name of the column that has the text of a column's cells that cannot be read, and None elsewhere."""
    return f"{name} as written"


def _text_where(cells: pa.ChunkedArray, unreadable: np.ndarray) -> np.ndarray:
    text = np.full(len(cells), None, dtype=object)
    text[unreadable] = cells.take(np.flatnonzero(unreadable)).to_pylist()
    return text


def header_names(content: bytes) -> set[str]:
    """The names in the first line, whatever separates them: a look at a file before it is parsed."""
    return {name.strip(' "') for name in re.split(f"[,{''.join(OTHER_DELIMITERS)}]", _first_line(content))}


def check_header(file: str, content: bytes, required: Sequence[str]) -> None:
    """Raise DataError if the first line of the content is not UTF-8 text or lacks one of the `required` columns."""
    _check_encoding(file, _first_line_bytes(content.lstrip()))
    _header(file, content, required)


def check_not_excel(file: str, content: bytes) -> None:
    """Raise DataError if the content begins as the files of Excel do."""
    for start, kind in EXCEL_FILES.items():
        if content.startswith(start):
            raise DataError(f"{file} is {kind}. Save it as CSV in UTF-8.")


def _check_encoding(file: str, content: bytes) -> None:
    if not content.strip():
        raise DataError(f"{file} is empty. Export it again, with its header.")
    check_not_excel(file, content)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        guess = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "Latin-1 or binary"
        raise DataError(
            f"{file} is not UTF-8 text (byte {content[error.start]:#04x} in line {line}; perhaps {guess})."
            " Save it as CSV in UTF-8."
        ) from None
    if b"\x00" in content:
        raise DataError(f"{file} contains zero bytes: it is not plain text. Save it as CSV in UTF-8.")


def _header(file: str, content: bytes, required: Sequence[str]) -> list[str]:
    """The cells of the first line, with any spaces around them; DataError if they cannot be a header."""
    first_line = _first_line(content)
    header = next(csv.reader([first_line]), [])
    names = [name.strip() for name in header]
    missing = [name for name in required if name not in names]
    for delimiter, plural in OTHER_DELIMITERS.items():
        if missing and set(required) <= set(next(csv.reader([first_line], delimiter=delimiter), [])):
            raise DataError(f"{file} separates its cells by {plural}; save it with commas.")
    if missing:
        raise DataError(
            f"{file} has no column {', '.join(missing)}; its first line is: {first_line[:200]}."
            f" It needs {', '.join(required)}, spelled like this."
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{file} has the column {', '.join(repeated)} more than once. Keep one of each.")
    return header


def _first_line(content: bytes) -> str:
    return _first_line_bytes(content).decode("utf-8-sig", errors="replace")


def _first_line_bytes(content: bytes) -> bytes:
    return content.split(b"\n", 1)[0].split(b"\r", 1)[0]


def _split(file: str, content: bytes, header: list[str]) -> tuple[pa.Table, list[arrow_csv.InvalidRow]]:
    """The cells as text, and the lines whose number of cells is not that of the header: with too many, no cells."""
    malformed: list[arrow_csv.InvalidRow] = []

    def collect(row: arrow_csv.InvalidRow) -> str:
        malformed.append(row)
        return "skip" if len(malformed) < MAX_MALFORMED_LINES else "error"

    try:
        cells = arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=1 << 24),
            parse_options=arrow_csv.ParseOptions(invalid_row_handler=collect),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=MISSING, strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        if not malformed:
            raise DataError(f"{file} cannot be read as CSV: {error}. Save it again as plain CSV.") from None
        return pa.table({}), malformed
    return cells, malformed


def _malformed_lines(
    file: str, malformed: list[arrow_csv.InvalidRow], columns: int, content: bytes, is_cut_off: bool
) -> Violation:
    rows = pd.DataFrame(
        {
            "line": [row.number for row in malformed],
            "cells": [row.actual_columns for row in malformed],
            "text": [row.text for row in malformed],
        }
    )
    if len(malformed) == 1 and is_cut_off and content.endswith(malformed[-1].text.encode()):
        return Violation(
            file, "truncated", "the last line is cut off", "The file is incomplete: download it again.", rows
        )
    stopped = " (reading stopped here)" if len(malformed) >= MAX_MALFORMED_LINES else ""
    return Violation(
        file,
        "cells_per_line",
        f"not {columns} cells as in the header{stopped}",
        "Too many are often decimal commas (write 3.5, not 3,5); too few, a damaged file. Export it again.",
        rows,
    )


def _line_numbers(content: bytes, rows: int) -> np.ndarray:
    """Line numbers of the rows. The header is line 1, and empty lines count. int64 [rows]"""
    if content.count(b"\n") + content.count(b"\r") <= rows + 1 or b"\n\n" not in content.replace(b"\r", b""):
        return np.arange(2, rows + 2)
    not_empty = [number for number, line in enumerate(content.splitlines(), start=1) if line.strip()]
    return np.array(not_empty[1 : rows + 1])


def _unreadable_cells(csv_file: CsvCells, name: str, cell_type: CellType, positions: np.ndarray) -> Violation:
    cells = csv_file.cells.take(positions)
    shown = [*(key for key in csv_file.keys if key in cells.column_names and key != name), name]
    rows = pd.DataFrame({"line": csv_file.line[positions], **{c: cells[c].to_pylist() for c in shown}})
    remedy = cell_type.remedy
    if csv_file.is_cut_off and positions[-1] == len(csv_file.line) - 1:
        remedy += " (The last line has no line end: the file may be cut off.)"
    return Violation(csv_file.file, f"readable_{name}", f"{name} {cell_type.problem}", remedy, rows, columns=(name,))


def _parse_numbers(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    empty = _is_empty(cells)
    try:
        values = pc.cast(cells, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        text = cells.to_pandas().str.strip()
        empty |= (text == "").to_numpy()
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float)
    values = np.where(np.isfinite(values), values, np.nan)
    return values, np.isnan(values) & ~empty


def _parse_dates(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    try:
        values = pc.cast(cells, pa.date32()).to_numpy()
    except pa.ArrowInvalid:
        text = cells.to_pandas().str.strip()
        is_date = text.str.fullmatch(r"\d{4}-\d{2}-\d{2}", na=False)
        values = pd.to_datetime(text.where(is_date), format="%Y-%m-%d", errors="coerce").to_numpy()
    values = values.astype("datetime64[s]")
    return values, np.isnat(values) & ~_is_empty(cells)


def _parse_labels(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers if all cells are; otherwise the text."""
    try:
        values = pc.cast(cells, pa.int64())
    except pa.ArrowInvalid:
        values = cells
    return (values if not values.null_count else cells).to_numpy(), np.zeros(len(cells), dtype=bool)


def _parse_text(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    return pc.utf8_trim_whitespace(cells).to_numpy(), np.zeros(len(cells), dtype=bool)


def _is_empty(cells: pa.ChunkedArray) -> np.ndarray:
    return pc.is_null(cells).to_numpy()


NUMBERS = CellType(_parse_numbers, "is not a number", "Write plain numbers with a decimal point: 3.5, not 3,5.")
DATES = CellType(_parse_dates, "is not a valid date", "Write dates as 2015-06-13 (year-month-day).")
LABELS = CellType(_parse_labels)  # int64 or text
TEXT = CellType(_parse_text)


def codes(values: Sequence[str], meaning: str = "") -> CellType:
    """Cells that are one of these codes, in any case; parsed into the position of the code. float64"""

    def parse(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        index = pc.index_in(pc.utf8_lower(pc.utf8_trim_whitespace(cells)), pa.array(values))
        positions = pc.cast(index, pa.float64()).to_numpy()
        return positions, np.isnan(positions) & ~_is_empty(cells)

    return CellType(parse, "is not one of the codes", f"Use {', '.join(values)}{meaning and f': {meaning}'}.")


# The types of columns of days and plans, by their names in the schema.
CELL_TYPES = {
    "id": LABELS,
    "store": NUMBERS,
    "day_of_week": NUMBERS,  # 1 Monday … 7 Sunday; compared with the date
    "date": DATES,
    **dict.fromkeys((*ACTUAL_COLUMNS, *CALENDAR_COLUMNS), NUMBERS),
    "holiday_kind": codes(HOLIDAY_KINDS, "none, public, Easter, Christmas"),
}
