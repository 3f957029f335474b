"""What boosters learn from: forecasts that could have been made in the past, beside what then happened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rossmann import features
from rossmann.data import SalesHistory
from rossmann.features import FeatureSpec, Rows

RECENT_PULL = 0.6  # of the store's mean residual of 28 days is expected to last
DAY = np.timedelta64(1, "D")
STEP_DAYS = 24
MIN_HISTORY_DAYS = 400  # before that the linear model knows no full year and teaches its own bias
FLOOR_DAYS = 120
FOLDS_DAYS = 280  # a short history leaves at least so many days to folds and their lessons


@dataclass(frozen=True)
class Lesson:
    """The open days after one origin, features as known on it. Nothing in it is ever written to."""

    origin: np.datetime64
    spec: FeatureSpec
    matrix: np.ndarray  # float32 [rows, columns of the spec]
    date: np.ndarray  # datetime64[D] [rows]
    log_sales: np.ndarray  # float64 [rows]
    base: np.ndarray  # log sales by the linear model, which learners start from. float64 [rows]


def lesson_origins(
    first: np.datetime64, last: np.datetime64, step: int = STEP_DAYS, min_history: int = MIN_HISTORY_DAYS
) -> list[np.datetime64]:
    """Origins to learn from, ascending, counted back from `last`, so that folds a multiple of `step` apart share them.

    Each has `min_history` days before it; where the history is short fewer must do, down to FLOOR_DAYS.
    """
    days = int((np.datetime64(last, "D") - np.datetime64(first, "D")).astype(int)) + 1
    needed = min(min_history, max(FLOOR_DAYS, days - FOLDS_DAYS))
    back = range(step, days - needed + 1, step)
    return [np.datetime64(last, "D") - days_back * DAY for days_back in reversed(back)]


def lesson(history: SalesHistory, origin: np.datetime64, spec: FeatureSpec = FeatureSpec()) -> Lesson:  # noqa: B008
    """The days after `origin` that the history knows, up to the horizon."""
    state = features.summarise(history.until(origin))
    known = min(features.HORIZON_DAYS, int((history.origin - origin).astype(int)))
    plan, outcomes = history.plan(origin, known), history.outcomes(origin, known)
    rows = features.lay(state, plan)
    sold = np.flatnonzero((plan.open == 1) & (outcomes.sales > 0))
    return Lesson(
        origin,
        spec,
        rows.matrix(spec)[sold],
        plan.date[sold],
        np.log(outcomes.sales[sold]),
        linear_base(rows)[sold],
    )


def linear_base(rows: Rows) -> np.ndarray:
    """Log sales by the linear model, drawn to what the store lately sold beside it. [rows]"""
    lately = np.nan_to_num(rows.of_store(rows.state.ridge.recent)[:, 1].astype(float))
    return rows.ridge + RECENT_PULL * lately


def gather(lessons: Sequence[Lesson], known_until: np.datetime64, most: int, seed: int) -> Lesson:
    """All rows up to `known_until` as one lesson, at most `most`, drawn by the seed. ValueError without any."""
    usable = [each for each in lessons if each.origin < known_until]
    kept = [np.flatnonzero(each.date <= known_until) for each in usable]
    found = sum(len(rows) for rows in kept)
    if not found:
        raise ValueError(
            f"nothing to learn from before {known_until}: a history of about "
            f"{FLOOR_DAYS + STEP_DAYS} days before it is needed; bring more days or ask for fewer folds"
        )
    if found > most:
        drawn = np.sort(np.random.default_rng(seed).choice(found, most, replace=False))
        starts = np.cumsum([0] + [len(rows) for rows in kept])
        kept = [
            rows[drawn[(drawn >= start) & (drawn < start + len(rows))] - start]
            for rows, start in zip(kept, starts, strict=False)
        ]
    pairs = list(zip(usable, kept, strict=True))
    return replace(
        usable[-1],
        matrix=np.concatenate([each.matrix[rows] for each, rows in pairs]),
        date=np.concatenate([each.date[rows] for each, rows in pairs]),
        log_sales=np.concatenate([each.log_sales[rows] for each, rows in pairs]),
        base=np.concatenate([each.base[rows] for each, rows in pairs]),
    )
