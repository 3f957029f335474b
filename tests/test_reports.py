"""The report of a training: the scores of the backtest, in one file that loads nothing."""

import re
from dataclasses import replace
from html import escape
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from flows import training_report
from flows.cli import console, documents
from rossmann import evaluation, training
from rossmann.data import SalesHistory
from rossmann.evaluation import Backtest, BacktestRun
from rossmann.explain import feature_part
from rossmann.reports import Challenger, Decision, TrainingReport, leaderboard_rows, render_training
from rossmann.reports.importance import sum_by_part, top_features
from rossmann.reports.page import signed_percent
from rossmann.training import share_below_levels
from tests.support.operations import operations

LEVELS = (0.05, 0.5, 0.95)
IMPORTANCE = {"ridge_sd": 0.3, "promotion": 0.2, "flag leaflet": 0.2, 'attribute ["kind", "a"]': 0.2, "weekday": 0.1}
CHALLENGER = Challenger(7, "ridge", "feedfacefeedface", "2014-10-15", 7, "c0dec0dec0dec0de", "5e1f5e1f5e1f5e1f")


def forecast_rows(history: SalesHistory, candidate: str, noise: float, seed: int) -> pd.DataFrame:
    """The rows of a candidate that forecasts the sales with an error of this size, with two bounds."""
    random, tables = np.random.default_rng(seed), []
    for origin in evaluation.fold_origins(history, 3, 48, 48):
        fold = evaluation.cut_fold(history, origin, 48)
        sales = np.nan_to_num(fold.actuals.sales, nan=5000.0)
        forecast = fold.plan.open * np.where(sales > 0, sales, 5000) * np.exp(random.normal(0, noise, len(sales)))
        rows = evaluation.backtest_rows(candidate, fold, forecast, noise)
        bounds = {"lower": forecast * np.exp(-1.5 * noise), "upper": forecast * np.exp(1.5 * noise)}
        tables.append(rows.assign(**bounds, quantile_loss=1.0))
    return pd.concat(tables)


@pytest.fixture(scope="module")
def run(noisy) -> BacktestRun:
    """Three candidates on three folds, one of which failed; ridge errs by half of everything on one day."""
    rows = pd.concat([forecast_rows(noisy, "ridge", 0.1, 1), forecast_rows(noisy, "median", 0.2, 2)])
    rows = rows.reset_index(drop=True).astype(evaluation.BACKTEST_COLUMNS)
    sold = rows[(rows.candidate == "ridge") & (rows.sales > 0) & (rows.open == 1)].index[100]
    rows.loc[sold, "forecast"] = rows.sales[sold] * 3
    return BacktestRun(
        "0123456789abcdef",
        Backtest(rows),
        {"ridge": 2.5, "median": 0.5},
        {"ridge": IMPORTANCE, "median": {}},
        {"lightgbm": "<out of memory>"},
    )


@pytest.fixture(scope="module")
def report(run, noisy) -> TrainingReport:
    levels = share_below_levels(run.backtest, "ridge", 0.9, LEVELS)
    return TrainingReport(run, CHALLENGER, noisy, 0.9, levels, None, "a1b2c3", feature_part)


@pytest.fixture(scope="module")
def page(report) -> str:
    return render_training(report).decode()


def tables(page: str) -> dict[str, list[list[str]]]:
    """The rows of every table with a head, by the text of its first cell."""
    result = {}
    for table in ElementTree.fromstring(page).iter("table"):
        lines = [["".join(cell.itertext()).strip() for cell in row] for row in table.iter("tr")]
        result.setdefault(lines[0][0], lines[1:])
    return result


def test_the_page_is_well_formed_and_loads_nothing(page):
    root = ElementTree.fromstring(page)
    assert {each.tag for each in root.iter()} & {"script", "link", "img", "iframe", "object"} == set()
    assert not re.search(r"https?://|\bsrc=|@import|url\(", page)
    assert [each.get("id") for each in root.iter() if each.get("id")] == [
        "verdict", "leaderboard", "sales", "errors", "calibration", "worst", "importance", "provenance",
    ]  # fmt: skip
    assert "prefers-color-scheme: dark" in page
    assert len(page) < 100_000


def test_the_leaderboard_is_the_one_of_the_run(page, run):
    board, lines = run.leaderboard(), tables(page)["candidate"]
    assert [line[0] for line in lines] == ["ridge", "median", "lightgbm"]
    assert lines[0][2:] == [
        f"{board.rmspe_capped['ridge']:.4f}",
        signed_percent(board.bias["ridge"]),
        f"{board.coverage['ridge']:.0%}".replace("%", " %"),
        f"{board.rmspe['ridge']:.4f}",
        f"{board.mae['ridge']:,.1f}",
        f"{board.wql['ridge']:.4f}",
        "2.5",
    ]
    assert lines[2][1] == "failed: <out of memory>"
    assert escape("<out of memory>") in page


def test_every_leaderboard_says_what_differs_from_the_defaults_where_anything_does(page, report, run, capsys):
    changes = {"ridge": "lambda=12.3, kind=<a & b>", "lightgbm": "num_leaves=5"}
    searched = replace(run, param_changes=changes)
    root = ElementTree.fromstring(render_training(replace(report, run=searched)))
    texts = ["".join(each.itertext()) for each in next(root.iter("dl"))]
    assert texts == [text for pair in changes.items() for text in pair]
    assert [line.get("differs from the defaults") for line in leaderboard_rows(searched)] == [
        changes["ridge"], "", changes["lightgbm"]
    ]  # fmt: skip
    console.show_leaderboard(searched.leaderboard(), run.backtest.loss)
    assert {f"{name}\t{text}" for name, text in changes.items()} <= set(capsys.readouterr().out.splitlines())
    assert documents._score("ridge", searched.leaderboard().loc["ridge"])["param_changes"] == changes["ridge"]
    console.show_leaderboard(run.leaderboard(), run.backtest.loss)
    assert "from the defaults" not in page + capsys.readouterr().out + str(leaderboard_rows(run))


def test_the_tile_of_days_counts_those_of_every_table_out_of_all_in_the_folds(page, noisy):
    parts = [lines for head, lines in tables(page).items() if head in ("fold from", "lead", "weekday", "promo")]
    (days,) = {sum(int(line[6].replace(",", "")) for line in lines) for lines in parts}
    assert days < 3 * 48 * len(noisy.stores.number)
    assert f"<span>days with sales</span><b>{days:,}</b><span>of 1,728: 3 folds × 48 days × 12 stores</span>" in page


def test_a_percentage_that_is_zero_has_no_sign_and_a_difference_of_shares_is_in_points(page, run):
    texts = [signed_percent(share) for share in (0.0004, -0.0004, 0.0005001, -0.012, np.nan)]
    assert texts == ["0.0 %", "0.0 %", "+0.1 %", "−1.2 %", "–"]
    points = [line[2] for line in tables(page)["level of the quantile"]]
    assert points
    assert all(re.fullmatch(r"0\.0|[+−]\d+\.\d", each) for each in points)
    assert '<th class="number">difference, points</th>' in page


def test_the_capped_score_has_one_name_in_every_table_and_on_the_command_line(page, run, capsys):
    console.show_leaderboard(run.leaderboard(), run.backtest.loss)
    printed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    head, best = next((head, best) for head, best in pairwise(printed) if head[0] == "candidate")
    assert best[head.index("RMSPE, capped")] == f"{run.leaderboard().rmspe_capped['ridge']:.4f}"
    heads = [[cell.text for cell in each] for each in ElementTree.fromstring(page).findall(".//thead/tr")]
    parts = [head for head in heads if "median" in head]
    assert len(parts) > 5
    assert [head[2] for head in parts] == ["RMSPE, capped"] * len(parts)
    assert [name for head in heads for name in head if name == "RMSPE"] == ["RMSPE"]  # the raw one, in the leaderboard


def test_no_fit_counts_twice_in_the_cpu_time(page):
    """The candidates share fits, as a blend with its members: the time is that of the best one, not their sum."""
    assert "<dt>CPU time</dt><dd>2.5 s for all fits of ridge in the backtest</dd>" in page


@pytest.mark.parametrize(
    ("title", "column"),
    [("fold from", "origin"), ("lead", "lead_week"), ("weekday", "weekday"),
     ("store type", "attribute"), ("promo", "promotion")],
)  # fmt: skip
def test_every_part_has_the_scores_of_the_backtest(page, run, title, column):
    lines, expected = tables(page)[title], run.backtest.by(column).loc["ridge"]
    expected = expected[expected.rows > 0]
    assert [line[2] for line in lines] == [f"{score:.4f}" for score in expected.rmspe_capped]
    assert [line[6] for line in lines] == [f"{count:,.0f}" for count in expected.rows]


def test_the_calibration_counts_the_days_below_each_quantile_out_of_sample(report, run):
    """The slow version, row by row: residuals of the other folds, in standard deviations."""
    rows = run.backtest.of("ridge")
    rows = rows[(rows.sales > 0) & (rows.open == 1)]
    below = dict.fromkeys(LEVELS, 0)
    for origin, fold in rows.groupby("origin"):
        (quantiles,) = [q for own, q in training.quantiles_of_folds(run.backtest.of("ridge"), 0.9, LEVELS)
                        if own.origin.iloc[0] == origin]  # fmt: skip
        for row in fold.itertuples():
            for level, offset in zip(quantiles.levels, quantiles.offsets, strict=True):
                below[level] += row.sales <= row.forecast * np.exp(offset * row.standard_deviation)
    assert report.share_below_levels == pytest.approx({level: count / len(rows) for level, count in below.items()})


def test_the_worst_row_is_named_with_what_was_special(run, report, noisy):
    (worst, *_) = evaluation.largest_errors(run.backtest, "ridge")
    store, day = noisy.stores.positions(np.array([worst.store]))[0], noisy.calendar.positions(worst.date.to_numpy())
    holiday = noisy.calendar.holiday_kind.copy()
    holiday[store, day] = 1
    sales = noisy.sales.copy()
    sales[store, day - 5 : day] = 0
    history = replace(noisy, calendar=replace(noisy.calendar, holiday_kind=holiday), sales=sales)
    line = tables(render_training(replace(report, history=history)).decode())["store"][0]
    assert line[:5] == [
        str(worst.store), f"{worst.date:%a %-d %b %Y}", f"{worst.sales:,.0f}", f"{worst.forecast:,.0f}", "3.00"
    ]  # fmt: skip
    assert "a public holiday" in line[6]
    assert "first day after" in line[6]


def test_the_worst_stores_are_those_with_the_largest_capped_loss(page, run):
    scores = Backtest(run.backtest.of("ridge")).by("store").loc["ridge"].rmspe_capped.nlargest(10)
    assert [line[0] for line in tables(page)["Worst stores"]] == [str(store) for store in scores.index]


def test_stores_have_the_labels_of_the_chain(report, noisy):
    labels = np.array([f"<shop & {number}>" for number in noisy.stores.number])
    history = replace(noisy, stores=replace(noisy.stores, label=labels))
    lines = tables(render_training(replace(report, history=history)).decode())["Worst stores"]
    assert all(line[0].startswith("<shop & ") for line in lines)


def test_a_training_that_was_not_judged_says_so_and_a_verdict_has_its_reasons(page, report):
    assert "Not judged yet" in page
    decision = Decision("refused", "2026-11-29 10:00 UTC", ("does not beat <champion>", "no slice is worse"))
    judged = render_training(replace(report, decision=decision)).decode()
    assert "Not judged yet" not in judged
    section = next(each for each in ElementTree.fromstring(judged).iter("section"))
    assert [item.text for item in section.iter("li")] == list(decision.reasons)


def test_importance_is_summed_by_what_features_describe():
    assert sum_by_part(IMPORTANCE, feature_part) == pytest.approx(
        {"forecast of the linear model": 0.3, "promotion": 0.2, "leaflet": 0.2, "the store": 0.2, "weekday": 0.1}
    )
    assert list(top_features(IMPORTANCE, 4)) == ["ridge sd", "promotion", "leaflet", "kind"]


@pytest.mark.parametrize(
    ("feature", "name"),
    [("flag promo=Sale [50%]", "promo=Sale [50%]"), ("number price [EUR]", "price [EUR]"),
     ('attribute ["kind [old]", "a [b]"]', "kind [old]")],
)  # fmt: skip
def test_a_bracket_in_the_name_of_a_covariate_is_part_of_its_name(feature, name):
    assert list(top_features({feature: 1.0})) == [name]


def test_the_table_of_the_leaderboard_begins_with_the_columns_that_matter(run):
    first, *_, failed = leaderboard_rows(run)
    assert list(first)[:4] == ["candidate", "RMSPE, capped", "bias", "coverage"]
    assert all(len(text) <= 8 for text in first.values())
    assert failed == {"candidate": "lightgbm", **dict.fromkeys(list(first)[1:-1], "–"), "failure": "<out of memory>"}


def test_the_bounds_of_a_report_are_those_of_its_model_whatever_is_set_by_now(noisy, tmp_path, new_mlflow_database):
    new_mlflow_database(tmp_path)
    settings = operations(tmp_path, noisy).settings  # whose models have bounds with 90 % between them
    later = settings.model_copy(update={"coverage": 0.5, "quantile_levels": (0.25, 0.75)})
    text = Path(training_report.write(later, 2)).read_text()
    assert "90 % nominal" in text
    assert text == Path(training_report.write(settings, 2)).read_text()
