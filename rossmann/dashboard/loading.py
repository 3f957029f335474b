"""What the pages read, cached by snapshot and model version, so that a new champion is seen without a restart.

Nothing here writes to the workspace.
"""

from dataclasses import dataclass

import streamlit as st

from rossmann import data, features, models, registry
from rossmann.data import SalesHistory
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.registry import RegisteredModel, Registry
from rossmann.settings import Settings

CURRENT_TTL_S = 5  # what is current is asked again after so many seconds
KEEP = 2  # snapshots and models in memory: the current one, and the one before for sessions that still show it


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


@st.cache_resource(max_entries=KEEP, show_spinner="Reading the history …")
def history(snapshot: str) -> SalesHistory:
    """The sales history of a snapshot."""
    return data.load_snapshot(settings().workspace.snapshots, snapshot)


@st.cache_resource(max_entries=KEEP, show_spinner="Reading the features …")
def state(snapshot: str) -> State:
    """The State of a snapshot."""
    return features.load_state(settings().workspace.snapshots, snapshot)


@st.cache_resource(max_entries=KEEP, show_spinner="Reading the model …")
def forecaster(snapshot: str, version: int) -> Forecaster:
    """A model version with the quantiles that the snapshot has for it: what the batch forecast uses, too."""
    _, fitted = registry.fetch_forecaster(model_registry(), version)
    return models.adapt(fitted, settings().workspace.snapshots, snapshot)
