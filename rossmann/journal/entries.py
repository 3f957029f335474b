"""What is written to the journal: who asked, for what purpose, which model answered, and the rows of the answer.

The forecast of a model version for the whole published plan of a snapshot, a *batch*, is stored once. An answer that
consists of its rows refers to them; only other rows are stored with the answer.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from rossmann.data import Plan
from rossmann.models import Forecast, Quantiles

OPERATIONAL = "operational"  # rows of the published plan: what the company acts on, and what monitoring scores
QUESTION = "question"  # other rows: what would be if
SMOKE = "smoke"  # a comparison of the endpoint with the batch after a deployment
BATCH_PREFIX = "published-"  # of the request id of a stored batch


@dataclass(frozen=True)
class ForecastRows:
    """Rows that are stored with their answer."""

    plan: Plan  # as requested, arrays [rows]
    forecast: Forecast
    quantiles: Quantiles | None  # of the model; with the standard deviation of each row they are those of the forecast
    label: np.ndarray | None = None  # of each row's store, str [rows]; None: stores have only numbers

    def __len__(self) -> int:
        return len(self.plan)


@dataclass(frozen=True)
class BatchRows:
    """Rows of a stored batch."""

    batch: str  # its request id
    positions: np.ndarray  # of the rows in the batch. int32 [rows]

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class JournalEntry:
    """One request and its answer; or a batch, whose answer's rows others refer to."""

    request_id: str  # unique
    at: datetime  # of the response, with its time zone
    source: str  # http or batch
    purpose: str  # OPERATIONAL, QUESTION or SMOKE
    model_version: int
    snapshot: str  # fingerprint of the history
    origin: np.datetime64
    latency_ms: float
    answer: ForecastRows | BatchRows

    @property
    def batch(self) -> str | None:
        """The request id of the stored batch that the answer's rows are of; None if it has rows of its own."""
        return self.answer.batch if isinstance(self.answer, BatchRows) else None

    @property
    def is_batch(self) -> bool:
        """Whether this is a stored batch and not a request."""
        return self.request_id.startswith(BATCH_PREFIX)


def published_batch(
    model_version: int, snapshot: str, origin: np.datetime64, rows: ForecastRows, at: datetime
) -> JournalEntry:
    """The forecast of a whole published plan, as an entry whose id is the same for every writer."""
    request_id = f"{BATCH_PREFIX}{model_version}-{snapshot}-{_digest(rows)}"
    return JournalEntry(request_id, at, "batch", OPERATIONAL, model_version, snapshot, origin, 0.0, rows)


def _digest(rows: ForecastRows) -> str:
    """16 hex digits: a hash of all values. A registry that begins again has the same version numbers for others."""
    content = b"".join(np.ascontiguousarray(values).tobytes() for values in vars(rows.forecast).values())
    return hashlib.sha256(content + repr(rows.quantiles).encode()).hexdigest()[:16]


def to_ranges(positions: np.ndarray) -> str:
    """Positions in their order as ranges of consecutive ones: [0, 1, 2, 9] as "0-2,9"."""
    if len(positions) == 1:
        return str(positions[0])
    breaks = np.flatnonzero(np.diff(positions) != 1) + 1
    return ",".join(
        str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in np.split(positions, breaks) if len(part)
    )


def from_ranges(text: str) -> np.ndarray:
    """The positions of `to_ranges`. int32 [rows]"""
    bounds = [part.partition("-")[::2] for part in text.split(",") if part]
    ranges = [np.arange(int(first), int(last or first) + 1, dtype=np.int32) for first, last in bounds]
    return np.concatenate(ranges) if ranges else np.zeros(0, np.int32)
