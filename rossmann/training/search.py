"""A search for better hyperparameters of boosters, whose fits run on Ray like those of any backtest.

Optuna proposes the trials of a booster one by one. Several run at once, so that no CPU waits. In whatever order their
fits finish, the trials are the same, because a trial depends on nothing but the results of those that are at least
TRIALS_AT_ONCE before it. So the fits in the storage are all that a killed search needs to go on where it stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rossmann import models
from rossmann.data import SalesHistory
from rossmann.evaluation import LOSSES, Loss
from rossmann.models import LEARNERS, Candidate
from rossmann.models.learners import SEARCHABLE
from rossmann.schema import DEFAULT_LOSS
from rossmann.storage import Storage
from rossmann.training.backtests import Progress
from rossmann.training.files import FitFiles
from rossmann.training.fits import FitPool, FitResult, FitTask
from rossmann.training.rehearsal import require_storable
from rossmann.validation import DataError

if TYPE_CHECKING:
    import optuna

TRIALS_AT_ONCE = 4  # of one booster
SCREENING_STEP = 3  # every third fold, so that all seasons are among them, is fitted first
MIN_TRIALS_TO_PRUNE = 3  # trials that a new one is compared with
SCORE_DECIMALS = 4  # in the table of trials
BEST_TRIALS = 3  # of each booster: candidates of the backtests beside the defaults


@dataclass(frozen=True)
class Trial:
    """A configuration of a booster and its scores; number 0 are the defaults.

    It is pruned if its mean score on the screening folds is above `pruning_limit`. The lower the score, the better.
    """

    candidate: Candidate
    folds: int  # of a trial that is not pruned
    screening_folds: int
    pruning_limit: float
    scores: dict[np.datetime64, float] = field(default_factory=dict)  # by origin; NaN where the fit failed
    failure: str = ""  # reason of the last fit that failed

    @property
    def mean(self) -> float:
        """The mean score over the folds with a fit. NaN where a fit failed."""
        return float(np.mean([self.scores[origin] for origin in sorted(self.scores)]))

    @property
    def passes(self) -> bool:
        """Whether all screening folds have a fit, and the others are worth theirs."""
        return len(self.scores) >= self.screening_folds and not self.failure and self.mean <= self.pruning_limit

    @property
    def is_complete(self) -> bool:
        """Whether every fold has a score."""
        return len(self.scores) == self.folds and not self.failure

    @property
    def is_finished(self) -> bool:
        """Whether no fit of it is outstanding: it is complete, pruned or failed."""
        return len(self.scores) == self.folds or (len(self.scores) == self.screening_folds and not self.passes)

    @property
    def state(self) -> str:
        """complete, pruned or failed, of a finished trial."""
        return "failed" if self.failure else "complete" if self.is_complete else "pruned"

    def with_result(self, origin: np.datetime64, score: float, failure: str) -> Trial:
        """The trial with one more fit."""
        return replace(self, scores={**self.scores, origin: score}, failure=failure or self.failure)


def run_search(
    history: SalesHistory,
    candidates: Sequence[Candidate],
    trials: int,
    origins: Sequence[np.datetime64],
    *,
    horizon_days: int,
    seed: int,
    ray_address: str | None,
    storage: Storage,
    progress: Progress,
    loss: Loss = LOSSES[DEFAULT_LOSS],
) -> tuple[Trial, ...]:
    """Try the defaults and `trials` configurations of every booster among the candidates on the folds.

    Returns the trials by booster and number. Fits are stored, and those that the storage has are not repeated.
    DataError if there is no booster among the candidates, or if the fits of one could not be stored as a model.
    """
    learners = [candidate.name for candidate in candidates if candidate.name in SEARCHABLE]
    if not learners:
        raise DataError(f"a search needs a booster among the candidates: name one of {', '.join(SEARCHABLE)}")
    require_storable(models.default_candidate(learner, loss) for learner in learners)
    sales = {origin: history.actuals(origin, horizon_days).sales for origin in origins}
    stores = {origin: history.stores.positions(history.plan(origin, horizon_days).store) for origin in origins}
    studies = {learner: _Study(learner, trials, origins, seed, loss) for learner in learners}
    fit_files = FitFiles(storage, history.fingerprint, horizon_days, seed)
    progress(0, sum(study.fits for study in studies.values()), "starting")
    with FitPool(history, horizon_days, seed, ray_address) as pool:
        queue = _FitQueue(pool, fit_files)
        queue.submit(task for study in studies.values() for task in study.start_trials())
        for task, result in queue.results():
            origin, failure = task.origin, result.failure
            if not failure and not (sales[origin] > 0).any():
                failure = f"no store has sales after {origin}"
            score = np.nan if failure else loss.capped_score(sales[origin], result.columns[0], stores[origin])
            queue.submit(studies[task.candidate.learner].add_result(task, score, failure))
            if not queue.has_stored_results:  # one report for all of them
                _report(progress, studies.values(), task)
    return tuple(trial for study in studies.values() for trial in study.trials)


def search_results(trials: Iterable[Trial], candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """What a search adds to the candidates of the backtests.

    The BEST_TRIALS of each booster, and each blend with the best configuration of each booster in it. A blend whose
    members are the best already is not added again.
    """
    by_learner: dict[str, list[Candidate]] = {}
    for trial in _ranking(trials):
        by_learner.setdefault(trial.candidate.learner, []).append(trial.candidate)
    best = {learner: ranking[0] for learner, ranking in by_learner.items()}
    additions = [each for ranking in by_learner.values() for each in _without(candidates, ranking)[:BEST_TRIALS]]
    blends = [models.replace_members(candidate, best) for candidate in candidates if candidate.members]
    return (*additions, *_without(candidates, blends))


def trial_table(trials: Iterable[Trial]) -> list[dict[str, object]]:
    """A row per trial: name, mean score over its folds (rounded), state, parameters, number of folds, failure.

    The parameters are those that differ from the defaults.
    """
    return [
        {
            "candidate": trial.candidate.name,
            "score": round(trial.mean, SCORE_DECIMALS),
            "state": trial.state,
            "parameters": trial.candidate.param_changes or "the defaults",
            "folds": len(trial.scores),
            "failure": trial.failure,
        }
        for trial in trials
    ]


class _Study:
    """The trials of one booster, the defaults first, and which of its fits come next."""

    def __init__(self, learner: str, count: int, origins: Sequence[np.datetime64], seed: int, loss: Loss) -> None:
        import optuna  # takes a second, and only a search needs it

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.trials: list[Trial] = []
        self.fits = (count + 1) * len(origins)  # without pruning
        self._learner, self._count, self._loss = learner, count, loss
        self._screening = origins[::SCREENING_STEP]
        self._others = [origin for origin in origins if origin not in self._screening]
        self._suggestions: list[optuna.trial.Trial] = []
        sampler = optuna.samplers.TPESampler(seed=_stream_seed(seed, learner), constant_liar=True)
        self._study = optuna.create_study(sampler=sampler)
        self._study.enqueue_trial({name: LEARNERS[learner].defaults[name] for name in LEARNERS[learner].ranges})

    def start_trials(self) -> list[FitTask]:
        """Start as many trials as may run now. Returns their fits on the screening folds."""
        tasks = []
        while len(self.trials) <= self._count and self._may_start():
            self.trials.append(self._next_trial())
            tasks += self._tasks(self.trials[-1].candidate, self._screening)
        return tasks

    def add_result(self, task: FitTask, score: float, failure: str) -> list[FitTask]:
        """Add the score of a fit to its trial. Returns the fits that follow from it."""
        number = next(n for n, trial in enumerate(self.trials) if trial.candidate == task.candidate)
        trial = self.trials[number] = self.trials[number].with_result(task.origin, score, failure)
        is_screened = len(trial.scores) == trial.screening_folds and trial.passes
        return [*(self._tasks(trial.candidate, self._others) if is_screened else ()), *self.start_trials()]

    def _may_start(self) -> bool:
        """Whether the trial TRIALS_AT_ONCE before the next one is finished; those before it are."""
        number = len(self.trials) - TRIALS_AT_ONCE
        return number < 0 or self.trials[number].is_finished

    def _next_trial(self) -> Trial:
        """The next trial, from the results of those that are TRIALS_AT_ONCE or more before it, and of no others."""
        number = len(self.trials)
        if number >= TRIALS_AT_ONCE:
            self._report_result(number - TRIALS_AT_ONCE)
        suggestion = self._study.ask(_distributions(self._learner))
        self._suggestions.append(suggestion)
        candidate = (
            models.trial_candidate(self._learner, number, suggestion.params, self._loss)
            if number
            else models.default_candidate(self._learner, self._loss)
        )
        folds = len(self._screening) + len(self._others)
        return Trial(candidate, folds, len(self._screening), self._pruning_limit(number - TRIALS_AT_ONCE + 1))

    def _report_result(self, number: int) -> None:
        """Pass the result of a finished trial to Optuna."""
        import optuna

        trial, suggestion = self.trials[number], self._suggestions[number]
        if trial.is_complete:
            self._study.tell(suggestion, trial.mean)
            return
        if not trial.failure:
            suggestion.report(trial.mean, step=len(trial.scores))
        states = optuna.trial.TrialState
        self._study.tell(suggestion, state=states.FAIL if trial.failure else states.PRUNED)

    def _pruning_limit(self, count: int) -> float:
        """The median over the first `count` trials of their mean scores on the screening folds."""
        scores = [
            np.mean([trial.scores[origin] for origin in self._screening])
            for trial in self.trials[: max(count, 0)]
            if not trial.failure
        ]
        return float(np.median(scores)) if len(scores) >= MIN_TRIALS_TO_PRUNE else np.inf

    @staticmethod
    def _tasks(candidate: Candidate, origins: Iterable[np.datetime64]) -> list[FitTask]:
        return [FitTask(candidate, origin, origin) for origin in origins]


class _FitQueue:
    """Fits of which the storage has some: they are read. The others run on Ray and are saved."""

    def __init__(self, pool: FitPool, fit_files: FitFiles) -> None:
        self._pool, self._files = pool, fit_files
        self._stored: deque[tuple[FitTask, FitResult]] = deque()

    @property
    def has_stored_results(self) -> bool:
        """Whether results that were read from the storage have not been returned yet."""
        return bool(self._stored)

    def submit(self, tasks: Iterable[FitTask]) -> None:
        """Read the results of the tasks, or start their fits."""
        for task in tasks:
            if result := self._files.load(task):
                self._stored.append((task, result))
            else:
                self._pool.submit(task)

    def results(self) -> Iterator[tuple[FitTask, FitResult]]:
        """All results, also of tasks that are submitted meanwhile."""
        while self._stored or len(self._pool):
            if self._stored:
                yield self._stored.popleft()
            else:
                task, result = self._pool.next_result()
                self._files.save(task, result)
                yield task, result


def _stream_seed(seed: int, learner: str) -> int:
    """A seed of the learner's own, the same in every process: else all learners would draw the same random points."""
    return int(np.random.SeedSequence([seed, *learner.encode()]).generate_state(1)[0])


def _distributions(learner: str) -> dict[str, optuna.distributions.BaseDistribution]:
    """The ranges of the learner's parameters, on a log scale; whole numbers stay whole."""
    from optuna.distributions import FloatDistribution, IntDistribution

    defaults, ranges = LEARNERS[learner].defaults, LEARNERS[learner].ranges
    kinds: dict[str, Any] = {
        name: IntDistribution if isinstance(defaults[name], int) else FloatDistribution for name in ranges
    }
    return {name: kinds[name](low, high, log=True) for name, (low, high) in ranges.items()}


def _ranking(trials: Iterable[Trial]) -> list[Trial]:
    """The complete trials, best first."""
    return sorted((trial for trial in trials if trial.is_complete), key=lambda trial: trial.mean)


def _without(candidates: Sequence[Candidate], others: Iterable[Candidate]) -> list[Candidate]:
    return [other for other in others if other not in candidates]


def _report(progress: Progress, studies: Iterable[_Study], task: FitTask) -> None:
    """Report how many fits are done or spared by pruning, the last one, and the best trial so far."""
    trials = [trial for study in studies for trial in study.trials]
    total = sum(study.fits for study in studies)
    done = sum(trial.folds if trial.is_finished else len(trial.scores) for trial in trials)
    finished = sum(trial.is_finished for trial in trials)
    best = f", the best {ranking[0].candidate.name} {ranking[0].mean:.4f}" if (ranking := _ranking(trials)) else ""
    progress(done, total, f"{task.name}; finished trials: {finished}{best}")
