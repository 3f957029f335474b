"""Contracts of tables: which columns, types and rules their rows must follow, and what is reported if they do not."""

from rossmann.validation.contract import Column, Contract, Rule, check_contracts, find_violations
from rossmann.validation.errors import (
    FINDING_COLUMNS,
    DataError,
    UnavailableError,
    ValidationError,
    Violation,
    row_findings,
    violations_table,
)
from rossmann.validation.report import CheckResult, Repair, StageReport, report_html, report_markdown, report_title
from rossmann.validation.tables import check_clean, check_features, check_forecast, check_overrides, check_plan

__all__ = [
    "FINDING_COLUMNS",
    "CheckResult",
    "Column",
    "Contract",
    "DataError",
    "Repair",
    "Rule",
    "StageReport",
    "UnavailableError",
    "ValidationError",
    "Violation",
    "check_clean",
    "check_contracts",
    "check_features",
    "check_forecast",
    "check_overrides",
    "check_plan",
    "find_violations",
    "report_html",
    "report_markdown",
    "report_title",
    "row_findings",
    "violations_table",
]
