"""What will these stores sell, within which prediction interval, and why?"""

from collections.abc import Collection

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from rossmann import forecasting
from rossmann.dashboard import charts, final_forecast, formats, links, loading, loading_planning, series, widgets
from rossmann.dashboard.loading import Current
from rossmann.dashboard.reasons_view import show_reasons
from rossmann.dashboard.selection import Selection, choose_stores
from rossmann.dashboard.series import PublishedForecast, SumForecast
from rossmann.dashboard.tables import amount_column, day_column, percent_column
from rossmann.data import SalesHistory
from rossmann.schema import DAY, KEYS, WEEK_DAYS

PAST_WEEKS = (4, 8, 13, 26, 52)
LAST_YEAR, EARLIER, PROMOTIONS, HOLIDAYS = "last year", "earlier forecasts", "promotions", "holidays"
OVERRIDES = "overrides"
LAYERS = (LAST_YEAR, EARLIER, PROMOTIONS, HOLIDAYS, OVERRIDES)
FINAL = "with overrides"  # name of a line and of a column
LIKE_FOR_LIKE = "change, open in both years"  # name of a column
COMPARABLE = "The change against the same weekdays 52 weeks before, of the stores and days open in both years."
CANCELLING = (
    "errors of stores and days partly cancel, as in the backtest, so the interval of a sum is relatively narrower than "
    "those of its parts."
)
SUMMED = (
    "the intervals of stores and days are summed, as if all errors were perfectly correlated, which is too wide; the "
    "next training fixes this."
)
BIASED = (
    "A range begins or ends at the forecast itself: in the backtest, sums of so many days were nearly always on one "
    "side of their forecast. The report of the training has the bias."
)
ABOUT_FINAL = (
    f"*{FINAL}*: the amounts of planners on days that have an override, in place of their forecasts, which stay as "
    "they are. Who changed what, and why, is on the page Overrides."
)
CSV_START = (*KEYS, "forecast", "override", "final")  # columns; the quantiles follow
TITLE_PX = 12  # so that the names of some stores fit into a narrow chart
CHART_KEY = "forecast"  # of the session
PAST_KEY, SHOW_KEY = "past", "show"  # of the widgets and of the URL


def page() -> None:
    """The page."""
    st.title("Forecast")
    now = loading.current()
    history = loading.history(now.snapshot)
    published = loading.published(now.snapshot, now.champion.version)
    st.caption(_where_from(now, history))
    selection = choose_stores(history)
    past_days, layers = _choose_view()
    days = series.forecast_sums(published, history.calendar.dates[-history.horizon_days :], selection.positions)
    before = series.last_year(history, selection.positions, days.dates)
    rows = _final_rows(history, published, selection)
    final = final_forecast.final_days(rows)
    _show_totals(history, selection, published, final, before)
    chart = _chart(history, selection, days, final, past_days, layers)
    origin, version = history.origin, now.champion.version
    about = f"{charts.plain(selection.title)}: forecast from sales up to {formats.day(origin)}, version {version}"
    chart.update_xaxes(title={"text": about, "font": {"size": TITLE_PX}})
    stem = _file_stem(history, selection, now)
    event = charts.show(chart, CHART_KEY, f"forecast_{stem}", on_select="rerun", selection_mode="points")
    with widgets.reserved_place():
        if len(selection.positions) > 1:
            st.caption(f"The bands of several stores: {_about_sums(published)}")
        if rows["override"].notna().any():
            st.caption(ABOUT_FINAL)
    show_reasons(history, selection, now, event)
    weeks = series.weekly_table(published, days.dates, selection.positions, before)
    sums, is_overridden = final_forecast.sum_periods(final, series.weeks(days.dates))
    if is_overridden.any():
        weeks = weeks.assign(final=sums)
    _show_weeks(history, weeks, f"{days.bands[0].coverage:.0%}", _about_sums(published))
    _offer_csv(history, published, selection, now, rows)


def _where_from(now: Current, history: SalesHistory) -> str:
    first, last = history.origin + DAY, history.calendar.dates[-1]
    return (
        f"{formats.day(first)} to {formats.day(last)}, from sales up to {formats.day(history.origin)}; "
        f"champion version {now.champion.version} ({now.champion.card.candidate}), snapshot {now.snapshot[:8]}"
    )


def _final_rows(history: SalesHistory, published: PublishedForecast, selection: Selection) -> pd.DataFrame:
    overrides = loading_planning.overrides(_numbers(history, selection) or (), *loading_planning.days_to_come(history))
    return final_forecast.final_rows(history, published, selection.positions, overrides)


def _numbers(history: SalesHistory, selection: Selection) -> tuple[int, ...] | None:
    """The chosen stores; None for all, which the journal finds faster without a list."""
    return None if selection.is_all else tuple(history.stores.number[selection.positions].tolist())


def _choose_view() -> tuple[int, Collection[str]]:
    """How many past days to show, and which layers."""
    left, right = st.columns([1, 3])
    links.warn_of_unknown(PAST_KEY, PAST_WEEKS, "the chart has no {} past weeks")
    links.warn_of_unknown(SHOW_KEY, LAYERS, "the chart does not show {}")
    weeks = left.selectbox("Past weeks", PAST_WEEKS, index=1, key=PAST_KEY, bind="query-params")
    layers = right.pills(
        "Show", LAYERS, selection_mode="multi", default=LAYERS, key=SHOW_KEY, bind="query-params", wrap=True
    )
    return weeks * WEEK_DAYS, layers


def _about_sums(published: PublishedForecast) -> str:
    return CANCELLING if published.variance_components else SUMMED


def _show_totals(
    history: SalesHistory, selection: Selection, published: PublishedForecast, final: pd.DataFrame, before: np.ndarray
) -> None:
    st.subheader(formats.plain(selection.title))
    dates = history.calendar.dates[-history.horizon_days :]
    counts = [min(count, len(dates)) for count in (WEEK_DAYS, 4 * WEEK_DAYS, len(dates))]
    periods = [np.arange(count) for count in counts]
    totals = series.forecast_sums(published, dates, selection.positions, periods)
    finals, is_overridden = final_forecast.sum_periods(final, periods)
    sales, widest = published.sales[selection.positions], totals.bands[0]
    for number, (column, count) in enumerate(zip(widgets.columns(3), counts, strict=True)):
        label, amount = f"Next {count} days, {formats.unit(history)}", formats.amount(totals.sales[number])
        _show_total(column, label, amount, sales[:, :count].ravel(), before[:, :count].ravel())
        lower, upper = formats.amount(widest.lower[number]), formats.amount(widest.upper[number])
        lines = [f"{widest.coverage:.0%}: {lower} to {upper}"]
        if is_overridden[number]:
            change = formats.change(finals[number] - totals.sales[number])
            lines.append(f"{FINAL}: {formats.amount(finals[number])} ({change})")
        column.caption("  \n".join(lines))
    with widgets.reserved_place():
        if np.isclose(totals.sales, widest.lower).any() or np.isclose(totals.sales, widest.upper).any():
            st.caption(BIASED)


def _show_total(column: DeltaGenerator, label: str, amount: str, sales: np.ndarray, before: np.ndarray) -> None:
    """A sum with its change against last year, or why there is none."""
    change = forecasting.year_over_year(sales, before)
    if np.isnan(change):
        reason = "no day open in both years" if (before > 0).any() else "no sales on these days last year"
        widgets.fact(column, label, amount, f"{formats.NO_NUMBER} {reason}", help=COMPARABLE)
    else:
        column.metric(label, amount, f"{formats.signed_percent(change)} on last year", help=COMPARABLE)


def _chart(
    history: SalesHistory,
    selection: Selection,
    days: SumForecast,
    final: pd.DataFrame,
    past_days: int,
    layers: Collection[str],
) -> go.Figure:
    positions = selection.positions
    chart = charts.figure(f"sales per day, {formats.unit(history)}")
    past, sales = series.sum_actuals(history, positions, past_days)
    dates = np.concatenate([past, days.dates])
    if PROMOTIONS in layers:
        flags = series.promotion_days(history, positions, dates)
        charts.add_days(chart, series.find_runs(flags, dates), "promotion", charts.PROMOTION)
    if HOLIDAYS in layers:
        names = series.holiday_names(history, positions, dates)
        is_holiday = names != ""
        charts.add_days(chart, series.find_runs(is_holiday, dates), "holiday", charts.HOLIDAY)
        charts.add_names(chart, dates[is_holiday], names[is_holiday], "holiday")
    if LAST_YEAR in layers:
        before = _without_closed(np.nansum(series.last_year(history, positions, dates), axis=0))
        charts.add_line(chart, dates, before, "same weekday last year", charts.LAST_YEAR, dash="dot", width=1.2)
    if EARLIER in layers:
        _add_earlier_forecasts(chart, history, selection, dates)
    charts.add_line(chart, past, _without_closed(sales), "actual", charts.ACTUAL)
    charts.add_fan(chart, days, days.sales > 0)
    overrides = final[final["overrides"] > 0]
    if OVERRIDES in layers and len(overrides):
        charts.add_diamonds(
            chart, overrides["date"].to_numpy(), overrides["final"].to_numpy(), FINAL, overrides["note"].tolist()
        )
    charts.add_day(chart, history.origin + charts.HALF_DAY, "forecast")
    chart.update_xaxes(range=[str(dates[0] - DAY), str(dates[-1] + DAY)])
    return chart


def _add_earlier_forecasts(chart: go.Figure, history: SalesHistory, selection: Selection, dates: np.ndarray) -> None:
    table = loading.earlier_forecasts(_numbers(history, selection), dates[0], dates[-1], history.origin)
    for (origin, version), rows in table.groupby(["origin", "model_version"], sort=False):
        name = f"forecast of {origin:%-d %b} (v{version})"
        values = _without_closed(rows.forecast.to_numpy())
        charts.add_line(chart, rows.date.to_numpy(), values, name, charts.EARLIER, width=0.9)


def _without_closed(values: np.ndarray) -> np.ndarray:
    """NaN instead of the 0 of closed days, on which a line would fall to the ground every week."""
    return np.where(values > 0, values, np.nan)


def _show_weeks(history: SalesHistory, table: pd.DataFrame, coverage: str, about_sums: str) -> None:
    st.subheader("By week")
    names = {
        "first": "from", "last": "to", "days": "days", "forecast": f"forecast, {formats.unit(history)}",
        "final": FINAL, "lower": f"{coverage} from", "upper": f"{coverage} to", "last_year": "same days last year",
        "change": LIKE_FOR_LIKE,
    }  # fmt: skip
    st.caption(
        f"Both sums are of all chosen stores and days; *{LIKE_FOR_LIKE}* only of those open in both years, so that a "
        "new store or a moved holiday is no growth. It is not the ratio of the two sums."
    )
    amounts, days = amount_column(), day_column()
    weeks = table[[name for name in names if name in table]]  # without overrides, there is no final
    st.dataframe(
        weeks.round({"forecast": 0, "final": 0, "lower": 0, "upper": 0, "last_year": 0}).rename(columns=names),
        hide_index=True,
        placeholder=formats.NO_NUMBER,
        column_config={
            "from": days, "to": days, names["forecast"]: amounts, names["lower"]: amounts,
            names["upper"]: amounts, names["last_year"]: amounts, FINAL: amounts,
            LIKE_FOR_LIKE: percent_column(),
        },
    )  # fmt: skip
    st.caption(f"{coverage} from/to: {about_sums}")


def _offer_csv(
    history: SalesHistory, published: PublishedForecast, selection: Selection, now: Current, rows: pd.DataFrame
) -> None:
    """All rows of the chosen stores with every quantile, as `rossmann forecast` writes them, and their overrides."""
    name = f"{_file_stem(history, selection, now)}.csv"
    st.download_button(
        "Download as CSV", lambda: _csv(history, published, selection, rows), name, "text/csv",
        icon=":material/download:",
    )  # fmt: skip


def _file_stem(history: SalesHistory, selection: Selection, now: Current) -> str:
    return formats.file_stem(selection.title, history.origin, f"v{now.champion.version}")


def _csv(history: SalesHistory, published: PublishedForecast, selection: Selection, rows: pd.DataFrame) -> bytes:
    """Without the texts of planners, which a spreadsheet could take for formulas."""
    table = series.forecast_rows(history, published, selection.positions)
    table = table.merge(rows[[*KEYS, "override", "final"]], on=list(KEYS), how="left", validate="one_to_one")
    quantiles = [name for name in table if name not in CSV_START]
    return forecasting.to_csv_bytes(forecasting.with_store_names(table[[*CSV_START, *quantiles]], history))
