"""What "Why it moved" compares, cached. Earlier data and other versions are loaded when somebody asks for them."""

from datetime import date

import numpy as np
import pandas as pd
import streamlit as st

from rossmann import explain, registry
from rossmann.dashboard import loading
from rossmann.dashboard.loading import Current
from rossmann.data import SalesHistory
from rossmann.explain import DataAsOf, EarlierForecast, ForecastInputs, InputLoaders, InputVersions
from rossmann.features import State
from rossmann.registry import RegisteredModel
from rossmann.schema import DAY, WEEK_DAYS, to_date


@st.cache_resource(ttl=loading.CURRENT_TTL_S, show_spinner=False)
def versions() -> dict[int, RegisteredModel]:
    """All model versions of the registry, by number, ascending."""
    return {model.version: model for model in registry.list_models(loading.model_registry())}


@st.cache_resource(
    max_entries=loading.MAX_IN_MEMORY,
    show_spinner=False,
    hash_funcs={DataAsOf: lambda each: (each.snapshot, str(each.origin))},
)
def cached_state(data: DataAsOf) -> State:
    """The State of the data. That of a truncated snapshot is fitted, which takes a second or more for a large chain."""
    return data.state()


def first_origin(history: SalesHistory, day: date) -> date:
    """The earliest origin whose plan has a day, or the first of the history."""
    return to_date(max(np.datetime64(day) - history.horizon_days * DAY, history.dates[0]))


def usual_comparison(history: SalesHistory, champion: int, store: int, day: date) -> tuple[date, int]:
    """The origin and the version of the newest earlier forecast of a store's day in the journal.

    Without one, a week before, or the earliest origin that can forecast the day, and the champion.
    """
    earlier = loading.earlier_forecasts((store,), np.datetime64(day), np.datetime64(day), history.origin)
    if len(earlier):
        newest = earlier.iloc[0]
        version = int(newest["model_version"])
        return _day(newest["origin"]), version if version in versions() else champion
    return max(to_date(history.origin - WEEK_DAYS * DAY), first_origin(history, day)), champion


@st.cache_resource(max_entries=loading.MOST_CHOICES, show_spinner="Forecasting from the earlier origin …")
def movement(now: Current, store: int, day: date, since: date, version: int) -> tuple[EarlierForecast, list[str]]:
    """Why the champion's forecast moved since that of an origin and a version, and what a reader must know.

    DataError where the origin or the version cannot forecast the day.
    """
    snapshots, model = loading.settings().workspace.snapshots, now.champion
    day_number, origin = np.datetime64(day), loading.history(now.snapshot).origin
    loaders = InputLoaders(
        snapshots,
        train_end=lambda each: registry.find_version(loading.model_registry(), each).card.train_end,
        forecaster=lambda each: loading.forecaster(now.snapshot, each),
        state=cached_state,
    )
    current_data = DataAsOf(origin, snapshots, now.snapshot, is_truncated=False)
    versions = InputVersions(model.version, model.card.train_end, current_data)
    inputs = ForecastInputs(loading.forecaster(now.snapshot, model.version), loading.state(now.snapshot))
    earlier_versions, earlier_inputs = explain.load_earlier_inputs(
        versions, inputs, now.snapshot, since, version, loaders
    )
    comparison = EarlierForecast(earlier_versions, explain.why_it_moved(earlier_inputs, inputs, store, day_number))
    return comparison, explain.notes(day, versions, earlier_versions)


def _day(moment: pd.Timestamp) -> date:
    return moment.date()
