"""Fits fan out over a real Ray, one failing or killed does not harm the others, and what is done is not done again."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from rossmann import evaluation, features, models, training
from rossmann.storage import Storage
from rossmann.training import Entrant

pytestmark = pytest.mark.slow

TERMS = {"horizon_days": 48, "coverage": 0.9, "seed": 7, "ray_address": None}
NOWHERE = TERMS | {"ray_address": "127.0.0.1:1"}  # no Ray is there: whoever needs one fails


def quiet(done: int, total: int, what: str) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def cluster():
    with training.cluster(None):
        yield


@pytest.fixture(scope="module")
def origins(noisy):
    return evaluation.fold_origins(noisy, 2, 48, 48)


@pytest.fixture(scope="module")
def small():
    """All candidates, the boosters with few rounds."""
    named = {candidate.name: candidate for candidate in models.candidates(("ridge", "lightgbm", "xgboost"))}
    for name in ("lightgbm", "xgboost"):
        named[name] = with_params(named[name], rounds=20)
    blend = models.candidates(("blend",))[-1]
    named["blend"] = replace(blend, members=(named["lightgbm"], named["xgboost"]))
    return named


def with_params(candidate, **params):
    return replace(candidate, params=tuple(sorted((dict(candidate.params) | params).items())))


def entrants(candidates):
    return [Entrant(candidate.name, candidate) for candidate in candidates]


@pytest.fixture(scope="module")
def raced(cluster, noisy, small, origins, tmp_path_factory):
    kept = Storage(str(tmp_path_factory.mktemp("kept")))
    return kept, training.race(noisy, entrants(small.values()), origins, **TERMS, kept=kept, progress=quiet)


def test_a_race_says_what_each_fit_alone_says(raced, noisy, small, origins):
    """The oracle: the same fits one after the other in this process, without Ray."""
    _, race = raced
    for origin in origins:
        window = evaluation.fold(noisy, origin, 48)
        state = features.summarise(window.past)
        starts = models.lesson_origins(noisy.dates[0], noisy.origin)
        lessons = [models.lesson(noisy, start) for start in starts if start < origin]
        for name, candidate in small.items():
            alone = models.fit(candidate, lessons, origin, 7).predict(state, window.plan).sales
            raced_rows = race.backtest.of(name)
            np.testing.assert_array_equal(raced_rows[raced_rows.origin == origin].forecast, alone, err_msg=name)


def test_every_row_of_every_fold_is_kept(raced, noisy, small, origins):
    _, race = raced
    rows = sum(len(noisy.plan(origin, 48)) for origin in origins)
    assert race.backtest.rows.groupby("candidate", observed=True).size().to_dict() == dict.fromkeys(small, rows)


def test_bounds_come_from_the_other_folds_only(raced, origins):
    _, race = raced
    rows = race.backtest.of("ridge")
    first, others = rows[rows.origin == origins[0]], rows[(rows.origin != origins[0]) & (rows.sales > 0)]
    residual = np.log(others.sales / others.forecast).to_numpy()
    bounds = models.calibrate(others.store.to_numpy(), residual, 0.9)
    lower, upper = bounds.around(first.store.to_numpy(), first.forecast.to_numpy())
    np.testing.assert_allclose(first.lower, lower)
    np.testing.assert_allclose(first.upper, upper)


def test_what_is_kept_is_not_fitted_again(raced, noisy, small, origins):
    kept, race = raced
    seen = []
    again = training.race(
        noisy,
        entrants(small.values()),
        origins,
        **NOWHERE,
        kept=kept,
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert again.key == race.key
    assert seen == [(10, 10)]
    assert again.backtest.rows.equals(race.backtest.rows)
    assert again.backtest.rows.equals(training.load_race(kept, race.key).backtest.rows)


def test_a_damaged_fit_is_made_again(raced, noisy, small, origins):
    kept, race = raced
    for file in Path(kept.root, "fits").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    again = training.race(noisy, entrants(small.values()), origins, **TERMS, kept=kept, progress=quiet)
    assert again.backtest.rows.equals(race.backtest.rows)


def test_what_a_candidate_listens_to_is_kept_with_the_race(raced):
    kept, race = raced
    assert set(race.importance["xgboost"]) <= set(features.FeatureSpec().columns)
    assert sum(race.importance["lightgbm"].values()) == pytest.approx(1)
    assert race.importance["median"] == {}
    assert training.load_race(kept, race.key).importance == race.importance


def test_another_seed_is_another_race(raced, noisy, small, origins, tmp_path):
    _, race = raced
    naive = entrants([small["median"]])
    terms = {**TERMS, "kept": Storage(str(tmp_path)), "progress": quiet}
    one, two = (training.race(noisy, naive, origins, **{**terms, "seed": seed}) for seed in (1, 2))
    assert len({race.key, one.key, two.key}) == 3


def test_one_failing_candidate_is_on_the_leaderboard_with_its_reason(raced, noisy, small, origins):
    kept, _ = raced
    broken = replace(with_params(small["lightgbm"], num_leaves=-5), name="broken")
    race = training.race(noisy, entrants([small["median"], broken]), origins, **TERMS, kept=kept, progress=quiet)
    board = race.leaderboard()
    assert "num_leaves" in board.failure["broken"]
    assert np.isnan(board.rmspe["broken"])
    assert board.failure["median"] == ""


def test_if_all_fail_the_race_fails(noisy, small, origins, cluster, tmp_path):
    broken = replace(with_params(small["xgboost"], max_depth=-5), name="broken")
    with pytest.raises(RuntimeError, match="every candidate failed: broken"):
        training.race(noisy, entrants([broken]), origins, **TERMS, kept=Storage(str(tmp_path)), progress=quiet)


def test_a_killed_worker_costs_a_retry_and_not_the_race(noisy, small, origins, cluster, tmp_path):
    long = with_params(small["xgboost"], rounds=20_000)
    killed = []

    def kill_one():
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            for process in psutil.process_iter(["name", "cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::_fit"):
                    process.kill()
                    killed.append(process.pid)
                    break
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    terms = {**TERMS, "progress": quiet}
    race = training.race(noisy, entrants([long]), origins, **terms, kept=Storage(str(tmp_path / "a")))
    killer.join()
    calm = training.race(noisy, entrants([long]), origins, **terms, kept=Storage(str(tmp_path / "b")))
    assert killed
    assert race.failures == {}
    assert race.backtest.rows.equals(calm.backtest.rows)


def test_a_stale_champion_learns_nothing_of_its_last_days(raced, noisy, small, origins):
    """With an age, outcomes after known_until must not move the fit, though the State is as fresh as the fold."""
    origin = origins[0]
    stale = Entrant("stale", small["lightgbm"], age_days=24)
    (fit,) = stale.fits(origin)
    assert fit.known_until == origin - np.timedelta64(24, "D")
    ((_, fitted),) = training.fit_all(noisy, [fit], 48, 7, None)
    lessons = [
        models.lesson(noisy, start)
        for start in models.lesson_origins(noisy.dates[0], noisy.origin)
        if start < fit.known_until
    ]
    state = features.summarise(noisy.until(origin))
    alone = models.fit(small["lightgbm"], lessons, fit.known_until, 7).predict(state, noisy.plan(origin, 48)).sales
    np.testing.assert_array_equal(fitted.forecast, alone)


def test_the_final_fit_is_the_blend_of_whole_fits(raced, noisy, small):
    _, race = raced
    bounds = training.intervals(race.backtest, "blend", 0.9)
    final = training.fit_final(noisy, small["blend"], bounds, seed=7, ray_address=None)
    lessons = [models.lesson(noisy, start) for start in models.lesson_origins(noisy.dates[0], noisy.origin)]
    alone = models.fit(small["blend"], lessons, noisy.origin, 7)
    state, plan = features.summarise(noisy), noisy.plan(noisy.origin, 48)
    made = final.predict(state, plan)
    np.testing.assert_array_equal(made.sales, alone.predict(state, plan).sales)
    assert (made.lower[plan.open == 1] < made.upper[plan.open == 1]).all()


def test_leaving_early_stops_what_still_runs(noisy, small, origins, cluster):
    """As when a flow is cancelled: fits end with the driver's interest in them."""
    endless = with_params(small["xgboost"], rounds=2_000_000)
    fits = [Entrant("m", small["median"]).fits(origins[0])[0], *Entrant("e", endless).fits(origins[0])]
    for fit, _ in training.fit_all(noisy, fits, 48, 7, None):
        assert fit.candidate.name == "median"
        break
    deadline = time.monotonic() + 30
    while busy := ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0):
        assert time.monotonic() < deadline, f"{busy} CPUs are still busy"
        time.sleep(0.2)
