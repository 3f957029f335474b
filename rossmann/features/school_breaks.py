"""The days around the start and the end of a school break of the region in which a store is.

The region is inferred from the holidays of the store's past. Its breaks are public years ahead, so that these days are
known at any lead, also where the plan does not reach the start or the end of a break. Beyond the years that the package
`holidays` has, there are no breaks.
"""

from dataclasses import dataclass

import numpy as np

from rossmann.data import SalesHistory, regional_breaks
from rossmann.schema import DAY

MIN_BREAK_DAYS, MIN_SUMMER_DAYS = 5, 28  # shorter ones are single days off; only the summer break is so long
MARGIN_DAYS = 60  # a break that begins before the calendar or ends after it still has its whole length
# First and last day, from the first day of a break or from its last.
SUMMER_START = ((-14, -8), (-7, -4), (-3, -1), (0, 2), (3, 6), (7, 13))
SUMMER_END = ((-13, -7), (-6, 0), (1, 3), (4, 7), (8, 14))
OTHER_START, OTHER_END = ((-7, -4), (-3, -1), (0, 2), (3, 6)), ((-2, 0), (1, 3), (4, 7))
EDGES = {"summer start": SUMMER_START, "summer end": SUMMER_END, "start": OTHER_START, "end": OTHER_END}
NAMES = tuple(f"break {edge} {a:+d}..{b:+d}" for edge, ranges in EDGES.items() for a, b in ranges)


@dataclass(frozen=True)
class SchoolBreaks:
    """Which days of a calendar are around the start or the end of a break, by region."""

    region: np.ndarray  # of each store: index into `days`. int64 [stores]
    days: np.ndarray  # all False in region 0, for stores of unknown region. bool [regions, days of the calendar, NAMES]

    def of_days(self, days: slice) -> "SchoolBreaks":
        """The same for some days of the calendar."""
        return SchoolBreaks(self.region, self.days[:, days])

    def at(self, stores: np.ndarray) -> "SchoolBreaks":
        """The same for the stores at these positions."""
        return SchoolBreaks(self.region[stores], self.days)

    def of_stores(self, stores: np.ndarray | slice) -> np.ndarray:
        """The columns NAMES of the stores at these positions. bool [stores, days, NAMES]"""
        return self.days[self.region[stores]]


def fit_school_breaks(past: SalesHistory, dates: np.ndarray) -> SchoolBreaks:
    """The breaks around consecutive `dates` in the region of each store; of the history only the past is read."""
    first, last = min(past.dates[0], dates[0]) - MARGIN_DAYS * DAY, dates[-1] + MARGIN_DAYS * DAY
    region, in_break = regional_breaks(past.chain.country, past, first, last)
    begin = int((dates[0] - first).astype(int))
    days = np.stack([_around_breaks(flags)[begin : begin + len(dates)] for flags in in_break])
    return SchoolBreaks(region, days)


def _around_breaks(in_break: np.ndarray) -> np.ndarray:
    """The columns NAMES of one region, from whether a day is in a break. bool [days, NAMES]"""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], in_break, [False]]).astype(np.int8)))
    days = np.zeros((len(NAMES), len(in_break)), bool)
    for start, after in edges.reshape(-1, 2):
        if after - start < MIN_BREAK_DAYS:
            continue
        kind = "summer " if after - start >= MIN_SUMMER_DAYS else ""
        for edge, day in ((f"{kind}start", start), (f"{kind}end", after - 1)):
            for a, b in EDGES[edge]:
                days[NAMES.index(f"break {edge} {a:+d}..{b:+d}"), max(day + a, 0) : max(day + b + 1, 0)] = True
    return days.T
