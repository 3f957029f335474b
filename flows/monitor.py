"""Forecasts against actuals, and the newest days against the same season one year before → tables, report, alarms.

After each ingest, and daily. Needs a snapshot. A day is scored again only if its actuals have changed, or if more
forecasts of it came. Alarms start other flows only through Prefect's automations. A part that fails costs only itself:
what the others find is raised first, then the run fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import alarms, artifacts, endpoint, links, monitor_alarms, run_checks, workspace
from flows.parts import Parts
from rossmann import data, evaluation, journal, monitoring, registry
from rossmann.alarms import Alarm, Check, list_alarms
from rossmann.monitoring import DriftReport, Performance
from rossmann.registry import RegisteredModel
from rossmann.schema import to_date
from rossmann.settings import Settings
from rossmann.storage import Storage

CATCH_UP = timedelta(days=46)  # how far back days are scored, and scored again when a snapshot corrects them
TRAFFIC = timedelta(days=7)


@dataclass(frozen=True)
class MonitorResult:
    """Performance is None if no forecast of the champion has actuals yet."""

    performance: Performance | None
    drift: DriftReport
    report: str  # address
    alarms: tuple[Alarm, ...]


@flow
def monitor() -> MonitorResult:
    """Score the forecasts of the new days, look for drift, and raise alarms."""
    settings, parts = Settings(), Parts()
    workspace.check_disk(settings)
    parts.run(run_checks.cancel_duplicate_runs)
    parts.run(send_again)
    snapshot = data.current_snapshot(settings.workspace.snapshots)
    champion = parts.run(find_champion)
    parts.run(score_days, snapshot)
    parts.run(append_traffic)
    performance = parts.run(weekly_performance, snapshot, champion) if champion else None
    forecasts = parts.run(recent_forecasts, snapshot)
    backtest = parts.run(champion_backtest, champion) if champion else None
    drift = parts.run(detect_drift, snapshot, forecasts, backtest)
    new_alarms = [*parts.collect(raise_alarms, snapshot, performance, drift)]
    checks = [
        parts.run(endpoint.check_endpoint, settings),
        parts.run(run_checks.failed_runs, settings),
        parts.run(run_checks.stale_data, settings, snapshot),
    ]
    new_alarms += parts.collect(raise_system_alarms, [each for each in checks if each])
    if drift:
        parts.run(store_findings, drift)
    report = parts.run(write_report, snapshot, forecasts, drift) if drift else None
    parts.run(show, new_alarms, performance, drift, report)
    parts.finish()
    assert drift  # a part that fails is raised by `finish`
    assert report
    return MonitorResult(performance, drift, report, tuple(new_alarms))


@task(cache_policy=NO_CACHE)
def send_again() -> None:
    """Send the events that an earlier run could not send, and those of alarms that wait for a retraining."""
    settings = Settings()
    alarms.send_pending(settings)
    if run_checks.active_retraining(settings) is None:
        alarms.send_open(settings)


@task(cache_policy=NO_CACHE)
def find_champion() -> RegisteredModel | None:
    """The champion; None if there is none."""
    return registry.find_champion(workspace.registry(Settings()))


@task(cache_policy=NO_CACHE)
def score_days(snapshot: str) -> None:
    """Score the forecasts of new days, and again those of days whose actuals changed or that got more forecasts."""
    settings = Settings()
    history = workspace.history(settings, snapshot)
    first = to_date(history.origin) - CATCH_UP
    accuracy = journal.read_rows(settings.journal_address, journal.accuracy, first)
    counts = journal.count_forecasts(settings.journal_address, first, to_date(history.origin))
    outdated = monitoring.outdated_days(accuracy, history, np.datetime64(first))
    late = monitoring.days_with_late_forecasts(accuracy, counts, history)
    for run in monitoring.consecutive_runs(sorted({*outdated, *late})):
        forecasts = workspace.daily_forecasts(settings, history, to_date(run[0]), to_date(run[-1]))
        rows = monitoring.accuracy_rows(forecasts, history)
        journal.replace_days(settings.journal_address, journal.accuracy, [to_date(day) for day in run], rows)


@task(cache_policy=NO_CACHE)
def append_traffic() -> None:
    """Append whole days of requests to the traffic table."""
    settings = Settings()
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    traffic = journal.daily_traffic(settings.journal_address, yesterday - workspace.LOOK_BACK, yesterday)
    journal.append_rows(settings.journal_address, journal.traffic, traffic)


def weekly_traffic(settings: Settings) -> pd.DataFrame:
    """Requests, rows and latency of the last seven whole days, by source."""
    return journal.read_rows(settings.journal_address, journal.traffic, datetime.now(UTC).date() - TRAFFIC)


@task(cache_policy=NO_CACHE)
def weekly_performance(snapshot: str, champion: RegisteredModel) -> Performance | None:
    """The scores of the champion's last week beside those of its backtest."""
    settings = Settings()
    history = workspace.history(settings, snapshot)
    origin = history.origin
    accuracy = journal.read_rows(settings.journal_address, journal.accuracy, to_date(origin) - workspace.LOOK_BACK)
    if accuracy.empty:
        return None
    reference = monitoring.backtest_reference(workspace.backtest_of(settings, champion), champion.version)
    performance = monitoring.weekly_performance(accuracy, reference, origin, champion.version)
    return performance and performance.with_names(evaluation.chain_names(history))


@task(cache_policy=NO_CACHE)
def recent_forecasts(snapshot: str) -> pd.DataFrame:
    """The journal's forecasts of the last weeks, with their actuals."""
    settings = Settings()
    return workspace.recent_forecasts(settings, workspace.history(settings, snapshot))


@task(cache_policy=NO_CACHE)
def champion_backtest(champion: RegisteredModel) -> pd.DataFrame:
    """The rows of the champion's backtest."""
    return workspace.backtest_of(Settings(), champion)


@task(cache_policy=NO_CACHE)
def detect_drift(snapshot: str, forecasts: pd.DataFrame | None, backtest: pd.DataFrame | None) -> DriftReport:
    """Compute all drift statistics; without forecasts, those of the history."""
    return monitoring.detect_drift(workspace.history(Settings(), snapshot), forecasts, backtest)


@task(cache_policy=NO_CACHE)
def raise_alarms(snapshot: str, performance: Performance | None, drift: DriftReport | None) -> list[Alarm]:
    """Publish one alarm per cause of drift and of bad forecasts that is not only a repetition, and what is over."""
    settings, new = Settings(), []
    records = list_alarms(settings.workspace.alarms)
    if drift:
        report = monitoring.report_address(drift, Storage(settings.workspace.monitoring_reports))
        new += monitor_alarms.new_drift_alarms(settings, snapshot, drift, report, records)
        alarms.end(settings, monitor_alarms.statistics_within_limits(snapshot, drift))
    new += monitor_alarms.new_performance_alarms(snapshot, performance, drift, records)
    return publish_all(settings, new)


@task(cache_policy=NO_CACHE)
def raise_system_alarms(checks: Sequence[Check]) -> list[Alarm]:
    """Publish what is wrong with endpoint, journal, runs or data supply, at most once a day, and what is over."""
    settings = Settings()
    records = list_alarms(settings.workspace.alarms)
    alarms.end(settings, {cause: reason for each in checks for cause, reason in each.passed.items()})
    current = [alarm for each in checks for alarm in each.alarms]
    return publish_all(settings, monitor_alarms.new_system_alarms(current, records, datetime.now(UTC)))


def publish_all(settings: Settings, new: list[Alarm]) -> list[Alarm]:
    """Publish the alarms and return them."""
    for alarm in new:
        alarms.publish(settings, alarm)
    return new


@task(cache_policy=NO_CACHE)
def store_findings(drift: DriftReport) -> None:
    """Store the findings in the journal, in place of those of an earlier snapshot of the same days."""
    journal.replace_days(Settings().journal_address, journal.drift_findings, [to_date(drift.last_day)], drift.frame())


@task(cache_policy=NO_CACHE)
def write_report(snapshot: str, forecasts: pd.DataFrame | None, drift: DriftReport) -> str:
    """Write the report of drift. Returns its address."""
    settings = Settings()
    history = workspace.history(settings, snapshot)
    return monitoring.write_report(history, forecasts, drift, Storage(settings.workspace.monitoring_reports))


def show(new: Sequence[Alarm], performance: Performance | None, drift: DriftReport | None, report: str | None) -> None:
    """Create the run's artifact."""
    settings = Settings()
    traffic = artifacts.traffic(weekly_traffic(settings), endpoint.request_counts(settings))
    page = artifacts.monitoring(new, performance, drift, report)
    next_steps = links.services(settings, "alarms")
    create_markdown_artifact(
        page + traffic + next_steps, key="monitoring", description=artifacts.alarms_title(new, drift)
    )
