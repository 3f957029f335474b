"""The reasons of forecasts over HTTP, and why they moved.

They cost a hundred times a forecast, so few rows are explained at once.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from rossmann import explain, registry
from rossmann.data import Plan, store_names
from rossmann.explain import Basis, EarlierForecast, Evening, Reading, Source
from rossmann.registry import Registry
from rossmann.serving.server import parsing, requests
from rossmann.serving.server.errors import ApiError, Problem
from rossmann.serving.server.loaded_model import LoadedModel
from rossmann.serving.server.requests import Earlier
from rossmann.validation import DataError

MAX_ROWS = 50  # in one request: a quarter of a second of one core
MAX_MOVED_ROWS = 10  # that are also compared with an earlier forecast: a second of one core
CACHED = 1  # models and States of earlier forecasts that stay in memory


@dataclass(frozen=True)
class Question:
    """Rows whose forecasts are explained, and the forecast to compare them with."""

    plan: Plan
    earlier: Earlier


def earlier_reading(model_registry: Registry, snapshots: str) -> Reading:
    """How a replica reads what earlier forecasts were made from. The last model and State stay in memory."""

    @lru_cache(CACHED)
    def fetch(version: int):
        return registry.fetch_forecaster(model_registry, version)

    return Reading(
        snapshots,
        train_end=lambda version: fetch(version)[0].card.train_end,
        forecaster=lambda version: fetch(version)[1],
        state=lru_cache(CACHED)(Evening.state),
    )


def parse_question(model: LoadedModel, body: bytes, max_rows: int) -> Question:
    """What a body asks. Raises ApiError (422)."""
    rows, earlier = parsing.parse_question(body, min(max_rows, MAX_ROWS), model.fields)
    if earlier.is_named and len(rows) > MAX_MOVED_ROWS:
        message = f"{len(rows)} rows; at most {MAX_MOVED_ROWS} in one request that names since or since_version"
        raise ApiError(422, [Problem(message, "plan")])
    return Question(requests.to_plan(rows, model.state), earlier)


def explanations_json(model: LoadedModel, question: Question, request_id: str, reading: Reading) -> bytes:
    """The JSON of `responses.Explanations` for a question. Raises ApiError (422)."""
    plan = question.plan
    movements = _movements(model, question, reading) if question.earlier.is_named else [{}] * len(plan)
    reasons = explain.reasons(model.forecaster.forecaster, model.state, plan)
    names = store_names(model.state, plan.store).tolist()
    return to_json(
        {
            "model_version": model.version,
            "snapshot": model.snapshot.fingerprint,
            "origin": str(model.state.origin),
            "request_id": request_id,
            "explanations": [
                {"store": name, **each.document(), **movement}
                for name, each, movement in zip(names, reasons, movements, strict=True)
            ],
        }
    )


def _movements(model: LoadedModel, question: Question, reading: Reading) -> list[dict[str, Any]]:
    """For each row why its forecast moved, and what the reader must know. Raises ApiError (422)."""
    state, plan, named = model.state, question.plan, question.earlier
    evening = Evening(state.origin, reading.snapshots, model.snapshot.fingerprint, is_cut=False)
    source, basis = (
        Source(model.version, model.card.train_end, evening),
        Basis(model.forecaster.forecaster, state, plan),
    )
    try:
        other = explain.earlier_source(source, evening.snapshot, named.since, named.since_version, reading)
        before = explain.earlier_basis(other, source, basis, reading)
    except DataError as error:
        raise ApiError(422, [Problem(str(error))]) from None
    result, problems = [], []
    for row, (store, day) in enumerate(zip(plan.store.tolist(), plan.date, strict=True)):
        try:
            moved = explain.why_it_moved(before, basis, store, day)
        except DataError as error:
            problems.append(Problem(str(error), "date", row))
            continue
        notes = explain.notes(day.item(), source, other)
        result.append({"movement": EarlierForecast(other, moved).document(), "notes": notes})
    if problems:
        raise ApiError(422, problems)
    return result
