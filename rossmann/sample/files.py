"""Kaggle's three files: column order, row order and quotes as there."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from rossmann.sample.calendar import FIRST_DAY, DayPlan
from rossmann.sample.chain import INTERVALS, Chain
from rossmann.validation import STATE_HOLIDAYS

TRAIN_HEADER = (
    "Store", "DayOfWeek", "Date", "Sales", "Customers", "Open", "Promo", "StateHoliday", "SchoolHoliday",
)  # fmt: skip
PLAN_HEADER = ("Id", "Store", "DayOfWeek", "Date", "Open", "Promo", "StateHoliday", "SchoolHoliday")
STORE_HEADER = (
    "Store", "StoreType", "Assortment", "CompetitionDistance", "CompetitionOpenSinceMonth",
    "CompetitionOpenSinceYear", "Promo2", "Promo2SinceWeek", "Promo2SinceYear", "PromoInterval",
)  # fmt: skip


def write(contents: dict[Path, bytes | pa.Buffer]) -> None:
    """Under other names until all the files are whole."""
    unfinished = {path.with_name(f".{path.name}.{os.getpid()}"): path for path in contents}
    try:
        for hidden, path in unfinished.items():
            hidden.write_bytes(contents[path])
        for hidden, path in unfinished.items():
            hidden.replace(path)
    finally:
        for hidden in unfinished:
            hidden.unlink(missing_ok=True)


def _csv(columns: dict[str, np.ndarray]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    sink.write((",".join(columns) + "\n").encode())
    plain = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(pa.table(columns), sink, plain)
    return sink.getvalue()


def _known(calendar: DayPlan, day: np.ndarray, store: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that train.csv and test.csv share, one row per pair of `day` and `store` indices."""
    return {
        "Store": (store + 1).astype(np.int32),
        "DayOfWeek": (calendar.weekday[day] + 1).astype(np.int8),
        "Date": calendar.dates[day],
        "Open": calendar.open[day, store],
        "Promo": calendar.promo[day],
        "StateHoliday": pa.array(STATE_HOLIDAYS).take(pa.array(calendar.holiday[day, store])),
        "SchoolHoliday": calendar.school[day, store],
    }


def train_csv(chain: Chain, calendar: DayPlan, sales: np.ndarray, customers: np.ndarray) -> pa.Buffer:
    """The latest day first, stores in ascending order; no rows in a store's gap."""
    days = np.arange(len(sales))[::-1, None]
    exists = ~(chain.gap & (days >= chain.gap_from) & (days <= chain.gap_to))
    back, store = np.nonzero(exists)
    day = len(sales) - 1 - back
    columns = _known(calendar, day, store) | {"Sales": sales[day, store], "Customers": customers[day, store]}
    return _csv({name: columns[name] for name in TRAIN_HEADER})


def plan_csv(calendar: DayPlan, days: int) -> pa.Buffer:
    """The days after the history, in the same order."""
    planned, stores = calendar.open[days:].shape
    day, store = np.divmod(np.arange(planned * stores), stores)
    columns = _known(calendar, days + planned - 1 - day, store) | {"Id": np.arange(1, planned * stores + 1)}
    return _csv({name: columns[name] for name in PLAN_HEADER})


def store_csv(chain: Chain) -> bytes:
    """store.csv: names and letters in quotes, nothing where nothing is known, "" for no interval."""
    lines = [",".join(f'"{name}"' for name in STORE_HEADER)]
    for i in range(len(chain.state)):
        distance = chain.competition_distance_m[i]
        opened, joined = ((FIRST_DAY + day).item() for day in (chain.competition_day[i], chain.promo2_day[i]))
        known = chain.competition_known[i] and not np.isnan(distance)
        since = f"{opened.month},{opened.year}" if known else ","
        year, week, _ = joined.isocalendar()
        promo2 = f'1,{week},{year},"{INTERVALS[chain.interval[i]]}"' if chain.promo2[i] else '0,,,""'
        metres = "" if np.isnan(distance) else int(distance)
        lines.append(f'{i + 1},"{chain.store_type[i]}","{chain.assortment[i]}",{metres},{since},{promo2}')
    return ("\n".join(lines) + "\n").encode()
