"""The task rossmann_1D of fev-bench, rebuilt from Kaggle's files: its windows, and the data set as fev reads it."""

from pathlib import Path

import numpy as np
import pandas as pd

from rossmann.schema import DAY, HORIZON_DAYS, WEEK_DAYS
from rossmann.validation import DataError

FIRST_ORIGIN = np.datetime64("2014-04-07")
MAX_WINDOWS = 10
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the quantiles
SERIES, TIMESTAMP, TARGET = "id", "timestamp", "Sales"
KNOWN_COLUMNS = ["DayOfWeek", "Open", "Promo", "SchoolHoliday", "StateHoliday"]
PAST_COLUMNS = ["Customers"]


def window_origins(last_day: np.datetime64) -> tuple[np.datetime64, ...]:
    """The last known days of the windows whose days all have sales, ascending. DataError if there is none."""
    count = int((last_day - FIRST_ORIGIN).astype(int)) // HORIZON_DAYS
    if count < 1:
        raise DataError(
            f"train.csv ends on {last_day}, and the first window on {FIRST_ORIGIN + HORIZON_DAYS * DAY}: "
            "this benchmark is defined on Kaggle's data only"
        )
    return tuple(FIRST_ORIGIN + HORIZON_DAYS * number * DAY for number in range(min(count, MAX_WINDOWS)))


def dataset(raw: Path) -> pd.DataFrame:
    """Every store and day up to the end of the last window, as train.csv has it: no cleaning, NaN without a row.

    Ordered by store number as text, as fev orders the series, then by day.
    """
    text = {"Store": str, "StateHoliday": str}
    days = pd.read_csv(raw / "train.csv", dtype=text, parse_dates=["Date"])
    first, last_day = days["Date"].min(), days["Date"].max().to_datetime64().astype("datetime64[D]")
    last = window_origins(last_day)[-1] + HORIZON_DAYS * DAY
    every_day = pd.MultiIndex.from_product(
        [sorted(days["Store"].unique()), pd.date_range(first, last)], names=["Store", "Date"]
    )
    table = days.set_index(["Store", "Date"]).reindex(every_day).reset_index()
    table["DayOfWeek"] = table["Date"].dt.dayofweek + 1
    stores = pd.read_csv(raw / "store.csv", dtype={"Store": str})
    return table.merge(stores, on="Store", how="left").rename(columns={"Store": SERIES, "Date": TIMESTAMP})


def definition(file: Path, raw: Path, windows: int) -> dict[str, object]:
    """The arguments of fev's Task, whose data set is in the file."""
    return {
        "dataset_path": str(file),
        "horizon": HORIZON_DAYS,
        "num_windows": windows,
        "seasonality": WEEK_DAYS,
        "eval_metric": "SQL",
        "extra_metrics": ["MASE", {"name": "WAPE", "epsilon": 1.0}, {"name": "WQL", "epsilon": 1.0}],
        "quantile_levels": LEVELS,
        "id_column": SERIES,
        "timestamp_column": TIMESTAMP,
        "target": TARGET,
        "known_dynamic_columns": KNOWN_COLUMNS,
        "past_dynamic_columns": PAST_COLUMNS,
        "static_columns": [name for name in pd.read_csv(raw / "store.csv", nrows=0) if name != "Store"],
    }
