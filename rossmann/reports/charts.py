"""Charts as inline SVG. Their colours are the page's, so that they follow its light and its dark style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.evaluation import Backtest, scored_rows
from rossmann.schema import DAY

WIDTH, HEIGHT = 1040, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 28  # margins in which the axes' texts are
CALIBRATION_SIZE = 340
LONGEST_GAP = 3  # days without sales that a line crosses: a weekend, not the time between two folds


@dataclass(frozen=True)
class Tick:
    """A position on an axis, in units of the drawing, and its text."""

    position: float
    text: str


@dataclass(frozen=True)
class Lines:
    """Sales and forecasts of all stores by day."""

    sales: str  # path data
    forecast: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    origins: tuple[float, ...]  # of the folds


@dataclass(frozen=True)
class CalibrationPoint:
    """The share of days below a quantile, and where it is drawn."""

    level: float
    share: float
    x: float
    y: float


def lines(backtest: Backtest, candidate: str) -> Lines:
    """Sums over all stores of the days with sales, on all folds. Folds may overlap: the newest forecast is drawn."""
    rows = scored_rows(backtest.of(candidate)).sort_values("origin").drop_duplicates(["store", "date"], keep="last")
    days = rows.groupby("date")[["sales", "forecast"]].sum()
    first, last = backtest.rows.origin.min(), days.index.max()
    span = max((last - first).days, 1)
    steps = nice_steps(float(days.to_numpy().max()))
    x = LEFT + (days.index - first).days.to_numpy() / span * (WIDTH - LEFT - RIGHT)
    starts_line = np.diff(days.index.to_numpy(), prepend=np.datetime64(0, "D")) > LONGEST_GAP * DAY
    return Lines(
        *(_path(x, _heights(days[column].to_numpy(), steps[-1]), starts_line) for column in ("sales", "forecast")),
        x_ticks=tuple(_month_ticks(first, last)),
        y_ticks=tuple(Tick(float(_heights(step, steps[-1])), short_number(step)) for step in steps),
        origins=tuple(LEFT + (each - first).days / span * (WIDTH - LEFT - RIGHT) for each in rows.origin.unique()),
    )


def calibration(shares: Mapping[float, float]) -> tuple[CalibrationPoint, ...]:
    """The points of the calibration chart, a square of CALIBRATION_SIZE: shares by level."""
    inner = CALIBRATION_SIZE - LEFT - RIGHT
    return tuple(
        CalibrationPoint(level, share, LEFT + level * inner, TOP + (1 - share) * inner)
        for level, share in shares.items()
    )


def nice_steps(largest: float, count: int = 4) -> Sequence[float]:
    """Round numbers from 0 to the first one that is not below `largest`, about `count` of them."""
    rough = largest / count
    power = 10 ** np.floor(np.log10(rough))
    step = next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough) * power
    return [float(number * step) for number in range(int(np.ceil(largest / step)) + 1)]


def short_number(value: float) -> str:
    """A number for an axis: 250, 12 k, 1.5 M."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _heights(values: np.ndarray | float, largest: float) -> np.ndarray:
    return HEIGHT - BOTTOM - np.asarray(values) / largest * (HEIGHT - TOP - BOTTOM)


def _path(x: np.ndarray, y: np.ndarray, starts_line: np.ndarray) -> str:
    points = zip(np.where(starts_line, "M", "L"), x, y, strict=True)
    return "".join(f"{letter}{across:.1f} {down:.1f}" for letter, across, down in points)


def _month_ticks(first: pd.Timestamp, last: pd.Timestamp) -> list[Tick]:
    """The first days of months, at most about twelve of them."""
    months = pd.date_range(first, last, freq="MS")
    every = max(1, len(months) // 12 + 1)
    span = max((last - first).days, 1)
    return [
        Tick(LEFT + (day - first).days / span * (WIDTH - LEFT - RIGHT), f"{day:%b %Y}") for day in months[::every]
    ]
