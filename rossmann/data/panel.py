"""The dense panel: what happened, what is planned, and the words for both."""

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np

HORIZON_DAYS = 48  # how far beyond the origin the calendar of a history reaches


@dataclass(frozen=True)
class Calendar:
    """What is known of a day beforehand, for every store: all int8 [stores, days]."""

    dates: np.ndarray  # datetime64[D] [days], consecutive
    open: np.ndarray  # 0 or 1
    promo: np.ndarray  # 0 or 1
    state_holiday: np.ndarray  # index into STATE_HOLIDAYS
    school_holiday: np.ndarray  # 0 or 1

    def between(self, first: np.datetime64, last: np.datetime64) -> "Calendar":
        """The days first … last, both included."""
        days = slice(_position(self.dates, first), _position(self.dates, last) + 1)
        return Calendar(
            self.dates[days],
            self.open[:, days],
            self.promo[:, days],
            self.state_holiday[:, days],
            self.school_holiday[:, days],
        )


@dataclass(frozen=True)
class Stores:
    """The stores' own attributes, arrays [stores] in ascending order of number."""

    number: np.ndarray  # int32, Kaggle's Store
    store_type: np.ndarray  # int8 index into STORE_TYPES
    assortment: np.ndarray  # int8 index into ASSORTMENTS
    competition_distance_m: np.ndarray  # float64, NaN unknown
    competition_since: np.ndarray  # datetime64[M], NaT unknown
    promo2: np.ndarray  # bool, takes part in the continuing promotion
    promo2_since: np.ndarray  # datetime64[D], NaT where it does not
    promo2_months: np.ndarray  # bool [stores, 12], months in which a round starts


@dataclass(frozen=True)
class Plan:
    """What the shop already knows about days to come: a row per store and day, arrays [rows]. No outcomes."""

    store: np.ndarray  # int32
    date: np.ndarray  # datetime64[D]
    open: np.ndarray  # int8, 0 or 1
    promo: np.ndarray  # int8, 0 or 1
    state_holiday: np.ndarray  # int8 index into STATE_HOLIDAYS
    school_holiday: np.ndarray  # int8, 0 or 1

    def __len__(self) -> int:
        return len(self.store)


@dataclass(frozen=True)
class Outcomes:
    """What is known only when the day is over, arrays [rows], in the order of the plan they belong to."""

    sales: np.ndarray  # float64
    customers: np.ndarray  # float64


@dataclass(frozen=True)
class SalesHistory:
    """What happened up to and including `origin`, and the published plan of the days after it."""

    stores: Stores
    calendar: Calendar  # the past and then the published plan, to origin + horizon at most
    sales: np.ndarray  # float64 [stores, past days]; NaN where the store has no row (before its life, whole closures)
    customers: np.ndarray  # the same

    @property
    def origin(self) -> np.datetime64:
        """The last known day."""
        return self.calendar.dates[self.sales.shape[1] - 1]

    @property
    def dates(self) -> np.ndarray:
        """The days of the past. datetime64[D] [past days]"""
        return self.calendar.dates[: self.sales.shape[1]]

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the content: the same for the same history, on any machine."""
        digest = hashlib.sha256()
        parts = [("stores", self.stores), ("calendar", self.calendar)]
        named = {f"{of}.{f.name}": getattr(part, f.name) for of, part in parts for f in fields(part)}
        for name, values in (named | {"sales": self.sales, "customers": self.customers}).items():
            digest.update(f"{name}{values.shape}".encode())
            digest.update(_canonical(values).tobytes())
        return digest.hexdigest()[:16]

    def until(self, origin: np.datetime64, horizon_days: int = 48) -> "SalesHistory":
        """The same history as it was known on `origin`: outcomes up to it, the calendar further."""
        known = _position(self.dates, origin) + 1
        last = min(origin + np.timedelta64(horizon_days, "D"), self.calendar.dates[-1])
        return replace(
            self,
            calendar=self.calendar.between(self.calendar.dates[0], last),
            sales=self.sales[:, :known],
            customers=self.customers[:, :known],
        )

    def plan(self, after: np.datetime64, days: int) -> Plan:
        """Plan of the `days` days after `after`, by store, then date; without past days that have no row."""
        return self._rows(after, days)[0]

    def outcomes(self, after: np.datetime64, days: int) -> Outcomes:
        """What happened on the rows of `plan(after, days)`; all of these days must lie in the past."""
        _, store, day = self._rows(after, days)
        return Outcomes(self.sales[store, day], self.customers[store, day])

    def _rows(self, after: np.datetime64, days: int) -> tuple[Plan, np.ndarray, np.ndarray]:
        first = _position(self.calendar.dates, after) + 1
        last = min(first + days, len(self.calendar.dates))
        exists = np.ones((len(self.stores.number), last - first), dtype=bool)
        past = self.sales[:, first:last]
        exists[:, : past.shape[1]] = ~np.isnan(past)
        store, day = np.nonzero(exists)
        day = day + first
        c = self.calendar
        plan = Plan(
            self.stores.number[store],
            c.dates[day],
            c.open[store, day],
            c.promo[store, day],
            c.state_holiday[store, day],
            c.school_holiday[store, day],
        )
        return plan, store, day


def _position(dates: np.ndarray, day: np.datetime64) -> int:
    """Where `day` stands in the consecutive `dates`; raises ValueError outside them."""
    position = int((np.datetime64(day, "D") - dates[0]).astype(int))
    if not 0 <= position < len(dates):
        raise ValueError(f"{day} is outside the history, which covers {dates[0]} to {dates[-1]}")
    return position


def _canonical(values: np.ndarray) -> np.ndarray:
    """Little-endian and with one kind of NaN and of zero, whatever machine or calculation it came from."""
    if values.dtype.kind == "f":
        return (np.where(np.isnan(values), np.nan, values) + 0.0).astype("<f8")
    return values.astype("<i8") if values.dtype.kind in "Mi" else values.astype("u1")
