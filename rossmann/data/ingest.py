"""Read raw files into a history, with a validation before and after the cleaning."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from rossmann.chain import Chain
from rossmann.data.chain_files import contracts as chain_contracts
from rossmann.data.chain_files.contracts import check_chain
from rossmann.data.chain_files.reading import read_chain, read_tables, require_chain_files
from rossmann.data.chain_files.tables import chain_raw_tables
from rossmann.data.cleaning import RawTables, clean
from rossmann.data.frames import days_frame, plan_frame
from rossmann.data.history import SalesHistory
from rossmann.data.kaggle.columns import TRAIN_FILE
from rossmann.data.kaggle.contracts import check_raw, unusable_amounts
from rossmann.data.kaggle.reading import read_raw, require_kaggle_files
from rossmann.data.kaggle.tables import raw_tables
from rossmann.data.store_labels import labels_by_number
from rossmann.schema import HORIZON_DAYS, KEYS, MAX_SET_ASIDE_SHARE
from rossmann.validation import StageReport, ValidationError, Violation, check_clean, violations_table


@dataclass(frozen=True)
class IngestResult:
    """The history and what the validations report."""

    history: SalesHistory
    raw_report: StageReport
    clean_report: StageReport  # with the repairs
    set_aside: pd.DataFrame  # days of stores that count as unknown, with the reason and, if there is a row, its line
    source: str  # the folder or s3:// address of the raw files
    unusable_days: pd.DataFrame  # of the days set aside, those that have a row: store and date


@dataclass(frozen=True)
class _Checked:
    """What was read from raw files of either format, under the schema's names."""

    tables: RawTables
    report: StageReport
    is_unusable: np.ndarray  # which rows of days are set aside. bool [rows]
    violations: tuple[Violation, ...]  # why
    source: str


def read_history(
    raw_dir: str,
    as_of: date | None = None,
    horizon_days: int = HORIZON_DAYS,
    max_set_aside_share: float = MAX_SET_ASIDE_SHARE,
) -> IngestResult:
    """Read, check, clean and check again; with `as_of`, as if the files ended on that day.

    horizon_days: how many days after the origin the history's plan has, and a forecast can reach.
    Single days of stores that are missing, or whose sales cannot be right, are set aside: they count as unknown, and
    the others are used. Raises DataError for files that cannot be read, and ValidationError, which has all failing
    rows, for all other faults of the rows, and where more than the given share of the days would be set aside.
    """
    chain = read_chain(raw_dir)
    horizon_days = chain.forecast.horizon_days or horizon_days
    files = _read_kaggle(raw_dir, as_of, horizon_days) if chain.is_kaggle else _read_chain(raw_dir, chain, as_of)
    raw_report, is_unusable, violations = files.report, files.is_unusable, files.violations
    _refuse_too_many(int(is_unusable.sum()), len(is_unusable), violations, max_set_aside_share)
    cleaning = clean(files.tables, horizon_days)
    history, set_aside = cleaning.history, cleaning.set_aside_days
    labels = labels_by_number(history)
    clean_report = check_clean(days_frame(history), plan_frame(history), set_aside, as_of, cleaning.repairs, labels)
    missing = set_aside[~set_aside["has_row"]]
    violations = (*violations, _missing_days(missing)) if len(missing) else violations
    count, days = int(is_unusable.sum()) + len(missing), len(is_unusable) + len(missing)
    _refuse_too_many(count, days, violations, max_set_aside_share)
    if count:
        note = f"{_of_days(count, days)} are set aside: {', '.join(v.check for v in violations)}."
        clean_report = replace(clean_report, notes=(note, *clean_report.notes))
    unusable_days = set_aside.loc[set_aside["has_row"], list(KEYS)]
    return IngestResult(history, raw_report, clean_report, violations_table(violations), files.source, unusable_days)


def require_raw_files(raw_dir: str) -> None:
    """Raise DataError if a file that ingest needs is missing, or its header is wrong. Reads only headers.

    raw_dir: a folder or an s3:// address.
    """
    chain = read_chain(raw_dir)
    if chain.is_kaggle:
        require_kaggle_files(raw_dir)
    else:
        require_chain_files(raw_dir, chain)


def _read_kaggle(raw_dir: str, as_of: date | None, horizon_days: int) -> _Checked:
    files = read_raw(raw_dir, as_of, horizon_days)
    report = check_raw(files)
    is_unusable, violations = unusable_amounts(files.days)
    return _Checked(raw_tables(files, is_unusable), report, is_unusable, violations, files.source)


def _read_chain(raw_dir: str, chain: Chain, as_of: date | None) -> _Checked:
    tables = read_tables(raw_dir, chain, as_of)
    report = check_chain(tables, chain)
    is_unusable, violations = chain_contracts.unusable_amounts(tables.days, chain)
    return _Checked(chain_raw_tables(tables, chain, is_unusable), report, is_unusable, violations, tables.source)


def _refuse_too_many(count: int, days: int, violations: tuple[Violation, ...], max_share: float) -> None:
    if count > max_share * days:
        reason = f"raw data, of which {_of_days(count, days)} would be set aside (at most {max_share:.1%} may be),"
        raise ValidationError(reason, violations)


def _of_days(count: int, days: int) -> str:
    return f"{count:,} of {days:,} days of stores ({count / days:.2%})"


def _missing_days(missing: pd.DataFrame) -> Violation:
    return Violation(
        TRAIN_FILE,
        "open_day_missing",
        "the store has no row on this day, and should have been open",
        "Add the missing days; on days on which a store was closed, open and sales are 0.",
        missing[list(KEYS)].reset_index(drop=True),
    )
