"""The endpoint's own metrics, beside those of Ray Serve. Ray collects them on each node in Prometheus' format."""

import re
from collections.abc import Iterable
from datetime import datetime

import httpx
import ray
from ray.util.metrics import Counter, Gauge, Histogram

from rossmann.journal import JournalHealth
from rossmann.schema import to_date
from rossmann.serving.server.loaded_model import LoadedModel
from rossmann.validation import DataError

LATENCY_BOUNDARIES_MS: list[float] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]
EXPORTED = re.compile(r"^(# (HELP|TYPE) )?(ray_serve_|ray_rossmann_|rossmann_)")
TIMEOUT_S = 5


class Metrics:
    """One per process. Every number is of one replica; Prometheus sums them up."""

    def __init__(self):
        self._responses = Counter("rossmann_requests", "Requests, by the HTTP status of the response.", ("status",))
        self._rows = Counter("rossmann_forecasts", "Forecast rows returned, by model version.", ("model_version",))
        self._latency = Histogram(
            "rossmann_latency_ms",
            "Time from the complete request body to the response, in ms.",
            boundaries=LATENCY_BOUNDARIES_MS,
        )
        self._version = Gauge("rossmann_model_version", "The model version that is loaded.", ("snapshot",))
        self._snapshot_age = Gauge("rossmann_snapshot_age_seconds", "Time since the loaded snapshot was created.")
        self._origin_age = Gauge("rossmann_origin_age_days", "Days since the last day of sales in the snapshot.")
        self._pending = Gauge("rossmann_journal_pending_rows", "Forecast rows waiting to be written to the journal.")
        self._lost = Gauge("rossmann_journal_lost_rows", "Forecast rows that will never be in the journal.")
        self._failures = Gauge("rossmann_journal_failures", "Failed attempts to write to the journal.")
        self._load_failed = Gauge(
            "rossmann_load_failed", "1 while the requested model version or snapshot cannot be loaded, else 0."
        )

    def count_response(self, status: int) -> None:
        """Count a response by its HTTP status."""
        self._responses.inc(tags={"status": str(status)})

    def count_forecasts(self, model_version: int, rows: int, latency_ms: float) -> None:
        """Count the rows of one response, and its latency."""
        self._rows.inc(rows, {"model_version": str(model_version)})
        self._latency.observe(latency_ms)

    def update(self, model: LoadedModel, load_failed: bool, journal: JournalHealth, now: datetime) -> None:
        """Set every gauge to the present state."""
        self._version.set(model.version, {"snapshot": model.snapshot.fingerprint})
        self._snapshot_age.set((now - datetime.fromisoformat(model.snapshot.created)).total_seconds())
        self._origin_age.set((now.date() - to_date(model.state.origin)).days)
        self._load_failed.set(int(load_failed))
        self._pending.set(journal.pending_rows)
        self._lost.set(journal.lost_rows)
        self._failures.set(journal.failures)


async def collect() -> str:
    """The metrics of Serve and of the endpoint from all nodes, in Prometheus' text format.

    A node that does not respond is left out, since it may be leaving the cluster; DataError if none responds.
    """
    if not ray.is_initialized():
        raise DataError("no metrics: this process is not part of a Ray cluster")
    agents = [(node["NodeManagerAddress"], node["MetricsExportPort"]) for node in ray.nodes() if node["Alive"]]
    texts = []
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        for host, port in agents:
            try:
                texts.append((await client.get(f"http://{host}:{port}/metrics")).text)
            except httpx.HTTPError:
                continue
    if not texts:
        raise DataError("no metrics: no node of the Ray cluster responds; try again")
    return "\n".join(_exported_lines(texts)) + "\n"


def _exported_lines(texts: Iterable[str]) -> list[str]:
    """The lines of Serve and of the endpoint; every HELP and TYPE line once, before the first of its metric."""
    lines: dict[str, None] = {}
    for text in texts:
        lines.update(dict.fromkeys(line for line in text.splitlines() if EXPORTED.match(line)))
    return list(lines)
