"""The model of a process and its replacement: load the new one beside the old, then change one reference."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from rossmann.data import Plan, row_labels
from rossmann.explain import InputLoaders
from rossmann.journal import (
    OPERATIONAL,
    QUESTION,
    SMOKE,
    BatchRows,
    ForecastRows,
    Journal,
    JournalEntry,
    published_batch,
)
from rossmann.models import Forecast
from rossmann.serving.server.loaded_model import Answer, LoadedModel
from rossmann.serving.server.metrics import Metrics
from rossmann.serving.target import ServingTarget
from rossmann.validation import DataError

log = logging.getLogger("ray.serve")  # Serve's own logger, so that messages appear in Serve's logs


class ModelHost:
    """One per process.

    A request reads `model` once and uses that value to its end, so no response mixes two models. `load_error` says why
    the last target could not be loaded; None if it could. `loaders` is how earlier models and States are loaded.
    """

    def __init__(
        self, load: Callable[[ServingTarget], LoadedModel], loaders: InputLoaders, journal: Journal, metrics: Metrics
    ):
        self._load, self.loaders, self.journal, self.metrics = load, loaders, journal, metrics
        self.model: LoadedModel | None = None
        self.load_error: str | None = "no model has been loaded yet"
        self._lock = asyncio.Lock()
        self._batch_model: LoadedModel | None = None  # whose published forecast was written to the journal last
        self._batch = ""  # the id of that entry

    async def switch_to(self, target: ServingTarget) -> None:
        """Load the target in a thread, then serve it; if that fails, keep the old model and set `load_error`.

        Raises only if the target names a version and there is no old model: such a replica must not get requests.
        """
        async with self._lock:
            try:
                self.model = await asyncio.to_thread(self._load, target)
                self.load_error = None
            except Exception as error:  # whatever the cause, the old model must go on serving
                is_data_error = isinstance(error, DataError)
                self.load_error = (
                    str(error)
                    if is_data_error
                    else f"loading failed ({type(error).__name__}); Serve's log has the details"
                )
                log.error("cannot load %s: %s", target, error, exc_info=not is_data_error)
                if self.model is None and target.model_version is not None:
                    raise

    def record_answer(
        self, model: LoadedModel, request_id: str, answer: Answer, smoke: bool, latency_ms: float
    ) -> None:
        """Count the forecasts of one response and write them to the journal.

        Rows as published are operational. The first of a model brings the model's whole published forecast into the
        journal, and all refer to that. An answer with other rows is a question.
        """
        self.metrics.count_forecasts(model.version, len(answer.plan), latency_ms)
        now, snapshot, origin = datetime.now(UTC), model.snapshot.fingerprint, model.state.origin
        rows: ForecastRows | BatchRows = _forecast_rows(model, answer.plan, answer.forecast)
        if answer.positions is not None:
            if self._batch_model is not model:
                published = _forecast_rows(model, model.plan, model.plan_forecast)
                batch = published_batch(model.version, snapshot, origin, published, now)
                self.journal.write(batch)
                self._batch_model, self._batch = model, batch.request_id
            rows = BatchRows(self._batch, answer.positions)
        purpose = SMOKE if smoke else QUESTION if answer.positions is None else OPERATIONAL
        self.journal.write(
            JournalEntry(request_id, now, "http", purpose, model.version, snapshot, origin, latency_ms, rows)
        )

    def update_metrics(self) -> None:
        """Set the gauges to the present state; without a model there is nothing to set."""
        if self.model:
            self.metrics.update(self.model, self.load_error is not None, self.journal.health(), datetime.now(UTC))


def _forecast_rows(model: LoadedModel, plan: Plan, forecast: Forecast) -> ForecastRows:
    return ForecastRows(plan, forecast, model.quantiles, row_labels(model.state, plan.store))
