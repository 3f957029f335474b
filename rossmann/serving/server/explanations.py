"""The reasons of forecasts over HTTP, and why they moved.

They cost a hundred times a forecast, so few rows are explained at once.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from rossmann import explain, registry
from rossmann.data import Plan, store_names
from rossmann.explain import DataAsOf, EarlierForecast, ForecastInputs, InputLoaders, InputVersions
from rossmann.registry import Registry
from rossmann.serving.server import parsing, requests
from rossmann.serving.server.errors import ApiError, Problem
from rossmann.serving.server.loaded_model import LoadedModel
from rossmann.serving.server.requests import Earlier
from rossmann.validation import DataError

MAX_ROWS = 50  # in one request: a quarter of a second of one core
MAX_COMPARED_ROWS = 10  # that are also compared with an earlier forecast: a second of one core
CACHED = 1  # models and States of earlier forecasts that stay in memory


@dataclass(frozen=True)
class ExplainRequest:
    """Rows whose forecasts are explained, and the forecast to compare them with."""

    plan: Plan
    earlier: Earlier


def earlier_input_loaders(model_registry: Registry, snapshots: str) -> InputLoaders:
    """How a replica loads what earlier forecasts were made from. The last model and State stay in memory."""

    @lru_cache(CACHED)
    def fetch(version: int):
        return registry.fetch_forecaster(model_registry, version)

    return InputLoaders(
        snapshots,
        train_end=lambda version: fetch(version)[0].card.train_end,
        forecaster=lambda version: fetch(version)[1],
        state=lru_cache(CACHED)(DataAsOf.state),
    )


def parse_explain_request(model: LoadedModel, body: bytes, max_rows: int) -> ExplainRequest:
    """The request of a body. Raises ApiError (422)."""
    rows, earlier = parsing.parse_explain_request(body, min(max_rows, MAX_ROWS), model.fields)
    if earlier.is_requested and len(rows) > MAX_COMPARED_ROWS:
        message = f"{len(rows)} rows; at most {MAX_COMPARED_ROWS} in one request that names since or since_version"
        raise ApiError(422, [Problem(message, "plan")])
    return ExplainRequest(requests.to_plan(rows, model.state), earlier)


def explanations_json(model: LoadedModel, request: ExplainRequest, request_id: str, loaders: InputLoaders) -> bytes:
    """The JSON of `responses.Explanations` for a request. Raises ApiError (422)."""
    plan = request.plan
    movements = _movements(model, request, loaders) if request.earlier.is_requested else [{}] * len(plan)
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


def _movements(model: LoadedModel, request: ExplainRequest, loaders: InputLoaders) -> list[dict[str, Any]]:
    """For each row why its forecast moved, and what the reader must know. Raises ApiError (422)."""
    state, plan, earlier = model.state, request.plan, request.earlier
    current = model.snapshot.fingerprint
    data = DataAsOf(state.origin, loaders.snapshots, current, is_truncated=False)
    versions = InputVersions(model.version, model.card.train_end, data)
    inputs = ForecastInputs(model.forecaster.forecaster, state, plan)
    try:
        earlier_versions, earlier_inputs = explain.load_earlier_inputs(
            versions, inputs, current, earlier.since, earlier.since_version, loaders
        )
    except DataError as error:
        raise ApiError(422, [Problem(str(error))]) from None
    result, problems = [], []
    for row, (store, day) in enumerate(zip(plan.store.tolist(), plan.date, strict=True)):
        try:
            movement = explain.why_it_moved(earlier_inputs, inputs, store, day)
        except DataError as error:
            problems.append(Problem(str(error), "date", row))
            continue
        notes = explain.notes(day.item(), versions, earlier_versions)
        result.append({"movement": EarlierForecast(earlier_versions, movement).document(), "notes": notes})
    if problems:
        raise ApiError(422, problems)
    return result
