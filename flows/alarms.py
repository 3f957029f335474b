"""Alarms as Prefect events: sent once they are stored, and sent again until the server has them.

Every alarm's event is named `rossmann.alarm.<kind>`; its resource carries STARTS_RETRAINING as a label, which the
triggers of prefect.yaml match. The file is written first, then the event is sent, then a dispatch is stored: a run that
is killed in between loses nothing, because `send_pending` sends what has no dispatch.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, ValidationError

from rossmann.alarms import (
    FILE_TIME,
    Alarm,
    AlarmRecord,
    CheckOutcome,
    Event,
    Outcome,
    file_names,
    list_alarms,
    parse,
    store,
)
from rossmann.settings import Settings
from rossmann.storage import Storage

STARTS_RETRAINING = "rossmann.starts-retraining"  # label of the resource: true or false
PENDING = timedelta(days=7)  # an event that could not be sent for so long is not sent any more
COOL_DOWN = timedelta(seconds=600)  # for which the trigger in prefect.yaml ignores further alarms


def _now() -> datetime:
    return datetime.now(UTC)


class DataIngested(Event, frozen=True):
    """Raw files were ingested, with or without new days. Starts the monitor."""

    event: ClassVar[str] = "rossmann.data.ingested"
    snapshot: str


class Dispatch(BaseModel, frozen=True):
    """That the Prefect server has accepted the event of a stored file."""

    at: datetime  # of the newest one
    count: int = 1  # how often it was sent: an alarm that stays open rings again


def publish(settings: Settings, event: Event) -> None:
    """Store an alarm or an outcome as a file, then send the event. An event that cannot be sent is logged.

    An alarm whose id is stored already is not stored again, and its event is sent only if it never was; if it was over,
    it is open again.
    """
    if not isinstance(event, Alarm | Outcome):
        _send(settings, event, None)
        return
    name = store(settings.workspace.alarms, event)
    if not _dispatches(settings).exists(name):
        send(settings, name, event)
    elif isinstance(event, Alarm) and any(each.alarm.id == event.id and each.is_over for each in _records(settings)):
        publish(settings, CheckOutcome(alarm_id=event.id, decision="open again", reason=event.reason))


def end(settings: Settings, passed: Mapping[str, str]) -> None:
    """Publish that the open alarms are over whose cause is in `passed`, which says how one sees it.

    A retraining answers those that start one.
    """
    for record in _records(settings):
        if record.is_open and not record.alarm.starts_retraining and record.alarm.cause in passed:
            reason = passed[record.alarm.cause]
            publish(settings, CheckOutcome(alarm_id=record.alarm.id, decision="over", reason=reason))


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
            send(settings, name, parse(storage, name))


def send_open(settings: Settings) -> None:
    """Send every alarm that waits for a retraining again if it was last sent longer than COOL_DOWN ago, or never."""
    for record in _records(settings):
        if record.waits_for_retraining:
            name = store(settings.workspace.alarms, record.alarm)
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


def remove(settings: Settings, record: AlarmRecord) -> None:
    """Delete the files of an alarm, of its outcomes and of their dispatches, the alarm first."""
    storage, dispatches = _storage(settings), _dispatches(settings)
    for name in file_names(settings.workspace.alarms, record.alarm.id):
        storage.delete_if_exists(name)
        dispatches.delete_if_exists(name)


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


def _storage(settings: Settings) -> Storage:
    return Storage(settings.workspace.alarms)


def _records(settings: Settings) -> list[AlarmRecord]:
    return list_alarms(settings.workspace.alarms)


def _dispatches(settings: Settings) -> Storage:
    return _storage(settings).subfolder("dispatches")
