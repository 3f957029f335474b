"""Does the champion deliver what its backtest promised, and where not?"""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import streamlit as st

from rossmann import data, monitoring
from rossmann.dashboard import charts, links, loading, operation_charts, records
from rossmann.dashboard.formats import day, percent, points, signed_percent, unit
from rossmann.dashboard.tables import percent_column, selected_row
from rossmann.dashboard.widgets import CHART_PX, columns, fact
from rossmann.data import SalesHistory
from rossmann.models import Quantiles
from rossmann.monitoring import BacktestReference
from rossmann.registry import RegisteredModel
from rossmann.schema import to_date
from rossmann.validation import DataError

WEEKS = (4, 8, 13, 26, 52)
DEFAULT_WEEKS = 8
SHOWN_STORES = 20
STORE_COLUMNS = {"wape": "WAPE", "expected_wape": "expected", "bias": "bias", "coverage": "in bounds"}
HISTORY_DAYS = 91  # of sales beside the forecasts of a store
NO_ACTUALS = (
    "No forecast has met its sales yet. Forecast with `rossmann forecast`, bring the sales of the days after it with "
    "`rossmann ingest`, and compare them with `rossmann monitor`; `make up` does all three when new files come."
)


def page() -> None:
    """The page."""
    st.title("Accuracy")
    now = loading.current()
    history, last = loading.history(now.snapshot), to_date(loading.history(now.snapshot).origin)
    left, right = st.columns(2)
    with left:
        weeks = _weeks()
    first = last - timedelta(days=7 * weeks - 1)
    key = records.journal_key()
    sums = records.accuracy_sums(key, first, last)
    with right:
        model = _model(sums, now.champion)
    st.caption(
        f"Version {model.version} ({model.card.candidate}), {day(first)} to {day(last)}. Delivered: its forecasts "
        "beside the sales of these days. Expected: its backtest, on days that it did not see."
    )
    version_sums = sums[sums.model_version == model.version]
    if version_sums.empty:
        st.info(NO_ACTUALS, icon=":material/info:")
        return
    reference = _reference(model)
    weekly = monitoring.weekly_scores(sums[sums.slice == "all"], history.origin)
    batches = records.newest_batches(key, model.version, first, last)
    _headline(weekly, model, reference, batches[-1][1].coverage if batches else None)
    st.subheader("By week")
    charts.show(operation_charts.weekly_chart(weekly, model.version, reference), "accuracy-by-week")
    _leads_and_quantiles(version_sums, batches, history, model, reference)
    stores = records.store_sums(key, model.version, first, last)
    if reference:
        _groups(stores, reference, history)
        _stores(stores, reference, history, key, model, (first, last))


def _weeks() -> int:
    """How many weeks back, from the URL or as chosen; then the URL has it."""
    links.warn_of_unknown("weeks", WEEKS, "there is no choice of {} weeks")
    text = st.query_params.get("weeks", "")
    default = int(text) if text in map(str, WEEKS) else DEFAULT_WEEKS
    weeks = st.segmented_control("Weeks", WEEKS, default=default, key="weeks") or DEFAULT_WEEKS
    st.query_params["weeks"] = str(weeks)
    return weeks


def _model(sums: pd.DataFrame, champion: RegisteredModel) -> RegisteredModel:
    """The champion if its forecasts have met their sales, else the newest version whose have; others by choice."""
    scored = set(sums.model_version)
    models = [each for each in records.list_models() if each.version in scored or each.version == champion.version]
    ranking = sorted(models, key=lambda each: (each.version in scored, each.version == champion.version, each.version))
    if len(ranking) < 2:
        return champion
    return st.selectbox("Model", ranking[::-1], format_func=lambda each: _name(each, champion), key="model")


def _name(model: RegisteredModel, champion: RegisteredModel) -> str:
    role = ", champion" if model.version == champion.version else ""
    return f"version {model.version} ({model.card.candidate}){role}"


def _reference(model: RegisteredModel) -> BacktestReference | None:
    """The accuracy to expect of a model version, from its backtest; None, with a message, if that cannot be read."""
    try:
        return records.reference(model.backtest_run, model.card.candidate, model.version)
    except (DataError, OSError) as error:
        st.warning(f"There are no expected scores: the backtest cannot be read ({error})", icon=":material/warning:")
        return None


def _headline(
    weekly: pd.DataFrame, model: RegisteredModel, reference: BacktestReference | None, coverage: float | None
) -> None:
    """The newest week in four numbers. coverage: nominal, of the model's bounds; None: its forecasts have none."""
    scores = weekly.loc[model.version]
    newest, week = scores.iloc[-1], scores.index[-1]
    median = weekly.wape.get((0, week), np.nan)
    places = columns(4)
    expected = float(np.mean(reference.weekly_wape)) if reference else np.nan
    places[0].metric(
        f"WAPE, week to {week:%-d %b}",
        percent(newest.wape),
        f"{points(newest.wape - expected)} against expected",
        delta_color="inverse",
        help="Sum of the absolute errors as a share of all sales. Expected is the mean week of the backtest.",
    )
    places[1].metric(
        "Median baseline", percent(median), f"{points(newest.wape - median)} for this model", delta_color="inverse"
    )
    places[2].metric(
        "Bias", signed_percent(newest.bias), help="Sum of the errors as a share of all sales: + is too high."
    )
    nominal = None if coverage is None else f"nominal {percent(coverage, 0)}"
    fact(places[3], "Sales within the bounds", percent(newest.coverage), nominal)


def _leads_and_quantiles(
    version_sums: pd.DataFrame,
    batches: list[tuple[pd.DataFrame, Quantiles]],
    history: SalesHistory,
    model: RegisteredModel,
    reference: BacktestReference | None,
) -> None:
    left, right = columns(2, CHART_PX)
    with left:
        st.subheader("By week after the origin")
        if reference:
            scores = monitoring.lead_week_scores(version_sums, reference, model.version)
            charts.show(operation_charts.lead_week_chart(scores), "accuracy-by-lead")
    with right:
        st.subheader("Quantiles")
        table = monitoring.calibration(batches, history)
        if table.empty:
            st.info("The journal has no forecast with quantiles of these days.", icon=":material/info:")
        else:
            charts.show(operation_charts.calibration_chart(table), "accuracy-calibration")
            st.caption("All days of the chosen weeks; *Sales within the bounds* above is of the newest week alone.")


def _groups(stores: pd.DataFrame, reference: BacktestReference, history: SalesHistory) -> None:
    groups = monitoring.group_scores(stores, reference, history)
    if groups.empty:
        return
    st.subheader("By group of stores")
    charts.show(operation_charts.group_chart(groups), "accuracy-by-group")


def _stores(
    stores: pd.DataFrame,
    reference: BacktestReference,
    history: SalesHistory,
    key: records.JournalKey,
    model: RegisteredModel,
    days: tuple[date, date],
) -> None:
    """The stores with the largest error, and what one of them sold."""
    st.subheader("Worst stores")
    scores = monitoring.store_scores(stores, reference).head(SHOWN_STORES)
    scores = scores[np.isin(scores.index, history.stores.number)]
    names = data.store_names(history, scores.index.to_numpy()).astype(str)
    table = scores[list(STORE_COLUMNS)].rename(columns=STORE_COLUMNS).set_axis(names, axis=0).rename_axis("store")
    left, right = columns(2, CHART_PX)
    with left:
        event = st.dataframe(table, column_config=dict.fromkeys(table.columns, percent_column()), on_select="rerun",
                             selection_mode="single-row", key="worst-stores",
                             height=operation_charts.SMALL_PX)  # fmt: skip
    position, hint = selected_row(event.selection.rows)
    with right:
        number = int(scores.index[position])
        st.markdown(f"**Store {names[position]}**{hint}")
        rows = operation_charts.with_bounds(records.newest_batches(key, model.version, *days), number)
        store = int(history.stores.positions(np.array([number]))[0])
        chart = operation_charts.store_chart(
            history.dates[-HISTORY_DAYS:], history.sales[store, -HISTORY_DAYS:], rows, unit(history)
        )
        charts.show(chart, "accuracy-store")
