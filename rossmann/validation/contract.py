"""The engine: a contract has typed columns and rules over whole tables; pandera checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rossmann.schema import DTYPES, KEYS
from rossmann.validation.errors import ValidationError, Violation
from rossmann.validation.report import CheckResult, StageReport

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

NUMBER, DATE, TEXT = "float64", DTYPES["date"], "object"  # dtypes of parsed cells
NO_EMPTY_CELLS = "no_empty_cells"  # the check that every contract has
MAX_FILES = 3  # named in a message


@dataclass(frozen=True)
class Column:
    """A column of a contract. With `may_be_empty`, its cells may be NaN or NaT."""

    dtype: str
    may_be_empty: bool = False


@dataclass(frozen=True)
class Rule:
    """A check of the rows of a table.

    `is_valid` returns for each row whether it follows the rule. It returns True where the cells that it reads are
    empty, since that is another check.
    """

    name: str
    problem: str  # of a row that fails, for messages like "3 rows: …"
    remedy: str
    columns: tuple[str, ...]  # shown of a row that fails, after the keys
    is_valid: Callable[[pd.DataFrame], pd.Series | np.ndarray]
    row_problem: str = ""  # of a single row, where `problem` is about all rows that fail

    def __call__(self, table: pd.DataFrame) -> pd.Series:
        return pd.Series(np.asarray(self.is_valid(table), dtype=bool), table.index)


@dataclass(frozen=True)
class Contract:
    """Columns and rules of a table. A column `file` in the table names the file of each row in messages."""

    name: str  # of the file or table
    columns: Mapping[str, Column]
    rules: tuple[Rule, ...]
    keys: tuple[str, ...] = KEYS  # columns that identify a row in messages


def check_contracts(
    stage: str, tables: Sequence[tuple[Contract, pd.DataFrame]], notes: Sequence[str] = ()
) -> StageReport:
    """Check each table against its contract.

    Raises ValidationError with all violations, and the report, if any row of any table fails a check.
    """
    violations = [violation for contract, table in tables for violation in find_violations(contract, table)]
    failing = {(v.contract, v.check): len(v.rows) for v in violations}
    checks = tuple(
        CheckResult(contract.name, check, len(table), failing.get((contract.name, check), 0))
        for contract, table in tables
        for check in (NO_EMPTY_CELLS, *(rule.name for rule in contract.rules))
    )
    report = StageReport(stage, checks, notes=tuple(notes))
    if violations:
        raise ValidationError(stage, violations, report)
    return report


def find_violations(contract: Contract, table: pd.DataFrame) -> list[Violation]:
    """The violations of a contract; an empty list if there are none."""
    from pandera.errors import SchemaError  # takes a second, which Ray workers would pay on import

    try:
        _pandera_schema(contract).validate(table)
    except SchemaError:
        violations = _empty_cells(contract, table) + _failing_rules(contract, table)
        if not violations:  # a wrong type or a missing column, which is a bug in this code
            raise
        return violations
    return []


def _pandera_schema(contract: Contract) -> DataFrameSchema:
    import pandera.pandas as pandera

    return pandera.DataFrameSchema(
        {name: pandera.Column(column.dtype, nullable=column.may_be_empty) for name, column in contract.columns.items()},
        checks=[pandera.Check(rule, name=rule.name, error=rule.problem, n_failure_cases=1) for rule in contract.rules],
        name=contract.name,
    )


def _empty_cells(contract: Contract, table: pd.DataFrame) -> list[Violation]:
    required = [name for name, column in contract.columns.items() if not column.may_be_empty]
    empty = table[required].isna()
    names = tuple(name for name in required if empty[name].any())
    if not names:
        return []
    remedy = "Fill the cells in, or leave the rows out. Is the file cut off?"
    problem = f"{', '.join(names)} is empty"
    return [_violation(contract, table[empty.any(axis=1)], NO_EMPTY_CELLS, problem, remedy, names)]


def _failing_rules(contract: Contract, table: pd.DataFrame) -> list[Violation]:
    violations = []
    for rule in contract.rules:
        failing = ~rule(table)
        if failing.any():
            rows = table[failing]
            violation = _violation(contract, rows, rule.name, rule.problem, rule.remedy, rule.columns)
            violations.append(replace(violation, row_problem=rule.row_problem))
    return violations


def _file_names(files: list[str]) -> str:
    more = f" and {len(files) - MAX_FILES} more files" if len(files) > MAX_FILES else ""
    return ", ".join(files[:MAX_FILES]) + more


def _violation(
    contract: Contract, rows: pd.DataFrame, check: str, problem: str, remedy: str, columns: tuple[str, ...]
) -> Violation:
    where = _file_names(rows["file"].unique().tolist()) if "file" in rows else contract.name
    keys = [name for name in ("line", *contract.keys) if name in rows]
    cells = rows[[*keys, *(name for name in columns if name not in keys)]]
    return Violation(where, check, problem, remedy, cells.reset_index(drop=True), contract.name, columns)
