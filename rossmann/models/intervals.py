"""Lower and upper bounds around a forecast, calibrated on the residuals of its backtest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rossmann.validation import DataError

SHRINK_DAYS = 20  # a store's own scale has the same weight as the chain's when it has so many days
MIN_SCALE = 1e-9
FILE = "intervals.npz"


@dataclass(frozen=True)
class Intervals:
    """Split conformal intervals: quantiles of log residuals, in units of each store's own mean absolute residual."""

    coverage: float  # nominal share of days inside
    stores: np.ndarray  # store numbers, ascending. int32 [stores]
    scale: np.ndarray  # mean absolute log residual, shrunk to the chain's. float64 [stores]
    chain_scale: float  # the chain's, for a store without backtest rows
    low: float  # ≤ 0, in scales
    high: float  # ≥ 0, in scales

    def around(self, store: np.ndarray, forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of forecasts of these store numbers. float64 [rows] each"""
        scale = self._scale_of(np.asarray(store))
        return forecast * np.exp(self.low * scale), forecast * np.exp(self.high * scale)

    def save(self, folder: Path) -> None:
        """Write FILE into an existing folder."""
        np.savez(Path(folder) / FILE, **vars(self))

    def _scale_of(self, store: np.ndarray) -> np.ndarray:
        position = np.searchsorted(self.stores, store).clip(max=len(self.stores) - 1)
        return np.where(self.stores[position] == store, self.scale[position], self.chain_scale)


def load(folder: Path) -> Intervals | None:
    """What `save` wrote; None if the folder has no intervals."""
    if not (Path(folder) / FILE).exists():
        return None
    with np.load(Path(folder) / FILE, allow_pickle=False) as arrays:
        numbers = {name: float(arrays[name]) for name in ("coverage", "chain_scale", "low", "high")}
        return Intervals(stores=arrays["stores"], scale=arrays["scale"], **numbers)


def calibrate(store: np.ndarray, log_residual: np.ndarray, coverage: float) -> Intervals:
    """Intervals from the log(sales / forecast) of backtest rows. DataError without rows.

    store, log_residual: the store number and the log residual of each row, [rows] each.
    coverage: the nominal share of days inside, for example 0.9.
    """
    if not len(store):
        raise DataError("no backtest rows with sales to calibrate intervals on; backtest at least one fold first")
    stores, row_store, count = np.unique(store, return_inverse=True, return_counts=True)
    absolute = np.abs(log_residual)
    chain_scale = float(absolute.mean())
    scale = (np.bincount(row_store, absolute) + SHRINK_DAYS * chain_scale) / (count + SHRINK_DAYS)
    scale = np.maximum(scale, MIN_SCALE)
    scaled = np.sort(log_residual / scale[row_store])
    tail = (1 - coverage) / 2
    return Intervals(
        coverage=float(coverage),
        stores=stores.astype(np.int32),
        scale=scale,
        chain_scale=max(chain_scale, MIN_SCALE),
        low=min(0.0, -_conformal_quantile(-scaled[::-1], 1 - tail)),
        high=max(0.0, _conformal_quantile(scaled, 1 - tail)),
    )


def _conformal_quantile(ascending: np.ndarray, share: float) -> float:
    """The value that the next draw does not exceed with probability ≥ share; the largest if there are too few."""
    rank = int(np.ceil((len(ascending) + 1) * share))
    return float(ascending[min(rank, len(ascending)) - 1])
