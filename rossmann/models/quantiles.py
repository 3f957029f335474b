"""Quantiles of a forecast, calibrated on the residuals of its backtest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rossmann.schema import INTERVAL_COVERAGES, QUANTILE_LEVELS
from rossmann.validation import DataError

FILE, INTERVAL_FILE = "quantiles.npz", "interval_quantiles.npz"
MEDIAN = 0.5  # a level
DECIMALS = 6  # of a level: (1 - 0.9) / 2 is 0.05


@dataclass(frozen=True)
class Quantiles:
    """Split conformal quantiles: those of log residuals, in units of each row's own standard deviation.

    The standard deviation is the linear model's (`PlanRows.standard_deviation`): by store, weekday and kind of day.
    """

    levels: tuple[float, ...]  # ascending, within (0, 1); those of the two bounds are among them
    offsets: tuple[float, ...]  # of each level: log(quantile / forecast) in standard deviations; never descending
    coverage: float  # nominal share of days between the bounds

    @staticmethod
    def of_document(document: Mapping[str, Any]) -> "Quantiles":
        """The quantiles whose fields were written as JSON."""
        return Quantiles(tuple(document["levels"]), tuple(document["offsets"]), document["coverage"])

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of each level in tables and responses: q05, q10, …, q97.5."""
        return tuple(column_name(level) for level in self.levels)

    @property
    def bands(self) -> tuple[tuple[float, str, str], ...]:
        """The central prediction intervals, the widest first: coverage, column of the lower and of the upper bound."""
        names = dict(zip(self.levels, self.columns, strict=True))
        pairs = ((level, round(1 - level, DECIMALS)) for level in self.levels if level < 0.5)
        return tuple(
            (round(upper - lower, DECIMALS), names[lower], names[upper]) for lower, upper in pairs if upper in names
        )

    def around(self, standard_deviation: np.ndarray, forecast: np.ndarray) -> np.ndarray:
        """The quantiles of forecasts with this standard deviation of log sales; 0 where the forecast is 0.

        float64 [rows, levels], never descending along the levels.
        """
        quantiles = [_shifted(forecast, standard_deviation, offset) for offset in self.offsets]
        return np.stack(quantiles, axis=-1)

    def by_name(self, standard_deviation: np.ndarray, forecast: np.ndarray) -> dict[str, np.ndarray]:
        """The same by the names of `columns`. float64 [rows] each"""
        return dict(zip(self.columns, self.around(standard_deviation, forecast).T, strict=True))

    def bounds(self, standard_deviation: np.ndarray, forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The two quantiles with `coverage` between them: lower and upper bounds. float64 [rows] each"""
        lower, upper = (self.offsets[self.levels.index(level)] for level in bound_levels(self.coverage))
        return _shifted(forecast, standard_deviation, lower), _shifted(forecast, standard_deviation, upper)

    def scaled_about_median(self, factor: float) -> "Quantiles":
        """A copy whose distances from the median are multiplied by `factor`. ValueError without a median.

        They are clipped, so that the forecast stays between the bounds.
        """
        median = self.offsets[self.levels.index(MEDIAN)]
        offsets = median + factor * (np.array(self.offsets) - median)
        return replace(self, offsets=clip_to_bounds(np.array(self.levels), offsets, self.coverage))

    def save(self, file: Path) -> None:
        """Write a file of this name into an existing folder."""
        np.savez(file, **vars(self))


def load(file: Path) -> Quantiles | None:
    """What `save` wrote; None if there is no file."""
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as arrays:
        levels, offsets = (tuple(arrays[name].tolist()) for name in ("levels", "offsets"))
        return Quantiles(levels, offsets, float(arrays["coverage"]))


def calibrate(
    standard_deviation: np.ndarray,
    log_residual: np.ndarray,
    coverage: float,
    levels: Iterable[float] = QUANTILE_LEVELS,
) -> Quantiles:
    """Quantiles from the log(sales / forecast) of backtest rows. DataError without rows.

    standard_deviation, log_residual: of each row, [rows] each.
    coverage: the nominal share of days between the bounds, for example 0.9. Their two levels are added to `levels`.
    """
    if not len(log_residual):
        raise DataError("no backtest rows with sales to calibrate quantiles on; backtest at least one fold first")
    scaled = np.sort(np.asarray(log_residual) / standard_deviation)
    all_levels = np.unique(np.round([*levels, *bound_levels(coverage)], DECIMALS))
    offsets = np.array([_conformal_quantile(scaled, level) for level in all_levels])
    return Quantiles(tuple(all_levels.tolist()), clip_to_bounds(all_levels, offsets, coverage), float(coverage))


def clip_to_bounds(levels: np.ndarray, offsets: np.ndarray, coverage: float) -> tuple[float, ...]:
    """Ascending offsets [levels] with 0 between those of the two bounds, so that the forecast is between them."""
    lower, upper = bound_levels(coverage)
    at_most, at_least = np.where(levels <= lower, 0, np.inf), np.where(levels >= upper, 0, -np.inf)
    return tuple(np.clip(offsets, at_least, at_most).tolist())


def bound_levels(coverage: float) -> tuple[float, float]:
    """The levels of the lower and of the upper bound: 0.05 and 0.95 for 0.9."""
    return round((1 - coverage) / 2, DECIMALS), round((1 + coverage) / 2, DECIMALS)


def interval_levels() -> tuple[float, ...]:
    """Levels of the interval quantiles: the bounds of each of INTERVAL_COVERAGES, and the median."""
    return tuple(sorted({MEDIAN, *(level for coverage in INTERVAL_COVERAGES for level in bound_levels(coverage))}))


def column_name(level: float) -> str:
    """q05 for 0.05, q50 for 0.5, q97.5 for 0.975."""
    percent = f"{round(100 * level, DECIMALS):g}"
    return f"q0{percent}" if level < 0.1 else f"q{percent}"


def _shifted(forecast: np.ndarray, standard_deviation: np.ndarray, offset: float) -> np.ndarray:
    return forecast * np.exp(offset * standard_deviation)


def _conformal_quantile(ascending: np.ndarray, level: float) -> float:
    """The split-conformal quantile of ascending residuals [rows]; the most extreme one if there are too few rows.

    From the middle on, the smallest value that a new residual does not exceed with probability ≥ level. Below it,
    mirrored: the largest value that a new residual is at or above with probability ≥ 1 - level.
    """
    rows = len(ascending)
    position = int(np.ceil(round((rows + 1) * max(level, 1 - level), DECIMALS))) - 1  # from the far end
    position = min(position, rows - 1)
    return float(ascending[position if level >= 0.5 else rows - 1 - position])
