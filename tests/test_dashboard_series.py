"""What the pages draw, without a browser: sums of stores by day and by week."""

import numpy as np
import pandas as pd
import pytest

from rossmann import models
from rossmann.dashboard import final_forecast, series
from rossmann.dashboard.series import PublishedForecast
from rossmann.models import Quantiles, VarianceComponents
from rossmann.schema import DTYPES
from tests.support.chains import calendar_days, chain_history

DATES = np.datetime64("2015-06-01") + np.arange(14)  # from a Monday
EDGES = Quantiles((0.025, 0.5, 0.975), (-2.0, 0.0, 2.0), 0.95)


def forecast_of_two_weeks(shares: VarianceComponents | None) -> PublishedForecast:
    """100 a day in each of two stores, with a standard deviation of 1 %."""
    return PublishedForecast(np.full((2, 14), 100.0), np.full((2, 14), 0.01), EDGES, EDGES, shares)


def test_a_week_without_rows_a_year_before_has_no_amount_of_last_year():
    """The first week has none; the second one has a closed day, which is an amount of 0."""
    before = np.full((2, 14), np.nan)
    before[1, 9] = 0.0
    table = series.weekly_table(forecast_of_two_weeks(None), DATES, np.arange(2), before)
    np.testing.assert_array_equal(table.last_year, [np.nan, 0.0])
    assert table.change.isna().all()


def test_a_holiday_has_the_name_that_most_stores_have_for_it():
    """A founder's day in one of three stores, one for all, two at once, and one without a name in the files."""
    days = np.arange(len(calendar_days(60)))
    one_store = np.array([[1], [0], [0]])
    names = {
        "holiday Founder's day": one_store * (days == 3),
        "holiday New Year": days == 0,
        "holiday Labour Day": days == 9,
        "holiday Parade": days == 9,
        "holiday without a name": days == 12,
    }
    history = chain_history(60, 3, covariates=names)
    shown = series.holiday_names(history, np.arange(3), history.calendar.dates[:14])
    expected = {0: "New Year", 9: "Labour Day and Parade", 12: "public holiday"}
    assert dict(zip(np.flatnonzero(shown != ""), shown[shown != ""], strict=True)) == expected
    assert series.holiday_names(history, np.array([0]), history.calendar.dates[3:4]).tolist() == ["Founder's day"]


def test_a_holiday_of_kaggles_files_has_the_name_of_its_kind(noisy):
    """Its files have letters only: no name is invented."""
    kinds = noisy.calendar.holiday_kind[3]
    shown = series.holiday_names(noisy, np.array([3]), noisy.calendar.dates)
    words = np.array(["", "public holiday", "Easter", "Christmas"])
    np.testing.assert_array_equal(shown, words[kinds])
    assert set(kinds) == {0, 1, 2, 3}


def test_the_bands_of_a_fan_chart_have_the_interval_quantiles():
    """50, 80 and 95 % of the errors are between their edges, whatever levels tables have."""
    errors = np.random.default_rng(3).gamma(2, 1, 5_000) - 2
    published, edges = (
        models.calibrate(np.ones(5_000), errors, *each) for each in ((0.9,), (0.95, models.interval_levels()))
    )
    forecast = PublishedForecast(np.ones((1, 1)), np.ones((1, 1)), published, edges, None)
    sums = series.forecast_sums(forecast, np.array(["2015-08-01"], "M8[D]"), np.array([0]))
    assert [band.coverage for band in sums.bands] == [0.95, 0.8, 0.5]
    for band in sums.bands:
        inside = (np.log(band.lower) <= errors) & (errors <= np.log(band.upper))
        assert inside.mean() == pytest.approx(band.coverage, abs=0.002)


def test_a_model_without_interval_quantiles_shows_its_nearest_intervals():
    levels = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
    bands = series.fan_bands(Quantiles(levels, tuple(range(9)), 0.9))
    assert bands == ((0.9, "q05", "q95"), (0.8, "q10", "q90"), (0.6, "q20", "q80"))


@pytest.mark.parametrize(
    ("shares", "rows"),
    [
        (None, {"day": 2.0, "week": 14.0, "total": 28.0}),
        (VarianceComponents(1, 0, 0, 0, 0, 0), {"day": 2.0, "week": 14.0, "total": 28.0}),
        (VarianceComponents(0, 0, 0, 0, 0, 1), {"day": 2**0.5, "week": 14**0.5, "total": 28**0.5}),
        (VarianceComponents(0, 0, 1, 0, 0, 0), {"day": 2.0, "week": 2 * 7**0.5, "total": 2 * 14**0.5}),
        (VarianceComponents(0, 0, 0, 0, 1, 0), {"day": 2**0.5, "week": 7 * 2**0.5, "total": 7 * 4**0.5}),
    ],
)
def test_the_range_of_a_sum_is_as_wide_as_its_rows_err_together(shares, rows):
    """rows: of so many rows that err alike, the range would be equally wide. Bounds are 2 % below and above, nearly."""
    published, both = forecast_of_two_weeks(shares), np.arange(2)
    total = series.forecast_sums(published, DATES, both, [np.arange(14)]).bands[0]
    weeks = series.weekly_table(published, DATES, both, np.full((2, 14), np.nan))
    day = series.forecast_sums(published, DATES, both).bands[0]
    ranges = {"day": day.upper - day.lower, "week": weeks.upper - weeks.lower, "total": total.upper - total.lower}
    assert {name: values[0] / 4 for name, values in ranges.items()} == pytest.approx(rows, rel=1e-3)


def test_a_single_row_has_its_own_range():
    """However its error is made up."""
    published = forecast_of_two_weeks(VarianceComponents(0.1, 0.2, 0.1, 0.15, 0.05, 0.4))
    day = series.forecast_sums(published, DATES, np.array([1])).bands[0]
    np.testing.assert_allclose([day.lower, day.upper], 100 * np.exp([[-0.02] * 14, [0.02] * 14]))


def test_the_final_forecast_has_the_overrides_of_open_days_in_its_place():
    """Three stores × 14 days. One day has two overrides, of one store each; a closed one keeps its forecast of 0."""
    history = chain_history(60, 3, horizon_days=14)
    dates, numbers = history.calendar.dates[-14:], history.stores.number
    history.calendar.open[2, -1] = 0
    sales = np.where(history.calendar.open[:, -14:] == 1, 100.0, 0.0)
    published = PublishedForecast(sales, np.full((3, 14), 0.01), EDGES, EDGES, None)
    entries = pd.DataFrame(
        [(0, 3, 130.0, "a fair"), (1, 3, 90.0, "works"), (1, 4, 1.0, "a slip"), (1, 4, 60.0, "x" * 70),
         (0, 5, 10.0, "works"), (0, 5, np.nan, "no works"), (2, 13, 500.0, "a fair"), (2, 2, 7.0, "works")],
        columns=["store", "day", "amount", "reason"],
    )  # fmt: skip
    days_of = dates[entries.day].astype(DTYPES["date"])
    overrides = entries.assign(planner="Ana", store=numbers[entries.store], date=days_of)
    rows = final_forecast.final_rows(history, published, np.array([0, 1]), overrides)
    days = final_forecast.final_days(rows)
    np.testing.assert_array_equal(rows["forecast"].to_numpy().reshape(2, 14), sales[:2])
    expected = sales[:2].sum(axis=0)
    expected[[3, 4]] = [220, 160]
    np.testing.assert_array_equal(days["final"], expected)
    assert days["overrides"].tolist() == [0, 0, 0, 2, 1, *[0] * 9]
    assert days["note"].dropna().tolist() == ["2 stores", f"Ana: {'x' * 60}…"]
    third = final_forecast.final_rows(history, published, np.array([2]), overrides)
    assert third["final"].to_numpy()[[2, 13]].tolist() == [7, 0]
    sums, has_override = final_forecast.sum_periods(days, [np.arange(3), np.arange(3, 14)])
    assert sums.tolist() == pytest.approx([expected[:3].sum(), expected[3:].sum()])
    assert has_override.tolist() == [False, True]
