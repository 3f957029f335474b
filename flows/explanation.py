"""Why the forecast of a store and day is what it is, and why it moved, from the workspace. Without Prefect."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from flows import workspace
from rossmann import data, explain, registry
from rossmann.data import Plan, store_labels
from rossmann.explain import Basis, Evening, Movement, Reasons
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.registry import RegisteredModel
from rossmann.settings import Settings
from rossmann.validation import DataError


@dataclass(frozen=True)
class Source:
    """What a forecast was made from."""

    model: RegisteredModel
    evening: Evening
    plan: str | None  # the file of a caller's plan; None: as published


@dataclass(frozen=True)
class EarlierForecast:
    """The forecast of the same day from which a movement is counted, and why the explained one is different."""

    source: Source
    movement: Movement  # from it to the explained one


@dataclass(frozen=True)
class Explanation:
    """The reasons of a forecast, and, where another one is named, why it moved."""

    store: int | str  # as the chain's files call it
    reasons: Reasons
    source: Source
    earlier: EarlierForecast | None
    unit: str  # of all amounts


def explain_day(
    settings: Settings,
    store: str,
    day: date,
    plan: str | None = None,
    since: date | None = None,
    since_version: int | None = None,
) -> Explanation:
    """Explain the champion's forecast of a store's day, from the newest evening before it.

    plan: a file of rows that are laid over the published plan, as for `forecast`.
    since: the evening, and since_version: the model version, from which the movement is counted; with one of the
    two, or with a plan, there is one, and what is not named is as in the explained forecast, or as published.
    DataError for an unknown store, for a day that cannot be forecast, and for what the workspace lacks.
    """
    day_number, snapshots = np.datetime64(day), settings.workspace.snapshots
    model = registry.champion(workspace.registry(settings))
    source = Source(model, explain.evening_before(snapshots, day_number), plan)
    state = source.evening.state()
    basis = Basis(_forecaster(settings, model), state, _read_plan(source))
    number = _store_number(state, store)
    reasons = explain.reasons_of_day(basis, number, day_number)
    (name,) = data.store_names(state, np.array([number])).tolist()
    earlier = None
    if plan is not None or since is not None or since_version is not None:
        earlier_source = _earlier_source(settings, source, since, since_version)
        before = _earlier_basis(settings, earlier_source, source, basis)
        earlier = EarlierForecast(earlier_source, explain.why_it_moved(before, basis, number, day_number))
    return Explanation(name, reasons, source, earlier, state.chain.unit)


def _earlier_source(settings: Settings, source: Source, since: date | None, since_version: int | None) -> Source:
    """What is not named is as in the explained forecast; the plan is the published one."""
    evening, model = source.evening, source.model
    if since is not None:
        if np.datetime64(since) > evening.origin:
            raise DataError(
                f"since {since}: the forecast is from the evening of {evening.origin}; choose an earlier one"
            )
        evening = explain.find_evening(settings.workspace.snapshots, np.datetime64(since))
    if since_version is not None:
        model = registry.find_version(workspace.registry(settings), since_version)
    return Source(model, evening, None)


def _earlier_basis(settings: Settings, earlier: Source, source: Source, basis: Basis) -> Basis:
    """What is the same as in the explained forecast is not loaded again."""
    forecaster, state = basis.forecaster, basis.state
    if earlier.model.version != source.model.version:
        forecaster = _forecaster(settings, earlier.model)
    if earlier.evening != source.evening:
        state = earlier.evening.state()
    return Basis(forecaster, state)


def _forecaster(settings: Settings, model: RegisteredModel) -> Forecaster:
    return registry.load_forecaster(workspace.registry(settings), model)


def _read_plan(source: Source) -> Plan | None:
    return None if source.plan is None else data.read_plan(source.plan, source.evening.history())[0]


def _store_number(state: State, name: str) -> int:
    """The number of the store that a reader names by its label or number. DataError for an unknown one."""
    numbers = state.store_numbers.astype(str).tolist()
    labels = state.stores.label.tolist()
    for names in (labels, numbers):
        if name in names:
            return int(state.store_numbers[names.index(name)])
    raise DataError(store_labels.unknown_store(state, name))


def actual_sales(explanation: Explanation) -> float | None:
    """What was sold on the explained day by the current snapshot; None for a day to come and for a missing one."""
    snapshots, reasons = explanation.source.evening.snapshots, explanation.reasons
    history = data.load_snapshot(snapshots)
    (sales,) = history.take("sales", np.array([reasons.store]), np.array([reasons.date], "datetime64[D]"))
    return None if np.isnan(sales) else float(sales)
