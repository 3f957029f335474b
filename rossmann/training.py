"""Candidates × folds on a Ray cluster, and the final fit.

The history goes once into the object store; the features of a training origin are made once and shared by all fits; a
fit has one thread and one CPU. Finished fits are kept by content: what was computed once is not computed again.
"""

import hashlib
import io
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import ray

from rossmann import evaluation, features, models
from rossmann.data import SalesHistory
from rossmann.evaluation import Backtest, Race
from rossmann.models import Candidate, Forecaster, Intervals
from rossmann.settings import code_version
from rossmann.storage import Storage
from rossmann.validation import DataError

Progress = Callable[[int, int, str], None]  # done, total, what was done last

WORKER_CRASHES = 2  # how often a fit is tried again when its worker died; an exception is never retried


@dataclass(frozen=True)
class Entrant:
    """Who races, and under which name."""

    name: str
    candidate: Candidate
    age_days: int = 0  # how long before an origin its learning stopped: a champion is judged as stale as it is today

    def fits(self, origin: np.datetime64) -> tuple["Fit", ...]:
        """What must be fitted to forecast from `origin`: itself, or a blend's members."""
        known_until = origin - np.timedelta64(self.age_days, "D")
        return tuple(Fit(leaf, origin, known_until) for leaf in self.candidate.members or (self.candidate,))


@dataclass(frozen=True)
class Fit:
    """One candidate learnt from days up to `known_until`, forecasting from what is known on `origin`."""

    candidate: Candidate
    origin: np.datetime64
    known_until: np.datetime64


@dataclass(frozen=True)
class Fitted:
    """What came of a Fit: its forecast [rows of the fold's plan], or the reason why there is none."""

    forecast: np.ndarray | None
    cpu_seconds: float
    importance: dict[str, float]  # share of the gain by feature; empty for what does not learn
    failure: str = ""


def race(
    history: SalesHistory,
    entrants: Sequence[Entrant],
    origins: Sequence[np.datetime64],
    *,
    horizon_days: int,
    coverage: float,
    seed: int,
    ray_address: str | None,
    kept: Storage,
    progress: Progress,
) -> Race:
    """Backtest every entrant on every fold. One that fails is reported and the rest go on; RuntimeError if all fail.

    Each fit is kept as soon as it is done, and the race under its key: `kept` may hold either from an earlier run.
    """
    if len(origins) < 2:
        raise DataError("a race needs at least 2 folds: each fold's bounds are calibrated on the others")
    fits = dict.fromkeys(fit for origin in origins for entrant in entrants for fit in entrant.fits(origin))
    names = {fit: f"fits/{_hash(history.fingerprint, horizon_days, seed, fit)}.npz" for fit in fits}
    done = {fit: fitted for fit, name in names.items() if (fitted := _read(kept, name))}
    missing = [fit for fit in fits if fit not in done]
    progress(len(done), len(fits), "fitted before" if done else "starting Ray")
    for fit, fitted in fit_all(history, missing, horizon_days, seed, ray_address) if missing else ():
        done[fit] = fitted
        if not fitted.failure:
            kept.write(names[fit], _bytes(fitted))
        progress(len(done), len(fits), f"{fit.candidate.name} from {fit.origin}")
    failed = sorted(str(fit) for fit, fitted in done.items() if fitted.failure)  # the same race, healthy, is another
    key = _hash(history.fingerprint, horizon_days, seed, coverage, *entrants, *origins, *failed)
    finished = _gather(key, history, entrants, origins, done, horizon_days, coverage)
    save_race(finished, kept)
    return finished


def fit_all(
    history: SalesHistory, fits: Sequence[Fit], horizon_days: int, seed: int, ray_address: str | None
) -> Iterator[tuple[Fit, Fitted]]:
    """Fit on Ray, yielding as they finish. Leaving the loop early stops what still runs."""
    with cluster(ray_address):
        past = ray.put(history)
        states = {origin: _state.remote(past, origin, horizon_days) for origin in {fit.origin for fit in fits}}
        lessons = _lessons(history, past, max(fit.known_until for fit in fits))
        running = {}
        for fit in fits:
            own = [ref for origin, ref in lessons.items() if fit.candidate.learns and origin < fit.known_until]
            ref = _fit.remote(fit, past, horizon_days, seed, states[fit.origin], *own)
            running[ref] = fit
        try:
            while running:
                (ready,), _ = ray.wait(list(running), num_returns=1)
                yield running.pop(ready), _outcome(ready)
        finally:
            for ref in running:
                ray.cancel(ref, force=True)


def fit_final(
    history: SalesHistory, candidate: Candidate, bounds: Intervals, *, seed: int, ray_address: str | None
) -> Forecaster:
    """The candidate learnt from the whole history, with the intervals of its backtest."""
    with cluster(ray_address):
        lessons = list(_lessons(history, ray.put(history), history.origin).values())
        leaves = candidate.members or (candidate,)
        fitted = ray.get(
            [_fit_whole.remote(leaf, history.origin, seed, *(lessons if leaf.learns else ())) for leaf in leaves]
        )
    forecaster = models.blend(candidate, fitted) if candidate.members else fitted[0]
    return forecaster.with_intervals(bounds)


def intervals(backtest: Backtest, entrant: str, coverage: float) -> Intervals:
    """Calibrated on every fold of the entrant's backtest."""
    return _calibrate(backtest.of(entrant), coverage)


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """A Ray to work on: the one that is already joined, the cluster at `address`, or a local one for the time being."""
    if ray.is_initialized():
        yield
        return
    local = {"include_dashboard": False, "address": "local"} if address is None else {"address": address}
    ray.init(log_to_driver=False, logging_level="error", **local)
    try:
        yield
    finally:
        ray.shutdown()


@ray.remote(max_retries=WORKER_CRASHES)
def _state(history: SalesHistory, origin: np.datetime64, horizon_days: int) -> features.State:
    return features.summarise(history.until(origin, horizon_days))


@ray.remote(max_retries=WORKER_CRASHES)
def _lesson(history: SalesHistory, origin: np.datetime64) -> models.Lesson:
    return models.lesson(history, origin)


@ray.remote(max_retries=WORKER_CRASHES)
def _fit(
    fit: Fit, history: SalesHistory, horizon_days: int, seed: int, state: features.State, *lessons: models.Lesson
) -> Fitted:
    started = time.process_time()
    forecaster = models.fit(fit.candidate, lessons, fit.known_until, seed)
    seconds = time.process_time() - started
    forecast = forecaster.predict(state, history.plan(fit.origin, horizon_days)).sales
    return Fitted(forecast, seconds, dict(forecaster.importance()))


@ray.remote(max_retries=WORKER_CRASHES)
def _fit_whole(candidate: Candidate, known_until: np.datetime64, seed: int, *lessons: models.Lesson) -> Forecaster:
    return models.fit(candidate, lessons, known_until, seed)


def _lessons(history: SalesHistory, past: ray.ObjectRef, last: np.datetime64) -> dict[np.datetime64, ray.ObjectRef]:
    origins = models.lesson_origins(history.dates[0], history.origin)
    return {origin: _lesson.remote(past, origin) for origin in origins if origin < last}


def _outcome(ref: ray.ObjectRef) -> Fitted:
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        return Fitted(None, 0.0, {}, f"{type(error.cause).__name__}: {error.cause}")
    except ray.exceptions.RayError as error:  # the worker died more often than it is tried again
        return Fitted(None, 0.0, {}, f"{type(error).__name__}: {str(error).splitlines()[0]}")


def _gather(
    key: str,
    history: SalesHistory,
    entrants: Sequence[Entrant],
    origins: Sequence[np.datetime64],
    done: dict[Fit, Fitted],
    horizon_days: int,
    coverage: float,
) -> Race:
    windows = [evaluation.fold(history, origin, horizon_days) for origin in origins]
    tables, seconds, importance, failures = [], {}, {}, {}
    for entrant in entrants:
        fitted = [[done[fit] for fit in entrant.fits(window.origin)] for window in windows]
        reasons = [f.failure for members in fitted for f in members if f.failure]
        if reasons:
            failures[entrant.name] = reasons[0]
            continue
        seconds[entrant.name] = sum(f.cpu_seconds for members in fitted for f in members)
        importance[entrant.name] = _mean_importance([f.importance for members in fitted for f in members])
        forecasts = [models.pool([f.forecast for f in members]) for members in fitted]
        rows = pd.concat([evaluation.tabulate(entrant.name, *made) for made in zip(windows, forecasts, strict=True)])
        tables.append(_bounded(rows, coverage))
    if not tables:
        raise RuntimeError("every candidate failed: " + "; ".join(f"{name}: {why}" for name, why in failures.items()))
    rows = pd.concat(tables, ignore_index=True)
    return Race(key, Backtest(rows.astype(evaluation.BACKTEST_COLUMNS)), seconds, importance, failures)


def _mean_importance(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over the fits that learn, largest first."""
    learnt = pd.DataFrame([share for share in shares if share])
    return learnt.fillna(0).mean().sort_values(ascending=False).to_dict()


def _bounded(rows: pd.DataFrame, coverage: float) -> pd.DataFrame:
    """The rows with bounds, each fold's calibrated on the other folds only, so that its coverage is an honest one."""
    bounded = []
    for origin, fold_rows in rows.groupby("origin"):
        bounds = _calibrate(rows[rows.origin != origin], coverage)
        lower, upper = bounds.around(fold_rows.store.to_numpy(), fold_rows.forecast.to_numpy())
        bounded.append(fold_rows.assign(lower=lower, upper=upper))
    return pd.concat(bounded)


def _calibrate(rows: pd.DataFrame, coverage: float) -> Intervals:
    sold = rows[(rows.sales > 0) & (rows.forecast > 0)]
    residual = np.log(sold.sales.to_numpy() / sold.forecast.to_numpy())
    return models.calibrate(sold.store.to_numpy(), residual, coverage)


def _hash(*parts: object) -> str:
    """What a result depends on, this code's version included."""
    return hashlib.sha256(repr([code_version(), *(str(part) for part in parts)]).encode()).hexdigest()[:16]


def _bytes(fitted: Fitted) -> bytes:
    buffer = io.BytesIO()
    names, gains = np.array(list(fitted.importance), dtype=str), np.array(list(fitted.importance.values()))
    np.savez(buffer, forecast=fitted.forecast, cpu_seconds=fitted.cpu_seconds, names=names, gains=gains)
    return buffer.getvalue()


def _read(cache: Storage, name: str) -> Fitted | None:
    """A fit that was kept; None if there is none, or none that can be read: it is then made again."""
    try:
        with np.load(io.BytesIO(cache.read(name)), allow_pickle=False) as kept:
            importance = dict(zip(kept["names"].tolist(), kept["gains"].tolist(), strict=True))
            return Fitted(kept["forecast"], float(kept["cpu_seconds"]), importance)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def save_race(finished: Race, kept: Storage) -> None:
    """Keep every forecast row (Parquet) and the leaderboard (CSV) in the folder named by the race's key."""
    race_folder = kept.within(finished.key)
    buffer = io.BytesIO()
    finished.backtest.rows.to_parquet(buffer, index=False)
    race_folder.write("backtest.parquet", buffer.getvalue())
    race_folder.write("leaderboard.csv", finished.leaderboard().to_csv().encode())
    remarks = {name: getattr(finished, name) for name in ("cpu_seconds", "importance", "failures")}
    race_folder.write("race.json", json.dumps(remarks, indent=2).encode())


def load_race(kept: Storage, key: str) -> Race:
    """A race that was kept."""
    race_folder = kept.within(key)
    rows = pd.read_parquet(io.BytesIO(race_folder.read("backtest.parquet")))
    return Race(key, Backtest(rows.astype(evaluation.BACKTEST_COLUMNS)), **json.loads(race_folder.read("race.json")))
