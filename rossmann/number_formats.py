"""Numbers as text for readers, the same in reports, on the dashboard and in a terminal. NaN is a dash."""

from math import isnan

NO_NUMBER = "–"


def amount(value: float) -> str:
    """Sales or a count with thousands separators and without decimals: 1,234,568."""
    return NO_NUMBER if isnan(value) else f"{value:,.0f}"


def change(value: float) -> str:
    """An amount with its sign: +1,234; 0 has none."""
    return NO_NUMBER if isnan(value) else unsigned_zero(f"{value:+,.0f}")


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage: 8.3 %."""
    return NO_NUMBER if isnan(share) else f"{100 * share:.{decimals}f} %"


def signed_percent(share: float) -> str:
    """A share as a percentage with its sign: +3.2 %; 0.0 has none."""
    return NO_NUMBER if isnan(share) else f"{signed_points(share)} %"


def signed_points(difference: float) -> str:
    """A difference of two shares in percentage points with its sign: -0.3; 0.0 has none."""
    return NO_NUMBER if isnan(difference) else unsigned_zero(f"{100 * difference:+.1f}")


def unsigned_zero(text: str) -> str:
    """A number that begins with its sign; without the sign if all of its digits are 0: -0.0% is 0.0%."""
    return text if any(digit in text for digit in "123456789") else text[1:]
