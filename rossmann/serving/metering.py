"""What the endpoint counts, beside what Serve counts itself; Ray gathers it per node and shows it to Prometheus."""

import re
from collections.abc import Iterable

import httpx
import ray
from ray.util.metrics import Counter, Gauge, Histogram

from rossmann.validation import DataError

LATENCY_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]
SHOWN = re.compile(r"^(# (HELP|TYPE) )?(ray_serve_|ray_rossmann_|rossmann_)")
PATIENCE_S = 5


class Meter:
    """One per process; every number is per replica until Prometheus sums it up."""

    def __init__(self):
        self._requests = Counter("rossmann_requests", "Requests answered, by HTTP status.", ("status",))
        self._rows = Counter("rossmann_forecasts", "Forecasts made: rows answered.", ("model_version",))
        self._latency = Histogram(
            "rossmann_latency_ms", "From a body that is read to its answer, ms.", boundaries=LATENCY_MS
        )
        self._version = Gauge("rossmann_model_version", "The version that answers.", ("snapshot",))
        self._age = Gauge("rossmann_snapshot_age_seconds", "Since the snapshot in use was made.")
        self._origin_age = Gauge("rossmann_origin_age_days", "Days since the last known day of sales.")
        self._pending = Gauge("rossmann_journal_pending_rows", "Forecasts that are not in the journal yet.")
        self._lost = Gauge("rossmann_journal_lost_rows", "Forecasts that never will be: the journal was away too long.")
        self._failures = Gauge("rossmann_journal_failures", "Tries to write to the journal that failed.")
        self._refused = Gauge("rossmann_swap_refused", "1 while a version or snapshot is wanted that cannot be loaded.")

    def answered(self, status: int) -> None:
        """A request has got its answer."""
        self._requests.inc(tags={"status": str(status)})

    def forecast(self, model_version: int, rows: int, latency_ms: float) -> None:
        """A request has got forecasts."""
        self._rows.inc(rows, {"model_version": str(model_version)})
        self._latency.observe(latency_ms)

    def state(
        self, version: int, snapshot: str, age_s: float, origin_age_days: float, refused: bool,
        pending: int, lost: int, failures: int,
    ) -> None:  # fmt: skip
        """How things are now."""
        self._version.set(version, {"snapshot": snapshot})
        self._age.set(age_s)
        self._origin_age.set(origin_age_days)
        self._refused.set(int(refused))
        for gauge, value in ((self._pending, pending), (self._lost, lost), (self._failures, failures)):
            gauge.set(value)


async def gathered() -> str:
    """What every node's agent tells Prometheus of Serve and of us, as text. DataError if no node answers."""
    if not ray.is_initialized():
        raise DataError("no metrics: this process is not part of a Ray cluster")
    agents = [(node["NodeManagerAddress"], node["MetricsExportPort"]) for node in ray.nodes() if node["Alive"]]
    texts = []
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        for host, port in agents:
            try:
                texts.append((await client.get(f"http://{host}:{port}/metrics")).text)
            except httpx.HTTPError:
                continue  # a node that is going; the others tell theirs
    if not texts:
        raise DataError("no metrics: no node of the Ray cluster answers; try again")
    return "\n".join(_ours(texts)) + "\n"


def _ours(texts: Iterable[str]) -> list[str]:
    """Serve's and our lines; what describes a metric only once, before the first of its lines."""
    lines: dict[str, None] = {}
    for text in texts:
        lines.update(dict.fromkeys(line for line in text.splitlines() if SHOWN.match(line)))
    return list(lines)
