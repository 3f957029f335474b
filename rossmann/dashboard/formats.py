"""Numbers and dates as text, the same on every page."""

from datetime import date

import numpy as np

MINUS = "\N{MINUS SIGN}"


def amount(value: float) -> str:
    """Sales with thousands separators and without decimals: 1,234,568; – where there is no number."""
    return "–" if np.isnan(value) else f"{value:,.0f}".replace("-", MINUS)


def change(value: float) -> str:
    """An amount with its sign: +1,234."""
    return "–" if np.isnan(value) else f"{value:+,.0f}".replace("-", MINUS)


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage with its sign: +3.2 %."""
    return "–" if np.isnan(share) else f"{100 * share:+.{decimals}f} %".replace("-", MINUS)


def day(value: np.datetime64 | date) -> str:
    """A day with its weekday: Mon 3 Aug 2015."""
    moment = np.datetime64(value, "D").item()
    return f"{moment:%a} {moment.day} {moment:%b %Y}"
