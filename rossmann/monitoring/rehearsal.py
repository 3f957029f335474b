"""The raw files of a rehearsal: of some stores only, and with a fault put in."""

import io

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory, read_history, read_raw
from rossmann.monitoring.faults import inject
from rossmann.storage import Storage

FILES = ("train.csv", "store.csv", "test.csv")
LAST_OF_ALL = 10**9  # as many stores as there are


def stage(raw: str, out: str, stores: int | None = None, fault: str | None = None, since: str | None = None) -> str:
    """Write the files of the first `stores` stores into `out`, with the fault from `since` on; answers `out`.

    DataError for files that cannot be read.
    """
    read_raw(raw)
    source, target = Storage(raw), Storage(out)
    for name in FILES:
        if source.exists(name):
            rows = pd.read_csv(io.BytesIO(source.read(name)), dtype=str, keep_default_na=False)
            numbers = rows.Store.astype(int)
            kept = rows[numbers <= np.unique(numbers)[: stores or LAST_OF_ALL][-1]]
            target.write(name, kept.to_csv(index=False).encode())
    if fault and since:
        history = inject(read_history(out).history, fault, np.datetime64(since, "D"))
        days = pd.read_csv(io.BytesIO(target.read(FILES[0])), dtype=str, keep_default_na=False)
        target.write(FILES[0], _told(days, history, since).to_csv(index=False).encode())
    return out


def _told(days: pd.DataFrame, history: SalesHistory, since: str) -> pd.DataFrame:
    """The raw rows with what the history says of the days from `since` on; rows it does not have are gone."""
    store = np.searchsorted(history.stores.number, days.Store.astype(int))
    day = (days.Date.to_numpy().astype("datetime64[D]") - history.dates[0]).astype(int)
    late = (days.Date >= since).to_numpy() & (day < len(history.dates))
    at = store[late], day[late]
    columns = {"Sales": history.sales, "Customers": history.customers, "Open": history.calendar.open,
               "Promo": history.calendar.promo}  # fmt: skip
    changed = days.copy()
    for name, values in columns.items():
        changed.loc[late, name] = [f"{value:.0f}" for value in values[at]]
    return changed[~(late & (changed.Sales == "nan"))]
