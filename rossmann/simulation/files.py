"""The sample as Kaggle's three files, with their column order, row order and quotes."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from rossmann.data.kaggle.columns import STORE_COLUMNS, TEST_COLUMNS, TRAIN_COLUMNS
from rossmann.schema import HOLIDAY_KINDS
from rossmann.simulation.calendar import FIRST_DATE, SampleCalendar
from rossmann.simulation.chain import PROMO2_INTERVALS, Chain
from rossmann.storage import errors_with_path
from rossmann.validation import DataError


def save_files(out: Path, contents: dict[Path, bytes | pa.Buffer], overwrite: bool) -> None:
    """Write the files into the folder `out`. Raises DataError if it has others of these names, unless `overwrite`."""
    other = [path.name for path, content in contents.items() if path.exists() and path.read_bytes() != content]
    if other and not overwrite:
        raise DataError(
            f"{out} has other files ({', '.join(other)}): choose another --out, or overwrite them by --force"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_files(contents)


def write_files(contents: dict[Path, bytes | pa.Buffer]) -> None:
    """Write all files of a folder under temporary names, and rename them when they are complete."""
    targets = {path.with_name(f".{path.name}.{os.getpid()}"): path for path in contents}
    (folder,) = {path.parent for path in contents}
    with errors_with_path(folder):
        try:
            for temporary, path in targets.items():
                temporary.write_bytes(contents[path])
            for temporary, path in targets.items():
                temporary.replace(path)
        finally:
            for temporary in targets:
                temporary.unlink(missing_ok=True)


def train_csv(chain: Chain, calendar: SampleCalendar, sales: np.ndarray, customers: np.ndarray) -> pa.Buffer:
    """train.csv, the latest day first, stores in ascending order; no rows in a store's gap."""
    days = np.arange(len(sales))[::-1, None]
    has_row = ~(chain.has_gap & (days >= chain.gap_first_day) & (days <= chain.gap_last_day))
    days_back, store = np.nonzero(has_row)
    day = len(sales) - 1 - days_back
    columns = _plan_columns(calendar, day, store) | {"Sales": sales[day, store], "Customers": customers[day, store]}
    return csv_buffer({name: columns[name] for name in TRAIN_COLUMNS})


def plan_csv(calendar: SampleCalendar, days: int) -> pa.Buffer:
    """test.csv with the days of the calendar after the first `days`, in the order of train.csv."""
    plan_days, stores = calendar.open[days:].shape
    day, store = np.divmod(np.arange(plan_days * stores), stores)
    columns = _plan_columns(calendar, days + plan_days - 1 - day, store)
    columns["Id"] = np.arange(1, plan_days * stores + 1)
    return csv_buffer({name: columns[name] for name in TEST_COLUMNS})


def store_csv(chain: Chain) -> bytes:
    """store.csv: names and letters in quotes, nothing for unknown values, "" for no interval."""
    lines = [",".join(f'"{name}"' for name in STORE_COLUMNS)]
    for i in range(len(chain.federal_state)):
        distance_m = chain.competition_distance_m[i]
        opening, joining = (
            (FIRST_DATE + day).item() for day in (chain.competition_opening_day[i], chain.promo2_day[i])
        )
        is_dated = chain.competition_is_dated[i] and not np.isnan(distance_m)
        since = f"{opening.month},{opening.year}" if is_dated else ","
        year, week, _ = joining.isocalendar()
        promo2 = f'1,{week},{year},"{PROMO2_INTERVALS[chain.promo2_interval[i]]}"' if chain.promo2[i] else '0,,,""'
        distance = "" if np.isnan(distance_m) else int(distance_m)
        lines.append(f'{i + 1},"{chain.store_type[i]}","{chain.assortment[i]}",{distance},{since},{promo2}')
    return ("\n".join(lines) + "\n").encode()


def _plan_columns(calendar: SampleCalendar, day: np.ndarray, store: np.ndarray) -> dict[str, np.ndarray | pa.Array]:
    """The columns that train.csv and test.csv share, one row per pair of `day` and `store` positions."""
    return {
        "Store": (store + 1).astype(np.int32),
        "DayOfWeek": (calendar.weekday[day] + 1).astype(np.int8),
        "Date": calendar.dates[day],
        "Open": calendar.open[day, store],
        "Promo": calendar.promo[day],
        "StateHoliday": pa.array(HOLIDAY_KINDS).take(pa.array(calendar.holiday[day, store])),
        "SchoolHoliday": calendar.school[day, store],
    }


def csv_buffer(columns: dict[str, np.ndarray | pa.Array]) -> pa.Buffer:
    """The columns as a CSV file without quotes."""
    sink = pa.BufferOutputStream()
    sink.write((",".join(columns) + "\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(pa.table(columns), sink, options)
    return sink.getvalue()
