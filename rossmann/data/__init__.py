"""The sales history as dense arrays of stores × days: reading, cleaning, versions, plans."""

from rossmann.data.cleaning import CleaningResult, RawTables, clean
from rossmann.data.completeness import MissingData, check_completeness, check_newer, find_missing_data
from rossmann.data.covariates import is_flag
from rossmann.data.frames import days_frame, plan_frame
from rossmann.data.history import Actuals, Calendar, Plan, SalesHistory, Stores
from rossmann.data.holiday_calendar import regional_breaks
from rossmann.data.ingest import IngestResult, read_history, require_raw_files
from rossmann.data.kaggle.contracts import check_raw, unusable_amounts
from rossmann.data.kaggle.derivations import DERIVED_FEATURES, Derivation, derived_flags, derived_slices
from rossmann.data.kaggle.reading import RawFiles, read_raw
from rossmann.data.kaggle.store_attributes import StoreAttributes
from rossmann.data.kaggle.submission import kaggle_submission
from rossmann.data.kaggle.tables import raw_tables
from rossmann.data.plans import parse_plan, read_plan, require_plan
from rossmann.data.snapshots import (
    Snapshot,
    current_since,
    current_snapshot,
    describe_snapshot,
    find_current,
    is_snapshot,
    list_snapshots,
    load_chain,
    load_snapshot,
    remove_snapshot,
    resolve_snapshot,
    restore_snapshot,
    save_snapshot,
)
from rossmann.data.store_labels import labels_by_number, row_labels, store_names, store_numbers, unknown_store

__all__ = [
    "DERIVED_FEATURES",
    "Actuals",
    "Calendar",
    "CleaningResult",
    "Derivation",
    "IngestResult",
    "MissingData",
    "Plan",
    "RawFiles",
    "RawTables",
    "SalesHistory",
    "Snapshot",
    "StoreAttributes",
    "Stores",
    "check_completeness",
    "check_newer",
    "check_raw",
    "clean",
    "current_since",
    "current_snapshot",
    "days_frame",
    "derived_flags",
    "derived_slices",
    "describe_snapshot",
    "find_current",
    "find_missing_data",
    "is_flag",
    "is_snapshot",
    "kaggle_submission",
    "labels_by_number",
    "list_snapshots",
    "load_chain",
    "load_snapshot",
    "parse_plan",
    "plan_frame",
    "raw_tables",
    "read_history",
    "read_plan",
    "read_raw",
    "regional_breaks",
    "remove_snapshot",
    "require_plan",
    "require_raw_files",
    "resolve_snapshot",
    "restore_snapshot",
    "row_labels",
    "save_snapshot",
    "store_names",
    "store_numbers",
    "unknown_store",
    "unusable_amounts",
]
