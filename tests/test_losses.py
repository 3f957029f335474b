"""Every loss is the one that a hand computes, its capped score is decided by no few rows, and a bias is warned of."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from rossmann import evaluation, features, models
from rossmann.data import Calendar, SalesHistory, Stores
from rossmann.evaluation import BACKTEST_COLUMNS, LOSSES, Backtest, BacktestRun
from rossmann.schema import DAY, HORIZON_DAYS, SATURDAY, SUNDAY
from rossmann.settings import Settings
from tests.test_evaluation import TERMS, rows

SALES = np.array([[100.0, 200.0], [400.0, 100.0]])
FORECAST = np.array([[110.0, 180.0], [300.0, 900.0]])


@pytest.mark.parametrize(
    ("name", "raw", "capped"),
    [
        ("rmspe", np.sqrt((0.1**2 + 0.1**2 + 0.25**2 + 8**2) / 4), np.sqrt((0.1**2 + 0.1**2 + 0.25**2 + 1) / 4)),
        ("mae", (10 + 20 + 100 + 800) / 4, (10 + 20 + 100 + 750) / 4),  # 3 × 250, the second store's median
        (
            "rmsle",
            np.sqrt(np.mean(np.square(np.log([111 / 101, 181 / 201, 301 / 401, 901 / 101])))),
            np.sqrt(np.mean(np.square(np.log([111 / 101, 181 / 201, 301 / 401, 4])))),
        ),
        ("total", (abs(10 - 20) + abs(-100 + 800)) / 800, (abs(10 - 20) + abs(-100 + 750)) / 800),
    ],
)
def test_a_score_is_the_one_computed_by_hand(name, raw, capped):
    scores = evaluation.scores(rows("m", SALES, FORECAST))
    assert scores[name] == pytest.approx(raw)
    assert scores[LOSSES[name].capped_name] == pytest.approx(capped)


def test_days_without_sales_are_not_scored():
    with_zero = np.concatenate([SALES, [[0.0, 0.0]]]), np.concatenate([FORECAST, [[50.0, 60.0]]])
    pd.testing.assert_series_equal(
        evaluation.scores(rows("m", *with_zero)), evaluation.scores(rows("m", SALES, FORECAST))
    )


def test_errors_cancel_out_within_a_store_and_a_fold_only():
    """One store is too high in the first fold and too low in the second: no total of a fold is right."""
    sales = np.full((1, 2), 100.0)
    tables = [rows("m", sales, sales + 10), rows("m", sales, sales - 10, "2015-02-01")]
    assert evaluation.scores(pd.concat(tables)).total == pytest.approx(0.1)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_the_expected_loss_is_least_at_the_shift_that_the_loss_asks_for(loss):
    """Log-normal sales of one store over a long horizon: no other multiple of the median scores better."""
    spread = 0.25
    sales = 1000 * np.exp(np.random.default_rng(2).normal(0, spread, (1, 40_000)))
    shifts = np.linspace(-2.5, 1.5, 17)
    scores = [
        evaluation.scores(rows("m", sales, np.full_like(sales, 1000 * np.exp(shift * spread**2))))[loss.name]
        for shift in shifts
    ]
    assert shifts[int(np.argmin(scores))] == pytest.approx(loss.variance_factor, abs=0.26)


def backtest_with_accidents() -> Backtest:
    """7,702 rows. Two in which hardly anything was sold carry 87 % of the squared error of the better candidate."""
    random = np.random.default_rng(4)
    sales = random.uniform(3000, 9000, (161, 48))
    new, old = (sales * (1 + random.normal(0, size, sales.shape)) for size in (0.081, 0.121))
    relative_error = np.sqrt(0.87 / 0.13 * 0.081**2 * 7700 / 2)
    for store, day in ((2, 10), (7, 30)):
        sales[store, day] = new[store, day] / (1 + relative_error)
        old[store, day] = 1.1 * sales[store, day]
    tables = [rows(name, sales, forecast).head(7702) for name, forecast in (("new", new), ("old", old))]
    return Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS))


def test_two_rows_of_7702_do_not_stop_a_clearly_better_model_and_are_named():
    backtest = backtest_with_accidents()
    first, second, third = evaluation.largest_errors(backtest, "new")
    assert first.share + second.share == pytest.approx(0.87, abs=0.01)
    assert third.share < 0.01
    board = backtest.score()
    assert board.rmspe["new"] > 1.5 * board.rmspe["old"], "the raw score is decided by two rows"
    verdict = evaluation.judge(BacktestRun("key", backtest, {}, {}, {}), "new", ["old"], **TERMS)
    assert verdict.promote
    assert f"(raw {board.rmspe['new']:.4f} against {board.rmspe['old']:.4f})" in verdict.reasons[0]
    (reason,) = (each for each in verdict.reasons if "largest shares" in each)
    assert "store 3 on 2015-01-12 sold" in reason
    assert "store 8 on 2015-02-01 sold" in reason


@pytest.mark.parametrize(
    ("loss", "error", "warning"),
    [
        ("rmspe", 0.96, ""),
        ("rmspe", 0.8, "the forecasts of new are 20% low in sum; if sums matter, train with ROSSMANN_LOSS=total"),
        ("rmspe", 1.1, "the forecasts of new are 10% high in sum"),
        ("total", 0.8, "the forecasts of new are 20% low in sum"),
    ],
)  # fmt: skip
def test_a_bias_of_more_than_5_percent_is_warned_of(loss, error, warning):
    sales = np.random.default_rng(1).uniform(50, 90, (20, 28))
    tables = [rows(name, sales, sales * size) for name, size in (("new", error), ("old", 1.5))]
    backtest = Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS), LOSSES[loss])
    assert backtest.warning("new") == warning
    reasons = evaluation.judge(BacktestRun("key", backtest, {}, {}, {}), "new", ["old"], **TERMS).reasons
    assert [each for each in reasons if "in sum" in each] == [warning] * bool(warning)


def test_an_error_that_is_too_good_to_be_true_is_warned_of():
    sales = np.random.default_rng(1).uniform(50, 90, (20, 28))
    noise = np.random.default_rng(2).normal(0, 1, sales.shape)
    names = {"leak": 0.005, "honest": 0.1, "median": 0.2}
    tables = [rows(name, sales, sales * np.exp(size * noise)) for name, size in names.items()]
    backtest = Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS))
    assert "the error of leak is 2% of that of median, too good to be true" in backtest.warning("leak")
    assert backtest.warning("honest") == ""


def test_another_loss_can_prefer_another_candidate():
    """`low` is closer on every single day; `noisy` is right in every sum."""
    sales = np.random.default_rng(1).uniform(50, 90, (20, 28))
    sign = np.where(np.arange(28) % 2, 1, -1)
    low, noisy = sales - 5, sales + 8 * sign
    tables = [rows("low", sales, low), rows("noisy", sales, noisy)]
    table = pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS)
    best = {name: Backtest(table, loss).best() for name, loss in LOSSES.items()}
    assert best == {"rmspe": "low", "mae": "low", "rmsle": "low", "total": "noisy"}
    run = BacktestRun("key", Backtest(table, evaluation.TOTAL), {}, {}, {})
    assert evaluation.compare(run.backtest, "noisy", "low", 7).p_better == 1


def scattered_chain(spread: float, stores: int = 80, days: int = 500) -> SalesHistory:
    """Stores with weekdays and promotions whose log sales scatter by `spread` around them; closed on Sundays."""
    random = np.random.default_rng(5)
    dates = np.datetime64("2013-01-07", "D") + np.arange(days + HORIZON_DAYS)  # a Monday
    weekday = np.arange(len(dates)) % 7
    promo = np.tile((np.arange(len(dates)) // 7 % 2 == 0) & (weekday < SATURDAY), (stores, 1)).astype(np.int8)
    is_open, never = np.tile(weekday != SUNDAY, (stores, 1)).astype(np.int8), np.zeros_like(promo)
    level = random.normal(8, 0.4, (stores, 1)) + random.normal(0, 0.1, (stores, 7))[:, weekday] + 0.3 * promo
    sales = (is_open * np.exp(level + random.normal(0, spread, level.shape)))[:, :days]
    attributes = Stores(
        number=np.arange(1, stores + 1, dtype=np.int32),
        attribute_codes=np.zeros((stores, 2), np.int8),
    )
    return SalesHistory(attributes, Calendar(dates, is_open, promo, never, never), sales, sales / 10)


def test_in_a_chain_whose_sales_scatter_total_is_right_in_sum_where_rmspe_is_far_low():
    history = scattered_chain(spread=0.5)
    tables = []
    for origin in evaluation.fold_origins(history, 3, HORIZON_DAYS, HORIZON_DAYS):
        fold = evaluation.cut_fold(history, origin, HORIZON_DAYS)
        state = features.fit_state(fold.past)
        for loss in LOSSES.values():
            forecaster = models.fit(models.default_candidate("ridge", loss), (), origin, 7)
            sales = forecaster.predict(state, fold.plan).sales
            tables.append(evaluation.backtest_rows(loss.name, fold, sales))
    bias = Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS)).score().bias
    assert bias["rmspe"] < -0.2
    assert bias["total"] == pytest.approx(0, abs=0.02)
    assert bias["mae"] == bias["rmsle"] == pytest.approx(np.exp(-(0.5**2) / 2) - 1, abs=0.03), "the median"


@pytest.mark.parametrize("name", ["ridge", "xgboost", "blend"])
def test_the_shift_of_a_loss_is_applied_once_also_in_a_blend(noisy, name):
    """Another loss moves every forecast by exp(factor × variance), and nothing else."""
    origin = noisy.origin - HORIZON_DAYS * DAY
    windows = [models.training_window(noisy, start) for start in models.window_origins(noisy.dates[0], origin)][-1:]
    windows.append(models.past_window(noisy, origin))
    state, plan = features.fit_state(noisy.until(origin)), noisy.plan(origin, HORIZON_DAYS)
    variance = np.minimum(features.join_plan(state, plan).variance, 0.3)
    median, *others = (
        models.fit(models.default_candidate(name, loss), windows, origin, 7).predict(state, plan).sales
        for loss in (evaluation.MAE, evaluation.RMSPE, evaluation.TOTAL)
    )
    for factor, sales in zip((-1.5, 0.5), others, strict=True):
        np.testing.assert_allclose(sales, median * np.exp(factor * variance), rtol=1e-12)


def test_losses_whose_best_forecast_is_the_same_share_their_fits():
    by_loss = {loss.name: models.candidates(("ridge", "blend"), loss=loss) for loss in LOSSES.values()}
    assert by_loss["mae"] == by_loss["rmsle"] != by_loss["total"]
    assert by_loss["rmspe"][:2] == by_loss["total"][:2], "baselines are fitted once for all losses"


def test_the_setting_knows_every_loss():
    assert get_args(Settings.model_fields["loss"].annotation) == tuple(LOSSES)
