"""The files of the restaurants, with their own names, and the chain.toml that describes them."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa

from rossmann.simulation.files import csv_buffer, save_files
from rossmann.simulation.restaurants import (
    COUNTRY,
    CUISINES,
    FIRST_DATE,
    IDS,
    PREFECTURES,
    RestaurantDays,
    Restaurants,
    add_peaks,
    make_days,
    make_restaurants,
    simulate_revenue,
)
from rossmann.simulation.sample import SEED, check_size
from rossmann.validation import DataError

STORES, DAYS, HORIZON_DAYS = 40, 456, 35  # 15 months, and the days up to the end of the next Golden Week
CHAIN_TOML = """\
# Restaurants in Japan: a sample chain whose files have names of their own.
[days]
file = "visits.csv.gz"
store = "restaurant"
date = {{ column = "day", format = "%Y/%m/%d" }}
sales = "revenue"
missing = "closed"
accept = [{peaks}]
[known]
promo = {{ column = "weekend_menu", kind = "flag" }}
bookings = {{ column = "bookings", kind = "number" }}
[plan]
file = "coming.csv"
[static]
cuisine = {{ file = "places.csv", column = "cuisine", kind = "category" }}
prefecture = {{ file = "places.csv", column = "prefecture", kind = "category" }}
seats = {{ file = "places.csv", column = "seats", kind = "number" }}
[holidays]
country = "{country}"
[forecast]
horizon_days = {horizon_days}
loss = "mae"
"""


def write_restaurants(
    out: str | Path,
    stores: int = STORES,
    days: int = DAYS,
    seed: int = SEED,
    horizon_days: int = HORIZON_DAYS,
    overwrite: bool = False,
    *,
    extra_days: int = 0,
) -> Path:
    """Write visits.csv.gz, coming.csv, places.csv and chain.toml into the folder `out` and return it.

    The same arguments give the same bytes. A day on which a restaurant rests has no row. `extra_days` are the next
    days of the same chain, as in `write_sample`; a longer horizon leaves the sales as they are. Raises DataError for
    arguments that make no chain, and for other files of these names, unless `overwrite`.
    """
    check_size(str(out), stores, days, horizon_days, extra_days)
    if stores > len(IDS):
        raise DataError(f"there are names for {len(IDS)} restaurants; choose --stores {len(IDS)} or fewer")
    chain_rng, calendar_rng, sales_rng, peak_rng = np.random.default_rng(seed).spawn(4)
    restaurants = make_restaurants(stores, days, chain_rng)
    past_days = days + extra_days
    calendar = make_days(restaurants, past_days + horizon_days, calendar_rng)
    revenue = simulate_revenue(restaurants, calendar.until(past_days), sales_rng)
    revenue, day, restaurant = add_peaks(revenue, days, peak_rng)
    peaks = [f"{restaurants.id[r]}@{FIRST_DATE + d}" for d, r in zip(day, restaurant, strict=True)]
    out = Path(out)
    contents = {
        out / "visits.csv.gz": gzip.compress(_visits(restaurants, calendar, revenue), mtime=0),
        out / "coming.csv": csv_buffer(_plan_columns(restaurants, calendar, *_open_days(calendar, past_days, None))),
        out / "places.csv": csv_buffer(_places(restaurants)),
        out / "chain.toml": _chain_toml(peaks, horizon_days),
    }
    save_files(out, contents, overwrite)
    return out


def _open_days(calendar: RestaurantDays, first: int, last: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Day and restaurant of all open days from position `first` to before `last`."""
    day, restaurant = np.nonzero(calendar.open[first:last])
    return day + first, restaurant


def _visits(restaurants: Restaurants, calendar: RestaurantDays, revenue: np.ndarray) -> pa.Buffer:
    day, restaurant = _open_days(calendar, 0, len(revenue))
    columns = _plan_columns(restaurants, calendar, day, restaurant)
    return csv_buffer({**columns, "revenue": revenue[day, restaurant]})


def _plan_columns(
    restaurants: Restaurants, calendar: RestaurantDays, day: np.ndarray, restaurant: np.ndarray
) -> dict[str, np.ndarray | pa.Array]:
    """The columns that are known beforehand, one row per pair of `day` and `restaurant`."""
    dates = np.char.replace(np.datetime_as_string(calendar.dates), "-", "/")
    return {
        "restaurant": pa.array(restaurants.id).take(pa.array(restaurant)),
        "day": pa.array(dates).take(pa.array(day)),
        "weekend_menu": calendar.weekend_menu[day].astype(np.int8),
        "bookings": calendar.bookings[day, restaurant],
    }


def _places(restaurants: Restaurants) -> dict[str, np.ndarray | pa.Array]:
    return {
        "restaurant": pa.array(restaurants.id),
        "cuisine": pa.array(CUISINES).take(pa.array(restaurants.cuisine)),
        "prefecture": pa.array([PREFECTURES[each.partition("-")[2]] for each in restaurants.id.tolist()]),
        "seats": restaurants.seats,
    }


def _chain_toml(peaks: list[str], horizon_days: int) -> bytes:
    texts = ", ".join(f'"{peak}"' for peak in peaks)
    return CHAIN_TOML.format(peaks=texts, country=COUNTRY, horizon_days=horizon_days).encode()
