"""What would another plan sell? Changes of promotions and opening, their worth, and scenarios kept by name."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import get_args

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from rossmann.dashboard import charts, formats, links, loading, series
from rossmann.dashboard.loading import Current
from rossmann.dashboard.selection import Selection, choose_stores
from rossmann.data import SalesHistory
from rossmann.planning import scenarios
from rossmann.planning.scenarios import Change, Comparison, Difference, Kind, Scenario, WeekChoice
from rossmann.schema import DAY, MONDAY, WEEK_DAYS, to_date, weekday
from rossmann.validation import DataError

CHANGES_KEY, NAME_KEY, BEST_KEY = "changes", "scenario", "best"  # of the session; the name is in the URL, too
MOST_CHOICES = 5  # of the best promotion weeks that the page lists
NO_EFFECT = (
    "These changes have no effect: the plan has them already, the chain has no promotions on these weekdays, or the "
    "days are closed or over."
)
NOTE = (
    "The range takes the errors of both forecasts to be the same days' errors: if a day sells more than forecast, it "
    "would have done so with the other plan, too. The model's bounds are added up over days and stores, so the range "
    "is at most this wide. It does not cover how wrong the model is about a promotion's effect itself."
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
    if changes:
        _show_difference(history, changes, now)
    _show_scenarios(history, now)
    _choose_best_weeks(history, selection, now)


def _open_scenario() -> None:
    """Take the changes of the scenario in the URL, when the session begins."""
    if CHANGES_KEY in st.session_state:
        return
    name = st.query_params.get(NAME_KEY)
    by_name = {each.name: each.changes for each in loading.scenarios()} if name else {}
    links.warn_of_unknown(NAME_KEY, list(by_name), "there is no scenario {}")
    st.session_state[CHANGES_KEY] = by_name.get(name or "", ())


def _add_change(history: SalesHistory, selection: Selection) -> None:
    first, last = to_date(history.origin + DAY), to_date(history.calendar.dates[-1])
    proposal = _week_without_promotion(history)
    with st.form("change", border=True):
        left, middle, right = st.columns([1, 1, 1], vertical_alignment="bottom")
        kind = left.selectbox("The stores have, or are", get_args(Kind))
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
        text, button = st.columns([6, 1], vertical_alignment="center")
        text.markdown(f"{position + 1}. {_text(change)}")
        button.button("Remove", key=f"remove-{position}", on_click=_remove, args=(position,))
    return changes


def _remove(position: int) -> None:
    changes = st.session_state[CHANGES_KEY]
    st.session_state[CHANGES_KEY] = changes[:position] + changes[position + 1 :]


def _text(change: Change) -> str:
    stores = f"{len(change.stores):,} stores" if len(change.stores) > 1 else f"store {''.join(change.stores)}"
    return f"**{change.kind}**, {formats.day(change.first)} to {formats.day(change.last)}, " + (
        stores if change.stores else "all stores"
    )


def _show_difference(history: SalesHistory, changes: tuple[Change, ...], now: Current) -> None:
    """What the changes are worth, or why that cannot be said: the rest of the page is there all the same."""
    try:
        comparison = loading.comparison(now.snapshot, now.champion.version, changes)
    except DataError as error:
        st.error(formats.bullets([str(error)]), icon=":material/error:")
        return
    _show_result(history, comparison)
    _keep(changes)


def _show_result(history: SalesHistory, comparison: Comparison) -> None:
    total = comparison.total()
    count, unit = len(np.unique(comparison.plan.store)), formats.unit(history)
    st.subheader("Difference")
    left, middle, right = st.columns(3)
    left.metric(f"As planned, {unit}", formats.amount(total.base), help=f"{count:,} stores, all days of the horizon")
    middle.metric(f"With the changes, {unit}", formats.amount(total.base + total.amount))
    share = formats.signed_percent(total.amount / total.base) if total.base > 0 else None
    right.metric(f"Difference, {unit}", formats.change(total.amount), share, help=_range(total))
    if not (comparison.alternative != comparison.base).any():
        st.info(NO_EFFECT)
        return
    st.markdown(f"The difference is between **{_range(total)}** {formats.unit(history)}.")
    charts.show(_chart(history, comparison), "what-if")
    st.caption(NOTE)


def _range(total: Difference) -> str:
    return f"{formats.change(total.lower)} and {formats.change(total.upper)}"


def _chart(history: SalesHistory, comparison: Comparison) -> go.Figure:
    """The differences of the days as bars with their ranges."""
    dates, day = np.unique(comparison.plan.date, return_inverse=True)
    values = (comparison.alternative - comparison.base, comparison.lower, comparison.upper)
    amount, lower, upper = (np.bincount(day, each) for each in values)
    amount = np.where(amount == 0, np.nan, amount)  # no bar and no range where nothing differs
    chart = charts.figure(f"difference per day, {formats.unit(history)}", height=300)
    colours = np.where(amount >= 0, charts.BETTER, charts.WORSE)
    reach = {"symmetric": False, "array": upper - amount, "arrayminus": amount - lower, "color": charts.ACTUAL}
    chart.add_bar(
        x=dates, y=amount, marker={"color": colours}, error_y=reach, name="difference", hovertemplate="%{y:+,.0f}"
    )
    chart.update_xaxes(range=[str(dates[0] - DAY), str(dates[-1] + DAY)])
    return chart


def _keep(changes: tuple[Change, ...]) -> None:
    with st.form("keep", border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        name = left.text_input(
            "Name of the scenario", st.query_params.get(NAME_KEY, ""), max_chars=scenarios.NAME_LENGTH
        )
        if right.form_submit_button("Keep", icon=":material/save:"):
            created = datetime.now(UTC).isoformat(timespec="seconds")
            scenarios.save_scenario(loading.scenario_folder(), Scenario(name.strip(), changes, created))
            st.query_params[NAME_KEY] = name.strip()
            st.toast(f"Scenario {name.strip()} is kept")


def _show_scenarios(history: SalesHistory, now: Current) -> None:
    """The scenarios beside each other, and what they are worth with today's model and plan."""
    stored = loading.scenarios()
    if not stored:
        return
    st.subheader("Scenarios")
    differences = {each.name: _difference_today(each, now) for each in stored}
    if totals := {name: value for name, value in differences.items() if isinstance(value, Difference)}:
        charts.show(_scenario_chart(history, totals), "scenarios")
    for scenario in stored:
        text, use, forget = st.columns([6, 1, 1], vertical_alignment="center")
        text.markdown(f"**{scenario.name}**: {_difference_text(differences[scenario.name])}")
        use.button("Open", key=f"open-{scenario.name}", on_click=_use, args=(scenario.changes, scenario.name))
        forget.button("Delete", key=f"delete-{scenario.name}", on_click=_forget, args=(scenario.name,))


def _difference_today(scenario: Scenario, now: Current) -> Difference | str:
    """What a scenario is worth today, or why that cannot be said: it may name a store that the chain has no more."""
    try:
        return loading.comparison(now.snapshot, now.champion.version, scenario.changes).total()
    except DataError as error:
        return str(error)


def _difference_text(difference: Difference | str) -> str:
    if isinstance(difference, str):
        return formats.bullets([difference])
    return f"{formats.change(difference.amount)}, between {_range(difference)}"


def _scenario_chart(history: SalesHistory, differences: dict[str, Difference]) -> go.Figure:
    totals = list(differences.values())
    chart = charts.figure("", height=90 + 40 * len(differences))
    reach = {
        "symmetric": False, "color": charts.ACTUAL,
        "array": [total.upper - total.amount for total in totals],
        "arrayminus": [total.amount - total.lower for total in totals],
    }  # fmt: skip
    colours = [charts.BETTER if total.amount >= 0 else charts.WORSE for total in totals]
    chart.add_bar(
        y=list(differences), x=[total.amount for total in totals], orientation="h", marker={"color": colours},
        error_x=reach, name="difference", hovertemplate="%{x:+,.0f}",
    )  # fmt: skip
    chart.update_layout(hovermode="closest", yaxis={"autorange": "reversed", "type": "category"})
    chart.update_xaxes(title=f"difference from the published plan, {formats.unit(history)}", tickformat="~s")
    return chart


def _use(changes: tuple[Change, ...], name: str) -> None:
    st.session_state[CHANGES_KEY] = changes
    st.query_params[NAME_KEY] = name


def _forget(name: str) -> None:
    scenarios.remove_scenario(loading.scenario_folder(), name)
    if st.query_params.get(NAME_KEY) == name:
        del st.query_params[NAME_KEY]


def _choose_best_weeks(history: SalesHistory, selection: Selection, now: Current) -> None:
    weeks = scenarios.whole_weeks(loading.state(now.snapshot))[: scenarios.BEST_OF_WEEKS]
    if len(weeks) <= scenarios.BEST_WEEKS:
        return
    st.subheader(f"Best {scenarios.BEST_WEEKS} promotion weeks of the next {len(weeks)}")
    st.caption(
        f"{selection.title}: every choice is forecast, with promotions in these weeks and in no other of the "
        f"{len(weeks)} weeks from {formats.day(weeks[0])}, and compared with the published plan."
    )
    stores = _labels(history, selection)
    if st.button("Try every choice", icon=":material/search:"):
        st.session_state[BEST_KEY] = (now, stores, _try_all(now, stores))
    if st.session_state.get(BEST_KEY, ())[:2] == (now, stores):
        _show_choices(history, st.session_state[BEST_KEY][2], weeks, stores)


def _try_all(now: Current, stores: tuple[str, ...]) -> list[WeekChoice]:
    bar = st.progress(0.0)
    forecaster, state = loading.forecaster(now.snapshot, now.champion.version), loading.state(now.snapshot)
    choices = scenarios.best_weeks(
        forecaster, state, stores, lambda done, total: bar.progress(done / total, f"{done} of {total} forecast")
    )
    bar.empty()
    return choices


def _show_choices(
    history: SalesHistory, choices: Sequence[WeekChoice], weeks: Sequence[date], stores: tuple[str, ...]
) -> None:
    rows = [
        {
            "weeks from": " and ".join(formats.day(monday) for monday in choice.weeks),
            f"difference, {formats.unit(history)}": round(choice.difference.amount),
            "from": round(choice.difference.lower),
            "to": round(choice.difference.upper),
        }
        for choice in choices[:MOST_CHOICES]
    ]
    amounts = dict.fromkeys(list(rows[0])[1:], st.column_config.NumberColumn(format="localized"))
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=amounts)
    best = scenarios.weeks_as_changes(choices[0].weeks, weeks, stores)
    st.button("Use the best one as the change", on_click=_use_best, args=(best,))


def _use_best(changes: tuple[Change, ...]) -> None:
    st.session_state[CHANGES_KEY] = changes
