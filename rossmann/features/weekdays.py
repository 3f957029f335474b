"""What a chain's weekdays are: on which most stores rest, and on which there are promotions. Learned from the past."""

from dataclasses import dataclass

import numpy as np

from rossmann.data import SalesHistory
from rossmann.schema import SATURDAY, SUNDAY, WEEK_DAYS, WEEKS_YEAR_DAYS, weekday

MOST_OPEN_SHARE = 0.5  # of a rest day's stores


@dataclass(frozen=True)
class Weekdays:
    """What the weekdays of a chain are. Both are arrays, so that they are stored like the others of a State."""

    rest: np.ndarray  # 0 Monday … 6 Sunday, on which most stores are closed; -1 if there is none. int64, no dimension
    has_promotion: np.ndarray  # on which weekdays there are promotions; Monday to Friday always. bool [7]

    @property
    def before_rest(self) -> int:
        """The weekday before the one of rest; -1 if there is none."""
        return (int(self.rest) - 1) % WEEK_DAYS if self.rest >= 0 else -1

    @property
    def after_rest(self) -> int:
        """The weekday after the one of rest; -1 if there is none."""
        return (int(self.rest) + 1) % WEEK_DAYS if self.rest >= 0 else -1


USUAL_WEEKDAYS = Weekdays(np.array(SUNDAY), np.arange(WEEK_DAYS) < SATURDAY)


def learn_weekdays(past: SalesHistory) -> Weekdays:
    """Of the history only the past is read. In Kaggle's files the day of rest is Sunday, whatever their stores do."""
    days, day = len(past.dates), weekday(past.dates)
    promotion = past.calendar.promotion[:, :days] == 1
    has_promotion = np.array([promotion[:, day == number].any() for number in range(WEEK_DAYS)])
    rest = SUNDAY if past.chain.is_kaggle else _rest_day(past, day)
    return Weekdays(np.array(rest), has_promotion | USUAL_WEEKDAYS.has_promotion)


def _rest_day(past: SalesHistory, day: np.ndarray) -> int:
    """The weekday with the smallest share of open stores in the last year, if that is below MOST_OPEN_SHARE."""
    recent = slice(-WEEKS_YEAR_DAYS, None)
    is_open = np.nan_to_num(past.sales[:, recent]) > 0
    exists = ~np.isnan(past.sales[:, recent])
    shares = [
        is_open[:, day[recent] == number].sum() / max(exists[:, day[recent] == number].sum(), 1)
        for number in range(WEEK_DAYS)
    ]
    lowest = int(np.argmin(shares))
    return lowest if shares[lowest] < MOST_OPEN_SHARE else -1
