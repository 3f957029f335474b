"""The model of a replica with all that a forecast needs; replaced as a whole, never changed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rossmann import data, features, models, registry
from rossmann.data import Plan, Snapshot
from rossmann.data.known_values import published_covariates
from rossmann.features import State
from rossmann.models import Forecast, Quantiles
from rossmann.registry import ModelCard, Registry
from rossmann.schema import CALENDAR_COLUMNS
from rossmann.serving.server.blocks import BlockForecaster, replace_rows, take
from rossmann.serving.server.chain_rows import ChainFields
from rossmann.serving.server.cores import Cores
from rossmann.serving.target import ServingTarget


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
    forecaster: BlockForecaster
    plan: Plan  # the published one: every store × day of the horizon, by store, then date
    plan_forecast: Forecast  # of the rows of `plan`

    @property
    def quantiles(self) -> Quantiles | None:
        """The quantiles of the model; None if it has none."""
        return self.forecaster.quantiles

    @cached_property
    def fields(self) -> ChainFields | None:
        """What the rows of a request may contain beside the fields of every chain; None for Kaggle's."""
        return None if self.state.chain.is_kaggle else ChainFields(self.state)

    def answer(self, plan: Plan) -> Answer:
        """The same numbers as `forecaster.predict(state, plan)`, but rows as published are looked up.

        A row's features depend on all rows of its store in the plan. So one row that differs from the published plan
        sends all rows of its store to the model.
        """
        lead_days = (plan.date - self.state.origin).view(np.int64)
        store = self.state.stores.positions(plan.store)
        position = store * self.state.horizon_days + lead_days - 1
        differs = np.zeros(len(plan), bool)
        for name in CALENDAR_COLUMNS:
            differs |= getattr(plan, name) != getattr(self.plan, name)[position]
        if plan.covariates.shape[1]:
            day = self.state.calendar.positions(plan.date)
            published = published_covariates(self.state.calendar, store, day)
            differs |= ~np.isclose(plan.covariates, published, rtol=0, atol=0, equal_nan=True).all(axis=1)
        published_forecast = take(self.plan_forecast, position)
        if not differs.any():
            return Answer(plan, published_forecast, position.astype(np.int32))
        affected = differs if len(plan) == 1 else np.isin(plan.store, plan.store[differs])
        if affected.all():
            return Answer(plan, self.forecaster.predict(self.state, plan), None)
        replace_rows(published_forecast, affected, self.forecaster.predict(self.state, take(plan, affected)))
        return Answer(plan, published_forecast, None)

    def store_answer(self, store: int) -> Answer | None:
        """The published plan of one store and its forecast; None for a store without a history."""
        rows = np.flatnonzero(self.plan.store == store).astype(np.int32)
        return Answer(take(self.plan, rows), take(self.plan_forecast, rows), rows) if len(rows) else None


def load_model(model_registry: Registry, snapshots: str, cores: Cores, target: ServingTarget) -> LoadedModel:
    """Load a model version and a snapshot, and forecast the published plan. Raises DataError."""
    entry, trained_forecaster = registry.fetch_forecaster(model_registry, target.model_version)
    fingerprint = data.resolve_snapshot(snapshots, target.snapshot)
    forecaster = BlockForecaster(models.adapt(trained_forecaster, snapshots, fingerprint), cores)
    snapshot = data.describe_snapshot(snapshots, fingerprint)
    state = features.load_state(snapshots, fingerprint)
    plan = features.published_plan(state)
    forecaster.predict(state, take(plan, np.arange(1)))  # prepares what all blocks, and the first request, need
    forecast = forecaster.predict(state, plan)
    return LoadedModel(entry.version, entry.card, snapshot, state, forecaster, plan, forecast)
