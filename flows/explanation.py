"""Why the forecast of a store and day is what it is, and why it moved, from the workspace. Without Prefect."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from flows import workspace
from rossmann import data, explain, registry
from rossmann.data import Plan, store_labels
from rossmann.explain import DataAsOf, EarlierForecast, ForecastInputs, InputLoaders, InputVersions, Reasons
from rossmann.features import State
from rossmann.settings import Settings
from rossmann.validation import DataError


@dataclass(frozen=True)
class Explanation:
    """The reasons of a forecast, and, where another one is named, why it moved."""

    store: int | str  # as the chain's files call it
    reasons: Reasons
    versions: InputVersions
    earlier: EarlierForecast | None
    unit: str  # of all amounts

    def notes(self) -> list[str]:
        """What the reader must know."""
        return explain.notes(self.reasons.date, self.versions, self.earlier.versions if self.earlier else None)


def explain_day(
    settings: Settings,
    store: str,
    day: date,
    plan: str | None = None,
    since: date | None = None,
    since_version: int | None = None,
) -> Explanation:
    """Explain the champion's forecast of a store's day, from the latest data before it.

    plan: a file of rows that are laid over the published plan, as for `forecast`.
    since: the origin, and since_version: the model version, of the forecast to compare with; with one of the two, or
    with a plan, there is a comparison, and what is not named is as in the explained forecast, or as published.
    DataError for an unknown store, for a day that cannot be forecast, and for what the workspace lacks.
    """
    day_number, snapshots = np.datetime64(day), settings.workspace.snapshots
    current, loaders = data.current_snapshot(snapshots), _input_loaders(settings)
    model = registry.champion(workspace.registry(settings))
    data_before = explain.latest_data_before(snapshots, current, day_number)
    versions = InputVersions(model.version, model.card.train_end, data_before, plan)
    inputs = ForecastInputs(loaders.forecaster(model.version), loaders.state(data_before), _read_plan(versions))
    number = _store_number(inputs.state, store)
    reasons = explain.reasons_of_day(inputs, number, day_number)
    (name,) = data.store_names(inputs.state, np.array([number])).tolist()
    earlier = None
    if plan is not None or since is not None or since_version is not None:
        earlier_versions, earlier_inputs = explain.load_earlier_inputs(
            versions, inputs, current, since, since_version, loaders
        )
        earlier = EarlierForecast(earlier_versions, explain.why_it_moved(earlier_inputs, inputs, number, day_number))
    return Explanation(name, reasons, versions, earlier, inputs.state.chain.unit)


def _input_loaders(settings: Settings) -> InputLoaders:
    """From the registry and the snapshots, each time anew."""
    models = workspace.registry(settings)
    return InputLoaders(
        settings.workspace.snapshots,
        train_end=lambda version: registry.find_version(models, version).card.train_end,
        forecaster=lambda version: registry.load_forecaster(models, registry.find_version(models, version)),
        state=DataAsOf.state,
    )


def _read_plan(versions: InputVersions) -> Plan | None:
    return None if versions.plan is None else data.read_plan(versions.plan, versions.data.history())[0]


def _store_number(state: State, name: str) -> int:
    """The number of the store that a reader names by its label or number. DataError for an unknown one."""
    numbers = state.store_numbers.astype(str).tolist()
    labels = state.stores.label.tolist()
    for names in (labels, numbers):
        if name.strip() in names:
            return int(state.store_numbers[names.index(name.strip())])
    raise DataError(store_labels.unknown_store(state, name))


def actual_sales(explanation: Explanation) -> float | None:
    """What was sold on the explained day by the current snapshot; None for a day to come and for a missing one."""
    snapshots, reasons = explanation.versions.data.snapshots, explanation.reasons
    history = data.load_snapshot(snapshots)
    (sales,) = history.take("sales", np.array([reasons.store]), np.array([reasons.date], "datetime64[D]"))
    return None if np.isnan(sales) else float(sales)
