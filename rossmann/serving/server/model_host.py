"""The model of a process and its replacement: load the new one beside the old, then change one reference."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from rossmann.data import Plan
from rossmann.journal import Journal, JournalEntry
from rossmann.models import Forecast
from rossmann.serving.server.loaded_model import LoadedModel
from rossmann.serving.server.metrics import Metrics
from rossmann.serving.target import ServingTarget
from rossmann.validation import DataError

log = logging.getLogger("ray.serve")  # Serve's own logger, so that messages appear in Serve's logs


class ModelHost:
    """One per process.

    A request reads `model` once and uses that value to its end, so no response mixes two models. `load_error` says why
    the last target could not be loaded; None if it could.
    """

    def __init__(self, load: Callable[[ServingTarget], LoadedModel], journal: Journal, metrics: Metrics):
        self._load, self.journal, self.metrics = load, journal, metrics
        self.model: LoadedModel | None = None
        self.load_error: str | None = "no model has been loaded yet"
        self._lock = asyncio.Lock()

    async def switch_to(self, target: ServingTarget) -> None:
        """Load the target in a thread, then serve it; if that fails, keep the old model and set `load_error`.

        Raises only if the target names a version and there is no old model: such a replica must not get requests.
        """
        async with self._lock:
            try:
                self.model = await asyncio.to_thread(self._load, target)
                self.load_error = None
            except Exception as error:  # whatever the cause, the old model must go on serving
                expected = isinstance(error, DataError)
                self.load_error = (
                    str(error) if expected else f"loading failed ({type(error).__name__}); Serve's log has the details"
                )
                log.error("cannot load %s: %s", target, error, exc_info=not expected)
                if self.model is None and target.model_version is not None:
                    raise

    def record_answer(
        self, model: LoadedModel, request_id: str, plan: Plan, forecast: Forecast, latency_ms: float
    ) -> None:
        """Count the forecasts of one response and write them to the journal."""
        self.metrics.count_forecasts(model.version, len(plan), latency_ms)
        self.journal.write(
            JournalEntry(
                request_id=request_id,
                at=datetime.now(UTC),
                source="http",
                model_version=model.version,
                snapshot=model.snapshot.fingerprint,
                origin=model.state.origin,
                latency_ms=latency_ms,
                plan=plan,
                forecast=forecast,
            )
        )

    def update_metrics(self) -> None:
        """Set the gauges to the present state; without a model there is nothing to set."""
        if self.model:
            self.metrics.update(self.model, self.load_error is not None, self.journal.health(), datetime.now(UTC))
