"""The HTTP application; it runs under Ray Serve and under any other ASGI server."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from rossmann.data import store_labels, store_names
from rossmann.journal import SMOKE
from rossmann.models import Forecast
from rossmann.schema import DAY
from rossmann.serving.server import metrics, parsing, requests, responses
from rossmann.serving.server.auth import AuthMiddleware, Limits, is_authorized, read_body
from rossmann.serving.server.docs_page import add_docs_page
from rossmann.serving.server.errors import ApiError, Problem, error_response
from rossmann.serving.server.explanations import explanations_json, parse_explain_request
from rossmann.serving.server.loaded_model import Answer, LoadedModel
from rossmann.serving.server.model_host import ModelHost
from rossmann.serving.server.openapi import DESCRIPTION, error_responses, openapi_document
from rossmann.serving.server.turns import Turns
from rossmann.serving.target import PURPOSE_HEADER
from rossmann.validation import DataError

# A larger request is computed in a thread, so that small ones need not wait for it. A smaller one has fewer rows than
# blocks.BLOCK_STORES, so that it never waits for a core.
THREAD_BODY_BYTES = 3_000
METRICS_INTERVAL_S = 5
JOURNAL_TIMEOUT_S = 15  # how long a shutdown waits until the journal is written
JSON = "application/json"


class DirectRoute(APIRoute):
    """A route from a request to a response. FastAPI solves no dependencies and validates nothing: there is nothing."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **options: Any):
        super().__init__(path, endpoint, **options)

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

        self.app = respond


def create_app(host: ModelHost, limits: Limits) -> FastAPI:
    """The application with all routes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        updates = asyncio.create_task(_update_metrics(host))
        yield
        updates.cancel()
        await asyncio.to_thread(host.journal.close, JOURNAL_TIMEOUT_S)

    app = FastAPI(title="rossmann", version="2", description=DESCRIPTION, lifespan=lifespan,
                  telemetry={"tracing": False, "metrics": False, "logs": False},
                  docs_url=None, redoc_url=None)  # fmt: skip
    app.add_middleware(AuthMiddleware, metrics=host.metrics, limits=limits)
    app.openapi = lambda: openapi_document(  # type: ignore[method-assign]  # as FastAPI documents it
        app, host.model, bool(limits.key_hashes)
    )
    _add_error_handlers(app)
    _add_forecast_routes(app, host, limits)
    _add_explain_route(app, host, limits)
    add_docs_page(app)
    _add_status_routes(app, host, limits)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Give every error response the same JSON."""

    @app.exception_handler(ApiError)
    def api_error(request: Request, error: ApiError) -> Response:
        return error_response(request.scope, error)

    @app.exception_handler(HTTPException)
    def no_such_route(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {str(error.detail).lower()}; GET /docs lists all routes"
        return error_response(request.scope, ApiError(error.status_code, [Problem(message)]), error.headers)

    @app.exception_handler(RequestValidationError)
    def invalid_parameter(request: Request, error: RequestValidationError) -> Response:
        problems = [
            Problem(f'"{each["input"]}" is not valid; expected {requests.EXPECTED[name]}', name)
            for each in error.errors()
            for name in each["loc"][-1:]
        ]
        return error_response(request.scope, ApiError(422, problems))

    @app.exception_handler(Exception)
    def defect(request: Request, _: Exception) -> Response:
        """An error of ours, which is logged with its traceback; the middleware that adds the id is passed by."""
        problem = Problem("the endpoint failed; its log has the details")
        return error_response(request.scope, ApiError(500, [problem]), {"X-Request-ID": request.scope["request_id"]})

    @app.exception_handler(ClientDisconnect)
    def client_is_gone(request: Request, _: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody receives it; the status is counted


def _add_forecast_routes(app: FastAPI, host: ModelHost, limits: Limits) -> None:
    predict_errors, store_errors = error_responses(400, 401, 413, 422, 503), error_responses(400, 401, 404, 422, 503)

    async def predict(request: Request) -> Response:
        """Forecast one day of a store, or the rows of a plan, in their order."""
        model, body = _loaded_model(host), await read_body(request, limits.max_body_bytes)
        started, request_id, smoke = time.perf_counter(), request.scope["request_id"], _is_smoke(request)
        arguments = (model, body, limits.max_rows, request_id)
        is_large = len(body) > THREAD_BODY_BYTES
        result = await asyncio.to_thread(_forecast, *arguments) if is_large else _forecast(*arguments)
        answer, content = result
        host.record_answer(model, request_id, answer, smoke, (time.perf_counter() - started) * 1e3)
        return Response(content, media_type=JSON)

    described: dict[str, Any] = {
        "response_model": responses.Forecasts,
        "responses": predict_errors,
        "tags": ["forecasts"],
    }
    app.router.add_api_route("/predict", predict, methods=["POST"], route_class_override=DirectRoute, **described)

    @app.get("/forecasts/{store}", response_model=responses.Forecasts, responses=store_errors, tags=["forecasts"])
    async def store_forecast(
        request: Request,
        store: str = Path(description="The store's number, or its label in the chain's files."),
        quantiles: bool = Query(False, description=requests.QUANTILES_DESCRIPTION),
    ) -> Response:
        """Forecast all days of the published plan for one store."""
        requests.refuse_repetitions(request.query_params)
        model, started, request_id = _loaded_model(host), time.perf_counter(), request.scope["request_id"]
        smoke, answer = _is_smoke(request), _store_answer(model, store)
        content = _forecasts_json(model, answer, request_id, quantiles)
        if "head_only" not in request.scope:
            host.record_answer(model, request_id, answer, smoke, (time.perf_counter() - started) * 1e3)
        return Response(content, media_type=JSON)


def _add_explain_route(app: FastAPI, host: ModelHost, limits: Limits) -> None:
    one_at_a_time, comparisons = asyncio.Semaphore(1), Turns()  # so that forecasts need not wait
    described: dict[str, Any] = {
        "response_model": responses.Explanations,
        "responses": error_responses(400, 401, 413, 422, 503),
    }

    async def explain(request: Request) -> Response:
        """Say why the forecast of one day of a store, or of the rows of a plan, is what it is. Nothing is recorded.

        With `since` or `since_version` also why it moved from the forecast of that origin or model version.
        """
        model, body = _loaded_model(host), await read_body(request, limits.max_body_bytes)
        explain_request = await asyncio.to_thread(parse_explain_request, model, body, limits.max_rows)
        async with comparisons.turn() if explain_request.earlier.is_requested else one_at_a_time:
            arguments = (model, explain_request, request.scope["request_id"], host.loaders)
            content = await asyncio.to_thread(explanations_json, *arguments)
        return Response(content, media_type=JSON)

    app.router.add_api_route(
        "/explain", explain, methods=["POST"], route_class_override=DirectRoute, tags=["forecasts"], **described
    )


def _add_status_routes(app: FastAPI, host: ModelHost, limits: Limits) -> None:
    errors = error_responses(400, 401, 503)
    not_ready: dict[int | str, dict] = {503: {"model": responses.Readiness}}

    @app.get("/model", response_model=responses.Model, responses=errors, tags=["status"])
    async def model() -> responses.Model:
        """The card of the loaded model, and the snapshot that it forecasts from."""
        return responses.Model.of(_loaded_model(host))

    @app.get("/health", responses=error_responses(400), tags=["status"])
    async def health() -> responses.Health:
        """Whether the process is alive."""
        return responses.Health()

    @app.get("/ready", response_model=responses.Readiness, responses=error_responses(400) | not_ready, tags=["status"])
    async def ready(request: Request) -> Response:
        """Whether a model is loaded, why another one could not be, and whether the journal is being written."""
        readiness = responses.Readiness.of(host.model, host.load_error, host.journal.health())
        visible = readiness if is_authorized(request.scope, limits) else readiness.without_details()
        return Response(to_json(visible), 200 if visible.ready else 503, media_type=JSON)

    @app.get("/metrics", response_class=PlainTextResponse, responses=errors, tags=["status"])
    async def prometheus_metrics() -> str:
        """The metrics of Serve and of the endpoint, of all replicas and nodes, in Prometheus' format."""
        try:
            return await metrics.collect()
        except DataError as error:
            raise ApiError(503, [Problem(str(error))]) from None


def _loaded_model(host: ModelHost) -> LoadedModel:
    if host.model is None:
        raise ApiError(503, [Problem(f"not ready: {host.load_error}")])
    return host.model


def _store_answer(model: LoadedModel, store: str) -> Answer:
    """The forecast of the store that a path names. Raises ApiError (404), or (422) for what is no store's number."""
    if model.fields:
        number = model.fields.numbers.get(store, store_labels.UNKNOWN_STORE)
    else:
        number = requests.parse_store_number(store)
    answer = model.store_answer(number)
    if answer is None:
        raise ApiError(404, [requests.unknown_store(store if model.fields else number, model.state)])
    return answer


def _is_smoke(request: Request) -> bool:
    """Whether the caller compares the endpoint with the batch, by PURPOSE_HEADER. Raises ApiError (422)."""
    purpose = request.headers.get(PURPOSE_HEADER)
    if purpose not in (None, SMOKE):
        message = f'"{purpose[:40]}" is not valid; expected {SMOKE}, or no such header'
        raise ApiError(422, [Problem(message, PURPOSE_HEADER)])
    return purpose == SMOKE


def _forecast(model: LoadedModel, body: bytes, max_rows: int, request_id: str) -> tuple[Answer, bytes]:
    """The forecast of the rows of a body, and the response as JSON. Raises ApiError (422)."""
    rows, wants_quantiles = parsing.parse_body(body, max_rows, model.fields)
    answer = model.answer(requests.to_plan(rows, model.state))
    return answer, _forecasts_json(model, answer, request_id, wants_quantiles)


def _forecasts_json(model: LoadedModel, answer: Answer, request_id: str, with_quantiles: bool) -> bytes:
    """The JSON of `responses.Forecasts`, written without building that object for each row."""
    plan, forecast = answer.plan, answer.forecast
    columns = {
        "store": store_names(model.state, plan.store).tolist(),
        "date": np.datetime_as_string(plan.date).tolist(),
        "lead_days": ((plan.date - model.state.origin) // DAY).tolist(),
        "forecast": forecast.sales.tolist(),
        "lower": forecast.lower.tolist(),
        "upper": forecast.upper.tolist(),
    }
    if with_quantiles:
        columns["quantiles"] = _quantiles(model, forecast)
    return to_json(
        {
            "model_version": model.version,
            "snapshot": model.snapshot.fingerprint,
            "origin": str(model.state.origin),
            "request_id": request_id,
            "forecasts": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        }
    )


def _quantiles(model: LoadedModel, forecast: Forecast) -> list[dict[str, float] | None]:
    """The quantiles of each row by name; None if the model has none."""
    if model.quantiles is None:
        return [None] * len(forecast.sales)
    names, values = model.quantiles.columns, model.quantiles.around(forecast.standard_deviation, forecast.sales)
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]


async def _update_metrics(host: ModelHost) -> None:
    while True:
        host.update_metrics()
        await asyncio.sleep(METRICS_INTERVAL_S)
