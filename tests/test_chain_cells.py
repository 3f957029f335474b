"""Cells of covariates and holidays that a chain's files leave empty, repeat, or have out of all bounds."""

import numpy as np
import pandas as pd
import pytest

from rossmann.validation import DataError
from tests.test_chain_files import MINIMAL, STORES, Delivery, small_chain

DEAL = '[known]\ndeal = {{ column = "deal", kind = "{kind}" }}\n'


@pytest.fixture
def delivery(tmp_path) -> Delivery:
    return small_chain(tmp_path / "raw", 420)


@pytest.mark.parametrize(
    ("kind", "name", "cell"), [("flag", "flag deal", 1), ("category", "flag deal=2 for 1", "2 for 1")]
)
def test_an_empty_cell_beside_marked_days_is_no_deal(kind, name, cell, delivery):
    """It was taken for unknown: all stores got the deal of one, and those of 52 weeks before."""
    is_deal = (delivery.days["shop"] == "7") & (delivery.days["day"] == "2014-02-03")
    delivery.days["deal"] = np.where(is_deal, cell, None)
    if kind == "category":
        delivery.days.loc[0, "deal"] = "gift"
    delivery.toml = MINIMAL + DEAL.format(kind=kind)
    calendar = delivery.read().history.calendar
    values = calendar.covariates[calendar.covariate_names.tolist().index(name)]
    assert values.sum() == 1


def test_a_flag_of_a_promotion_may_be_empty_in_the_plan(delivery):
    delivery.days["deal"] = np.where(delivery.days["day"].str.endswith("7"), 1, None)
    plan = [(store, f"2015-03-{day:02d}") for store in STORES for day in range(2, 16)]
    delivery.others["plan.csv"] = pd.DataFrame(plan, columns=["shop", "day"]).assign(deal=[1] + [None] * 41)
    delivery.toml = MINIMAL + DEAL.format(kind="flag").replace("deal =", "promo =") + '[plan]\nfile = "plan.csv"\n'
    history = delivery.read().history
    assert history.calendar.promotion[:, len(history.dates) :][:, :14].sum() == 1


def test_two_holidays_on_one_day_both_count_and_one_without_a_name_is_a_holiday(delivery):
    days = ["2014-05-01", "2014-05-01", "2014-06-02", "2014-06-02"]
    names = ["Labour Day", "Ascension", None, None]
    delivery.others["feasts.csv"] = pd.DataFrame({"date": days, "name": names})
    delivery.toml = MINIMAL + '[holidays]\nfile = "feasts.csv"\n'
    calendar = delivery.read().history.calendar
    assert calendar.covariate_names.tolist() == ["holiday Ascension", "holiday Labour Day", "holiday without a name"]
    np.testing.assert_array_equal(calendar.covariates[:, 0].sum(axis=1), 1)
    assert (calendar.holiday_kind[0] > 0).sum() == 2


def test_a_number_beyond_all_bounds_is_refused(delivery):
    delivery.days["deal"] = 1.0
    delivery.days.loc[7, "deal"] = 1e300
    delivery.toml = MINIMAL + DEAL.format(kind="number")
    with pytest.raises(DataError, match=r"known.deal: 1e\+300 is too large"):
        delivery.read()


def test_a_store_that_is_called_like_an_empty_cell_is_told_so(delivery):
    delivery.days["shop"] = delivery.days["shop"].replace("7", "NA")
    with pytest.raises(DataError, match="shop is empty, or one of the words for empty cells: NA, "):
        delivery.read()


def test_sales_that_are_0_everywhere_are_refused(delivery):
    delivery.days["amount"] = 0
    with pytest.raises(DataError, match=r"No row has amount above 0.*days.sales"):
        delivery.read()
