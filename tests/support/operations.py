"""A small workspace in operation: backtests, champion and challenger, five weeks of forecasts, their scores, alarms."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from rossmann import alarms, evaluation, features, journal, monitoring, registry
from rossmann.alarms import DriftDetected, EndpointFailed, PerformanceDegraded, RetrainingOutcome
from rossmann.data import SalesHistory, save_snapshot
from rossmann.evaluation import LOSSES, Backtest, BacktestRun, Verdict
from rossmann.journal import OPERATIONAL, BatchRows, ForecastRows, JournalEntry
from rossmann.models import Forecaster
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.training.files import save_backtest_run
from tests.support.endpoint import fit_on_whole_history, promote, register, registry_of

WEEKS = 5  # of operation, at the end of the history
RUN_KEY = "operations"
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Operations:
    """The workspace and what is in it."""

    settings: Settings
    history: SalesHistory
    snapshot: str


def operations(folder: Path, history: SalesHistory) -> Operations:
    """Version 1 (median) served for two weeks, then version 2 (ridge); version 3 was refused."""
    settings = Settings(data_dir=str(folder))
    snapshot = save_snapshot(history, settings.workspace.snapshots, NOW, "test")
    forecasters = [fit_on_whole_history(history, name, 7) for name in ("median", "ridge")]
    save_backtest_run(_backtests(history, forecasters), Storage(settings.workspace.backtests))
    _register(folder, history, snapshot, forecasters)
    _journal(settings, history, snapshot, forecasters)
    _alarms(settings, history, snapshot)
    return Operations(settings, history, snapshot)


def _backtests(history: SalesHistory, forecasters: list[Forecaster]) -> BacktestRun:
    """Two folds of four weeks before the weeks of operation."""
    tables = []
    for back in (WEEKS + 8, WEEKS + 4):
        fold = evaluation.cut_fold(history, history.origin - 7 * back, 28)
        for each in forecasters:
            forecast = each.predict(features.fit_state(fold.past), fold.plan)
            rows = evaluation.backtest_rows(each.candidate.name, fold, forecast.sales, forecast.standard_deviation)
            tables.append(rows.assign(lower=forecast.lower, upper=forecast.upper, quantile_loss=1.0))
    rows = pd.concat(tables, ignore_index=True).astype(evaluation.BACKTEST_COLUMNS)
    return BacktestRun(RUN_KEY, Backtest(rows, LOSSES["rmspe"]), {"median": 1.0, "ridge": 2.0}, {}, {})


def _register(folder: Path, history: SalesHistory, snapshot: str, forecasters: list[Forecaster]) -> None:
    model_registry = registry_of(folder)
    first, second = (register(model_registry, each, history, snapshot, RUN_KEY) for each in forecasters)
    promote(model_registry, first)
    reasons = ("beats version 1 with a probability of 0.99", "no slice is worse")
    registry.promote(model_registry, second, Verdict(True, reasons, ()), first)
    third = register(model_registry, forecasters[0], history, snapshot, "another run")
    registry.set_challenger(model_registry, third)
    registry.record_refusal(model_registry, third, Verdict(False, ("worse than champion v2 in promo=1",), ()))


def _journal(settings: Settings, history: SalesHistory, snapshot: str, forecasters: list[Forecaster]) -> None:
    """A batch at the end of every week, and some requests for its rows; then the scores of the whole time."""
    url, start = settings.journal_address, history.origin - 7 * WEEKS
    entries = []
    for week in range(WEEKS):
        version = 1 if week < 2 else 2
        entries += _entries(history, forecasters[version - 1], version, snapshot, start + 7 * week, week)
    journal.write_entries(url, entries)
    first, last = (start + 1).item(), history.origin.item()
    forecasts = (monitoring.join_actuals(rows, history) for rows in journal.read_forecasts(url, first, last))
    journal.append_rows(url, journal.accuracy, monitoring.accuracy_rows(forecasts, history))


def _entries(
    history: SalesHistory, forecaster: Forecaster, version: int, snapshot: str, origin: np.datetime64, week: int
) -> list[JournalEntry]:
    fold = evaluation.cut_fold(history, origin, min(21, int((history.origin - origin).astype(int))))
    forecast = forecaster.predict(features.fit_state(fold.past), fold.plan)
    rows = ForecastRows(fold.plan, forecast, forecaster.quantiles)
    at = NOW - timedelta(days=7 * (WEEKS - week))
    batch = journal.published_batch(version, snapshot, origin, rows, at)
    newest = NOW - timedelta(days=7 * (WEEKS - 1 - week))
    requests = [
        JournalEntry(f"{week}-{number}", newest - timedelta(hours=number), "http", OPERATIONAL, version, snapshot,
                     origin, 5.0 + number, BatchRows(batch.request_id, np.arange(number + 1)))
        for number in range(6)
    ]  # fmt: skip
    return [batch, *requests]


def _alarms(settings: Settings, history: SalesHistory, snapshot: str) -> None:
    """One that a promotion answered, one that is open, and one about the endpoint."""
    day = history.origin.item() - timedelta(days=7 * (WEEKS - 2))
    degraded = PerformanceDegraded(
        at=NOW - timedelta(days=21), reason="WAPE is 0.300, 0.100 in the backtest", snapshot="earlier", day=day,
        model_version=1, wape=0.3, expected_wape=0.1, baseline_wape=0.2, wape_limit=0.15,
    )  # fmt: skip
    drift = DriftDetected(
        at=NOW - timedelta(days=1), reason="sales of some stores deviate", snapshot=snapshot, day=history.origin.item(),
        kind="concept", name="concept_shift", subject="groups of stores", effect=0.2, limit=0.05, reference="r",
        report="report",
    )  # fmt: skip
    endpoint = EndpointFailed(at=NOW - timedelta(hours=3), reason="it does not respond", url="http://127.0.0.1:8000")
    outcome = RetrainingOutcome(
        alarm_id=degraded.id, at=NOW - timedelta(days=20), started=NOW - timedelta(days=20, hours=1),
        decision="promoted", reason="beats version 1", model_version=2,
    )  # fmt: skip
    for event in (degraded, drift, endpoint, outcome):
        alarms.store(settings.workspace.alarms, event)
