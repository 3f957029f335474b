"""A second sample chain: restaurants in Japan, with daily revenue in yen. Arrays are [days, restaurants].

It has what the first sample does not: ids of words, rest days, a promotion on weekends, bookings, named holidays of
another country, true peaks, and no customers.
"""

from dataclasses import dataclass

import numpy as np

from rossmann.data.holiday_calendar import holiday_calendar
from rossmann.schema import FRIDAY, MAX_TIMES_MEDIAN, SATURDAY, SUNDAY, WEEK_DAYS, weekday

COUNTRY, FIRST_DATE = "JP", np.datetime64("2016-01-01", "D")
CUISINES = ("cafe", "izakaya", "ramen", "sushi")
PREFECTURES = {  # by the quarter in the id
    "ginza": "Tokyo", "shibuya": "Tokyo", "umeda": "Osaka", "namba": "Osaka", "gion": "Kyoto", "sakae": "Aichi",
    "sannomiya": "Hyogo", "nakasu": "Fukuoka", "susukino": "Hokkaido", "kokubuncho": "Miyagi",
}  # fmt: skip
_WORDS = (
    "hana", "hoshi", "hotaru", "kaede", "kawa", "kaze", "kitsune", "koi", "matsu", "momiji", "mori", "nami", "sakura",
    "suzume", "tanuki", "tombo", "tsubaki", "tsuki", "umi", "usagi",
)  # fmt: skip
IDS = tuple(f"{word}-{quarter}" for word in _WORDS for quarter in PREFECTURES)
NEW_SHARE, PEAKS = 0.15, 3  # of the restaurants, those that open within the days; days with a true peak
PEAK_TIMES_MEDIAN = MAX_TIMES_MEDIAN + 5
_REST_WEEKDAY = (0.4, 0.2, 0.2, 0.05, 0.0, 0.0, 0.15)  # probability of Monday … Sunday
_NEW_YEAR = ("12-31", "01-01")  # all restaurants are closed
# Effects on log revenue.
WEEKEND_MENU, BOOKING, HOLIDAY, WEEKEND_HOLIDAY = 0.25, 0.06, 0.35, 0.1
_YEAR_END_PARTIES = 0.15
_WEEKDAY = np.array(
    [
        [-0.1, -0.1, -0.08, -0.05, 0.0, 0.25, 0.28],
        [-0.25, -0.2, -0.1, 0.0, 0.4, 0.3, -0.1],
        [0.0, 0.0, 0.0, 0.0, 0.05, 0.1, 0.05],
        [-0.15, -0.15, -0.1, -0.05, 0.1, 0.3, 0.25],
    ]
)  # [cuisines, weekdays]
_YEN_PER_SEAT = 1_900


@dataclass(frozen=True)
class Restaurants:
    """The restaurants, arrays [restaurants]."""

    id: np.ndarray  # str
    cuisine: np.ndarray  # index into CUISINES
    seats: np.ndarray
    rest_weekday: np.ndarray  # 0 Monday … 6 Sunday
    first_day: np.ndarray  # of business; days are counted from FIRST_DATE


@dataclass(frozen=True)
class RestaurantDays:
    """What is known beforehand of every day."""

    dates: np.ndarray  # datetime64[D] [days]
    holiday: np.ndarray  # bool [days]
    weekend_menu: np.ndarray  # bool [days]
    bookings: np.ndarray  # int64 [days, restaurants]
    open: np.ndarray  # bool [days, restaurants]

    def until(self, days: int) -> "RestaurantDays":
        """The first `days` days."""
        return RestaurantDays(*(getattr(self, name)[:days] for name in self.__dataclass_fields__))


def make_restaurants(count: int, days: int, rng: np.random.Generator) -> Restaurants:
    """Restaurants of which some open within the first `days` days."""
    is_new = rng.permutation(count) < round(NEW_SHARE * count)
    return Restaurants(
        id=np.sort(rng.permutation(IDS)[:count]),
        cuisine=rng.integers(0, len(CUISINES), count),
        seats=rng.integers(8, 31, count) * 2,
        rest_weekday=rng.choice(WEEK_DAYS, count, p=_REST_WEEKDAY),
        first_day=np.where(is_new, rng.integers(days // 5, days * 3 // 4, count), 0),
    )


def make_days(restaurants: Restaurants, days: int, rng: np.random.Generator) -> RestaurantDays:
    """The first `days` days; more days leave the first ones as they are."""
    menu_rng, booking_rng = rng.spawn(2)
    dates = FIRST_DATE + np.arange(days)
    weekdays = weekday(dates)
    month_and_day = np.char.partition(np.datetime_as_string(dates), "-")[:, 2]
    first_monday = int((WEEK_DAYS - weekdays[0]) % WEEK_DAYS)
    week = (np.arange(days) - first_monday) // WEEK_DAYS + 1
    is_open = (weekdays[:, None] != restaurants.rest_weekday) & ~np.isin(month_and_day, _NEW_YEAR)[:, None]
    rate = np.where((weekdays == FRIDAY) | (weekdays == SATURDAY), 1.5, 0.6)
    return RestaurantDays(
        dates=dates,
        holiday=holiday_calendar(COUNTRY, dates).holiday >= 0,
        weekend_menu=(menu_rng.random(week[-1] + 1) < 0.5)[week] & (weekdays >= SATURDAY),
        bookings=booking_rng.poisson(rate[:, None], is_open.shape),
        open=is_open & (np.arange(days)[:, None] >= restaurants.first_day),
    )


def simulate_revenue(restaurants: Restaurants, days: RestaurantDays, rng: np.random.Generator) -> np.ndarray:
    """Revenue in yen, a multiple of 10; 0 on closed days. int64 [days, restaurants]

    Rounding removes the last bits, in which the exp of one machine differs from another's.
    """
    shape, weekdays = days.open.shape, weekday(days.dates)
    level_rng, shared_rng, noise_rng, drift_rng = rng.spawn(
        4
    )  # each of its own, so that more days change no earlier one
    log_revenue = np.log(_YEN_PER_SEAT * restaurants.seats) + 0.2 * level_rng.standard_normal(shape[1])
    log_revenue = log_revenue + _WEEKDAY[restaurants.cuisine].T[weekdays]
    log_revenue += (WEEKEND_MENU * days.weekend_menu + _of_date(days, weekdays))[:, None]
    log_revenue += BOOKING * days.bookings
    log_revenue += 0.05 * shared_rng.standard_normal((shape[0], 1)) + 0.12 * noise_rng.standard_normal(shape)
    log_revenue += np.cumsum(0.004 * drift_rng.standard_normal(shape), axis=0)
    return np.rint(np.exp(log_revenue) / 10).astype(np.int64) * 10 * days.open


def add_peaks(revenue: np.ndarray, days: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Revenue with PEAKS true peaks in the first `days` days, as in a festival; and their days and restaurants."""
    first = revenue[:days]
    day, restaurant = np.nonzero(first)
    positions = np.sort(rng.choice(len(day), PEAKS, replace=False))
    day, restaurant = day[positions], restaurant[positions]
    median = np.array([np.median(first[first[:, each] > 0, each]) for each in restaurant])
    peaks = revenue.copy()
    peaks[day, restaurant] = np.rint(PEAK_TIMES_MEDIAN * median / 10).astype(np.int64) * 10
    return peaks, day, restaurant


def _of_date(days: RestaurantDays, weekdays: np.ndarray) -> np.ndarray:
    """Effects of holidays and of the season. [days]"""
    day_of_year = (days.dates - days.dates.astype("datetime64[Y]")).astype(int)
    holiday = days.holiday * np.where(weekdays >= SATURDAY, WEEKEND_HOLIDAY, HOLIDAY)
    season = 0.05 * np.sin(2 * np.pi * day_of_year / 365)
    december = days.dates.astype("datetime64[M]").astype(int) % 12 == 11
    parties = december & (day_of_year >= 343) & (weekdays != SUNDAY)
    return holiday + season + _YEAR_END_PARTIES * parties
