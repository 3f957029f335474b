"""Numbers as text: signs, roundings and what stands where there is no number."""

import math

from rossmann.dashboard import formats
from rossmann.number_formats import amount, change, percent, signed_percent, signed_points, unsigned_zero


def test_a_number_that_rounds_to_zero_has_no_sign():
    assert [change(value) for value in (0.0, -0.4, 0.6, -1234.5)] == ["0", "0", "+1", "-1,234"]
    assert [signed_percent(share) for share in (0.0004, -0.0004, 0.0005001, -0.032)] == [
        "0.0 %", "0.0 %", "+0.1 %", "-3.2 %",
    ]  # fmt: skip
    assert [signed_points(share) for share in (-0.0001, 0.1)] == ["0.0", "+10.0"]
    assert [unsigned_zero(text) for text in ("-0.0%", "+0", "+10", "-0.5%")] == ["0.0%", "0", "+10", "-0.5%"]


def test_where_there_is_no_number_stands_a_dash():
    functions = (amount, change, percent, signed_percent, signed_points, formats.points)
    assert {function(math.nan) for function in functions} == {"–"}


def test_large_amounts_have_separators_and_a_percentage_as_many_decimals_as_asked_for():
    assert (amount(1_234_567.8), change(12_345), percent(0.0834), percent(0.95, 0)) == (
        "1,234,568", "+12,345", "8.3 %", "95 %",
    )  # fmt: skip
    assert formats.points(-0.003) == "-0.3 points"
