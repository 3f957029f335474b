"""The scenarios of the What-if page: kept by name, listed with their effect on sales today, opened and deleted."""

from datetime import UTC, datetime

import streamlit as st

from rossmann.dashboard import charts, formats, loading, widgets
from rossmann.dashboard.difference_charts import scenario_chart
from rossmann.dashboard.loading import Current
from rossmann.data import SalesHistory
from rossmann.planning import scenarios
from rossmann.planning.scenarios import Change, Difference, Scenario
from rossmann.schema import to_date
from rossmann.validation import DataError

CHANGES_KEY, NAME_KEY = "changes", "scenario"  # of the session and of the URL
REPLACE_KEY, DELETED_KEY, FIELD_KEY = "scenario-to-replace", "scenario-deleted", "scenario-name"  # of the session


def show_keep_form(changes: tuple[Change, ...]) -> None:
    """Keep the changes under a name; before one of the same name is replaced, ask."""
    with st.form("keep", border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        st.session_state.setdefault(FIELD_KEY, st.query_params.get(NAME_KEY, ""))
        name = left.text_input("Name of the scenario", key=FIELD_KEY).strip()
        if right.form_submit_button("Keep", icon=":material/save:"):
            created = datetime.now(UTC).isoformat(timespec="seconds")
            _keep_or_ask(Scenario(name, changes, created))


def _keep_or_ask(scenario: Scenario) -> None:
    st.session_state.pop(REPLACE_KEY, None)
    stored = {each.name: each.changes for each in loading.scenarios()}
    if stored.get(scenario.name, scenario.changes) != scenario.changes:
        st.session_state[REPLACE_KEY] = scenario, st.session_state[CHANGES_KEY]
        return
    try:
        _save(scenario)
    except DataError as error:
        st.error(f"Nothing was kept: {error}.", icon=":material/error:")


def _ask_before_replacing() -> None:
    """Ask about the scenario that waits for it, if any, until other changes are on the page."""
    scenario, changes_then = st.session_state.get(REPLACE_KEY, (None, ()))
    if not scenario or changes_then != st.session_state[CHANGES_KEY]:
        return
    row = widgets.row()
    row.warning(formats.plain(f"There is a scenario {scenario.name} with other changes."), icon=":material/warning:")
    row.button("Replace it", on_click=_save, args=(scenario,))
    row.button("Cancel", on_click=st.session_state.pop, args=(REPLACE_KEY, None))


def _save(scenario: Scenario) -> None:
    scenarios.save_scenario(loading.scenario_folder(), scenario)
    st.session_state.pop(REPLACE_KEY, None)
    st.query_params[NAME_KEY] = scenario.name
    st.toast(f"Scenario {formats.plain(scenario.name)} is kept")


def show_scenarios(history: SalesHistory, now: Current) -> None:
    """The scenarios beside each other, and their effect on sales with today's model and plan."""
    _ask_before_replacing()
    _offer_undo()
    stored = loading.scenarios()
    if not stored:
        return
    st.subheader("Scenarios")
    differences = {each.name: _difference_today(each, now) for each in stored}
    if totals := {name: value for name, value in differences.items() if isinstance(value, Difference)}:
        charts.show(scenario_chart(history, totals), "scenarios")
    for scenario in stored:
        row = widgets.row()
        is_over = all(change.last <= to_date(history.origin) for change in scenario.changes)
        note = "; all of its days are over" if is_over else ""
        text = f"**{formats.plain(scenario.name)}**: {_difference_text(differences[scenario.name])}{note}"
        row.markdown(text, width="stretch")
        row.button("Open", key=f"open-{scenario.name}", on_click=_open, args=(scenario.changes, scenario.name))
        row.button("Delete", key=f"delete-{scenario.name}", on_click=_delete, args=(scenario,))


def _difference_today(scenario: Scenario, now: Current) -> Difference | str:
    """The effect of a scenario on sales today, or why it is unknown: it may name a store that the chain has no more."""
    try:
        return loading.comparison(now.snapshot, now.champion.version, scenario.changes).total()
    except DataError as error:
        return str(error)


def _difference_text(difference: Difference | str) -> str:
    if isinstance(difference, str):
        return formats.plain(difference)
    return f"{formats.change(difference.amount)}, between {formats.difference_interval(difference)}"


def _open(changes: tuple[Change, ...], name: str) -> None:
    st.session_state[CHANGES_KEY] = changes
    st.session_state[FIELD_KEY] = st.query_params[NAME_KEY] = name


def _offer_undo() -> None:
    """One click brings back the scenario that was deleted last."""
    if scenario := st.session_state.get(DELETED_KEY):
        row = widgets.row()
        row.info(formats.plain(f"Scenario {scenario.name} is deleted."), icon=":material/delete:")
        row.button("Undo", on_click=_restore, args=(scenario,))


def _restore(scenario: Scenario) -> None:
    del st.session_state[DELETED_KEY]
    _keep_or_ask(scenario)


def _delete(scenario: Scenario) -> None:
    scenarios.remove_scenario(loading.scenario_folder(), scenario.name)
    st.session_state[DELETED_KEY] = scenario
    if st.query_params.get(NAME_KEY) == scenario.name:
        del st.query_params[NAME_KEY]
