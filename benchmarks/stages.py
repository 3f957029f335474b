"""One workspace, stage by stage: prints a line of JSON per stage."""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from rossmann import data, features, models
from rossmann.schema import HORIZON_DAYS
from rossmann.simulation import write_sample
from rossmann.simulation.sample import DAYS

T = TypeVar("T")
TRAINING_WINDOWS = 6  # that the boosters are fitted to here; a training has about 20
SEED = 7


def main() -> None:
    """Usage: python -m benchmarks.stages RAW [--stores N]"""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", help="Folder with the raw files.")
    parser.add_argument("--stores", type=int, help="Write a sample chain with so many stores there first.")
    arguments = parser.parse_args()
    if arguments.stores:
        measure("write the sample", lambda: write_sample(arguments.raw, arguments.stores),
                lambda _: arguments.stores * DAYS)  # fmt: skip
    history = measure_data(arguments.raw)
    plan = history.plan(history.origin, HORIZON_DAYS)
    state = measure("fit the state", lambda: features.fit_state(history), lambda _: past_rows(history))
    measure(f"features of {HORIZON_DAYS} days", lambda: features.build(state, plan, features.FeatureSpec()), len)
    forecaster = measure_models(history, state, plan)
    first_row = data.Plan(**{name: values[:1] for name, values in vars(plan).items()})
    measure("forecast one row", lambda: forecaster.predict(state, first_row), lambda _: 1)


def measure_data(raw: str) -> data.SalesHistory:
    """Reading and validating the raw files, and a snapshot there and back."""
    history = measure("CSV to validated history", lambda: data.read_history(raw).history, past_rows)
    with tempfile.TemporaryDirectory() as root:
        measure("write the snapshot", lambda: data.save_snapshot(history, root, datetime.now(UTC), raw),
                lambda _: past_rows(history))  # fmt: skip
        return measure("read the snapshot", lambda: data.load_snapshot(root), past_rows)


def measure_models(history: data.SalesHistory, state: features.State, plan: data.Plan) -> models.Forecaster:
    """Training windows, the past window, and fit and forecast of every member of the blend; returns the last one."""
    origins = models.window_origins(history.dates[0], history.origin)[-TRAINING_WINDOWS:]
    windows = measure(
        f"{len(origins)} training windows",
        lambda: [models.training_window(history, origin) for origin in origins],
        lambda windows: sum(len(window.date) for window in windows),
    )
    rows = sum(len(window.date) for window in windows)
    past = measure("the past window", lambda: models.past_window(history, history.origin),
                   lambda window: len(window.date))  # fmt: skip
    for name in models.BLEND_MEMBERS:
        candidate = models.default_candidate(name)
        forecaster = measure(f"fit {name}", lambda c=candidate: models.fit(c, [*windows, past], history.origin, SEED),
                             lambda _: rows)  # fmt: skip
        measure(f"forecast with {name}", lambda f=forecaster: f.predict(state, plan), lambda _: len(plan))
    return forecaster


def measure(stage: str, work: Callable[[], T], rows: Callable[[T], int]) -> T:
    """Do the work, print its cost, and return its result."""
    started, cpu_started = time.perf_counter(), time.process_time()
    result = work()
    cost = {"stage": stage, "seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu_started}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(cost | {"rows": int(rows(result)), "peak_mb": peak_mb}), flush=True)
    return result


def past_rows(history: data.SalesHistory) -> int:
    """Stores × days of the past."""
    return history.sales.size


if __name__ == "__main__":
    main()
