"""What a row means: the columns, keys and rules of everything that comes in or goes out."""

from rossmann.validation.errors import DataError, Finding, ValidationError
from rossmann.validation.report import Repair
from rossmann.validation.words import ASSORTMENTS, CLOSURE_DAYS, STATE_HOLIDAYS, STORE_TYPES

__all__ = [
    "ASSORTMENTS",
    "CLOSURE_DAYS",
    "STATE_HOLIDAYS",
    "STORE_TYPES",
    "DataError",
    "Finding",
    "Repair",
    "ValidationError",
]
