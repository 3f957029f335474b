"""Quantiles that follow the outcomes: after each day each of them moves towards its level.

This is the quantile tracking of conformal PID control (Angelopoulos, Candès, Tibshirani 2023), an ACI whose state is
the offset itself. A file beside the State of a snapshot has the quantiles after all days of the snapshot, written once;
so the batch and the endpoint have the same.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date

import numpy as np

from rossmann.models.forecaster import Forecaster
from rossmann.models.quantiles import Quantiles, clip_to_bounds
from rossmann.storage import Storage

STEP = 0.05  # standard deviations: the median moves by half of it for a day whose sales are all on one side
MIN_TAIL = 0.05  # quantiles further out move as this one: a single day must not move them by several deviations
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdaptiveQuantiles:
    """The calibrated quantiles of a model, and the same after they followed the outcomes up to `until`."""

    model: Quantiles  # as calibrated with the model
    current: Quantiles
    until: date  # the last day whose outcomes they follow
    interval_quantiles: Quantiles | None = None  # current; None: neither model nor file has them

    def after(self, days: Iterable[np.ndarray], until: date) -> "AdaptiveQuantiles":
        """These after the outcomes of the days up to `until`, as `follow_outcomes` takes them."""
        outcomes = list(days)
        intervals = follow_outcomes(self.interval_quantiles, outcomes) if self.interval_quantiles else None
        return AdaptiveQuantiles(self.model, follow_outcomes(self.current, outcomes), until, intervals)

    def save(self, snapshots: str, fingerprint: str) -> None:
        """Write the file of the model beside the State of a snapshot."""
        content = json.dumps(asdict(self) | {"until": self.until.isoformat()}).encode()
        _folder(snapshots, fingerprint).write(file_name(self.model), f"{_digest(content)}\n".encode() + content)


def load_adaptive_quantiles(snapshots: str, fingerprint: str, calibrated: Quantiles) -> AdaptiveQuantiles | None:
    """What `save` wrote for a model with these calibrated quantiles; None if there is no file, or a damaged one."""
    folder, name = _folder(snapshots, fingerprint), file_name(calibrated)
    if not folder.exists(name):
        return None
    digest, _, content = folder.read(name).partition(b"\n")
    if _digest(content).encode() != digest:
        log.warning("%s was changed: the quantiles are those of the training", folder.address(name))
        return None
    fields = json.loads(content)
    model, current = (Quantiles.of_document(fields[name]) for name in ("model", "current"))
    document = fields.get("interval_quantiles")
    intervals = Quantiles.of_document(document) if document else None
    return AdaptiveQuantiles(model, current, date.fromisoformat(fields["until"]), intervals)


def adapt(forecaster: Forecaster, snapshots: str, fingerprint: str) -> Forecaster:
    """The forecaster with the quantiles that a snapshot has for it; as it is where the snapshot has none."""
    stored = load_adaptive_quantiles(snapshots, fingerprint, forecaster.quantiles) if forecaster.quantiles else None
    if stored is None:
        return forecaster
    adapted = forecaster.with_quantiles(stored.current)
    return adapted.with_interval_quantiles(stored.interval_quantiles) if stored.interval_quantiles else adapted


def follow_outcomes(quantiles: Quantiles, days: Iterable[np.ndarray]) -> Quantiles:
    """The quantiles after the outcomes of some days, in the order of the days.

    days: of each day log(sales / forecast) of its forecasts, in standard deviations. [rows of the day, at least one]
    """
    levels, offsets = np.array(quantiles.levels), np.array(quantiles.offsets)
    # Few sales are near an outer quantile, so it moves further.
    steps = STEP / (2 * np.maximum(np.minimum(levels, 1 - levels), MIN_TAIL))
    for errors in days:
        share_below = (errors[:, None] <= offsets).mean(axis=0)
        offsets = offsets + steps * (levels - share_below)
    return replace(quantiles, offsets=clip_to_bounds(levels, np.sort(offsets), quantiles.coverage))


def file_name(calibrated: Quantiles) -> str:
    """The name of the file of the model with these calibrated quantiles."""
    return f"quantiles-{_digest(repr(calibrated).encode())[:16]}.json"


def _folder(snapshots: str, fingerprint: str) -> Storage:
    return Storage(snapshots).subfolder(fingerprint)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
