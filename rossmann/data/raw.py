"""Kaggle's CSV files as typed frames: ugly ones are read, unreadable ones refused with the line at fault."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from rossmann.data.cells import Text, cut, typed
from rossmann.data.panel import HORIZON_DAYS
from rossmann.storage import Storage
from rossmann.validation import DataError

PLAN = ("Store", "DayOfWeek", "Date", "Open", "Promo", "StateHoliday", "SchoolHoliday")
DAY = (*PLAN, "Sales", "Customers")
COMPETITION = ("CompetitionDistance", "CompetitionOpenSinceMonth", "CompetitionOpenSinceYear")
PROMO2 = ("Promo2", "Promo2SinceWeek", "Promo2SinceYear", "PromoInterval")
STORE = ("Store", "StoreType", "Assortment", *COMPETITION, *PROMO2)
TRAIN_FILE, STORE_FILE, PLAN_FILE = "train.csv", "store.csv", "test.csv"


@dataclass(frozen=True)
class Raw:
    """What the raw files say, typed but not yet judged. Columns bear Kaggle's names; `line` in the file."""

    days: pd.DataFrame  # train.csv up to as_of
    stores: pd.DataFrame  # store.csv
    plan: pd.DataFrame  # the calendar of days to come: train.csv after as_of, then test.csv; `file` says which
    extra_columns: tuple[str, ...]  # "file: column" of what is there and not used
    source: str  # where the files lie
    as_of: date | None


def read_raw(raw_dir: str, as_of: date | None = None) -> Raw:
    """Read train.csv, store.csv and, where there is one, test.csv from a folder or an s3:// address.

    Of days after `as_of` only the calendar is kept, as part of the plan: their sales are not even looked at.
    Raises DataError for what cannot be read; whether it makes sense is asked by `validation.check_raw`.
    """
    files = Storage(str(raw_dir))
    train = _file(files, TRAIN_FILE, DAY)
    store = _file(files, STORE_FILE, STORE)
    test = _file(files, PLAN_FILE, PLAN) if files.exists(PLAN_FILE) else None
    later, planned = _days_after(train, as_of)
    to_come = [typed(train, PLAN, planned)] + ([typed(test, PLAN)] if test else [])
    filled = [plan for plan in to_come if len(plan)]
    return Raw(
        days=typed(train, DAY, ~later),
        stores=typed(store, STORE),
        plan=pd.concat(filled, ignore_index=True) if filled else to_come[0],
        extra_columns=tuple(f"{text.file}: {name}" for text in (train, store, test) if text for name in text.extra),
        source=files.address("").rstrip("/"),
        as_of=as_of,
    )


def _file(files: Storage, name: str, columns: tuple[str, ...]) -> Text:
    try:
        content = files.read(name)
    except FileNotFoundError:
        raise DataError(
            f"There is no {name} in {files.address('')}. Ingest needs {TRAIN_FILE} and {STORE_FILE}"
            f" (and takes {PLAN_FILE} as the published plan); point --raw to the folder that has them."
        ) from None
    except OSError as refusal:
        raise DataError(f"{files.address(name)} cannot be read: {refusal}") from refusal
    return cut(name, content, columns, ignored=("Id",) if name == PLAN_FILE else ())


def _days_after(train: Text, as_of: date | None) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of train.csv are not yet history on `as_of`; and which of these lie within the horizon."""
    if as_of is None:
        none = np.zeros(len(train.line), dtype=bool)
        return none, none
    dates = typed(train, ("Date",))["Date"]
    later = (dates > pd.Timestamp(as_of)).to_numpy()
    if later.all():
        raise DataError(
            f"{TRAIN_FILE} starts on {dates.min():%Y-%m-%d}: nothing was known on {as_of}. Take a later date."
        )
    return later, later & (dates <= pd.Timestamp(as_of) + pd.Timedelta(days=HORIZON_DAYS)).to_numpy()
