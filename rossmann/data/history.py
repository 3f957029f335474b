"""The sales history as dense arrays of stores × days, and the plan of the days after it."""

import hashlib
from dataclasses import dataclass, field, fields, replace
from typing import cast

import numpy as np

from rossmann.chain import KAGGLE_ATTRIBUTES, KAGGLE_CHAIN, Chain
from rossmann.data.kaggle.store_attributes import StoreAttributes
from rossmann.data.opening import Past, opening_habit, usual_opening
from rossmann.data.panels import RawCalendar
from rossmann.data.stored_names import attribute_names, stored_name
from rossmann.schema import ACTUAL_COLUMNS, CALENDAR_COLUMNS, DAY
from rossmann.validation import DataError

NO_NAMES = np.zeros(0, "U1")
DEFAULT = cast(np.ndarray, None)  # of fields whose default depends on others: `__post_init__` replaces it
NOT_KNOWN = cast(StoreAttributes, None)  # the same
LATER_HOLIDAY_DAYS = 21  # after the published plan, whose holidays have effects on its last days
CHAIN_PANELS = ("covariate_names", "covariates", "later_holiday_kind", "later_covariates")  # Kaggle's files have none


@dataclass(frozen=True)
class Calendar:
    """The known covariates of every store and day. All panels but the last are int8 [stores, days].

    `covariate_names` are those of `covariates`, which the chain's own files describe (chain.toml); Kaggle's files have
    none. A name begins with its kind: flag (0 or 1), number, holiday (a flag), or static (the same on all days).
    """

    dates: np.ndarray  # datetime64[D] [days], consecutive
    open: np.ndarray  # 0 or 1
    promotion: np.ndarray  # 0 or 1
    holiday_kind: np.ndarray  # index into HOLIDAY_KINDS
    school_break: np.ndarray  # 0 or 1
    covariate_names: np.ndarray = field(default_factory=lambda: NO_NAMES)  # str [covariates]
    covariates: np.ndarray = DEFAULT  # float32 [covariates, stores, days], NaN unknown; None: there are none
    # Holidays of the LATER_HOLIDAY_DAYS after the last day, where the chain's own files or its country tell them;
    # otherwise of no day. Of the covariates, those that are no holidays are 0.
    later_holiday_kind: np.ndarray = DEFAULT  # as holiday_kind. int8 [stores, later days]
    later_covariates: np.ndarray = DEFAULT  # float32 [covariates, stores, later days]

    def __post_init__(self):
        stores, days = self.open.shape
        defaults = {
            "covariates": np.zeros((0, stores, days), np.float32),
            "later_holiday_kind": np.zeros((stores, 0), np.int8),
            "later_covariates": np.zeros((len(self.covariate_names), stores, 0), np.float32),
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    @property
    def all_holiday_kinds(self) -> np.ndarray:
        """`holiday_kind` of the days and of the later ones. int8 [stores, days + later days]"""
        return np.concatenate([self.holiday_kind, self.later_holiday_kind], axis=1)

    @property
    def all_covariates(self) -> np.ndarray:
        """`covariates` of the days and of the later ones. float32 [covariates, stores, days + later days]"""
        return np.concatenate([self.covariates, self.later_covariates], axis=2)

    @property
    def is_holiday(self) -> np.ndarray:
        """Which covariates are named holidays. bool [covariates]"""
        return np.char.startswith(self.covariate_names, "holiday ")

    @property
    def holiday(self) -> np.ndarray:
        """Which named holiday a day is in any store: its index among them, -1 none. int64 [days]"""
        is_any = (self.covariates[self.is_holiday] > 0).any(axis=1)
        return np.where(is_any.any(axis=0), is_any.argmax(axis=0), -1) if len(is_any) else np.full(len(self.dates), -1)

    def offsets(self, date: np.ndarray | np.datetime64) -> np.ndarray:
        """Days from the first date of the calendar, negative before it. int64, same shape"""
        return _offsets(self.dates, date)

    def positions(self, date: np.ndarray | np.datetime64) -> np.ndarray:
        """Positions of these days in `dates`. int64, same shape. Raises DataError for a day outside the calendar."""
        return _positions(self.dates, date)

    def between(self, first: np.datetime64, last: np.datetime64) -> "Calendar":
        """The days from `first` to `last`, both included. Raises DataError for days outside the calendar."""
        days = slice(int(self.positions(first)), int(self.positions(last)) + 1)
        later = slice(days.stop, days.stop + self.later_holiday_kind.shape[1])
        columns = {name: getattr(self, name)[:, days] for name in CALENDAR_COLUMNS}
        return replace(
            self,
            dates=self.dates[days],
            covariates=self.covariates[:, :, days],
            later_holiday_kind=self.all_holiday_kinds[:, later],
            later_covariates=self.all_covariates[:, :, later] * self.is_holiday[:, None, None],
            **columns,
        )

    def of_stores(self, positions: np.ndarray) -> "Calendar":
        """The panels of the stores at these positions."""
        columns = {name: getattr(self, name)[positions] for name in (*CALENDAR_COLUMNS, "later_holiday_kind")}
        covariates = {name: getattr(self, name)[:, positions] for name in ("covariates", "later_covariates")}
        return replace(self, **columns, **covariates)


@dataclass(frozen=True)
class Stores:
    """The attributes of the stores, arrays [stores, …] in ascending order of their numbers.

    `Chain.attributes` has the names of those that are categories.
    """

    number: np.ndarray  # int32, from 1 on
    attribute_codes: np.ndarray  # int8 [stores, attributes], indices into the categories of the chain's attributes
    label: np.ndarray = DEFAULT  # how the chain's files call the store; default: its number. str
    attributes: np.ndarray = DEFAULT  # the categories, "" where a store has none; default: Kaggle's. str
    kaggle: StoreAttributes = NOT_KNOWN  # that only Kaggle's files have; default: nothing is known

    def __post_init__(self):
        if self.kaggle is None:
            object.__setattr__(self, "kaggle", StoreAttributes.nothing(len(self.number)))
        if self.label is None:
            object.__setattr__(self, "label", self.number.astype(str))
        if self.attributes is None:
            codes = self.attribute_codes.T
            of_kaggle = [np.asarray(each)[code] for each, code in zip(KAGGLE_ATTRIBUTES.values(), codes, strict=False)]
            attributes = np.stack(of_kaggle, axis=1) if of_kaggle else self.attribute_codes.astype(str)
            object.__setattr__(self, "attributes", attributes)

    @property
    def first_attribute(self) -> np.ndarray:
        """The category of each store in the chain's first attribute; "" in a chain without any. str [stores]"""
        return self.attributes[:, 0] if self.attributes.shape[1] else np.full(len(self.number), "")

    def stored_columns(self, has_names: bool) -> dict[str, np.ndarray]:
        """The attributes as snapshots have them, by name; without labels and categories where the codes imply them."""
        count, names = len(self.number), attribute_names(self.attributes.shape[1])
        codes = [*self.attribute_codes.T, *2 * [np.zeros(count, np.int8)]]
        categories = [*self.attributes.T, *2 * [np.full(count, "")]]
        columns = {
            "number": self.number,
            **{name: values for (name, _), values in zip(names, codes, strict=False)},
            **vars(self.kaggle),
        }
        if not has_names:
            return columns
        return {**columns, "label": self.label} | {
            name: values for (_, name), values in zip(names, categories, strict=False)
        }

    def contains(self, number: np.ndarray) -> np.ndarray:
        """Whether these store numbers exist here. bool, same shape"""
        return self.number[self._nearest(number)] == number

    def positions(self, number: np.ndarray) -> np.ndarray:
        """Positions of these store numbers in the arrays. int64, same shape. Raises DataError for an unknown store."""
        nearest = self._nearest(number)
        is_unknown = self.number[nearest] != number
        if is_unknown.any():
            unknown = np.asarray(number)[is_unknown]
            raise DataError(
                f"{len(unknown)} rows are of stores without a history, the first is store {unknown[0]}; "
                f"there are {len(self.number)} stores from {self.number[0]} to {self.number[-1]}"
            )
        return nearest

    def at(self, positions: np.ndarray | slice) -> "Stores":
        """The attributes of the stores at these positions, or of those that a bool array [stores] selects."""
        arrays = {name: values[positions] for name, values in vars(self).items() if name != "kaggle"}
        return Stores(**arrays, kaggle=self.kaggle.at(positions))

    def as_of(self, origin: np.datetime64, plan_end: np.datetime64) -> "Stores":
        """The attributes as they were known at the end of `origin`, with a published plan up to `plan_end`.

        Categories have no date.
        """
        return replace(self, kaggle=self.kaggle.as_of(origin, plan_end))

    def _nearest(self, number: np.ndarray) -> np.ndarray:
        """Positions of the next larger number, or of the last one."""
        return np.minimum(np.searchsorted(self.number, number), len(self.number) - 1)


@dataclass(frozen=True)
class Plan:
    """Known future covariates: one row per store and day, arrays [rows]. It has no sales and no traffic.

    `covariates` are all of those of the calendar, in its order; without columns, they are as published.
    """

    store: np.ndarray  # int32
    date: np.ndarray  # datetime64[D]
    open: np.ndarray  # int8, 0 or 1
    promotion: np.ndarray  # int8, 0 or 1
    holiday_kind: np.ndarray  # int8 index into HOLIDAY_KINDS
    school_break: np.ndarray  # int8, 0 or 1
    covariates: np.ndarray = DEFAULT  # float32 [rows, covariates], NaN unknown; default: without columns

    def __post_init__(self):
        if self.covariates is None:
            object.__setattr__(self, "covariates", np.zeros((len(self.store), 0), np.float32))

    def __len__(self) -> int:
        return len(self.store)

    def at(self, rows: np.ndarray | slice) -> "Plan":
        """The rows at these positions, or those that a bool array [rows] selects."""
        return Plan(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Actuals:
    """Values that are known only when the day is over. Arrays [rows], in the order of the plan that they belong to."""

    sales: np.ndarray  # float64
    traffic: np.ndarray  # float64


@dataclass(frozen=True)
class SalesHistory:
    """Sales and traffic of every store up to and including `origin`, and the published plan of the days after it."""

    stores: Stores
    calendar: Calendar  # the past, then the published plan of the horizon
    sales: (
        np.ndarray
    )  # float64 [stores, past days]; NaN without a row: before the first, after the last, closures, days set aside
    traffic: np.ndarray  # float64 [stores, past days], NaN where sales are; 0 everywhere where nobody counts them
    chain: Chain = KAGGLE_CHAIN  # how the files are described

    @property
    def origin(self) -> np.datetime64:
        """The last day with sales."""
        return self.calendar.dates[self.sales.shape[1] - 1]

    @property
    def dates(self) -> np.ndarray:
        """The days of the past. datetime64[D] [past days]"""
        return self.calendar.dates[: self.sales.shape[1]]

    @property
    def horizon_days(self) -> int:
        """How many days after the origin can be forecast: those of the published plan."""
        return len(self.calendar.dates) - self.sales.shape[1]

    def has_column(self, name: str) -> bool:
        """Whether the files say something in a calendar column, or in traffic: not the same of all past days.

        Kaggle's files have every column.
        """
        if self.chain.is_kaggle:
            return True
        values = self.traffic if name == "traffic" else getattr(self.calendar, name)[:, : self.sales.shape[1]]
        return bool(np.nanmax(values) > np.nanmin(values))

    @property
    def fingerprint(self) -> str:
        """16 hex digits: a hash of the content, the same on every machine."""
        digest = hashlib.sha256()
        stores = self.stores.stored_columns(has_names=self.chain != KAGGLE_CHAIN)
        arrays = {f"stores.{name}": values for name, values in stores.items()}
        arrays |= {
            f"calendar.{stored_name(each.name)}": getattr(self.calendar, each.name)
            for each in fields(Calendar)
            if self.chain != KAGGLE_CHAIN or each.name not in CHAIN_PANELS
        }
        for name, values in (arrays | {stored_name(name): getattr(self, name) for name in ACTUAL_COLUMNS}).items():
            digest.update(f"{name}{values.shape}".encode())
            digest.update(_canonical(values).tobytes())
        digest.update(self.chain.content.encode())  # nothing for Kaggle's files
        return digest.hexdigest()[:16]

    def positions(self, store: np.ndarray, date: np.ndarray | np.datetime64) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of these stores and dates in the panels of the calendar. int64, same shapes.

        In `sales` and `traffic` too, for dates up to the origin. Raises DataError for an unknown store and for a
        date outside the calendar.
        """
        return self.stores.positions(store), self.calendar.positions(date)

    def take(self, name: str, store: np.ndarray, date: np.ndarray) -> np.ndarray:
        """Values of "sales", "traffic" or a calendar column for pairs of store and date. float64 [pairs]

        NaN where the store is unknown, where the date is outside the panel (which ends with the origin for sales and
        traffic, and with the published plan for calendar columns), and where sales and traffic have no row.
        """
        panel = getattr(self.calendar if name in CALENDAR_COLUMNS else self, name)
        store, column = np.asarray(store), self.calendar.offsets(date)
        exists = self.stores.contains(store) & (column >= 0) & (column < panel.shape[1])
        values = np.full(len(store), np.nan)
        values[exists] = panel[self.stores.positions(store[exists]), column[exists]]
        return values

    def until(self, origin: np.datetime64, horizon_days: int | None = None) -> "SalesHistory":
        """The history as it was at the end of `origin`: sales up to it, the calendar `horizon_days` further.

        The attributes of the stores are those that were known then.
        horizon_days: by default those of this history. Raises DataError for an origin outside the past.
        """
        past_days = int(_positions(self.dates, origin)) + 1
        days = self.horizon_days if horizon_days is None else horizon_days
        last = min(origin + days * DAY, self.calendar.dates[-1])
        calendar = self.calendar.between(self.calendar.dates[0], last)
        return replace(
            self,
            stores=self.stores.as_of(origin, last),
            calendar=replace(calendar, open=self._opening(past_days)[:, : len(calendar.dates)]),
            sales=self.sales[:, :past_days],
            traffic=self.traffic[:, :past_days],
        )

    def plan(self, after: np.datetime64, days: int) -> Plan:
        """The plan of the `days` days after `after`, ordered by store, then date.

        Shorter where the calendar ends earlier. Past days on which a store has no row are left out.
        """
        store, day = self._rows(after, days)
        calendar = {name: getattr(self.calendar, name)[store, day] for name in CALENDAR_COLUMNS}
        calendar["open"] = self._opening(int(self.calendar.positions(after)) + 1)[store, day]
        return Plan(self.stores.number[store], self.calendar.dates[day], **calendar)

    def actuals(self, after: np.datetime64, days: int) -> Actuals:
        """Sales and traffic of the rows of `plan(after, days)`, all of which must be in the past."""
        store, day = self._rows(after, days)
        return Actuals(self.sales[store, day], self.traffic[store, day])

    def _opening(self, past_days: int) -> np.ndarray:
        """`open` as it was known after so many days. int8 [stores, days]

        Where the chain's files do not say when stores open, a day with sales was an open one, so that the opening of
        later days is what sales were: instead, stores are taken to open as they usually do.
        """
        is_published = past_days >= self.sales.shape[1]
        if is_published or self.chain.is_kaggle or self.chain.own_days.open:
            return self.calendar.open
        past, later = slice(past_days), slice(past_days, None)
        columns = {name: getattr(self.calendar, name)[:, past] for name in CALENDAR_COLUMNS}
        dates, exists = self.calendar.dates, ~np.isnan(self.sales[:, past])
        habit = opening_habit(columns["open"], exists, dates[past])
        is_holiday = self.calendar.holiday_kind[:, later] > 0
        usual = usual_opening(
            Past(RawCalendar(dates[past], **columns), exists, habit), dates[later], is_holiday, self.calendar.holiday
        )
        return np.concatenate([columns["open"], usual.astype(np.int8)], axis=1)

    def _rows(self, after: np.datetime64, days: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows of `plan(after, days)` in the panels. int64 [rows] each"""
        first = int(self.calendar.positions(after)) + 1
        last = min(first + days, len(self.calendar.dates))
        exists = np.ones((len(self.stores.number), last - first), dtype=bool)
        past_sales = self.sales[:, first:last]
        exists[:, : past_sales.shape[1]] = ~np.isnan(past_sales)
        store, day = np.nonzero(exists)
        return store, day + first


def _offsets(dates: np.ndarray, date: np.ndarray | np.datetime64) -> np.ndarray:
    """Days from the first of `dates`. NaT is a very large negative number."""
    return (np.asarray(date).astype("datetime64[D]") - dates[0]).astype(np.int64)


def _positions(dates: np.ndarray, date: np.ndarray | np.datetime64) -> np.ndarray:
    """Positions of days in the consecutive `dates`; DataError for a day outside them."""
    offsets = _offsets(dates, date)
    outside = np.asarray(date)[(offsets < 0) | (offsets >= len(dates))]
    if len(outside):
        raise DataError(f"{outside[0]} is outside the history, which covers {dates[0]} to {dates[-1]}")
    return offsets


def _canonical(values: np.ndarray) -> np.ndarray:
    """Little-endian, with one bit pattern for NaN and one for zero, so that all machines have the same bytes."""
    if values.dtype.kind == "U":
        return np.frombuffer("\n".join(values.tolist()).encode(), "u1")
    if values.dtype.kind == "f":
        return (np.where(np.isnan(values), np.nan, values) + 0.0).astype("<f8")
    return values.astype("<i8") if values.dtype.kind in "Mi" else values.astype("u1")
