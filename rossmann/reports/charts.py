"""Charts as inline SVG. Their colours are the page's, so that they follow its light and its dark style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.evaluation import Backtest, scored_rows
from rossmann.schema import DAY, WEEK_DAYS

WIDTH, HEIGHT = 1040, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 28  # margins in which the axes' texts are
CALIBRATION_SIZE = 340
MAX_MONTHS, MONTH_TEXT_DAYS = 12, 14  # with texts on the axis; days of the width of such a text
MIN_WEEKS = 4  # of a fold that is drawn by week


@dataclass(frozen=True)
class Tick:
    """A position on an axis, in units of the drawing, and its text."""

    position: float
    text: str


@dataclass(frozen=True)
class Lines:
    """Sales and forecasts of all stores by week or day."""

    sales: str  # path data, a line per fold
    forecast: str
    period: str  # week or day
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
    """The mean day of all stores together in each week after each origin, or each day where folds have few weeks."""
    rows = scored_rows(backtest.of(candidate))
    column = "lead_week" if rows.lead_days.max() >= MIN_WEEKS * WEEK_DAYS else "lead_days"
    periods = rows.groupby(["origin", column])
    totals = periods[["sales", "forecast"]].sum().div(periods.date.nunique(), axis=0)
    middle = periods.date.min() + (periods.date.max() - periods.date.min()) / 2
    first, last = rows.origin.min(), rows.date.max()
    steps = nice_steps(float(totals.to_numpy().max()))
    x = _x_positions(middle, first, last)
    is_first = ~totals.index.get_level_values("origin").duplicated()
    sales, forecast = (
        _path(x, _y_positions(totals[name].to_numpy(), steps[-1]), is_first) for name in ("sales", "forecast")
    )
    return Lines(
        sales,
        forecast,
        period="week" if column == "lead_week" else "day",
        x_ticks=tuple(_month_ticks(first, last)),
        y_ticks=tuple(Tick(float(_y_positions(step, steps[-1])), short_number(step)) for step in steps),
        origins=tuple(_x_positions(pd.Series(rows.origin.unique()), first, last)),
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


def _y_positions(values: np.ndarray | float, largest: float) -> np.ndarray:
    """The vertical positions of values on an axis from 0 to `largest`. float64, same shape"""
    return HEIGHT - BOTTOM - np.asarray(values) / largest * (HEIGHT - TOP - BOTTOM)


def _x_positions(days: pd.Series, first: pd.Timestamp, last: pd.Timestamp) -> np.ndarray:
    """The horizontal positions of days on an axis from `first` to `last`. float64, same shape"""
    return LEFT + ((days - first) / (last - first)).to_numpy() * (WIDTH - LEFT - RIGHT)


def _path(x: np.ndarray, y: np.ndarray, is_first: np.ndarray) -> str:
    """SVG path data through these points. is_first: where a new line begins. [points] each"""
    points = zip(np.where(is_first, "M", "L"), x, y, strict=True)
    return "".join(f"{letter}{x_position:.1f} {y_position:.1f}" for letter, x_position, y_position in points)


def _month_ticks(first: pd.Timestamp, last: pd.Timestamp) -> list[Tick]:
    """The first days of months, of which there are MAX_MONTHS at most."""
    months = pd.date_range(first, last - MONTH_TEXT_DAYS * DAY, freq="MS")
    months = months[:: len(months) // MAX_MONTHS + 1]
    return [
        Tick(position, f"{day:%b %Y}")
        for position, day in zip(_x_positions(months.to_series(), first, last), months, strict=True)
    ]
