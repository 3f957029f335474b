"""One world, stage by stage: a line of JSON each."""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from rossmann import data, features, models
from rossmann.sample import write_world

T = TypeVar("T")
LESSONS = 6  # origins that the boosters learn from here; a training has about 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("raw")
    parser.add_argument("--stores", type=int, help="Write a sample world of so many stores there first.")
    asked = parser.parse_args()
    if asked.stores:
        told("write the sample world", lambda: write_world(asked.raw, asked.stores), lambda _: asked.stores * 942)
    history = told("CSV to checked history", lambda: data.read_history(asked.raw).history, past_rows)
    with tempfile.TemporaryDirectory() as root:
        told("write the snapshot", lambda: data.save_snapshot(history, root, datetime.now(UTC), asked.raw),
             lambda _: past_rows(history))  # fmt: skip
        history = told("read the snapshot", lambda: data.load_snapshot(root), past_rows)
    plan, spec = history.plan(history.origin, 48), features.FeatureSpec()
    state = told("summarise the past", lambda: features.summarise(history), lambda _: past_rows(history))
    told("features of 48 days", lambda: features.build(state, plan, spec), len)
    origins = models.lesson_origins(history.dates[0], history.origin)[-LESSONS:]
    lessons = told(f"lessons of {len(origins)} origins", lambda: [models.lesson(history, o) for o in origins],
                   lambda made: sum(len(each.date) for each in made))  # fmt: skip
    rows = sum(len(lesson.date) for lesson in lessons)
    for recipe in models.candidates(("lightgbm", "xgboost")):
        if recipe.learns:
            forecaster = told(
                f"fit {recipe.name}", lambda r=recipe: models.fit(r, lessons, history.origin, 7), lambda _: rows
            )
            told(f"forecast with {recipe.name}", lambda f=forecaster: f.predict(state, plan), lambda _: len(plan))
    one = next_row(plan)
    told("forecast one row", lambda: forecaster.predict(state, one), lambda _: 1)


def told(stage: str, work: Callable[[], T], rows: Callable[[T], int]) -> T:
    """Do the work, and print what it cost."""
    started, cpu = time.perf_counter(), time.process_time()
    made = work()
    cost = {"stage": stage, "seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(cost | {"rows": int(rows(made)), "peak_mb": peak_mb}), flush=True)
    return made


def past_rows(history: data.SalesHistory) -> int:
    return history.sales.size


def next_row(plan: data.Plan) -> data.Plan:
    """The first row alone."""
    return data.Plan(**{name: values[:1] for name, values in vars(plan).items()})


if __name__ == "__main__":
    main()
