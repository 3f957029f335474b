"""Plotly figures that are readable on light and on dark ground, and need no other site."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from rossmann.dashboard import formats
from rossmann.dashboard.series import SumForecast
from rossmann.explain import Term
from rossmann.schema import DAY

# Of medium lightness, so that each stands out from white and from near-black.
ACTUAL, FORECAST, LAST_YEAR, EARLIER = "#8590a2", "#1f9e8f", "#b98a2f", "#a274c4"
OVERRIDE = "#d6702a"
BETTER, WORSE = "#1f9e8f", "#d1495b"
BAND_OPACITY = (0.14, 0.2, 0.3)  # from the widest band to the narrowest, which lies over the others
PROMOTION, HOLIDAY = "rgba(230, 140, 50, 0.14)", "rgba(86, 130, 220, 0.28)"
HEIGHT_PX = 430
TEXT_SHARE = 0.5  # of the longest bar, right of it: what an amount with its change needs in a narrow chart
FONT = "Arial, Helvetica, sans-serif"  # of the machine: a PNG has no web fonts, so its texts would be wider
HALF_DAY = np.timedelta64(12, "h")
AMOUNT = "%{y:,.0f}"


def figure(y_title: str, height: int = HEIGHT_PX) -> go.Figure:
    """An empty figure without a title of its own: the legend above the plot, and one hover label for all lines."""
    result = go.Figure()
    result.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.03, "x": 0, "traceorder": "normal"},
        hovermode="x unified",
        hoverlabel={"namelength": -1},
        yaxis={"title": y_title, "tickformat": "~s", "rangemode": "tozero"},
        xaxis={"hoverformat": "%a %-d %b %Y"},
        separators=".,",
        font={"family": FONT},
    )
    return result


def forecast_colour(opacity: float) -> str:
    """FORECAST that lets through what is below, for bands."""
    red, green, blue = bytes.fromhex(FORECAST.removeprefix("#"))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def plain(text: str) -> str:
    """A text of somebody else for Plotly, which takes <b> for markup."""
    return escape(text, quote=False)


def add_line(chart: go.Figure, dates: np.ndarray, values: np.ndarray, name: str, colour: str, **line: object) -> None:
    """A line with amounts when the pointer is over it; days without a value are left out."""
    exists = ~np.isnan(values)
    style = {"color": colour, "width": 1.8} | line
    chart.add_scatter(
        x=dates[exists], y=values[exists], name=name, mode="lines", line=style, hovertemplate=AMOUNT
    )  # fmt: skip


def add_fan(chart: go.Figure, forecast: SumForecast, shown: np.ndarray) -> None:
    """A fan chart: the bands of a forecast, and its line with a marker on each day, of the days that are `shown`."""
    dates = forecast.dates[shown]
    for band, opacity in zip(forecast.bands, BAND_OPACITY, strict=False):
        edges = {"mode": "lines", "line": {"width": 0}, "legendgroup": f"{band.coverage}", "hoverinfo": "skip"}
        chart.add_scatter(x=dates, y=band.lower[shown], showlegend=False, **edges)
        chart.add_scatter(
            x=dates, y=band.upper[shown], name=f"{band.coverage:.0%}", fill="tonexty",
            fillcolor=forecast_colour(opacity), **edges,
        )  # fmt: skip
    widest = forecast.bands[0]
    bounds = np.stack([widest.lower, widest.upper], axis=1)[shown]
    chart.add_scatter(
        x=dates, y=forecast.sales[shown], name="forecast", mode="lines+markers", line={"color": FORECAST, "width": 2},
        marker={"size": 6}, customdata=bounds,
        hovertemplate=AMOUNT + f" ({widest.coverage:.0%}: %{{customdata[0]:,.0f}} to %{{customdata[1]:,.0f}})",
    )  # fmt: skip


def add_diamonds(
    chart: go.Figure, dates: np.ndarray, values: np.ndarray, name: str, notes: Sequence[str] | None = None
) -> None:
    """A diamond on each day with an override, its amount and a note when the pointer is over it."""
    chart.add_scatter(
        x=dates, y=values, name=name, mode="markers", marker={"color": OVERRIDE, "size": 9, "symbol": "diamond"},
        customdata=None if notes is None else [plain(note) for note in notes],
        hovertemplate=AMOUNT if notes is None else f"{AMOUNT} (%{{customdata}})",
    )  # fmt: skip


def add_days(chart: go.Figure, periods: Sequence[tuple[np.datetime64, np.datetime64]], name: str, colour: str) -> None:
    """A coloured ground behind these periods, first and last day included, and its name in the legend."""
    for first, last in periods:
        edges = {"x0": str(first - HALF_DAY), "x1": str(last + DAY - HALF_DAY)}  # Plotly reads shapes as text
        chart.add_shape(type="rect", yref="paper", y0=0, y1=1, line_width=0, fillcolor=colour, layer="below", **edges)
    if periods:
        marker = {"symbol": "square", "size": 12, "color": colour}
        chart.add_scatter(x=[str(periods[0][0])], y=[None], name=name, mode="markers", marker=marker, hoverinfo="skip")


def add_names(chart: go.Figure, dates: np.ndarray, texts: np.ndarray, name: str) -> None:
    """What these days are called, when the pointer is over them; nothing is drawn."""
    chart.add_scatter(
        x=dates, y=np.zeros(len(dates)), name=name, mode="markers", marker={"opacity": 0, "color": HOLIDAY},
        showlegend=False, hovertemplate="%{customdata}",
        customdata=texts,
    )  # fmt: skip


def add_day(chart: go.Figure, day: np.datetime64, text: str) -> None:
    """A thin dotted line at a day, with a text at its top."""
    position = str(day)
    line = {"dash": "dot", "color": ACTUAL, "width": 1}
    chart.add_shape(type="line", x0=position, x1=position, yref="paper", y0=0, y1=1, line=line)
    chart.add_annotation(
        x=position, y=1, yref="paper", text=text, showarrow=False, xanchor="left", xshift=4, yanchor="top"
    )


def add_steps(
    chart: go.Figure, names: Sequence[str], amounts: Sequence[float], texts: Sequence[str], measures: Sequence[str]
) -> None:
    """A horizontal waterfall from the top down. measures: of each step what Plotly's `measure` says it is."""
    chart.add_waterfall(
        y=names, x=amounts, orientation="h", measure=measures, text=texts, textposition="outside", cliponaxis=False,
        hoverinfo="skip", increasing={"marker": {"color": BETTER}}, decreasing={"marker": {"color": WORSE}},
        totals={"marker": {"color": ACTUAL}}, connector={"line": {"color": ACTUAL, "width": 0.8}}, showlegend=False,
    )  # fmt: skip
    chart.update_layout(hovermode="closest", yaxis={"autorange": "reversed"}, margin={"t": 0})


def waterfall(terms: Sequence[Term], forecast: float, unit: str) -> go.Figure:
    """The terms of a forecast from the usual level down to the forecast, each a step to the right or to the left."""
    names = [*(term.name for term in terms), "forecast"]
    amounts = [*(term.amount for term in terms), forecast]
    first, *others = terms
    texts = [
        f"{first.amount:,.0f}",
        *(f"{formats.change(term.amount)} ({formats.signed_percent(term.change)})" for term in others),
    ]
    chart = figure("", height=110 + 30 * len(names))
    add_steps(chart, names, amounts, [*texts, f"{forecast:,.0f}"], ["absolute", *["relative"] * len(others), "total"])
    steps = np.cumsum(amounts[:-1])
    span = steps.max() - steps.min()
    chart.update_xaxes(title=unit, tickformat="~s", range=[0, steps.max() + max(TEXT_SHARE * steps.max(), span)])
    return chart


def show(chart: go.Figure, key: str, file_stem: str = "", **options: Any):
    """Draw a figure over the whole width. Its bar has a button that saves it as PNG. Returns Streamlit's selection.

    file_stem: of the PNG, for a chart whose content the reader chooses; else the key.
    """
    config = {
        "displaylogo": False,
        "toImageButtonOptions": {"format": "png", "filename": file_stem or f"rossmann-{key}", "scale": 2},
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    }
    return st.plotly_chart(chart, key=key, config=config, **options)
