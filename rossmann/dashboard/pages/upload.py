"""What is wrong with a plan of mine, row by row; or what will its days sell?"""

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from rossmann import forecasting
from rossmann.dashboard import formats, loading, loading_planning, series, widgets
from rossmann.dashboard.loading import Current
from rossmann.dashboard.tables import amount_column, day_column
from rossmann.data import Plan, SalesHistory
from rossmann.planning.plan_upload import check_upload, file_message
from rossmann.schema import DAY, FORECAST_COLUMNS, WEEK_DAYS

MOST_EXAMPLE_STORES = 3
AMOUNTS = (*FORECAST_COLUMNS, "published")  # published: the forecast of the same store and day with the published plan
FINDING_NAMES = {"row": "line", "column": "column", "value": "value", "problem": "what is wrong",
                 "what_to_do": "what to do"}  # fmt: skip


def page() -> None:
    """The page."""
    st.title("Upload a plan")
    now = loading.current()
    history = loading.history(now.snapshot)
    first, last = loading_planning.days_to_come(history)
    st.caption(
        f"A CSV or Parquet file with a row for each store and day from {formats.day(first)} to "
        f"{formats.day(last)}. Only store and date are needed; what a row leaves out is that of "
        "the published plan. The published plan and all other forecasts stay as they are."
    )
    file = st.file_uploader("Plan", key="plan")  # of any type: `check_upload` says what to do with another
    if file is None:
        st.info("Choose a file, or begin with an example: some stores in the next week.", icon=":material/info:")
        st.download_button("Download an example", _example(history), "plan.csv", "text/csv", icon=":material/download:")
        return
    upload = check_upload(file.name, file.getvalue(), history)
    if upload.plan is None:
        _show_findings(upload.findings, file.name)
    else:
        table = _forecast(upload.plan, upload.ids, now, history)
        published_sales = series.published_sales(
            history, loading.published(now.snapshot, now.champion.version), upload.plan
        )
        _show_forecasts(table.assign(published=published_sales), history, file.name)


def _example(history: SalesHistory) -> bytes:
    """The next week of some stores, under our column names."""
    labels = history.stores.label[:MOST_EXAMPLE_STORES].tolist()
    days = [str(history.origin + lead * DAY) for lead in range(1, WEEK_DAYS + 1)]
    rows = pd.DataFrame([(label, day) for label in labels for day in days], columns=["store", "date"])
    return rows.to_csv(index=False).encode()


def _show_findings(findings: pd.DataFrame, name: str) -> None:
    if message := file_message(findings):
        st.error(formats.plain(message), icon=":material/error:")
        return
    rows = findings["row"].nunique()
    text = f"{len(findings):,} findings in {rows:,} rows of {name}: nothing is forecast until they are corrected."
    st.error(formats.plain(text), icon=":material/error:")
    table = findings.rename(columns=FINDING_NAMES)
    st.dataframe(table, hide_index=True, column_config={"what is wrong": _wide(), "what to do": _wide()})
    st.download_button(
        "Download the findings", table.to_csv(index=False).encode(), "findings.csv", "text/csv",
        icon=":material/download:",
    )  # fmt: skip


def _forecast(plan: Plan, ids: np.ndarray | None, now: Current, history: SalesHistory) -> pd.DataFrame:
    """The forecasts of the rows in their order, with store names for readers."""
    forecaster = loading.forecaster(now.snapshot, now.champion.version)
    forecast = forecaster.predict(loading.state(now.snapshot), plan)
    table = forecasting.forecast_table(plan, forecast, forecaster.require_quantiles(), ids)
    return forecasting.with_store_names(table, history)


def _show_forecasts(table: pd.DataFrame, history: SalesHistory, name: str) -> None:
    st.success(f"All {len(table):,} rows of {name} are good.", icon=":material/check_circle:")
    unit = formats.unit(history)
    left, middle, right = widgets.columns(3)
    total, published_total = table["forecast"].sum(), table["published"].sum()
    difference = f"{formats.change(round(total) - round(published_total))} against the published plan"
    left.metric(f"Forecast of all rows, {unit}", formats.amount(total), difference)
    middle.metric(f"The same days in the published plan, {unit}", formats.amount(published_total))
    right.metric("Stores", f"{table['store'].nunique():,}")
    names = [column for column in ("id", "store", "date", *AMOUNTS) if column in table]
    columns = {column: amount_column(f"{column}, {unit}") for column in AMOUNTS}
    st.dataframe(table[names].round(0), hide_index=True, column_config=columns | {"date": day_column()})
    file = f"forecast_{name.rpartition('.')[0]}.csv"
    content = forecasting.to_csv_bytes(table.drop(columns="published"))
    help_text = "With all quantiles, in the order of your rows"
    st.download_button(
        "Download the forecasts", content, file, "text/csv", icon=":material/download:", help=help_text
    )  # fmt: skip


def _wide() -> ColumnConfig:
    return st.column_config.TextColumn(width="large")
