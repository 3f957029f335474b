"""What the pages read, cached by snapshot and model version, so that a new champion is seen without a restart.

Reading writes nothing to the workspace, and no reader makes a flow wait.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import streamlit as st

from rossmann import data, explain, features, journal, models, registry
from rossmann.dashboard import series
from rossmann.dashboard.series import PublishedForecast
from rossmann.data import SalesHistory
from rossmann.explain import ForecastInputs, Reasons
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.planning import scenarios as planning_scenarios
from rossmann.planning.scenarios import Change, Comparison, Scenario
from rossmann.registry import RegisteredModel, Registry
from rossmann.schema import to_date
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError

CURRENT_TTL_S = 5  # what is current is asked again after so many seconds
MAX_IN_MEMORY = 2  # snapshots and models: the current one, and the one before for sessions that still show it

EARLIER_TTL_S, MOST_CHOICES = 60, 32
MAX_EARLIER_FORECASTS = 6  # earlier forecasts that a chart shows


@dataclass(frozen=True)
class Current:
    """What forecasts are made from now."""

    snapshot: str  # fingerprint
    champion: RegisteredModel


@st.cache_resource
def settings() -> Settings:
    """The settings of this process."""
    return Settings()


def model_registry() -> Registry:
    """The registry of the workspace."""
    return Registry(settings().mlflow_address, settings().workspace.models)


@st.cache_data(ttl=CURRENT_TTL_S, show_spinner=False)
def current_snapshot() -> str:
    """The fingerprint of the current snapshot. DataError with what to type if there is none."""
    return data.current_snapshot(settings().workspace.snapshots)


@st.cache_resource(ttl=CURRENT_TTL_S, show_spinner=False)
def champion() -> RegisteredModel:
    """The version that serves. DataError with what to type if there is none."""
    return registry.champion(model_registry())


def current() -> Current:
    """The current snapshot and the champion. DataError with what to type if one is missing."""
    return Current(current_snapshot(), champion())


@st.cache_resource(max_entries=MAX_IN_MEMORY, show_spinner=False)
def history(snapshot: str) -> SalesHistory:
    """The sales history of a snapshot."""
    return data.load_snapshot(settings().workspace.snapshots, snapshot)


@st.cache_resource(max_entries=MAX_IN_MEMORY, show_spinner=False)
def state(snapshot: str) -> State:
    """The State of a snapshot."""
    return features.load_state(settings().workspace.snapshots, snapshot)


@st.cache_resource(max_entries=MAX_IN_MEMORY, show_spinner=False)
def forecaster(snapshot: str, version: int) -> Forecaster:
    """A model version with the quantiles that the snapshot has for it: what the batch forecast uses, too."""
    _, trained_forecaster = registry.fetch_forecaster(model_registry(), version)
    return models.adapt(trained_forecaster, settings().workspace.snapshots, snapshot)


@st.cache_resource(max_entries=MAX_IN_MEMORY, show_spinner=False)
def published(snapshot: str, version: int) -> PublishedForecast:
    """The forecast of the whole published plan, which every choice of stores is a part of."""
    return series.forecast_published_plan(forecaster(snapshot, version), state(snapshot))


@st.cache_data(ttl=EARLIER_TTL_S, max_entries=MOST_CHOICES, show_spinner=False)
def earlier_forecasts(
    stores: tuple[int, ...] | None, first: np.datetime64, last: np.datetime64, origin: np.datetime64
) -> pd.DataFrame:
    """Forecasts of some days from before an origin, from the journal: `journal.read_earlier_forecasts`."""
    days = to_date(first), to_date(last), to_date(origin)
    return journal.read_earlier_forecasts(settings().journal_address, stores, *days, most=MAX_EARLIER_FORECASTS)


@st.cache_resource(max_entries=MOST_CHOICES, show_spinner=False)
def reasons(snapshot: str, version: int, stores: tuple[int, ...], day: date) -> tuple[Reasons, ...]:
    """Why the forecast of a day of each of these stores is what it is."""
    inputs = ForecastInputs(forecaster(snapshot, version), state(snapshot))
    return explain.reasons_of_stores(inputs, stores, np.datetime64(day))


@st.cache_resource(max_entries=MOST_CHOICES, show_spinner=False)
def comparison(snapshot: str, version: int, changes: tuple[Change, ...]) -> Comparison:
    """What changes of the published plan would sell beside it."""
    return planning_scenarios.compare(forecaster(snapshot, version), state(snapshot), changes)


def scenario_folder() -> Storage:
    """Where the scenarios are: the only place of the workspace that a page of what-if writes to."""
    return Storage(settings().workspace.scenarios)


def scenarios() -> list[Scenario]:
    """The scenarios that are kept in the workspace."""
    return planning_scenarios.list_scenarios(scenario_folder())


def warm() -> None:
    """Read and compute what the first reader would wait for. Does nothing while there is no snapshot or champion."""
    with suppress(DataError):
        now = current()
        history(now.snapshot)
        published(now.snapshot, now.champion.version)
