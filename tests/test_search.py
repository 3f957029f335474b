"""The search for hyperparameters on a real Ray: the same trials whatever happens, and no fit too many."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from rossmann import evaluation, models, training
from rossmann.data import SalesHistory, load_snapshot, save_snapshot
from rossmann.models import LEARNERS
from rossmann.storage import Storage
from rossmann.training import BacktestEntry, Trial
from rossmann.validation import DataError
from tests.support.commands import REPOSITORY

pytestmark = pytest.mark.slow

CANDIDATES = models.candidates(("ridge", "xgboost", "blend"))
TRIALS = 9  # the last ones have enough others to be compared with, and to be pruned
FOLDS, STEP_DAYS, HORIZON_DAYS = 4, 24, 48
SEARCH_OF_A_SNAPSHOT = """
import sys
from tests.test_search import search_snapshot
search_snapshot(*sys.argv[1:])
"""


def search(history: SalesHistory, storage: Storage, **changes: object) -> tuple[Trial, ...]:
    """The trials of a search on the folds."""
    options = {"trials": TRIALS, "seed": 7, "ray_address": None, "progress": lambda *_: None} | changes
    return training.run_search(
        history, CANDIDATES, origins=origins(history), horizon_days=HORIZON_DAYS, storage=storage, **options
    )


def search_snapshot(snapshots: str, backtests: str) -> None:
    """The same in a process of its own, where it is killed."""
    search(load_snapshot(snapshots), Storage(backtests))


def origins(history: SalesHistory) -> tuple[np.datetime64, ...]:
    return evaluation.fold_origins(history, FOLDS, STEP_DAYS, HORIZON_DAYS)


def fits(storage: Storage) -> dict[str, datetime]:
    """When the file of every finished fit was written, by its name."""
    return {file.name: file.modified for file in storage.subfolder(training.FITS_FOLDER).files()}


@pytest.fixture(scope="module")
def finished(local_ray, noisy, tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("search")))
    return storage, search(noisy, storage)


def test_the_first_trial_are_the_defaults_and_the_others_are_within_their_ranges(finished):
    _, trials = finished
    assert [trial.candidate.name for trial in trials] == ["xgboost", *(f"xgboost-s{n}" for n in range(1, TRIALS + 1))]
    assert trials[0].candidate == models.default_candidate("xgboost")
    assert len({trial.candidate.params for trial in trials}) == TRIALS + 1
    for trial in trials:
        for param, (low, high) in LEARNERS["xgboost"].ranges.items():
            assert low <= dict(trial.candidate.params)[param] <= high


def test_a_pruned_trial_has_no_fits_but_those_of_the_screening_folds(finished, noisy):
    storage, trials = finished
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert {trial.state for trial in trials} == {"complete", "pruned"}
    assert all(set(trial.scores) == set(origins(noisy)[::3]) for trial in pruned)
    assert len(fits(storage)) == FOLDS * (len(trials) - len(pruned)) + 2 * len(pruned)


def test_a_trial_is_pruned_if_it_is_worse_than_the_median_of_the_trials_before_it(finished, noisy):
    """The slow version, from the scores alone; the three trials before a trial run beside it and do not count."""
    _, trials = finished
    screening = [np.mean([trial.scores[origin] for origin in origins(noisy)[::3]]) for trial in trials]
    for number, trial in enumerate(trials):
        earlier = screening[: max(number - 3, 0)]
        assert (trial.state == "pruned") == (len(earlier) >= 3 and screening[number] > np.median(earlier)), number


def test_a_repeated_search_fits_nothing_and_has_the_same_trials(finished, without_ray, noisy):
    storage, trials = finished
    progress = []
    report = lambda done, total, what: progress.append((done, total))  # noqa: E731
    assert search(noisy, storage, ray_address=without_ray, progress=report) == trials
    assert progress[-1] == (FOLDS * (TRIALS + 1), FOLDS * (TRIALS + 1))


def test_a_shorter_search_is_the_start_of_a_longer_one(finished, without_ray, noisy):
    storage, trials = finished
    assert search(noisy, storage, trials=6, ray_address=without_ray) == trials[:7]


def test_another_seed_is_another_search(finished, noisy, tmp_path):
    _, trials = finished
    other = search(noisy, Storage(str(tmp_path)), trials=1, seed=8)
    assert other[0].candidate == trials[0].candidate
    assert other[1].candidate.params != trials[1].candidate.params


def test_a_search_that_was_killed_goes_on_from_its_finished_fits(finished, noisy, tmp_path):
    _, trials = finished
    save_snapshot(noisy, str(tmp_path / "snapshots"), datetime.now(UTC), "raw")
    storage = Storage(str(tmp_path / "backtests"))
    process = subprocess.Popen(
        [sys.executable, "-c", SEARCH_OF_A_SNAPSHOT, str(tmp_path / "snapshots"), storage.root],
        cwd=REPOSITORY,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(fits(storage)) < 5:
        assert process.poll() is None, "the search ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = fits(storage)
    assert search(noisy, storage) == trials
    assert before.items() <= fits(storage).items(), "finished fits were repeated"


def test_the_leaderboard_has_the_scores_of_the_search_without_another_fit(finished, without_ray, noisy):
    storage, trials = finished
    results = training.search_results(trials, CANDIDATES)
    complete = sorted((trial for trial in trials if trial.state == "complete"), key=lambda trial: trial.mean)
    best = [trial.candidate for trial in complete[:4] if trial.candidate not in CANDIDATES][:3]
    assert results[:3] == tuple(best)
    entries = [BacktestEntry(each.name, each) for each in results if not each.members]
    run = training.run_backtests(
        noisy, entries, origins(noisy), horizon_days=HORIZON_DAYS, coverage=0.9, seed=7, ray_address=without_ray,
        storage=storage, progress=lambda *_: None,
    )  # fmt: skip
    scores = run.leaderboard().rmspe_capped
    assert scores.to_dict() == pytest.approx({trial.candidate.name: trial.mean for trial in complete
                                              if trial.candidate in results})  # fmt: skip


def test_the_blend_gets_the_best_configurations(finished):
    _, trials = finished
    best = min((trial for trial in trials if trial.state == "complete"), key=lambda trial: trial.mean)
    blends = [each for each in training.search_results(trials, CANDIDATES) if each.members]
    assert best.candidate.name != "xgboost"
    assert [blend.name for blend in blends] == ["blend-s"]
    assert blends[0].members[-1] == best.candidate


def test_trials_that_fail_are_reported_and_become_no_candidates(noisy, local_ray, tmp_path, monkeypatch):
    learner = LEARNERS["xgboost"]
    monkeypatch.setitem(LEARNERS, "xgboost", replace(learner, defaults={**learner.defaults, "tree_method": "wrong"}))
    trials = search(noisy, Storage(str(tmp_path)), trials=5)
    assert [trial.state for trial in trials] == ["failed"] * 6
    assert all("tree_method" in trial.failure for trial in trials)
    assert training.search_results(trials, CANDIDATES) == ()


def test_a_search_without_a_booster_is_refused(noisy, tmp_path):
    with pytest.raises(DataError, match="needs a booster among the candidates: name one of lightgbm, xgboost"):
        training.run_search(
            noisy, models.candidates(("ridge",)), 3, origins(noisy), horizon_days=HORIZON_DAYS, seed=7,
            ray_address=None, storage=Storage(str(tmp_path)), progress=lambda *_: None,
        )  # fmt: skip
