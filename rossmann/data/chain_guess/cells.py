"""What the cells of a column look like: dates and their format, flags, numbers, texts."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd

from rossmann.schema import weekday

DATE_FORMATS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%Y-%m-%d %H:%M:%S",
)  # fmt: skip
COMPACT_DATE_LENGTH = 8  # strptime also takes 2015112 as %Y%m%d
MIN_ROWS_OF_KEY = 3  # weekdays, months or years with fewer rows may agree by chance
EXAMPLES = 3  # of a column's values, in a reason


@dataclass(frozen=True, eq=False)
class Cells:
    """A column as text: its different values, and which of them each row has."""

    name: str
    values: np.ndarray  # str, different ones in the order of their appearance [values]
    codes: np.ndarray  # int64, positions in `values`, -1 for an empty cell [rows]

    @property
    def is_empty(self) -> bool:
        """Whether no row has a value."""
        return not len(self.values)

    @property
    def examples(self) -> str:
        """The first values, as text."""
        more = " …" if len(self.values) > EXAMPLES else ""
        return ", ".join(self.values[:EXAMPLES]) + more

    @cached_property
    def numbers(self) -> np.ndarray:
        """The values as numbers, NaN where they are none. float64 [values]"""
        return pd.to_numeric(pd.Series(self.values, dtype=object), errors="coerce").to_numpy(float)

    @cached_property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return not self.is_empty and not np.isnan(self.numbers).any()

    @cached_property
    def is_whole_number(self) -> bool:
        """Whether every value is a whole number."""
        return self.is_number and bool((self.numbers == np.rint(self.numbers)).all())

    @cached_property
    def is_flag(self) -> bool:
        """Whether the values are 0 and 1, true and false, yes and no, or y and n; one of them is enough."""
        if self.is_number:
            return set(self.numbers) <= {0.0, 1.0}
        words = {value.lower() for value in self.values}
        return not self.is_empty and (words <= {"true", "false"} or words <= {"yes", "no"} or words <= {"y", "n"})

    @cached_property
    def date_formats(self) -> tuple[str, ...]:
        """The formats in which every value is a date; empty if it is not a column of dates."""
        if self.is_empty:
            return ()
        return tuple(each for each in DATE_FORMATS if all(_is_date(value, each) for value in self.values))

    def days(self, date_format: str) -> np.ndarray:
        """The day of each row, NaT for an empty cell. datetime64[D] [rows]"""
        days = [np.datetime64(datetime.strptime(value, date_format).date()) for value in self.values]
        return np.array([*days, np.datetime64("NaT", "D")], "datetime64[D]")[self.codes]

    def follows_from(self, days: np.ndarray) -> bool:
        """Whether the weekday, the month or the year of a row's day decides its value."""
        months = days.astype("datetime64[M]").astype(int)
        parts = (weekday(days), months % 12, months // 12)
        return len(self.values) > 1 and any(_is_function(part, self.codes) for part in parts)


def _is_date(value: str, date_format: str) -> bool:
    if date_format == "%Y%m%d" and len(value) != COMPACT_DATE_LENGTH:
        return False
    try:
        datetime.strptime(value, date_format)
    except ValueError:
        return False
    return True


def _is_function(keys: np.ndarray, codes: np.ndarray) -> bool:
    """Whether rows with the same key have the same code; False for too few rows to tell."""
    count = len(np.unique(keys))
    pairs = np.unique((keys - keys.min()) * (codes.max() + 2) + codes)
    return len(pairs) == count > 1 and len(keys) >= MIN_ROWS_OF_KEY * count
