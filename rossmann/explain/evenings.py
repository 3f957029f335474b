"""What was known on an evening: from the snapshot that ends on that day, or from the current one, cut there."""

from dataclasses import dataclass

import numpy as np

from rossmann import features
from rossmann.data import SalesHistory, describe_snapshot, list_snapshots, load_snapshot
from rossmann.features import State
from rossmann.schema import DAY
from rossmann.validation import DataError


@dataclass(frozen=True)
class Evening:
    """The evening of the day `origin`, and the snapshot that says what was known."""

    origin: np.datetime64
    snapshots: str  # the folder of all snapshots
    snapshot: str  # fingerprint
    is_cut: bool  # the snapshot has later days: what has been corrected since, in sales and plan, is in it

    def history(self) -> SalesHistory:
        """The sales up to the evening, and the plan after it. DataError for an evening before the first day."""
        history = load_snapshot(self.snapshots, self.snapshot)
        first = history.dates[0]
        if self.origin < first:
            raise DataError(
                f"the evening of {self.origin} is outside the history, which begins on {first}: explain a day from "
                f"{first + DAY} on"
            )
        return history.until(self.origin) if self.is_cut else history

    def state(self) -> State:
        """The State of the evening. That of a cut snapshot is not stored: it is fitted."""
        if self.is_cut:
            return features.fit_state(self.history())
        return features.load_state(self.snapshots, self.snapshot)


def find_evening(snapshots: str, current: str, origin: np.datetime64) -> Evening:
    """The evening of the day `origin`.

    Uses a snapshot whose last day is `origin`: the current one if it matches, else the newest match. Without a match,
    the current snapshot is cut at `origin`.
    """
    matches = [each.fingerprint for each in list_snapshots(snapshots) if np.datetime64(each.origin) == origin]
    snapshot = current if current in matches or not matches else matches[-1]
    return Evening(origin, snapshots, snapshot, is_cut=not matches)


def evening_before(snapshots: str, current: str, day: np.datetime64) -> Evening:
    """The newest evening before a day: that of the current snapshot, or the day before of a past day."""
    origin = np.datetime64(describe_snapshot(snapshots, current).origin)
    return find_evening(snapshots, current, min(origin, day - DAY))
