"""Read raw files into a history, with a validation before and after the cleaning."""

from dataclasses import dataclass
from datetime import date

from rossmann.data.cleaning import clean
from rossmann.data.frames import days_frame, plan_frame
from rossmann.data.history import SalesHistory
from rossmann.data.kaggle.contracts import check_raw
from rossmann.data.kaggle.reading import read_raw
from rossmann.data.kaggle.tables import raw_tables
from rossmann.schema import HORIZON_DAYS
from rossmann.validation import StageReport, check_clean


@dataclass(frozen=True)
class IngestResult:
    """The history and what the validations report."""

    history: SalesHistory
    raw_report: StageReport
    clean_report: StageReport  # with the repairs
    source: str  # the folder or s3:// address of the raw files


def read_history(raw_dir: str, as_of: date | None = None, horizon_days: int = HORIZON_DAYS) -> IngestResult:
    """Read, check, clean and check again; with `as_of`, as if the files ended on that day.

    horizon_days: how many days after the origin the history's plan has, and a forecast can reach.
    Raises DataError for files that cannot be read, and ValidationError, which has all failing rows, for their rows.
    """
    files = read_raw(raw_dir, as_of, horizon_days)
    raw_report = check_raw(files)
    cleaning = clean(raw_tables(files), horizon_days)
    history = cleaning.history
    clean_report = check_clean(days_frame(history), plan_frame(history), as_of, cleaning.repairs)
    return IngestResult(history, raw_report, clean_report, files.source)
