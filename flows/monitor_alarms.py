"""Which alarms a monitoring run raises: one per cause, and none that only repeats an earlier alarm.

What was raised, and what is over, is read from the stored alarms. A finding of an earlier run counts for nothing: that
run may have been killed before it raised the alarm.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rossmann.alarms import Alarm, AlarmRecord, DataRejected, DriftDetected, FlowFailed, PerformanceDegraded
from rossmann.monitoring import DriftFinding, DriftReport, Performance
from rossmann.schema import to_date
from rossmann.settings import Settings

MAX_SUBJECTS = 3  # that an alarm names besides the one that is farthest beyond its limit
REPEAT_AFTER = timedelta(hours=20)  # less than a day: daily runs do not start exactly 24 hours apart


def new_drift_alarms(
    settings: Settings,
    snapshot: str,
    drift: DriftReport,
    report: str,
    records: Sequence[AlarmRecord],
) -> list[Alarm]:
    """One alarm per statistic beyond its limit: DataRejected where the data are wrong, else DriftDetected.

    records: all alarms, newest first.
    """
    strongest = {each.name: each for each in reversed(drift.alarm_findings)}
    complete = [replace(each, message=f"{each.message}{_others(drift, each)}") for each in strongest.values()]
    alarms = [_drift_alarm(snapshot, drift, each, report) for each in complete]
    return [each for each in alarms if not repeats(settings, each, records)]


def _others(drift: DriftReport, finding: DriftFinding) -> str:
    """The subjects of which the same statistic is beyond its limit, too; empty without any."""
    subjects = [each.subject for each in drift.alarm_findings if each.name == finding.name and each != finding]
    more = f" and {len(subjects) - MAX_SUBJECTS} more" if len(subjects) > MAX_SUBJECTS else ""
    return f"; also {', '.join(subjects[:MAX_SUBJECTS])}{more}" if subjects else ""


def statistics_within_limits(snapshot: str, drift: DriftReport) -> dict[str, str]:
    """A sentence per statistic of wrong data that is within its limit for all subjects, by the cause of its alarm."""
    beyond = {each.name for each in drift.findings if abs(each.effect) > each.limit}
    return {
        _drift_alarm(snapshot, drift, each, "").cause: f"{each.name} is within its limit up to {drift.last_day}"
        for each in drift.findings
        if each.broken_data and abs(each.effect) <= each.limit and each.name not in beyond
    }


def _drift_alarm(snapshot: str, drift: DriftReport, finding: DriftFinding, report: str) -> Alarm:
    place: dict[str, Any] = {"snapshot": snapshot, "day": to_date(drift.last_day), "name": finding.name}
    if finding.broken_data:
        return DataRejected(reason=f"{finding.name}: {finding.message}", raw=f"snapshot {snapshot}", **place)
    return DriftDetected(
        reason=finding.message,
        kind=finding.kind,
        subject=finding.subject,
        effect=finding.effect,
        limit=finding.limit,
        reference=finding.reference,
        report=report,
        **place,
    )


def repeats(
    settings: Settings,
    alarm: Alarm,
    records: Sequence[AlarmRecord],
) -> bool:
    """Whether an alarm only repeats an earlier one of its cause that is not over.

    That is so if the earlier one is about the same snapshot, or about a day less than `alarm_repeat_days` ago;
    `alarm_retry_days` if its retraining changed nothing.
    """
    same_cause = [each for each in records if each.alarm.cause == alarm.cause and not each.is_over]
    if any(each.alarm.snapshot == alarm.snapshot for each in same_cause):
        return True
    latest = next((each for each in same_cause if each.alarm.day), None)
    if latest is None or latest.alarm.day is None or alarm.day is None:
        return False
    return abs(alarm.day - latest.alarm.day).days < _quiet_days(settings, latest)


def _quiet_days(settings: Settings, record: AlarmRecord) -> int:
    """Days of data after an alarm, in which its cause is not raised again."""
    unchanged = record.outcome is not None and record.outcome.decision in ("refused", "unchanged", "skipped")
    return min(settings.alarm_retry_days, settings.alarm_repeat_days) if unchanged else settings.alarm_repeat_days


def new_performance_alarms(
    snapshot: str, performance: Performance | None, drift: DriftReport | None, records: Iterable[AlarmRecord]
) -> list[Alarm]:
    """An alarm if the forecasts are worse than their backtest: once per snapshot, and not if wrong data explain it."""
    if performance is None or not performance.degraded:
        return []
    if drift and any(each.broken_data for each in drift.alarm_findings):
        return []
    alarm = PerformanceDegraded(
        reason=performance.reason,
        snapshot=snapshot,
        day=to_date(performance.last_day),
        model_version=performance.version,
        wape=performance.wape,
        expected_wape=performance.expected_wape,
        baseline_wape=performance.baseline_wape,
        wape_limit=performance.wape_limit,
    )
    return [] if any(each.alarm.id == alarm.id for each in records) else [alarm]


def new_system_alarms(current: Iterable[Alarm], records: Iterable[AlarmRecord], now: datetime) -> list[Alarm]:
    """The alarms about what is wrong `now` with endpoint, journal, runs and data supply that are to be raised.

    A failed run is raised once, everything else daily; at once if the alarm before is over.
    """
    recent = {
        each.alarm.cause
        for each in records
        if isinstance(each.alarm, FlowFailed) or (_is_recent(each.alarm, now) and not each.is_over)
    }
    return [each for each in current if each.cause not in recent]


def _is_recent(alarm: Alarm, now: datetime) -> bool:
    return abs(now.astimezone(UTC) - alarm.at) < REPEAT_AFTER  # the clock may have been set back
