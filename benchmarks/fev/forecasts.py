"""Forecasts of the blend and its members for the windows, each fitted on the days up to its origin."""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from rossmann import features, models
from rossmann.data import SalesHistory
from rossmann.evaluation import MAE
from rossmann.models import LEARNERS
from rossmann.models.candidate import BLEND
from rossmann.provenance import code_version
from rossmann.schema import DAY, HORIZON_DAYS

SEED = 7
LINEAR = "ridge"
MODELS = (BLEND, *dict.fromkeys((LINEAR, *models.BLEND_MEMBERS)))
# Chosen on the windows of 2013-11-14, 2014-01-01 and 2014-02-18, before those that are scored: with a year of history,
# training windows every 12 days in place of 24, and boosters of past days with half the weight of the others.
STEP_DAYS = 12
WEIGHTS = {name: 1 if LEARNERS[name].needs_past_window else 2 for name in models.BLEND_MEMBERS}
TRAINING, INFERENCE = "training CPU s", "inference CPU s"  # in a table's attributes, by model
NEW_WINDOWS_DAYS = HORIZON_DAYS  # a window shares the training windows of the one before; these days' are its own


def window_forecasts(history: SalesHistory, origins: Sequence[np.datetime64], folder: Path) -> list[pd.DataFrame]:
    """For each window the median sales by the blend and its members, as `_forecast` returns them.

    Those that this code has computed before are read from the folder.
    """

    @cache
    def timed_window(origin: np.datetime64) -> tuple[models.TrainingWindow, float]:
        started = time.process_time()
        return models.training_window(history, origin), time.process_time() - started

    tables = []
    for origin in origins:
        file = folder / f"{code_version()}-{origin}.parquet"
        if not file.exists():
            starts = models.window_origins(history.dates[0], origins[-1], STEP_DAYS)
            windows = {start: timed_window(start) for start in starts if start < origin}
            started = time.process_time()
            past = models.past_window(history, origin)
            past_seconds = time.process_time() - started
            table = _forecast(history, origin, [*(window for window, _ in windows.values()), past])
            new = [seconds for start, (_, seconds) in windows.items() if start >= origin - NEW_WINDOWS_DAYS * DAY]
            add_blend(table, sum(new) + past_seconds)
            folder.mkdir(parents=True, exist_ok=True)
            table.to_parquet(file)
        tables.append(pd.read_parquet(file))
    return tables


def linear_forecast(history: SalesHistory, origin: np.datetime64) -> pd.DataFrame:
    """The same by the linear model alone, which needs no training windows."""
    return _forecast(history, origin, [])


def _forecast(history: SalesHistory, origin: np.datetime64, windows: Sequence[models.TrainingWindow]) -> pd.DataFrame:
    """Store, date, standard deviation of the error of log sales, and a column of median sales for each member.

    Without training windows there is the linear model only. The seconds are in the table's attributes.
    """
    started = time.process_time()
    state, plan = features.fit_state(history.until(origin, HORIZON_DAYS)), history.plan(origin, HORIZON_DAYS)
    training, inference = {LINEAR: time.process_time() - started}, {}
    rows = features.join_plan(state, plan)
    columns = {"store": plan.store, "date": plan.date, "standard_deviation": rows.standard_deviation}
    for name in MODELS[1:] if windows else (LINEAR,):
        started = time.process_time()
        forecaster = models.fit(models.default_candidate(name, MAE), windows, origin, SEED)
        fitted = time.process_time()
        columns[name] = forecaster.predict(state, plan).sales
        training[name] = training.get(name, 0) + fitted - started
        inference[name] = time.process_time() - fitted
    table = pd.DataFrame(columns)
    table.attrs = {TRAINING: training, INFERENCE: inference}
    return table


def add_blend(table: pd.DataFrame, windows_seconds: float) -> None:
    """Add the column of the blend, and its seconds; boosters alone need the State and the training windows, too."""
    members = models.BLEND_MEMBERS
    table[BLEND] = models.geometric_mean([table[name].to_numpy() for name in members for _ in range(WEIGHTS[name])])
    training, inference = table.attrs[TRAINING], table.attrs[INFERENCE]
    training[BLEND] = windows_seconds + sum(training[name] for name in {LINEAR, *members})
    inference[BLEND] = sum(inference[name] for name in members)
    for name in MODELS[1:]:
        if name != LINEAR:
            training[name] += training[LINEAR] + windows_seconds
