"""What the pages draw, without a browser: sums of stores by day and by week."""

import numpy as np

from rossmann.dashboard import series
from rossmann.dashboard.series import Band, Fan


def test_a_week_without_rows_a_year_before_has_no_amount_of_last_year():
    """The first week has none; the second one has a closed day, which is an amount of 0."""
    dates = np.datetime64("2015-06-01") + np.arange(14)
    amounts = np.ones(14)
    before = np.full((2, 14), np.nan)
    before[1, 9] = 0.0
    table = series.weeks(Fan(dates, amounts, (Band(0.95, amounts, amounts),)), np.ones((2, 14)), before)
    np.testing.assert_array_equal(table.last_year, [np.nan, 0.0])
    assert table.change.isna().all()
