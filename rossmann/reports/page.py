"""The template of a report with its style, and how it writes numbers."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from rossmann import number_formats
from rossmann.number_formats import amount, percent

__all__ = ["amount", "percent", "render", "signed_percent", "signed_points"]
MINUS = "−"  # as wide as a plus, in every font


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


def signed_percent(share: float) -> str:
    """A share as a percentage with its sign: +3.2 %, −3.2 %."""
    return number_formats.signed_percent(share).replace("-", MINUS)


def signed_points(difference: float) -> str:
    """A difference of two shares in percentage points with its sign: +0.3, −0.3."""
    return number_formats.signed_points(difference).replace("-", MINUS)
