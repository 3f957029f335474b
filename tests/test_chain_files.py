"""The files of any chain: which rows are set aside, which deliveries are refused, and with which words."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rossmann import features
from rossmann.data import IngestResult, read_history
from rossmann.data.day_rules import MIN_MEDIAN_DAYS, far_above_median
from rossmann.validation import DataError, ValidationError

FIRST_DAY, DAYS = "2014-01-06", 140  # a Monday
STORES = ("north", "7", "Café")
MINIMAL = '[days]\nfile = "days.csv"\nstore = "shop"\ndate = "day"\nsales = "amount"\n'


@dataclass
class Delivery:
    """The files of a small chain, which a test changes and writes: a shop has a row every day."""

    days: pd.DataFrame
    folder: Path
    toml: str = MINIMAL
    others: dict[str, pd.DataFrame] = field(default_factory=dict)  # by name of the file

    def write(self) -> str:
        """Write the files. Returns their folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "chain.toml").write_text(self.toml)
        for name, table in ({"days.csv": self.days} | self.others).items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            table.to_parquet(self.folder / name) if name.endswith("parquet") else table.to_csv(
                self.folder / name, index=False
            )
        return str(self.folder)

    def read(self, as_of: date | None = None, share: float = 0.01) -> IngestResult:
        """Write and read the files."""
        return read_history(self.write(), as_of, max_set_aside_share=share)

    def set(self, store: str, day: str, column: str, value: object) -> None:
        """Change one cell."""
        self.days[column] = self.days[column].astype(object)
        self.days.loc[(self.days["shop"] == store) & (self.days["day"] == day), column] = value


def small_chain(folder: Path, days: int = DAYS, stores: tuple[str, ...] = STORES) -> Delivery:
    """Sales with a weekly pattern, in the order of the stores."""
    random, dates = np.random.default_rng(4), pd.date_range(FIRST_DAY, periods=days)
    week = np.array([1, 0.9, 0.9, 1, 1.3, 1.6, 1.2])[dates.dayofweek]
    rows = [
        pd.DataFrame(
            {
                "shop": store,
                "day": dates.strftime("%Y-%m-%d"),
                "amount": np.round(5000 * (1 + k / 5) * week * np.exp(random.normal(0, 0.1, days)), 2),
            }
        )
        for k, store in enumerate(stores)
    ]
    return Delivery(pd.concat(rows, ignore_index=True), folder)


@pytest.fixture
def delivery(tmp_path) -> Delivery:
    return small_chain(tmp_path / "raw")


SET_ASIDE = {
    "a return": (-5, "amount_not_negative"),
    "an empty amount": (None, "amount_not_empty"),
    "an amount that is no number": ("12,50", "readable_amount"),
    "a missing decimal point": (900_000, "amount_plausible_for_the_store"),
}


@pytest.mark.parametrize("case", SET_ASIDE)
def test_a_row_whose_amount_cannot_be_right_is_set_aside_with_its_reason(case, delivery):
    before = delivery.read().history
    value, check = SET_ASIDE[case]
    delivery.set("north", "2014-04-02", "amount", value)
    result = delivery.read()
    (row,) = result.set_aside.to_dict("records")
    assert (row["check"], row["file"], row["line"], row["shop"]) == (check, "days.csv", 88, "north")
    assert f"1 of 420 days of stores (0.24%) are set aside: {check}." in result.clean_report.notes
    is_unknown = np.isnan(result.history.sales)
    store, day = np.argwhere(is_unknown)[0]
    assert (result.history.stores.label[store], str(result.history.dates[day])) == ("north", "2014-04-02")
    np.testing.assert_array_equal(result.history.sales[~is_unknown], before.sales[~is_unknown])
    with pytest.raises(ValidationError, match=r"1 of 420 days of stores \(0\.24%\) would be set aside \(at most 0\.2%"):
        delivery.read(share=0.002)


def test_sales_of_a_closed_store_are_set_aside(delivery):
    delivery.days["open"] = 1
    delivery.toml = MINIMAL + 'open = "open"\n'
    delivery.set("north", "2014-04-02", "open", 0)
    (row,) = delivery.read().set_aside.to_dict("records")
    assert (row["check"], row["shop"], row["open"]) == ("closed_means_zero_sales", "north", 0)


def test_rows_of_no_day_or_no_store_are_set_aside_with_file_and_line(delivery):
    delivery.set("north", "2014-04-02", "day", "2. April")
    delivery.set("north", "2014-04-05", "day", "2114-04-05")
    delivery.set("7", "2014-04-03", "day", None)
    delivery.set("7", "2014-04-09", "day", "2041-04-09")
    delivery.set("Café", "2014-04-04", "shop", "  ")
    result = delivery.read(share=0.012)
    rows = result.set_aside
    unplaced = rows[rows["check"] != "open_day_missing"]
    assert dict(zip(unplaced["check"], zip(unplaced["file"], unplaced["line"], strict=True), strict=True)) == {
        "readable_day": ("days.csv", 88),
        "plausible_date": ("days.csv", 91),
        "day_not_empty": ("days.csv", 229),
        "no_stray_dates": ("days.csv", 235),
        "shop_not_empty": ("days.csv", 370),
    }
    missing = rows[rows["check"] == "open_day_missing"]
    assert sorted(missing["shop"]) == ["7", "7", "Café", "north", "north"]
    assert np.isnan(result.history.sales).sum() == 5
    with pytest.raises(ValidationError, match=r"5 of 420 days of stores .* would be set aside"):
        delivery.read(share=0.011)
    past = delivery.read(date(2014, 5, 1), share=0.009)
    assert set(past.set_aside["check"]) == {"shop_not_empty", "open_day_missing"}


def test_a_true_peak_is_accepted_by_its_name_and_other_faults_of_the_row_are_not(delivery):
    delivery.set("Café", "2014-04-02", "amount", 900_000)
    delivery.set("7", "2014-04-02", "amount", -900_000)
    delivery.toml = MINIMAL + 'accept = ["Café@2014-04-02", "7@2014-04-02", "Café@2014-04-99x", "south@2014-04-02"]\n'
    with pytest.raises(DataError, match=r"days\.accept.*Café@2014-04-99x"):
        delivery.read()
    delivery.toml = delivery.toml.replace('"Café@2014-04-99x", ', "")
    result = delivery.read()
    assert result.set_aside["check"].tolist() == ["amount_not_negative"]
    assert np.nanmax(result.history.sales) == 900_000
    (note,) = result.raw_report.notes
    assert note == "chain.toml accepts rows that do not exist: south@2014-04-02. Correct days.accept."


def test_no_later_row_changes_what_is_said_of_a_row(delivery):
    falling = np.repeat([1000.0, 1.0], [40, DAYS - 40])  # a store that shrinks: its median ends at a 1000th
    delivery.days.loc[delivery.days["shop"] == "7", "amount"] *= falling
    delivery.set("north", "2014-02-10", "amount", 900_000)
    whole = delivery.read(share=0.5).set_aside
    assert whole[["shop", "line"]].values.tolist() == [["north", 37]]
    for as_of in (date(2014, 2, 9), date(2014, 2, 10), date(2014, 3, 1)):
        past = delivery.read(as_of, share=0.5).set_aside
        assert past.to_dict("records") == [row for row in whole.to_dict("records") if row["day"] <= pd.Timestamp(as_of)]


def test_a_median_up_to_each_day_is_that_of_a_slow_loop():
    random = np.random.default_rng(2)
    store, day, amount = random.integers(0, 3, 400), random.permutation(400), np.exp(random.normal(0, 2, 400))
    amount[random.random(400) < 0.1] = 0
    expected = np.zeros(400, dtype=bool)
    for row in np.flatnonzero(amount > 0):
        past = amount[(store == store[row]) & (day <= day[row]) & (amount > 0)]
        expected[row] = len(past) >= MIN_MEDIAN_DAYS and amount[row] > 20 * np.median(past)
    assert 5 < expected.sum() < 100
    np.testing.assert_array_equal(far_above_median(store, day, amount), expected)


@pytest.mark.parametrize("frequency", ["W-MON", "MS"])
def test_sales_by_week_or_month_are_refused_as_such(frequency, tmp_path):
    delivery = small_chain(tmp_path / "raw", 400)
    dates = pd.date_range(FIRST_DAY, "2015-12-31", freq=frequency).strftime("%Y-%m-%d")
    delivery.days = delivery.days[delivery.days["day"].isin(dates)]
    with pytest.raises(ValidationError, match="as in sales by week or month") as refusal:
        delivery.read()
    assert [violation.check for violation in refusal.value.violations] == ["daily"]


def test_one_missing_day_of_a_store_is_unknown_closed_or_refused_as_the_chain_says(delivery):
    is_missing = (delivery.days["shop"] == "7") & (delivery.days["day"] == "2014-04-02")
    delivery.days = delivery.days[~is_missing]
    history = delivery.read(share=0).history
    day = history.dates == np.datetime64("2014-04-02")
    assert np.isnan(history.sales[:, day].ravel()).tolist() == [True, False, False], "stores are by their numbers"
    delivery.toml = MINIMAL + 'missing = "closed"\n'
    closed = delivery.read().history
    assert (closed.sales[0, day], closed.calendar.open[0, np.flatnonzero(day)]) == (0, 0)
    delivery.toml = MINIMAL + 'missing = "refuse"\n'
    with pytest.raises(ValidationError, match="every_day_has_a_row") as refusal:
        delivery.read()
    assert refusal.value.table[["shop", "day"]].values.tolist() == [["7", pd.Timestamp("2014-04-02")]]


@pytest.mark.parametrize("stores", [STORES, ("north",)])
def test_a_store_and_a_chain_that_were_closed_for_months_keep_the_gap(stores, tmp_path):
    delivery = small_chain(tmp_path / "raw", 300, stores)
    in_gap = (delivery.days["shop"] == "north") & delivery.days["day"].between("2014-04-01", "2014-06-30")
    delivery.days = delivery.days[~in_gap]
    delivery.toml = MINIMAL + 'missing = "closed"\n'
    result = delivery.read()
    gap = np.isnan(result.history.sales[result.history.stores.label == "north"][0])
    assert (gap.sum(), len(result.set_aside)) == (91, 0)
    assert np.isfinite(features.fit_state(result.history).ridge.coefficients).all()
