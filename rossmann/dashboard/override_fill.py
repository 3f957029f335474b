"""A form that fills the column override of several days at once: by a percentage of the forecast, or to an amount.

It saves nothing: what it fills stands in the table until the planner saves it.
"""

from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st

from rossmann.dashboard import formats, widgets
from rossmann.dashboard.override_table import Texts, amounts_as_texts
from rossmann.schema import to_date
from rossmann.validation import DataError

FIELD_PX = 132  # the least width that shows a whole day
MAX_VALUE = 1e12  # a larger one is a slip of the finger


def _by_percentage(table: pd.DataFrame, percent: float) -> pd.Series:
    """The forecasts, changed by so many per cent. DataError for no change, and below zero."""
    if percent == 0:
        raise DataError("a change by 0 % changes nothing: type a percentage like 10 or -5")
    if percent < -100:
        raise DataError(f"a change by {percent:g} % is below 0: type -100 or more")
    return table["forecast"] * (1 + percent / 100)


def _to_amount(table: pd.DataFrame, amount: float) -> pd.Series:
    """One amount for every day. DataError below zero."""
    if amount < 0:
        raise DataError(f"{amount:g} is below 0: type 0 or more")
    return pd.Series(amount, table.index)


WAYS: Mapping[str, Callable[[pd.DataFrame, float], pd.Series]] = {"change by %": _by_percentage, "set to": _to_amount}


def show_fill_form(table: pd.DataFrame) -> Texts:
    """Show the form. Returns what it fills in, by day; nothing before it is submitted."""
    first_day, last_day = (to_date(table["date"].to_numpy()[position]) for position in (0, -1))
    with st.form("override-fill", border=False):
        columns = widgets.columns(5, FIELD_PX, "bottom")
        first = columns[0].date_input("From", first_day, first_day, last_day, format="YYYY-MM-DD")
        last = columns[1].date_input("To", last_day, first_day, last_day, format="YYYY-MM-DD")
        way = columns[2].selectbox("Overrides", list(WAYS))
        value = columns[3].number_input("Per cent or amount", value=0.0, max_value=MAX_VALUE, step=1.0, format="%g")
        if not columns[4].form_submit_button("Fill in", icon=":material/format_color_fill:"):
            return {}
        try:
            return amounts_as_texts(table, first, last, WAYS[way](table, value))
        except DataError as error:
            st.error(formats.capitalise(str(error)), icon=":material/error:")
            return {}
