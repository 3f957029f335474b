"""Errors in data that a user can correct. A message fits on one screen; a table has every failing row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rossmann.validation.report import CheckResult, StageReport

MAX_ROWS_SHOWN = 3  # of one violation, in a message
FINDING_COLUMNS = ("row", "column", "value", "problem", "what_to_do")
MAX_VIOLATIONS_SHOWN = 4  # in a message; of the others it has only the checks' names


class DataError(ValueError):
    """An error that a user can correct: in data, in settings, or in a server that is named but does not respond.

    The message says what is wrong, where, and what to do.
    """


class UnavailableError(DataError):
    """Something outside this program cannot be reached now. It says nothing about what is there: try again later."""


@dataclass(frozen=True)
class Violation:
    """All rows that fail one check.

    `rows` has the key columns, the columns that the check reads and, for a file, `line`.
    """

    where: str  # the file or table
    check: str
    problem: str
    remedy: str
    rows: pd.DataFrame
    contract: str = ""  # the contract that the check belongs to
    columns: tuple[str, ...] = ()  # those of `rows` that the check reads; empty: all
    row_problem: str = ""  # of a single row, where `problem` is about all of them; empty: `problem`

    def __str__(self) -> str:
        count = f"{len(self.rows):,} row{'s' if len(self.rows) != 1 else ''}"
        lines = [f"    {_row_text(row)}" for row in self.rows.head(MAX_ROWS_SHOWN).to_dict("records")]
        more = len(self.rows) - len(lines)
        if more:
            lines.append(f"    … and {more:,} more")
        return "\n".join([f"  {self.where}: {count}: {self.problem} [{self.check}]", *lines, f"    → {self.remedy}"])


class ValidationError(DataError):
    """Rows failed checks. `table` has all of these rows, `report` the results of all checks."""

    def __init__(self, stage: str, violations: Sequence[Violation], report: StageReport | None = None) -> None:
        self.stage = stage
        self.violations = tuple(violations)
        self.report = report or StageReport(
            stage, tuple(CheckResult(v.where, v.check, len(v.rows), len(v.rows)) for v in self.violations)
        )
        lines = [str(violation) for violation in self.violations[:MAX_VIOLATIONS_SHOWN]]
        if len(self.violations) > MAX_VIOLATIONS_SHOWN:
            lines.append("  … and also: " + ", ".join(v.check for v in self.violations[MAX_VIOLATIONS_SHOWN:]))
        super().__init__("\n".join([f"Validation of the {stage} failed:", *lines]))

    def __reduce__(self) -> tuple:
        return ValidationError, (self.stage, self.violations, self.report)

    @property
    def table(self) -> pd.DataFrame:
        """Every failing row of every check: check, where, problem, line, key columns and the values at fault."""
        return violations_table(self.violations)


def violations_table(violations: Sequence[Violation]) -> pd.DataFrame:
    """Every row of the violations: check, where, problem, line, key columns and the values at fault."""
    parts = [v.rows.assign(check=v.check, where=v.where, problem=v.problem).astype(object) for v in violations]
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    first = [name for name in ("check", "where", "problem", "line") if name in table]
    return table[first + [name for name in table.columns if name not in first]]


def row_findings(violations: Sequence[Violation]) -> pd.DataFrame:
    """One row per row of the violations, in the order of the file: FINDING_COLUMNS. `row` is its line in the file."""
    findings = [finding for violation in violations for finding in _findings(violation)]
    table = pd.DataFrame(findings, columns=list(FINDING_COLUMNS))
    return table.sort_values("row", kind="stable", ignore_index=True).astype({"row": "Int64"})


def _findings(violation: Violation) -> Iterator[tuple[object, ...]]:
    columns = [name for name in violation.columns or violation.rows.columns if name != "line"]
    problem = violation.row_problem or violation.problem
    for row in violation.rows.to_dict("records"):
        value = ", ".join(_cell_text(row[name]) for name in columns)
        yield row.get("line"), ", ".join(columns), value, problem, violation.remedy


def _row_text(row: dict) -> str:
    line = row.pop("line", None)
    cells = ", ".join(f"{name} {_cell_text(value)}" for name, value in row.items())
    return cells if line is None or pd.isna(line) else f"line {int(line)}: {cells}"


def _cell_text(value: Any) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "(empty)"
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)[:60]
