"""Why the forecast of a store and day is what it is, and why it moved, from the workspace. Without Prefect."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from flows import workspace
from rossmann import data, explain, registry
from rossmann.data import Plan, store_labels
from rossmann.explain import Basis, EarlierForecast, Evening, Reading, Reasons, Source
from rossmann.features import State
from rossmann.settings import Settings
from rossmann.validation import DataError


@dataclass(frozen=True)
class Explanation:
    """The reasons of a forecast, and, where another one is named, why it moved."""

    store: int | str  # as the chain's files call it
    reasons: Reasons
    source: Source
    earlier: EarlierForecast | None
    unit: str  # of all amounts

    def notes(self) -> list[str]:
        """What the reader must know."""
        return explain.notes(self.reasons.date, self.source, self.earlier.source if self.earlier else None)


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
    current, reading = data.current_snapshot(snapshots), _reading(settings)
    model = registry.champion(workspace.registry(settings))
    evening = explain.evening_before(snapshots, current, day_number)
    source = Source(model.version, model.card.train_end, evening, plan)
    basis = Basis(reading.forecaster(model.version), reading.state(evening), _read_plan(source))
    number = _store_number(basis.state, store)
    reasons = explain.reasons_of_day(basis, number, day_number)
    (name,) = data.store_names(basis.state, np.array([number])).tolist()
    earlier = None
    if plan is not None or since is not None or since_version is not None:
        other = explain.earlier_source(source, current, since, since_version, reading)
        before = explain.earlier_basis(other, source, basis, reading)
        earlier = EarlierForecast(other, explain.why_it_moved(before, basis, number, day_number))
    return Explanation(name, reasons, source, earlier, basis.state.chain.unit)


def _reading(settings: Settings) -> Reading:
    """From the registry and the snapshots, each time anew."""
    models = workspace.registry(settings)
    return Reading(
        settings.workspace.snapshots,
        train_end=lambda version: registry.find_version(models, version).card.train_end,
        forecaster=lambda version: registry.load_forecaster(models, registry.find_version(models, version)),
        state=Evening.state,
    )


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
