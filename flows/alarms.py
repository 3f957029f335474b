"""Alarms: Prefect events with typed payloads, kept as files in the world too, each with the outcome that closes it."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal

from prefect.events import emit_event
from prefect.logging import get_logger
from pydantic import BaseModel, Field

from rossmann.settings import Settings
from rossmann.storage import Storage

ORDER = "%Y-%m-%dT%H-%M-%S-%f"


class Alarm(BaseModel, frozen=True):
    """What every alarm says."""

    event: ClassVar[str]
    id: str = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    reason: str  # one sentence: what, where, what it means


class Drift(Alarm, frozen=True):
    event: ClassVar[str] = "rossmann.drift.detected"
    snapshot: str
    kind: str
    name: str
    of: str
    effect: float
    limit: float
    reference: str
    report: str  # address


class Degradation(Alarm, frozen=True):
    event: ClassVar[str] = "rossmann.performance.degraded"
    snapshot: str
    model_version: int
    wape: float
    promised: float
    baseline: float
    limit: float


WAKING = {Drift.event, Degradation.event}  # a training answers; as in the triggers of prefect.yaml


class BrokenData(Alarm, frozen=True):
    event: ClassVar[str] = "rossmann.data.failed"
    raw: str  # folder, or the snapshot whose newest days are broken


class Endpoint(Alarm, frozen=True):
    event: ClassVar[str] = "rossmann.system.endpoint"
    url: str


class JournalGap(Alarm, frozen=True):
    event: ClassVar[str] = "rossmann.system.journal"
    lost: int
    failures: int


class FlowFailed(Alarm, frozen=True):
    event: ClassVar[str] = "rossmann.system.flow"
    run: str


class Silence(Alarm, frozen=True):
    event: ClassVar[str] = "rossmann.system.silence"
    days: int


class Arrived(BaseModel, frozen=True):
    """New days, or the same again: what starts the monitor."""

    event: ClassVar[str] = "rossmann.data.arrived"
    snapshot: str


class Outcome(BaseModel, frozen=True):
    """What became of an alarm."""

    event: ClassVar[str] = "rossmann.retrain.decided"
    alarm: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    started: datetime  # of the run that dealt with it
    decision: Literal["promoted", "refused", "skipped", "failed"]
    reason: str
    model_version: int | None  # that serves now


def tell(settings: Settings, told: Alarm | Outcome | Arrived) -> None:
    """Keep it in the world, then send it; an event that cannot be sent is logged, and kept all the same."""
    content = {"event": told.event, **told.model_dump(mode="json")}
    if not isinstance(told, Arrived):
        of = told.id if isinstance(told, Alarm) else f"{told.alarm}.outcome"
        _place(settings).write(f"{told.at.strftime(ORDER)}_{of}.json", json.dumps(content, indent=2).encode())
    world = Path(settings.home).name
    resource = {"prefect.resource.id": f"rossmann.world.{world}", "prefect.resource.name": settings.home}
    if emit_event(told.event, resource, payload=told.model_dump(mode="json")) is None:
        get_logger("rossmann").error("no event could be sent to Prefect: %s %s", told.event, content)


def told(settings: Settings) -> list[tuple[dict, dict | None]]:
    """Every alarm with its outcome, if it has one; newest first."""
    place = _place(settings)
    all_told = [json.loads(place.read(name)) for name in place.names() if name.endswith(".json")]
    outcomes = {each["alarm"]: each for each in all_told if "alarm" in each}
    return [(each, outcomes.get(each["id"])) for each in reversed(all_told) if "id" in each]


def waiting(settings: Settings, before: datetime) -> list[str]:
    """Ids of the alarms of before a moment that a training answers and that have no outcome yet."""
    return [
        alarm["id"]
        for alarm, outcome in told(settings)
        if outcome is None and alarm["event"] in WAKING and datetime.fromisoformat(alarm["at"]) < before
    ]


def _place(settings: Settings) -> Storage:
    return Storage(settings.place("alarms"))
