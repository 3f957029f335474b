"""What a workspace has beyond its retention, and may delete: older than a setting, and in use by nothing.

In use are the current snapshot; the champion, the challenger and the versions of the ledger's last decisions, with the
snapshots and backtest runs that they come from; and alarms that wait for their retraining, with their snapshots.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows import alarms, endpoint, training_report, workspace
from rossmann import data, journal, registry
from rossmann.alarms import AlarmRecord, list_alarms
from rossmann.number_formats import NO_NUMBER
from rossmann.settings import Settings
from rossmann.storage import Storage, StoredFile

DECISIONS = 10  # the last entries of the ledger, whose versions one may want to return to
SNAPSHOTS, FITS, BACKTESTS, ALARMS = "snapshots", "fits", "backtest runs", "alarms"
REQUESTS, OVERRIDES, REPORTS = "requests", "overrides", "training reports"


@dataclass(frozen=True)
class Expired:
    """What may be deleted: a snapshot, backtest run, report or alarm; or all old fits, requests or overrides."""

    kind: str
    name: str
    count: int
    size: int | None  # bytes; None where it is not known: alarms are small, requests and overrides are in a database

    @property
    def megabytes(self) -> str:
        """The size in MB as text; a dash where it is not known."""
        return NO_NUMBER if self.size is None else f"{self.size / 1e6:,.1f}"


@dataclass(frozen=True)
class InUse:
    """What refers to snapshots and backtest runs that must stay."""

    snapshots: frozenset[str]  # fingerprints
    backtest_runs: frozenset[str]  # keys


def find_expired(settings: Settings, now: datetime) -> list[Expired]:
    """All that `delete` would delete at this moment."""
    in_use = find_in_use(settings)
    return [
        *_expired_snapshots(settings, in_use, now),
        *_expired_fits(settings, now),
        *_expired_backtests(settings, in_use, now),
        *_expired_reports(settings, in_use, now),
        *(Expired(ALARMS, record.alarm.id, 1, None) for record in _expired_alarms(settings, now)),
        *_expired_requests(settings, now),
        *_expired_overrides(settings, now),
    ]


def find_in_use(settings: Settings) -> InUse:
    """What champion, challenger, last decisions, waiting alarms and endpoint refer to, and the current snapshot."""
    model_registry = workspace.registry(settings)
    decision_versions = {
        number for entry in registry.ledger(model_registry)[:DECISIONS] for number in (entry.version, entry.previous)
    }
    models = registry.list_models(model_registry)
    versions = [each for each in models if each.aliases or each.version in decision_versions]
    waiting = (record.alarm for record in list_alarms(settings.workspace.alarms) if record.waits_for_retraining)
    current = {each.fingerprint for each in data.list_snapshots(settings.workspace.snapshots) if each.current}
    return InUse(
        frozenset(
            current
            | endpoint.deployed_snapshots(settings)
            | {alarm.snapshot for alarm in waiting if alarm.snapshot}
            | {version.card.snapshot for version in versions}
        ),
        frozenset(version.backtest_run for version in versions),
    )


def delete(settings: Settings, expired: list[Expired], now: datetime) -> None:
    """Delete what `find_expired` found. Killed anywhere, it may be repeated."""
    from rossmann import training  # imports Ray

    for each in expired:
        if each.kind == SNAPSHOTS:
            data.remove_snapshot(settings.workspace.snapshots, each.name)
        elif each.kind == BACKTESTS:
            training.remove_backtest_run(workspace.backtests(settings), each.name)
        elif each.kind == REPORTS:
            training_report.folder(settings).delete_if_exists(each.name)
    for file in _old_fits(settings, now):
        _fits(settings).delete_if_exists(file.name)
    for record in _expired_alarms(settings, now):
        alarms.remove(settings, record)
    start = _start(now, settings.journal_retention_days)
    journal.prune(settings.journal_address, start)
    journal.prune_overrides(settings.journal_address, start)


def _start(now: datetime, days: int) -> datetime:
    return now - timedelta(days=days)


def _expired_snapshots(settings: Settings, in_use: InUse, now: datetime) -> Iterator[Expired]:
    start, root = _start(now, settings.snapshot_retention_days), settings.workspace.snapshots
    for snapshot in data.list_snapshots(root):
        created = datetime.fromisoformat(snapshot.created)
        if created < start and snapshot.fingerprint not in in_use.snapshots:
            yield Expired(
                SNAPSHOTS, snapshot.fingerprint, 1, _size(Storage(root).subfolder(snapshot.fingerprint).files())
            )


def _expired_fits(settings: Settings, now: datetime) -> Iterator[Expired]:
    if files := _old_fits(settings, now):
        yield Expired(FITS, f"before {_start(now, settings.fit_retention_days):%Y-%m-%d}", len(files), _size(files))


def _old_fits(settings: Settings, now: datetime) -> list[StoredFile]:
    start = _start(now, settings.fit_retention_days)
    return [file for file in _fits(settings).files() if file.modified < start]


def _fits(settings: Settings) -> Storage:
    from rossmann import training  # imports Ray

    return workspace.backtests(settings).subfolder(training.FITS_FOLDER)


def _expired_backtests(settings: Settings, in_use: InUse, now: datetime) -> Iterator[Expired]:
    from rossmann import training  # imports Ray

    start, backtests = _start(now, settings.backtest_retention_days), workspace.backtests(settings)
    for key in backtests.folders():
        if key == training.FITS_FOLDER or key in in_use.backtest_runs:
            continue
        files = backtests.subfolder(key).files()
        if files and max(file.modified for file in files) < start:
            yield Expired(BACKTESTS, key, 1, _size(files))


def _expired_reports(settings: Settings, in_use: InUse, now: datetime) -> Iterator[Expired]:
    """Reports of trainings live as long as their backtest runs."""
    start = _start(now, settings.backtest_retention_days)
    for file in training_report.folder(settings).files():
        if file.modified < start and training_report.backtest_run_of(file.name) not in in_use.backtest_runs:
            yield Expired(REPORTS, file.name, 1, file.size)


def _expired_alarms(settings: Settings, now: datetime) -> list[AlarmRecord]:
    start = _start(now, settings.alarm_retention_days)
    records = list_alarms(settings.workspace.alarms)
    return [each for each in records if each.alarm.at < start and not each.waits_for_retraining]


def _expired_requests(settings: Settings, now: datetime) -> Iterator[Expired]:
    start = _start(now, settings.journal_retention_days)
    requests, forecasts = journal.count_old(settings.journal_address, start)
    if requests:
        yield Expired(REQUESTS, f"before {start:%Y-%m-%d}, with {forecasts:,} forecasts", requests, None)


def _expired_overrides(settings: Settings, now: datetime) -> Iterator[Expired]:
    start = _start(now, settings.journal_retention_days)
    if count := journal.count_old_overrides(settings.journal_address, start):
        yield Expired(OVERRIDES, f"before {start:%Y-%m-%d}", count, None)


def _size(files: Iterable[StoredFile]) -> int:
    return sum(file.size for file in files)
