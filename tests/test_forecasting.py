"""Forecast tables: their columns, their totals, the change against a year before, and their plots."""

import numpy as np
import pandas as pd
import pytest

from rossmann import features, figures, forecasting, models
from rossmann.schema import DAY, HORIZON_DAYS, WEEKS_YEAR_DAYS

BANDS = ((0.9, "lower", "upper"), (0.4, "lower", "forecast"))


@pytest.fixture
def table(toy) -> pd.DataFrame:
    """A forecast of 1.1 times the sales of 364 days before, for all stores."""
    plan = toy.plan(toy.origin, HORIZON_DAYS)
    forecast = toy.take("sales", plan.store, plan.date - WEEKS_YEAR_DAYS * DAY) * 1.1
    dates = plan.date.astype("datetime64[s]")
    columns = {"forecast": forecast, "lower": forecast * 0.9, "upper": forecast * 1.2}
    return pd.DataFrame({"store": plan.store, "date": dates, **columns})


def test_a_summary_has_totals_and_the_change_against_the_same_weekdays_a_year_before(toy, table):
    summary = forecasting.summarise(table, toy)
    assert (summary.rows, summary.stores) == (3 * HORIZON_DAYS, 3)
    assert (summary.first_day, summary.last_day) == ("2015-02-10", "2015-03-29")
    assert summary.total == pytest.approx(table["forecast"].sum())
    assert summary.year_over_year == pytest.approx(0.1)


def test_rows_without_sales_a_year_before_do_not_count_in_the_change(toy, table):
    before_first_day = table.assign(date=table["date"] - pd.Timedelta(days=400))
    assert np.isnan(forecasting.summarise(before_first_day, toy).year_over_year)
    mixed = pd.concat([table, before_first_day.assign(forecast=1e9)])
    assert forecasting.summarise(mixed, toy).year_over_year == pytest.approx(0.1)


def test_a_csv_has_plain_names_two_decimals_and_iso_dates(table):
    lines = forecasting.to_csv_bytes(table).decode().splitlines()
    assert lines[:2] == [
        "store,date,forecast,lower,upper",
        "1,2015-02-10,1100.00,990.00,1320.00",
    ]  # a Tuesday without promo


def test_a_csv_of_small_amounts_has_as_many_digits(table):
    amounts = ["forecast", "lower", "upper"]
    lines = forecasting.to_csv_bytes(table.assign(**{name: table[name] / 5000 for name in amounts})).decode()
    assert lines.splitlines()[1] == "1,2015-02-10,0.2200000,0.1980000,0.2640000"
    assert b",0.00," in forecasting.to_csv_bytes(table.assign(forecast=0.0))


def test_a_table_has_a_column_for_each_quantile_and_the_bounds_are_two_of_them(toy):
    plan = toy.plan(toy.origin, HORIZON_DAYS)
    quantiles = models.calibrate(np.ones(99), np.linspace(-2, 2, 99), coverage=0.9)
    forecaster = models.fit(models.default_candidate("ridge"), (), toy.origin, 7).with_quantiles(quantiles)
    forecast = forecaster.predict(features.fit_state(toy), plan)
    table = forecasting.forecast_table(plan, forecast, quantiles)
    names = ["q05", "q10", "q20", "q30", "q40", "q50", "q60", "q70", "q80", "q90", "q95"]
    assert list(table.columns) == ["store", "date", "forecast", "lower", "upper", *names]
    assert (table.q05 == table.lower).all()
    assert (table.q95 == table.upper).all()
    is_open = plan.open == 1
    assert (np.diff(table.loc[is_open, names]) > 0).all()
    assert (table.loc[~is_open, names] == 0).all(axis=None)


@pytest.mark.parametrize("rows", [slice(None), slice(0, 3)], ids=["all rows", "three days of one store"])
def test_a_forecast_is_plotted_with_few_and_with_many_days(rows, toy, table):
    assert figures.forecast_figure(toy, table.iloc[rows], "title", BANDS).startswith(b"\x89PNG")


def test_a_picture_takes_another_font_for_what_its_own_lacks_and_says_once_what_no_font_has(caplog):
    """Matplotlib warns of each character without a glyph, and a warning is an error here."""
    in_another_font, in_no_font = "\u1d8a", "\U000afffd"
    figures.importance_figure({in_another_font: 0.7, "Köln": 0.3})
    assert caplog.messages == []
    for share in (0.6, 0.7):
        assert figures.importance_figure({in_no_font: share}).startswith(b"\x89PNG")
    (message,) = caplog.messages
    assert f"no font of this machine has {in_no_font}: pictures show boxes" in message
