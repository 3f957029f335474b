"""Bounds around a forecast, learnt from how wrong its backtest was."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rossmann.validation import DataError

SHRINK_DAYS = 20  # a store's own scale counts as much as the chain's when it has this many days
FILE = "intervals.npz"


@dataclass(frozen=True)
class Intervals:
    """Split conformal: quantiles of log residuals in units of each store's own typical residual."""

    coverage: float  # nominal
    stores: np.ndarray  # ascending. int32 [stores]
    scale: np.ndarray  # mean absolute log residual, shrunk to the chain's. [stores]
    other_scale: float  # of a store that was not there
    low: float  # ≤ 0, in scales
    high: float  # ≥ 0

    def around(self, store: np.ndarray, forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the forecasts. [rows] each"""
        scale = self._scale_of(np.asarray(store))
        return forecast * np.exp(self.low * scale), forecast * np.exp(self.high * scale)

    def save(self, folder: Path) -> None:
        np.savez(Path(folder) / FILE, **vars(self))

    @staticmethod
    def load(folder: Path) -> "Intervals":
        with np.load(Path(folder) / FILE, allow_pickle=False) as kept:
            numbers = {name: float(kept[name]) for name in ("coverage", "other_scale", "low", "high")}
            return Intervals(stores=kept["stores"], scale=kept["scale"], **numbers)

    def _scale_of(self, store: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(self.stores, store), len(self.stores) - 1)
        return np.where(self.stores[at] == store, self.scale[at], self.other_scale)


def calibrate(store: np.ndarray, log_residual: np.ndarray, coverage: float) -> Intervals:
    """From log(sales / forecast) of backtest rows. DataError without rows."""
    if not len(store):
        raise DataError("no backtest rows with sales to calibrate intervals on; backtest at least one fold first")
    stores, own, count = np.unique(store, return_inverse=True, return_counts=True)
    size = np.abs(log_residual)
    pooled = float(size.mean())
    scale = (np.bincount(own, size) + SHRINK_DAYS * pooled) / (count + SHRINK_DAYS)
    scale = np.maximum(scale, 1e-9)
    scaled = np.sort(log_residual / scale[own])
    tail = (1 - coverage) / 2
    return Intervals(
        coverage=float(coverage),
        stores=stores.astype(np.int32),
        scale=scale,
        other_scale=max(pooled, 1e-9),
        low=min(0.0, -_quantile(-scaled[::-1], 1 - tail)),
        high=max(0.0, _quantile(scaled, 1 - tail)),
    )


def _quantile(ascending: np.ndarray, share: float) -> float:
    """The value that the next draw stays below with probability ≥ share; the largest if there are too few."""
    rank = int(np.ceil((len(ascending) + 1) * share))
    return float(ascending[min(rank, len(ascending)) - 1])
