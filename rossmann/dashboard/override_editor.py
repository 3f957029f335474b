"""The editor of one store's overrides: what is typed stays until it is saved, also while another store is shown."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from rossmann.dashboard import charts, formats, loading_planning, widgets
from rossmann.dashboard.override_fill import show_fill_form
from rossmann.dashboard.override_table import (
    Edits,
    Texts,
    override_table,
    read_edits,
    to_editor_table,
    unsaved_texts,
)
from rossmann.dashboard.tables import amount_column, day_column
from rossmann.data import SalesHistory
from rossmann.planning.overrides import Signature, override_rows, withdrawal_rows
from rossmann.schema import KEYS

PLANNER_KEY, MESSAGE_KEY, COUNTER_KEY = "planner", "override-message", "override-counter"  # of the session
TABLES_KEY = "override-tables"  # of the session: the table of each store, and what is typed into it
READ_ONLY = ("date", "promotion", "last_year", "earlier", "forecast", "planner", "reason")
MOST_LINES = 5  # of a message


@dataclass(frozen=True)
class OpenTable:
    """The table of a store as it was when its editor was opened: what others change later does not mix with it."""

    table: pd.DataFrame
    last_entry: int  # id of the newest override in it; 0 without one
    table_id: str  # stays when the editor is replaced
    editor_key: str  # Streamlit keeps what was typed by it: another key is an editor with the initial texts
    initial_texts: Texts = field(default_factory=dict)  # unsaved ones


@dataclass(frozen=True)
class Store:
    """The store whose overrides are edited, and what is known of its days to come."""

    history: SalesHistory
    label: str
    number: int
    forecasts: pd.DataFrame  # the newest ones in the journal
    days: tuple[date, date]  # first and last

    @property
    def key(self) -> tuple[int, tuple[date, date]]:
        """What a table in the session belongs to."""
        return self.number, self.days


def edit_overrides(store: Store) -> None:
    """Chart, form, table, and what a planner has to say before saving."""
    overrides = loading_planning.overrides((store.number,), *store.days)
    open_table = _find_table(store, overrides)
    if open_table.table.empty:
        st.info(f"Store {formats.plain(store.label)} is closed on all days to come: there is nothing to override.")
        return
    chart = st.container()
    form_texts = show_fill_form(open_table.table)
    editor_table = _editor(open_table, formats.unit(store.history))
    texts = unsaved_texts(open_table.table, editor_table)
    st.session_state[TABLES_KEY][store.key] = open_table, texts
    if form_texts:
        _reopen(store, open_table, texts | dict(form_texts))
        st.rerun()
    edits = read_edits(open_table.table, texts)
    with chart:
        charts.show(_chart(store.history, open_table.table, edits.override), "overrides")
    _show_change(open_table.table, edits, formats.unit(store.history))
    _ask_and_save(store, open_table, edits)
    _show_entries(overrides)


def _find_table(store: Store, overrides: pd.DataFrame) -> OpenTable:
    """The table of this store that the session has, with what was typed into it; else a new one."""
    tables = st.session_state.setdefault(TABLES_KEY, {})
    open_table, texts = tables.get(store.key, (None, {}))
    # Streamlit forgets the state of an editor that another page or store has hidden.
    is_shown = open_table and open_table.editor_key in st.session_state
    if open_table and not is_shown:
        st.session_state.pop(MESSAGE_KEY, None)
    if texts:
        return open_table if is_shown else _reopen(store, open_table, texts)
    earlier = loading_planning.earlier_forecasts(store.number, *store.days)
    table = override_table(store.history, store.number, store.forecasts, earlier, overrides)
    if not (open_table and is_shown and open_table.table.equals(table)):
        open_table = OpenTable(table, _last_entry(overrides), table_id := _new_key(), editor_key=table_id)
    return open_table


def _reopen(store: Store, open_table: OpenTable, texts: Texts) -> OpenTable:
    """Another editor for the same table, which begins with these texts."""
    reopened_table = replace(open_table, editor_key=_new_key(), initial_texts=texts)
    st.session_state[TABLES_KEY][store.key] = reopened_table, texts
    return reopened_table


def _new_key() -> str:
    st.session_state[COUNTER_KEY] = st.session_state.get(COUNTER_KEY, 0) + 1
    return f"override-editor-{st.session_state[COUNTER_KEY]}"


def _editor(open_table: OpenTable, unit: str) -> pd.DataFrame:
    return st.data_editor(
        to_editor_table(open_table.table, open_table.initial_texts),
        key=open_table.editor_key,
        hide_index=True,
        disabled=READ_ONLY,
        height=390,
        placeholder="",
        column_config={
            "date": day_column("day"),
            "promotion": st.column_config.CheckboxColumn("promotion"),
            "last_year": amount_column("last year", "Same weekday, 52 weeks before"),
            "earlier": amount_column("earlier forecast", "Of the origin before"),
            "forecast": amount_column(f"forecast, {unit}", "The newest one in the journal"),
            "override": st.column_config.TextColumn(
                "override", help="An amount, or a change of the forecast like +10%; empty the cell to withdraw it"
            ),
            "planner": st.column_config.TextColumn("by"),
            "reason": st.column_config.TextColumn("because", width="medium"),
        },
    )


def _chart(history: SalesHistory, table: pd.DataFrame, override: np.ndarray) -> go.Figure:
    chart = charts.figure(f"sales per day, {formats.unit(history)}", height=300)
    dates = table["date"].to_numpy()
    charts.add_line(chart, dates, table["last_year"].to_numpy(), "last year", charts.LAST_YEAR, dash="dot", width=1.2)
    charts.add_line(chart, dates, table["earlier"].to_numpy(), "earlier forecast", charts.EARLIER, width=1.2)
    charts.add_line(chart, dates, table["forecast"].to_numpy(), "forecast", charts.FORECAST, width=2.2)
    charts.add_diamonds(chart, dates, override, "override")
    return chart


def _show_change(table: pd.DataFrame, edits: Edits, unit: str) -> None:
    forecast = table["forecast"].sum()
    final = np.where(np.isnan(edits.override), table["forecast"], edits.override).sum()
    left, middle, right = widgets.columns(3)
    left.metric(f"Forecast of all days, {unit}", formats.amount(forecast))
    delta = formats.change(final - forecast) if final != forecast else None
    middle.metric(f"Final, {unit}", formats.amount(final), delta, delta_color="off")
    right.metric("Days changed, not saved yet", edits.count)


def _ask_and_save(store: Store, open_table: OpenTable, edits: Edits) -> None:
    """Ask who and why, and save what was changed, unless something in it cannot be meant."""
    if edits.problems:
        st.error(formats.bullets(edits.problems[:MOST_LINES]), icon=":material/error:")
    is_meant = not edits.unlikely or _ask_about(edits.unlikely, open_table.editor_key)
    who, why, button = st.columns([1, 3, 1], vertical_alignment="bottom")
    planner = who.text_input("Who", st.session_state.get(PLANNER_KEY, ""), placeholder="Your name")
    st.session_state[PLANNER_KEY] = planner
    reason = why.text_input("Why", key=f"reason-{open_table.table_id}", placeholder="What the forecast does not know")
    hint = None if edits.count else "Type an amount in the column override first"
    is_ready = bool(edits.count) and is_meant and not edits.problems
    if button.button("Save", type="primary", disabled=not is_ready, help=hint, icon=":material/save:"):
        st.session_state.pop(MESSAGE_KEY, None)
        _save(store, open_table, edits, Signature(planner, reason, datetime.now(UTC)))
    label, text = st.session_state.get(MESSAGE_KEY, ("", ""))
    if label == store.label:  # until the next save, or another store
        st.success(text, icon=":material/check:")


def _ask_about(unlikely: tuple[str, ...], key: str) -> bool:
    st.warning(formats.bullets(unlikely[:MOST_LINES]), icon=":material/warning:")
    return st.checkbox(f"{len(unlikely):,} of the amounts are far from the forecast, and meant", key=f"meant-{key}")


def _save(store: Store, open_table: OpenTable, edits: Edits, signature: Signature) -> None:
    """Save, or say why not. A day that somebody else has changed meanwhile is asked about."""
    tables, overrides = st.session_state[TABLES_KEY], loading_planning.overrides_now((store.number,), *store.days)
    days = pd.concat([edits.changed["date"], edits.removed["date"]])
    if others := _changes_of_others(overrides, days, open_table.last_entry):
        lines = [*others[:MOST_LINES], "Save again to replace it, or reload the page to see it in the table."]
        st.warning(formats.bullets(lines), icon=":material/warning:")
        tables[store.key] = replace(open_table, last_entry=_last_entry(overrides)), tables[store.key][1]
        return
    rows = (
        override_rows(store.history, store.forecasts, edits.changed.assign(store=store.label), signature),
        withdrawal_rows(store.history, overrides, edits.removed.assign(store=store.label), signature),
    )
    loading_planning.add_overrides(*rows)
    del tables[store.key]
    text = f"{edits.count} day{'s' if edits.count > 1 else ''} of store {formats.plain(store.label)} saved"
    st.session_state[MESSAGE_KEY] = store.label, text
    st.rerun()


def _last_entry(overrides: pd.DataFrame) -> int:
    return int(overrides["id"].max()) if len(overrides) else 0


def _changes_of_others(overrides: pd.DataFrame, days: pd.Series, last_entry: int) -> list[str]:
    """A sentence for each of these days whose newest entry, an amount or a withdrawal, came after `last_entry`."""
    rows = overrides.drop_duplicates(list(KEYS), keep="last")
    newer = rows[rows["date"].isin(days) & (rows["id"] > last_entry)]
    columns = (newer[name].to_numpy() for name in ("planner", "amount", "date", "reason"))
    return [_change_sentence(*entry) for entry in zip(*columns, strict=True)]


def _change_sentence(planner: str, amount: float, day: np.datetime64, reason: str) -> str:
    what = (
        f"withdrawn the override of {formats.day(day)}"
        if np.isnan(amount)
        else f"set {formats.day(day)} to {amount:,.0f}"
    )
    return f"{planner} has {what} since this table was opened: {reason}"


def _show_entries(overrides: pd.DataFrame) -> None:
    if overrides.empty:
        return
    title = "The entry" if len(overrides) == 1 else f"All {len(overrides)} entries"
    amounts = amount_column()
    with st.expander(f"{title} of these days, withdrawn and replaced ones too"):
        st.dataframe(
            _entries(overrides),
            hide_index=True,
            placeholder=formats.NO_NUMBER,
            column_config={"at (UTC)": _moment(), "day": day_column(), "forecast": amounts, "override": amounts},
        )


def _entries(overrides: pd.DataFrame) -> pd.DataFrame:
    """The entries, newest first."""
    rows = overrides.iloc[::-1]
    table = rows.assign(kind=np.where(rows["amount"].isna(), "withdrawn", "set"))
    names = {"at": "at (UTC)", "planner": "by", "date": "day", "forecast": "forecast", "kind": "what",
             "amount": "override", "reason": "because"}  # fmt: skip
    return table[list(names)].round({"forecast": 0, "amount": 2}).rename(columns=names)


def _moment() -> ColumnConfig:
    return st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")
