"""`python -m benchmarks.search`: how busy a search keeps the CPUs, and what it costs beside the bare fits.

The bare fits are those of the search, one after the other in this process, without Ray and the storage. CPU seconds
hardly depend on what else the machine does; the busy share is worth reading only where it does nothing else.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass

import numpy as np
import psutil
from rich.console import Console

from rossmann import features, models, training
from rossmann.data import SalesHistory, read_history
from rossmann.schema import HORIZON_DAYS
from rossmann.simulation import write_sample
from rossmann.storage import Storage
from rossmann.training import Trial

SEED, FOLDS, FOLD_STEP_DAYS = 7, 8, 48
CANDIDATES = models.candidates(("lightgbm", "xgboost"))


@dataclass(frozen=True)
class Cost:
    """What a search took."""

    wall_s: float
    cpu_s: float  # of this process and all of Ray's
    fit_cpu_s: float  # inside the fits


def main() -> None:
    """Usage: python -m benchmarks.search [--stores N] [--trials N]"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stores", type=int, default=100, help="Of the sample chain.")
    parser.add_argument("--trials", type=int, default=12, help="Of each booster.")
    arguments = parser.parse_args()
    console, load = Console(highlight=False, soft_wrap=True), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, console.status("searching") as status:
        write_sample(folder, arguments.stores)
        history = read_history(folder).history
        origins = training.usual_fold_origins(history, CANDIDATES, FOLDS, FOLD_STEP_DAYS, HORIZON_DAYS)
        trials, cost = search(history, origins, arguments.trials, f"{folder}/backtests")
        status.update("the bare fits")
        bare = bare_cpu_seconds(history, trials)
    fits = sum(len(trial.scores) for trial in trials)
    pruned, failed = (sum(trial.state == state for trial in trials) for state in ("pruned", "failed"))
    cpus = len(os.sched_getaffinity(0))
    console.print(
        f"search: {len(trials)} trials, {pruned} pruned, {failed} failed, {fits} fits on {cpus} CPUs"
        f" in {cost.wall_s:.1f} s (load before: {load:.1f})\n"
        f"  CPUs busy with fits: {cost.fit_cpu_s / cost.wall_s / cpus:.0%}, with anything of it: "
        f"{cost.cpu_s / cost.wall_s / cpus:.0%}\n"
        f"  CPU seconds: {cost.cpu_s:.1f} against {bare:.1f} of the bare fits, {cost.cpu_s / bare - 1:+.1%}"
    )


def search(
    history: SalesHistory, origins: tuple[np.datetime64, ...], trials: int, storage: str
) -> tuple[tuple[Trial, ...], Cost]:
    """The trials of a search on a Ray that runs already, and its cost."""
    backtests = Storage(storage)
    with training.ray_cluster(None):
        started, cpu_started = time.perf_counter(), tree_cpu_seconds()
        results = training.run_search(
            history, CANDIDATES, trials, origins, horizon_days=HORIZON_DAYS, seed=SEED, ray_address=None,
            storage=backtests, progress=lambda *_: None,
        )  # fmt: skip
        wall_s, cpu_s = time.perf_counter() - started, tree_cpu_seconds() - cpu_started
    return results, Cost(wall_s, cpu_s, training.fit_cpu_seconds(backtests))


def bare_cpu_seconds(history: SalesHistory, trials: tuple[Trial, ...]) -> float:
    """CPU seconds of the same fits and forecasts in this process, with the States and training windows they need.

    Trials that failed are left out: with few stores, LightGBM's quantized gradients can end in an error.
    """
    started = time.process_time()
    origins = sorted({origin for trial in trials for origin in trial.scores})
    states = {origin: features.fit_state(history.until(origin, HORIZON_DAYS)) for origin in origins}
    starts = models.window_origins(history.dates[0], history.origin)
    windows = [models.training_window(history, start) for start in starts if start < origins[-1]]
    for trial in (trial for trial in trials if not trial.failure):
        for origin in trial.scores:
            forecaster = models.fit(trial.candidate, windows, origin, SEED)
            forecaster.predict(states[origin], history.plan(origin, HORIZON_DAYS))
    return time.process_time() - started


def tree_cpu_seconds() -> float:
    """CPU seconds of this process and all of its children since their start, those that have ended included."""
    this_process = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (this_process, *this_process.children(recursive=True)))


if __name__ == "__main__":
    main()
