"""What the endpoint answers, as types, and the OpenAPI document with examples that work as they stand."""

from datetime import date

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict

from rossmann.journal import Health
from rossmann.serving.asking import BODY
from rossmann.serving.holding import Held

ABOUT = """Daily sales of every store, up to 48 days after the last known day.

A row names its store and day. What it leaves out (open, promo, holidays) is taken from the published plan; what it says
is laid over it, for the other rows of the same store too. An answer is whole or there is none."""
REFS = "#/components/schemas/{model}"


class Problem(BaseModel):
    """What is wrong with a request."""

    row: int | None
    field: str | None
    problem: str


class Refusal(BaseModel):
    """Why there is no answer: all in one sentence, and one by one."""

    error: str
    problems: list[Problem]
    request_id: str


class Forecast(BaseModel):
    """One day of one store."""

    store: int
    date: date
    lead_days: int
    forecast: float
    lower: float | None
    upper: float | None


class Answer(BaseModel):
    """Forecasts, and what made them."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: int
    snapshot: str
    origin: date
    request_id: str
    forecasts: list[Forecast]


class Model(BaseModel):
    """The model that answers."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: int
    candidate: str
    trained_on: str
    trained_until: date
    rmspe: dict[str, float]
    coverage: float
    code_version: str
    training: str
    snapshot: str
    origin: date
    snapshot_created: str
    stores: int

    @staticmethod
    def of(held: Held) -> "Model":
        """From what is held."""
        card, snapshot = held.version.card, held.snapshot
        return Model(
            model_version=held.version.version,
            candidate=card.candidate,
            trained_on=card.snapshot,
            trained_until=date.fromisoformat(card.origin),
            rmspe=card.rmspe,
            coverage=card.coverage,
            code_version=card.code_version,
            training=card.training,
            snapshot=snapshot.fingerprint,
            origin=held.state.origin.item(),
            snapshot_created=snapshot.created,
            stores=len(held.state.stores),
        )


class Alive(BaseModel):
    """The process lives."""

    alive: bool = True


WITH_A_KEY = "a caller with a key is told what"


class JournalState(BaseModel):
    """Whether what is forecast gets written down: rows, and what hinders it."""

    pending: int
    lost: int
    failures: int
    problem: str | None


class Ready(BaseModel):
    """What is loaded, and what could not be."""

    model_config = ConfigDict(protected_namespaces=())

    ready: bool
    model_version: int | None
    snapshot: str | None
    origin: date | None
    refused: str | None
    journal: JournalState

    @staticmethod
    def of(held: Held | None, refusal: str | None, journal: Health) -> "Ready":
        """From what is held."""
        return Ready(
            ready=held is not None,
            model_version=held.version.version if held else None,
            snapshot=held.snapshot.fingerprint if held else None,
            origin=held.state.origin.item() if held else None,
            refused=refusal,
            journal=JournalState(
                pending=journal.pending, lost=journal.lost, failures=journal.failures, problem=journal.problem
            ),
        )

    def to_anybody(self) -> "Ready":
        """As a probe without a key is told: that something is wrong, not the addresses in what it says."""
        journal = self.journal.model_copy(update={"problem": self.journal.problem and WITH_A_KEY})
        return self.model_copy(update={"refused": self.refused and WITH_A_KEY, "journal": journal})


def _refusals(*statuses: int) -> dict[int | str, dict]:
    when = {
        401: "No valid API key.",
        404: "No such store.",
        413: "The body is too large.",
        422: "Something is wrong with the request: which row, which field, what was expected.",
        503: "No model is loaded yet.",
    }
    return {status: {"model": Refusal, "description": when[status]} for status in statuses}


OVERLOADED = {429: {"description": "Too many requests wait already; ask again later.", "content": {"text/plain": {}}}}
PREDICT = _refusals(401, 413, 422, 503) | OVERLOADED
STORED = _refusals(401, 404, 422, 503) | OVERLOADED
GENERAL = _refusals(401, 503) | OVERLOADED


def openapi(app: FastAPI, held: Held | None, keyed: bool) -> dict:
    """The document, with rows of the published plan as examples."""
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    body = BODY.json_schema(ref_template=REFS)
    schemas = made["components"]["schemas"]
    schemas |= body.pop("$defs")
    content = {"schema": {"anyOf": body["oneOf"]}} | ({"examples": _examples(held)} if held else {})
    made["paths"]["/predict"]["post"]["requestBody"] = {"required": True, "content": {"application/json": content}}
    if keyed:
        made["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        made["security"] = [{"key": []}]
    return made


def _examples(held: Held) -> dict[str, dict]:
    store, days = int(held.state.stores[0]), [str(held.state.origin + lead) for lead in (1, 2)]
    one = {"store": store, "date": days[0], "open": True, "promo": True, "state_holiday": "0", "school_holiday": False}
    kaggle = {"Store": store, "Date": days[1], "Open": 1, "Promo": 0, "StateHoliday": "0", "SchoolHoliday": 0}
    return {
        "a day": {"value": one},
        "as published": {"value": {"store": store, "date": days[0]}},
        "a plan": {"value": {"plan": [{"store": store, "date": day, "promo": True} for day in days]}},
        "Kaggle's names": {"value": kaggle},
    }
