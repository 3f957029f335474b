"""The files of any chain: which rows are set aside, which deliveries are refused, and with which words."""

import gzip
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rossmann.data import IngestResult, load_snapshot, read_history, require_raw_files, save_snapshot
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
    delivery.set("Café", "2014-04-04", "shop", "  ")
    result = delivery.read()
    rows = result.set_aside
    unplaced = rows[rows["check"] != "open_day_missing"]
    assert dict(zip(unplaced["check"], zip(unplaced["file"], unplaced["line"], strict=True), strict=True)) == {
        "readable_day": ("days.csv", 88),
        "plausible_date": ("days.csv", 91),
        "day_not_empty": ("days.csv", 229),
        "shop_not_empty": ("days.csv", 370),
    }
    missing = rows[rows["check"] == "open_day_missing"]
    assert missing["shop"].tolist() == ["7", "north", "north", "Café"]
    assert np.isnan(result.history.sales).sum() == 4
    with pytest.raises(ValidationError, match=r"4 of 420 days of stores .* would be set aside"):
        delivery.read(share=0.009)
    past = delivery.read(date(2014, 5, 1), share=0.009)
    assert set(past.set_aside["check"]) == {"shop_not_empty", "open_day_missing"}
