"""The public benchmark: the rebuilt data set, quantiles from earlier windows only, and the check of the task."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.fev import published, task
from benchmarks.fev.__main__ import write_model
from benchmarks.fev.forecasts import INFERENCE, LINEAR, TRAINING, add_blend, linear_forecast
from rossmann import features
from rossmann.models.training_windows import linear_base
from rossmann.schema import DAY, HORIZON_DAYS
from rossmann.validation import DataError

ORIGINS = np.array(["2014-05-23", "2014-07-10", "2014-08-27"], "datetime64[D]")  # their windows do not overlap


@pytest.fixture(scope="module")
def windows(noisy):
    return {origin: linear_forecast(noisy, origin) for origin in ORIGINS}


def written(noisy, windows, folder):
    """The predictions of all windows but the first, which calibrates the second: [windows, series, days, levels]."""
    first, *later = windows
    write_model(LINEAR, noisy, {origin: windows[origin] for origin in later}, windows[first], folder)
    tables = [pq.read_table(folder / "predictions" / LINEAR / f"{origin}.parquet") for origin in later]
    return np.array([[table[str(level)].to_pylist() for level in task.LEVELS] for table in tables]).transpose(
        0, 2, 3, 1
    )


def test_quantiles_do_not_see_the_sales_of_their_own_window_or_of_later_ones(noisy, windows, tmp_path):
    position = int(noisy.calendar.positions(ORIGINS[2])) + 1
    other_sales = noisy.sales.copy()
    other_sales[:, position:] *= 3
    predictions = written(noisy, windows, tmp_path / "a")
    with_other_sales = written(replace(noisy, sales=other_sales), windows, tmp_path / "b")
    np.testing.assert_array_equal(predictions, with_other_sales)
    earlier_sales = noisy.sales.copy()
    earlier_sales[:, : position - 1] *= 3
    with_earlier_sales = written(replace(noisy, sales=earlier_sales), windows, tmp_path / "c")
    assert (with_earlier_sales[1] > predictions[1]).any()


def test_predictions_are_in_the_order_of_the_series_by_text_with_0_on_closed_days(noisy, windows, tmp_path):
    predictions = written(noisy, windows, tmp_path)[0]
    days = slice(int(noisy.calendar.positions(ORIGINS[1])) + 1, None)
    names = [str(number) for number in noisy.stores.number]
    for series, name in zip(predictions, sorted(names), strict=True):
        is_open = noisy.calendar.open[names.index(name), days][:HORIZON_DAYS] == 1
        assert (series[is_open] > 0).all()
        assert (series[~is_open] == 0).all()
        assert (np.diff(series, axis=1) >= 0).all()


def test_the_point_forecast_is_the_median_without_the_correction_for_rmspe(noisy, windows):
    origin, rows = ORIGINS[0], windows[ORIGINS[0]]
    state = features.fit_state(noisy.until(origin, HORIZON_DAYS))
    plan_rows = features.join_plan(state, noisy.plan(origin, HORIZON_DAYS))
    expected = np.where(plan_rows.open, np.exp(linear_base(plan_rows)), 0)
    np.testing.assert_allclose(rows[LINEAR], expected)


def test_in_the_blend_boosters_of_past_days_have_half_the_weight_of_the_others():
    table = pd.DataFrame({LINEAR: [1.0], "lightgbm_calendar": [1.0], "lightgbm": [32.0], "xgboost": [1.0]})
    seconds = dict.fromkeys(table, 1.0)
    table.attrs = {TRAINING: seconds.copy(), INFERENCE: seconds.copy()}
    add_blend(table, windows_seconds=0.0)
    assert table["blend"].tolist() == pytest.approx([32 ** (2 / 5)])


def test_the_data_set_has_every_day_of_every_store_and_nothing_after_the_last_window(tmp_path):
    last = task.FIRST_ORIGIN + (HORIZON_DAYS + 5) * DAY
    days = pd.date_range("2014-04-01", last)
    columns = {"Sales": 5, "Customers": 1, "Open": 1, "Promo": 0, "StateHoliday": "0", "SchoolHoliday": 0}
    rows = pd.DataFrame({"Store": np.repeat([9, 10], len(days)), "Date": np.tile(days, 2), "DayOfWeek": 1, **columns})
    rows.drop(index=3).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame({"Store": [9, 10], "StoreType": ["a", "b"]}).to_csv(tmp_path / "store.csv", index=False)
    table = task.dataset(tmp_path)
    assert table[task.SERIES].unique().tolist() == ["10", "9"]
    assert table.groupby(task.SERIES)[task.TIMESTAMP].count().tolist() == [len(days) - 5] * 2
    assert table[task.TIMESTAMP].max() == pd.Timestamp("2014-05-25")
    assert table.loc[table[task.TARGET].isna(), [task.SERIES, task.TIMESTAMP]].values.tolist() == [["9", days[3]]]
    assert task.definition(tmp_path / "x", tmp_path, 1)["static_columns"] == ["StoreType"]


@pytest.mark.parametrize(
    ("last", "count"), [("2014-05-24", 0), ("2014-05-25", 1), ("2015-06-13", 9), ("2015-08-31", 10)]
)
def test_only_windows_with_all_their_days_are_scored(last, count):
    if not count:
        with pytest.raises(DataError, match=r"ends on 2014-05-24, and the first window on 2014-05-25"):
            task.window_origins(np.datetime64(last))
        return
    assert len(task.window_origins(np.datetime64(last))) == count


@pytest.mark.parametrize("wrong", [0.7405, np.nan])
def test_another_seasonal_naive_than_the_published_one_stops_the_benchmark(wrong):
    published.check_seasonal_naive([0.869341, 0.740413])
    with pytest.raises(DataError, match=r"on window 2; 0.740413 is published, so this is not the published task"):
        published.check_seasonal_naive([0.869341, wrong])
