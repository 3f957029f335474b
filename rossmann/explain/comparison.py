"""A forecast beside an earlier one of the same day: which two are compared, and what the reader must know."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from rossmann.explain.data_as_of import DataAsOf, find_data_as_of
from rossmann.explain.movement import Movement
from rossmann.explain.reasons import ForecastInputs
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.validation import DataError


@dataclass(frozen=True)
class InputVersions:
    """Which model, data and plan a forecast is made from."""

    model_version: int
    train_end: str  # of the model, an ISO date
    data: DataAsOf
    plan: str | None = None  # the file of a caller's plan; None: as published, or the rows of a request

    def document(self) -> dict[str, object]:
        """The versions for JSON, on the command line and over HTTP."""
        return {
            "model_version": self.model_version,
            "snapshot": self.data.snapshot,
            "origin": str(self.data.origin),
            "is_truncated": self.data.is_truncated,
            "plan": self.plan,
        }


@dataclass(frozen=True)
class InputLoaders:
    """How models and States are loaded: each caller has its own way, often a cache."""

    snapshots: str  # the folder of all snapshots
    train_end: Callable[[int], str]  # of a model version; DataError for an unknown one
    forecaster: Callable[[int], Forecaster]  # of a model version; DataError for one that cannot be read
    state: Callable[[DataAsOf], State]


@dataclass(frozen=True)
class EarlierForecast:
    """The forecast of the same day from which a movement is counted, and why the later one is different."""

    versions: InputVersions
    movement: Movement  # from it to the later one

    def document(self) -> dict[str, object]:
        """The movement for JSON, on the command line and over HTTP."""
        causes = {name: getattr(self.movement, name) for name in ("before", "after", "actuals", "plan", "model")}
        return {"from": self.versions.document(), **causes}


def load_earlier_inputs(
    versions: InputVersions,
    inputs: ForecastInputs,
    current: str,
    since: date | None,
    since_version: int | None,
    loaders: InputLoaders,
) -> tuple[InputVersions, ForecastInputs]:
    """The inputs of the earlier forecast to compare with, and their versions. Its plan is the published one.

    versions, inputs: of the later forecast.
    since: the origin of the earlier one. since_version: its model. None: that of the later one, as it is loaded.
    current: the snapshot that is truncated at `since` where no snapshot ends on that day.
    DataError for an origin after that of the later forecast, and for an unknown version.
    """
    earlier = _earlier_versions(versions, current, since, since_version, loaders)
    forecaster, state = inputs.forecaster, inputs.state
    if earlier.model_version != versions.model_version:
        forecaster = loaders.forecaster(earlier.model_version)
    if earlier.data != versions.data:
        state = loaders.state(earlier.data)
    return earlier, ForecastInputs(forecaster, state)


def _earlier_versions(
    versions: InputVersions, current: str, since: date | None, since_version: int | None, loaders: InputLoaders
) -> InputVersions:
    data, version, train_end = versions.data, versions.model_version, versions.train_end
    if since is not None and np.datetime64(since) != data.origin:
        if np.datetime64(since) > data.origin:
            raise DataError(
                f"since {since} is after the origin of the explained forecast, {data.origin}; choose an earlier day"
            )
        data = find_data_as_of(loaders.snapshots, current, np.datetime64(since))
    if since_version is not None and since_version != version:
        version, train_end = since_version, loaders.train_end(since_version)
    return InputVersions(version, train_end, data)


def notes(day: date, versions: InputVersions, earlier: InputVersions | None) -> list[str]:
    """What the reader must know: data include later corrections, or a model was trained on the day itself."""
    all_versions = [versions] if earlier is None else [versions, earlier]
    truncated_origins = sorted({str(each.data.origin) for each in all_versions if each.data.is_truncated})
    lines = [
        f"no snapshot ends on {end}: data up to {end} come from the current snapshot, which includes later corrections "
        "of sales and plan"
        for end in truncated_origins
    ]
    ends = {each.model_version: each.train_end for each in all_versions}
    lines += [
        f"model version {version} was trained until {end}: it knows this day"
        for version, end in ends.items()
        if end >= day.isoformat()
    ]
    return lines
