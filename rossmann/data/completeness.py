"""What new raw files lack that the current snapshot has: stores, days, or the sales of single stores' days."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from rossmann.data.history import SalesHistory
from rossmann.data.snapshots import describe_snapshot, find_current, load_snapshot
from rossmann.data.store_labels import store_names
from rossmann.schema import CLOSURE_DAYS
from rossmann.validation import DataError

NO_DAYS = pd.DataFrame({"store": np.zeros(0, np.int32), "date": np.zeros(0, "datetime64[D]").astype("datetime64[s]")})
MAX_STORES_NAMED = 10  # in a message
MAX_CORRECTED_SHARE = 0.01  # of the stores with sales on a day: if more, and at least two, lose them, data are lost


@dataclass(frozen=True)
class MissingData:
    """What is missing in the new history."""

    stores: np.ndarray  # the names of the stores without any row, in the order of their numbers
    dates: np.ndarray  # days that no store has, at the end only those with sales. datetime64[D]
    shortened_stores: np.ndarray  # of stores that lack the sales of days, as `_shortened` has it
    store_days: int  # days with sales that the shortened stores lack
    zero_days: int  # of these, days that have a row with sales of 0

    def __str__(self) -> str:
        parts = []
        if len(self.stores):
            parts.append(f"{_count_noun(len(self.stores), 'store')} ({_first(self.stores)})")
        if len(self.dates):
            parts.append(f"{_count_noun(len(self.dates), 'day')} ({self.dates[0]} to {self.dates[-1]})")
        if len(self.shortened_stores):
            stores = f"{_count_noun(len(self.shortened_stores), 'store')} ({_first(self.shortened_stores)})"
            zeros = f", of which {self.zero_days:,} have sales of 0 now" if self.zero_days else ""
            parts.append(f"{_count_noun(self.store_days, 'day')} of {stores}{zeros}")
        return ", ".join(parts)


def check_completeness(
    history: SalesHistory, unusable_days: pd.DataFrame, snapshots: str, as_of: date | None = None
) -> None:
    """Compare a new history with the current snapshot, if their contents differ. DataError where it lacks something.

    unusable_days: store and date of days that the raw files have, and whose values were set aside.
    """
    current = find_current(snapshots)
    if current in (None, history.fingerprint):
        return
    try:
        previous = load_snapshot(snapshots, current)
    except DataError as error:
        raise DataError(f"{error} Or ingest without comparing with it: --allow-shrink.") from error
    missing = find_missing_data(previous, history, as_of, unusable_days)
    if missing:
        raise DataError(
            f"the raw files lack what the current snapshot {current} has: {missing}. Export the files again; if they "
            "are meant to be smaller, ingest them with --allow-shrink (parameter allow_shrink of the flow)."
        )


def check_newer(history: SalesHistory, base: str | None, snapshots: str) -> bool:
    """Whether another snapshot than `base` is current by now: `base` was when the reading of the raw files began.

    DataError if the history does not go beyond that snapshot: who finishes last need not have the newer files.
    """
    current = find_current(snapshots)
    if current in (base, history.fingerprint, None):
        return False
    origin = describe_snapshot(snapshots, current).origin
    if str(history.origin) <= origin:
        raise DataError(
            f"snapshot {current} with data until {origin} became current while these raw files, which end on "
            f"{history.origin}, were read. If they are to replace it, ingest them again."
        )
    return True


def find_missing_data(
    previous: SalesHistory,
    history: SalesHistory,
    as_of: date | None = None,
    unusable_days: pd.DataFrame = NO_DAYS,
) -> MissingData | None:
    """What `history` lacks of `previous`; None if nothing is missing.

    With `as_of`, the history is meant to end on that day, so that later days of `previous` are not missing. The first
    days may go if as many come at the end, as in an export of the last two years.
    """
    expected = _expected_rows(previous, as_of) & ~_is_unusable(previous, unusable_days)
    dates, stores = previous.dates, previous.stores.number
    lost_dates = np.concatenate(
        [_lost_at_start(previous, history), dates[expected.any(axis=0) & (dates > history.origin)]]
    )
    expected &= (dates >= history.dates[0]) & (dates <= history.origin)
    with_sales = history.stores.number[~np.isnan(history.sales).all(axis=1)]
    remains = np.isin(stores, with_sales)
    is_lost = expected.any(axis=1) & ~remains
    expected &= remains[:, np.newaxis]
    sales = _sales_on(history, stores, dates)
    lost = expected & ~(sales > 0)
    shortened = _shortened(expected, lost)
    if not (is_lost.any() or len(lost_dates) or shortened.any()):
        return None
    zero_days = int((lost & (sales == 0))[shortened].sum())
    names = store_names(previous, stores)
    return MissingData(names[is_lost], lost_dates, names[shortened], int(lost[shortened].sum()), zero_days)


def _shortened(expected: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Which stores lack so many of the expected sales that it is no correction of single days. bool [stores]

    They lack those of their last day, of CLOSURE_DAYS days, or of a day on which too many stores lack them.
    """
    last_day_lost = (lost & _is_last(expected)).any(axis=1)
    lost_count = lost.sum(axis=0)
    is_widespread = (lost_count > 1) & (lost_count > MAX_CORRECTED_SHARE * expected.sum(axis=0))
    return last_day_lost | (lost.sum(axis=1) >= CLOSURE_DAYS) | (lost & is_widespread).any(axis=1)


def _expected_rows(previous: SalesHistory, as_of: date | None) -> np.ndarray:
    """The days with sales, which the new history should have, too. bool [stores, days of `previous`]

    Not the closed ones: the cleaning adds them where an export leaves them out, but not after a store's last row.
    """
    rows = previous.sales > 0
    return rows & (previous.dates <= np.datetime64(as_of, "D")) if as_of else rows


def _is_unusable(previous: SalesHistory, days: pd.DataFrame) -> np.ndarray:
    """Whether a day of a store is among these. bool [stores, days of `previous`]"""
    store, offset = days["store"].to_numpy(), previous.calendar.offsets(days["date"].to_numpy())
    exists = previous.stores.contains(store) & (offset >= 0) & (offset < len(previous.dates))
    mask = np.zeros(previous.sales.shape, dtype=bool)
    mask[previous.stores.positions(store[exists]), offset[exists]] = True
    return mask


def _lost_at_start(previous: SalesHistory, history: SalesHistory) -> np.ndarray:
    """The first days of `previous` that `history` lacks; none if it has as many new days at the end."""
    lost = previous.dates[previous.dates < history.dates[0]]
    new_days = int((history.origin - previous.origin).astype(int))
    return lost if len(lost) > max(new_days, 0) else lost[:0]


def _sales_on(history: SalesHistory, stores: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """The history's sales; NaN where it has no such store, day or row. float64 [stores, dates]"""
    shape = len(stores), len(dates)
    return history.take("sales", np.repeat(stores, len(dates)), np.tile(dates, len(stores))).reshape(shape)


def _is_last(flags: np.ndarray) -> np.ndarray:
    """Whether a flagged day is the last one of its row. bool [stores, days]"""
    return flags & (np.cumsum(flags[:, ::-1], axis=1)[:, ::-1] == 1)


def _count_noun(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _first(names: np.ndarray) -> str:
    more = ", …" if len(names) > MAX_STORES_NAMED else ""
    return ", ".join(str(name) for name in names[:MAX_STORES_NAMED]) + more
