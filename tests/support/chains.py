"""Chains that a chain.toml describes, built in memory, with effects that a model must find."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rossmann.chain import parse_chain
from rossmann.data import Calendar, SalesHistory, Stores
from rossmann.schema import MONDAY, weekday

CHAIN = parse_chain('[days]\nfile = "days.csv"\nstore = "store"\ndate = "date"\nsales = "sales"\n')
LATER_DAYS, HORIZON_DAYS, FIRST_DAY = 21, 56, np.datetime64("2013-01-01", "D")
WEEKDAY_EFFECT = np.log([1.0, 0.9, 0.9, 1.0, 1.3, 1.6, 1.2])


def calendar_days(past_days: int, horizon_days: int = HORIZON_DAYS) -> np.ndarray:
    """The days of a chain's past, its plan, and the LATER_DAYS whose holidays it knows."""
    return FIRST_DAY + np.arange(past_days + horizon_days + LATER_DAYS)


def chain_history(
    past_days: int,
    stores: int,
    log_effect: np.ndarray | float = 0.0,
    covariates: Mapping[str, np.ndarray] | None = None,
    promotion: np.ndarray | bool = False,
    rest: int = -1,
    noise: float = 0.1,
    horizon_days: int = HORIZON_DAYS,
) -> SalesHistory:
    """Stores of different size and equal weekdays, without attributes and traffic, closed on weekday `rest`.

    The arrays are on `calendar_days`, as numpy broadcasts them to [stores, days]. A name of a covariate that begins
    with "holiday" is a public holiday, too.
    """
    dates, random = calendar_days(past_days, horizon_days), np.random.default_rng(5)
    shape, days = (stores, len(dates)), past_days + horizon_days
    values = {name: np.broadcast_to(each, shape) for name, each in (covariates or {}).items()}
    panels = np.stack([*values.values()]).astype(np.float32) if values else np.zeros((0, *shape), np.float32)
    names = np.array([*values], str) if values else np.zeros(0, "U1")
    is_holiday = np.char.startswith(names, "holiday ")
    holiday_kind = (panels[is_holiday] > 0).any(axis=0).astype(np.int8)
    is_open = np.broadcast_to(weekday(dates) != rest, shape).astype(np.int8)
    calendar = Calendar(
        dates[:days],
        is_open[:, :days],
        np.broadcast_to(promotion, shape)[:, :days].astype(np.int8),
        holiday_kind[:, :days],
        np.zeros((stores, days), np.int8),
        names,
        panels[:, :, :days],
        holiday_kind[:, days:],
        panels[:, :, days:] * is_holiday[:, None, None],
    )
    log_sales = log_level(stores)[:, None] + WEEKDAY_EFFECT[weekday(dates)] + log_effect
    sales = is_open * np.exp(log_sales + random.normal(0, noise, shape))
    return SalesHistory(_stores(stores), calendar, sales[:, :past_days], np.zeros((stores, past_days)), CHAIN)


def log_level(stores: int) -> np.ndarray:
    """The mean log sales of every store on Monday. [stores]"""
    return np.log(20_000) + 0.2 * np.arange(stores)


def _stores(count: int) -> Stores:
    return Stores(
        number=np.arange(1, count + 1, dtype=np.int32),
        attribute_codes=np.zeros((count, 0), np.int8),
    )


RICH_CHAIN = """[days]
file = "days.csv"
store = "shop"
date = "day"
sales = "amount"
open = "is_open"
[known]
promo = { column = "deal", kind = "flag" }
leaflet = { column = "leaflet", kind = "flag" }
price = { column = "price", kind = "number" }
weather = { column = "weather", kind = "category" }
[static]
format = { file = "shops.csv", column = "format", kind = "category" }
area = { file = "shops.csv", column = "area", kind = "number" }
[holidays]
country = "EC"
[forecast]
"""


def write_rich_chain(
    folder: Path, stores: int = 6, days: int = 520, horizon_days: int = 39, has_open: bool = True, later_seed: int = 4
) -> str:
    """Files of a chain with covariates of every kind, whose values are random. The last 39 days are the plan.

    has_open: whether the files say when stores open. later_seed: of what happens on the 60 days before the plan.
    """
    random = np.random.default_rng(4)
    dates, names = pd.date_range("2014-01-01", periods=days), [f"shop {chr(97 + k)}" for k in range(stores)]
    rows = pd.DataFrame([(name, day) for name in names for day in dates], columns=["shop", "day"])
    size, is_open = len(rows), rows["day"].dt.dayofweek != MONDAY
    is_later = rows["day"] >= dates[-99]
    chance = np.where(is_later, np.random.default_rng(later_seed).random(size), random.random(size))
    rows["is_open"] = (is_open & (chance > 0.05)).astype(int)
    rows["deal"], rows["leaflet"] = (random.random((2, size)) < 0.2).astype(int)
    rows["price"] = np.where(random.random(size) < 0.02, np.nan, np.exp(random.normal(3, 0.2, size))).round(2)
    rows["weather"] = random.choice(["sun", "rain", "snow"], size)
    effect = 0.3 * rows["deal"] + 0.2 * rows["leaflet"] - 0.2 * (rows["weather"] == "rain")
    rows["amount"] = (rows["is_open"] * np.exp(8 + effect + random.normal(0, 0.1, size))).round(2)
    is_past = rows["day"] < dates[-39]
    folder.mkdir(parents=True, exist_ok=True)
    if not has_open:
        rows = rows.drop(columns="is_open")
    rows[is_past].to_csv(folder / "days.csv", index=False)
    rows[~is_past].drop(columns="amount").to_csv(folder / "plan.csv", index=False)
    area = random.uniform(100, 900, stores).round()
    shops = pd.DataFrame({"shop": names, "format": [f"format {k % 3}" for k in range(stores)], "area": area})
    shops.to_csv(folder / "shops.csv", index=False)
    text = RICH_CHAIN if has_open else RICH_CHAIN.replace('open = "is_open"\n', "")
    (folder / "chain.toml").write_text(text + f'horizon_days = {horizon_days}\n[plan]\nfile = "plan.csv"\n')
    return str(folder)
