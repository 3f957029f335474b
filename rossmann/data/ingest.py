"""Raw files to a history that has passed every check on the way."""

from dataclasses import dataclass
from datetime import date

from rossmann.data.cleaning import clean
from rossmann.data.frames import days_frame, plan_frame
from rossmann.data.panel import SalesHistory
from rossmann.data.raw import read_raw
from rossmann.validation import StageReport, check_clean, check_raw


@dataclass(frozen=True)
class Ingested:
    history: SalesHistory
    raw: StageReport
    clean: StageReport  # with the repairs
    source: str  # where the raw files lie


def read_history(raw_dir: str, as_of: date | None = None) -> Ingested:
    """Read, check, clean and check again. Raises DataError; its subclass ValidationError has all rows at fault."""
    raw = read_raw(raw_dir, as_of)
    judged = check_raw(raw.days, raw.stores, raw.plan, raw.extra_columns)
    cleaned = clean(raw)
    history = cleaned.history
    passed = check_clean(days_frame(history), plan_frame(history), as_of, cleaned.repairs)
    return Ingested(history, judged, passed, raw.source)
