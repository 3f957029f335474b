"""Read Kaggle's CSV files into typed tables under Kaggle's column names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from rossmann.chain import CHAIN_FILE
from rossmann.data.csv_parsing import HEADER_BYTES, CsvCells, check_header, header_names, parse_columns, read_cells
from rossmann.data.kaggle.columns import (
    KAGGLE_CELL_TYPES,
    RAW_KEYS,
    RAW_PLAN_COLUMNS,
    STORE_COLUMNS,
    STORE_FILE,
    TEST_COLUMNS,
    TEST_FILE,
    TRAIN_COLUMNS,
    TRAIN_FILE,
)
from rossmann.schema import HORIZON_DAYS
from rossmann.storage import Storage
from rossmann.validation import DataError

RAW_FILES = {TRAIN_FILE: TRAIN_COLUMNS, STORE_FILE: STORE_COLUMNS, TEST_FILE: RAW_PLAN_COLUMNS}  # and what they need
NEEDS_CHAIN_FILE = (
    f"Files of another shape need a {CHAIN_FILE} beside them: copy that of the last delivery, or run rossmann init"
    " FOLDER."
)


@dataclass(frozen=True)
class RawFiles:
    """The typed but unchecked content of the files, under Kaggle's column names.

    Every table also has the columns `file` and `line`, the place of the row.
    """

    days: pd.DataFrame  # train.csv up to as_of
    stores: pd.DataFrame  # store.csv
    plan: pd.DataFrame  # the calendar of train.csv after as_of, then of test.csv
    extra_columns: tuple[str, ...]  # "file: column" of columns that are not used
    source: str  # the folder or s3:// address of the files


def read_raw(raw_dir: str, as_of: date | None = None, horizon_days: int = HORIZON_DAYS) -> RawFiles:
    """Read train.csv, store.csv and, if it exists, test.csv from a folder or an s3:// address.

    Of the `horizon_days` after `as_of` only the calendar is read, as a part of the plan; their sales are not parsed.
    Raises DataError for files that cannot be read; `check_raw` checks what the rows say.
    """
    storage = Storage(str(raw_dir))
    train, store = _read_file(storage, TRAIN_FILE), _read_file(storage, STORE_FILE)
    test = _read_file(storage, TEST_FILE, TEST_COLUMNS) if storage.exists(TEST_FILE) else None
    is_later, is_planned = _days_after(train, as_of, horizon_days)
    plans = [_parse(train, RAW_PLAN_COLUMNS, is_planned)] + ([_parse(test, RAW_PLAN_COLUMNS)] if test else [])
    plans_with_rows = [plan for plan in plans if len(plan)]
    return RawFiles(
        days=_parse(train, TRAIN_COLUMNS, ~is_later),
        stores=_parse(store, STORE_COLUMNS),
        plan=pd.concat(plans_with_rows, ignore_index=True) if plans_with_rows else plans[0],
        extra_columns=tuple(f"{csv.file}: {name}" for csv in (train, store, test) if csv for name in csv.extra_columns),
        source=storage.address("").rstrip("/"),
    )


def require_kaggle_files(raw_dir: str) -> None:
    """Raise DataError if train.csv or store.csv is missing, or the header of a file is wrong. Reads only the headers.

    raw_dir: a folder or an s3:// address.
    """
    storage = Storage(str(raw_dir))
    for name, columns in RAW_FILES.items():
        if storage.exists(name):
            with _errors_of_file(storage, name):
                start = storage.read_start(name, HEADER_BYTES)
            check_header(name, start, ())
            if not header_names(start) & set(columns):
                raise DataError(f"{name} has no column {', '.join(columns)}. {NEEDS_CHAIN_FILE}")
            check_header(name, start, columns)
        elif name != TEST_FILE:
            raise _missing_file(storage, name)


def _missing_file(storage: Storage, name: str) -> DataError:
    return DataError(
        f"There is no {name} in {storage.address('')}. Ingest needs {TRAIN_FILE} and {STORE_FILE}"
        f" (and takes {TEST_FILE} as the published plan); set --raw to the folder that has them. {NEEDS_CHAIN_FILE}"
    )


@contextmanager
def _errors_of_file(storage: Storage, name: str) -> Iterator[None]:
    """A file that is missing or cannot be read raises DataError."""
    try:
        yield
    except FileNotFoundError:
        raise _missing_file(storage, name) from None
    except OSError as error:
        raise DataError(f"{storage.address(name)} cannot be read: {error}") from error


def _read_file(storage: Storage, name: str, optional: tuple[str, ...] = ()) -> CsvCells:
    with _errors_of_file(storage, name):
        content = storage.read(name)
    return read_cells(name, content, RAW_FILES[name], optional, keys=RAW_KEYS)


def _parse(cells: CsvCells, columns: tuple[str, ...], rows: np.ndarray | None = None) -> pd.DataFrame:
    return parse_columns(cells, {name: KAGGLE_CELL_TYPES[name] for name in columns}, rows)


def _days_after(train: CsvCells, as_of: date | None, horizon_days: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of train.csv are after `as_of`, and which of these are within the horizon. bool [rows] each"""
    if as_of is None:
        no_rows = np.zeros(len(train.line), dtype=bool)
        return no_rows, no_rows
    dates = _parse(train, ("Date",))["Date"]
    is_later = (dates > pd.Timestamp(as_of)).to_numpy()
    if is_later.all():
        raise DataError(
            f"--as-of {as_of}: {TRAIN_FILE} has sales from {dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}; "
            "name one of these days, or none for all of them"
        )
    return is_later, is_later & (dates <= pd.Timestamp(as_of) + pd.Timedelta(days=horizon_days)).to_numpy()
