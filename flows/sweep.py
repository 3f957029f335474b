"""Delete what is older than its retention and in use by nothing: snapshots, fits, backtest runs, alarms, requests.

Weekly. Needs nothing. Never deletes what `flows.retention` describes as in use, nor a file that is being written.
"""

from datetime import UTC, datetime

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import artifacts, retention, retries, run_checks, workspace
from flows.retention import Expired
from rossmann.settings import Settings


@flow
def sweep() -> list[Expired]:
    """Find and delete what has expired. Returns what was deleted."""
    settings, now = Settings(), datetime.now(UTC)
    run_checks.cancel_duplicate_runs()
    with workspace.lock(settings, "sweep"):  # or an ingest could make a snapshot current that is being deleted
        expired = find_expired(settings, now)
        create_markdown_artifact(artifacts.sweep(expired), key="sweep")
        delete(settings, expired, now)
    return expired


find_expired = task(cache_policy=NO_CACHE)(retention.find_expired)
delete = task(retention.delete, **retries.OVER_NETWORK)
