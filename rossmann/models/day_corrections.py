"""What a booster adds to the whole chain on a day, and how much of it is left out of its forecasts.

The trees are good at how one store differs from the others. What they add to all stores at once is useful where it is
small; a training has seen each season once or twice, and over a Christmas that it has not seen it is large and wrong.
So it is clipped. It depends on the State and the published plan only, so that it is the same for every request.
"""

from weakref import WeakKeyDictionary

import numpy as np

from rossmann import features
from rossmann.features import State
from rossmann.models.learner import Booster
from rossmann.models.training_windows import mean_over_stores

MAX_CORRECTION = 0.015  # of the log sales of the whole chain on a day
MOST_STORES = 300  # a sample of them says as much as all

_excesses: WeakKeyDictionary[State, WeakKeyDictionary[Booster, np.ndarray]] = WeakKeyDictionary()


def day_excess(booster: Booster, state: State) -> np.ndarray:
    """By how much the mean correction over open stores is beyond ±MAX_CORRECTION on each day. float64 [horizon]

    Computed once for a State.
    """
    of_state = _excesses.setdefault(state, WeakKeyDictionary())
    if booster not in of_state:
        mean = _mean_correction(booster, state)
        of_state[booster] = mean - np.clip(mean, -MAX_CORRECTION, MAX_CORRECTION)
    return of_state[booster]


def _mean_correction(booster: Booster, state: State) -> np.ndarray:
    step = -(-len(state.store_numbers) // MOST_STORES)
    rows = features.join_plan(state, features.published_plan(state, slice(None, None, step)))
    correction = booster.correction(features.matrix(rows, booster.columns))
    return mean_over_stores(rows.lead_days[rows.open] - 1, correction[rows.open], state.horizon_days)
