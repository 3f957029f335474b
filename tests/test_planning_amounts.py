"""Amounts that planners type are read as they are meant, or refused."""

import numpy as np
import pytest

from rossmann.planning.amounts import is_unlikely, parse_amount
from rossmann.validation import DataError


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8500", 8500), (" 8,500 ", 8500), ("8500.5", 8500.5), ("1,234,567.89", 1234567.89), ("0", 0), ("12.34", 12.34),
        ("+10%", 1100), ("-5 %", 950), ("+2.5%", 1025), ("-200%", 0), ("1234.567", 1234.567),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_it_is_meant(text, amount):
    assert parse_amount(text, forecast=1000) == pytest.approx(amount)


@pytest.mark.parametrize(
    "text",
    ["12.345,67", "8.100,50", "7500,5", "12.345", "abc", "", "10%", "-5", "1e4", "8 500", "85,00", "nan", "inf", "٣",
     "5 EUR"],
)  # fmt: skip
def test_what_could_mean_something_else_is_refused(text):
    with pytest.raises(DataError, match=r"write it like 8500 or 8500\.50"):
        parse_amount(text, forecast=1000)


def test_amounts_far_from_the_forecast_are_unlikely():
    amounts = np.array([12.35, 4000, 12_000, 36_000, 0])
    assert is_unlikely(amounts, np.full(5, 12_000)).tolist() == [True, True, False, True, True]
