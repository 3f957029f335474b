"""From the bytes of a CSV file to typed columns; every refusal names the file, the line and the way out."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from rossmann.validation import ASSORTMENTS, STATE_HOLIDAYS, STORE_TYPES, DataError, Finding, ValidationError

MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
WRONG_ROWS_SHOWN = 1000
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Text:
    """One CSV file, cut into cells that are not yet understood."""

    file: str
    cells: pa.Table
    line: np.ndarray  # int64 [rows], where each row stands in the file
    extra: tuple[str, ...]  # columns nobody asked for
    cut_off: bool  # the last line has no line end
    stage: str  # whose cells they are, for errors


def cut(
    file: str, content: bytes, required: Sequence[str], ignored: Sequence[str] = (), stage: str = "raw data"
) -> Text:
    """The cells of a CSV file with at least the `required` columns; `ignored` ones do not count as extra."""
    _check_encoding(file, content)
    header = _header(file, content, required)
    names = [name.strip() for name in header]
    if not any(end in content.strip() for end in (b"\n", b"\r")):
        raise DataError(f"{file} has a header but no rows: the export is empty. Export it again.")
    wrong: list[arrow_csv.InvalidRow] = []

    def note(row: arrow_csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip" if len(wrong) < WRONG_ROWS_SHOWN else "error"

    try:
        cells = arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=1 << 24),
            parse_options=arrow_csv.ParseOptions(invalid_row_handler=note),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=MISSING, strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as refusal:
        if not wrong:
            raise DataError(f"{file} cannot be read as CSV: {refusal}. Save it again as plain CSV.") from None
    cut_off = not content.endswith((b"\n", b"\r"))
    if wrong:
        raise ValidationError(stage, [_wrong_rows(file, wrong, names, content, cut_off)])
    if content.count(b'"') % 2:
        raise DataError(f"{file} ends within a quoted cell: it was cut off. Fetch the whole file again.")
    extra = tuple(name for name in names if name not in required and name not in ignored)
    return Text(file, cells.rename_columns(names), _lines(content, len(cells)), extra, cut_off, stage)


def typed(text: Text, columns: Sequence[str], rows: np.ndarray | None = None) -> pd.DataFrame:
    """These columns of these rows as numbers and dates (NaN, NaT where empty), with `file` and `line`.

    Codes (StateHoliday, StoreType, Assortment) become their index. Raises ValidationError for other cells.
    """
    kept = np.arange(len(text.line)) if rows is None else np.flatnonzero(rows)
    cells = text.cells if rows is None else text.cells.take(kept)
    values, findings = {}, []
    for name in columns:
        values[name], bad = _READ.get(name, _number)(cells[name])
        if bad.any():
            findings.append(_unreadable(text, name, cells, kept, bad))
    if findings:
        raise ValidationError(text.stage, findings)
    return pd.DataFrame(values, copy=False).assign(file=text.file, line=text.line[kept])


def _check_encoding(file: str, content: bytes) -> None:
    if not content.strip():
        raise DataError(f"{file} is empty. Export it again, with its header.")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as broken:
        line = content.count(b"\n", 0, broken.start) + 1
        guess = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "Latin-1 or binary"
        raise DataError(
            f"{file} is not UTF-8 text (byte {content[broken.start]:#04x} in line {line}; perhaps {guess})."
            " Save it as CSV in UTF-8."
        ) from None
    if b"\x00" in content:
        raise DataError(f"{file} holds zero bytes: it is not plain text. Save it as CSV in UTF-8.")


def _header(file: str, content: bytes, required: Sequence[str]) -> list[str]:
    first = content.split(b"\n", 1)[0].split(b"\r", 1)[0].decode("utf-8-sig")
    header = next(csv.reader([first]))
    names = [name.strip() for name in header]
    missing = [name for name in required if name not in names]
    for delimiter, called in OTHER_DELIMITERS.items():
        if missing and set(required) <= set(next(csv.reader([first], delimiter=delimiter))):
            raise DataError(f"{file} separates its cells by {called}; save it with commas.")
    if missing:
        raise DataError(
            f"{file} has no column {', '.join(missing)}; its first line is: {first[:200]}."
            f" It needs {', '.join(required)}, spelled like this."
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{file} has the column {', '.join(doubled)} more than once. Keep one of each.")
    return header


def _wrong_rows(
    file: str, wrong: list[arrow_csv.InvalidRow], names: list[str], content: bytes, cut_off: bool
) -> Finding:
    rows = pd.DataFrame(
        {
            "line": [row.number for row in wrong],
            "cells": [row.actual_columns for row in wrong],
            "text": [row.text for row in wrong],
        }
    )
    last = cut_off and content.endswith(wrong[-1].text.encode())
    if last and len(wrong) == 1:
        return Finding(file, "truncated", "the last line is cut off", "The file is not whole: fetch it again.", rows)
    stopped = " (the reading stopped here)" if len(wrong) >= WRONG_ROWS_SHOWN else ""
    return Finding(
        file,
        "cells_per_line",
        f"not {len(names)} cells as in the header{stopped}",
        "Too many are often decimal commas (write 3.5, not 3,5); too few, a damaged file. Export it again.",
        rows,
    )


def _lines(content: bytes, rows: int) -> np.ndarray:
    """Line numbers of the rows: the header is line 1, empty lines count."""
    if content.count(b"\n") + content.count(b"\r") <= rows + 2 or b"\n\n" not in content.replace(b"\r", b""):
        return np.arange(2, rows + 2)
    filled = [n for n, line in enumerate(content.splitlines(), start=1) if line.strip()]
    return np.array(filled[1 : rows + 1])


def _unreadable(text: Text, name: str, cells: pa.Table, kept: np.ndarray, bad: np.ndarray) -> Finding:
    at = np.flatnonzero(bad)
    wrong = cells.take(at)
    seen = [c for c in ("Store", "Date") if c in cells.column_names and c != name]
    rows = pd.DataFrame({"line": text.line[kept[at]], **{c: wrong[c].to_pylist() for c in (*seen, name)}})
    problem, mend = _PROBLEM.get(name, ("is not a number", "Write plain numbers with a decimal point: 3.5, not 3,5."))
    if text.cut_off and kept[at[-1]] == len(text.line) - 1:
        mend += " (The last line has no line end: the file may be cut off.)"
    return Finding(text.file, f"readable_{name}", f"{name} {problem}", mend, rows)


def _number(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers, and which cells are none."""
    empty = _empty(cells)
    try:
        values = pc.cast(cells, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        text = cells.to_pandas().str.strip()
        empty |= (text == "").to_numpy()
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float)
    values = np.where(np.isfinite(values), values, np.nan)
    return values, np.isnan(values) & ~empty


def _day(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    try:
        values = pc.cast(cells, pa.date32()).to_numpy()
    except pa.ArrowInvalid:
        text = cells.to_pandas().str.strip()
        right = text.str.fullmatch(r"\d{4}-\d{2}-\d{2}").fillna(False).astype(bool)
        values = pd.to_datetime(text.where(right), format="%Y-%m-%d", errors="coerce").to_numpy()
    values = values.astype("datetime64[s]")
    return values, np.isnat(values) & ~_empty(cells)


def _code(codes: Sequence[str]) -> Callable[[pa.ChunkedArray], tuple[np.ndarray, np.ndarray]]:
    def read(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        index = pc.index_in(pc.utf8_lower(pc.utf8_trim_whitespace(cells)), pa.array(codes))
        values = pc.cast(index, pa.float64()).to_numpy()
        return values, np.isnan(values) & ~_empty(cells)

    return read


def _label(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers if all of them are; else the text."""
    try:
        values = pc.cast(cells, pa.int64())
    except pa.ArrowInvalid:
        values = cells
    return (values if not values.null_count else cells).to_numpy(), np.zeros(len(cells), dtype=bool)


def _words(cells: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    return pc.utf8_trim_whitespace(cells).to_numpy(), np.zeros(len(cells), dtype=bool)


def _empty(cells: pa.ChunkedArray) -> np.ndarray:
    return pc.is_null(cells).to_numpy()


_READ = {
    "Id": _label,
    "Date": _day,
    "StateHoliday": _code(STATE_HOLIDAYS),
    "StoreType": _code(STORE_TYPES),
    "Assortment": _code(ASSORTMENTS),
    "PromoInterval": _words,
}
_PROBLEM = {
    "Date": ("is not a date of the calendar", "Write dates as 2015-06-13 (year-month-day)."),
    "StateHoliday": (
        "is none of the codes",
        f"Use {', '.join(STATE_HOLIDAYS)}: none, public, Easter, Christmas.",
    ),
    "StoreType": ("is none of the codes", f"Use one of {', '.join(STORE_TYPES)}."),
    "Assortment": ("is none of the codes", f"Use one of {', '.join(ASSORTMENTS)}."),
}
