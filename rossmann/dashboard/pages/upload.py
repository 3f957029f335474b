"""What is wrong with a plan of mine, row by row; or what will its days sell?"""

from typing import Any

import pandas as pd
import streamlit as st

from rossmann import forecasting
from rossmann.dashboard import formats, loading
from rossmann.dashboard.loading import Current
from rossmann.data import SalesHistory
from rossmann.planning.plan_upload import PlanUpload, check_upload
from rossmann.schema import DAY, FORECAST_COLUMNS

MOST_TEMPLATE_STORES = 3
FINDING_NAMES = {"row": "line", "column": "column", "value": "value", "problem": "what is wrong",
                 "what_to_do": "what to do"}  # fmt: skip


def page() -> None:
    """The page."""
    st.title("Upload a plan")
    now = loading.current()
    history = loading.history(now.snapshot)
    st.caption(
        f"A CSV or Parquet file with a row for each store and day from {formats.day(history.origin + DAY)} to "
        f"{formats.day(history.calendar.dates[-1])}. Only store and date are needed; what a row leaves out is that of "
        "the published plan. The published plan and all other forecasts stay as they are."
    )
    uploaded = st.file_uploader("Plan", type=["csv", "parquet"], key="plan")
    if uploaded is None:
        st.info("Choose a file, or begin with the published plan of some stores.", icon=":material/info:")
        st.download_button("Download an example", _example(history), "plan.csv", "text/csv", icon=":material/download:")
        return
    upload = check_upload(uploaded.name, uploaded.getvalue(), history)
    if upload.plan is None:
        _show_findings(upload.findings, uploaded.name)
    else:
        _show_forecasts(_forecast(upload, now, history), history, uploaded.name)


def _example(history: SalesHistory) -> bytes:
    """The next week of some stores as the published plan has it, under our column names."""
    labels = history.stores.label[:MOST_TEMPLATE_STORES]
    days = (history.origin + DAY * pd.RangeIndex(1, 8).to_numpy()).astype(str)
    rows = [f"{label},{day}" for label in labels for day in days]
    return "\n".join(["store,date", *rows, ""]).encode()


def _show_findings(findings: pd.DataFrame, name: str) -> None:
    rows = findings["row"].nunique()
    where = f"{len(findings):,} findings in {rows:,} rows of {name}" if rows else f"{name} cannot be read"
    st.error(f"{where}: nothing is forecast until they are corrected.", icon=":material/error:")
    table = findings.rename(columns=FINDING_NAMES)
    st.dataframe(table, hide_index=True, column_config={"what is wrong": _wide(), "what to do": _wide()})
    st.download_button(
        "Download the findings", table.to_csv(index=False).encode(), "findings.csv", "text/csv",
        icon=":material/download:",
    )  # fmt: skip


def _forecast(upload: PlanUpload, now: Current, history: SalesHistory) -> pd.DataFrame:
    """The forecasts of the rows in their order, with store names for readers."""
    forecaster = loading.forecaster(now.snapshot, now.champion.version)
    assert upload.plan is not None  # it has no findings
    forecast = forecaster.predict(loading.state(now.snapshot), upload.plan)
    table = forecasting.forecast_table(upload.plan, forecast, forecaster.require_quantiles(), upload.ids)
    return forecasting.with_store_names(table, history)


def _show_forecasts(table: pd.DataFrame, history: SalesHistory, name: str) -> None:
    st.success(f"All {len(table):,} rows of {name} are good.", icon=":material/check_circle:")
    unit = formats.unit(history)
    left, right = st.columns(2)
    left.metric(f"Forecast of all rows, {unit}", formats.amount(table["forecast"].sum()))
    right.metric("Stores", f"{table['store'].nunique():,}")
    names = [column for column in ("id", "store", "date", *FORECAST_COLUMNS) if column in table]
    columns = dict.fromkeys(FORECAST_COLUMNS, st.column_config.NumberColumn(format="localized"))
    columns |= {"date": st.column_config.DateColumn(format="ddd D MMM YYYY")}
    st.dataframe(table[names].round(0), hide_index=True, column_config=columns)
    file, content = f"forecast_{name.rpartition('.')[0]}.csv", forecasting.to_csv_bytes(table)
    help_text = "With all quantiles, in the order of your rows"
    st.download_button(
        "Download the forecasts", content, file, "text/csv", icon=":material/download:", help=help_text
    )  # fmt: skip


def _wide() -> Any:
    return st.column_config.TextColumn(width="large")
