"""Forecasts of many rows: in blocks of whole stores, which bounds their memory, on all cores of the machine.

A forecast depends on the rows of its own store only, so that the blocks have the same numbers as all rows at once.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from rossmann.data import Plan
from rossmann.features import State
from rossmann.models import Forecast, Forecaster, Quantiles
from rossmann.serving.server.cores import Cores

Rows = TypeVar("Rows", Plan, Forecast)

BLOCK_STORES = 100  # their panels fit into a core's cache; the rows of fewer stores are computed where they are


@dataclass(frozen=True)
class BlockForecaster:
    """A forecaster that computes many rows in blocks."""

    forecaster: Forecaster
    cores: Cores

    @property
    def quantiles(self) -> Quantiles | None:
        """The quantiles of the forecaster."""
        return self.forecaster.quantiles

    def predict(self, state: State, plan: Plan) -> Forecast:
        """The same numbers as `forecaster.predict(state, plan)`."""
        blocks = blocks_of_stores(plan.store)
        if len(blocks) == 1:
            return self.forecaster.predict(state, plan)
        forecasts = self.cores.map(lambda rows: self.forecaster.predict(state, take(plan, rows)), blocks)
        forecast = Forecast(*np.empty((len(fields(Forecast)), len(plan))))
        for rows, block in zip(blocks, forecasts, strict=True):
            replace_rows(forecast, rows, block)
        return forecast


def take(table: Rows, rows: np.ndarray) -> Rows:
    """The rows at these positions."""
    return type(table)(**{name: values[rows] for name, values in vars(table).items()})


def replace_rows(forecast: Forecast, rows: np.ndarray, other: Forecast) -> None:
    """Write a forecast of some rows into that of all, in place."""
    for name, values in vars(forecast).items():
        values[rows] = getattr(other, name)


def blocks_of_stores(store: np.ndarray) -> list[np.ndarray]:
    """The positions of all rows, in blocks of BLOCK_STORES stores."""
    if len(store) <= BLOCK_STORES:
        return [np.arange(len(store))]
    order = np.argsort(store, kind="stable")
    first_of_store = np.flatnonzero(np.diff(store[order], prepend=-1))
    return np.split(order, first_of_store[BLOCK_STORES::BLOCK_STORES])
