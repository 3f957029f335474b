"""The journal is the prediction log: every forecast that was returned, over HTTP or in a batch, with model and plan.

The same database has the monitoring tables: accuracy, traffic and drift findings by day; and the overrides of
planners, which stand beside the forecasts. It also guards the workspace:
whoever changes the champion, the current snapshot or the endpoint holds the lock of `workspace_lock`.
"""

from rossmann.journal.entries import (
    OPERATIONAL,
    QUESTION,
    SMOKE,
    BatchRows,
    ForecastRows,
    JournalEntry,
    published_batch,
)
from rossmann.journal.lock import workspace_lock
from rossmann.journal.monitoring_tables import accuracy, append_rows, drift_findings, read_rows, replace_days, traffic
from rossmann.journal.overrides import (
    OVERRIDE_COLUMNS,
    add_overrides,
    count_old_overrides,
    overrides,
    prune_overrides,
    read_overrides,
)
from rossmann.journal.queries import (
    count_forecasts,
    daily_traffic,
    read_answer,
    read_forecasts,
    read_newest_forecasts,
    read_scaled_errors,
)
from rossmann.journal.read_only import read_earlier_forecasts, read_only_connection
from rossmann.journal.summaries import (
    NewestRequest,
    hourly_traffic,
    newest_request,
    newest_scored_day,
    read_newest_batches,
    read_since,
    sum_accuracy,
    sum_store_accuracy,
)
from rossmann.journal.tables import count_old, forecasts, migrate, open_connection, prune, requests, write_entries
from rossmann.journal.writer import Journal, JournalHealth

__all__ = [
    "OPERATIONAL",
    "OVERRIDE_COLUMNS",
    "QUESTION",
    "SMOKE",
    "BatchRows",
    "ForecastRows",
    "Journal",
    "JournalEntry",
    "JournalHealth",
    "NewestRequest",
    "accuracy",
    "add_overrides",
    "append_rows",
    "count_forecasts",
    "count_old",
    "count_old_overrides",
    "daily_traffic",
    "drift_findings",
    "forecasts",
    "hourly_traffic",
    "migrate",
    "newest_request",
    "newest_scored_day",
    "open_connection",
    "overrides",
    "prune",
    "prune_overrides",
    "published_batch",
    "read_answer",
    "read_earlier_forecasts",
    "read_forecasts",
    "read_newest_batches",
    "read_newest_forecasts",
    "read_only_connection",
    "read_overrides",
    "read_rows",
    "read_scaled_errors",
    "read_since",
    "replace_days",
    "requests",
    "sum_accuracy",
    "sum_store_accuracy",
    "traffic",
    "workspace_lock",
    "write_entries",
]
