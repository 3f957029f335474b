"""What a replica holds: one model, one State, and the forecasts of the whole published plan; swapped as one."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rossmann import data, features, registry
from rossmann.data import Plan, Snapshot
from rossmann.features import HORIZON_DAYS, State
from rossmann.models import Forecast, Forecaster
from rossmann.registry import Registered, Registry
from rossmann.validation import DataError

T = TypeVar("T", Plan, Forecast)
TOLD = ("open", "promo", "state_holiday", "school_holiday")


@dataclass(frozen=True)
class Held:
    """A champion ready to answer; never changed, only replaced."""

    version: Registered
    snapshot: Snapshot
    state: State
    forecaster: Forecaster
    published: Plan  # every store × the HORIZON_DAYS, by store, then day
    stored: Forecast  # of `published`

    def forecast(self, plan: Plan) -> Forecast:
        """As predicted; the rows of stores that are asked as published are looked up, since they are forecast already.

        A row sees its store's other rows in the plan, so one that differs sends all rows of its store to the model.
        """
        at = self.state.positions(plan.store) * HORIZON_DAYS + (plan.date - self.state.origin).astype(np.int64) - 1
        differs = np.zeros(len(plan), bool)
        for name in TOLD:
            differs |= getattr(plan, name) != getattr(self.published, name)[at]
        if not differs.any():
            return _rows(self.stored, at)
        touched = np.isin(plan.store, plan.store[differs])
        if touched.all():
            return self.forecaster.predict(self.state, plan)
        predicted = self.forecaster.predict(self.state, _rows(plan, touched))
        return Forecast(**{name: _laid(values[at], touched, getattr(predicted, name))
                           for name, values in vars(self.stored).items()})  # fmt: skip

    def of_store(self, number: int) -> tuple[Plan, Forecast] | None:
        """The stored days of one store; None if it is unknown."""
        at = int(np.searchsorted(self.state.stores, number))
        if at == len(self.state.stores) or self.state.stores[at] != number:
            return None
        days = np.arange(at * HORIZON_DAYS, (at + 1) * HORIZON_DAYS)
        return _rows(self.published, days), _rows(self.stored, days)


def hold(known: Registry, snapshots: str, version: int | None, fingerprint: str | None) -> Held:
    """Load and warm a version on a snapshot; default: the champion and the current snapshot. Raises DataError."""
    wanted = registry.champion(known) if version is None else _version(known, version)
    forecaster = registry.load(known, wanted)
    whole = data.resolve_snapshot(snapshots, fingerprint)
    (snapshot,) = (each for each in data.list_snapshots(snapshots) if each.fingerprint == whole)
    state = features.summarise(data.load_snapshot(snapshots, whole))
    published = publish(state)
    return Held(wanted, snapshot, state, forecaster, published, forecaster.predict(state, published))


def publish(state: State) -> Plan:
    """The published plan of every store and coming day."""
    stores, ahead = len(state.stores), slice(-HORIZON_DAYS, None)
    told = {name: getattr(state.calendar, name)[:, ahead].ravel() for name in TOLD}
    return Plan(np.repeat(state.stores, HORIZON_DAYS), np.tile(state.calendar.dates[ahead], stores), **told)


def _version(known: Registry, number: int) -> Registered:
    for version in registry.versions(known):
        if version.version == number:
            return version
    raise DataError(f"there is no model version {number} in the registry (rossmann models)")


def _rows(table: T, which: np.ndarray) -> T:
    return type(table)(**{name: values[which] for name, values in vars(table).items()})


def _laid(values: np.ndarray, where: np.ndarray, others: np.ndarray) -> np.ndarray:
    values[where] = others
    return values
