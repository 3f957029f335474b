"""What a booster adds to the whole chain on a day, which is left out of its forecasts.

The trees are good at how one store differs from the others. What they add to all stores at once is mostly noise: a
training has seen each season once or twice, and over a Christmas that it has not seen it is wrong by a multiple of what
the linear model is. It depends on the State and the published plan only, so that it is the same for every request.
"""

from weakref import WeakKeyDictionary

import numpy as np

from rossmann import features
from rossmann.features import FeatureSpec, State
from rossmann.models.learner import Booster
from rossmann.models.training_windows import mean_over_stores

MOST_STORES = 300  # a sample of them says as much as all

_corrections: WeakKeyDictionary[State, WeakKeyDictionary[Booster, np.ndarray]] = WeakKeyDictionary()


def day_corrections(booster: Booster, state: State, spec: FeatureSpec) -> np.ndarray:
    """The mean correction over open stores on each day of the horizon, computed once for a State. float64 [horizon]"""
    of_state = _corrections.setdefault(state, WeakKeyDictionary())
    if booster not in of_state:
        of_state[booster] = _compute(booster, state, spec)
    return of_state[booster]


def _compute(booster: Booster, state: State, spec: FeatureSpec) -> np.ndarray:
    step = -(-len(state.store_numbers) // MOST_STORES)
    rows = features.join_plan(state, features.published_plan(state, slice(None, None, step)))
    correction = booster.correction(features.matrix(rows, spec))
    return mean_over_stores(rows.lead_days[rows.open] - 1, correction[rows.open], state.horizon_days)
