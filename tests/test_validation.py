"""Contracts accept valid tables, name every failing row of others, and all results are in one report."""

import pickle
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from rossmann.data import RawFiles, check_raw, clean, days_frame, plan_frame, raw_tables, read_raw, unusable_amounts
from rossmann.simulation import write_sample
from rossmann.validation import (
    CheckResult,
    DataError,
    Repair,
    StageReport,
    ValidationError,
    check_clean,
    check_features,
    check_forecast,
    check_plan,
    report_html,
    report_markdown,
    report_title,
)
from tests.support.raw_files import raw_files


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> RawFiles:
    return read_raw(raw_files().write(tmp_path_factory.mktemp("raw")))


@pytest.fixture(scope="module")
def cleaning(raw):
    return clean(raw_tables(raw))


def failing(refusal):
    """Failing rows of each check that failed."""
    return {check.check: check.failing for check in refusal.value.report.checks if check.failing}


def test_a_whole_sample_passes_every_check(tmp_path):
    write_sample(str(tmp_path), stores=40, days=600, seed=2)
    sample = read_raw(str(tmp_path))
    assert check_raw(sample).passed
    result = clean(raw_tables(sample))
    report = check_clean(
        days_frame(result.history), plan_frame(result.history), result.set_aside_days, repairs=result.repairs
    )
    assert report.passed
    assert report.checks[0].rows == (~np.isnan(result.history.sales)).sum()


def test_the_report_counts_rows_and_failures_of_every_check(raw):
    days = raw.days.copy()
    days.loc[3:7, "DayOfWeek"] = 9
    days.loc[9, "Promo"] = np.nan
    with pytest.raises(ValidationError) as refusal:
        check_raw(replace(raw, days=days))
    assert failing(refusal) == {"day_of_week_agrees": 5, "no_empty_cells": 1}
    checks = {(check.where, check.check): check for check in refusal.value.report.checks}
    assert checks["train.csv", "day_of_week_agrees"] == CheckResult("train.csv", "day_of_week_agrees", 280, 5)
    assert checks["published plan", "store_exists"] == CheckResult("published plan", "store_exists", 192, 0)


def test_the_table_of_failures_has_check_file_line_key_and_value(raw):
    days = raw.days.copy()
    days.loc[[3, 5], "Promo"] = 7
    with pytest.raises(ValidationError) as refusal:
        check_raw(replace(raw, days=days))
    table = refusal.value.table
    assert table.columns.tolist() == ["check", "where", "problem", "line", "Store", "Date", "Promo"]
    assert table["line"].tolist() == [5, 7]
    assert table["Promo"].tolist() == [7, 7]
    assert table["Store"].tolist() == days.loc[[3, 5], "Store"].tolist()


def test_a_validation_error_can_be_sent_to_another_process(raw):
    with pytest.raises(ValidationError) as refusal:
        check_raw(replace(raw, days=raw.days.assign(DayOfWeek=9.0)))
    copy = pickle.loads(pickle.dumps(refusal.value))
    assert str(copy) == str(refusal.value)
    assert copy.report == refusal.value.report
    assert isinstance(copy, DataError)


def test_sales_of_a_day_may_be_19_times_the_median_of_the_store_but_not_22_times(raw):
    days = raw.days.copy()
    has_sales = (days["Store"] == 1) & (days["Sales"] > 0)
    median, row = days.loc[has_sales, "Sales"].median(), days.index[has_sales][0]
    days.loc[row, "Sales"] = 19 * median
    assert not unusable_amounts(days)[0].any()
    days.loc[row, "Sales"] = 22 * median
    is_unusable, violations = unusable_amounts(days)
    assert days.index[is_unusable].tolist() == [row]
    assert [violation.check for violation in violations] == ["Sales_plausible_for_the_store"]


INVALID_DAYS = {
    "no_sales_after_as_of": lambda d: d,
    "closed_means_zero_sales": lambda d: d.assign(open=np.int8(0)),
    "amounts_finite_and_not_negative": lambda d: d.assign(traffic=np.inf),
    "valid_codes": lambda d: d.assign(holiday_kind=np.int8(4)),
    "one_row_per_store_and_day": lambda d: pd.concat([d, d.tail(1)], ignore_index=True),
    "no_empty_cells": lambda d: d.assign(sales=d["sales"].where(d.index != 4)),
}


@pytest.mark.parametrize("check", INVALID_DAYS)
def test_each_check_of_the_clean_days_can_fail(check, cleaning):
    days = INVALID_DAYS[check](days_frame(cleaning.history))
    as_of = date(2014, 3, 1) if check == "no_sales_after_as_of" else date(2014, 3, 16)
    with pytest.raises(ValidationError) as refusal:
        check_clean(days, plan_frame(cleaning.history), cleaning.set_aside_days, as_of)
    assert failing(refusal)[check] > 0


def test_a_day_that_is_set_aside_in_most_stores_is_refused(cleaning):
    days, plan = days_frame(cleaning.history), plan_frame(cleaning.history)
    set_aside = days[["store", "date"]].head(2).assign(has_row=False, share=[0.5, 0.51])
    with pytest.raises(ValidationError, match=r"1 row: most stores .*\n.*store 1, date 2014-01-07, has_row False"):
        check_clean(days, plan, set_aside)


def test_a_feature_may_be_unknown_but_not_infinite():
    matrix = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    matrix[4:9, 1] = np.nan
    report = check_features(matrix, ["level", "slope", "lead"], required=["lead"])
    assert report.passed
    assert "3.3% of the cells unknown" in report.notes[0]
    matrix[7, 0] = np.inf
    with pytest.raises(ValidationError, match=r"1 row: infinite: level"):
        check_features(matrix, ["level", "slope", "lead"])


def test_a_required_feature_must_not_be_unknown():
    matrix = np.array([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(ValidationError, match="lead is empty"):
        check_features(matrix, ["level", "lead"], required=["lead"])


def test_a_feature_that_is_unknown_in_every_row_is_reported():
    matrix = np.array([[1.0, np.nan], [2.0, np.nan]])
    assert "Unknown in every row: slope." in check_features(matrix, ["level", "slope"]).notes


def forecast(**columns):
    table = pd.DataFrame(
        {
            "store": np.array([1, 1, 2], np.int32),
            "date": pd.to_datetime(["2014-03-17", "2014-03-18", "2014-03-17"]).astype("datetime64[s]"),
            "forecast": [5000.0, 0.0, 800.0],
            "lower": [4000.0, 0.0, 700.0],
            "upper": [6000.0, 0.0, 900.0],
            "q20": [4500.0, 0.0, 750.0],
            "q80": [5500.0, 0.0, 850.0],
        }
    )
    return table.assign(**columns)


def test_a_possible_forecast_passes():
    assert check_forecast(forecast(), np.array([1, 0, 1]), ("q20", "q80")).passed


@pytest.mark.parametrize(
    ("columns", "check"),
    [
        ({"forecast": [5000.0, 5.0, 800.0], "upper": [6000.0, 9.0, 900.0]}, "closed_days_are_zero"),
        ({"lower": [5001.0, 0.0, 700.0]}, "lower_forecast_upper_in_order"),
        ({"upper": [np.inf, 0.0, 900.0]}, "finite_and_not_negative"),
        ({"q20": [-1.0, 0.0, 750.0]}, "finite_and_not_negative"),
        ({"q20": [5501.0, 0.0, 750.0]}, "quantiles_in_order"),
        ({"q80": [np.nan, 0.0, 850.0]}, "no_empty_cells"),
        ({"forecast": [np.nan, 0.0, 800.0]}, "no_empty_cells"),
        ({"store": np.array([1, 1, 1], np.int32)}, "one_row_per_store_and_day"),
    ],
)
def test_an_impossible_forecast_is_refused(columns, check):
    with pytest.raises(ValidationError) as refusal:
        check_forecast(forecast(**columns), np.array([1, 0, 1]), ("q20", "q80"))
    assert check in failing(refusal)


def test_a_plan_is_checked_against_stores_and_origin_of_the_history():
    plan = pd.DataFrame({"store": [1.0, 2.0], "date": pd.to_datetime(["2014-03-17", "2014-03-18"]).astype("M8[s]")})
    origin = np.datetime64("2014-03-16")
    assert check_plan(plan, np.array([1, 2]), origin, origin + 48).passed
    with pytest.raises(ValidationError) as refusal:
        check_plan(plan, np.array([1]), origin + 1, origin + 48)
    assert failing(refusal) == {"store_exists": 1, "after_the_origin": 1}


STAGES = (
    StageReport("raw data", (CheckResult("train.csv", "store_exists", 1234, 0),), notes=("Not used: <Weather>.",)),
    StageReport(
        "cleaned data",
        (CheckResult("clean days", "valid_codes", 1230, 2),),
        (Repair("open_missing", "no Open", "open if it has sales", 11),),
    ),
)


def test_the_markdown_report_has_every_stage_check_repair_and_note():
    page = report_markdown(STAGES)
    for line in (
        "## raw data: passed",
        "Not used: <Weather>.",
        "| train.csv | store exists | 1,234 | 0 |",
        "## cleaned data: 1 of 1 checks failed",
        "| clean days | valid codes | 1,230 | **2** |",
        "| 11 | no Open | open if it has sales |",
    ):
        assert line in page.splitlines()


def test_the_title_has_the_result_of_every_stage():
    assert report_title(STAGES) == "raw data: passed; cleaned data: 1 of 1 checks failed"


def test_the_html_report_has_the_same_content_and_is_escaped():
    page = report_html(STAGES)
    assert page.startswith("<!doctype html>")
    assert "<p>Not used: &lt;Weather&gt;.</p>" in page
    assert "<td>11</td><td>no Open</td><td>open if it has sales</td>" in page
    assert "<td>valid codes</td><td>1,230</td><td>2</td>" in page
