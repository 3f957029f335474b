"""What was checked, what was repaired: one report of all validations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Repair:
    """A rule of repair and how often it was used."""

    name: str
    found: str
    done: str
    rows: int
