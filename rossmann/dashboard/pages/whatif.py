"""What would another plan sell? Changes of promotions and opening, their worth, and scenarios kept by name."""

from datetime import date
from typing import get_args

import numpy as np
import streamlit as st

from rossmann import forecasting
from rossmann.dashboard import charts, formats, links, loading, loading_planning, series, widgets
from rossmann.dashboard.best_weeks import show_best_weeks
from rossmann.dashboard.difference_charts import day_chart
from rossmann.dashboard.loading import Current
from rossmann.dashboard.scenario_list import CHANGES_KEY, NAME_KEY, show_keep_form, show_scenarios
from rossmann.dashboard.selection import Selection, choose_stores
from rossmann.dashboard.tables import amount_column
from rossmann.data import SalesHistory
from rossmann.planning import scenarios
from rossmann.planning.scenarios import Change, Comparison, Kind
from rossmann.schema import MONDAY, WEEK_DAYS, weekday
from rossmann.validation import DataError

MOST_URL_CHARACTERS = 6000  # of the changes: browsers and proxies refuse an address that is much longer
NO_EFFECT = (
    "These changes have no effect: the plan has them already, the chain has no promotions on these weekdays, or the "
    "days are closed or over."
)
NOTE = (
    "The interval takes the errors of both forecasts to be the same days' errors: if a day sells more than forecast, "
    "it would have done so with the other plan, too. Errors of stores and days partly cancel, as on the forecast page. "
    "It does not cover how wrong the model is about a promotion's effect itself."
)


def page() -> None:
    """The page."""
    st.title("What-if")
    now = loading.current()
    history = loading.history(now.snapshot)
    st.caption("Changes of the published plan and what they would sell. Nothing here changes the plan or its forecast.")
    _open_scenario()
    selection = choose_stores(history)
    _add_change(history, selection)
    changes = _list_changes()
    _write_address(changes)
    if changes:
        _show_difference(history, changes, now)
    show_scenarios(history, now)
    show_best_weeks(history, selection, _labels(history, selection), now)


def _open_scenario() -> None:
    """Take the changes of the URL, else those of the scenario that it names, when the session begins."""
    if CHANGES_KEY in st.session_state:
        return
    st.session_state[CHANGES_KEY] = ()
    if text := st.query_params.get(CHANGES_KEY):
        try:
            st.session_state[CHANGES_KEY] = scenarios.changes_of_json(text)
        except DataError as error:
            st.warning(f"The changes in the address cannot be read: {error}", icon=":material/warning:")
    elif name := st.query_params.get(NAME_KEY):
        by_name = {each.name: each.changes for each in loading.scenarios()}
        links.warn_of_unknown(NAME_KEY, list(by_name), "there is no scenario {}")
        st.session_state[CHANGES_KEY] = by_name.get(name, ())


def _write_address(changes: tuple[Change, ...]) -> None:
    """Put the changes into the URL, so that a reload and a colleague have them too."""
    text = scenarios.changes_to_json(changes)
    if changes and len(text) <= MOST_URL_CHARACTERS:
        st.query_params[CHANGES_KEY] = text
    elif CHANGES_KEY in st.query_params:
        del st.query_params[CHANGES_KEY]
    if len(text) > MOST_URL_CHARACTERS:
        st.caption(
            "These changes name too many stores for the address: keep them as a scenario to share or reload them."
        )


def _add_change(history: SalesHistory, selection: Selection) -> None:
    first, last = loading_planning.days_to_come(history)
    proposal = _week_without_promotion(history)
    with st.form("change", border=True):
        left, middle, right = widgets.columns(3, vertical_alignment="bottom")
        kinds = [kind for kind in get_args(Kind) if scenarios.has_promotions(history) or kind in scenarios.OPENING]
        kind = left.selectbox("The stores have, or are", kinds)
        days = middle.date_input(
            "on the days", (proposal, min(proposal + scenarios.WEEK_END, last)), first, last, format="YYYY-MM-DD"
        )
        if not right.form_submit_button("Add this change", icon=":material/add:"):
            return
        if len(days) < 2:
            st.error("Choose a first and a last day.", icon=":material/error:")
            return
        st.session_state[CHANGES_KEY] += (Change(kind, *days, _labels(history, selection)),)


def _week_without_promotion(history: SalesHistory) -> date:
    """The first Monday of the plan in whose week most stores have no promotion; else its first day."""
    dates = history.calendar.dates[-history.horizon_days :]
    has_promotion = series.promotion_days(history, np.arange(len(history.stores.number)), dates)
    mondays = np.flatnonzero(weekday(dates) == MONDAY)
    free = [day for day in mondays if not has_promotion[day : day + WEEK_DAYS].any()]
    return dates[free[0] if free else 0].item()


def _labels(history: SalesHistory, selection: Selection) -> tuple[str, ...]:
    return () if selection.is_all else tuple(history.stores.label[selection.positions].tolist())


def _list_changes() -> tuple[Change, ...]:
    """The changes so far, each with a button that takes it back."""
    changes = st.session_state[CHANGES_KEY]
    if not changes:
        st.info("No change yet: choose stores, what changes and the days, then *Add this change*.")
    for position, change in enumerate(changes):
        row = widgets.row()
        row.markdown(f"{position + 1}. {_text(change)}", width="stretch")
        row.button("Remove", key=f"remove-{position}", on_click=_remove, args=(position,))
    return changes


def _remove(position: int) -> None:
    changes = st.session_state[CHANGES_KEY]
    st.session_state[CHANGES_KEY] = changes[:position] + changes[position + 1 :]


def _text(change: Change) -> str:
    stores = (
        f"{len(change.stores):,} stores" if len(change.stores) > 1 else f"store {formats.plain(''.join(change.stores))}"
    )
    return f"**{change.kind}**, {formats.day(change.first)} to {formats.day(change.last)}, " + (
        stores if change.stores else "all stores"
    )


def _show_difference(history: SalesHistory, changes: tuple[Change, ...], now: Current) -> None:
    """What the changes are worth, or why that cannot be said: the rest of the page is there all the same."""
    try:
        comparison = loading.comparison(now.snapshot, now.champion.version, changes)
    except DataError as error:
        st.error(formats.plain(str(error)), icon=":material/error:")
        return
    _show_result(history, comparison)
    show_keep_form(changes)


def _show_result(history: SalesHistory, comparison: Comparison) -> None:
    total = comparison.total()
    count, unit = len(np.unique(comparison.plan.store)), formats.unit(history)
    st.subheader("Difference")
    stores = "the store" if count == 1 else f"the {count:,} stores"
    st.caption(f"Sums of {stores} that the changes are about, over all days of the plan.")
    left, middle, right = widgets.columns(3)
    left.metric(f"As planned, {unit}", formats.amount(total.base))
    middle.metric(f"With the changes, {unit}", formats.amount(total.base + total.amount))
    share = formats.signed_percent(total.amount / total.base) if total.base > 0 else None
    bounds = formats.difference_interval(total)
    right.metric(f"Difference, {unit}", formats.change(total.amount), share, help=bounds)
    if not (comparison.alternative.sales != comparison.base.sales).any():
        st.info(NO_EFFECT)
        return
    share = formats.percent(comparison.quantiles.coverage, 0)
    st.markdown(
        "If the model is right about the effect of the changes, the difference is with "
        f"{share} between **{bounds}** {unit}."
    )
    charts.show(day_chart(history, comparison), "what-if")
    st.caption(NOTE)
    _show_stores(history, comparison)


def _show_stores(history: SalesHistory, comparison: Comparison) -> None:
    """The difference of each store, and all days of all stores as CSV."""
    unit = formats.unit(history)
    rows = forecasting.with_store_names(comparison.table(), history)
    by_store = rows.groupby("store", sort=False)[["planned", "changed", "difference"]].sum().round().reset_index()
    names = {name: f"{name}, {unit}" for name in ("planned", "changed", "difference")}
    with st.expander(f"By store ({len(by_store):,})"):
        amounts = dict.fromkeys(names.values(), amount_column())
        st.dataframe(by_store.rename(columns=names), hide_index=True, column_config=amounts)
    st.download_button(
        "Download as CSV", lambda: forecasting.to_csv_bytes(rows), "what-if.csv", "text/csv", icon=":material/download:"
    )
