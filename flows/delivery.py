"""A forecast from the champion to its files and its journal entry, without Prefect.

The `forecast` flow runs `deliver` as a task; the command line calls `deliver_and_record` where no Prefect server is
named, since starting one would take longer than the forecast.
"""

import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from flows import workspace
from rossmann import data, features, figures, forecasting, journal, registry
from rossmann.forecasting import DeliveredForecast
from rossmann.journal import OPERATIONAL, QUESTION, BatchRows, ForecastRows, JournalEntry
from rossmann.registry import RegisteredModel
from rossmann.settings import Settings

MIN_PLOT_DAYS = 7  # a plot of fewer days says no more than its table, and drawing it takes longer than forecasting them


def deliver_and_record(settings: Settings, plan: str | None, out: str | None, kaggle: bool) -> DeliveredForecast:
    """What the `forecast` flow does, in one call: forecast with the champion, write the files, and record them."""
    champion = registry.champion(workspace.registry(settings))
    snapshot = data.current_snapshot(settings.workspace.snapshots)
    delivered, entries = deliver(settings, str(uuid.uuid4()), champion, snapshot, plan, out, kaggle)
    journal.write_entries(settings.journal_address, entries)
    return delivered


def deliver(
    settings: Settings,
    run_id: str,
    champion: RegisteredModel,
    snapshot: str,
    plan: str | None,
    out: str | None,
    kaggle: bool,
) -> tuple[DeliveredForecast, list[JournalEntry]]:
    """Forecast, validate, and write the table and, of MIN_PLOT_DAYS or more, its plot.

    Also returns the entries that the journal is to store.
    """
    started = time.perf_counter()
    history = workspace.history(settings, snapshot)
    rows, ids = data.read_plan(plan, history) if plan else (history.plan(history.origin, history.horizon_days), None)
    forecaster = registry.load_forecaster(workspace.registry(settings), champion)
    state = features.load_state(settings.workspace.snapshots, snapshot)
    table = forecasting.forecast_table(forecaster, state, rows, ids)
    csv = forecasting.to_csv_bytes(data.kaggle_submission(table) if kaggle else table)
    title = f"From {history.origin}, model version {champion.version}, {forecaster.intervals.coverage:.0%} intervals"
    folder, name = workspace.forecast_location(settings, history, champion, plan, out)
    if out is None:
        folder.write(f"{name}.parquet", forecasting.to_parquet_bytes(table))
    file = folder.write(Path(out).name if out else f"{name}.csv", csv)
    is_plotted = table["date"].nunique() >= MIN_PLOT_DAYS
    plot = folder.write(f"{name}.png", figures.forecast_figure(history, table, title)) if is_plotted else None
    delivered = DeliveredForecast(forecasting.summarise(table, history), champion.version, file, plot)
    answer = ForecastRows(rows, forecasting.as_forecast(table))
    latency_ms = (time.perf_counter() - started) * 1e3
    record = JournalEntry(
        f"batch-{run_id}",
        datetime.now(UTC),
        "batch",
        QUESTION,
        champion.version,
        snapshot,
        history.origin,
        latency_ms,
        answer,
    )
    return delivered, [record] if plan else _as_published(record)


def _as_published(record: JournalEntry) -> list[JournalEntry]:
    """A forecast of the whole published plan: the batch, which is stored once, and the run, which refers to it."""
    batch = journal.published_batch(record.model_version, record.snapshot, record.origin, record.answer, record.at)
    all_rows = BatchRows(batch.request_id, np.arange(len(record.answer), dtype=np.int32))
    return [batch, replace(record, purpose=OPERATIONAL, answer=all_rows)]
