"""The journal is the prediction log: every forecast that was returned, over HTTP or in a batch, with model and plan.

The same database has the monitoring tables: accuracy, traffic and drift findings by day. It also guards the workspace:
whoever changes the champion, the current snapshot or the endpoint holds the lock of `workspace_lock`.
"""

from rossmann.journal.lock import workspace_lock
from rossmann.journal.monitoring_tables import (
    accuracy,
    append_rows,
    daily_traffic,
    drift_findings,
    read_forecasts,
    read_rows,
    replace_days,
    traffic,
)
from rossmann.journal.tables import JournalEntry, forecasts, migrate, prune, requests, write_entry
from rossmann.journal.writer import Journal, JournalHealth

__all__ = [
    "Journal",
    "JournalEntry",
    "JournalHealth",
    "accuracy",
    "append_rows",
    "daily_traffic",
    "drift_findings",
    "forecasts",
    "migrate",
    "prune",
    "read_forecasts",
    "read_rows",
    "replace_days",
    "requests",
    "traffic",
    "workspace_lock",
    "write_entry",
]
