"""What the pages about operation read: the journal's sums, backtests, alarms, the ledger and the endpoint.

Sums are cached until the journal has a newer request or another scored day, and for SUMS_TTL_S at most.
"""

import io
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import pandas as pd
import streamlit as st

from rossmann import alarms, journal, monitoring, registry
from rossmann.alarms import AlarmRecord
from rossmann.dashboard import commands, loading
from rossmann.journal import NewestRequest
from rossmann.models import Quantiles
from rossmann.monitoring import BacktestReference
from rossmann.registry import LedgerEntry, RegisteredModel
from rossmann.serving.target import ServingTarget
from rossmann.storage import Storage
from rossmann.validation import DataError

T = TypeVar("T")
TTL_S = 5  # for what may change at any time
SUMS_TTL_S = 300  # a day that is scored a second time changes no field of JournalKey
ENDPOINT_TIMEOUT_S = 2
HOURS = 24
PAGE_SLICES = ("all", "lead_week")  # slices of the accuracy table that the pages show


@dataclass(frozen=True)
class JournalKey:
    """Changes when the journal has something new that the sums may depend on."""

    request: NewestRequest | None
    scored_day: date | None


@dataclass(frozen=True)
class EndpointStatus:
    """What the endpoint says about itself; `problem` is why it says nothing."""

    url: str
    readiness: dict | None
    requests: dict[str, float] | None  # Serve's counters since its start
    replicas: Counter[str] | None  # by state
    problem: str | None

    @property
    def target(self) -> ServingTarget | None:
        """What it serves; None if it serves nothing."""
        if self.readiness is None or not self.readiness["ready"]:
            return None
        return ServingTarget(self.readiness["model_version"], self.readiness["snapshot"])


@st.cache_data(ttl=TTL_S, show_spinner=False)
def journal_key() -> JournalKey:
    """What changes with the journal: what is computed from it is cached by this key."""
    url = loading.settings().journal_address
    return JournalKey(journal.newest_request(url), journal.newest_scored_day(url))


@st.cache_data(max_entries=20, ttl=SUMS_TTL_S, show_spinner=False)
def accuracy_sums(_: JournalKey, first: date, last: date) -> pd.DataFrame:
    """The daily sums of PAGE_SLICES of all model versions."""
    return journal.sum_accuracy(loading.settings().journal_address, PAGE_SLICES, first, last)


@st.cache_data(max_entries=20, ttl=SUMS_TTL_S, show_spinner=False)
def store_sums(_: JournalKey, version: int, first: date, last: date) -> pd.DataFrame:
    """The sums of every store's forecasts by a model version."""
    return journal.sum_store_accuracy(loading.settings().journal_address, version, first, last)


@st.cache_resource(max_entries=4, ttl=SUMS_TTL_S, show_spinner=False)
def newest_batches(_: JournalKey, version: int, first: date, last: date) -> list[tuple[pd.DataFrame, Quantiles]]:
    """The newest forecasts of a model version, as `journal.read_newest_batches` returns them."""
    return journal.read_newest_batches(loading.settings().journal_address, version, first, last)


@st.cache_data(ttl=TTL_S, show_spinner=False)
def hourly_traffic(end: datetime) -> pd.DataFrame:
    """Requests of the HOURS before a moment in UTC, as `journal.hourly_traffic` returns them."""
    return journal.hourly_traffic(loading.settings().journal_address, end, HOURS)


@st.cache_data(ttl=TTL_S, show_spinner=False)
def daily_traffic(since: date) -> pd.DataFrame:
    """Requests of whole days, as monitoring has counted them."""
    return journal.read_since(loading.settings().journal_address, journal.traffic, since)


@st.cache_data(ttl=SUMS_TTL_S, show_spinner=False)
def drift_findings(_: JournalKey, since: date) -> pd.DataFrame:
    """The findings of drift from a day on."""
    return journal.read_since(loading.settings().journal_address, journal.drift_findings, since)


@st.cache_resource(max_entries=4, show_spinner="Reading the backtest …")
def reference(run_key: str, candidate: str, version: int) -> BacktestReference:
    """The accuracy to expect of a model version, from its backtest. DataError if its files were changed."""
    from rossmann.training.files import load_backtest_run  # imports Ray, which the other pages do not need

    try:
        run = load_backtest_run(Storage(loading.settings().workspace.backtests), run_key)
    except KeyError as error:  # columns of another version
        raise DataError(f"another version wrote the backtest of model version {version}: rossmann retrain") from error
    return monitoring.backtest_reference(run.backtest.of(candidate), version)


@st.cache_data(max_entries=8, show_spinner=False)
def leaderboard(run_key: str) -> pd.DataFrame | None:
    """The leaderboard of a backtest run; None if it is deleted by now."""
    from rossmann.training.files import LEADERBOARD_FILE  # imports Ray

    folder = Storage(loading.settings().workspace.backtests).subfolder(run_key)
    if not folder.exists(LEADERBOARD_FILE):
        return None
    return pd.read_csv(io.BytesIO(folder.read(LEADERBOARD_FILE)), index_col="candidate")


@st.cache_resource(ttl=TTL_S, show_spinner=False)
def list_models() -> tuple[RegisteredModel, ...]:
    """All model versions, newest first."""
    return registry.list_models(loading.model_registry())


def with_alias(alias: str) -> RegisteredModel | None:
    """The version with an alias, or None."""
    return next((each for each in list_models() if alias in each.aliases), None)


@st.cache_resource(ttl=TTL_S, show_spinner=False)
def ledger() -> tuple[LedgerEntry, ...]:
    """All decisions about the champion, newest first."""
    return registry.ledger(loading.model_registry())


@st.cache_data(ttl=TTL_S, show_spinner=False)
def rollback_target(champion: int) -> int | None:
    """The version that a rollback makes champion; None where there is none."""
    return registry.find_version_before(loading.model_registry(), champion)


@st.cache_data(ttl=TTL_S, show_spinner="Asking Prefect whether a retraining runs …")
def retraining() -> str:
    """What `rossmann alarms` says about the run that will answer the alarms; empty if none is due or running.

    The command asks Prefect, which only the flows know.
    """
    result = commands.run("alarms", "--json")
    if not result.succeeded:
        return ""
    return next((each["retraining"] for each in json.loads(result.text) if each["retraining"]), "")


@st.cache_resource(ttl=TTL_S, show_spinner=False)
def list_alarms() -> list[AlarmRecord]:
    """Every alarm with its newest outcome, newest first."""
    return alarms.list_alarms(loading.settings().workspace.alarms)


@st.cache_data(ttl=TTL_S, show_spinner=False)
def report_days() -> list[str]:
    """The last days of the windows that have a report of drift, newest first."""
    folders = Storage(loading.settings().workspace.monitoring_reports).folders()
    return sorted((name for name in folders if name != monitoring.LATEST), reverse=True)


@st.cache_data(max_entries=2, show_spinner="Reading the report …")
def report_page(day: str) -> str:
    """The report of drift whose window ends on a day, as HTML."""
    folder = Storage(loading.settings().workspace.monitoring_reports).subfolder(day)
    return folder.read(monitoring.PAGE).decode()


@st.cache_data(ttl=TTL_S, show_spinner="Asking the endpoint …")
def endpoint_status() -> EndpointStatus | None:
    """The state of the endpoint; None for a workspace without one."""
    from rossmann.serving import deployment  # imports Ray

    cluster = deployment.serve_cluster(loading.settings())
    if cluster is None:
        return None
    cluster = replace(cluster, timeout_s=ENDPOINT_TIMEOUT_S)
    try:
        readiness = deployment.readiness(cluster)
    except DataError as error:
        return EndpointStatus(cluster.url, None, None, None, str(error))
    counts = _or_none(lambda: deployment.request_counts(cluster))
    return EndpointStatus(cluster.url, readiness, counts, _or_none(lambda: deployment.replica_states(cluster)), None)


def waiting_files() -> tuple[int, datetime | None]:
    """How many files of the journal's log wait to be moved to the database, and since when the oldest does."""
    files = Storage(loading.settings().workspace.journal_log).files()
    return len(files), min((file.modified for file in files), default=None)


def end_of_this_minute() -> datetime:
    """When this minute ends, in UTC without a time zone as the journal has its moments: the same for a whole minute."""
    return datetime.now(UTC).replace(second=0, microsecond=0, tzinfo=None) + timedelta(minutes=1)


def warm() -> None:
    """Read what the first reader would wait for. Does nothing while there is no champion, snapshot or backtest."""
    from rossmann.serving import deployment  # noqa: F401  # imports Ray, which takes seconds

    with suppress(DataError, OSError):
        now = loading.current()
        reference(now.champion.backtest_run, now.champion.card.candidate, now.champion.version)


def clear_models() -> None:
    """Forget who is champion, after it was changed here."""
    for cached in (list_models, ledger, rollback_target, loading.champion):
        cached.clear()


def _or_none(ask: Callable[[], T]) -> T | None:
    """The answer; None where the key or Ray's dashboard is missing: what /ready says is shown without it."""
    try:
        return ask()
    except DataError:
        return None
