"""Why the forecast of a day is what it is, and why that of one store moved. Day, origin and version are in the URL."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.plotly_chart import PlotlyState

from rossmann import explain
from rossmann.dashboard import charts, formats, links, loading, loading_movement, loading_planning, widgets
from rossmann.dashboard.loading import Current
from rossmann.dashboard.selection import Selection
from rossmann.data import SalesHistory
from rossmann.explain import Movement, Reasons
from rossmann.schema import to_date
from rossmann.validation import DataError

DAY_KEY, CLICK_KEY = "day", "click"  # of the session; the day is in the URL, too
MOVEMENT_KEY, SINCE_KEY, VERSION_KEY = "movement", "since", "since-version"  # of the session and of the URL
MOST_STORES = 100  # whose reasons are summed: some 5 ms each
MARGIN = 0.35  # of the range of a movement, beside it, for the amounts


def show_reasons(history: SalesHistory, selection: Selection, now: Current, event: PlotlyState) -> None:
    """The reasons of a day of the chosen stores, and, for one store, why it moved. event: a click in the chart."""
    st.subheader("Reasons")
    stores = tuple(history.stores.number[selection.positions].tolist())
    if len(stores) > MOST_STORES:
        st.info(f"Choose at most {MOST_STORES} stores above: then the reasons of a day's forecast stand here.")
        return
    left, right = widgets.side_and_main()
    with left:
        day = _choose_day(history, event)
    reasons = loading.reasons(now.snapshot, now.champion.version, stores, day)
    forecast, unit = sum(each.forecast for each in reasons), formats.unit(history)
    left.metric(f"Forecast of {formats.day(day)}, {unit}", formats.amount(forecast))
    with right:
        _show_terms(reasons, forecast, unit)
    if len(stores) == 1 and st.toggle("Why it moved since an earlier origin", key=MOVEMENT_KEY, bind="query-params"):
        _show_movement(history, now, stores[0], day)


def _show_terms(reasons: Sequence[Reasons], forecast: float, unit: str) -> None:
    count, closed = len(reasons), sum(each.closed for each in reasons)
    if closed == count:
        who = "the store is" if count == 1 else "the stores are"
        st.info(f"The plan says that {who} closed on this day, so that the forecast is 0.")
        return
    charts.show(charts.waterfall(explain.sum_terms(reasons), forecast, unit), "reasons")
    about = "The usual level, and what each cause adds to it or takes away: together they are the forecast."
    of_them = f", {closed} of them closed" if closed else ""
    st.caption(about + (f" They are sums of {count} stores{of_them}." if count > 1 else ""))


def _choose_day(history: SalesHistory, event: PlotlyState) -> date:
    """The day whose reasons are shown: clicked in the chart, or typed. In the URL."""
    first, last = loading_planning.days_to_come(history)
    clicked_days = [to_date(np.datetime64(point["x"])) for point in event.selection.points]
    if clicked_days and first <= clicked_days[0] <= last and clicked_days[0] != st.session_state.get(CLICK_KEY):
        st.session_state[CLICK_KEY] = st.session_state[DAY_KEY] = clicked_days[0]
    links.warn_of_unknown_day(DAY_KEY, first, last)
    return st.date_input(
        "Day, also by a click on it in the chart",
        first,
        first,
        last,
        key=DAY_KEY,
        bind="query-params",
        format="YYYY-MM-DD",
    )


def _show_movement(history: SalesHistory, now: Current, store: int, day: date) -> None:
    """Choose an origin and a version; the forecast before and now, and by how much each cause moved it."""
    left, right = widgets.side_and_main()
    with left:
        since, version = _choose_earlier(history, now, store, day)
    with right:
        try:
            earlier, notes = loading_movement.movement(now, store, day, since, version)
        except DataError as error:
            st.info(str(error), icon=":material/info:")
            return
        movement, unit = earlier.movement, formats.unit(history)
        earlier_column, now_column = widgets.columns(2)
        earlier_column.metric(f"Before, from sales up to {formats.day(since)}, {unit}", formats.amount(movement.before))
        change = formats.change(movement.change)
        now_label = f"Now, from sales up to {formats.day(history.origin)}, {unit}"
        now_column.metric(now_label, formats.amount(movement.after), change, delta_color="off")
        if any(round(amount) for _, amount in movement.causes):
            charts.show(_movement_chart(movement, unit), "movement-chart")
            st.caption("What each cause adds or takes away: together they are the difference of the two forecasts.")
        else:
            st.info("The two forecasts are the same.", icon=":material/info:")
        if notes:
            st.caption(formats.bullets([f"Note: {note}." for note in notes]))


def _choose_earlier(history: SalesHistory, now: Current, store: int, day: date) -> tuple[date, int]:
    """The origin and the model version of the forecast to compare with."""
    usual, usual_version = loading_movement.usual_comparison(history, now.champion.version, store, day)
    first, last = loading_movement.first_origin(history, day), to_date(history.origin)
    if SINCE_KEY in st.session_state and not first <= st.session_state[SINCE_KEY] <= last:
        st.session_state[SINCE_KEY] = usual  # chosen for another day
    links.warn_of_unknown_day(SINCE_KEY, first, last, "from {} this day cannot be forecast")
    since = st.date_input(
        "Earlier origin",
        usual,
        first,
        last,
        key=SINCE_KEY,
        bind="query-params",
        format="YYYY-MM-DD",
        help="The newest earlier forecast of the day in the journal, unless you choose another one",
    )
    versions = list(loading_movement.versions())
    links.warn_of_unknown(VERSION_KEY, versions, "there is no model version {}")
    version = st.selectbox(
        "Model version",
        versions,
        versions.index(usual_version),
        key=VERSION_KEY,
        bind="query-params",
    )
    return since, version


def _movement_chart(movement: Movement, unit: str) -> go.Figure:
    """The causes of a movement, each a step from where the one before it ends, and their sum."""
    names, amounts = zip(*movement.causes, ("total", movement.change), strict=True)
    chart = charts.figure("", height=210)
    texts = [formats.change(amount) for amount in amounts]
    charts.add_steps(chart, names, amounts, texts, ["relative"] * len(movement.causes) + ["total"])
    ends = np.cumsum([0.0, *amounts[:-1]])
    margin = MARGIN * max(float(np.ptp(ends)), 1.0)
    chart.update_xaxes(title=f"change, {unit}", tickformat="~s", range=[ends.min() - margin, ends.max() + margin])
    return chart
