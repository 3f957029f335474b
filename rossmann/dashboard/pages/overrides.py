"""What do planners expect instead of the forecast, and did that help?"""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from rossmann.dashboard import charts, formats, links, loading, loading_planning
from rossmann.dashboard.override_table import changed_days, override_table
from rossmann.data import SalesHistory
from rossmann.planning.overrides import Signature, override_rows, withdrawal_rows
from rossmann.planning.value_added import ALL
from rossmann.validation import DataError

AMOUNT = "localized"  # with thousands separators
STORE_KEY, PLANNER_KEY, ROUND_KEY, SAVED_KEY = "store", "planner", "override-round", "override-saved"
OVERRIDE_COLOUR = "#d6702a"
NO_FORECASTS = "the journal has no forecast of store {store} for the days to come. Type: rossmann forecast"
NOTHING_OVER = (
    "No day with an override is over yet. This part begins when the sales of such a day are ingested: rossmann refresh"
)
SCORE_NAMES = {
    "planner": "planner", "direction": "direction", "size": "change", "days": "days", "decisions": "decisions",
    "mae_forecast": "MAE forecast", "mae_override": "MAE override", "wape_forecast": "WAPE forecast",
    "wape_override": "WAPE override", "closer": "closer by", "p_closer": "P(closer)", "note": "note",
}  # fmt: skip
READ_ONLY = ("date", "promotion", "last_year", "earlier", "forecast", "final", "planner", "reason")


def page() -> None:
    """The page."""
    st.title("Overrides")
    st.caption(
        "Type amounts into the column override, paste them from a spreadsheet, or drag a cell's corner down. "
        "They stand beside the forecast, with your name and reason; the forecast itself never changes."
    )
    now = loading.current()
    history = loading.history(now.snapshot)
    labels = history.stores.label.tolist()
    left, _ = st.columns([1, 3])
    links.warn_of_unknown(STORE_KEY, labels, "there is no store {} in this chain")
    label = left.selectbox("Store", labels, key=STORE_KEY, bind="query-params")
    store = int(history.stores.number[labels.index(label)])
    first, last = loading_planning.days_to_come(history)
    forecasts = loading_planning.forecasts(store, first, last)
    if forecasts.empty:
        st.info(NO_FORECASTS.format(store=label), icon=":material/info:")
    else:
        _edit(history, label, store, forecasts, first, last)
    st.subheader("Did overrides help?")
    _show_value_added(loading_planning.scores(now.snapshot), formats.unit(history))


def _edit(history: SalesHistory, label: str, store: int, forecasts: pd.DataFrame, first: date, last: date) -> None:
    overrides = loading_planning.overrides(store, first, last)
    earlier = loading_planning.earlier_forecasts(store, first, last)
    table = override_table(history, store, forecasts, earlier, overrides)
    charts.show(_chart(history, table), "overrides")
    edited = _editor(table, f"{store}-{st.session_state.get(ROUND_KEY, 0)}", formats.unit(history))
    amounts, removed = changed_days(table, edited)
    _show_change(table, edited, len(amounts) + len(removed), formats.unit(history))
    _ask_and_save(history, label, forecasts, overrides, amounts, removed)
    saved_label, text = st.session_state.get(SAVED_KEY, ("", ""))
    if saved_label == label:  # until the next save, or another store
        st.success(text, icon=":material/check:")
    if len(overrides):
        with st.expander(f"All {len(overrides)} entries of these days, withdrawn and replaced ones too"):
            st.dataframe(_log(overrides), hide_index=True, column_config={"at (UTC)": _moment(), "day": _day()})


def _editor(table: pd.DataFrame, key: str, unit: str) -> pd.DataFrame:
    return st.data_editor(
        table,
        key=f"override-editor-{key}",
        hide_index=True,
        disabled=READ_ONLY,
        height=390,
        placeholder="",
        column_config={
            "date": _day(),
            "promotion": st.column_config.CheckboxColumn("promotion"),
            "last_year": st.column_config.NumberColumn(
                "last year", help="Same weekday, 52 weeks before", format=AMOUNT
            ),
            "earlier": st.column_config.NumberColumn("earlier forecast", help="Of the origin before", format=AMOUNT),
            "forecast": st.column_config.NumberColumn(
                f"forecast, {unit}", help="The newest one in the journal", format=AMOUNT
            ),
            "override": st.column_config.NumberColumn(
                "override", help="Type your amount; empty the cell to withdraw it", min_value=0.0, format=AMOUNT
            ),
            "final": st.column_config.NumberColumn("final", help="The override where there is one", format=AMOUNT),
            "planner": st.column_config.TextColumn("by"),
            "reason": st.column_config.TextColumn("because", width="medium"),
        },
    )


def _show_change(before: pd.DataFrame, after: pd.DataFrame, count: int, unit: str) -> None:
    final = after["override"].fillna(before["forecast"]).sum()
    left, middle, right = st.columns(3)
    left.metric(f"Forecast of all days, {unit}", formats.amount(before["forecast"].sum()))
    difference = final - before["forecast"].sum()
    delta = formats.change(difference) if difference else None
    middle.metric(f"Final, {unit}", formats.amount(final), delta, delta_color="off")
    right.metric("Days changed, not saved yet", count)


def _ask_and_save(
    history: SalesHistory,
    label: str,
    forecasts: pd.DataFrame,
    overrides: pd.DataFrame,
    amounts: pd.DataFrame,
    removed: pd.DataFrame,
) -> None:
    """Ask who and why, and save what was changed."""
    who, why, button = st.columns([1, 3, 1], vertical_alignment="bottom")
    planner = who.text_input("Who", st.session_state.get(PLANNER_KEY, ""), placeholder="Your name")
    st.session_state[PLANNER_KEY] = planner
    round_number = st.session_state.get(ROUND_KEY, 0)
    reason = why.text_input("Why", key=f"reason-{round_number}", placeholder="What the forecast does not know")
    count = len(amounts) + len(removed)
    hint = None if count else "Type an amount in the column override first"
    if not button.button("Save", type="primary", disabled=not count, help=hint, icon=":material/save:"):
        return
    try:
        signature = Signature(planner, reason, datetime.now(UTC))
        changed = override_rows(history, forecasts, amounts.assign(store=label), signature)
        withdrawn = withdrawal_rows(history, overrides, removed.assign(store=label), signature)
    except DataError as error:
        st.error(str(error), icon=":material/error:")
        return
    loading_planning.add_overrides(changed, withdrawn)
    st.session_state[ROUND_KEY] = round_number + 1
    st.session_state[SAVED_KEY] = label, f"{count} day{'s' if count > 1 else ''} of store {label} saved"
    st.rerun()


def _chart(history: SalesHistory, table: pd.DataFrame) -> go.Figure:
    chart = charts.figure(f"sales per day, {formats.unit(history)}", height=300)
    dates = table["date"].to_numpy()
    charts.add_line(chart, dates, table["last_year"].to_numpy(), "last year", charts.LAST_YEAR, dash="dot", width=1.2)
    charts.add_line(chart, dates, table["earlier"].to_numpy(), "earlier forecast", charts.VINTAGE, width=1.2)
    charts.add_line(chart, dates, table["forecast"].to_numpy(), "forecast", charts.FORECAST, width=2.2)
    final = np.where(table["override"].notna(), table["final"], np.nan)
    chart.add_scatter(
        x=dates, y=final, name="override", mode="markers", hovertemplate=charts.AMOUNT,
        marker={"color": OVERRIDE_COLOUR, "size": 9, "symbol": "diamond"},
    )  # fmt: skip
    return chart


def _log(overrides: pd.DataFrame) -> pd.DataFrame:
    """The entries, newest first."""
    table = overrides.iloc[::-1].assign(kind=np.where(overrides["amount"].iloc[::-1].isna(), "withdrawn", ""))
    names = {"at": "at (UTC)", "planner": "by", "date": "day", "forecast": "forecast", "amount": "override",
             "kind": "", "reason": "because"}  # fmt: skip
    return table[list(names)].round({"forecast": 0, "amount": 0}).rename(columns=names)


def _show_value_added(scores: pd.DataFrame, unit: str) -> None:
    if scores.empty:
        st.info(NOTHING_OVER, icon=":material/info:")
        return
    everything = scores.iloc[0]
    st.markdown(
        f"On {everything.days:,} days that are over, overrides were in sum **{_closeness(everything.closer, unit)}** "
        f"the forecasts that they replaced (MAE {formats.amount(everything.mae_override)} against "
        f"{formats.amount(everything.mae_forecast)}).{_reservation(everything.decisions, everything.note)}"
    )
    charts.show(_score_chart(scores, unit), "value-added")
    shares = st.column_config.NumberColumn(format="percent")
    amounts = st.column_config.NumberColumn(format="localized")
    rounded = scores.round({"mae_forecast": 0, "mae_override": 0, "closer": 0, "p_closer": 2})
    st.dataframe(
        rounded[list(SCORE_NAMES)].rename(columns=SCORE_NAMES),
        hide_index=True,
        column_config={
            "WAPE forecast": shares, "WAPE override": shares, "MAE forecast": amounts, "MAE override": amounts,
            "closer by": amounts, "P(closer)": st.column_config.NumberColumn(format="%.2f"),
        },
        placeholder="–",
    )  # fmt: skip


def _closeness(closer: float, unit: str) -> str:
    if round(closer) == 0:
        return "as close to the sales as"
    side = "closer to" if closer > 0 else "farther from"
    return f"{formats.amount(abs(closer))} {unit} {side} the sales than"


def _reservation(decisions: int, note: str) -> str:
    """How little the figures say; nothing where there is no note."""
    count = "1 decision" if decisions == 1 else f"{decisions:,} decisions"
    return f" They come from {count} ({note})." if note else ""


def _score_chart(scores: pd.DataFrame, unit: str) -> go.Figure:
    """By planner, and by direction and size, how much closer or farther overrides were."""
    is_planner = (scores["planner"] != ALL) & (scores["direction"] == ALL)
    is_kind = (scores["planner"] == ALL) & (scores["direction"] != ALL) & (scores["size"] != ALL)
    rows = scores[is_planner | is_kind]
    names = np.where(rows["planner"] != ALL, rows["planner"], rows["direction"] + ", " + rows["size"])
    chart = charts.figure("", height=90 + 34 * len(rows))
    colours = np.where(rows["closer"] > 0, charts.BETTER, charts.WORSE)
    chart.add_bar(x=rows["closer"], y=names, orientation="h", marker_color=colours, hovertemplate="%{x:,.0f}")
    chart.update_layout(hovermode="closest", showlegend=False)
    chart.update_xaxes(title=f"closer than the forecast by, {unit} (negative: farther)", tickformat="~s")
    chart.update_yaxes(autorange="reversed", tickformat=None)
    return chart


def _day() -> ColumnConfig:
    return st.column_config.DateColumn("day", format="ddd D MMM YYYY")


def _moment() -> ColumnConfig:
    return st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")
