"""Is everything running, how fast, and on what?"""

from datetime import UTC, datetime, timedelta

import streamlit as st

from rossmann import data
from rossmann.dashboard import charts, loading, operation_charts, records
from rossmann.dashboard.formats import age, amount, day, moment
from rossmann.dashboard.records import EndpointStatus
from rossmann.settings import without_password

TRAFFIC_DAYS = 56
LATE_FILE_S = 60  # the journal's log is moved every half second
NO_ENDPOINT = (
    "This workspace has no endpoint: `ROSSMANN_SERVE_ADDRESS` is not set. `make up` starts one and sets it; "
    "`rossmann serve` switches it to the champion."
)


def page() -> None:
    """The page."""
    st.title("System")
    if st.button("Refresh", icon=":material/refresh:"):
        for cached in (records.endpoint_status, records.journal_key, records.hourly_traffic):
            cached.clear()
    status = records.endpoint_status()
    _endpoint(status)
    _versions(status)
    _journal(status)
    _traffic()
    _addresses()


def _endpoint(status: EndpointStatus | None) -> None:
    st.subheader("Endpoint")
    if status is None:
        st.info(NO_ENDPOINT, icon=":material/info:")
        return
    if status.readiness is None:
        st.error(f"It is not running: {status.problem}. Start it with `make up`, then `rossmann serve`.",
                 icon=":material/cloud_off:")  # fmt: skip
        return
    if error := status.readiness["load_error"]:
        st.error(f"What was requested last cannot be loaded: {error}", icon=":material/error:")
    columns = st.columns(4)
    columns[0].metric("State", "ready" if status.readiness["ready"] else "not ready", status.url, delta_color="off",
                      delta_arrow="off")  # fmt: skip
    running = status.replicas["RUNNING"] if status.replicas else None
    columns[1].metric("Replicas that run", "–" if running is None else running, _other_states(status),
                      delta_color="off", delta_arrow="off")  # fmt: skip
    counts = status.requests or {}
    columns[2].metric("Requests since its start", amount(counts.get("requests", float("nan"))))
    columns[3].metric("Errors since its start", amount(counts.get("errors", float("nan"))),
                      f"{counts['mean_ms']:.1f} ms each request" if counts else None, delta_color="off",
                      delta_arrow="off")  # fmt: skip


def _other_states(status: EndpointStatus) -> str | None:
    """The replicas in other states than RUNNING, if there are any."""
    if status.replicas is None:
        return "Ray's dashboard does not answer"
    others = [f"{count} {state.lower()}" for state, count in status.replicas.items() if state != "RUNNING"]
    return ", ".join(others) or None


def _versions(status: EndpointStatus | None) -> None:
    """What should serve, what serves, and how old both are."""
    st.subheader("Model and data")
    settings = loading.settings()
    snapshot = data.describe_snapshot(settings.workspace.snapshots, loading.current_snapshot())
    champion = next((each for each in records.list_models() if "champion" in each.aliases), None)
    served = status.readiness if status and status.readiness else {}
    now = datetime.now(UTC)
    origin_days = (now.date() - datetime.fromisoformat(str(snapshot.origin)).date()).days
    columns = st.columns(4)
    columns[0].metric("Champion", f"version {champion.version}" if champion else "none",
                      f"trained until {champion.card.train_end}" if champion else "rossmann release",
                      delta_color="off", delta_arrow="off")  # fmt: skip
    columns[1].metric("Endpoint serves", f"version {served['model_version']}" if served.get("ready") else "–",
                      f"snapshot {served['snapshot']}" if served.get("ready") else None, delta_color="off",
                      delta_arrow="off")  # fmt: skip
    created = datetime.fromisoformat(snapshot.created)
    columns[2].metric("Snapshot is", f"{age((now - created).total_seconds())} old", snapshot.fingerprint,
                      delta_color="off", delta_arrow="off")  # fmt: skip
    columns[3].metric("Newest sales are", f"{origin_days:,} days old", f"until {day(snapshot.origin)}",
                      delta_color="off", delta_arrow="off")  # fmt: skip
    if champion and served.get("ready") and (served["model_version"], served["snapshot"]) != (
        champion.version, snapshot.fingerprint,
    ):  # fmt: skip
        st.warning("The endpoint serves something else than the champion on the current snapshot: `rossmann serve`.",
                   icon=":material/warning:")  # fmt: skip


def _journal(status: EndpointStatus | None) -> None:
    st.subheader("Journal")
    newest = records.journal_key().request
    files, oldest = records.waiting_files()
    health = status.readiness["journal"] if status and status.readiness else None
    now = datetime.now(UTC)
    columns = st.columns(4)
    newest_age = age((now.replace(tzinfo=None) - newest.at).total_seconds()) if newest else None
    columns[0].metric("Newest entry", f"{newest_age} ago" if newest_age else "none",
                      moment(newest.at) if newest else "rossmann forecast", delta_color="off",
                      delta_arrow="off")  # fmt: skip
    lag_s = (now - oldest).total_seconds() if oldest else 0.0
    columns[1].metric("Lag of the log", age(lag_s) if files else "none", f"{files} files wait", delta_color="off",
                      delta_arrow="off")  # fmt: skip
    columns[2].metric("Rows that wait", amount(health["pending_rows"]) if health else "–")
    columns[3].metric("Rows lost", amount(health["lost_rows"]) if health else "–")
    if health and health["problem"]:
        st.error(health["problem"], icon=":material/error:")
    if oldest and lag_s > LATE_FILE_S and not (status and status.readiness):
        st.warning(f"{files} files wait since {moment(oldest)}: the next endpoint moves them (`make up`).",
                   icon=":material/warning:")  # fmt: skip


def _traffic() -> None:
    now = records.utc_now()
    st.subheader(f"Requests of the last {records.HOURS} hours")
    hours = records.hourly_traffic(now)
    if hours.empty:
        st.info("No request in this time. Ask for a forecast with `rossmann forecast`, or over HTTP: "
                "`curl 127.0.0.1:8000/forecasts/1`.", icon=":material/info:")  # fmt: skip
    else:
        _traffic_pair(hours, "hour")
    days = records.daily_traffic(now.date() - timedelta(days=TRAFFIC_DAYS))
    if len(days):
        st.subheader("By day (UTC)")
        _traffic_pair(days, "date")


def _traffic_pair(table, time: str) -> None:
    for column, chart, name in zip(
        st.columns(2), operation_charts.traffic_charts(table, time), ("requests", "latency"), strict=True
    ):
        with column:
            charts.show(chart, f"system-{name}-by-{time}")


def _addresses() -> None:
    """Where everything is."""
    settings = loading.settings()
    addresses = {
        "Workspace": settings.workspace.root,
        "MLflow": without_password(settings.mlflow_address),
        "Journal": without_password(settings.journal_address),
        "Ray": settings.serve_address or "–",
    }
    with st.expander("Addresses"):
        st.table({"address": addresses})
