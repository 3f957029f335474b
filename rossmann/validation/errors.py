"""Mistakes a user can mend, told on one screen; every row of them stays at hand as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rossmann.validation.report import Checked, StageReport

FIRST_ROWS = 3
FIRST_FINDINGS = 4


class DataError(ValueError):
    """Something in the data that a user can mend: says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Finding:
    """The rows that break one rule. `rows` has the columns worth seeing, and `line` if from a file."""

    where: str
    check: str
    problem: str
    mend: str
    rows: pd.DataFrame
    contract: str = ""  # of which contract the check is

    def __str__(self) -> str:
        count = f"{len(self.rows):,} row{'s' if len(self.rows) != 1 else ''}"
        shown = [f"    {_row(row)}" for row in self.rows.head(FIRST_ROWS).to_dict("records")]
        more = len(self.rows) - len(shown)
        if more:
            shown.append(f"    … and {more:,} more")
        return "\n".join([f"  {self.where}: {count}: {self.problem} [{self.check}]", *shown, f"    → {self.mend}"])


class ValidationError(DataError):
    """Rows broke rules; `table` has all of them, one line per check and row, `report` what was checked."""

    def __init__(self, stage: str, findings: Sequence[Finding], report: StageReport | None = None) -> None:
        self.stage = stage
        self.findings = tuple(findings)
        self.report = report or StageReport(
            stage, tuple(Checked(f.where, f.check, len(f.rows), len(f.rows)) for f in self.findings)
        )
        told = [str(finding) for finding in self.findings[:FIRST_FINDINGS]]
        if len(self.findings) > FIRST_FINDINGS:
            told.append("  … and also: " + ", ".join(f.check for f in self.findings[FIRST_FINDINGS:]))
        super().__init__("\n".join([f"The {stage} cannot be used:", *told]))

    def __reduce__(self) -> tuple:
        return ValidationError, (self.stage, self.findings, self.report)

    @property
    def table(self) -> pd.DataFrame:
        """Every failing row: check, where, problem, line, key and the values at fault."""
        named = [f.rows.assign(check=f.check, where=f.where, problem=f.problem).astype(object) for f in self.findings]
        table = pd.concat(named, ignore_index=True)
        first = [c for c in ("check", "where", "problem", "line") if c in table]
        return table[first + [c for c in table.columns if c not in first]]


def _row(row: dict) -> str:
    line = row.pop("line", None)
    cells = ", ".join(f"{name} {_cell(value)}" for name, value in row.items())
    return cells if line is None or pd.isna(line) else f"line {int(line)}: {cells}"


def _cell(value: object) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "(empty)"
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)[:60]
