"""What the pages of planners read from the journal, and the only thing that they write to it: overrides."""

from datetime import date

import pandas as pd
import streamlit as st

from rossmann import journal
from rossmann.dashboard import loading
from rossmann.data import SalesHistory
from rossmann.planning.overrides import overrides_in_force
from rossmann.planning.value_added import scored_overrides, value_added
from rossmann.schema import DAY

TTL_S, MOST_STORES = 10, 64


def days_to_come(history: SalesHistory) -> tuple[date, date]:
    """The first and the last day that a forecast covers."""
    return (history.origin + DAY).astype(object), history.calendar.dates[-1].astype(object)


@st.cache_data(ttl=TTL_S, max_entries=MOST_STORES, show_spinner=False)
def forecasts(store: int, first: date, last: date) -> pd.DataFrame:
    """The newest forecasts of a store's days in the journal: what overrides stand beside."""
    return journal.read_newest_forecasts(loading.settings().journal_address, first, last, [store])


@st.cache_data(ttl=TTL_S, max_entries=MOST_STORES, show_spinner=False)
def earlier_forecasts(store: int, first: date, last: date) -> pd.DataFrame:
    """Of each of a store's days the forecast of the origin before the newest one: date, origin and forecast."""
    url, count = loading.settings().journal_address, loading.MAX_EARLIER_FORECASTS
    table = journal.read_earlier_forecasts(url, [store], first, last, before_origin=last, most=count)
    newest = table["origin"].max()
    earlier_rows = table[table["origin"] < newest] if len(table) else table
    return earlier_rows.drop_duplicates("date")[["date", "origin", "forecast"]]


@st.cache_data(ttl=TTL_S, max_entries=MOST_STORES, show_spinner=False)
def overrides(stores: tuple[int, ...], first: date, last: date) -> pd.DataFrame:
    """All overrides of the days of some stores, in the order of writing; () for all stores."""
    return journal.read_overrides(loading.settings().journal_address, first, last, stores)


def overrides_now(stores: tuple[int, ...], first: date, last: date) -> pd.DataFrame:
    """The same, read again: another planner may have written since."""
    overrides.clear()
    return overrides(stores, first, last)


def add_overrides(*rows: pd.DataFrame) -> None:
    """Write rows of overrides; all sessions see them at once."""
    tables = [each for each in rows if len(each)]
    journal.add_overrides(loading.settings().journal_address, pd.concat(tables, ignore_index=True))
    overrides.clear()
    scores.clear()


@st.cache_data(ttl=TTL_S, max_entries=loading.MAX_IN_MEMORY, show_spinner=False)
def scores(snapshot: str) -> pd.DataFrame:
    """Forecast value added of all overrides whose days are over in a snapshot."""
    history = loading.history(snapshot)
    rows = journal.read_overrides(loading.settings().journal_address, date.min, history.origin.astype(object))
    return value_added(scored_overrides(overrides_in_force(rows), history))
