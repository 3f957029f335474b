"""Files of chains with a chain.toml: one of store, date and sales only, and one with covariates of its own."""

from pathlib import Path

import numpy as np
import pandas as pd

FIRST_DAY, LAST_DAY = "2015-01-01", "2016-03-31"  # 15 months
WEEKDAY = np.array([1, 0.9, 0.9, 1, 1.3, 1.6, 1.2])
BARE_STORES = ("Café Ü", "b-2", "12", "007", "s4", "s5", "s6", "s7")
BARE = """
[days]
file = "days.csv"
store = "shop"
date = "day"
sales = "visits"
[forecast]
horizon_days = 14
loss = "mae"
"""
RICH = """
[days]
file = "days.csv"
store = "shop"
date = "day"
sales = "visits"
missing = "closed"
[known]
promo = { column = "deal", kind = "flag" }
fair = { column = "fair", kind = "flag" }
temp = { column = "celsius", kind = "number" }
[plan]
file = "plan.csv"
[static]
format = { file = "places.csv", column = "format", kind = "category" }
region = { file = "places.csv", column = "region", kind = "category" }
[holidays]
country = "JP"
[forecast]
horizon_days = 28
"""


def write_bare_chain(folder: Path) -> Path:
    """Eight stores that are open every day; nothing but store, date and sales."""
    folder.mkdir(parents=True, exist_ok=True)
    dates = pd.date_range(FIRST_DAY, LAST_DAY)
    _rows(BARE_STORES, dates)[["shop", "day", "visits"]].to_csv(folder / "days.csv", index=False)
    (folder / "chain.toml").write_text(BARE)
    return folder


def write_rich_chain(folder: Path) -> Path:
    """Twelve stores that rest on most Mondays, with promotions, a fair, temperatures, attributes and a plan."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"r{number}" for number in range(12)]
    rows = _rows(names, pd.date_range(FIRST_DAY, pd.Timestamp(LAST_DAY) + pd.Timedelta(days=28)))
    day = rows.day.dt
    rows = rows.assign(
        deal=((day.dayofweek >= 5) & (day.isocalendar().week % 2 == 0)).astype(int),
        fair=((day.month == 9) & (day.day < 15)).astype(int),
        celsius=(12 - 10 * np.cos(day.dayofyear / 58)).round(1),
    )
    rows["visits"] = (rows.visits * np.where(rows.deal == 1, 1.4, 1)).round()
    rows = rows[(day.dayofweek != 0) | (np.random.default_rng(6).random(len(rows)) < 0.1)]
    is_past = rows.day <= LAST_DAY
    rows[is_past].to_csv(folder / "days.csv", index=False)
    rows[~is_past].drop(columns="visits").to_csv(folder / "plan.csv", index=False)
    places = {"shop": names, "format": ["big", "small"] * 6, "region": ["north"] * 5 + ["south"] * 7}
    pd.DataFrame(places).to_csv(folder / "places.csv", index=False)
    (folder / "chain.toml").write_text(RICH)
    return folder


def _rows(names, dates: pd.DatetimeIndex) -> pd.DataFrame:
    """A row per store and day, with visits."""
    random = np.random.default_rng(5)
    season = WEEKDAY[dates.weekday] * (1 + 0.3 * np.sin(dates.dayofyear / 58))
    tables = [
        pd.DataFrame(
            {
                "shop": name,
                "day": dates,
                "visits": 300 * (1 + k / 5) * season * np.exp(random.normal(0, 0.1, len(dates))),
            }
        )
        for k, name in enumerate(names)
    ]
    return pd.concat(tables, ignore_index=True).round({"visits": 0})
