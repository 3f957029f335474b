"""The HTTP application: the same under Ray Serve and under any other ASGI server."""

import asyncio
import time
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from rossmann.data import Plan
from rossmann.models import Forecast
from rossmann.serving import asking, documents, metering
from rossmann.serving.asking import Problem, RefusedError
from rossmann.serving.desk import Desk
from rossmann.serving.guard import Guard, Limits, admitted, refusal, sized
from rossmann.serving.holding import Held
from rossmann.validation import DataError

MANY_BYTES = 20_000  # a larger request goes to a thread, so that small ones need not wait for it
TELL_S = 5  # between two looks of the metrics at the present state
FLUSH_S = 15  # that a shutdown waits for the journal
JSON = "application/json"


def application(desk: Desk, limits: Limits) -> FastAPI:
    """All routes over one desk."""

    @asynccontextmanager
    async def life(_: FastAPI):
        telling = asyncio.create_task(_tell(desk))
        yield
        telling.cancel()
        await asyncio.to_thread(desk.journal.close, FLUSH_S)

    app = FastAPI(title="rossmann", version="1", description=documents.ABOUT, lifespan=life, redoc_url=None)
    app.add_middleware(Guard, desk=desk, limits=limits)
    app.openapi = lambda: documents.openapi(app, desk.held, bool(limits.key_hashes))

    @app.exception_handler(RefusedError)
    def refused(request: Request, why: RefusedError) -> Response:
        return refusal(request.scope, why)

    @app.exception_handler(HTTPException)
    def not_there(request: Request, why: HTTPException) -> Response:
        told = f"{request.method} {request.url.path}: {str(why.detail).lower()}; GET /docs shows what there is"
        return refusal(request.scope, RefusedError(why.status_code, [Problem(None, None, told)]), why.headers)

    @app.exception_handler(RequestValidationError)
    def unreadable(request: Request, why: RequestValidationError) -> Response:
        problems = [
            Problem(None, str(e["loc"][-1]), f'"{e["input"]}" is not possible; expected {asking.EXPECTED["store"]}')
            for e in why.errors()
        ]
        return refusal(request.scope, RefusedError(422, problems))

    @app.exception_handler(ClientDisconnect)
    def gone(request: Request, _: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it

    @app.post("/predict", response_model=documents.Answer, responses=documents.PREDICT, tags=["forecasts"])
    async def predict(request: Request) -> Response:
        """Forecast one day of a store, or the rows of a plan, in their order."""
        held, body = _held(desk), await sized(request, limits.body_bytes)
        started = time.perf_counter()
        work = (held, body, limits.rows, request.scope["id"])
        answer = asyncio.to_thread(_forecast, *work) if len(body) > MANY_BYTES else None
        plan, forecast, content = await answer if answer else _forecast(*work)
        desk.made(held, request.scope["id"], plan, forecast, (time.perf_counter() - started) * 1e3)
        return Response(content, media_type=JSON)

    @app.get("/forecasts/{store}", response_model=documents.Answer, responses=documents.STORED, tags=["forecasts"])
    async def stored(request: Request, store: int = Path(ge=1, lt=2**31)) -> Response:
        """The next 48 days of a store, as published."""
        held, started = _held(desk), time.perf_counter()
        found = held.of_store(store)
        if found is None:
            raise RefusedError(404, [asking.unknown_store(store, held.state)])
        content = _content(held, *found, request.scope["id"])
        desk.made(held, request.scope["id"], *found, (time.perf_counter() - started) * 1e3)
        return Response(content, media_type=JSON)

    @app.get("/model", response_model=documents.Model, responses=documents.GENERAL, tags=["about"])
    async def model() -> documents.Model:
        """The card of the model that answers, and the snapshot it starts from."""
        return documents.Model.of(_held(desk))

    @app.get("/health", tags=["about"])
    async def health() -> documents.Alive:
        """Whether the process lives."""
        return documents.Alive()

    @app.get("/ready", response_model=documents.Ready, responses={503: {"model": documents.Ready}}, tags=["about"])
    async def ready(request: Request) -> Response:
        """Whether a model and a State are loaded; also what was wanted and could not be, and how the journal is."""
        state = documents.Ready.of(desk.held, desk.refusal, desk.journal.health())
        state = state if admitted(request.scope, limits) else state.to_anybody()
        return Response(to_json(state), 200 if state.ready else 503, media_type=JSON)

    @app.get("/metrics", response_class=PlainTextResponse, responses=documents.GENERAL, tags=["about"])
    async def metrics() -> str:
        """For Prometheus: Serve's own numbers and the endpoint's, of all replicas and nodes."""
        try:
            return await metering.gathered()
        except DataError as error:
            raise RefusedError(503, [Problem(None, None, str(error))]) from None

    return app


def _held(desk: Desk) -> Held:
    if desk.held is None:
        raise RefusedError(503, [Problem(None, None, f"not ready: {desk.refusal}")])
    return desk.held


def _forecast(held: Held, body: bytes, most_rows: int, request: str) -> tuple[Plan, Forecast, bytes]:
    """From a body to an answer. Raises RefusedError (422)."""
    plan = asking.lay(asking.read(body, most_rows), held.state)
    forecast = held.forecast(plan)
    return plan, forecast, _content(held, plan, forecast, request)


def _content(held: Held, plan: Plan, forecast: Forecast, request: str) -> bytes:
    """The answer as JSON."""
    rows = zip(
        plan.store.tolist(),
        np.datetime_as_string(plan.date).tolist(),
        (plan.date - held.state.origin).astype(int).tolist(),
        forecast.sales.tolist(),
        forecast.lower.tolist(),
        forecast.upper.tolist(),
        strict=True,
    )
    names = ("store", "date", "lead_days", "forecast", "lower", "upper")
    return to_json(
        {
            "model_version": held.version.version,
            "snapshot": held.snapshot.fingerprint,
            "origin": str(held.state.origin),
            "request_id": request,
            "forecasts": [dict(zip(names, row, strict=True)) for row in rows],
        }
    )


async def _tell(desk: Desk) -> None:
    while True:
        desk.tell()
        await asyncio.sleep(TELL_S)
