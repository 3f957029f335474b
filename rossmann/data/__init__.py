"""The sales history as one dense panel of stores by days: reading, cleaning, versions."""

from rossmann.data.cleaning import Cleaned, clean
from rossmann.data.frames import days_frame, plan_frame
from rossmann.data.ingest import Ingested, read_history
from rossmann.data.panel import Calendar, Outcomes, Plan, SalesHistory, Stores
from rossmann.data.plans import read_plan
from rossmann.data.raw import Raw, read_raw
from rossmann.data.snapshots import (
    Snapshot,
    current_snapshot,
    list_snapshots,
    load_snapshot,
    resolve_snapshot,
    restore_snapshot,
    save_snapshot,
)
from rossmann.validation import ASSORTMENTS, STATE_HOLIDAYS, STORE_TYPES

__all__ = [
    "ASSORTMENTS",
    "STATE_HOLIDAYS",
    "STORE_TYPES",
    "Calendar",
    "Cleaned",
    "Ingested",
    "Outcomes",
    "Plan",
    "Raw",
    "SalesHistory",
    "Snapshot",
    "Stores",
    "clean",
    "current_snapshot",
    "days_frame",
    "list_snapshots",
    "load_snapshot",
    "plan_frame",
    "read_history",
    "read_plan",
    "read_raw",
    "resolve_snapshot",
    "restore_snapshot",
    "save_snapshot",
]
