"""A forecast from the champion to its files and its journal entry, without Prefect.

The `forecast` flow runs `deliver` as a task; the command line calls `deliver_and_record` where no Prefect server is
named, since starting one would take longer than the forecast.
"""

import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows import workspace
from rossmann import data, features, figures, forecasting, journal, registry
from rossmann.forecasting import DeliveredForecast
from rossmann.journal import JournalEntry
from rossmann.registry import RegisteredModel
from rossmann.settings import Settings


def deliver_and_record(settings: Settings, plan: str | None, out: str | None, kaggle: bool) -> DeliveredForecast:
    """What the `forecast` flow does, in one call: forecast with the champion, write the files, and record them."""
    champion = registry.champion(workspace.registry(settings))
    snapshot = data.current_snapshot(settings.workspace.snapshots)
    delivered, entry = deliver(settings, str(uuid.uuid4()), champion, snapshot, plan, out, kaggle)
    journal.write_entry(settings.journal, entry)
    journal.prune(settings.journal, journal_start(settings))
    return delivered


def deliver(
    settings: Settings,
    run_id: str,
    champion: RegisteredModel,
    snapshot: str,
    plan: str | None,
    out: str | None,
    kaggle: bool,
) -> tuple[DeliveredForecast, JournalEntry]:
    """Forecast, validate, and write the table and its plot. Also returns the entry that the journal is to store."""
    started = time.perf_counter()
    history = workspace.history(settings, snapshot)
    rows, ids = data.read_plan(plan, history) if plan else (history.plan(history.origin, history.horizon_days), None)
    forecaster = registry.load_forecaster(workspace.registry(settings), champion)
    state = features.load_state(settings.workspace.snapshots, snapshot)
    table = forecasting.forecast_table(forecaster, state, rows, ids)
    csv = forecasting.to_csv_bytes(data.kaggle_submission(table) if kaggle else table)
    title = f"From {history.origin}, model version {champion.version}, {forecaster.intervals.coverage:.0%} intervals"
    png = figures.forecast_figure(history, table, title)
    folder, name = workspace.forecast_location(settings, history, champion, plan, out)
    if out is None:
        folder.write(f"{name}.parquet", forecasting.to_parquet_bytes(table))
    file = folder.write(Path(out).name if out else f"{name}.csv", csv)
    entry = JournalEntry(
        request_id=f"batch-{run_id}",
        at=datetime.now(UTC),
        source="batch",
        model_version=champion.version,
        snapshot=snapshot,
        origin=history.origin,
        latency_ms=(time.perf_counter() - started) * 1e3,
        plan=rows,
        forecast=forecasting.as_forecast(table),
    )
    plot = folder.write(f"{name}.png", png)
    return DeliveredForecast(forecasting.summarise(table, history), champion.version, file, plot), entry


def journal_start(settings: Settings) -> datetime:
    """Entries of the journal before this moment are deleted."""
    return datetime.now(UTC) - timedelta(days=settings.journal_retention_days)
