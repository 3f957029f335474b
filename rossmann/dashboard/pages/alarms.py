"""What went wrong, what was done about it, and what that changed."""

from datetime import timedelta

import pandas as pd
import streamlit as st
import streamlit.components.v1 as components

from rossmann import monitoring
from rossmann.dashboard import charts, loading, operation_charts, records
from rossmann.dashboard.formats import bullets, capitalise, day, moment
from rossmann.dashboard.timeline import DECISION, TimelineEntry, timeline
from rossmann.dashboard.widgets import columns, fact
from rossmann.data import SalesHistory
from rossmann.schema import to_date

WEEKS = 26  # of accuracy, and of findings
FIRST_ENTRIES = 10
REPORT_PX = 900
ICONS = {
    "drift": "trending_up", "performance": "target", "data": "database_off", "endpoint": "cloud_off",
    "journal": "menu_book", "quantiles": "stacked_line_chart", "flow": "error", "stale-data": "hourglass_disabled",
    DECISION: "deployed_code",
}  # fmt: skip
NOTHING = (
    "No alarm was ever raised, and no model was released. `rossmann monitor` looks for drift and for bad forecasts. "
    "With `make up` and `make deploy` it runs after every ingest, and daily once its schedule is activated in Prefect."
)


def page() -> None:
    """The page."""
    st.title("Drift and alarms")
    history = loading.history(loading.current_snapshot())
    first = to_date(history.origin) - timedelta(days=7 * WEEKS - 1)
    sums = records.accuracy_sums(records.journal_key(), first, to_date(history.origin))
    weekly = monitoring.weekly_scores(sums[sums.slice == "all"], history.origin)
    entries = timeline(records.list_alarms(), records.ledger(), weekly)
    if not entries:
        st.info(NOTHING, icon=":material/info:")
    else:
        _headline(entries)
        _accuracy(weekly, first)
        _entries(entries)
    _findings(history)
    _report()


def _headline(entries: list[TimelineEntry]) -> None:
    places = columns(3)
    alarms = [each for each in entries if each.kind != DECISION]
    waiting = sum(each.waits_for_retraining for each in alarms)
    note = f"a retraining must answer {waiting} of them" if waiting else None
    fact(places[0], "Open alarms", sum(each.is_open for each in alarms), note)
    fact(places[1], "Newest alarm", alarms[0].kind if alarms else "none", moment(alarms[0].at) if alarms else None)
    decisions = [each for each in entries if each.kind == DECISION]
    fact(places[2], "Decisions about the champion", len(decisions), moment(decisions[0].at) if decisions else None)
    if not waiting:
        return
    if retraining := records.retraining():
        st.info(capitalise(retraining), icon=":material/model_training:")
        return
    st.warning(
        "Alarms wait for a retraining: the automation of `make up` starts one, or type "
        "`rossmann retrain`.", icon=":material/warning:",
    )  # fmt: skip


def _accuracy(weekly: pd.DataFrame, first) -> None:
    """Accuracy by week and version, with the alarms on the days that they are about."""
    if weekly.empty:
        return
    marks: dict[pd.Timestamp, set[str]] = {}
    for record in records.list_alarms():
        if record.alarm.day and record.alarm.day >= first:
            marks.setdefault(pd.Timestamp(record.alarm.day), set()).add(record.alarm.event_kind)
    st.subheader("Accuracy and alarms")
    lines = [(each, ", ".join(sorted(kinds))) for each, kinds in marks.items()]
    charts.show(operation_charts.version_chart(weekly, lines), "alarms-accuracy")


def _entries(entries: list[TimelineEntry]) -> None:
    st.subheader("Timeline")
    kinds = [name for name in ICONS if any(each.kind == name for each in entries)]
    chosen = st.pills("Show", kinds, selection_mode="multi", key="kinds") or kinds
    matching = [each for each in entries if each.kind in chosen]
    count = len(matching) if st.session_state.get("all-entries") else FIRST_ENTRIES
    for entry in matching[:count]:
        _entry(entry)
    if len(matching) > FIRST_ENTRIES:
        st.toggle(f"Show all {len(matching)}", key="all-entries")


def _entry(entry: TimelineEntry) -> None:
    with st.container(border=True):
        about = f" · about {day(entry.day)}" if entry.day else ""
        state = " :red-badge[open]" if entry.is_open else " :green-badge[over]" if entry.is_over else ""
        st.markdown(f":material/{ICONS[entry.kind]}: **{entry.title}**{state}")
        st.caption(f"{moment(entry.at)}{about}")
        st.markdown(bullets(entry.reasons))
        if entry.answer:
            st.markdown(f":material/subdirectory_arrow_right: {entry.answer}")


def _findings(history: SalesHistory) -> None:
    """Every statistic of drift of one day beside its limit."""
    since = to_date(history.origin) - timedelta(days=7 * WEEKS)
    findings = records.drift_findings(records.journal_key(), since)
    st.subheader("Drift")
    if findings.empty:
        st.info("No statistic of drift was computed yet: type `rossmann monitor`.", icon=":material/info:")
        return
    days = sorted(findings.date.dt.date.unique(), reverse=True)
    chosen = st.selectbox("Week up to", days, format_func=day, key="finding-day")
    rows = findings[(findings.date.dt.date == chosen) & findings.effect.notna() & (findings["limit"] > 0)]
    charts.show(operation_charts.findings_chart(rows), "alarms-findings")


def _report() -> None:
    """The report of drift, which is large: it is read when somebody wants it."""
    st.subheader("Report")
    days = records.report_days()
    if not days:
        st.info("There is no report yet: `rossmann monitor` writes one.", icon=":material/info:")
        return
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    chosen = left.selectbox("Report of the week up to", days, key="report-day")
    if right.toggle("Open it here", key="report-open"):
        components.html(records.report_page(chosen), height=REPORT_PX, scrolling=True)
