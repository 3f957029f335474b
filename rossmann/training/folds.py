"""Which folds the candidates of a training can be backtested on."""

from collections.abc import Callable, Iterable

import numpy as np

from rossmann import evaluation, models
from rossmann.data import SalesHistory
from rossmann.models import Candidate
from rossmann.schema import HORIZON_DAYS, MIN_FOLDS, MIN_SEASON_HISTORY_DAYS


def fold_origins(
    history: SalesHistory, candidates: Iterable[Candidate], count: int, step_days: int, horizon_days: int
) -> tuple[np.datetime64, ...]:
    """Origins of `count` folds, latest first, with a training window before each if a candidate needs one.

    DataError if the history is too short.
    """
    return evaluation.fold_origins(history, count, step_days, horizon_days, _past_days(candidates))


def usual_step_days(history: SalesHistory, candidates: Iterable[Candidate]) -> int:
    """Days from one fold to the next: a horizon, so that no day is in two folds, but at least HORIZON_DAYS.

    So the folds of a short horizon are spread over a year as well. Where a long horizon leaves no room for MIN_FOLDS,
    they overlap, by HORIZON_DAYS at the closest.
    """
    days = len(history.dates)
    room = days - _past_days(candidates)(days) - history.horizon_days
    return max(HORIZON_DAYS, min(history.horizon_days, room // (MIN_FOLDS - 1)))


def usual_fold_origins(
    history: SalesHistory, candidates: Iterable[Candidate], most: int, step_days: int, horizon_days: int
) -> tuple[np.datetime64, ...]:
    """The same for as many folds as the history allows with a full year before each, `most` at most.

    Where it allows fewer than MIN_FOLDS of them, MIN_FOLDS whatever is before them. DataError if it is too short.
    """
    past_days = _past_days(candidates)
    with_season = evaluation.possible_folds(
        history, step_days, horizon_days, lambda days: max(past_days(days), MIN_SEASON_HISTORY_DAYS)
    )
    count = max(min(most, with_season), MIN_FOLDS)
    return evaluation.fold_origins(history, count, step_days, horizon_days, past_days)


def _past_days(candidates: Iterable[Candidate]) -> Callable[[int], int]:
    """How many of a history's days must lie before the first origin."""
    if not any(candidate.needs_training_windows for candidate in candidates):
        return lambda days: evaluation.MIN_PAST_DAYS
    return lambda days: max(evaluation.MIN_PAST_DAYS, models.min_train_days(days))
