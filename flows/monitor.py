"""Forecasts against actuals, and the newest days against the same season one year before → tables, report, alarms.

After each ingest, and daily. Needs a snapshot. A day that was scored once is not scored again. Alarms start other
flows only through Prefect's automations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import alarms, artifacts, endpoint, run_checks, workspace
from flows.alarms import Alarm, DataRejected, DriftDetected, FlowFailed, PerformanceDegraded
from rossmann import data, journal, monitoring, registry
from rossmann.monitoring import DriftFinding, DriftReport, Performance
from rossmann.registry import CHAMPION, RegisteredModel
from rossmann.settings import Settings
from rossmann.storage import Storage

REPEAT_AFTER = timedelta(hours=20)  # less than a day: daily runs do not start exactly 24 hours apart
CATCH_UP = timedelta(days=46)  # how far back days are scored; the baseline forecasts 48 days from one origin
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
    settings = Settings()
    workspace.check_disk(settings)
    run_checks.cancel_duplicate_runs()
    snapshot = data.current_snapshot(settings.workspace.snapshots)
    champion = registry.find_by_alias(workspace.registry(settings), CHAMPION)
    append_daily_tables(snapshot)
    performance = weekly_performance(snapshot, champion) if champion else None
    drift, report = detect_drift(snapshot, champion)
    raised = raise_alarms(snapshot, performance, drift, report)
    traffic = artifacts.traffic(weekly_traffic(settings), endpoint.request_counts(settings))
    create_markdown_artifact(artifacts.monitoring(performance, drift, report) + traffic, key="monitoring")
    return MonitorResult(performance, drift, report, tuple(raised))


@task(cache_policy=NO_CACHE)
def append_daily_tables(snapshot: str) -> None:
    """Append the days since the last run to the accuracy table, and whole days of requests to the traffic table."""
    settings = Settings()
    history = workspace.history(settings, snapshot)
    last = history.origin.item()
    accuracy = journal.read_rows(settings.journal_address, journal.accuracy, last - CATCH_UP)
    first = accuracy.date.max().date() + timedelta(days=1) if len(accuracy) else last - CATCH_UP
    days = workspace.daily_forecasts(settings, history, first, last)
    sums = [day_sums for day_sums in map(monitoring.daily_sums, days) if len(day_sums)]
    if sums:
        since = sums[0].date.min().to_datetime64().astype("datetime64[D]")
        sums.append(monitoring.daily_sums(monitoring.baseline_forecasts(history, since)))
        journal.append_rows(settings.journal_address, journal.accuracy, pd.concat(sums))
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
    origin = workspace.history(settings, snapshot).origin
    accuracy = journal.read_rows(settings.journal_address, journal.accuracy, origin.item() - workspace.LOOK_BACK)
    reference = monitoring.backtest_reference(workspace.backtest_of(settings, champion), champion.version)
    return monitoring.weekly_performance(accuracy, reference, origin, champion.version) if len(accuracy) else None


@task(cache_policy=NO_CACHE)
def detect_drift(snapshot: str, champion: RegisteredModel | None) -> tuple[DriftReport, str]:
    """Compute and store all drift statistics. Returns them and the address of their report."""
    settings = Settings()
    history = workspace.history(settings, snapshot)
    forecasts = workspace.recent_forecasts(settings, history)
    backtest = workspace.backtest_of(settings, champion) if champion else None
    drift = monitoring.detect_drift(history, forecasts, backtest)
    journal.append_rows(settings.journal_address, journal.drift_findings, drift.frame())
    folder = Storage(settings.workspace.monitoring_reports)
    return drift, monitoring.write_report(history, forecasts, drift, folder)


@task(cache_policy=NO_CACHE)
def raise_alarms(snapshot: str, performance: Performance | None, drift: DriftReport, report: str) -> list[Alarm]:
    """Publish one alarm per cause. A cause that was raised before and persists is not raised again."""
    settings = Settings()
    published = [record.alarm for record in alarms.list_alarms(settings)]
    standing = standing_causes(settings, snapshot, drift.last_day.item(), published)
    raised: list[Alarm] = [
        *drift_alarms(snapshot, drift, report, standing),
        *performance_alarms(snapshot, performance, drift, standing),
        *new_system_alarms(settings, snapshot, published),
    ]
    for alarm in raised:
        alarms.publish(settings, alarm)
    return raised


def standing_causes(settings: Settings, snapshot: str, last: date, published: Iterable[Alarm]) -> set[str]:
    """Causes not to be raised again: names of statistics, and names of events for alarms that are not about one.

    They are the statistics that were beyond their limits on a day of the last `alarm_repeat_days` before `last`, and
    whatever was raised for the same snapshot.
    """
    findings = journal.read_rows(
        settings.journal_address, journal.drift_findings, last - timedelta(days=settings.alarm_repeat_days)
    )
    earlier = findings[findings.alarm & (findings.date < pd.Timestamp(last))]
    same_snapshot = (each for each in published if getattr(each, "snapshot", None) == snapshot)
    return {*earlier.name, *(each.name if isinstance(each, DriftDetected) else each.event for each in same_snapshot)}


def drift_alarms(snapshot: str, drift: DriftReport, report: str, standing: set[str]) -> list[Alarm]:
    """One alarm per statistic beyond its limit: DataRejected where the data are wrong, else DriftDetected."""
    findings = {each.name: each for each in reversed(drift.alarm_findings)}
    return [_drift_alarm(snapshot, each, report) for name, each in findings.items() if name not in standing]


def _drift_alarm(snapshot: str, finding: DriftFinding, report: str) -> Alarm:
    if finding.broken_data:
        return DataRejected(reason=f"{finding.name}: {finding.message}", raw=f"snapshot {snapshot}")
    return DriftDetected(
        reason=finding.message,
        snapshot=snapshot,
        kind=finding.kind,
        name=finding.name,
        subject=finding.subject,
        effect=finding.effect,
        limit=finding.limit,
        reference=finding.reference,
        report=report,
    )


def performance_alarms(
    snapshot: str, performance: Performance | None, drift: DriftReport, standing: set[str]
) -> list[Alarm]:
    """An alarm if the forecasts are worse than their backtest, unless wrong data explain it."""
    if performance is None or not performance.degraded or PerformanceDegraded.event in standing:
        return []
    if any(each.broken_data for each in drift.alarm_findings):
        return []
    return [
        PerformanceDegraded(
            reason=performance.reason,
            snapshot=snapshot,
            model_version=performance.version,
            wape=performance.wape,
            expected_wape=performance.expected_wape,
            baseline_wape=performance.baseline_wape,
            wape_limit=performance.wape_limit,
        )
    ]


def new_system_alarms(settings: Settings, snapshot: str, published: Iterable[Alarm]) -> list[Alarm]:
    """What is wrong with endpoint, journal, runs and data supply. A failed run is reported once, the rest daily."""
    since = datetime.now(UTC) - REPEAT_AFTER
    recent = {_system_cause(each) for each in published if isinstance(each, FlowFailed) or each.at > since}
    current = [*endpoint.system_alarms(settings), *run_checks.health_alarms(settings, snapshot)]
    return [each for each in current if _system_cause(each) not in recent]


def _system_cause(alarm: Alarm) -> tuple[str, str | None]:
    return alarm.event, alarm.run if isinstance(alarm, FlowFailed) else None
