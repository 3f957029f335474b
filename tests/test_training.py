"""Fits on a real Ray: one that fails or is killed does not harm the others, and finished fits are not repeated."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from rossmann import evaluation, features, models, training
from rossmann.chain import KAGGLE_CHAIN
from rossmann.data import Calendar, SalesHistory, Stores
from rossmann.storage import Storage
from rossmann.training import BacktestEntry
from rossmann.validation import DataError

pytestmark = pytest.mark.slow

BOOSTERS = ("lightgbm_calendar", "lightgbm", "xgboost")
OPTIONS = {"horizon_days": 48, "coverage": 0.9, "seed": 7, "ray_address": None}


def no_progress(done: int, total: int, what: str) -> None:
    """Show nothing."""


@pytest.fixture(scope="module")
def origins(noisy):
    return evaluation.fold_origins(noisy, 2, 48, 48)


@pytest.fixture(scope="module")
def small():
    """The default candidates by name, the boosters with few rounds."""
    by_name = {candidate.name: candidate for candidate in models.candidates(("ridge", *BOOSTERS))}
    for name in BOOSTERS:
        by_name[name] = with_params(by_name[name], max_rounds=20)
    blend = models.candidates(("blend",))[-1]
    by_name["blend"] = replace(blend, members=tuple(by_name[name] for name in BOOSTERS))
    return by_name


def with_params(candidate, **params):
    return replace(candidate, params=tuple(sorted((dict(candidate.params) | params).items())))


def entries(candidates):
    return [BacktestEntry(candidate.name, candidate) for candidate in candidates]


@pytest.fixture(scope="module")
def finished(local_ray, noisy, small, origins, tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("backtests")))
    return storage, training.run_backtests(
        noisy, entries(small.values()), origins, **OPTIONS, storage=storage, progress=no_progress
    )


def test_a_run_has_the_forecasts_of_the_single_fits(finished, noisy, small, origins):
    """The slow version: the same fits one after the other in this process, without Ray."""
    _, run = finished
    for origin in origins:
        fold = evaluation.cut_fold(noisy, origin, 48)
        state = features.fit_state(fold.past)
        starts = models.window_origins(noisy.dates[0], noisy.origin)
        training_windows = [models.training_window(noisy, start) for start in starts if start < origin]
        training_windows.append(models.past_window(noisy, origin))
        deviation = features.join_plan(state, fold.plan).standard_deviation
        for name, candidate in small.items():
            alone = models.fit(candidate, training_windows, origin, 7).predict(state, fold.plan).sales
            rows = run.backtest.of(name)
            np.testing.assert_array_equal(rows[rows.origin == origin].forecast, alone, err_msg=name)
            np.testing.assert_array_equal(rows[rows.origin == origin].standard_deviation, deviation)


def test_a_backtest_in_this_process_has_the_same_rows_without_bounds(finished, noisy, small, origins):
    _, run = finished
    rows = models.backtest(noisy, list(small.values()), origins, seed=7).rows
    keys = ["candidate", "origin", "store", "date"]
    both = rows.merge(run.backtest.rows, on=keys, validate="one_to_one")
    assert len(both) == len(rows) == len(run.backtest.rows)
    np.testing.assert_array_equal(both.forecast_x, both.forecast_y)
    assert rows.lower.isna().all()


def test_every_row_of_every_fold_is_in_the_backtest(finished, noisy, small, origins):
    _, run = finished
    rows = sum(len(noisy.plan(origin, 48)) for origin in origins)
    assert run.backtest.rows.groupby("candidate", observed=True).size().to_dict() == dict.fromkeys(small, rows)


def test_quantiles_come_from_the_other_folds_only(finished, origins):
    _, run = finished
    rows = run.backtest.of("ridge")
    first, others = rows[rows.origin == origins[0]], rows[(rows.origin != origins[0]) & (rows.sales > 0)]
    residual = np.log(others.sales / others.forecast).to_numpy()
    quantiles = models.calibrate(others.standard_deviation.to_numpy(), residual, 0.9)
    values = quantiles.around(first.standard_deviation.to_numpy(), first.forecast.to_numpy())
    np.testing.assert_allclose(first.lower, values[:, 0])
    np.testing.assert_allclose(first.upper, values[:, -1])
    error = first.sales.to_numpy()[:, None] - values
    pinball = np.where(error > 0, quantiles.levels * error, (np.array(quantiles.levels) - 1) * error)
    np.testing.assert_allclose(first.quantile_loss, 2 * pinball.mean(axis=1))


def test_finished_fits_are_not_repeated(finished, without_ray, noisy, small, origins):
    storage, run = finished
    progress = []
    again = training.run_backtests(
        noisy,
        entries(small.values()),
        origins,
        **{**OPTIONS, "ray_address": without_ray},
        storage=storage,
        progress=lambda done, total, what: progress.append((done, total)),
    )
    assert again.key == run.key
    assert progress == [(12, 12)]
    assert again.backtest.rows.equals(run.backtest.rows)
    assert again.backtest.rows.equals(training.load_backtest_run(storage, run.key).backtest.rows)


def test_a_damaged_fit_is_repeated(finished, noisy, small, origins):
    storage, run = finished
    for file in Path(storage.root, "fits").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    again = training.run_backtests(
        noisy, entries(small.values()), origins, **OPTIONS, storage=storage, progress=no_progress
    )
    assert again.backtest.rows.equals(run.backtest.rows)


def test_the_importance_of_features_is_saved_with_the_run(finished):
    storage, run = finished
    assert set(run.importance["xgboost"]) <= set(features.FeatureSpec().columns(KAGGLE_CHAIN.attribute_columns))
    assert sum(run.importance["lightgbm"].values()) == pytest.approx(1)
    assert run.importance["median"] == {}
    assert training.load_backtest_run(storage, run.key).importance == run.importance


def test_another_seed_is_another_run(finished, noisy, small, origins, tmp_path):
    _, run = finished
    median = entries([small["median"]])
    options = {**OPTIONS, "storage": Storage(str(tmp_path)), "progress": no_progress}
    one, two = (training.run_backtests(noisy, median, origins, **{**options, "seed": seed}) for seed in (1, 2))
    assert len({run.key, one.key, two.key}) == 3


def test_one_failing_candidate_is_on_the_leaderboard_with_its_reason(finished, noisy, small, origins):
    storage, _ = finished
    broken = replace(with_params(small["lightgbm"], num_leaves=-5), name="broken")
    run = training.run_backtests(
        noisy, entries([small["median"], broken]), origins, **OPTIONS, storage=storage, progress=no_progress
    )
    board = run.leaderboard()
    assert "num_leaves" in board.failure["broken"]
    assert np.isnan(board.rmspe["broken"])
    assert board.failure["median"] == ""


def test_a_run_in_which_all_entries_fail_fails(noisy, small, origins, local_ray, tmp_path):
    broken = replace(with_params(small["xgboost"], max_depth=-5), name="broken")
    with pytest.raises(RuntimeError, match="every candidate failed: broken"):
        training.run_backtests(
            noisy, entries([broken]), origins, **OPTIONS, storage=Storage(str(tmp_path)), progress=no_progress
        )


def is_fit(process: psutil.Process) -> bool:
    """Whether a process is a worker of Ray that fits a candidate now."""
    try:
        return " ".join(process.cmdline()).startswith("ray::_fit")
    except psutil.Error:
        return False  # it has ended


def test_a_fit_whose_worker_was_killed_is_tried_again(noisy, small, origins, local_ray, tmp_path):
    long = with_params(small["xgboost"], max_rounds=20_000)
    killed = []

    def kill_one():
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            for process in psutil.Process().children(recursive=True):  # other tests have workers, too
                if is_fit(process):
                    process.kill()
                    killed.append(process.pid)
                    break
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    options = {**OPTIONS, "progress": no_progress}
    with_kill, without = (Storage(str(tmp_path / name)) for name in ("with_kill", "without"))
    run = training.run_backtests(noisy, entries([long]), origins, **options, storage=with_kill)
    killer.join()
    undisturbed = training.run_backtests(noisy, entries([long]), origins, **options, storage=without)
    assert killed
    assert run.failures == {}
    assert run.backtest.rows.equals(undisturbed.backtest.rows)


def test_a_stale_champion_is_fitted_without_the_last_days(finished, noisy, small, origins):
    """Its fit ends staleness_days before the origin; its State is that of the origin."""
    origin = origins[0]
    train_end = origin - np.timedelta64(24, "D")
    names = ("lightgbm", "lightgbm_calendar")
    tasks = [BacktestEntry("stale", small[name], staleness_days=24).tasks(origin)[0] for name in names]
    assert {task.train_end for task in tasks} == {train_end}
    results = dict(training.run_fits(noisy, tasks, 48, 7, None))
    starts = models.window_origins(noisy.dates[0], noisy.origin)
    training_windows = [models.training_window(noisy, start) for start in starts if start < train_end]
    training_windows.append(models.past_window(noisy, train_end))
    state, plan = features.fit_state(noisy.until(origin)), noisy.plan(origin, 48)
    for task in tasks:
        alone = models.fit(task.candidate, training_windows, train_end, 7).predict(state, plan).sales
        np.testing.assert_array_equal(results[task].forecast, alone)


def test_the_final_fit_is_the_blend_of_whole_fits(finished, noisy, small):
    _, run = finished
    quantiles = training.backtest_quantiles(run.backtest, "blend", 0.9)
    final = training.fit_final(noisy, small["blend"], quantiles, seed=7, ray_address=None)
    training_windows = [
        models.training_window(noisy, start) for start in models.window_origins(noisy.dates[0], noisy.origin)
    ]
    training_windows.append(models.past_window(noisy, noisy.origin))
    alone = models.fit(small["blend"], training_windows, noisy.origin, 7)
    state, plan = features.fit_state(noisy), noisy.plan(noisy.origin, 48)
    forecast = final.predict(state, plan)
    np.testing.assert_array_equal(forecast.sales, alone.predict(state, plan).sales)
    assert (forecast.lower[plan.open == 1] < forecast.upper[plan.open == 1]).all()


def test_leaving_the_loop_early_cancels_the_running_fits(noisy, small, origins, local_ray):
    """As when a flow is cancelled."""
    endless = with_params(small["xgboost"], max_rounds=2_000_000)
    (quick,), (slow,) = (BacktestEntry("m", each).tasks(origins[0]) for each in (small["median"], endless))
    for task, _ in training.run_fits(noisy, [quick, slow], 48, 7, None):
        assert task.candidate.name == "median"
        break
    deadline = time.monotonic() + 60  # the endless fit would take hours
    while busy := ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0):
        assert time.monotonic() < deadline, f"{busy} CPUs are still busy"
        time.sleep(0.2)


def history_of_days(days: int, horizon_days: int = 0) -> SalesHistory:
    """A history whose sales do not matter."""
    dates = np.datetime64("2013-01-01", "D") + np.arange(days + horizon_days)
    flags, sales = np.ones((1, len(dates)), np.int8), np.ones((1, days))
    attributes = Stores(np.ones(1, np.int32), np.zeros((1, 0), np.int8))
    return SalesHistory(attributes, Calendar(dates, flags, flags, flags, flags), sales, sales)


@pytest.mark.parametrize("days", [*range(120, 1000, 10), 711, 712])
def test_every_fold_that_is_allowed_has_training_data_for_a_booster(days):
    history, candidates = history_of_days(days), models.candidates(("ridge", "blend"))
    windows = models.window_origins(history.dates[0], history.origin)
    for count in range(1, 9):
        try:
            origins = training.fold_origins(history, candidates, count, 48, 48)
        except DataError:
            assert days < 180 + 48 * count or not any(w + 24 <= history.origin - 48 * count for w in windows)
        else:
            assert any(window + 24 <= origins[-1] for window in windows)


def test_six_folds_take_more_days_for_boosters_and_the_error_says_how_many_are_possible():
    history = history_of_days(600)
    assert len(training.fold_origins(history, models.candidates(("ridge",)), 6, 48, 48)) == 6
    candidates = models.candidates(("ridge", "lightgbm"))
    with pytest.raises(DataError, match=r"6 folds .* 600 days .* 712 are needed.*: 5 are possible"):
        training.fold_origins(history, candidates, 6, 48, 48)
    assert len(training.fold_origins(history, candidates, 5, 48, 48)) == 5
    assert len(training.fold_origins(history_of_days(712), candidates, 6, 48, 48)) == 6


def test_by_default_there_are_as_many_folds_as_the_history_allows_with_a_full_year_before_each():
    candidates = models.candidates(("ridge", "lightgbm"))
    for days, count in ((894, 8), (600, 4), (495, 2), (340, 2)):
        origins = training.usual_fold_origins(history_of_days(days), candidates, 8, 48, 48)
        assert origins == training.fold_origins(history_of_days(days), candidates, count, 48, 48)
    assert len(training.usual_fold_origins(history_of_days(894), candidates, 3, 48, 48)) == 3
    with pytest.raises(DataError, match="too short for 2 folds"):
        training.usual_fold_origins(history_of_days(200), candidates, 8, 48, 48)


@pytest.mark.parametrize(
    ("days", "horizon_days", "step_days"),
    [
        (942, 48, 48),
        (942, 7, 48),
        (942, 90, 90),
        (456, 14, 48),
        (456, 60, 60),
        (456, 90, 90),
        (400, 90, 90),
        (340, 90, 70),
    ],
)
def test_by_default_folds_do_not_overlap_and_those_of_a_short_horizon_are_spread_over_the_year(
    days, horizon_days, step_days
):
    """But there are two of them wherever 48 days between them allow it."""
    history, candidates = history_of_days(days, horizon_days), models.candidates(("ridge", "lightgbm"))
    assert training.usual_step_days(history, candidates) == step_days
    assert len(training.usual_fold_origins(history, candidates, 8, step_days, horizon_days)) >= 2


@pytest.mark.parametrize("name", ["backtest.parquet", "run.json"])
def test_a_changed_bit_of_a_backtest_run_is_refused(finished, tmp_path, name):
    _, run = finished
    training.save_backtest_run(run, Storage(str(tmp_path)))
    file = tmp_path / run.key / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"{run.key}.* was changed"):
        training.load_backtest_run(Storage(str(tmp_path)), run.key)
