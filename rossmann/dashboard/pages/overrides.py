"""What do planners expect instead of the forecast, and did that help?"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from rossmann.dashboard import charts, formats, links, loading, loading_planning
from rossmann.dashboard.override_editor import Store, edit_overrides
from rossmann.dashboard.selection import STORES_KEY
from rossmann.dashboard.tables import amount_column, percent_column
from rossmann.data import SalesHistory
from rossmann.planning.value_added import ALL, SCORE_NAMES
from rossmann.validation import DataError

STORE_KEY = "store"  # of the session and of the URL
NO_FORECASTS = "the journal has no forecast of store {store} for the days to come. Type: rossmann forecast"
NOTHING_OVER = (
    "No day with an override is over yet. This part begins when the sales of such a day are ingested: rossmann refresh"
)
COLUMN_NAMES = {"planner": "planner", "direction": "direction", "size": "change", **SCORE_NAMES, "note": "note"}


def page() -> None:
    """The page."""
    st.title("Overrides")
    st.caption(
        "Type amounts into the column override, paste them from a spreadsheet, or fill in several days at once. "
        "They stand beside the forecast, with your name and reason; the forecast itself never changes."
    )
    now = loading.current()
    history = loading.history(now.snapshot)
    store = _choose_store(history)
    if store.forecasts.empty:
        st.info(NO_FORECASTS.format(store=formats.plain(store.label)), icon=":material/info:")
    else:
        try:
            edit_overrides(store)
        except DataError as error:
            st.error(formats.capitalise(str(error)), icon=":material/error:")
    st.subheader("Did overrides help?")
    _show_value_added(loading_planning.scores(now.snapshot), formats.unit(history))


def _choose_store(history: SalesHistory) -> Store:
    """One store: that of the URL, else the first of those that were chosen on another page."""
    labels = history.stores.label.tolist()
    selection = [*st.session_state.get(STORES_KEY, []), *st.query_params.get_all(STORES_KEY)]
    of_chain = [label for label in selection if label in labels]
    if of_chain and STORE_KEY not in st.query_params and STORE_KEY not in st.session_state:
        st.session_state[STORE_KEY] = of_chain[0]
    left, _ = st.columns([1, 3])
    links.warn_of_unknown(STORE_KEY, labels, "there is no store {} in this chain")
    label = left.selectbox("Store", labels, key=STORE_KEY, bind="query-params")
    number, days = int(history.stores.number[labels.index(label)]), loading_planning.days_to_come(history)
    return Store(history, label, number, loading_planning.forecasts(number, *days), days)


def _show_value_added(scores: pd.DataFrame, unit: str) -> None:
    if scores.empty:
        st.info(NOTHING_OVER, icon=":material/info:")
        return
    all_rows = scores.iloc[0]
    st.markdown(
        f"On {all_rows.days:,} days that are over, overrides were in sum **{_closeness(all_rows.closer, unit)}** "
        f"the forecasts that they replaced (MAE {formats.amount(all_rows.mae_override)} against "
        f"{formats.amount(all_rows.mae_forecast)}).{_reservation(all_rows.decisions, all_rows.note)}"
    )
    charts.show(_score_chart(scores, unit), "value-added")
    shares, amounts = percent_column(), amount_column()
    table = scores.round({"mae_forecast": 0, "mae_override": 0, "closer": 0, "p_closer": 2})
    st.dataframe(
        table[list(COLUMN_NAMES)].rename(columns=COLUMN_NAMES),
        hide_index=True,
        column_config={
            "WAPE forecast": shares, "WAPE override": shares, "MAE forecast": amounts, "MAE override": amounts,
            "closer by": amounts, "P(closer)": st.column_config.NumberColumn(format="%.2f"),
        },
        placeholder=formats.NO_NUMBER,
    )  # fmt: skip


def _closeness(closer: float, unit: str) -> str:
    if round(closer) == 0:
        return "as close to the sales as"
    side = "closer to" if closer > 0 else "further from"
    return f"{formats.amount(abs(closer))} {unit} {side} the sales than"


def _reservation(decisions: int, note: str) -> str:
    """How little the figures say; nothing where there is no note."""
    count = "1 decision" if decisions == 1 else f"{decisions:,} decisions"
    return f" They come from {count} ({note})." if note else ""


def _score_chart(scores: pd.DataFrame, unit: str) -> go.Figure:
    """By planner, and by direction and size, how much closer or further overrides were."""
    is_planner = (scores["planner"] != ALL) & (scores["direction"] == ALL)
    is_kind = (scores["planner"] == ALL) & (scores["direction"] != ALL) & (scores["size"] != ALL)
    rows = scores[is_planner | is_kind]
    names = np.where(rows["planner"] != ALL, rows["planner"], rows["direction"] + ", " + rows["size"])
    chart = charts.figure("", height=90 + 34 * len(rows))
    colours = np.where(rows["closer"] > 0, charts.BETTER, charts.WORSE)
    chart.add_bar(x=rows["closer"], y=names, orientation="h", marker_color=colours, hovertemplate="%{x:,.0f}")
    chart.update_layout(hovermode="closest", showlegend=False)
    chart.update_xaxes(title=f"closer than the forecast by, {unit} (negative: further)", tickformat="~s")
    chart.update_yaxes(autorange="reversed", tickformat=None)
    return chart
