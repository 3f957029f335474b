"""Which stores a page shows: a group by an attribute, or single stores by label. The choice is in the URL."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from rossmann.dashboard import links
from rossmann.data import SalesHistory

ALL = "All stores"
MOST_LABELS = 6  # that a title has
GROUP_KEY, STORES_KEY = "group", "stores"  # of the widgets and of the URL
FIRST_CHOICE_KEY = "first_choice"  # of the session, where no widget is


@dataclass(frozen=True)
class Selection:
    """Some stores of a history."""

    positions: np.ndarray  # int64, ascending
    title: str  # for readers
    is_all: bool


def groups(history: SalesHistory) -> dict[str, np.ndarray]:
    """All stores, then those with the same value of an attribute: positions by "attribute: value"."""
    stores = history.stores
    attributes = zip(history.chain.attributes, stores.attributes.T, strict=True)
    result = {ALL: np.arange(len(stores.number))}
    for name, values in attributes:
        result |= {f"{name}: {value}": np.flatnonzero(values == value) for value in np.unique(values)}
    return result


def remember_address() -> None:
    """Keep the choice that the dashboard was opened with: a reader may leave its page before the widgets are there."""
    if FIRST_CHOICE_KEY not in st.session_state:
        st.session_state[FIRST_CHOICE_KEY] = {key: st.query_params.get_all(key) for key in (GROUP_KEY, STORES_KEY)}


def choose_stores(history: SalesHistory) -> Selection:
    """Two widgets beside each other, and what is chosen with them. Warns of a group or store that is not there.

    The widgets are those of the main script and not of a page: Streamlit takes the choice of a page out of its address
    before it goes to another page, so that the browser's Back would return to all stores.
    """
    context = get_script_run_ctx()
    assert context is not None, "drawn by a page"
    with context.run_with_active_hash(context.pages_manager.main_script_hash):
        left, right = st.columns([1, 3])
        by_group = groups(history)
        links.warn_of_unknown(GROUP_KEY, list(by_group), "there is no group {}")
        _restore(GROUP_KEY, list(by_group))
        group = left.selectbox("Group", list(by_group), key=GROUP_KEY, bind="query-params")
        members = by_group[group]
        labels = history.stores.label[members].tolist()
        where = "in this chain" if group == ALL else f"in the group {group}"
        links.warn_of_unknown(STORES_KEY, labels, f"there is no store {{}} {where}")
        _restore(STORES_KEY, labels)
        names = _choose_labels(right, labels)
    if names:
        positions = np.flatnonzero(np.isin(history.stores.label, names))
        return Selection(positions, _title(history.stores.label[positions].tolist()), is_all=False)
    is_all = group == ALL
    count = "1 store" if len(labels) == 1 else f"{len(labels):,} stores"
    return Selection(members, f"All {count}" if is_all else f"{group} ({count})", is_all)


def _title(labels: list[str]) -> str:
    if len(labels) == 1:
        return f"Store {labels[0]}"
    if len(labels) <= MOST_LABELS:
        return f"Stores {', '.join(labels)}"
    return f"{len(labels):,} stores: {', '.join(labels[: MOST_LABELS - 1])}, …"


def _choose_labels(place: DeltaGenerator, labels: list[str]) -> list[str]:
    return place.multiselect(
        "Stores", labels, key=STORES_KEY, bind="query-params",
        placeholder=f"All {len(labels):,} of the group; type to search",
        select_all=False,  # it would be the first of the matches, which Enter takes; all is no choice, or a group
    )  # fmt: skip


def _restore(key: str, options: list[str]) -> None:
    """Put a choice back into the address that lost it. Call it before the widget of this key.

    The browser takes only what its widgets show to the next page, so that a click before they are drawn takes nothing.
    """
    if key in st.query_params:
        return
    if key in st.session_state:
        if st.session_state[key] not in ([], ALL):  # the default is never in the address
            st.session_state[key] = st.session_state[key]  # Streamlit writes what a program sets into the address
        return
    first_choice = st.session_state.get(FIRST_CHOICE_KEY, {}).get(key, [])
    if values := [value for value in first_choice if value in options]:
        st.query_params[key] = values
        st.session_state[key] = values[-1] if key == GROUP_KEY else values
