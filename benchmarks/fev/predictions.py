"""Quantiles of the windows as fev reads them: a row per series, a list of days per quantile."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fev.task import LEVELS
from rossmann.data import SalesHistory
from rossmann.schema import HORIZON_DAYS


def write_predictions(
    file: Path, history: SalesHistory, origin: np.datetime64, rows: pd.DataFrame, sales: np.ndarray
) -> None:
    """Quantiles of sales [rows, levels] of a window. Days without a row have 0 there: they have no actual sales."""
    numbers = history.stores.number
    by_text = np.argsort(numbers.astype(str))  # the order of the series in fev
    values = np.zeros((len(numbers), HORIZON_DAYS, len(LEVELS)))
    day = (rows["date"].to_numpy().astype("datetime64[D]") - origin).astype(int) - 1
    values[history.stores.positions(rows["store"].to_numpy()), day] = sales
    columns = {str(level): _lists(values[by_text, :, k]) for k, level in enumerate(LEVELS)}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"predictions": columns["0.5"], **columns}), file)


def _lists(values: np.ndarray) -> pa.ListArray:
    """[series, days] as a list of days per series."""
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * HORIZON_DAYS, values.ravel())
