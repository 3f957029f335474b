"""A forecast beside an earlier one of the same day: which two are compared, and what the reader must know."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from rossmann.explain.evenings import Evening, find_evening
from rossmann.explain.movement import Movement
from rossmann.explain.reasons import Basis
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.validation import DataError


@dataclass(frozen=True)
class Source:
    """What a forecast was made from."""

    model_version: int
    train_end: str  # of the model, an ISO date
    evening: Evening
    plan: str | None = None  # the file of a caller's plan; None: as published, or the rows of a request

    def document(self) -> dict[str, object]:
        """The source for JSON, on the command line and over HTTP."""
        return {
            "model_version": self.model_version,
            "snapshot": self.evening.snapshot,
            "origin": str(self.evening.origin),
            "is_cut": self.evening.is_cut,
            "plan": self.plan,
        }


@dataclass(frozen=True)
class Reading:
    """Where the snapshots are, and how models and States are read: each reader has a way of its own, often a cache."""

    snapshots: str  # the folder of all snapshots
    train_end: Callable[[int], str]  # of a model version; DataError for an unknown one
    forecaster: Callable[[int], Forecaster]  # of a model version; DataError for one that cannot be read
    state: Callable[[Evening], State]


@dataclass(frozen=True)
class EarlierForecast:
    """The forecast of the same day from which a movement is counted, and why the later one is different."""

    source: Source
    movement: Movement  # from it to the later one

    def document(self) -> dict[str, object]:
        """The movement for JSON, on the command line and over HTTP."""
        causes = {name: getattr(self.movement, name) for name in ("before", "after", "actuals", "plan", "model")}
        return {"from": self.source.document(), **causes}


def earlier_source(
    source: Source, current: str, since: date | None, since_version: int | None, reading: Reading
) -> Source:
    """What the forecast to compare with is made from.

    What is not named is as in the forecast of `source`; the plan is the published one. current: the snapshot that is
    cut where none ends on the evening. DataError for a later evening, and for an unknown version.
    """
    evening, version, train_end = source.evening, source.model_version, source.train_end
    if since is not None and np.datetime64(since) != evening.origin:
        if np.datetime64(since) > evening.origin:
            raise DataError(
                f"since {since}: the forecast is from the evening of {evening.origin}; choose an earlier one"
            )
        evening = find_evening(reading.snapshots, current, np.datetime64(since))
    if since_version is not None and since_version != version:
        version, train_end = since_version, reading.train_end(since_version)
    return Source(version, train_end, evening)


def earlier_basis(earlier: Source, source: Source, basis: Basis, reading: Reading) -> Basis:
    """What is the same as in the forecast of `source`, whose basis is there, is not read again."""
    forecaster, state = basis.forecaster, basis.state
    if earlier.model_version != source.model_version:
        forecaster = reading.forecaster(earlier.model_version)
    if earlier.evening != source.evening:
        state = reading.state(earlier.evening)
    return Basis(forecaster, state)


def notes(day: date, source: Source, earlier: Source | None) -> list[str]:
    """What the reader must know: what was known on an evening is not exactly there, or a model has seen the day."""
    sources = [source] if earlier is None else [source, earlier]
    cut = sorted({str(each.evening.origin) for each in sources if each.evening.is_cut})
    lines = [
        f"no snapshot ends on {end}: sales and plan are those of the current one, with later corrections" for end in cut
    ]
    ends = {each.model_version: each.train_end for each in sources}
    lines += [
        f"model version {version} was trained until {end}: it knows this day"
        for version, end in ends.items()
        if end >= day.isoformat()
    ]
    return lines
