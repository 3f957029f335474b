"""Models and features on trial: a learner that is not in the table yet, and a backtest in this process.

For a notebook, or a first look. `rossmann.training` backtests on Ray, with bounds, and keeps what it has computed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np

from rossmann import evaluation, features
from rossmann.data import SalesHistory
from rossmann.evaluation import LOSSES, Backtest, Fold, Loss
from rossmann.features import FeatureSpec
from rossmann.models.candidate import Candidate, default_candidate
from rossmann.models.forecaster import blend, fit
from rossmann.models.learner import Learner
from rossmann.models.learners import LEARNERS
from rossmann.models.past_windows import past_window
from rossmann.models.training_windows import TrainingWindow, training_window, window_origins
from rossmann.schema import DEFAULT_LOSS

Windows = Callable[[np.datetime64, FeatureSpec], TrainingWindow]


@contextmanager
def trial_learner(learner: Learner, loss: Loss = LOSSES[DEFAULT_LOSS]) -> Iterator[Candidate]:
    """Within the context, the table has this learner, too. Yields its candidate with the default parameters.

    Only this process has it, not the workers of Ray. ValueError for a name that the table has already.
    """
    if learner.name in LEARNERS:
        raise ValueError(f"there is a learner {learner.name} already; choose another name")
    LEARNERS[learner.name] = learner
    try:
        yield default_candidate(learner.name, loss)
    finally:
        del LEARNERS[learner.name]


def backtest(
    history: SalesHistory,
    candidates: Sequence[Candidate],
    origins: Sequence[np.datetime64],
    *,
    seed: int,
    loss: Loss = LOSSES[DEFAULT_LOSS],
) -> Backtest:
    """Backtest candidates on the fold after every origin, in this process. The forecasts are those of Ray's fits.

    There are no bounds: their columns are NaN. DataError, or whatever a fit raises, ends it.
    """

    @cache
    def window(origin: np.datetime64, spec: FeatureSpec) -> TrainingWindow:
        return training_window(history, origin, spec)

    forecasts = (each for origin in origins for each in _forecasts(history, candidates, origin, seed, window))
    return Backtest.of_tables((evaluation.backtest_rows(*each) for each in forecasts), loss)


def _forecasts(
    history: SalesHistory, candidates: Sequence[Candidate], origin: np.datetime64, seed: int, window: Windows
) -> Iterator[tuple[str, Fold, np.ndarray]]:
    """The forecasts of all candidates on the fold after an origin."""
    fold = evaluation.cut_fold(history, origin, history.horizon_days)
    state = features.fit_state(fold.past)
    for candidate in candidates:
        members = candidate.members or (candidate,)
        fits = [fit(member, _windows_of(history, member, origin, window), origin, seed) for member in members]
        forecaster = blend(candidate, fits) if candidate.members else fits[0]
        yield candidate.name, fold, forecaster.predict(state, fold.plan).sales


def _windows_of(
    history: SalesHistory, candidate: Candidate, origin: np.datetime64, window: Windows
) -> list[TrainingWindow]:
    """What a candidate is fitted to. A window may go on after the origin; `fit` leaves these days out."""
    if candidate.needs_past_window:
        return [past_window(history, origin)]
    if not candidate.needs_training_windows:
        return []
    origins = window_origins(history.dates[0], history.origin)
    return [window(each, candidate.spec) for each in origins if each < origin]
