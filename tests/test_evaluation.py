"""Folds have only the past, RMSPE is Kaggle's, and a verdict has its reasons."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rossmann import evaluation
from rossmann.evaluation import BACKTEST_COLUMNS, Backtest, BacktestRun, Loss, Verdict
from rossmann.schema import DAY, MONDAY, weekday
from rossmann.validation import DataError


def judge(backtest: Backtest, challenger: str, rivals: list[str], failures: dict[str, str] | None = None) -> Verdict:
    """The verdict on a run with these rows."""
    return evaluation.judge(BacktestRun("key", backtest, {}, {}, failures or {}), challenger, rivals, **TERMS)


TERMS = {"promotion_probability": 0.95, "slice_margin": 0.05, "seed": 7}


def rows(candidate: str, sales: np.ndarray, forecast: np.ndarray, origin: str = "2015-01-01") -> pd.DataFrame:
    """The backtest rows of one fold. sales and forecast: [stores, days]"""
    stores, days = sales.shape
    lead = np.tile(np.arange(1, days + 1), stores)
    table = pd.DataFrame(
        {
            "candidate": candidate,
            "origin": pd.Timestamp(origin),
            "store": np.repeat(np.arange(1, stores + 1), days),
            "date": pd.Timestamp(origin) + pd.to_timedelta(lead, unit="D"),
            "lead_days": lead,
            "lead_week": (lead - 1) // 7 + 1,
            "weekday": MONDAY,
            "attribute": np.where(np.repeat(np.arange(stores), days) % 2 == 0, "a", "b"),
            "open": 1,
            "promotion": lead % 2,
            "sales": sales.ravel(),
            "forecast": forecast.ravel(),
            "lower": forecast.ravel() * 0.9,
            "upper": forecast.ravel() * 1.1,
            "standard_deviation": 0.1,
            "quantile_loss": np.abs(forecast.ravel() - sales.ravel()) / 4,
        }
    )
    return table.astype(BACKTEST_COLUMNS)


def backtest_with_errors(**error: float) -> Backtest:
    """40 stores × 28 days of the same sales; each candidate has log-normal errors of this standard deviation."""
    random = np.random.default_rng(5)
    sales = random.uniform(3000, 9000, (40, 28))
    tables = [rows(name, sales, sales * np.exp(random.normal(0, size, sales.shape))) for name, size in error.items()]
    return Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS))


def test_scores_are_those_computed_by_hand():
    scores = evaluation.scores(rows("m", np.array([[100.0, 200.0, 0.0]]), np.array([[110.0, 180.0, 5.0]])))
    assert scores.rmse == pytest.approx(np.sqrt((100 + 400) / 2))
    assert scores.mae == pytest.approx(15)
    assert scores.mape == pytest.approx(0.1)
    assert scores.bias == pytest.approx(-10 / 300)
    assert scores.wql == pytest.approx((10 + 20) / 4 / 300)  # the loss of the day without sales does not count
    assert scores.coverage == pytest.approx(0.5)  # 100 is inside 99 … 121, 200 is outside 162 … 198
    assert scores.rows == 2


def test_the_quantile_loss_is_twice_the_pinball_loss():
    """At level 0.9 a unit below the sales costs 0.9, a unit above them 0.1; at 0.5 both cost 0.5."""
    loss = evaluation.quantile_loss(np.array([100.0, 100.0]), np.array([[90.0, 90.0], [120.0, 120.0]]), (0.5, 0.9))
    np.testing.assert_allclose(loss, [2 * (5 + 9) / 2, 2 * (10 + 2) / 2])


def test_scores_are_nan_where_no_day_has_sales():
    scores = evaluation.scores(rows("m", np.zeros((2, 3)), np.zeros((2, 3))))
    assert scores.drop("rows").isna().all()
    assert scores.rows == 0


def test_the_score_is_the_mean_over_folds_and_the_best_comes_first():
    one, two = np.full((2, 3), 100.0), np.full((2, 3), 200.0)
    tables = [
        rows("worse", one, one * 1.3),
        rows("worse", two, two * 1.1, "2015-02-01"),
        rows("better", one, one * 1.1),
        rows("better", two, two * 1.1, "2015-02-01"),
    ]
    backtest = Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS))
    assert backtest.score().rmspe.to_dict() == pytest.approx({"better": 0.1, "worse": 0.2})
    assert backtest.best() == "better"


def test_slices_agree_with_a_loop_over_them():
    backtest = backtest_with_errors(one=0.1, two=0.2)
    by = backtest.by("lead_week")
    for (candidate, week), line in by.iterrows():
        part = backtest.rows[(backtest.rows.candidate == candidate) & (backtest.rows.lead_week == week)]
        assert line.rmspe == pytest.approx(np.sqrt(np.mean(np.square(part.forecast / part.sales - 1))))


def test_folds_are_counted_back_from_the_end(noisy):
    origins = evaluation.fold_origins(noisy, 3, 24, 48)
    last = noisy.origin
    assert [int((last - origin).astype(int)) for origin in origins] == [48, 72, 96]


def test_a_fold_has_only_the_past_and_a_plan_without_sales(noisy):
    (origin,) = evaluation.fold_origins(noisy, 1, 48, 48)
    fold = evaluation.cut_fold(noisy, origin, 48)
    assert fold.past.origin == origin
    assert fold.past.sales.shape[1] == len(noisy.dates) - 48
    assert fold.past.calendar.dates[-1] == origin + 48 * DAY
    assert not {"sales", "traffic"} & set(vars(fold.plan))
    assert fold.plan.date.min() == origin + DAY
    assert len(fold.plan) == len(fold.actuals.sales)


def test_backtest_rows_count_weekdays_from_monday_and_leads_from_one(noisy):
    fold = evaluation.cut_fold(noisy, noisy.origin - 48 * DAY, 48)
    table = evaluation.backtest_rows("m", fold, fold.actuals.sales)
    np.testing.assert_array_equal(table.weekday, table.date.dt.dayofweek)
    np.testing.assert_array_equal(table.weekday, weekday(fold.plan.date))
    assert (table.lead_days.min(), table.lead_days.max()) == (1, 48)
    assert (table.lead_week.min(), table.lead_week.max()) == (1, 7)


def test_a_fold_looks_no_further_than_its_horizon(noisy):
    origin = noisy.origin - 90 * DAY
    fold = evaluation.cut_fold(noisy, origin, 14)
    assert fold.past.calendar.dates[-1] == origin + 14 * DAY
    assert fold.plan.date.max() == origin + 14 * DAY


def test_a_short_history_says_how_many_days_it_takes(toy):
    needed = evaluation.MIN_PAST_DAYS + 4 * 48 + 48
    with pytest.raises(DataError, match=rf"5 folds.*400 days.*{needed} are needed; provide {needed - 400} more days"):
        evaluation.fold_origins(toy, 5, 48, 48)


def test_a_short_history_says_how_many_folds_are_possible(toy):
    with pytest.raises(DataError, match=r"\(--folds\): 4 are possible"):
        evaluation.fold_origins(toy, 5, 48, 48)
    assert len(evaluation.fold_origins(toy, 4, 48, 48)) == 4


def test_the_better_challenger_is_promoted_with_its_figures():
    verdict = judge(backtest_with_errors(new=0.08, old=0.12, median=0.2), "new", ["old", "median"])
    assert verdict.promote
    assert [c.rival for c in verdict.comparisons] == ["old", "median"]
    assert all(c.p_better > 0.99 for c in verdict.comparisons)
    assert verdict.reasons[0].startswith("beats old: capped RMSPE 0.0")


def test_two_wild_rows_decide_neither_the_best_candidate_nor_the_verdict():
    backtest = backtest_with_errors(new=0.08, old=0.12)
    wild = (backtest.rows.candidate == "new") & (backtest.rows.store == 1) & (backtest.rows.lead_days <= 2)
    factor = np.where(wild, 20, 1)
    backtest = Backtest(backtest.rows.assign(forecast=backtest.rows.forecast * factor))
    board = backtest.score()
    assert board.rmspe["new"] > board.rmspe["old"], "the raw score is decided by two rows"
    assert backtest.best() == "new"
    assert judge(backtest, "new", ["old"]).promote


def test_an_equal_challenger_is_refused():
    verdict = judge(backtest_with_errors(new=0.1, old=0.1, median=0.2), "new", ["old", "median"])
    assert not verdict.promote
    assert "does not beat old" in verdict.reasons[0]


def test_the_same_forecasts_are_not_better():
    sales = np.random.default_rng(1).uniform(50, 90, (20, 7))
    same = [rows(name, sales, sales * 1.1) for name in ("new", "old")]
    (comparison,) = judge(Backtest(pd.concat(same)), "new", ["old"]).comparisons
    assert comparison.p_better == 0


def test_beating_the_champion_is_not_enough_if_the_median_is_better():
    verdict = judge(backtest_with_errors(new=0.1, old=0.2, median=0.05), "new", ["old", "median"])
    assert not verdict.promote
    assert any("does not beat median" in reason for reason in verdict.reasons)


def test_a_slice_that_gets_worse_stops_the_promotion():
    backtest = backtest_with_errors(new=0.05, old=0.12, median=0.2)
    table = backtest.rows
    spoilt = (table.candidate == "new") & (table.lead_week == 2) & (table.attribute == "b") & (table.store < 8)
    table.loc[spoilt, "forecast"] = table.loc[spoilt, "sales"] * 1.9
    table.loc[(table.candidate == "old") & (table.lead_week != 2), "forecast"] *= 1.8
    verdict = judge(backtest, "new", ["old", "median"])
    assert verdict.comparisons[0].p_better > 0.95
    assert not verdict.promote
    assert any("slice lead_week=2" in reason for reason in verdict.reasons)


def test_the_bootstrap_draws_whole_stores():
    """The whole advantage comes from one store: a bootstrap of days would be certain of it, one of stores is not."""
    sales = np.full((30, 48), 100.0)
    new, old = sales * 1.1, sales * 1.1
    old[0] = 300.0
    backtest = Backtest(pd.concat([rows("new", sales, new), rows("old", sales, old)], ignore_index=True))
    (comparison,) = judge(backtest, "new", ["old"]).comparisons
    assert comparison.score < comparison.rival_score
    assert comparison.p_better == pytest.approx(1 - (29 / 30) ** 29, abs=0.04)


def test_the_bootstrap_draws_whole_weeks():
    """The whole advantage comes from one of seven weeks, in which all stores agree; six weeks are drawn."""
    sales = np.full((30, 49), 100.0)
    new, old = sales * 1.1, sales * 1.1
    old[:, 14:21] = 115.0
    backtest = Backtest(pd.concat([rows("new", sales, new), rows("old", sales, old)], ignore_index=True))
    (comparison,) = judge(backtest, "new", ["old"]).comparisons
    assert comparison.p_better == pytest.approx(1 - (6 / 7) ** 6, abs=0.04)


def slow_score(loss: Loss, sales: np.ndarray, forecast: np.ndarray) -> float:
    """The score of days of one fold whose errors are below the caps, by loops. sales, forecast: [stores, days]"""
    if loss.name == "rmspe":
        return float(np.sqrt(np.mean(np.square(forecast / sales - 1))))
    return sum(abs(sum(row)) for row in forecast - sales) / sales.sum()


@pytest.mark.parametrize("loss", [evaluation.RMSPE, evaluation.TOTAL], ids=lambda loss: loss.name)
def test_the_bootstrap_agrees_with_drawing_stores_and_weeks_one_by_one(loss):
    """The slow version: stores and each fold's weeks sampled with replacement, their days put together and scored."""
    random = np.random.default_rng(3)
    tables = []
    for origin in ("2015-01-01", "2015-02-01"):
        sales = random.uniform(50, 90, (12, 18))  # the third week has four days
        for name, size in (("new", 0.11), ("old", 0.12)):
            tables.append(rows(name, sales, sales * np.exp(random.normal(0, size, sales.shape)), origin))
    backtest = Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS), loss)
    (comparison,) = judge(backtest, "new", ["old"]).comparisons
    assert comparison.score == pytest.approx(backtest.score()[loss.capped_name]["new"])
    cells = {
        name: {key: (part.sales.to_numpy(), part.forecast.to_numpy())
               for key, part in backtest.of(name).groupby(["origin", "store", "lead_week"])}
        for name in ("new", "old")
    }  # fmt: skip
    origins = sorted({key[0] for key in cells["new"]})

    def score(name: str, stores: np.ndarray, weeks: np.ndarray) -> float:
        folds = []
        for origin, weeks_of_fold in zip(origins, weeks, strict=True):
            days = [
                np.concatenate([np.stack(cells[name][origin, store, week]) for week in weeks_of_fold], axis=1)
                for store in stores
            ]
            sales, forecast = np.swapaxes(np.stack(days), 0, 1)
            folds.append(slow_score(loss, sales, forecast))
        return float(np.mean(folds))

    draws = [(random.integers(1, 13, 11), random.integers(1, 4, (2, 2))) for _ in range(600)]
    better = np.mean([score("new", *draw) < score("old", *draw) for draw in draws])
    assert 0.1 < better < 0.98
    assert comparison.p_better == pytest.approx(better, abs=0.06)


def test_of_two_equally_good_forecasters_few_runs_call_one_better():
    """Each has day errors of 3 % of its own, common to all stores. A bootstrap of stores alone is sure in 31 %."""
    runs, stores, days_in_week = 200, 100, np.array([7, 7, 7, 7, 7, 7, 6])
    days = np.broadcast_to(days_in_week, (stores, 3, 7)).astype(float)
    certain = 0
    for run in range(runs):
        random = np.random.default_rng([7, run])
        noise = random.normal(0, 0.1, (stores, 3, 48))
        errors = [_squared_errors(noise + random.normal(0, 0.03, (3, 48))) for _ in range(2)]
        certain += (
            evaluation.probability_better(evaluation.RMSPE, *errors, days, seed=7) >= TERMS["promotion_probability"]
        )
    assert 0.01 < certain / runs < 0.09


def _squared_errors(log_error: np.ndarray) -> np.ndarray:
    """Sums of squared percentage errors. [stores, folds, days] → [stores, folds, weeks]"""
    return np.add.reduceat(np.square(np.exp(log_error) - 1), range(0, 48, 7), axis=2)


def test_folds_of_one_week_are_drawn_by_day():
    """As above, with folds of seven days; drawn by week, a third of the runs would be sure."""
    runs, stores, certain = 60, 60, 0
    for run in range(runs):
        random = np.random.default_rng([11, run])
        tables = []
        for month in (1, 2, 3):
            sales, noise = random.uniform(3000, 9000, (stores, 7)), random.normal(0, 0.05, (stores, 7))
            for name in ("new", "old"):
                forecast = sales * np.exp(noise + random.normal(0, 0.03, 7))
                tables.append(rows(name, sales, forecast, f"2015-{month:02}-01"))
        backtest = Backtest(pd.concat(tables, ignore_index=True).astype(BACKTEST_COLUMNS))
        certain += evaluation.compare(backtest, "new", "old", 7).p_better >= TERMS["promotion_probability"]
    assert certain / runs < 0.2


def test_candidates_on_different_rows_are_not_compared():
    sales = np.full((4, 5), 100.0)
    backtest = Backtest(pd.concat([rows("new", sales, sales), rows("old", sales[:3], sales[:3])]))
    with pytest.raises(ValueError, match="not scored on the same rows"):
        judge(backtest, "new", ["old"])


def test_a_rival_that_could_not_be_fitted_is_left_out_and_named():
    backtest, failure = backtest_with_errors(new=0.05, median=0.2), {"champion v1": "XGBoostError: no memory"}
    verdict = judge(backtest, "new", ["champion v1", "median"], failure)
    assert verdict.promote
    assert [each.rival for each in verdict.comparisons] == ["median"]
    assert "champion v1 could not be backtested (XGBoostError: no memory)" in verdict.reasons[0]
    assert "worse than median" in verdict.reasons[-1], "slices are compared with a rival that has forecasts"


def test_a_challenger_that_failed_is_not_promoted():
    verdict = judge(backtest_with_errors(old=0.1, median=0.2), "new", ["old", "median"], {"new": "ValueError: no rows"})
    assert verdict == Verdict(False, ("new failed: ValueError: no rows",), ())


def test_nothing_is_promoted_without_any_rival_to_compare_with():
    verdict = judge(backtest_with_errors(new=0.05), "new", ["median"], {"median": "OSError: disk"})
    assert not verdict.promote
    assert "no rival" in verdict.reasons[-1]


def test_the_baseline_does_not_become_challenger():
    assert backtest_with_errors(median=0.05, ridge=0.1).best() == "ridge"


def test_a_store_that_opens_against_its_habit_is_not_scored(toy):
    """Sales on Sundays, on which the plan has all stores closed: the forecast is 0, and the other days exact."""
    fold = evaluation.cut_fold(toy, toy.origin - 48, 48)
    surprise = fold.plan.open == 0
    forecast = fold.actuals.sales.copy()
    actuals = replace(fold.actuals, sales=np.where(surprise, 900.0, fold.actuals.sales))
    rows = evaluation.backtest_rows("x", replace(fold, actuals=actuals), forecast)
    assert surprise.any()
    assert evaluation.scores(rows).rmspe == 0
    assert evaluation.scores(rows)["rows"] == (~surprise).sum()
