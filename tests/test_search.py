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
from rossmann.training.search import _Study
from rossmann.validation import DataError
from tests.support.commands import REPOSITORY

pytestmark = pytest.mark.slow

CANDIDATES = models.candidates(("ridge", "xgboost", "blend"))
TRIALS = 10  # the last five have enough others to be compared with, and to be pruned
FOLDS, STEP_DAYS, HORIZON_DAYS = 3, 48, 48
FEW_ROUNDS = replace(LEARNERS["xgboost"], defaults={**LEARNERS["xgboost"].defaults, "max_rounds": 10})
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
    LEARNERS["xgboost"] = FEW_ROUNDS
    search(load_snapshot(snapshots), Storage(backtests))


def origins(history: SalesHistory) -> tuple[np.datetime64, ...]:
    return evaluation.fold_origins(history, FOLDS, STEP_DAYS, HORIZON_DAYS)


def fits(storage: Storage) -> dict[str, datetime]:
    """When the file of every finished fit was written, by its name."""
    return {file.name: file.modified for file in storage.subfolder(training.FITS_FOLDER).files()}


@pytest.fixture(scope="module", autouse=True)
def few_rounds():
    """XGBoost with few rounds by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LEARNERS, "xgboost", FEW_ROUNDS)
        yield


@pytest.fixture(scope="module")
def finished(few_rounds, local_ray, noisy, tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("search")))
    return storage, search(noisy, storage)


def test_a_trial_is_scored_like_the_leaderboard_where_a_store_has_no_row_on_one_fold(local_ray, noisy, tmp_path):
    """The sum of each store counts, so that rows must not be taken for those of another store."""
    folds, sales, loss = origins(noisy), noisy.sales.copy(), evaluation.LOSSES["total"]
    sales[2, : int(noisy.calendar.positions(folds[0])) + 30] = np.nan
    history, storage = replace(noisy, sales=sales), Storage(str(tmp_path))
    trial = search(history, storage, trials=0, loss=loss)[0]
    entry = training.BacktestEntry("xgboost", trial.candidate)
    run = training.run_backtests(
        history, [entry], folds, horizon_days=HORIZON_DAYS, coverage=0.9, seed=7, ray_address=None, storage=storage,
        progress=lambda *_: None, loss=loss,
    )  # fmt: skip
    assert trial.mean == pytest.approx(run.leaderboard().total_capped["xgboost"])


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
    assert pruned
    assert {trial.state for trial in trials} == {"complete", "pruned"}
    assert all(set(trial.scores) == set(origins(noisy)[::3]) for trial in pruned)
    assert len(fits(storage)) == FOLDS * (len(trials) - len(pruned)) + len(pruned)


def test_a_trial_is_pruned_if_it_is_worse_than_the_median_of_the_trials_before_it(finished, noisy):
    """The slow version, from the scores alone; the three trials before a trial run beside it and do not count."""
    _, trials = finished
    screening = [np.mean([trial.scores[origin] for origin in origins(noisy)[::3]]) for trial in trials]
    for number, trial in enumerate(trials):
        earlier = screening[: max(number - 3, 0)]
        assert (trial.state == "pruned") == (len(earlier) >= 3 and screening[number] > np.median(earlier)), number


def test_a_repeated_search_fits_nothing_and_has_the_same_trials(finished, noisy):
    storage, trials = finished
    before, progress = fits(storage), []
    assert search(noisy, storage, progress=lambda done, total, what: progress.append((done, total))) == trials
    assert fits(storage) == before, "a fit was repeated"
    assert progress == [(0, FOLDS * (TRIALS + 1)), (FOLDS * (TRIALS + 1), FOLDS * (TRIALS + 1))]


def test_a_shorter_search_is_the_start_of_a_longer_one(finished, noisy):
    storage, trials = finished
    before = fits(storage)
    assert search(noisy, storage, trials=6) == trials[:7]
    assert fits(storage) == before


def test_another_seed_is_another_search(finished, noisy, tmp_path):
    _, trials = finished
    other = search(noisy, Storage(str(tmp_path)), trials=1, seed=8)
    assert other[0].candidate == trials[0].candidate
    assert other[1].candidate.params != trials[1].candidate.params


def test_every_booster_draws_points_of_its_own_and_the_same_in_every_search(noisy):
    def learning_rates(learner: str) -> list[float]:
        """Of the random trials that start at once, as places in the range: from 0 to 1."""
        study = _Study(learner, TRIALS, origins(noisy), 7, evaluation.LOSSES["rmspe"])
        study.start_trials()
        rates = np.array([dict(trial.candidate.params)["learning_rate"] for trial in study.trials[1:]])
        low, high = LEARNERS[learner].ranges["learning_rate"]
        return list(np.log(rates / low) / np.log(high / low))

    assert learning_rates("lightgbm") == learning_rates("lightgbm")
    pairs = zip(learning_rates("lightgbm"), learning_rates("xgboost"), strict=True)
    assert all(abs(one - other) > 0.01 for one, other in pairs)


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


def test_the_leaderboard_has_the_scores_of_the_search_without_another_fit(finished, noisy):
    storage, trials = finished
    before = fits(storage)
    entries = [BacktestEntry(trial.candidate.name, trial.candidate) for trial in trials if trial.is_complete]
    run = training.run_backtests(
        noisy, entries, origins(noisy), horizon_days=HORIZON_DAYS, coverage=0.9, seed=7, ray_address=None,
        storage=storage, progress=lambda *_: None,
    )  # fmt: skip
    assert fits(storage) == before
    scores = run.leaderboard().rmspe_capped.to_dict()
    assert scores == pytest.approx({trial.candidate.name: trial.mean for trial in trials if trial.is_complete})
    changes = training.load_backtest_run(storage, run.key).param_changes
    assert changes == {entry.name: entry.candidate.param_changes for entry in entries[1:]}
    rows = {row["candidate"]: row["parameters"] for row in training.trial_table(trials)}
    assert changes.items() <= rows.items()
    assert rows["xgboost"] == "the defaults"


def trial(number: int, *scores: float) -> Trial:
    """A trial with these scores on the first of three folds; number 0 are the defaults."""
    candidate = models.trial_candidate("xgboost", number, {"max_depth": 3 + number}) if number else CANDIDATES[-2]
    return Trial(candidate, 3, 1, 0.2, {np.datetime64("2015-01-01") - day: score for day, score in enumerate(scores)})


def test_the_best_trials_and_the_blend_with_the_best_one_become_candidates():
    """Number 3 is the best on the screening fold, number 5 is pruned, and number 4 the fourth."""
    scores = [(0.12, 0.12, 0.12), (0.11, 0.11, 0.12), (0.1, 0.12, 0.1), (0.05, 0.1, 0.21), (0.2, 0.2, 0.2), (0.21,)]
    trials = [trial(number, *values) for number, values in enumerate(scores)]
    *best, blend = training.search_results(trials, CANDIDATES)
    assert [candidate.name for candidate in best] == ["xgboost-s2", "xgboost-s1", "xgboost-s3"]
    assert (blend.name, blend.members[-1]) == ("blend-s", trials[2].candidate)


def test_a_search_that_finds_nothing_better_leaves_the_blend_as_it_is():
    trials = [trial(0, 0.1, 0.1, 0.1), trial(1, 0.11, 0.11, 0.11)]
    assert training.search_results(trials, CANDIDATES) == (trials[1].candidate,)


def test_trials_that_fail_are_reported_and_become_no_candidates(noisy, local_ray, tmp_path, monkeypatch):
    wrong = replace(FEW_ROUNDS, defaults={**FEW_ROUNDS.defaults, "tree_method": "wrong"})
    monkeypatch.setitem(LEARNERS, "xgboost", wrong)
    trials = search(noisy, Storage(str(tmp_path)), trials=5)
    assert [trial.state for trial in trials] == ["failed"] * 6
    assert all("wrong" in trial.failure for trial in trials)
    assert training.search_results(trials, CANDIDATES) == ()


def test_a_search_without_a_booster_is_refused(noisy, tmp_path):
    with pytest.raises(DataError, match="needs a booster among the candidates: name one of lightgbm, xgboost"):
        training.run_search(
            noisy, models.candidates(("ridge",)), 3, origins(noisy), horizon_days=HORIZON_DAYS, seed=7,
            ray_address=None, storage=Storage(str(tmp_path)), progress=lambda *_: None,
        )  # fmt: skip
