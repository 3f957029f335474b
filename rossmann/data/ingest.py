"""Read raw files into a history, with a validation before and after the cleaning."""

from dataclasses import dataclass, replace
from datetime import date

import pandas as pd

from rossmann.chain import Chain
from rossmann.data.chain_files import contracts as chain_contracts
from rossmann.data.chain_files.contracts import check_chain, without_unplaced_rows
from rossmann.data.chain_files.reading import key_columns, read_chain, read_tables, require_chain_files, split_at
from rossmann.data.chain_files.tables import chain_raw_tables, with_zeros, without_empty_columns
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
    unusable: int  # rows of days that are set aside
    rows: int  # of days
    violations: tuple[Violation, ...]  # why rows are set aside
    source: str
    gaps_are_faults: bool  # whether days without a row count as set aside, and days that most stores lack are refused


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
    _refuse_too_many(files.unusable, files.rows, files.violations, max_set_aside_share)
    cleaning = clean(files.tables, horizon_days)
    history, set_aside = cleaning.history, cleaning.set_aside_days
    incomplete = set_aside if files.gaps_are_faults else set_aside[:0]
    labels = labels_by_number(history)
    clean_report = check_clean(days_frame(history), plan_frame(history), incomplete, as_of, cleaning.repairs, labels)
    missing = set_aside[~set_aside["has_row"]]
    violations = (*files.violations, _missing_days(missing, history)) if len(missing) else files.violations
    count, days = files.unusable + len(missing), files.rows + len(missing)
    if files.gaps_are_faults:
        _refuse_too_many(count, days, violations, max_set_aside_share)
    if count:
        note = f"{_of_days(count, days)} are set aside: {', '.join(dict.fromkeys(v.check for v in violations))}."
        clean_report = replace(clean_report, notes=(note, *clean_report.notes))
    unusable_days = set_aside.loc[set_aside["has_row"], list(KEYS)]
    return IngestResult(history, files.report, clean_report, violations_table(violations), files.source, unusable_days)


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
    tables = raw_tables(files, is_unusable)
    return _Checked(tables, report, int(is_unusable.sum()), len(is_unusable), violations, files.source, True)


def _read_chain(raw_dir: str, described: Chain, as_of: date | None) -> _Checked:
    tables, count, unplaced = without_unplaced_rows(read_tables(raw_dir, described), described, as_of)
    tables = split_at(tables, described, as_of) if as_of else tables
    chain = without_empty_columns(described, tables)
    tables = with_zeros(tables, chain)
    report = check_chain(tables, chain)
    is_unusable, violations = chain_contracts.unusable_amounts(tables.days, chain)
    raw = replace(chain_raw_tables(tables, chain, is_unusable), chain=described)
    violations, rows = (*unplaced, *violations), len(is_unusable) + count
    return _Checked(raw, report, int(is_unusable.sum()) + count, rows, violations, tables.source, False)


def _refuse_too_many(count: int, days: int, violations: tuple[Violation, ...], max_share: float) -> None:
    if count > max_share * days:
        reason = f"raw data, of which {_of_days(count, days)} would be set aside (at most {max_share:.1%} may be),"
        raise ValidationError(reason, violations)


def _of_days(count: int, days: int) -> str:
    return f"{count:,} of {days:,} days of stores ({count / days:.2%})"


def _missing_days(missing: pd.DataFrame, history: SalesHistory) -> Violation:
    """The days without a row, under the names that the files have for stores and columns."""
    where, names, store = TRAIN_FILE, KEYS, missing["store"].to_numpy()
    if not history.chain.is_kaggle:
        days = history.chain.own_days
        where, names = ", ".join(days.files), key_columns(days)
        store = history.stores.label[history.stores.positions(store)]
    return Violation(
        where,
        "open_day_missing",
        "the store has no row on this day, and should have been open",
        "Add the missing days; on days on which a store was closed, open and sales are 0.",
        pd.DataFrame(dict(zip(names, (store, missing["date"].to_numpy()), strict=True))),
    )
