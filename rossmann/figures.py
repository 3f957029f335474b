"""The pictures: what a forecast looks like, where its errors lie, what a model listens to; all as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.evaluation import Backtest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FORECAST, BAND = "#30343b", "#d1495b", "#edae49"
PAST_DAYS = 56  # of what happened, drawn before a forecast
FEW = 7  # days are no band


def backtest_figures(backtest: Backtest, candidate: str) -> dict[str, bytes]:
    """Pictures of one candidate's backtest, by file name."""
    rows = backtest.of(candidate)
    return {
        "forecast_vs_actual.png": _png(_forecast_vs_actual(rows, candidate)),
        "error_by_lead_day.png": _png(_error_by_lead_day(rows, candidate)),
    }


def importance_figure(importance: Mapping[str, float], most: int = 25) -> bytes:
    """The features with the largest share of all gain."""
    top = sorted(importance.items(), key=lambda pair: pair[1])[-most:]
    figure = _figure(8, 6.5)
    axes = figure.subplots()
    axes.barh([name for name, _ in top], [share for _, share in top], color=FORECAST)
    axes.set(title="What the model listens to", xlabel="share of all gain")
    return _png(figure)


def forecast_figure(history: SalesHistory, table: pd.DataFrame, title: str, stores: int = 4) -> bytes:
    """All stores together, and a few alone with their intervals: the last weeks as they were, the next as forecast."""
    shown = [int(number) for number in table.Store.drop_duplicates().iloc[:stores]]
    figure = _figure(10, 2.1 * (len(shown) + 1))
    panels = figure.subplots(len(shown) + 1, sharex=True)
    _total_panel(panels[0], history, table)
    for panel, number in zip(panels[1:], shown, strict=True):
        _store_panel(panel, history, table[table.Store == number].sort_values("Date"), number)
    figure.suptitle(title)
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return _png(figure)


def _total_panel(axes: Axes, history: SalesHistory, table: pd.DataFrame) -> None:
    own = np.isin(history.stores.number, table.Store.unique())
    happened = np.nansum(history.sales[own, -PAST_DAYS:], axis=0) / 1e6
    axes.plot(history.dates[-PAST_DAYS:], happened, color=INK)
    days = table.groupby("Date").Sales.agg(["sum", "count"])
    total = days["sum"][days["count"] == own.sum()] / 1e6  # of a plan that asks for some stores on some days: no total
    axes.plot(total.index, total, color=FORECAST, marker=".", ms=3)
    axes.set(title=f"these {own.sum():,} stores together", ylabel="sales, millions", ylim=(0, None))


def _store_panel(axes: Axes, history: SalesHistory, rows: pd.DataFrame, number: int) -> None:
    """Days with sales only: a line that falls to zero every Sunday shows the Sundays and nothing else."""
    store = int(np.searchsorted(history.stores.number, number))
    happened = history.sales[store, -PAST_DAYS:]
    sold, to_come = happened > 0, rows[rows.Sales > 0]
    axes.plot(history.dates[-PAST_DAYS:][sold], happened[sold], color=INK, marker=".", lw=1, label="what happened")
    few = len(to_come) < FEW
    band = axes.vlines if few else axes.fill_between
    band(to_come.Date, to_come.Lower, to_come.Upper, color=BAND, alpha=0.5, lw=6 if few else 0, label="interval")
    axes.plot(to_come.Date, to_come.Sales, color=FORECAST, marker=".", lw=1, label="forecast")
    axes.set(title=f"store {number}", ylabel="sales", ylim=(0, None))


def _forecast_vs_actual(rows: pd.DataFrame, candidate: str) -> Figure:
    daily = rows[rows.sales > 0].groupby("date")[["sales", "forecast"]].sum() / 1e6
    daily = daily.asfreq("D")  # a line breaks where there is no day
    figure = _figure(10, 3.5)
    axes = figure.subplots()
    axes.plot(daily.index, daily.sales, color=INK, label="what happened")
    axes.plot(daily.index, daily.forecast, color=FORECAST, label="forecast")
    for origin in rows.origin.unique():
        axes.axvline(origin, color=INK, lw=0.8, ls=":")
    axes.set(title=f"{candidate}: all stores, every fold (dotted: origins)", ylabel="sales, millions", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def _error_by_lead_day(rows: pd.DataFrame, candidate: str) -> Figure:
    sold = rows[rows.sales > 0]
    squared = np.square(sold.forecast / sold.sales - 1)
    figure = _figure(10, 3.5)
    axes = figure.subplots()
    for origin, errors in squared.groupby(sold.origin):
        by_lead = np.sqrt(errors.groupby(sold.lead_days).mean())
        axes.plot(by_lead.index, by_lead, marker=".", lw=1, label=f"from {origin:%Y-%m-%d}")
    axes.set(title=f"{candidate}: error by lead", xlabel="lead, days", ylabel="RMSPE", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def replay_figure(weeks: pd.DataFrame, alarms: Mapping[str, list], since: str | None) -> bytes:
    """RMSPE by week of each policy (columns); alarms as marks on its line, the first faulty day as a line."""
    figure = _figure(10, 4.5)
    axes = figure.subplots()
    for policy, colour in zip(weeks.columns, (INK, BAND, FORECAST), strict=False):
        axes.plot(weeks.index, weeks[policy], color=colour, label=policy)
        marked = weeks.index.intersection(pd.DatetimeIndex(alarms[policy]))
        axes.plot(marked, weeks[policy].reindex(marked), "o", color=colour)
    if since:
        axes.axvline(pd.Timestamp(since), color=INK, linestyle=":", label="fault")
    axes.set(title="Error of the forecasts, by week; dots are alarms", ylabel="RMSPE", ylim=(0, None))
    axes.legend()
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    """Of a size in inches."""
    from matplotlib.figure import Figure  # here: whoever draws nothing, like a replica, saves a second and 35 MB

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()
