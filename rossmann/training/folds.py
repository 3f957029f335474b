"""Which folds the candidates of a training can be backtested on."""

from collections.abc import Iterable

import numpy as np

from rossmann import evaluation, models
from rossmann.data import SalesHistory
from rossmann.models import Candidate


def fold_origins(
    history: SalesHistory, candidates: Iterable[Candidate], count: int, step_days: int, horizon_days: int
) -> tuple[np.datetime64, ...]:
    """Origins of `count` folds, latest first, with a training window before each if a candidate needs one.

    DataError if the history is too short.
    """
    if not any(candidate.needs_training_windows for candidate in candidates):
        return evaluation.fold_origins(history, count, step_days, horizon_days)
    return evaluation.fold_origins(
        history, count, step_days, horizon_days, lambda days: max(evaluation.MIN_PAST_DAYS, models.min_train_days(days))
    )
