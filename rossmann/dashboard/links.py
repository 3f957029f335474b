"""Warnings about an address that names what the page does not have: a widget would drop it without a word."""

from collections.abc import Sequence
from datetime import date

import streamlit as st

from rossmann.dashboard import formats

MOST_EXAMPLES = 5  # of what there is instead
LONGEST_VALUE = 40  # characters of the address that a message repeats


def warn_of_unknown(key: str, options: Sequence[object], problem: str) -> None:
    """Warn of values in the address that are none of the options. Call it before the widget of this key.

    problem: what is wrong with them, {} for the values.
    """
    existing = [str(option) for option in options]
    values = [value for value in st.query_params.get_all(key) if value and value not in existing]
    if values:
        _warn(values, problem, f"choose from {_examples(existing)}" if existing else "there are none yet")


def warn_of_unknown_day(key: str, first: date, last: date, problem: str = "{} is no day of the forecast") -> None:
    """Warn of a value in the address that is no day from `first` to `last`. Call it before the widget of this key.

    problem: what is wrong with it, {} for the value.
    """
    values = [value for value in st.query_params.get_all(key) if value and not _is_between(value, first, last)]
    if values:
        _warn(values, problem, f"choose one from {first} to {last}")


def _warn(values: Sequence[str], problem: str, remedy: str) -> None:
    names = ", ".join(value[:LONGEST_VALUE] for value in values[:MOST_EXAMPLES])
    text = f"This address cannot be shown as it is: {problem.format(names)}; {remedy}"
    st.warning(formats.plain(text), icon=":material/link_off:")


def _examples(names: Sequence[str]) -> str:
    rest = f", … ({len(names):,} in all)" if len(names) > MOST_EXAMPLES else ""
    return ", ".join(names[:MOST_EXAMPLES]) + rest


def _is_between(text: str, first: date, last: date) -> bool:
    try:
        return first <= date.fromisoformat(text) <= last
    except ValueError:
        return False
