"""A tiny chain in Kaggle's files: what the tests of everything that comes in start from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FIRST, PAST_DAYS, PLAN_DAYS = "2014-01-06", 70, 48  # from a Monday
NUMBERS = (1, 2, 3, 8)  # 3 is open on Sundays
WHOLE = [
    "CompetitionDistance",
    "CompetitionOpenSinceMonth",
    "CompetitionOpenSinceYear",
    "Promo2SinceWeek",
    "Promo2SinceYear",
]
KEY = ["Store", "DayOfWeek", "Date"]


@dataclass
class RawFiles:
    """Frames to be changed by a test, and written as CSV."""

    train: pd.DataFrame
    store: pd.DataFrame
    test: pd.DataFrame | None

    def write(self, folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        self.train.to_csv(folder / "train.csv", index=False)
        self.store.to_csv(folder / "store.csv", index=False)
        if self.test is not None:
            self.test.to_csv(folder / "test.csv", index=False)
        return str(folder)

    def day(self, store: int, date: str) -> pd.Series:
        """Which row of train is this one."""
        return (self.train["Store"] == store) & (self.train["Date"] == date)


def raw_files(past_days: int = PAST_DAYS) -> RawFiles:
    random = np.random.default_rng(3)
    dates = pd.date_range(FIRST, periods=past_days + PLAN_DAYS)
    rows = pd.DataFrame([(s, d) for d in dates[::-1] for s in NUMBERS], columns=["Store", "Date"])
    rows["DayOfWeek"] = rows["Date"].dt.dayofweek + 1
    rows["Open"] = ((rows["DayOfWeek"] != 7) | (rows["Store"] == 3)).astype(int)
    rows["Promo"] = ((rows["Date"].dt.isocalendar().week % 2 == 0) & (rows["DayOfWeek"] < 6)).astype(int)
    rows["StateHoliday"] = np.where(rows["Date"] == "2014-03-05", "a", "0")
    rows.loc[rows["StateHoliday"] == "a", "Open"] = 0
    rows["SchoolHoliday"] = random.integers(0, 2, len(rows))
    rows["Customers"] = rows["Open"] * random.integers(300, 700, len(rows))
    rows["Sales"] = rows["Customers"] * 9 + rows["Open"] * random.integers(0, 9, len(rows))
    rows["Date"] = rows["Date"].dt.strftime("%Y-%m-%d")
    past = rows["Date"] < f"{dates[past_days]:%Y-%m-%d}"
    planned = [*KEY, "Open", "Promo", "StateHoliday", "SchoolHoliday"]
    test = rows.loc[~past, planned].reset_index(drop=True)
    test.insert(0, "Id", range(1, len(test) + 1))
    train = rows.loc[past, [*KEY, "Sales", "Customers", *planned[3:]]].reset_index(drop=True)
    return RawFiles(train, _stores(), test)


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
    ).astype(dict.fromkeys(WHOLE, "Int64"))
