"""Alarms: typed Prefect events that are also stored as files, each with the outcome of the retraining that closed it.

Every alarm's event is named `rossmann.alarm.<kind>`. The name, and whether the alarm starts a retraining, are written
once, in its class. The event's resource carries STARTS_RETRAINING as a label, which the triggers of prefect.yaml match.
"""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError

STARTS_RETRAINING = "rossmann.starts-retraining"  # label of the resource: true or false
REASON_LENGTH = 1000  # characters of a reason that is the text of an error
FILE_TIME = "%Y-%m-%dT%H-%M-%S-%f"  # file names sort by time


def _now() -> datetime:
    return datetime.now(UTC)


class Event(BaseModel, frozen=True):
    """What is sent to Prefect. The fields are the event's payload."""

    event: ClassVar[str]
    starts_retraining: ClassVar[bool] = False


class Alarm(Event, frozen=True):
    """The fields of every alarm."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    at: datetime = Field(default_factory=_now)
    reason: str  # one sentence: what, where, what it means


class DriftDetected(Alarm, frozen=True):
    """One drift statistic is beyond its limit, and has been for some days."""

    event: ClassVar[str] = "rossmann.alarm.drift"
    starts_retraining: ClassVar[bool] = True
    snapshot: str
    kind: str
    name: str
    subject: str
    effect: float
    limit: float
    reference: str
    report: str  # address


class PerformanceDegraded(Alarm, frozen=True):
    """The champion's forecasts are worse than those of its backtest."""

    event: ClassVar[str] = "rossmann.alarm.performance"
    starts_retraining: ClassVar[bool] = True
    snapshot: str
    model_version: int
    wape: float
    expected_wape: float
    baseline_wape: float
    wape_limit: float


class DataRejected(Alarm, frozen=True):
    """Raw files that were refused, or newest days that are wrong and must be corrected at their source."""

    event: ClassVar[str] = "rossmann.alarm.data"
    raw: str  # folder of the raw files, or the snapshot with the wrong days


class EndpointFailed(Alarm, frozen=True):
    """The endpoint is not ready, not reachable, or does not return the batch's forecasts."""

    event: ClassVar[str] = "rossmann.alarm.endpoint"
    url: str


class JournalGap(Alarm, frozen=True):
    """Forecasts of the endpoint are missing in the journal, or it cannot be written now."""

    event: ClassVar[str] = "rossmann.alarm.journal"
    lost_rows: int
    failures: int  # failed attempts to write


class FlowFailed(Alarm, frozen=True):
    """A run of a deployment failed."""

    event: ClassVar[str] = "rossmann.alarm.flow"
    run: str  # id


class StaleData(Alarm, frozen=True):
    """No new snapshot for ROSSMANN_STALE_DATA_DAYS."""

    event: ClassVar[str] = "rossmann.alarm.stale-data"
    days: int


class DataIngested(Event, frozen=True):
    """Raw files were ingested, with or without new days. Starts the monitor."""

    event: ClassVar[str] = "rossmann.data.ingested"
    snapshot: str


class RetrainingOutcome(Event, frozen=True):
    """How a retraining closed an alarm."""

    event: ClassVar[str] = "rossmann.retraining.decided"
    alarm_id: str
    at: datetime = Field(default_factory=_now)
    started: datetime  # of the run that closed the alarm
    decision: Literal["promoted", "refused", "skipped", "failed"]
    reason: str
    model_version: int | None  # that serves now; None without a champion


@dataclass(frozen=True)
class AlarmRecord:
    """An alarm and its outcome; None while it is open, and for alarms that start no retraining."""

    alarm: Alarm
    outcome: RetrainingOutcome | None


# The classes that are stored as files, by the name of their event.
STORED = {each.event: each for each in (*Alarm.__subclasses__(), RetrainingOutcome)}


def publish(settings: Settings, event: Event) -> None:
    """Store an alarm or an outcome as a file, then send the event. An event that cannot be sent is logged."""
    from prefect.events import emit_event  # takes a second, and a listing sends nothing
    from prefect.logging import get_logger

    payload = event.model_dump(mode="json")
    if isinstance(event, Alarm | RetrainingOutcome):
        content = json.dumps({"event": event.event, **payload}, indent=2)
        _storage(settings).write(_file_name(event), content.encode())
    if emit_event(event.event, resource(settings, type(event)), payload=payload) is None:
        get_logger("rossmann").error("the event could not be sent to Prefect: %s %s", event.event, payload)


def resource(settings: Settings, event: type[Event]) -> dict[str, str]:
    """The labels that the triggers of prefect.yaml and deployments/automations.yaml match."""
    return {
        "prefect.resource.id": f"rossmann.workspace.{settings.workspace.name}",
        "prefect.resource.name": settings.workspace.root,
        STARTS_RETRAINING: str(event.starts_retraining).lower(),
    }


def list_alarms(settings: Settings) -> list[AlarmRecord]:
    """Every alarm with its outcome, newest first."""
    storage = _storage(settings)
    events = [_parse(storage, name) for name in storage.file_names() if name.endswith(".json")]
    outcomes = {each.alarm_id: each for each in events if isinstance(each, RetrainingOutcome)}
    return [AlarmRecord(each, outcomes.get(each.id)) for each in reversed(events) if isinstance(each, Alarm)]


def remove(settings: Settings, record: AlarmRecord) -> None:
    """Delete the files of an alarm and of its outcome, the alarm first."""
    for event in filter(None, (record.alarm, record.outcome)):
        _storage(settings).delete_if_exists(_file_name(event))


def open_alarm_ids(settings: Settings, before: datetime) -> list[str]:
    """Ids of the alarms raised before a moment that start a retraining and have no outcome yet."""
    return [
        record.alarm.id
        for record in list_alarms(settings)
        if record.outcome is None and record.alarm.starts_retraining and record.alarm.at < before
    ]


def _file_name(event: Alarm | RetrainingOutcome) -> str:
    subject = event.id if isinstance(event, Alarm) else f"{event.alarm_id}.outcome"
    return f"{event.at.strftime(FILE_TIME)}_{subject}.json"


def _parse(storage: Storage, name: str) -> Event:
    content = json.loads(storage.read(name))
    event = content.pop("event")
    if event not in STORED:
        raise DataError(f"{storage.address(name)}: no alarm is called {event}; move this file of another version away")
    return STORED[event](**content)


def _storage(settings: Settings) -> Storage:
    return Storage(settings.workspace.alarms)
