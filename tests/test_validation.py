"""Contracts pass what is right, name each wrong row, and end in one report."""

import pickle
from datetime import date

import numpy as np
import pandas as pd
import pytest
from raw_files import raw_files

from rossmann.data import clean, days_frame, plan_frame, read_raw
from rossmann.sample import write_world
from rossmann.validation import (
    Checked,
    DataError,
    Repair,
    StageReport,
    ValidationError,
    check_clean,
    check_features,
    check_forecast,
    check_plan,
    check_raw,
    report_html,
    report_markdown,
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return read_raw(raw_files().write(tmp_path_factory.mktemp("raw")))


@pytest.fixture(scope="module")
def cleaned(raw):
    return clean(raw)


def failing(error):
    """Check and rows, of what failed."""
    return {check.check: check.failing for check in error.value.report.checks if check.failing}


def test_a_whole_sample_world_passes_every_check(tmp_path):
    write_world(str(tmp_path), stores=40, days=600, seed=2)
    world = read_raw(str(tmp_path))
    assert check_raw(world.days, world.stores, world.plan).passed
    made = clean(world)
    report = check_clean(days_frame(made.history), plan_frame(made.history), repairs=made.repairs)
    assert report.passed
    assert report.checks[0].rows == (~np.isnan(made.history.sales)).sum()


def test_the_report_counts_rows_and_failures_of_every_check(raw):
    days = raw.days.copy()
    days.loc[3:7, "Sales"] = -1
    days.loc[9, "Promo"] = np.nan
    with pytest.raises(ValidationError) as refusal:
        check_raw(days, raw.stores, raw.plan)
    assert failing(refusal) == {"Sales_not_negative": 5, "nothing_empty": 1}
    checks = {(check.where, check.check): check for check in refusal.value.report.checks}
    assert checks["train.csv", "Sales_not_negative"] == Checked("train.csv", "Sales_not_negative", 280, 5)
    assert checks["published plan", "known_store"] == Checked("published plan", "known_store", 192, 0)


def test_the_table_of_failures_has_check_file_line_key_and_value(raw):
    days = raw.days.copy()
    days.loc[[3, 5], "Sales"] = -7
    with pytest.raises(ValidationError) as refusal:
        check_raw(days, raw.stores, raw.plan)
    table = refusal.value.table
    assert table.columns.tolist() == ["check", "where", "problem", "line", "Store", "Date", "Sales"]
    assert table["line"].tolist() == [5, 7]
    assert table["Sales"].tolist() == [-7, -7]
    assert table["Store"].tolist() == days.loc[[3, 5], "Store"].tolist()


def test_a_failure_survives_the_way_between_processes(raw):
    with pytest.raises(ValidationError) as refusal:
        check_raw(raw.days.assign(DayOfWeek=9.0), raw.stores, raw.plan)
    back = pickle.loads(pickle.dumps(refusal.value))
    assert str(back) == str(refusal.value)
    assert back.report == refusal.value.report
    assert isinstance(back, DataError)


def test_a_store_may_sell_many_times_its_median_but_not_everything(raw):
    days = raw.days.copy()
    median = days.loc[(days["Store"] == 1) & (days["Sales"] > 0), "Sales"].median()
    row = days.index[(days["Store"] == 1) & (days["Sales"] > 0)][0]
    days.loc[row, "Sales"] = 19 * median
    assert check_raw(days, raw.stores, raw.plan).passed
    days.loc[row, "Sales"] = 22 * median
    with pytest.raises(ValidationError) as refusal:
        check_raw(days, raw.stores, raw.plan)
    assert failing(refusal) == {"Sales_usual_for_the_store": 1}


WRONG_CLEAN = {
    "no_sales_after_as_of": lambda d: d,
    "closed_means_zero_sales": lambda d: d.assign(Open=np.int8(0)),
    "amounts_finite_and_not_negative": lambda d: d.assign(Customers=np.inf),
    "codes_known": lambda d: d.assign(StateHoliday=np.int8(4)),
    "one_row_per_store_and_day": lambda d: pd.concat([d, d.tail(1)], ignore_index=True),
    "no_gap_in_a_store's_life": lambda d: d.drop(index=[20, 21]),
    "nothing_empty": lambda d: d.assign(Sales=d["Sales"].where(d.index != 4)),
}


@pytest.mark.parametrize("check", WRONG_CLEAN)
def test_each_check_of_the_cleaned_days_can_fail(check, cleaned):
    days = WRONG_CLEAN[check](days_frame(cleaned.history))
    as_of = date(2014, 3, 1) if check == "no_sales_after_as_of" else date(2014, 3, 16)
    with pytest.raises(ValidationError) as refusal:
        check_clean(days, plan_frame(cleaned.history), as_of)
    assert failing(refusal)[check] > 0


def test_the_gap_is_told_with_the_day_after_it_and_its_length(cleaned):
    days = days_frame(cleaned.history).drop(index=[20, 21])
    with pytest.raises(ValidationError, match=r"Store 1, Date 2014-01-28, days_missing 2"):
        check_clean(days, plan_frame(cleaned.history))


def test_a_feature_may_be_unknown_but_not_infinite():
    matrix = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    matrix[4:9, 1] = np.nan
    report = check_features(matrix, ["level", "slope", "lead"], never_unknown=["lead"])
    assert report.passed
    assert "3.3% of the cells unknown" in report.notes[0]
    matrix[7, 0] = np.inf
    with pytest.raises(ValidationError, match=r"1 row: infinite: level"):
        check_features(matrix, ["level", "slope", "lead"])


def test_a_feature_that_must_be_known_is_not_unknown():
    matrix = np.array([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(ValidationError, match="lead is empty"):
        check_features(matrix, ["level", "lead"], never_unknown=["lead"])


def test_a_feature_unknown_in_every_row_is_told_of():
    matrix = np.array([[1.0, np.nan], [2.0, np.nan]])
    assert "Unknown in every row: slope." in check_features(matrix, ["level", "slope"]).notes


def forecast(**changed):
    frame = pd.DataFrame(
        {
            "Store": np.array([1, 1, 2], np.int32),
            "Date": pd.to_datetime(["2014-03-17", "2014-03-18", "2014-03-17"]).astype("datetime64[s]"),
            "Sales": [5000.0, 0.0, 800.0],
            "Lower": [4000.0, 0.0, 700.0],
            "Upper": [6000.0, 0.0, 900.0],
        }
    )
    return frame.assign(**changed)


def test_a_sound_forecast_passes():
    assert check_forecast(forecast(), np.array([1, 0, 1])).passed


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"Sales": [5000.0, 5.0, 800.0], "Upper": [6000.0, 9.0, 900.0]}, "closed_days_are_zero"),
        ({"Lower": [5001.0, 0.0, 700.0]}, "lower_sales_upper_in_order"),
        ({"Upper": [np.inf, 0.0, 900.0]}, "finite_and_not_negative"),
        ({"Sales": [np.nan, 0.0, 800.0]}, "nothing_empty"),
        ({"Store": np.array([1, 1, 1], np.int32)}, "one_row_per_store_and_day"),
    ],
)
def test_an_unsound_forecast_is_refused(changed, check):
    with pytest.raises(ValidationError) as refusal:
        check_forecast(forecast(**changed), np.array([1, 0, 1]))
    assert check in failing(refusal)


def test_a_plan_is_checked_against_the_history_it_stands_on():
    plan = pd.DataFrame({"Store": [1.0, 2.0], "Date": pd.to_datetime(["2014-03-17", "2014-03-18"]).astype("M8[s]")})
    origin = np.datetime64("2014-03-16")
    assert check_plan(plan, np.array([1, 2]), origin, origin + 48).passed
    with pytest.raises(ValidationError) as refusal:
        check_plan(plan, np.array([1]), origin + 1, origin + 48)
    assert failing(refusal) == {"known_store": 1, "after_the_origin": 1}


STAGES = (
    StageReport("raw data", (Checked("train.csv", "known_store", 1234, 0),), notes=("Not used: <Weather>.",)),
    StageReport(
        "cleaned data",
        (Checked("clean days", "codes_known", 1230, 2),),
        (Repair("open_missing", "no Open", "open if it has sales", 11),),
    ),
)


def test_the_markdown_report_has_every_stage_check_repair_and_note():
    page = report_markdown(STAGES)
    for line in (
        "## raw data: passed",
        "Not used: <Weather>.",
        "| train.csv | known store | 1,234 | 0 |",
        "## cleaned data: 1 of 1 checks failed",
        "| clean days | codes known | 1,230 | **2** |",
        "| no Open | open if it has sales | 11 |",
    ):
        assert line in page.splitlines()


def test_the_html_report_says_the_same_and_is_escaped():
    page = report_html(STAGES)
    assert page.startswith("<!doctype html>")
    assert "<p>Not used: &lt;Weather&gt;.</p>" in page
    assert "<td>no Open</td><td>open if it has sales</td><td>11</td>" in page
    assert "<td>codes known</td><td>1,230</td><td>2</td>" in page
