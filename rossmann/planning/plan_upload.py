"""A plan that somebody uploads: its rows, or what is wrong with each of them, by the rules of `rossmann.data`."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann import data
from rossmann.data import Plan, SalesHistory
from rossmann.validation import FINDING_COLUMNS, DataError, ValidationError, row_findings

WHOLE_FILE = pd.NA  # in the column `row` of a finding that is about no single row


@dataclass(frozen=True)
class PlanUpload:
    """The rows of a plan in the order of its file, or the findings that prevent it from being forecast."""

    plan: Plan | None  # None if there are findings
    ids: np.ndarray | None  # of the file's column id. [rows]
    findings: pd.DataFrame  # FINDING_COLUMNS; empty for a good plan


def check_upload(file: str, content: bytes, history: SalesHistory) -> PlanUpload:
    """Read the content of a CSV or Parquet file as a plan of days after the history.

    `row` of a finding is the line of a CSV file, whose header is line 1, or the row of a Parquet file, counted from 1;
    NA for what is about the whole file.
    """
    try:
        plan, ids = data.parse_plan(file, content, history)
    except ValidationError as error:
        return PlanUpload(None, None, _with_nearest_stores(row_findings(error.violations), error, history))
    except DataError as error:
        return PlanUpload(None, None, _of_whole_file(error))
    return PlanUpload(plan, ids, pd.DataFrame(columns=list(FINDING_COLUMNS)))


def file_message(findings: pd.DataFrame) -> str | None:
    """What is wrong with the whole file, and what to do; None if the findings are about rows."""
    if not findings["row"].isna().all():
        return None
    return "\n".join(f"{each.problem} {each.what_to_do}".strip() for each in findings.itertuples())


def _of_whole_file(error: DataError) -> pd.DataFrame:
    """One finding, whose message says what to do, too."""
    problem, end, remedy = str(error).partition(". ")
    problem += end.strip()
    return pd.DataFrame([(WHOLE_FILE, "", "", problem, remedy)], columns=list(FINDING_COLUMNS)).astype({"row": "Int64"})


def _with_nearest_stores(findings: pd.DataFrame, error: ValidationError, history: SalesHistory) -> pd.DataFrame:
    """The findings, where a store is unknown with the stores that there are."""
    problems = {violation.problem for violation in error.violations if violation.check == "store_exists"}
    is_unknown = findings["problem"].isin(problems)
    messages = [data.unknown_store(history, store) for store in findings["value"][is_unknown]]
    return findings.assign(
        problem=findings["problem"].mask(is_unknown, pd.Series(messages, findings.index[is_unknown]))
    )
