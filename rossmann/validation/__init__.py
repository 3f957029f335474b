"""What a row means: the columns, keys and rules of everything that comes in or goes out."""

from rossmann.validation.errors import DataError, Finding, ValidationError
from rossmann.validation.incoming import check_plan, check_raw
from rossmann.validation.outgoing import check_clean, check_features, check_forecast
from rossmann.validation.report import Checked, Repair, StageReport, report_html, report_markdown
from rossmann.validation.words import ASSORTMENTS, CLOSURE_DAYS, MONTHS, STATE_HOLIDAYS, STORE_TYPES

__all__ = [
    "ASSORTMENTS",
    "CLOSURE_DAYS",
    "MONTHS",
    "STATE_HOLIDAYS",
    "STORE_TYPES",
    "Checked",
    "DataError",
    "Finding",
    "Repair",
    "StageReport",
    "ValidationError",
    "check_clean",
    "check_features",
    "check_forecast",
    "check_plan",
    "check_raw",
    "report_html",
    "report_markdown",
]
