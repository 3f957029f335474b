"""Is everything running, how fast, and on what?"""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import streamlit as st

from rossmann import data
from rossmann.dashboard import charts, loading, operation_charts, records
from rossmann.dashboard.formats import age, amount, day, moment
from rossmann.dashboard.records import EndpointStatus
from rossmann.dashboard.widgets import CHART_PX, columns, fact
from rossmann.registry import CHAMPION
from rossmann.serving.target import ServingTarget
from rossmann.settings import without_password
from rossmann.validation import DataError

TRAFFIC_DAYS = 56
LATE_FILE_S = 60  # the journal's log is moved every half second
NO_ENDPOINT = (
    "This workspace has no endpoint: `ROSSMANN_SERVE_ADDRESS` is not set. `make up` starts one and sets it; "
    "`rossmann serve` switches it to the champion."
)
OTHER_TARGET = "The endpoint serves something else than the champion on the current snapshot: `rossmann serve`."


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
    _traffic(has_endpoint=status is not None)
    _addresses()


def _endpoint(status: EndpointStatus | None) -> None:
    st.subheader("Endpoint")
    if status is None:
        st.info(NO_ENDPOINT, icon=":material/info:")
        return
    if status.readiness is None:
        st.error(f"It is not running: {status.problem}. Where `make up` runs, it starts it again within two minutes "
                 "(press Refresh); where it does not, start it. Then `rossmann serve` deploys the champion again.",
                 icon=":material/cloud_off:")  # fmt: skip
        return
    if error := status.readiness["load_error"]:
        st.error(f"What was requested last cannot be loaded: {error}", icon=":material/error:")
    places = columns(4)
    fact(places[0], "State", "ready" if status.readiness["ready"] else "not ready", status.url)
    running = None if status.replicas is None else status.replicas["RUNNING"]
    fact(places[1], "Replicas that run", "–" if running is None else running, _other_states(status))
    counts = status.requests or {}
    fact(places[2], "Requests since its start", amount(counts.get("requests", float("nan"))))
    fact(
        places[3],
        "Errors since its start",
        amount(counts.get("errors", float("nan"))),
        f"{counts['mean_ms']:.1f} ms each request" if counts else None,
    )


def _other_states(status: EndpointStatus) -> str | None:
    """The replicas in other states than RUNNING, if there are any."""
    if status.replicas is None:
        return "Ray's dashboard does not answer"
    others = [f"{count} {state.lower()}" for state, count in status.replicas.items() if state != "RUNNING"]
    return ", ".join(others) or None


def _versions(status: EndpointStatus | None) -> None:
    """What should serve, what serves, and how old both are."""
    st.subheader("Model and data")
    try:
        snapshot = data.describe_snapshot(loading.settings().workspace.snapshots, loading.current_snapshot())
    except DataError as error:  # there is none yet; the other parts of the page need none
        st.info(str(error), icon=":material/info:")
        return
    champion = records.with_alias(CHAMPION)
    served = status.target if status else None
    now, created = datetime.now(UTC), datetime.fromisoformat(snapshot.created)
    origin = datetime.fromisoformat(str(snapshot.origin)).date()
    places = columns(4)
    if champion:
        fact(places[0], "Champion", f"version {champion.version}", f"trained until {champion.card.train_end}")
    else:
        fact(places[0], "Champion", "none", "rossmann release")
    version, note = (f"version {served.model_version}", f"snapshot {served.snapshot}") if served else ("–", None)
    fact(places[1], "Endpoint serves", version, note)
    fact(places[2], "Snapshot is", f"{age((now - created).total_seconds())} old", snapshot.fingerprint)
    fact(places[3], "Newest sales are", f"{(now.date() - origin).days:,} days old", f"until {day(origin)}")
    if champion and served and served != ServingTarget(champion.version, snapshot.fingerprint):
        st.warning(OTHER_TARGET, icon=":material/warning:")


def _journal(status: EndpointStatus | None) -> None:
    st.subheader("Journal")
    newest = records.journal_key().request
    files, oldest = records.waiting_files()
    health = status.readiness["journal"] if status and status.readiness else None
    now = datetime.now(UTC)
    places = columns(4)
    newest_age = age((now.replace(tzinfo=None) - newest.at).total_seconds()) if newest else None
    fact(
        places[0],
        "Newest entry",
        f"{newest_age} ago" if newest_age else "none",
        moment(newest.at) if newest else "rossmann forecast",
    )
    lag_s = (now - oldest).total_seconds() if oldest else 0.0
    fact(places[1], "Lag of the log", age(lag_s) if files else "none", f"{files} files wait")
    fact(places[2], "Rows that wait", amount(health["pending_rows"]) if health else "–")
    fact(places[3], "Rows lost", amount(health["lost_rows"]) if health else "–")
    if health and health["problem"]:
        st.error(health["problem"], icon=":material/error:")
    if oldest and lag_s > LATE_FILE_S and health is None:
        st.warning(f"{files} files wait since {moment(oldest)}: the next endpoint moves them (`make up`).",
                   icon=":material/warning:")  # fmt: skip


def _traffic(has_endpoint: bool) -> None:
    end = records.end_of_this_minute()
    st.subheader(f"Requests of the last {records.HOURS} hours")
    hours = records.hourly_traffic(end)
    if hours.empty:
        address = f"127.0.0.1:{loading.settings().http_port}/forecasts/1"
        over_http = f", or over HTTP: `curl {address}`" if has_endpoint else ""
        st.info(f"No request in this time. Ask for a forecast with `rossmann forecast`{over_http}.",
                icon=":material/info:")  # fmt: skip
    else:
        _traffic_pair(hours, "hour", end - timedelta(hours=records.HOURS), end)
    first = end.date() - timedelta(days=TRAFFIC_DAYS)
    days = records.daily_traffic(first)
    if len(days):
        st.subheader("By day (UTC)")
        _traffic_pair(days, "date", first, end)


def _traffic_pair(table: pd.DataFrame, time: str, start: datetime | date, end: datetime) -> None:
    for column, chart, name in zip(
        columns(2, CHART_PX),
        operation_charts.traffic_charts(table, time, start, end),
        ("requests", "latency"),
        strict=True,
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
