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
import pandas as pd

from flows import workspace
from rossmann import data, features, figures, forecasting, journal, models, registry
from rossmann.data import SalesHistory
from rossmann.forecasting import DeliveredForecast
from rossmann.journal import OPERATIONAL, QUESTION, BatchRows, ForecastRows, JournalEntry
from rossmann.models import Quantiles
from rossmann.registry import RegisteredModel
from rossmann.settings import Settings
from rossmann.storage import Storage, split_path

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
    """Forecast, validate, and write the files. Also returns the entries that the journal is to store."""
    started = time.perf_counter()
    history = workspace.history(settings, snapshot)
    rows, ids = data.read_plan(plan, history) if plan else (history.plan(history.origin, history.horizon_days), None)
    trained_forecaster = registry.load_forecaster(workspace.registry(settings), champion)
    forecaster = models.adapt(trained_forecaster, settings.workspace.snapshots, snapshot)
    state = features.load_state(settings.workspace.snapshots, snapshot)
    forecasts, quantiles = forecaster.predict(state, rows), forecaster.require_quantiles()
    table = forecasting.forecast_table(rows, forecasts, quantiles, ids)
    title = f"From {history.origin}, model version {champion.version}"
    folder, name = workspace.forecast_location(settings, history, champion, plan, out)
    file = _write_table(folder, name, forecasting.with_store_names(table, history), out, kaggle)
    plot = _draw(folder, name, history, table, title, quantiles)
    entry = JournalEntry(
        request_id=f"batch-{run_id}",
        at=datetime.now(UTC),
        source="batch",
        purpose=QUESTION,
        model_version=champion.version,
        snapshot=snapshot,
        origin=history.origin,
        latency_ms=(time.perf_counter() - started) * 1e3,
        answer=ForecastRows(rows, forecasts, quantiles, data.row_labels(history, rows.store)),
    )
    forecast = DeliveredForecast(forecasting.summarise(table, history), champion.version, file, plot)
    return forecast, [entry] if plan else _as_published(entry)


def _write_table(folder: Storage, name: str, table: pd.DataFrame, out: str | None, kaggle: bool) -> str:
    """Write the table. Returns the address of the CSV."""
    if out is None:
        folder.write(f"{name}.parquet", forecasting.to_parquet_bytes(table))
    csv = forecasting.to_csv_bytes(data.kaggle_submission(table) if kaggle else table)
    return folder.write(Path(out).name if out else f"{name}.csv", csv)


def _draw(
    folder: Storage, name: str, history: SalesHistory, table: pd.DataFrame, title: str, quantiles: Quantiles
) -> str | None:
    """Plot a table of MIN_PLOT_DAYS or more. Returns the plot's address; None without a plot."""
    if table["date"].nunique() < MIN_PLOT_DAYS:
        return None
    return folder.write(f"{name}.png", figures.forecast_figure(history, table, title, quantiles.bands))


def picture(delivered: DeliveredForecast) -> bytes | None:
    """The plot of a forecast, small enough for an artifact. PNG; None without a plot."""
    if delivered.plot is None:
        return None
    folder, name = split_path(delivered.plot)
    return figures.shrink(folder.read(name))


def _as_published(entry: JournalEntry) -> list[JournalEntry]:
    """A forecast of the whole published plan: the batch, which is stored once, and the run, which refers to it."""
    assert isinstance(entry.answer, ForecastRows)  # it is a new one, not one that refers to a batch
    batch = journal.published_batch(entry.model_version, entry.snapshot, entry.origin, entry.answer, entry.at)
    all_rows = BatchRows(batch.request_id, np.arange(len(entry.answer), dtype=np.int32))
    return [batch, replace(entry, purpose=OPERATIONAL, answer=all_rows)]
