"""Where a process keeps what it holds, and from where it swaps it: load beside the old, warm, change one pointer."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rossmann.data import Plan
from rossmann.journal import Entry, Journal
from rossmann.models import Forecast
from rossmann.serving.holding import Held
from rossmann.serving.metering import Meter
from rossmann.validation import DataError

log = logging.getLogger("ray.serve")  # so that it lands in Serve's own logs; elsewhere it is a logger like any


@dataclass(frozen=True)
class Wanted:
    """What is to be held; None: the champion, the current snapshot."""

    model: int | None = None
    snapshot: str | None = None


class Desk:
    """One per process. Requests read `held` once and keep to it, so that a swap never mixes two models in an answer."""

    def __init__(self, load: Callable[[Wanted], Held], journal: Journal, meter: Meter):
        self.load, self.journal, self.meter = load, journal, meter
        self.held: Held | None = None
        self.refusal: str | None = "nothing is loaded yet"
        self._turn = asyncio.Lock()

    async def hold(self, wanted: Wanted) -> None:
        """Swap to what is wanted, off the event loop. What cannot be loaded leaves the old serving, and is told.

        Raises only if a version is named and nothing is held: such a replica must not take requests.
        """
        async with self._turn:
            try:
                self.held = await asyncio.to_thread(self.load, wanted)
                self.refusal = None
            except Exception as error:  # whatever it is, the old must go on serving
                known = isinstance(error, DataError)
                self.refusal = str(error) if known else f"loading failed ({type(error).__name__}); Serve's log says why"
                log.error("wanted %s: %s", wanted, error, exc_info=not known)
                if self.held is None and wanted.model is not None:
                    raise

    def made(self, held: Held, request: str, plan: Plan, forecast: Forecast, latency_ms: float) -> None:
        """Count and journal an answer."""
        self.meter.forecast(held.version.version, len(plan), latency_ms)
        self.journal.write(
            Entry(
                request=request,
                at=datetime.now(UTC),
                source="http",
                model_version=held.version.version,
                snapshot=held.snapshot.fingerprint,
                origin=held.state.origin,
                latency_ms=latency_ms,
                plan=plan,
                forecast=forecast,
            )
        )

    def tell(self) -> None:
        """Put the present state into the metrics."""
        health, held, now = self.journal.health(), self.held, datetime.now(UTC)
        if held:
            age = now - datetime.fromisoformat(held.snapshot.created)
            behind = now.date() - held.state.origin.item()
            self.meter.state(
                held.version.version, held.snapshot.fingerprint, age.total_seconds(), behind.days,
                self.refusal is not None, health.pending, health.lost, health.failures,
            )  # fmt: skip
