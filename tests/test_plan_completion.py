"""Planned days that the plan leaves out: holidays by the calendar, and stores open as they usually are."""

from datetime import date

import holidays
import numpy as np
import pandas as pd
import pytest

from rossmann.data import SalesHistory, read_history
from rossmann.data.holiday_calendar import holiday_calendar
from rossmann.schema import HOLIDAY_KINDS, SATURDAY, weekday
from rossmann.simulation import write_sample
from tests.support.raw_files import RawFiles, raw_files

CHRISTMAS, NEW_YEAR = ("2014-12-25", "2014-12-26"), "2015-01-01"
SAMPLE_DAYS = (date(2014, 12, 10) - date(2012, 12, 31)).days


@pytest.fixture
def read(tmp_path):
    """A function that writes the files and reads them as a history."""
    return lambda files: read_history(files.write(tmp_path / "raw"))


def column(history: SalesHistory, day: str) -> int:
    """Position of a day in the calendar's panels."""
    return history.calendar.dates.astype(str).tolist().index(day)


def repairs(ingest) -> dict[str, int]:
    return {repair.name: repair.rows for repair in ingest.clean_report.repairs if repair.rows}


@pytest.fixture(scope="module")
def december(tmp_path_factory) -> tuple[SalesHistory, SalesHistory]:
    """A sample chain that ends on 10 December, with its plan and without one."""
    folder = write_sample(tmp_path_factory.mktemp("raw"), stores=60, days=SAMPLE_DAYS, seed=7)
    planned = read_history(str(folder)).history
    (folder / "test.csv").unlink()
    return planned, read_history(str(folder)).history


@pytest.mark.parametrize(("day", "code"), [*((day, "c") for day in CHRISTMAS), (NEW_YEAR, "a")])
def test_without_a_plan_a_holiday_has_its_code_and_the_stores_open_as_in_the_year_before(december, day, code):
    planned, completed = december
    at, year_ago = column(completed, day), column(completed, f"{int(day[:4]) - 1}{day[4:]}")
    assert (completed.calendar.holiday_kind[:, at] == HOLIDAY_KINDS.index(code)).all()
    has_row = ~np.isnan(completed.sales[:, year_ago])
    opened, opens = completed.calendar.open[:, year_ago], completed.calendar.open[:, at]
    np.testing.assert_array_equal(opens[has_row], opened[has_row])
    assert 0 < opens.sum() < len(opens) / 2, "railway stations open, the others do not"
    np.testing.assert_array_equal(opens, planned.calendar.open[:, at])


def in_regions(regions: dict[int, str], past_days: int, weekends: tuple[int, ...] = ()) -> RawFiles:
    """Files without a plan whose stores have the holidays of a German state; only some mark school on weekends."""
    files = raw_files(past_days)
    train, files.test = files.train, None
    dates = pd.to_datetime(train["Date"]).dt.date
    for store, region in regions.items():
        public, school = holidays.Germany(subdiv=region), holidays.Germany(subdiv=region, categories=("school",))
        own = train["Store"] == store
        is_marked = (train["DayOfWeek"] < 6) | (store in weekends)
        train.loc[own, "SchoolHoliday"] = dates[own].map(lambda day: day in school).astype(int) * is_marked[own]  # noqa: B023
        train.loc[own, "StateHoliday"] = dates[own].map(lambda day: "a" if day in public else "0")  # noqa: B023
    train.loc[train["StateHoliday"] != "0", ["Open", "Sales", "Customers"]] = 0
    return files


def test_without_a_plan_a_store_has_the_holidays_of_the_federal_state_that_its_past_shows(read):
    regions = {1: "BY", 2: "HH", 8: "BY"}
    history = read(in_regions(regions, 500, weekends=(8,))).history  # up to 2015-05-20, a Wednesday
    days = history.calendar.dates[500:]
    for row, (store, region) in zip((0, 1, 3), regions.items(), strict=True):
        public, school = holidays.Germany(subdiv=region), holidays.Germany(subdiv=region, categories=("school",))
        is_marked = (weekday(days) < SATURDAY) | (store == 8)
        expected = [day in school for day in days.tolist()] & is_marked
        np.testing.assert_array_equal(history.calendar.school_break[row, 500:], expected)
        has_code = history.calendar.holiday_kind[row, 500:] > 0
        np.testing.assert_array_equal(has_code, [day in public for day in days.tolist()])
    corpus_christi = column(history, "2015-06-04")
    assert history.calendar.holiday_kind[:, corpus_christi].tolist() == [1, 0, 0, 1]
    assert history.calendar.open[:, corpus_christi].tolist() == [0, 1, 1, 0]
    whit_monday = column(history, "2015-05-25")  # of every state, and thus also of store 3, whose state is not clear
    assert history.calendar.holiday_kind[:, whit_monday].tolist() == [1, 1, 1, 1]


def test_a_store_that_opens_on_one_holiday_of_the_year_opens_on_this_one_again(read):
    files = in_regions({1: "BY", 2: "HH", 8: "BY"}, 500)
    opened = files.is_day(8, "2014-06-19")  # Corpus Christi
    files.train.loc[opened, ["Open", "Sales", "Customers"]] = [1, 4000, 400]
    history = read(files).history
    assert history.calendar.open[:, column(history, "2015-06-04")].tolist() == [0, 1, 1, 1]
    assert history.calendar.open[:, column(history, "2015-05-25")].tolist() == [0, 0, 0, 0]


def test_a_store_that_is_missing_in_the_plan_has_the_holidays_of_its_state_in_the_plan(read):
    whole = in_regions({1: "BY", 2: "HH", 3: "HH", 8: "BY"}, 560)
    is_planned = whole.train["Date"] > "2015-05-20"
    files = RawFiles(whole.train[~is_planned], whole.store, whole.train[is_planned & whole.train["Store"].isin((1, 2))])
    files.test.loc[files.test["Store"] == 1, ["StateHoliday", "SchoolHoliday"]] = ["a", 1]  # an unusual plan
    files.test.loc[files.test["Store"] == 2, ["StateHoliday", "SchoolHoliday"]] = ["0", 0]
    calendar = read(files).history.calendar
    assert (calendar.holiday_kind[:, 500:540] == [[1], [0], [0], [1]]).all()
    assert (calendar.school_break[:, 500:540] == [[1], [0], [0], [1]]).all()


def test_a_planned_holiday_without_open_is_closed_unless_the_store_usually_opens_on_it(read):
    files = raw_files()
    files.train.loc[files.is_day(8, "2014-03-05"), ["Open", "Sales", "Customers"]] = [1, 4000, 400]  # a holiday
    files.test["Open"] = files.test["Open"].astype("Int64")
    files.test.loc[files.test["Date"] == "2014-04-18", ["StateHoliday", "Open"]] = ["b", pd.NA]
    ingest = read(files)
    assert ingest.history.calendar.open[:, column(ingest.history, "2014-04-18")].tolist() == [0, 0, 0, 1]
    assert repairs(ingest) == {"plan_open_missing": 4}


@pytest.mark.parametrize(("last_day", "is_planned", "is_open"), [
    ("2014-04-22", False, False), ("2014-04-23", False, True), ("2014-01-20", True, True),
])  # fmt: skip
def test_a_store_without_rows_for_90_days_and_without_a_plan_is_closed(last_day, is_planned, is_open, read):
    files = raw_files(past_days=197)  # up to 2014-07-21
    files.train = files.train[(files.train["Store"] != 2) | (files.train["Date"] <= last_day)]
    if not is_planned:
        files.test = files.test[files.test["Store"] != 2]
    ingest = read(files)
    planned = ingest.history.calendar.open[:, 197:]
    assert planned[1].any() == is_open
    assert planned[[0, 2, 3]].any(axis=1).all()
    assert repairs(ingest) == ({} if is_planned else {"plan_row_missing" if is_open else "plan_store_gone": 48})


def test_school_holidays_are_unknown_after_the_last_announced_break():
    dates = np.arange(np.datetime64("2013-06-01"), np.datetime64("2040-01-01"))
    calendar = holiday_calendar("DE", dates)
    for row, region in enumerate(calendar.regions[1:], 1):
        last = max(holidays.Germany(subdiv=region.split()[0], categories=("school",), years=range(2013, 2040)))
        is_known = ~np.isnan(calendar.school_break[row])
        assert dates[is_known][[0, -1]].tolist() == [dates[0].item(), last]


def test_the_holidays_of_a_country_without_school_breaks_are_those_of_all_its_regions():
    dates = np.arange(np.datetime64("2014-07-01"), np.datetime64("2014-08-01"))
    calendar = holiday_calendar("JP", dates)
    assert calendar.regions == ("",)
    assert dates[calendar.holiday_kind[0] > 0].astype(str).tolist() == ["2014-07-21"]
    assert np.isnan(calendar.school_break).all()
