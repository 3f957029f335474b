"""Contracts: columns with types and rules over whole frames, kept by pandera, told by `Finding`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.validation.errors import Finding, ValidationError
from rossmann.validation.report import Checked, StageReport

NUMBER, DAY, TEXT = "float64", "datetime64[s]", "object"


@dataclass(frozen=True)
class Column:
    """`may_be_empty`: NaN or NaT is a value too."""

    dtype: str
    may_be_empty: bool = False


@dataclass(frozen=True)
class Rule:
    """`right` says for each row of a frame whether it keeps the rule; rows with nothing in the cells it reads do."""

    check: str
    problem: str  # what a row that breaks it does, for "3 rows: …"
    mend: str
    shows: tuple[str, ...]
    right: Callable[[pd.DataFrame], pd.Series | np.ndarray]

    def __call__(self, frame: pd.DataFrame) -> pd.Series:
        return pd.Series(np.asarray(self.right(frame), dtype=bool), frame.index)


@dataclass(frozen=True)
class Contract:
    where: str  # what the frame is; a `file` column in it says so more exactly
    columns: Mapping[str, Column]
    rules: tuple[Rule, ...]
    keys: tuple[str, ...] = ("Store", "Date")


def report(stage: str, judged: Sequence[tuple[Contract, pd.DataFrame]], notes: Sequence[str] = ()) -> StageReport:
    """What was checked; raises ValidationError, with the same report in it, if any row of any frame breaks a rule."""
    findings = [finding for contract, frame in judged for finding in examine(contract, frame)]
    broken = {(f.contract, f.check): len(f.rows) for f in findings}
    checks = tuple(
        Checked(contract.where, check, len(frame), broken.get((contract.where, check), 0))
        for contract, frame in judged
        for check in ("nothing_empty", *(rule.check for rule in contract.rules))
    )
    done = StageReport(stage, checks, notes=tuple(notes))
    if findings:
        raise ValidationError(stage, findings, done)
    return done


def examine(contract: Contract, frame: pd.DataFrame) -> list[Finding]:
    """What is wrong, nothing if the frame keeps the contract."""
    from pandera.errors import SchemaError  # here, since every Ray worker would pay a second for it

    try:
        _schema(contract).validate(frame)
    except SchemaError:
        findings = _empty_cells(contract, frame) + _broken_rules(contract, frame)
        if not findings:
            raise
        return findings
    return []


def _schema(contract: Contract):
    import pandera.pandas as pandera

    return pandera.DataFrameSchema(
        {name: pandera.Column(column.dtype, nullable=column.may_be_empty) for name, column in contract.columns.items()},
        checks=[pandera.Check(rule, name=rule.check, error=rule.problem, n_failure_cases=1) for rule in contract.rules],
        name=contract.where,
    )


def _empty_cells(contract: Contract, frame: pd.DataFrame) -> list[Finding]:
    needed = [name for name, column in contract.columns.items() if not column.may_be_empty]
    empty = frame[needed].isna()
    hit = [name for name in needed if empty[name].any()]
    if not hit:
        return []
    return [
        _finding(
            contract,
            frame[empty.any(axis=1)],
            "nothing_empty",
            f"{', '.join(hit)} is empty",
            "Fill the cells in, or leave the rows out. Is the file cut off?",
            tuple(hit),
        )
    ]


def _broken_rules(contract: Contract, frame: pd.DataFrame) -> list[Finding]:
    findings = []
    for rule in contract.rules:
        wrong = ~rule(frame)
        if wrong.any():
            findings.append(_finding(contract, frame[wrong], rule.check, rule.problem, rule.mend, rule.shows))
    return findings


def _finding(
    contract: Contract, rows: pd.DataFrame, check: str, problem: str, mend: str, shows: tuple[str, ...]
) -> Finding:
    where = ", ".join(rows["file"].unique()) if "file" in rows else contract.where
    seen = [name for name in ("line", *contract.keys) if name in rows]
    columns = [*seen, *(name for name in shows if name not in seen)]
    return Finding(where, check, problem, mend, rows[columns].reset_index(drop=True), contract.where)
