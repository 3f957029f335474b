"""The template of a report with its style, and how it writes numbers."""

import math
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: object) -> bytes:
    """The page of a template of this package, UTF-8. Every text is escaped."""
    return _environment().get_template(template).render(values).encode()


@cache
def _environment() -> Environment:
    loader = PackageLoader("rossmann.reports", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for function in (percent, signed_percent, signed_points, amount):
        environment.filters[function.__name__] = function
    return environment


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage, – where there is none."""
    return "–" if math.isnan(share) else f"{share * 100:.{decimals}f} %"


def signed_percent(share: float) -> str:
    """The same with its sign."""
    return "–" if math.isnan(share) else f"{signed_points(share)} %"


def signed_points(difference: float) -> str:
    """A difference of two shares in percentage points with its sign: zero has none, a minus is as wide as a plus."""
    points = round(difference * 100, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


def amount(value: float) -> str:
    """Sales or a count, without decimals."""
    return f"{value:,.0f}"
