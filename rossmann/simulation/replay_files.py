"""Raw files for a replay: those of some stores only, and with a fault put in."""

import io

import numpy as np
import pandas as pd

from rossmann.chain import CHAIN_FILE
from rossmann.data import SalesHistory, read_history, read_raw
from rossmann.data.chain_files.reading import chain_file_names, read_chain
from rossmann.data.kaggle.columns import STORE_FILE, TEST_FILE, TRAIN_FILE
from rossmann.simulation.faults import inject_fault
from rossmann.storage import Storage
from rossmann.validation import DataError

FILES = (TRAIN_FILE, STORE_FILE, TEST_FILE)


def write_replay_files(
    raw: str, out: str, stores: int | None = None, fault: str | None = None, fault_start: str | None = None
) -> str:
    """Write the files of the `stores` stores with the lowest numbers into `out`, and return `out`.

    The fault, if one is named, begins on the day `fault_start`. Raises DataError for files that cannot be read, for an
    unknown fault, and for stores or a fault in files with a chain.toml, which are only copied.
    """
    chain, source, target = read_chain(raw), Storage(raw), Storage(out)
    if not chain.is_kaggle:
        if stores or fault:
            raise DataError(
                f"{raw} has a {CHAIN_FILE}, and its files are replayed as they are: leave out the number of stores "
                "(--stores) and the fault (--inject), which need the files of Kaggle's competition."
            )
        for name in chain_file_names(raw, chain):
            target.write(name, source.read(name))
        return out
    read_raw(raw)
    for name in FILES:
        if source.exists(name):
            rows = _read_text(source, name)
            target.write(name, _first_stores(rows, stores).to_csv(index=False).encode())
    if fault and fault_start:
        history = inject_fault(read_history(out).history, fault, np.datetime64(fault_start, "D"))
        rows = _replace_values(_read_text(target, TRAIN_FILE), history, np.datetime64(fault_start, "D"))
        target.write(TRAIN_FILE, rows.to_csv(index=False).encode())
    return out


def _read_text(folder: Storage, name: str) -> pd.DataFrame:
    """All cells as text, so that they are written as they were read."""
    return pd.read_csv(io.BytesIO(folder.read(name)), dtype=str, keep_default_na=False)


def _first_stores(rows: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """The `count` stores with the lowest numbers; all for None or 0."""
    number = rows.Store.astype(int)
    return rows[number.isin(np.unique(number)[: count or None])]


def _replace_values(rows: pd.DataFrame, history: SalesHistory, fault_start: np.datetime64) -> pd.DataFrame:
    """The raw rows with the history's values from `fault_start` on; without the rows that the history does not have."""
    date = rows.Date.to_numpy().astype("datetime64[D]")
    is_replaced = (date >= fault_start) & (date <= history.origin)
    store, day = history.positions(rows.Store.to_numpy()[is_replaced].astype(int), date[is_replaced])
    panels = {
        "Sales": history.sales,
        "Customers": history.traffic,
        "Open": history.calendar.open,
        "Promo": history.calendar.promotion,
    }
    result = rows.copy()
    for name, panel in panels.items():
        result.loc[is_replaced, name] = [f"{value:.0f}" for value in panel[store, day]]
    return result[~(is_replaced & (result.Sales == "nan"))]
