"""Alarms: typed Prefect events that are also stored as files, each with the outcome of the retraining that closed it.

Every alarm's event is named `rossmann.alarm.<kind>`. The name, and whether the alarm starts a retraining, are written
once, in its class. The event's resource carries STARTS_RETRAINING as a label, which the triggers of prefect.yaml match.

The file is written first, then the event is sent, then a dispatch is stored: a run that is killed in between loses
nothing, because `send_pending` sends what has no dispatch. An alarm's id follows from its cause and its snapshot, so an
alarm that is published twice is one alarm.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar, Literal, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field, ValidationError, model_validator

from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError

STARTS_RETRAINING = "rossmann.starts-retraining"  # label of the resource: true or false
REASON_LENGTH = 1000  # characters of a reason that is the text of an error
FILE_TIME = "%Y-%m-%dT%H-%M-%S-%f"  # file names sort by time
OUTCOME = ".outcome"  # in the name of the file of an outcome, after the id of the alarm
PENDING = timedelta(days=7)  # an event that could not be sent for so long is not sent any more
COOL_DOWN = timedelta(seconds=600)  # for which the trigger in prefect.yaml ignores further alarms


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

    @model_validator(mode="after")
    def _derive_id(self) -> Self:
        if not self.id:
            occasion = self.snapshot or self.at.isoformat()
            digest = hashlib.sha256(f"{self.cause} {occasion}".encode()).hexdigest()
            object.__setattr__(self, "id", digest[:12])  # frozen
        return self


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

    @property
    def cause(self) -> str:
        return f"{self.event} {self.name}"


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
    name: str | None = None  # of the statistic that found the wrong days; None for raw files that were refused

    @property
    def cause(self) -> str:
        return f"{self.event} {self.name or self.raw}"


class EndpointFailed(Alarm, frozen=True):
    """The endpoint is not ready, not reachable, does not return the batch's forecasts, or serves something else."""

    event: ClassVar[str] = "rossmann.alarm.endpoint"
    url: str


class JournalGap(Alarm, frozen=True):
    """Forecasts of the endpoint are missing in the journal, or it cannot be written now."""

    event: ClassVar[str] = "rossmann.alarm.journal"
    lost_rows: int
    failures: int  # failed attempts to write


class QuantilesNotUpdated(Alarm, frozen=True):
    """The quantiles from a snapshot are those of the training: they could not follow the outcomes."""

    event: ClassVar[str] = "rossmann.alarm.quantiles"


class FlowFailed(Alarm, frozen=True):
    """A run of a deployment failed."""

    event: ClassVar[str] = "rossmann.alarm.flow"
    run: str  # id

    @property
    def cause(self) -> str:
        return f"{self.event} {self.run}"


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
    decision: Literal["promoted", "refused", "unchanged", "skipped", "failed"]
    reason: str
    model_version: int | None  # that serves now; None without a champion


@dataclass(frozen=True)
class AlarmRecord:
    """An alarm and its newest outcome; None while no retraining has answered it."""

    alarm: Alarm
    outcome: RetrainingOutcome | None

    @property
    def is_open(self) -> bool:
        """Whether a retraining must still answer the alarm: none has, or the one that tried has failed."""
        return self.alarm.starts_retraining and (self.outcome is None or self.outcome.decision == "failed")


class Dispatch(BaseModel, frozen=True):
    """That the Prefect server has accepted the event of a stored file."""

    at: datetime  # of the newest one
    count: int = 1  # how often it was sent: an alarm that stays open rings again


# The classes that are stored as files, and the same by the name of their event.
_STORED_CLASSES: tuple[type[Alarm] | type[RetrainingOutcome], ...] = (*Alarm.__subclasses__(), RetrainingOutcome)
STORED = {each.event: each for each in _STORED_CLASSES}


def publish(settings: Settings, event: Event) -> None:
    """Store an alarm or an outcome as a file, then send the event. An event that cannot be sent is logged.

    An alarm whose id is stored already is not stored again, and its event is sent only if it never was.
    """
    if not isinstance(event, Alarm | RetrainingOutcome):
        _send(settings, event, None)
        return
    name = store(settings, event)
    if not _dispatches(settings).exists(name):
        send(settings, name, event)


def store(settings: Settings, event: Alarm | RetrainingOutcome) -> str:
    """Write an alarm or an outcome to its file, unless the alarm has one. Returns the file's name."""
    storage = _storage(settings)
    if isinstance(event, Alarm):
        same = [name for name in storage.file_names() if name.endswith(f"_{event.id}.json")]
        if same:
            return same[0]
    name = _file_name(event)
    content = json.dumps({"event": event.event, **event.model_dump(mode="json")}, indent=2)
    storage.write(name, content.encode())
    return name


def send(settings: Settings, name: str, event: Event) -> None:
    """Send the event of the stored file `name`, and store the dispatch once the server has it."""
    dispatch = read_dispatch(settings, name)
    count = dispatch.count + 1 if dispatch else 1
    # the same file and count are the same event: a run killed before it stored the dispatch starts nothing twice
    if _send(settings, event, uuid5(NAMESPACE_URL, f"{settings.workspace.root}/{name}#{count}")):
        _dispatches(settings).write(name, Dispatch(at=_now(), count=count).model_dump_json().encode())


def send_pending(settings: Settings) -> None:
    """Send the events of the last PENDING that were stored and could not be sent."""
    storage, names = _storage(settings), set(_dispatches(settings).file_names())
    since = (_now() - PENDING).strftime(FILE_TIME)
    for name in storage.file_names():
        if name.endswith(".json") and name >= since and name not in names:
            send(settings, name, _parse(storage, name))


def send_open(settings: Settings) -> None:
    """Send every open alarm again whose event was last sent longer than COOL_DOWN ago, or never."""
    for record in list_alarms(settings):
        if record.is_open:
            name = store(settings, record.alarm)
            dispatch = read_dispatch(settings, name)
            if dispatch is None or dispatch.at < _now() - COOL_DOWN:
                send(settings, name, record.alarm)


def read_dispatch(settings: Settings, name: str) -> Dispatch | None:
    """The dispatch of a stored event; None if it was never sent, or if the file is damaged: it is then sent again."""
    dispatches = _dispatches(settings)
    try:
        return Dispatch.model_validate_json(dispatches.read(name)) if dispatches.exists(name) else None
    except ValidationError:
        return None


def resource(settings: Settings, event: type[Event]) -> dict[str, str]:
    """The labels that the triggers of prefect.yaml and deployments/automations.yaml match."""
    return {
        "prefect.resource.id": f"rossmann.workspace.{settings.workspace.id}",
        "prefect.resource.name": settings.workspace.root,
        STARTS_RETRAINING: str(event.starts_retraining).lower(),
    }


def list_alarms(settings: Settings) -> list[AlarmRecord]:
    """Every alarm with its newest outcome, newest first."""
    storage = _storage(settings)
    events = [_parse(storage, name) for name in storage.file_names() if name.endswith(".json")]
    outcomes = {each.alarm_id: each for each in events if isinstance(each, RetrainingOutcome)}
    alarms = {each.id: each for each in reversed(events) if isinstance(each, Alarm)}
    return [AlarmRecord(each, outcomes.get(each.id)) for each in alarms.values()]


def remove(settings: Settings, record: AlarmRecord) -> None:
    """Delete the files of an alarm, of its outcomes and of their dispatches, the alarm first."""
    storage, dispatches = _storage(settings), _dispatches(settings)
    names = [name for name in storage.file_names() if f"_{record.alarm.id}." in name]
    for name in sorted(names, key=lambda name: OUTCOME in name):
        storage.delete_if_exists(name)
        dispatches.delete_if_exists(name)


def ids_to_answer(
    records: Iterable[AlarmRecord], started: datetime, snapshot: str | None, last: date | None
) -> list[str]:
    """Ids of the open alarms that a retraining answers.

    These are the alarms about its snapshot, also those raised while it ran, and those that were raised before it
    started about days up to its `last` day. A run that failed before it had a snapshot (None) tried to answer all.
    """
    return [
        each.alarm.id
        for each in records
        if each.is_open
        and (
            (snapshot is not None and each.alarm.snapshot == snapshot)
            or (each.alarm.at < started and (last is None or each.alarm.day is None or each.alarm.day <= last))
        )
    ]


def _send(settings: Settings, event: Event, event_id: UUID | None) -> bool:
    """Hand an event to the Prefect server. Returns whether the server has it; if not, that is logged."""
    import httpx
    from prefect.client.orchestration import get_client  # takes a second, and a listing sends nothing
    from prefect.events.schemas.events import Event as PrefectEvent
    from prefect.logging import get_logger

    labels = resource(settings, type(event))
    message = PrefectEvent(event=event.event, resource=labels, payload=event.model_dump(mode="json"), occurred=_now())
    if event_id:
        message = message.model_copy(update={"id": event_id})
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[message.model_dump(mode="json")]).raise_for_status()
    except (httpx.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: an embedded server did not start
        get_logger("rossmann").error("the event could not be sent to Prefect: %s: %s, %s", event.event, event, error)
        return False
    return True


def _file_name(event: Alarm | RetrainingOutcome) -> str:
    subject = event.id if isinstance(event, Alarm) else f"{event.alarm_id}{OUTCOME}"
    return f"{event.at.strftime(FILE_TIME)}_{subject}.json"


def _parse(storage: Storage, name: str) -> Event:
    try:
        content = json.loads(storage.read(name))
        event = content.pop("event")
        if event in STORED:
            return STORED[event](**content)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{storage.address(name)} is damaged ({error}): restore it, or move it away") from error
    raise DataError(f"{storage.address(name)}: no alarm is called {event}; move this file of another version away")


def _storage(settings: Settings) -> Storage:
    return Storage(settings.workspace.alarms)


def _dispatches(settings: Settings) -> Storage:
    return _storage(settings).subfolder("dispatches")
