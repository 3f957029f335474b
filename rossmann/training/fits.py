"""Fits as Ray tasks: a fit has one thread and one CPU.

The history goes once into Ray's object store; a State or a training window is computed once and shared by all fits.
"""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import ray

from rossmann import features, models
from rossmann.data import SalesHistory
from rossmann.models import Candidate, Forecaster, Quantiles
from rossmann.validation import DataError

MAX_CRASH_RETRIES = 2  # how often a fit is tried again when its worker process died; an exception is never retried
OUT_OF_MEMORY_RETRIES = 2  # the same where Ray killed it for lack of memory; so do hosts of a cluster, see deployments/


@dataclass(frozen=True)
class FitTask:
    """One candidate, fitted to days up to and including `train_end`, that forecasts from the State of `origin`."""

    candidate: Candidate
    origin: np.datetime64
    train_end: np.datetime64

    @property
    def name(self) -> str:
        """For progress and messages."""
        return f"{self.candidate.name} from {self.origin}"


@dataclass(frozen=True)
class FitResult:
    """The forecast of a FitTask, or the reason why there is none."""

    forecast: np.ndarray | None  # sales. float64 [rows of the fold's plan]
    standard_deviation: np.ndarray | None  # of the error of log sales, as the linear model estimates it. [rows]
    cpu_seconds: float
    importance: dict[str, float]  # share of the gain by feature; empty without boosters
    failure: str = ""  # type and message of the error; empty where there is a forecast

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Forecast and standard deviation of a fit that has succeeded."""
        assert self.forecast is not None, self.failure
        assert self.standard_deviation is not None, self.failure
        return self.forecast, self.standard_deviation


class FitPool:
    """Fits on Ray that share States and training windows; more can be added while others run.

    A context manager: Ray starts with the first fit, and leaving the context early cancels what still runs.
    """

    def __init__(self, history: SalesHistory, horizon_days: int, seed: int, ray_address: str | None) -> None:
        self._history, self._horizon_days, self._seed, self._ray_address = history, horizon_days, seed, ray_address
        self._cluster = ExitStack()
        self._states: dict[np.datetime64, ray.ObjectRef] = {}
        self._windows: dict[np.datetime64, ray.ObjectRef] = {}
        self._past_windows: dict[np.datetime64, ray.ObjectRef] = {}
        self._running: dict[ray.ObjectRef, FitTask] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running:
            shared = (*self._states.values(), *self._windows.values(), *self._past_windows.values())
            for reference in (*self._running, *shared):
                ray.cancel(reference, force=True)
        self._cluster.close()

    def __len__(self) -> int:
        """How many fits have not been returned yet."""
        return len(self._running)

    def submit(self, task: FitTask) -> None:
        """Start a fit as soon as a CPU is free."""
        history, state = self._shared_history, self._state_at(task.origin)
        windows = self._windows_before(task.train_end) if task.candidate.needs_training_windows else []
        past = [self._past_window_of(task.train_end)] if task.candidate.needs_past_window else []
        reference = _fit_and_forecast.remote(task, history, self._horizon_days, self._seed, state, *windows, *past)
        self._running[reference] = task

    def next_result(self) -> tuple[FitTask, FitResult]:
        """Wait for the next fit that is finished. At least one must run."""
        (finished,), _ = ray.wait(list(self._running), num_returns=1)
        task = self._running.pop(finished)
        return task, _result(task, finished)

    @cached_property
    def _shared_history(self) -> ray.ObjectRef:
        self._cluster.enter_context(ray_cluster(self._ray_address))
        return ray.put(self._history)

    def _state_at(self, origin: np.datetime64) -> ray.ObjectRef:
        if origin not in self._states:
            self._states[origin] = _state.remote(self._shared_history, origin, self._horizon_days)
        return self._states[origin]

    def _past_window_of(self, train_end: np.datetime64) -> ray.ObjectRef:
        if train_end not in self._past_windows:
            self._past_windows[train_end] = _past_window.remote(self._shared_history, train_end)
        return self._past_windows[train_end]

    def _windows_before(self, last: np.datetime64) -> list[ray.ObjectRef]:
        """The training windows with origins before `last`, ascending."""
        origins = _window_origins_before(self._history, last)
        for origin in origins:
            if origin not in self._windows:
                self._windows[origin] = _training_window.remote(self._shared_history, origin)
        return [self._windows[origin] for origin in origins]


def run_fits(
    history: SalesHistory, tasks: Sequence[FitTask], horizon_days: int, seed: int, ray_address: str | None
) -> Iterator[tuple[FitTask, FitResult]]:
    """Run the tasks on Ray and yield each when it is finished. Leaving the loop early cancels what still runs."""
    with FitPool(history, horizon_days, seed, ray_address) as pool:
        for task in tasks:
            pool.submit(task)
        while len(pool):
            yield pool.next_result()


def fit_final(
    history: SalesHistory, candidate: Candidate, quantiles: Quantiles, *, seed: int, ray_address: str | None
) -> Forecaster:
    """Fit the candidate to the whole history, and give it the quantiles of its backtest.

    DataError where there is too little memory.
    """
    with ray_cluster(ray_address):
        shared_history = ray.put(history)
        origins = _window_origins_before(history, history.origin) if candidate.needs_training_windows else ()
        windows = [_training_window.remote(shared_history, origin) for origin in origins]
        past = [_past_window.remote(shared_history, history.origin)] if candidate.needs_past_window else []
        members = [
            _fit.remote(
                member,
                history.origin,
                seed,
                *(windows if member.needs_training_windows else ()),
                *(past if member.needs_past_window else ()),
            )
            for member in candidate.members or (candidate,)
        ]
        try:
            fitted = ray.get(members)
        except ray.exceptions.OutOfMemoryError as error:
            raise DataError(_memory_failure(f"the final fit of {candidate.name}", error)) from error
    forecaster = models.blend(candidate, fitted) if candidate.members else fitted[0]
    return forecaster.with_quantiles(quantiles)


@contextmanager
def ray_cluster(address: str | None) -> Iterator[None]:
    """A Ray cluster to work on: one that is joined already, the one at `address`, or a local one inside the context."""
    if ray.is_initialized():
        yield
        return
    local = {
        "address": "local",
        "include_dashboard": False,
        "_system_config": {"task_oom_retries": OUT_OF_MEMORY_RETRIES},  # by default Ray tries again for ever
    }
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **(local if address is None else {"address": address}))
    try:
        yield
    finally:
        ray.shutdown()


@ray.remote(max_retries=MAX_CRASH_RETRIES)
def _state(history: SalesHistory, origin: np.datetime64, horizon_days: int) -> features.State:
    return features.fit_state(history.until(origin, horizon_days))


@ray.remote(max_retries=MAX_CRASH_RETRIES)
def _training_window(history: SalesHistory, origin: np.datetime64) -> models.TrainingWindow:
    return models.training_window(history, origin)


@ray.remote(max_retries=MAX_CRASH_RETRIES)
def _past_window(history: SalesHistory, origin: np.datetime64) -> models.TrainingWindow:
    return models.past_window(history, origin)


@ray.remote(max_retries=MAX_CRASH_RETRIES)
def _fit_and_forecast(
    task: FitTask,
    history: SalesHistory,
    horizon_days: int,
    seed: int,
    state: features.State,
    *training_windows: models.TrainingWindow,
) -> FitResult:
    started = time.process_time()
    forecaster = models.fit(task.candidate, training_windows, task.train_end, seed)
    cpu_seconds = time.process_time() - started
    plan = history.plan(task.origin, horizon_days)
    standard_deviation = features.join_plan(state, plan).standard_deviation
    forecast = forecaster.predict(state, plan).sales
    return FitResult(forecast, standard_deviation, cpu_seconds, dict(forecaster.importance()))


@ray.remote(max_retries=MAX_CRASH_RETRIES)
def _fit(
    candidate: Candidate, train_end: np.datetime64, seed: int, *training_windows: models.TrainingWindow
) -> Forecaster:
    return models.fit(candidate, training_windows, train_end, seed)


def _window_origins_before(history: SalesHistory, last: np.datetime64) -> list[np.datetime64]:
    """The origins of the training windows that begin before `last`, ascending."""
    return [origin for origin in models.window_origins(history.dates[0], history.origin) if origin < last]


def _result(task: FitTask, finished: ray.ObjectRef) -> FitResult:
    try:
        return ray.get(finished)
    except ray.exceptions.OutOfMemoryError as error:  # of the fit, or of the State or a window that it needs
        return FitResult(None, None, 0.0, {}, _memory_failure(task.name, error))
    except ray.exceptions.RayTaskError as error:
        return FitResult(None, None, 0.0, {}, f"{type(error.cause).__name__}: {error.cause}")
    except ray.exceptions.RayError as error:  # the worker died more often than MAX_CRASH_RETRIES
        return FitResult(None, None, 0.0, {}, f"{type(error).__name__}: {str(error).splitlines()[0]}")


def _memory_failure(fit: str, error: ray.exceptions.OutOfMemoryError) -> str:
    """One sentence from Ray's page of details: what the fit used, and what was in use."""
    process = re.search(r"actual memory used=([^,]+)", str(error))
    machine = re.search(r"was (\S+) used / (\S+) limit", str(error))
    used = f"its process used {process[1]} " if process else ""
    in_use = f"when {machine[1]} of {machine[2]} were in use, " if machine else ""
    return (
        f"{fit} needed more memory than there is: {used}{in_use}{OUT_OF_MEMORY_RETRIES + 1} times; "
        "free memory, or train on a machine with more (ROSSMANN_RAY_ADDRESS)"
    )
