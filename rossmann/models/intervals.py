"""Lower and upper bounds around a forecast, calibrated on the residuals of its backtest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rossmann.validation import DataError

FILE = "intervals.npz"


@dataclass(frozen=True)
class Intervals:
    """Split conformal intervals: quantiles of log residuals, in units of each row's own standard deviation.

    The standard deviation is the linear model's (`PlanRows.standard_deviation`): by store, weekday and kind of day.
    """

    coverage: float  # nominal share of days inside
    low: float  # ≤ 0, in standard deviations
    high: float  # ≥ 0, in standard deviations

    def around(self, standard_deviation: np.ndarray, forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of forecasts with this standard deviation of log sales. float64 [rows] each"""
        return forecast * np.exp(self.low * standard_deviation), forecast * np.exp(self.high * standard_deviation)

    def save(self, folder: Path) -> None:
        """Write FILE into an existing folder."""
        np.savez(Path(folder) / FILE, **vars(self))


def load(folder: Path) -> Intervals | None:
    """What `save` wrote; None if the folder has no intervals."""
    if not (Path(folder) / FILE).exists():
        return None
    with np.load(Path(folder) / FILE, allow_pickle=False) as arrays:
        return Intervals(**{name: float(arrays[name]) for name in ("coverage", "low", "high")})


def calibrate(standard_deviation: np.ndarray, log_residual: np.ndarray, coverage: float) -> Intervals:
    """Intervals from the log(sales / forecast) of backtest rows. DataError without rows.

    standard_deviation, log_residual: of each row, [rows] each.
    coverage: the nominal share of days inside, for example 0.9.
    """
    if not len(log_residual):
        raise DataError("no backtest rows with sales to calibrate intervals on; backtest at least one fold first")
    scaled = np.sort(np.asarray(log_residual) / standard_deviation)
    tail = (1 - coverage) / 2
    return Intervals(
        coverage=float(coverage),
        low=min(0.0, -_conformal_quantile(-scaled[::-1], 1 - tail)),
        high=max(0.0, _conformal_quantile(scaled, 1 - tail)),
    )


def _conformal_quantile(ascending: np.ndarray, share: float) -> float:
    """The value that the next draw does not exceed with probability ≥ share; the largest if there are too few."""
    rank = int(np.ceil((len(ascending) + 1) * share))
    return float(ascending[min(rank, len(ascending)) - 1])
