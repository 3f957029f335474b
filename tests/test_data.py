"""From raw files to a dense history: the panel agrees with a slow truth, and every cure is counted."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from raw_files import NUMBERS, PAST_DAYS, PLAN_DAYS, raw_files

from rossmann.data import SalesHistory, read_history, read_plan
from rossmann.validation import DataError, ValidationError

ORIGIN = np.datetime64("2014-03-16")  # a Sunday


@pytest.fixture
def files():
    return raw_files()


@pytest.fixture
def read(tmp_path):
    """Write the files and read them as a history."""

    def reading(files, as_of=None):
        return read_history(files.write(tmp_path / f"raw{len(list(tmp_path.iterdir()))}"), as_of)

    return reading


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> SalesHistory:
    return read_history(raw_files().write(tmp_path_factory.mktemp("raw"))).history


def repaired(read_in):
    """What was repaired, and in how many rows."""
    return {repair.name: repair.rows for repair in read_in.clean.repairs if repair.rows}


def at(history, store, day):
    """Where a store and day stand in the panel."""
    return list(history.stores.number).index(store), int((np.datetime64(day) - history.calendar.dates[0]).astype(int))


def without(files, store, *days):
    """The files without these rows of train."""
    files.train = files.train[~((files.train["Store"] == store) & files.train["Date"].isin(days))]
    return files


def days(first, count):
    return [f"{day:%Y-%m-%d}" for day in pd.date_range(first, periods=count)]


# The panel


def test_the_panel_agrees_with_a_loop_over_the_rows(files, history):
    assert history.sales.shape == history.customers.shape == (len(NUMBERS), PAST_DAYS)
    assert history.calendar.open.shape == (len(NUMBERS), PAST_DAYS + PLAN_DAYS)
    assert history.origin == ORIGIN
    for row in pd.concat([files.train, files.test]).itertuples():
        place = at(history, row.Store, row.Date)
        assert history.calendar.open[place] == row.Open
        assert history.calendar.promo[place] == row.Promo
        assert history.calendar.state_holiday[place] == "0abc".index(row.StateHoliday)
        assert history.calendar.school_holiday[place] == row.SchoolHoliday
        if row.Date <= str(history.origin):
            assert (history.sales[place], history.customers[place]) == (row.Sales, row.Customers)


def test_days_outside_a_stores_life_and_in_whole_closures_have_no_sales(files, read):
    files.train = files.train[~((files.train["Store"] == 8) & (files.train["Date"] < "2014-02-01"))]  # begins late
    files.train = files.train[~((files.train["Store"] == 1) & (files.train["Date"] > "2014-03-01"))]  # ends early
    without(files, 2, *days("2014-02-05", 14))  # refurbished
    history = read(files).history
    kept = set(zip(files.train["Store"], files.train["Date"], strict=True))
    for i, store in enumerate(NUMBERS):
        for j, day in enumerate(history.dates.astype(str)):
            assert np.isnan(history.sales[i, j]) == ((store, day) not in kept)
            if (store, day) not in kept:
                sunday = (int(history.dates[j].astype(int)) + 3) % 7 == 6
                assert history.calendar.open[i, j] == (not sunday)  # by habit: nobody planned to leave the books
                assert history.calendar.school_holiday[i, j] == 0
                assert history.calendar.promo[i, j] == history.calendar.promo[2, j]  # as the chain has it
                assert history.calendar.state_holiday[i, j] == history.calendar.state_holiday[2, j]


def test_stores_that_ended_are_told_of(files, read):
    files.train = files.train[~((files.train["Store"] == 1) & (files.train["Date"] > "2014-03-01"))]
    assert read(files).clean.notes == ("1 of 4 stores have no row on the last day, 2014-03-16: 1.",)


def test_the_stores_attributes_are_read_as_dates_and_codes(history):
    stores = history.stores
    assert stores.number.tolist() == list(NUMBERS)
    assert stores.store_type.tolist() == [0, 1, 2, 3]
    assert stores.assortment.tolist() == [0, 1, 2, 0]
    np.testing.assert_equal(stores.competition_distance_m, [570, 14130, np.nan, 20])
    assert stores.competition_since.astype(str).tolist() == ["2007-11", "NaT", "NaT", "2014-02"]
    assert stores.promo2.tolist() == [False, True, True, False]
    started = [list(np.flatnonzero(months) + 1) for months in stores.promo2_months]
    assert started == [[], [1, 4, 7, 10], [3, 6, 9, 12], []]


def test_promo2_starts_on_the_monday_of_its_iso_week(files, read):
    weeks = [(2009, 53), (2010, 1), (2012, 52), (2013, 1)]
    files.store["Promo2"], files.store["PromoInterval"] = 1, "Jan,Apr,Jul,Oct"
    files.store["Promo2SinceYear"], files.store["Promo2SinceWeek"] = zip(*weeks, strict=True)
    since = read(files).history.stores.promo2_since
    assert since.astype(str).tolist() == [date.fromisocalendar(*week, 1).isoformat() for week in weeks]


# Repairs


def test_a_missing_open_is_read_from_the_sales(files, read):
    worked, rested = (files.day(1, day) for day in ("2014-02-04", "2014-02-09"))
    files.train["Open"] = files.train["Open"].astype("Int64")
    files.train.loc[worked | rested, "Open"] = pd.NA
    cured = read(files)
    assert cured.history.calendar.open[at(cured.history, 1, "2014-02-04")] == 1
    assert cured.history.calendar.open[at(cured.history, 1, "2014-02-09")] == 0
    assert repaired(cured) == {"open_missing": 2}


def test_open_without_sales_stays_as_it_was_planned(files, read):
    files.train.loc[files.day(2, "2014-02-04"), ["Sales", "Customers"]] = 0
    cured = read(files)
    place = at(cured.history, 2, "2014-02-04")
    assert (cured.history.calendar.open[place], cured.history.sales[place]) == (1, 0)
    assert repaired(cured) == {"open_without_sales": 1}


@pytest.mark.parametrize(("day", "holiday"), [("2014-02-09", 0), ("2014-03-05", 1)], ids=["Sunday", "state holiday"])
def test_a_missing_closed_day_is_added(day, holiday, files, read):
    cured = read(without(files, 1, day))
    place = at(cured.history, 1, day)
    assert (cured.history.calendar.open[place], cured.history.sales[place], cured.history.customers[place]) == (0, 0, 0)
    assert cured.history.calendar.state_holiday[place] == holiday
    assert repaired(cured) == {"closed_day_missing": 1}


def test_an_export_that_leaves_all_closed_sundays_out_is_filled_up(files, read):
    rested = (files.train["DayOfWeek"] == 7) & (files.train["Open"] == 0)
    files.train = files.train[~rested]
    expected = int(rested.sum()) - 3  # the last day is a Sunday: three lives now end a day before
    assert repaired(read(files)) == {"closed_day_missing": expected}


@pytest.mark.parametrize(("store", "day"), [(1, "2014-02-04"), (3, "2014-02-09")], ids=["Tuesday", "open Sunday"])
def test_a_missing_open_day_is_no_closed_day(store, day, files, read):
    with pytest.raises(ValidationError, match=r"no_gap") as refusal:
        read(without(files, store, day))
    after = np.datetime64(day) + 1
    assert f"Store {store}, Date {after}, days_missing 1" in str(refusal.value)


def test_a_day_that_the_whole_chain_misses_is_refused(files, read):
    files.train = files.train[files.train["Date"] != "2014-02-04"]
    with pytest.raises(ValidationError, match="4 rows: rows are missing"):
        read(files)


def test_thirteen_missing_days_are_a_gap_and_fourteen_a_whole_closure(files, read):
    with pytest.raises(ValidationError, match="days_missing"):
        read(without(raw_files(), 2, *days("2014-02-03", 13)))
    closure = days("2014-02-03", 14)
    history = read(without(files, 2, *closure)).history
    assert np.isnan(history.sales[1]).sum() == 14
    assert not history.plan(np.datetime64("2014-02-02"), 14).store.tolist().count(2)


# The published plan


def test_a_planned_day_without_open_goes_by_the_stores_habit(files, read):
    files.test["Open"] = files.test["Open"].astype("Int64")
    files.test.loc[files.test["Date"] == "2014-03-23", "Open"] = pd.NA  # a Sunday
    cured = read(files)
    assert [cured.history.calendar.open[at(cured.history, s, "2014-03-23")] for s in NUMBERS] == [0, 0, 1, 0]
    assert repaired(cured) == {"plan_open_missing": 4}


def test_without_a_plan_the_calendar_of_52_weeks_before_holds(read):
    files = raw_files(past_days=420)
    files.train.loc[(files.train["Store"] == 2) & (files.train["DayOfWeek"] == 1), ["Open", "Sales", "Customers"]] = 0
    files.test = None
    cured = read(files)
    calendar, past = cured.history.calendar, len(cured.history.dates)
    assert repaired(cured) == {"plan_row_missing": 4 * 48}
    for j in range(past, past + 48):
        weekday = j % 7
        assert calendar.promo[:, j].tolist() == calendar.promo[:, j - 364].tolist()
        assert calendar.school_holiday[:, j].tolist() == calendar.school_holiday[:, j - 364].tolist()
        assert not calendar.state_holiday[:, j].any()
        assert calendar.open[:, j].tolist() == [weekday < 6, weekday not in (0, 6), 1, weekday < 6]


def test_habit_is_what_a_store_did_lately(read):
    files = raw_files(past_days=420)
    mondays = (files.train["Store"] == 2) & (files.train["DayOfWeek"] == 1)
    files.train.loc[mondays & (files.train["Date"] < "2015-01-05"), ["Open", "Sales", "Customers"]] = 0
    files.test = None  # the history ends on 2015-03-01: for 8 weeks it is open on Mondays
    assert read(files).history.calendar.open[1, 420] == 1


def test_a_store_left_out_of_the_plan_follows_the_plan_of_the_others(files, read):
    easter = files.test["Date"] == "2014-04-18"
    files.test.loc[easter, ["Open", "StateHoliday", "Promo"]] = [0, "b", 1]
    files.test = files.test[files.test["Store"] != 2]
    cured = read(files)
    assert repaired(cured) == {"plan_row_missing": 48}
    place, calendar = at(cured.history, 2, "2014-04-18"), cured.history.calendar
    assert (calendar.open[place], calendar.state_holiday[place], calendar.promo[place]) == (0, 2, 1)
    np.testing.assert_array_equal(calendar.promo[1, PAST_DAYS:], calendar.promo[0, PAST_DAYS:])
    assert calendar.open[at(cured.history, 2, "2014-03-17")] == 1


def test_planned_days_that_are_past_or_far_are_left_out_and_a_hole_is_filled(files, read):
    past = files.train.loc[files.train["Date"] == "2014-03-16"].assign(Open=1, Promo=1)
    past = past[[name for name in files.test.columns if name != "Id"]]
    far = files.test[files.test["Date"] == "2014-05-02"].assign(Date="2014-05-09")
    hole = files.test["Date"].between("2014-03-17", "2014-03-18")
    expected = read(files).history
    files.test = pd.concat([files.test[~hole], past, far])
    cured = read(files)
    assert repaired(cured) == {"plan_row_missing": 8, "plan_row_past": 4, "plan_row_far": 4}
    np.testing.assert_array_equal(cured.history.calendar.open[:, :PAST_DAYS], expected.calendar.open[:, :PAST_DAYS])
    assert cured.history.calendar.dates[-1] == ORIGIN + 48


def test_a_store_without_any_row_is_left_out_and_counted(files, read):
    files.train = files.train[files.train["Store"] != 8]
    cured = read(files)
    assert cured.history.stores.number.tolist() == [1, 2, 3]
    assert repaired(cured) == {"store_without_history": 1, "plan_store_without_history": 48}


# Replay


def test_as_of_is_the_same_as_cutting_the_file_by_hand(files, read):
    replayed = read(files, date(2014, 2, 20)).history
    later = files.train["Date"] > "2014-02-20"
    plan = [name for name in files.test.columns if name != "Id"]
    files.test = pd.concat([files.train.loc[later, plan], files.test[plan]])
    files.train = files.train[~later]
    by_hand = read(files).history
    assert str(replayed.origin) == "2014-02-20"
    assert len(replayed.calendar.dates) - len(replayed.dates) == 48
    assert replayed.fingerprint == by_hand.fingerprint


def test_a_replay_is_the_whole_history_as_it_was_known_then(read):
    files = raw_files(past_days=130)
    known = np.datetime64("2014-03-09")
    whole = read(files).history
    assert read(files, known.item()).history.fingerprint == whole.until(known).fingerprint


def test_sales_after_as_of_do_not_matter(files, read):
    before = read(files, date(2014, 2, 20)).history
    later = files.train["Date"] > "2014-02-20"
    files.train.loc[later, ["Sales", "Customers"]] *= 3
    files.train.loc[later & (files.train["Store"] == 1), "Sales"] = -1
    assert read(files, date(2014, 2, 20)).history.fingerprint == before.fingerprint


def test_a_mistake_beyond_the_horizon_of_a_replay_does_not_matter_yet(files, read):
    before = read(files, date(2014, 1, 12)).history
    files.train.loc[files.train["Date"] > "2014-03-01", ["Promo", "DayOfWeek"]] = 9
    assert read(files, date(2014, 1, 12)).history.fingerprint == before.fingerprint
    with pytest.raises(ValidationError, match="day_of_week_agrees"):
        read(files, date(2014, 1, 13))


def test_as_of_a_day_before_the_first_is_refused_and_after_the_last_changes_nothing(files, read, history):
    with pytest.raises(DataError, match=r"starts on 2014-01-06.*2014-01-05.*later date"):
        read(files, date(2014, 1, 5))
    assert read(files, date(2014, 12, 31)).history.fingerprint == history.fingerprint


# A caller's plan


def test_kaggles_own_file_is_a_plan_in_its_order_with_its_ids(files, history, tmp_path):
    shuffled = files.test.sample(frac=1, random_state=1)
    shuffled.to_csv(tmp_path / "test.csv", index=False)
    plan, ids = read_plan(str(tmp_path / "test.csv"), history)
    assert ids.tolist() == shuffled["Id"].tolist()
    assert plan.store.tolist() == shuffled["Store"].tolist()
    assert plan.date.astype(str).tolist() == shuffled["Date"].tolist()
    assert plan.open.tolist() == shuffled["Open"].tolist()
    assert plan.school_holiday.tolist() == shuffled["SchoolHoliday"].tolist()


def test_what_a_plan_leaves_open_is_as_published(history, tmp_path):
    (tmp_path / "mine.csv").write_text("Date,Store,Promo\n2014-03-23,3,1\n2014-03-23,1,\n2014-03-18,8,0\n")
    plan, ids = read_plan(str(tmp_path / "mine.csv"), history)
    assert ids is None
    assert plan.open.tolist() == [1, 0, 1]
    assert plan.promo.tolist() == [1, history.calendar.promo[at(history, 1, "2014-03-23")], 0]
    assert plan.school_holiday[2] == history.calendar.school_holiday[at(history, 8, "2014-03-18")]


def test_ids_may_be_words(history, tmp_path):
    (tmp_path / "mine.csv").write_text("Id,Store,Date\nx1,3,2014-03-23\n7,1,2014-03-23\n")
    assert read_plan(str(tmp_path / "mine.csv"), history)[1].tolist() == ["x1", "7"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("3,2014-03-16", r"plan for store 3 starts on 2014-03-16, but sales are known until then"),
        ("3,2014-03-16", r"Plan from 2014-03-17"),
        ("3,2014-03-10", r"plan for store 3 starts on 2014-03-10, but sales are known until 2014-03-16"),
        ("3,2014-05-04", r"more than 48 days after 2014-03-16.*\n.*line 2: Store 3.*\n.*Plan up to 2014-05-03"),
        ("4,2014-03-17", r"the store has no history"),
        ("3,2014-03-17\n3,2014-03-17", r"more than one row for the same store and day"),
        (",2014-03-17", r"Store is empty"),
        ("3,17.03.2014", r"year-month-day"),
    ],
)
def test_an_impossible_plan_is_refused(rows, told, history, tmp_path):
    (tmp_path / "mine.csv").write_text(f"Store,Date\n{rows}\n")
    with pytest.raises(DataError, match=told):
        read_plan(str(tmp_path / "mine.csv"), history)


def test_a_plan_with_a_column_that_says_nothing_is_refused(history, tmp_path):
    (tmp_path / "mine.csv").write_text("Store,Date,Promotion\n3,2014-03-17,0\n")
    with pytest.raises(DataError, match=r"column Promotion that says nothing; known are Store, Date, .*Promo"):
        read_plan(str(tmp_path / "mine.csv"), history)


def test_a_plan_that_is_not_there_is_told(history, tmp_path):
    with pytest.raises(DataError, match=r"no plan .*mine.csv"):
        read_plan(str(tmp_path / "mine.csv"), history)
