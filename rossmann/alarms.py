"""Alarms and their outcomes, each in a file of its own.

Whether an alarm starts a retraining is written once, in its class. A retraining answers such an alarm; every other one
is over when the next check of the same thing passes. An alarm's id follows from its cause and its snapshot, so an alarm
that is stored twice is one alarm. `folder` is the workspace's `alarms`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from rossmann.storage import Storage
from rossmann.validation import DataError

REASON_LENGTH = 1000  # characters of a reason that is the text of an error
FILE_TIME = "%Y-%m-%dT%H-%M-%S-%f"  # file names sort by time
ALARM_PREFIX = "rossmann.alarm."  # of the events of alarms
OUTCOME = ".outcome"  # in the name of the file of an outcome, after the id of the alarm


def _now() -> datetime:
    return datetime.now(UTC)


class Event(BaseModel, frozen=True):
    """What is sent to Prefect. The fields are the event's payload."""

    event: ClassVar[str]
    starts_retraining: ClassVar[bool] = False


class Alarm(Event, frozen=True):
    """The fields of every alarm."""

    id: str = ""  # 12 hex digits, from cause and occasion
    at: datetime = Field(default_factory=_now)
    reason: str  # one sentence: what, where, what it means
    snapshot: str | None = None  # that the alarm is about
    day: date | None = None  # the last day of that snapshot

    @property
    def cause(self) -> str:
        """What is wrong. An alarm of the same cause repeats this one."""
        return self.event

    @property
    def event_kind(self) -> str:
        """The event without its prefix, like drift or stale-data."""
        return self.event.removeprefix(ALARM_PREFIX)

    @property
    def statistic(self) -> str | None:
        """The name of the statistic that is beyond its limit; None for an alarm about something else."""
        return None

    @model_validator(mode="after")
    def _derive_id(self) -> Self:
        if not self.id:
            occasion = self.snapshot or self.at.isoformat()
            digest = hashlib.sha256(f"{self.cause} {occasion}".encode()).hexdigest()
            object.__setattr__(self, "id", digest[:12])  # frozen
        return self


class DriftDetected(Alarm, frozen=True):
    """One drift statistic is beyond its limit, and has been for some days."""

    event: ClassVar[str] = f"{ALARM_PREFIX}drift"
    starts_retraining: ClassVar[bool] = True
    snapshot: str
    kind: str
    name: str
    subject: str
    effect: float
    limit: float
    reference: str
    report: str  # address

    @property
    def cause(self) -> str:
        return f"{self.event} {self.name}"

    @property
    def statistic(self) -> str:
        return self.name


class PerformanceDegraded(Alarm, frozen=True):
    """The champion's forecasts are worse than those of its backtest."""

    event: ClassVar[str] = f"{ALARM_PREFIX}performance"
    starts_retraining: ClassVar[bool] = True
    snapshot: str
    model_version: int
    wape: float
    expected_wape: float
    baseline_wape: float
    wape_limit: float


class DataRejected(Alarm, frozen=True):
    """Raw files that were refused, or newest days that are wrong and must be corrected at their source."""

    event: ClassVar[str] = f"{ALARM_PREFIX}data"
    raw: str  # folder of the raw files, or the snapshot with the wrong days
    name: str | None = None  # of the statistic that found the wrong days; None for raw files that were refused

    @property
    def cause(self) -> str:
        return f"{self.event} {self.name or self.raw}"

    @property
    def statistic(self) -> str | None:
        return self.name


class EndpointFailed(Alarm, frozen=True):
    """The endpoint is not ready, not reachable, does not return the batch's forecasts, or serves something else."""

    event: ClassVar[str] = f"{ALARM_PREFIX}endpoint"
    url: str


class JournalGap(Alarm, frozen=True):
    """Forecasts of the endpoint are missing in the journal, or it cannot be written now."""

    event: ClassVar[str] = f"{ALARM_PREFIX}journal"
    lost_rows: int
    failures: int  # failed attempts to write


class QuantilesNotUpdated(Alarm, frozen=True):
    """The quantiles from a snapshot are those of the training: they could not follow the outcomes."""

    event: ClassVar[str] = f"{ALARM_PREFIX}quantiles"


class FlowFailed(Alarm, frozen=True):
    """A run of a deployment failed."""

    event: ClassVar[str] = f"{ALARM_PREFIX}flow"
    run: str  # id

    @property
    def cause(self) -> str:
        return f"{self.event} {self.run}"


class StaleData(Alarm, frozen=True):
    """No new snapshot for ROSSMANN_STALE_DATA_DAYS."""

    event: ClassVar[str] = f"{ALARM_PREFIX}stale-data"
    days: int


class Outcome(Event, frozen=True):
    """What became of an alarm."""

    alarm_id: str
    at: datetime = Field(default_factory=_now)
    decision: str
    reason: str


class RetrainingOutcome(Outcome, frozen=True):
    """How a retraining closed an alarm."""

    event: ClassVar[str] = "rossmann.retraining.decided"
    started: datetime  # of the run that closed the alarm
    decision: Literal["promoted", "refused", "unchanged", "skipped", "failed"]
    model_version: int | None  # that serves now; None without a champion


class CheckOutcome(Outcome, frozen=True):
    """What the next check said about an alarm that starts no retraining."""

    event: ClassVar[str] = "rossmann.check.decided"
    decision: Literal["over", "open again"]


@dataclass(frozen=True)
class AlarmRecord:
    """An alarm and its newest outcome; None while nothing has answered it."""

    alarm: Alarm
    outcome: Outcome | None

    @property
    def is_open(self) -> bool:
        """Whether something must still answer the alarm: a retraining that does not fail, or a check that passes."""
        if self.alarm.starts_retraining:
            return self.outcome is None or self.outcome.decision == "failed"
        return not self.is_over

    @property
    def waits_for_retraining(self) -> bool:
        """Whether a retraining must still answer the alarm."""
        return self.alarm.starts_retraining and self.is_open

    @property
    def is_over(self) -> bool:
        """Whether a later check of what the alarm is about has passed."""
        return isinstance(self.outcome, CheckOutcome) and self.outcome.decision == "over"


@dataclass(frozen=True)
class Check:
    """What a check found: the alarms about what is wrong now, and what is right, by the cause of its alarms."""

    alarms: tuple[Alarm, ...] = ()
    passed: Mapping[str, str] = field(default_factory=dict)  # how one sees that it is right


# The classes that are stored as files, by the name of their event.
EVENT_CLASSES: list[type[Event]] = [*Alarm.__subclasses__(), *Outcome.__subclasses__()]
CLASS_BY_EVENT = {each.event: each for each in EVENT_CLASSES}


def store(folder: str, event: Alarm | Outcome) -> str:
    """Write an alarm or an outcome to its file, unless the alarm has one. Returns the file's name."""
    storage = Storage(folder)
    if isinstance(event, Alarm):
        same = [name for name in storage.file_names() if name.endswith(f"_{event.id}.json")]
        if same:
            return same[0]
    name = _file_name(event)
    content = json.dumps({"event": event.event, **event.model_dump(mode="json")}, indent=2)
    storage.write(name, content.encode())
    return name


def list_alarms(folder: str) -> list[AlarmRecord]:
    """Every alarm with its newest outcome, newest first."""
    storage = Storage(folder)
    events = [parse(storage, name) for name in storage.file_names() if name.endswith(".json")]
    outcomes = {each.alarm_id: each for each in events if isinstance(each, Outcome)}
    alarms = {each.id: each for each in reversed(events) if isinstance(each, Alarm)}
    return [AlarmRecord(each, outcomes.get(each.id)) for each in alarms.values()]


def ids_of_repeated_outcomes(records: Iterable[AlarmRecord]) -> set[str]:
    """Ids of the alarms that were answered by the retraining of one before them, which has the reason already."""
    runs, ids = set(), set()
    for record in records:
        if isinstance(record.outcome, RetrainingOutcome):
            run = (record.outcome.started, record.outcome.reason)
            ids |= {record.alarm.id} if run in runs else set()
            runs.add(run)
    return ids


def file_names(folder: str, alarm_id: str) -> list[str]:
    """The files of an alarm and of its outcomes, the alarm's first."""
    names = [name for name in Storage(folder).file_names() if f"_{alarm_id}." in name]
    return sorted(names, key=lambda name: OUTCOME in name)


def ids_to_answer(
    records: Iterable[AlarmRecord], started: datetime, snapshot: str | None, last: date | None
) -> list[str]:
    """Ids of the alarms that wait for a retraining and that this one answers.

    These are the alarms about its snapshot, also those raised while it ran, and those that were raised before it
    started about days up to its `last` day. A run that failed before it had a snapshot (None) tried to answer all.
    """
    return [
        each.alarm.id
        for each in records
        if each.waits_for_retraining
        and (
            (snapshot is not None and each.alarm.snapshot == snapshot)
            or (each.alarm.at < started and (last is None or each.alarm.day is None or each.alarm.day <= last))
        )
    ]


def parse(storage: Storage, name: str) -> Event:
    """The alarm or outcome of a file. DataError for a damaged one, and for one of another version."""
    try:
        content = json.loads(storage.read(name))
        event = content.pop("event")
        if event in CLASS_BY_EVENT:
            return CLASS_BY_EVENT[event](**content)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{storage.address(name)} is damaged ({error}): restore it, or move it away") from error
    raise DataError(f"{storage.address(name)}: no alarm is called {event}; move this file of another version away")


def _file_name(event: Alarm | Outcome) -> str:
    subject = event.id if isinstance(event, Alarm) else f"{event.alarm_id}{OUTCOME}"
    return f"{event.at.strftime(FILE_TIME)}_{subject}.json"
