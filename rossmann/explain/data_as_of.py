"""The data as they were known at an origin: from the snapshot that ends on that day, or from the current snapshot,
truncated there.
"""

from dataclasses import dataclass

import numpy as np

from rossmann import features
from rossmann.data import SalesHistory, describe_snapshot, list_snapshots, load_snapshot
from rossmann.features import State
from rossmann.schema import DAY
from rossmann.validation import DataError


@dataclass(frozen=True)
class DataAsOf:
    """The data as they were known at the end of the day `origin`, and the snapshot that they are read from."""

    origin: np.datetime64
    snapshots: str  # the folder of all snapshots
    snapshot: str  # fingerprint
    is_truncated: bool  # the snapshot has later days, so corrections made after `origin` are included

    def history(self) -> SalesHistory:
        """The sales up to the origin, and the plan after it. DataError for an origin before the first day."""
        history = load_snapshot(self.snapshots, self.snapshot)
        first = history.dates[0]
        if self.origin < first:
            raise DataError(
                f"the origin {self.origin} is before the history, which begins on {first}: explain a day from "
                f"{first + DAY} on"
            )
        return history.until(self.origin) if self.is_truncated else history

    def state(self) -> State:
        """The State at the origin. That of a truncated snapshot is not stored: it is fitted."""
        if self.is_truncated:
            return features.fit_state(self.history())
        return features.load_state(self.snapshots, self.snapshot)


def find_data_as_of(snapshots: str, current: str, origin: np.datetime64) -> DataAsOf:
    """The data as they were known at the end of the day `origin`.

    Uses a snapshot whose last day is `origin`: the current one if it matches, else the newest match. Without a match,
    the current snapshot is truncated at `origin`.
    """
    matches = [each.fingerprint for each in list_snapshots(snapshots) if np.datetime64(each.origin) == origin]
    snapshot = current if current in matches or not matches else matches[-1]
    return DataAsOf(origin, snapshots, snapshot, is_truncated=not matches)


def latest_data_before(snapshots: str, current: str, day: np.datetime64) -> DataAsOf:
    """The latest data before a day: those of the current snapshot, or, for a past day, those up to the day before."""
    origin = np.datetime64(describe_snapshot(snapshots, current).origin)
    return find_data_as_of(snapshots, current, min(origin, day - DAY))
