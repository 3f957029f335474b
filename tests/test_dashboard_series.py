"""What the pages draw, without a browser: sums of stores by day and by week."""

import numpy as np

from rossmann.dashboard import series
from rossmann.dashboard.series import Band, Fan
from tests.support.chains import calendar_days, chain_history


def test_a_week_without_rows_a_year_before_has_no_amount_of_last_year():
    """The first week has none; the second one has a closed day, which is an amount of 0."""
    dates = np.datetime64("2015-06-01") + np.arange(14)
    amounts = np.ones(14)
    before = np.full((2, 14), np.nan)
    before[1, 9] = 0.0
    table = series.weeks(Fan(dates, amounts, (Band(0.95, amounts, amounts),)), np.ones((2, 14)), before)
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
    shown = series.holidays(history, np.arange(3), history.calendar.dates[:14])
    expected = {0: "New Year", 9: "Labour Day and Parade", 12: "public holiday"}
    assert dict(zip(np.flatnonzero(shown != ""), shown[shown != ""], strict=True)) == expected
    assert series.holidays(history, np.array([0]), history.calendar.dates[3:4]).tolist() == ["Founder's day"]


def test_a_holiday_of_kaggles_files_has_the_name_of_its_kind(noisy):
    """Its files have letters only: no name is invented."""
    kinds = noisy.calendar.holiday_kind[3]
    shown = series.holidays(noisy, np.array([3]), noisy.calendar.dates)
    words = np.array(["", "public holiday", "Easter", "Christmas"])
    np.testing.assert_array_equal(shown, words[kinds])
    assert set(kinds) == {0, 1, 2, 3}
