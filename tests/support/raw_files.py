"""A small chain in Kaggle's files, which tests of the reading and the cleaning change and write."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rossmann.data.kaggle.columns import RAW_PLAN_COLUMNS, STORE_FILE, TEST_FILE, TRAIN_COLUMNS, TRAIN_FILE

FIRST_DAY, PAST_DAYS, PLAN_DAYS = "2014-01-06", 70, 48  # a Monday
NUMBERS = (1, 2, 3, 8)  # store 3 is open on Sundays
HOLIDAY = "2014-03-05"
INTEGER_COLUMNS = [
    "CompetitionDistance",
    "CompetitionOpenSinceMonth",
    "CompetitionOpenSinceYear",
    "Promo2SinceWeek",
    "Promo2SinceYear",
]


@dataclass
class RawFiles:
    """The three files as frames, under Kaggle's column names."""

    train: pd.DataFrame
    store: pd.DataFrame
    test: pd.DataFrame | None

    def write(self, folder: Path) -> str:
        """Write the frames as CSV files into the folder. Returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        self.train.to_csv(folder / TRAIN_FILE, index=False)
        self.store.to_csv(folder / STORE_FILE, index=False)
        if self.test is not None:
            self.test.to_csv(folder / TEST_FILE, index=False)
        return str(folder)

    def is_day(self, store: int, date: str) -> pd.Series:
        """Which rows of train are of this store and date."""
        return (self.train["Store"] == store) & (self.train["Date"] == date)


def raw_files(past_days: int = PAST_DAYS) -> RawFiles:
    """Four stores, `past_days` days of sales and a plan of the next PLAN_DAYS days."""
    random = np.random.default_rng(3)
    dates = pd.date_range(FIRST_DAY, periods=past_days + PLAN_DAYS)
    rows = pd.DataFrame([(s, d) for d in dates[::-1] for s in NUMBERS], columns=["Store", "Date"])
    rows["DayOfWeek"] = rows["Date"].dt.dayofweek + 1
    rows["Open"] = ((rows["DayOfWeek"] != 7) | (rows["Store"] == 3)).astype(int)
    rows["Promo"] = ((rows["Date"].dt.isocalendar().week % 2 == 0) & (rows["DayOfWeek"] < 6)).astype(int)
    rows["StateHoliday"] = np.where(rows["Date"] == HOLIDAY, "a", "0")
    rows.loc[rows["StateHoliday"] == "a", "Open"] = 0
    rows["SchoolHoliday"] = random.integers(0, 2, len(rows))
    rows["Customers"] = rows["Open"] * random.integers(300, 700, len(rows))
    rows["Sales"] = rows["Customers"] * 9 + rows["Open"] * random.integers(0, 9, len(rows))
    rows["Date"] = rows["Date"].dt.strftime("%Y-%m-%d")
    is_past = rows["Date"] < f"{dates[past_days]:%Y-%m-%d}"
    test = rows.loc[~is_past, list(RAW_PLAN_COLUMNS)].reset_index(drop=True)
    test.insert(0, "Id", range(1, len(test) + 1))
    return RawFiles(rows.loc[is_past, list(TRAIN_COLUMNS)].reset_index(drop=True), _stores(), test)


def _stores() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Store": NUMBERS,
            "StoreType": ["a", "b", "c", "d"],
            "Assortment": ["a", "b", "c", "a"],
            "CompetitionDistance": [570, 14130, None, 20],
            "CompetitionOpenSinceMonth": [11, None, None, 2],
            "CompetitionOpenSinceYear": [2007, None, None, 2014],
            "Promo2": [0, 1, 1, 0],
            "Promo2SinceWeek": [None, 13, 1, None],
            "Promo2SinceYear": [None, 2010, 2014, None],
            "PromoInterval": [None, "Jan,Apr,Jul,Oct", "Mar,Jun,Sept,Dec", None],
        }
    ).astype(dict.fromkeys(INTEGER_COLUMNS, "Int64"))
