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
    environment.filters |= {"percent": percent, "signed_percent": signed_percent, "amount": amount}
    return environment


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage, – where there is none."""
    return "–" if math.isnan(share) else f"{share * 100:.{decimals}f} %"


def signed_percent(share: float) -> str:
    """The same with its sign, that of zero being a plus; a minus as wide as a plus."""
    return "–" if math.isnan(share) else f"{round(share * 100, 1) + 0.0:+.1f} %".replace("-", "−")


def amount(value: float) -> str:
    """Sales or a count, without decimals."""
    return f"{value:,.0f}"
