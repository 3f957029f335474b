"""Plotly figures that are readable on light and on dark ground, and need no other site."""

import plotly.graph_objects as go
import streamlit as st

# Of medium lightness, so that each stands out from white and from near-black.
ACTUAL, FORECAST, BAND = "#7a8699", "#2f9e8f", "47, 158, 143"
LAST_YEAR, VINTAGE, PROMOTION, HOLIDAY = "#b58900", "#a274c4", "rgba(214, 126, 44, 0.13)", "rgba(86, 130, 220, 0.16)"
WORSE, BETTER = "#d1495b", "#2f9e8f"
HEIGHT_PX = 420


def figure(y_title: str, height: int = HEIGHT_PX) -> go.Figure:
    """An empty figure: legend above the plot, thousands separators, no title of its own."""
    result = go.Figure()
    result.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 36, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        hovermode="x unified",
        yaxis={"title": y_title, "tickformat": ",.3~s", "rangemode": "tozero"},
        xaxis={"title": None},
        separators=".,",
    )
    return result


def show(chart: go.Figure, key: str, **options: object):
    """Draw a figure over the whole width. Its bar has a button that saves it as PNG. Returns Streamlit's selection."""
    config = {
        "displaylogo": False,
        "toImageButtonOptions": {"format": "png", "filename": f"rossmann-{key}", "scale": 2},
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    }
    return st.plotly_chart(chart, key=key, config=config, **options)
