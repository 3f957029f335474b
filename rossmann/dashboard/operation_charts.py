"""The charts of the pages about operation."""

from collections.abc import Iterable
from datetime import date, datetime

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from rossmann.dashboard.charts import ACTUAL, EARLIER, FORECAST, LAST_YEAR, WORSE, figure, forecast_colour
from rossmann.dashboard.formats import percent
from rossmann.models import Quantiles
from rossmann.monitoring import BacktestReference

EXPECTED = ACTUAL
VERSION_COLORS = (FORECAST, EARLIER, LAST_YEAR, "#4a7fc1", "#c0653f")
SMALL_PX, ROW_PX = 320, 30
TOP_PX = 34
FINDING_NAMES = (  # in the legend
    "alarm", "beyond its limit, but not for long enough, or explained by an alarm", "within its limit",
)  # fmt: skip
MOST_FINDINGS, MOST_WEEK_LABELS = 15, 13
PERCENT = ".0%"
PERIODS_MS = {"hour": 3_600_000, "date": 86_400_000}
BAR_SHARE = 0.9  # of its hour or day
FEW_REQUESTS = 5  # in an hour or day: every whole number has its tick, and no fraction has one


def weekly_chart(weekly: pd.DataFrame, version: int, reference: BacktestReference | None) -> go.Figure:
    """WAPE by week: delivered, the median on the same days, and the band of the backtest's weeks."""
    chart = _share_figure("WAPE")
    if reference:
        low, high = float(reference.weekly_wape.min()), float(reference.weekly_wape.max())
        mean = float(np.mean(reference.weekly_wape))
        band = forecast_colour(0.14)
        chart.add_hrect(low, high, fillcolor=band, line_width=0, layer="below")
        square = {"symbol": "square", "size": 12, "color": band}
        chart.add_scatter(x=weekly.index.get_level_values(1)[:1], y=[None], name="Weeks of the backtest",
                          mode="markers", marker=square, hoverinfo="skip")  # fmt: skip
        chart.add_hline(mean, line={"color": EXPECTED, "dash": "dot", "width": 1})
    lines = ((0, "Median baseline", EXPECTED, "dash"), (version, "Delivered", FORECAST, "solid"))
    for number, name, color, dash in lines:
        if number in weekly.index.get_level_values("model_version"):
            _add_line(chart, weekly.wape.loc[number], name, color, dash)
    return _with_week_ends(chart, weekly)


def lead_week_chart(scores: pd.DataFrame) -> go.Figure:
    """Expected and delivered WAPE by week after the origin."""
    chart = _share_figure("WAPE", SMALL_PX)
    weeks = [f"week {number}" for number in scores.index]
    chart.add_bar(x=weeks, y=scores.expected_wape, name="Expected", marker_color=EXPECTED)
    chart.add_bar(x=weeks, y=scores.wape, name="Delivered", marker_color=FORECAST)
    return chart.update_layout(barmode="group", bargap=0.3)


def calibration_chart(table: pd.DataFrame) -> go.Figure:
    """The share of sales below each quantile beside its level; on the diagonal both are equal."""
    chart = _share_figure("share of sales below the quantile", SMALL_PX)
    chart.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="Nominal", line={"color": EXPECTED, "dash": "dot"})
    text = [f"q{100 * level:g}: {percent(below)}" for level, below in zip(table.level, table.share_below, strict=True)]
    chart.add_scatter(x=table.level, y=table.share_below, mode="lines+markers", name="Delivered", text=text,
                      hovertemplate="%{text}<extra></extra>", line={"color": FORECAST})  # fmt: skip
    chart.update_layout(hovermode="closest")
    return chart.update_xaxes(title="level of the quantile", tickformat=PERCENT, range=[0, 1]).update_yaxes(
        range=[0, 1]
    )


def group_chart(groups: pd.DataFrame) -> go.Figure:
    """Expected and delivered WAPE of each group of stores, joined by a line."""
    chart = _share_figure("", ROW_PX * len(groups) + 90)
    for row in groups.itertuples():
        chart.add_scatter(x=[row.expected_wape, row.wape], y=[row.group, row.group], mode="lines", showlegend=False,
                          hoverinfo="skip", line={"color": EXPECTED, "width": 2})  # fmt: skip
    for column, name, color in (("expected_wape", "Expected", EXPECTED), ("wape", "Delivered", FORECAST)):
        marker = {"color": color, "size": 11}
        hover = "%{y}: %{x:.1%}<extra></extra>"
        chart.add_scatter(
            x=groups[column], y=groups.group, mode="markers", name=name, marker=marker, hovertemplate=hover
        )
    chart.update_layout(hovermode="closest")
    return chart.update_xaxes(title="WAPE", tickformat=".1%").update_yaxes(
        tickformat=None, autorange="reversed", type="category"
    )


def store_chart(days: np.ndarray, sales: np.ndarray, forecasts: pd.DataFrame, unit: str) -> go.Figure:
    """Sales of a store, and its newest forecasts of these days with their outer bounds.

    forecasts: date, forecast, lower and upper. Closed days are left out.
    """
    chart = figure(f"sales per day, {unit}", SMALL_PX)
    rows = forecasts[forecasts.forecast > 0].sort_values("date")
    outline = pd.concat([rows.date, rows.date[::-1]]), pd.concat([rows.upper, rows.lower[::-1]])
    chart.add_scatter(x=outline[0], y=outline[1], fill="toself", fillcolor=forecast_colour(0.18), line_width=0,
                      name="Bounds", hoverinfo="skip")  # fmt: skip
    chart.add_scatter(x=days[sales > 0], y=sales[sales > 0], name="Sales", mode="lines+markers",
                      line={"color": ACTUAL, "width": 1}, marker={"size": 4})  # fmt: skip
    chart.add_scatter(x=rows.date, y=rows.forecast, name="Forecast", mode="lines+markers",
                      line={"color": FORECAST, "width": 2}, marker={"size": 4})  # fmt: skip
    return chart


def with_bounds(batches: Iterable[tuple[pd.DataFrame, Quantiles]], store: int) -> pd.DataFrame:
    """The newest forecasts of a store with lower and upper bounds: date, forecast, lower, upper."""
    tables = [pd.DataFrame({"date": [], "forecast": [], "lower": [], "upper": []})]
    for rows, quantiles in batches:
        store_rows = rows[rows.store == store]
        lower, upper = quantiles.bounds(store_rows.standard_deviation.to_numpy(float), store_rows.forecast.to_numpy())
        tables.append(store_rows[["date", "forecast"]].assign(lower=lower, upper=upper))
    return pd.concat([table for table in tables if len(table)] or tables[:1])


def version_chart(weekly: pd.DataFrame, marks: Iterable[tuple[pd.Timestamp, str]]) -> go.Figure:
    """WAPE by week and model version; a vertical line and the kinds of its alarms on every day that has some."""
    chart = _share_figure("WAPE")
    versions = [number for number in weekly.index.get_level_values(0).unique() if number]
    for position, number in enumerate(versions):
        _add_line(chart, weekly.wape.loc[number], f"Version {number}", VERSION_COLORS[position % len(VERSION_COLORS)])
    if 0 in weekly.index.get_level_values("model_version"):
        _add_line(chart, weekly.wape.loc[0], "Median baseline", EXPECTED, "dash")
    for day, text in marks:
        chart.add_shape(x0=day, x1=day, y0=0, y1=1, yref="paper", line={"color": WORSE, "width": 1, "dash": "dot"})
        chart.add_annotation(x=day, y=1, yref="paper", text=text, font={"color": WORSE, "size": 11},
                             showarrow=False, xanchor="right", yanchor="bottom")  # fmt: skip
    chart.update_layout(margin_t=TOP_PX, legend_y=1.1)  # room for the kinds, between the plot and the legend
    return _with_week_ends(chart, weekly)


def findings_chart(findings: pd.DataFrame) -> go.Figure:
    """The statistics of a day that are nearest to their limits: |effect| as a share of the limit, by what they are.

    An alarm has been beyond its limit for some days, and no other alarm explains it.
    """
    ratio = (findings.effect / findings["limit"]).abs()
    rows = findings.assign(ratio=ratio).sort_values("ratio").tail(MOST_FINDINGS)
    chart = figure("", 22 * len(rows) + 90)
    names = [f"{row.name_} · {row.subject}" for row in rows.rename(columns={"name": "name_"}).itertuples()]
    is_alarm = rows.alarm.to_numpy(bool)
    is_beyond = ~is_alarm & (rows.ratio.to_numpy() > 1)
    for group, name, color in zip(
        (is_alarm, is_beyond, ~is_alarm & ~is_beyond), FINDING_NAMES, (WORSE, LAST_YEAR, FORECAST), strict=True
    ):
        chart.add_bar(x=rows.ratio[group], y=np.array(names)[group], name=name, orientation="h", marker_color=color,
                      customdata=rows.message[group], hovertemplate="%{customdata}<extra></extra>",
                      showlegend=True)  # fmt: skip
    chart.add_vline(1, line={"color": WORSE, "dash": "dot"})
    chart.update_layout(hovermode="closest", barmode="overlay")
    chart.update_xaxes(title="effect / limit; the dotted line is the limit")
    return chart.update_yaxes(tickformat=None, type="category", dtick=1, categoryorder="array", categoryarray=names)


def fold_chart(rmspe: dict[str, float]) -> go.Figure:
    """RMSPE of a model by the origin of the fold."""
    chart = _share_figure("RMSPE", 240)
    chart.add_bar(x=list(rmspe), y=list(rmspe.values()), marker_color=FORECAST)
    return chart.update_xaxes(type="category")


def traffic_charts(
    table: pd.DataFrame, time: str, start: datetime | date, end: datetime
) -> tuple[go.Figure, go.Figure]:
    """Requests, and their latency in ms, by source and by hour or date, as the column of times is called.

    start, end: of the axis of time, however few hours or dates have requests; each of them is drawn in its middle.
    """
    requests, latency = figure("requests", SMALL_PX), figure("ms", SMALL_PX)
    period = {"xperiod": PERIODS_MS[time], "xperiod0": str(start), "xperiodalignment": "middle"}
    for (source, rows), color in zip(table.groupby("source"), VERSION_COLORS, strict=False):
        requests.add_bar(x=rows[time], y=rows.requests, name=source, marker_color=color,
                         width=BAR_SHARE * PERIODS_MS[time], **period)  # fmt: skip
        for column, name, dash in (("p50_ms", "median", "solid"), ("p99_ms", "99 %", "dot")):
            latency.add_scatter(x=rows[time], y=rows[column], name=f"{source}, {name}", mode="lines+markers",
                                line={"color": color, "dash": dash}, **period)  # fmt: skip
    is_few = table.groupby(time).requests.sum().max() <= FEW_REQUESTS
    requests.update_layout(barmode="stack").update_yaxes(dtick=1 if is_few else None)
    latency.update_yaxes(tickformat=",~g", type="log", rangemode="normal", dtick=1)  # a batch takes 1,000 times longer
    for chart in (requests, latency):
        chart.update_xaxes(range=[str(start), str(end)])
        if time == "hour":
            chart.update_xaxes(hoverformat="%H:%M, %-d %b")
    return requests, latency


def _share_figure(title: str, height: int = 380) -> go.Figure:
    """A figure whose vertical axis has shares."""
    return figure(title, height).update_yaxes(tickformat=PERCENT)


def _with_week_ends(chart: go.Figure, weekly: pd.DataFrame) -> go.Figure:
    """The chart with a label at the last day of every week, if there are few."""
    weeks = weekly.index.get_level_values("week").unique().sort_values()
    return chart.update_xaxes(tickvals=weeks, tickformat="%-d %b<br>%Y") if len(weeks) <= MOST_WEEK_LABELS else chart


def _add_line(chart: go.Figure, scores: pd.Series, name: str, color: str, dash: str = "solid") -> None:
    """Add a line with markers of a series by day."""
    line = {"color": color, "dash": dash}
    chart.add_scatter(x=scores.index, y=scores, name=name, mode="lines+markers", line=line)
