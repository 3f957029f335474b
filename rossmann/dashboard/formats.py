"""Numbers, dates and messages as text, the same on every page."""

import re
from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

from rossmann.data import SalesHistory
from rossmann.number_formats import NO_NUMBER, amount, change, percent, signed_percent, signed_points
from rossmann.planning.scenarios import Difference
from rossmann.schema import to_date

__all__ = [
    "NO_NUMBER",
    "age",
    "amount",
    "bullets",
    "capitalise",
    "change",
    "day",
    "difference_interval",
    "file_stem",
    "moment",
    "percent",
    "plain",
    "points",
    "signed_percent",
    "unit",
]
LONGEST_FILE_STEM = 100  # characters
ESCAPES = {ord(mark): f"\\{mark}" for mark in "\\`*_[]$~#<>:!|"}


def day(value: np.datetime64 | date | str) -> str:
    """A day with its weekday: Mon 3 Aug 2015."""
    moment = to_date(np.datetime64(value))
    return f"{moment:%a} {moment.day} {moment:%b %Y}"


def difference_interval(difference: Difference) -> str:
    """The bounds of a difference of two plans: +1,200 and +1,900."""
    return f"{change(difference.lower)} and {change(difference.upper)}"


def unit(history: SalesHistory) -> str:
    """What sales are counted in: Kaggle's in euros; those of another chain as its files call them."""
    return history.chain.unit


def points(value: float) -> str:
    """A difference of two shares in percentage points: -0.3 points."""
    return NO_NUMBER if np.isnan(value) else f"{signed_points(value)} points"


def file_stem(*parts: object) -> str:
    """A name of a file without its ending, of lower-case words with hyphens: stores-3-7_2015-07-31."""
    words = (re.sub(r"[^\w]+", "-", str(part).lower()).strip("-_") for part in parts)
    return "_".join(words)[:LONGEST_FILE_STEM]


def plain(text: str) -> str:
    """A text that somebody else wrote, escaped for Markdown: nothing in it becomes markup, a link or a picture."""
    return text.translate(ESCAPES)


def capitalise(text: str) -> str:
    """A message that begins with a capital letter; the rest of it stays as it is."""
    return text[:1].upper() + text[1:]


def bullets(texts: Sequence[str]) -> str:
    """Texts as Markdown, several as a list. They are escaped like in `plain`: the name of a column may have * or _."""
    lines = [plain(text) for text in texts]
    return lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)


def moment(value: datetime) -> str:
    """A moment of UTC to the minute: 3 Aug 2015, 14:05 UTC."""
    return f"{value.day} {value:%b %Y, %H:%M} UTC"


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits: 40 s, 12 min, 5 h, 3 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
