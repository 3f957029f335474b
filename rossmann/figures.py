"""Plots of forecasts, of backtest errors and of feature importance, as PNG bytes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory, store_names
from rossmann.evaluation import Backtest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

FONT, BOXES_FONT = "DejaVu Sans", "Last Resort High-Efficiency"  # of matplotlib; the second has a box for everything
ACTUAL_COLOUR, FORECAST_COLOUR, BAND_COLOUR = "#30343b", "#d1495b", "#edae49"
PAST_DAYS = 56  # of actual sales before a forecast
MIN_BAND_DAYS = 7  # with fewer days, bands are drawn as vertical lines
DPI = 110
PREVIEW_WIDTH, PREVIEW_COLOURS = 800, 64
MILLION = 1e6

Bands = Sequence[tuple[float, str, str]]  # coverage, columns of the lower and of the upper bound; the widest first


def backtest_figures(backtest: Backtest, candidate: str) -> dict[str, bytes]:
    """Plots of one candidate's backtest, by file name."""
    rows = backtest.of(candidate)
    return {
        "forecast_vs_actual.png": _png(_forecast_vs_actual(rows, candidate)),
        "error_by_lead_day.png": _png(_error_by_lead_day(rows, candidate)),
    }


def importance_figure(importance: Mapping[str, float], features: int = 25) -> bytes:
    """The features with the largest share of the total gain."""
    top = sorted(importance.items(), key=lambda pair: pair[1])[-features:]
    figure = _figure(8, 6.5)
    names = [name for name, _ in top]
    with _fonts_for(names):
        axes = figure.subplots()
        axes.barh(names, [share for _, share in top], color=FORECAST_COLOUR)
        axes.set(title="Feature importance", xlabel="share of total gain")
        return _png(figure)


def forecast_figure(history: SalesHistory, table: pd.DataFrame, title: str, bands: Bands, stores: int = 4) -> bytes:
    """The last weeks of actual sales and the forecast: the total of all stores, and the first `stores` separately.

    bands: the prediction intervals to draw, by the columns of the table that have their bounds.
    """
    numbers = [int(number) for number in table["store"].drop_duplicates().iloc[:stores]]
    names = store_names(history, np.array(numbers))
    figure = _figure(10, 2.1 * (len(numbers) + 1))
    with _fonts_for(names):
        subplots = figure.subplots(len(numbers) + 1, sharex=True)
        _draw_total(subplots[0], history, table)
        for axes, number, name in zip(subplots[1:], numbers, names, strict=True):
            _draw_store(axes, history, table[table["store"] == number].sort_values("date"), number, bands)
            axes.set_title(f"store {name}")
        figure.suptitle(title)
        figure.legend(*subplots[-1].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
        return _png(figure)


def replay_figure(weeks: pd.DataFrame, alarms: Mapping[str, list], fault_start: str | None) -> bytes:
    """RMSPE by week of each policy (columns). Dots are its alarms; a dotted line is `fault_start`."""
    figure = _figure(10, 4.5)
    axes = figure.subplots()
    for policy, colour in zip(weeks.columns, (ACTUAL_COLOUR, BAND_COLOUR, FORECAST_COLOUR), strict=False):
        axes.plot(weeks.index, weeks[policy], color=colour, label=policy)
        alarm_weeks = weeks.index.intersection(pd.DatetimeIndex(alarms[policy]))
        axes.plot(alarm_weeks, weeks[policy].reindex(alarm_weeks), "o", color=colour)
    if fault_start:
        day: Any = pd.Timestamp(fault_start)  # matplotlib converts it, but its types do not say so
        axes.axvline(day, color=ACTUAL_COLOUR, linestyle=":", label="fault")
    axes.set(title="Error of the forecasts by week; dots are alarms", ylabel="RMSPE", ylim=(0, None))
    axes.legend()
    return _png(figure)


def shrink(png: bytes) -> bytes:
    """A picture at most PREVIEW_WIDTH wide, with few colours: a tenth of the size."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((PREVIEW_WIDTH, image.height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(PREVIEW_COLOURS, Image.Quantize.MAXCOVERAGE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def _draw_total(axes: Axes, history: SalesHistory, table: pd.DataFrame) -> None:
    """The total of the stores of the table, without days on which it has only some of them."""
    is_in_table = np.isin(history.stores.number, table["store"].unique())
    actual = np.nansum(history.sales[is_in_table, -PAST_DAYS:], axis=0)
    axes.plot(history.dates[-PAST_DAYS:], actual, color=ACTUAL_COLOUR)
    days = table.groupby("date")["forecast"].agg(["sum", "count"])
    total = days["sum"][days["count"] == is_in_table.sum()]
    axes.plot(total.index, total, color=FORECAST_COLOUR, marker=".", ms=3)
    axes.set(title=f"{is_in_table.sum():,} stores in total", ylabel="sales", ylim=(0, None))
    _show_millions(axes)


def _show_millions(axes: Axes) -> None:
    """Show the sales of a vertical axis in millions if they reach one."""
    if axes.get_ylim()[1] >= MILLION:
        axes.yaxis.set_major_formatter(lambda sales, _: f"{sales / MILLION:g}")
        axes.set_ylabel("sales, millions")


def _draw_store(axes: Axes, history: SalesHistory, rows: pd.DataFrame, number: int, bands: Bands) -> None:
    """Only days with sales: with closed days, the line would fall to zero every Sunday and hide everything else."""
    (position,) = history.stores.positions(np.array([number]))
    sales = history.sales[position, -PAST_DAYS:]
    sells, forecast = sales > 0, rows[rows["forecast"] > 0]
    dates = history.dates[-PAST_DAYS:]
    axes.plot(dates[sells], sales[sells], color=ACTUAL_COLOUR, marker=".", lw=1, label="actual")
    _draw_bands(axes, forecast, bands)
    axes.plot(forecast["date"], forecast["forecast"], color=FORECAST_COLOUR, marker=".", lw=1, label="forecast")
    axes.set(ylabel="sales", ylim=(0, None))


def _draw_bands(axes: Axes, forecast: pd.DataFrame, bands: Bands) -> None:
    """Each band over the wider ones."""
    as_lines = len(forecast) < MIN_BAND_DAYS
    draw_band, width = (axes.vlines, 6) if as_lines else (axes.fill_between, 0)
    for coverage, lower, upper in bands:
        edges = forecast["date"], forecast[lower], forecast[upper]
        draw_band(*edges, color=_tint(1.1 - coverage), lw=width, label=f"{coverage:.0%}")


def _tint(strength: float) -> tuple[float, ...]:
    """BAND_COLOUR mixed with white. Opaque, so that the legend has the colours of the plot."""
    from matplotlib.colors import to_rgb

    return tuple(1 - strength * (1 - part) for part in to_rgb(BAND_COLOUR))


def _forecast_vs_actual(rows: pd.DataFrame, candidate: str) -> Figure:
    daily = rows[rows["sales"] > 0].groupby("date")[["sales", "forecast"]].sum()
    daily = daily.asfreq("D")  # so that the line is interrupted where there is no day
    figure = _figure(10, 3.5)
    axes = figure.subplots()
    axes.plot(daily.index, daily["sales"], color=ACTUAL_COLOUR, label="actual")
    axes.plot(daily.index, daily["forecast"], color=FORECAST_COLOUR, label="forecast")
    for origin in rows["origin"].unique():
        axes.axvline(origin, color=ACTUAL_COLOUR, lw=0.8, ls=":")
    axes.set(title=f"{candidate}: all stores, all folds (dotted: origins)", ylabel="sales", ylim=(0, None))
    _show_millions(axes)
    axes.legend(frameon=False)
    return figure


def _error_by_lead_day(rows: pd.DataFrame, candidate: str) -> Figure:
    with_sales = rows[rows["sales"] > 0]
    squared = np.square(with_sales["forecast"] / with_sales["sales"] - 1)
    figure = _figure(10, 3.5)
    axes = figure.subplots()
    for origin, errors in squared.groupby(with_sales["origin"]):
        by_lead = np.sqrt(errors.groupby(with_sales["lead_days"]).mean())
        axes.plot(by_lead.index, by_lead, marker=".", lw=1, label=f"from {origin:%Y-%m-%d}")
    axes.set(title=f"{candidate}: error by lead", xlabel="lead, days", ylabel="RMSPE", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


@contextmanager
def _fonts_for(names: Iterable[object]) -> Iterator[None]:
    """What is drawn in the block has fonts for the characters of these names, as far as this machine has them."""
    import matplotlib

    families = _font_families(frozenset("".join(map(str, names))))
    with matplotlib.rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # `_font_families` has said so, once
        yield


@cache
def _font_families(characters: frozenset[str]) -> list[str]:
    """FONT, and fonts of this machine that have the characters which it lacks. Logs which no font has."""
    from matplotlib import font_manager

    families = [FONT]
    missing = characters - _characters(font_manager.findfont(FONT))
    for font in font_manager.fontManager.ttflist if missing else ():
        if font.name != BOXES_FONT and missing & _characters(font.fname):
            families.append(font.name)
            missing -= _characters(font.fname)
    if missing:
        log.warning(
            "no font of this machine has %s: pictures show boxes; a package like fonts-noto-cjk has such fonts",
            "".join(sorted(missing)),
        )
    return families


def _characters(file: str) -> set[str]:
    """The characters for which a font has glyphs."""
    from matplotlib import font_manager

    return set(map(chr, font_manager.get_font(file).get_charmap()))


def _figure(width_inches: float, height_inches: float) -> Figure:
    from matplotlib.figure import Figure  # a second and 35 MB, which a process that draws nothing saves

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format="png")
    return buffer.getvalue()
