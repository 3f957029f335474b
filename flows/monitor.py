"""Forecasts against what happened, the data against the same season before → tables, report, alarms.

After each ingest, and daily. Needs a snapshot; what was judged once is not judged again. Alarms start other flows only
through Prefect's automations.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import alarms, endpoint, evidence, pages, schedule, world
from flows.alarms import Alarm, BrokenData, Degradation, Drift
from rossmann import data, journal, monitoring, registry
from rossmann.monitoring import Examination, Performance
from rossmann.registry import CHAMPION, Registered
from rossmann.settings import Settings
from rossmann.storage import Storage

A_DAY = timedelta(hours=20)  # a daily look is never exactly a day after the last
CATCH_UP = timedelta(days=46)  # of days not judged yet: what one baseline reaches


@dataclass(frozen=True)
class Monitored:
    """What was seen, and what was raised; performance is None where no forecast has come due."""

    performance: Performance | None
    examination: Examination
    report: str
    raised: tuple[Alarm, ...]


@flow
def monitor() -> Monitored:
    """Judge the forecasts of the days that have come, look for drift, and raise alarms."""
    settings = Settings()
    schedule.only_this_one()
    snapshot = data.current_snapshot(world.snapshots(settings))
    champion = registry.find(world.models(settings), CHAMPION)
    keep_accuracy(snapshot)
    performance = perform(snapshot, champion) if champion else None
    examination, report = examine(snapshot, champion)
    raised = raise_alarms(snapshot, performance, examination, report)
    traffic = pages.traffic(traffic_of_week(settings), endpoint.counted(settings))
    create_markdown_artifact(pages.monitored(performance, examination, report) + traffic, key="monitor")
    return Monitored(performance, examination, report, tuple(raised))


@task(cache_policy=NO_CACHE)
def keep_accuracy(snapshot: str) -> None:
    """Add the days that have come since the last time to the tables that grow."""
    settings, now = Settings(), datetime.now(UTC)
    history = world.history(settings, snapshot)
    last = history.origin.item()
    known = journal.kept(settings.journal, journal.accuracy, last - CATCH_UP)
    first = known.date.max().date() + timedelta(days=1) if len(known) else last - CATCH_UP
    judged = monitoring.judge(journal.given(settings.journal, first, last), history)
    if len(judged):
        since = judged.date.min().to_datetime64().astype("datetime64[D]")
        told = pd.concat([monitoring.sums(judged), monitoring.sums(monitoring.baseline(history, since))])
        journal.keep(settings.journal, journal.accuracy, told)
    whole_days = now.date() - timedelta(days=1)
    journal.keep(settings.journal, journal.traffic,
                 journal.asked_between(settings.journal, whole_days - evidence.LOOK_BACK, whole_days))  # fmt: skip


def traffic_of_week(settings: Settings) -> pd.DataFrame:
    """Requests, rows and latency of the last whole days, by source."""
    return journal.kept(settings.journal, journal.traffic, datetime.now(UTC).date() - timedelta(days=7))


@task(cache_policy=NO_CACHE)
def perform(snapshot: str, champion: Registered) -> Performance | None:
    """The last week of the champion beside what its backtest promised."""
    settings = Settings()
    origin = world.history(settings, snapshot).origin
    table = journal.kept(settings.journal, journal.accuracy, origin.item() - evidence.LOOK_BACK)
    promised = monitoring.promise(evidence.backtest_of(settings, champion), champion.version)
    return monitoring.perform(table, promised, origin, champion.version) if len(table) else None


@task(cache_policy=NO_CACHE)
def examine(snapshot: str, champion: Registered | None) -> tuple[Examination, str]:
    """All statistics of drift, kept and reported; answers them and where the report lies."""
    settings = Settings()
    history = world.history(settings, snapshot)
    judged = evidence.judged(settings, history)
    backtest = evidence.backtest_of(settings, champion) if champion else None
    examination = monitoring.examine(history, judged, backtest)
    journal.keep(settings.journal, journal.findings, examination.frame())
    place = Storage(settings.place("reports/monitoring"))
    return examination, monitoring.write_report(history, judged, examination, place)


@task(cache_policy=NO_CACHE)
def raise_alarms(snapshot: str, performance: Performance | None, examination: Examination, report: str) -> list[Alarm]:
    """One alarm per cause; one that was raised on the last evenings, and still stands, is not raised again."""
    settings = Settings()
    last = examination.last.item()
    seen = journal.kept(settings.journal, journal.findings, last - timedelta(days=settings.alarm_quiet_days))
    standing = set(seen[seen.alarm & (seen.date < pd.Timestamp(last))].name)
    told = [each for each, _ in alarms.told(settings)]
    standing |= {each.get("name", each["event"]) for each in told if each.get("snapshot") == snapshot}
    raised: list[Alarm] = []
    for each in {each.name: each for each in reversed(examination.alarms)}.values():
        if each.name in standing:
            continue
        if each.broken:
            raised.append(BrokenData(reason=f"{each.name}: {each.story}", raw=f"snapshot {snapshot}"))
        else:
            numbers = {name: getattr(each, name) for name in ("kind", "name", "of", "effect", "limit", "reference")}
            raised.append(Drift(reason=each.story, snapshot=snapshot, report=report, **numbers))
    degraded = performance and performance.degraded and Degradation.event not in standing
    if degraded and not any(each.broken for each in examination.alarms):
        numbers = {name: getattr(performance, name) for name in ("wape", "promised", "baseline", "limit")}
        version = performance.version
        raised.append(Degradation(reason=performance.reason, snapshot=snapshot, model_version=version, **numbers))
    raised += troubles(settings, snapshot, told)
    for alarm in raised:
        alarms.tell(settings, alarm)
    return raised


def troubles(settings: Settings, snapshot: str, told: list[dict]) -> list[Alarm]:
    """What is wrong with endpoint, journal, runs and supply; a failed run is told once, what stays wrong once a day."""
    since = datetime.now(UTC) - A_DAY
    recent = [each for each in told if "run" in each or datetime.fromisoformat(each["at"]) > since]
    known = {(each["event"], each.get("run")) for each in recent}
    wrong = [*endpoint.complaints(settings), *schedule.complaints(settings, snapshot)]
    return [each for each in wrong if (each.event, getattr(each, "run", None)) not in known]
