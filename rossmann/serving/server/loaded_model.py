"""The model of a replica with all that a forecast needs; replaced as a whole, never changed."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rossmann import data, features, registry
from rossmann.data import Plan, Snapshot
from rossmann.features import State
from rossmann.models import Forecast, Forecaster
from rossmann.registry import ModelCard, RegisteredModel, Registry
from rossmann.schema import CALENDAR_COLUMNS, DAY
from rossmann.serving.target import ServingTarget

Rows = TypeVar("Rows", Plan, Forecast)


@dataclass(frozen=True)
class Answer:
    """Rows and their forecasts."""

    plan: Plan
    forecast: Forecast
    positions: np.ndarray | None  # of the rows in the published plan, int32 [rows]; None if some differ from it


@dataclass(frozen=True)
class LoadedModel:
    """A model version, the State of a snapshot, and the forecast of that snapshot's whole published plan."""

    version: int
    card: ModelCard
    snapshot: Snapshot
    state: State
    forecaster: Forecaster
    plan: Plan  # the published one: every store × day of the horizon, by store, then date
    plan_forecast: Forecast  # of the rows of `plan`

    def answer(self, plan: Plan) -> Answer:
        """The same numbers as `forecaster.predict(state, plan)`, but rows as published are looked up.

        A row's features depend on all rows of its store in the plan. So one row that differs from the published plan
        sends all rows of its store to the model.
        """
        lead_days = (plan.date - self.state.origin) // DAY
        position = self.state.stores.positions(plan.store) * self.state.horizon_days + lead_days - 1
        differs = np.zeros(len(plan), bool)
        for name in CALENDAR_COLUMNS:
            differs |= getattr(plan, name) != getattr(self.plan, name)[position]
        published_forecast = _take(self.plan_forecast, position)
        if not differs.any():
            return Answer(plan, published_forecast, position.astype(np.int32))
        affected = np.isin(plan.store, plan.store[differs])
        if affected.all():
            return Answer(plan, self.forecaster.predict(self.state, plan), None)
        forecast = self.forecaster.predict(self.state, _take(plan, affected))
        return Answer(plan, _replace(published_forecast, affected, forecast), None)

    def store_answer(self, store: int) -> Answer | None:
        """The published plan of one store and its forecast; None for a store without a history."""
        rows = np.flatnonzero(self.plan.store == store).astype(np.int32)
        return Answer(_take(self.plan, rows), _take(self.plan_forecast, rows), rows) if len(rows) else None


def load_model(model_registry: Registry, snapshots: str, target: ServingTarget) -> LoadedModel:
    """Load a model version and a snapshot, and forecast the published plan. Raises DataError."""
    entry = _registered_model(model_registry, target.model_version)
    forecaster = registry.load_forecaster(model_registry, entry)
    fingerprint = data.resolve_snapshot(snapshots, target.snapshot)
    snapshot = data.describe_snapshot(snapshots, fingerprint)
    state = features.load_state(snapshots, fingerprint)
    plan = features.published_plan(state)
    forecast = forecaster.predict(state, plan)
    return LoadedModel(entry.version, entry.card, snapshot, state, forecaster, plan, forecast)


def _registered_model(model_registry: Registry, version: int | None) -> RegisteredModel:
    """The champion for None."""
    return registry.champion(model_registry) if version is None else registry.find_version(model_registry, version)


def _take(table: Rows, rows: np.ndarray) -> Rows:
    return type(table)(**{name: values[rows] for name, values in vars(table).items()})


def _replace(forecast: Forecast, where: np.ndarray, other: Forecast) -> Forecast:
    """`forecast` with the rows of the mask `where` from `other`, which has only these."""
    columns = {}
    for name, values in vars(forecast).items():
        columns[name] = values.copy()
        columns[name][where] = getattr(other, name)
    return Forecast(**columns)
