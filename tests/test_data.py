"""From raw files to a dense history: it agrees with a slow loop over the rows, and every repair is counted."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from rossmann.chain import KAGGLE_CHAIN
from rossmann.data import SalesHistory, kaggle_submission, read_history, read_plan
from rossmann.data.kaggle.columns import KAGGLE_NAMES, RAW_PLAN_COLUMNS
from rossmann.schema import HOLIDAY_KINDS, SATURDAY, SUNDAY, WEEK_DAYS, WEEKS_YEAR_DAYS, weekday
from rossmann.validation import DataError, ValidationError
from tests.support.raw_files import HOLIDAY, NUMBERS, PAST_DAYS, PLAN_DAYS, raw_files

ORIGIN = np.datetime64("2014-03-16")  # a Sunday


@pytest.fixture
def files():
    return raw_files()


@pytest.fixture
def read(tmp_path):
    """A function that writes the files and reads them as a history."""

    def write_and_read(files, as_of=None):
        return read_history(files.write(tmp_path / f"raw{len(list(tmp_path.iterdir()))}"), as_of)

    return write_and_read


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> SalesHistory:
    return read_history(raw_files().write(tmp_path_factory.mktemp("raw"))).history


def repairs(ingest):
    """Name and rows of the repairs that changed rows."""
    return {repair.name: repair.rows for repair in ingest.clean_report.repairs if repair.rows}


def position(history, store, day):
    """Row and column of a store and day in the panels, by a search that is slow and obvious."""
    dates = history.calendar.dates.astype(str).tolist()
    return history.stores.number.tolist().index(store), dates.index(day)


def without(files, store, *dates):
    """The files without these rows of train."""
    files.train = files.train[~((files.train["Store"] == store) & files.train["Date"].isin(dates))]
    return files


def date_texts(first, count):
    return [f"{day:%Y-%m-%d}" for day in pd.date_range(first, periods=count)]


# The panels


def test_the_panels_agree_with_a_loop_over_the_rows(files, history):
    assert history.sales.shape == history.traffic.shape == (len(NUMBERS), PAST_DAYS)
    assert history.calendar.open.shape == (len(NUMBERS), PAST_DAYS + PLAN_DAYS)
    assert history.origin == ORIGIN
    for row in pd.concat([files.train, files.test]).itertuples():
        at = position(history, row.Store, row.Date)
        assert history.calendar.open[at] == row.Open
        assert history.calendar.promotion[at] == row.Promo
        assert HOLIDAY_KINDS[history.calendar.holiday_kind[at]] == row.StateHoliday
        assert history.calendar.school_break[at] == row.SchoolHoliday
        if row.Date <= str(history.origin):
            assert (history.sales[at], history.traffic[at]) == (row.Sales, row.Customers)


def test_days_before_the_first_row_after_the_last_and_in_whole_closures_have_no_sales(files, read):
    files.train = files.train[~((files.train["Store"] == 8) & (files.train["Date"] < "2014-02-01"))]  # begins late
    files.train = files.train[~((files.train["Store"] == 1) & (files.train["Date"] > "2014-03-01"))]  # ends early
    without(files, 2, *date_texts("2014-02-05", 14))  # refurbishment
    history = read(files).history
    rows = set(zip(files.train["Store"], files.train["Date"], strict=True))
    for i, store in enumerate(NUMBERS):
        for j, day in enumerate(history.dates.astype(str)):
            assert np.isnan(history.sales[i, j]) == ((store, day) not in rows)
            if (store, day) not in rows:
                is_sunday = weekday(history.dates[j]) == SUNDAY
                assert history.calendar.open[i, j] == (not is_sunday)  # the habit, since nobody planned a closure
                assert history.calendar.school_break[i, j] == 0
                assert history.calendar.promotion[i, j] == history.calendar.promotion[2, j]  # as most stores have it
                assert history.calendar.holiday_kind[i, j] == history.calendar.holiday_kind[2, j]


def test_the_report_names_stores_whose_rows_end_early(files, read):
    files.train = files.train[~((files.train["Store"] == 1) & (files.train["Date"] > "2014-03-01"))]
    assert read(files).clean_report.notes == ("1 of 4 stores have no row on the last day, 2014-03-16: 1.",)


def test_the_attributes_of_stores_are_read_as_dates_and_codes(history):
    stores = history.stores
    assert stores.number.tolist() == list(NUMBERS)
    assert stores.attribute_codes.tolist() == [[0, 0], [1, 1], [2, 2], [3, 0]]
    np.testing.assert_equal(stores.kaggle.competition_distance_m, [570, 14130, np.nan, 20])
    assert stores.kaggle.competition_since.astype(str).tolist() == ["2007-11", "NaT", "NaT", "2014-02"]
    assert stores.kaggle.promo2.tolist() == [False, True, True, False]
    months = [list(np.flatnonzero(flags) + 1) for flags in stores.kaggle.promo2_months]
    assert months == [[], [1, 4, 7, 10], [3, 6, 9, 12], []]


def test_promo2_starts_on_the_monday_of_its_iso_week(files, read):
    weeks = [(2009, 53), (2010, 1), (2012, 52), (2013, 1)]
    files.store["Promo2"], files.store["PromoInterval"] = 1, "Jan,Apr,Jul,Oct"
    files.store["Promo2SinceYear"], files.store["Promo2SinceWeek"] = zip(*weeks, strict=True)
    since = read(files).history.stores.kaggle.promo2_since
    assert since.astype(str).tolist() == [date.fromisocalendar(*week, 1).isoformat() for week in weeks]


# Positions and values by store and date


def test_positions_are_rows_and_columns_of_the_panels(history):
    store, column = history.positions(
        np.array([8, 1, 3]), np.array(["2014-01-06", "2014-03-16", "2014-05-03"], "M8[D]")
    )
    assert store.tolist() == [3, 0, 2]
    assert column.tolist() == [0, 69, 117]
    assert history.positions(8, ORIGIN) == (3, 69)


def test_positions_take_dates_of_any_resolution(history):
    days = np.array(["2014-01-07"], "M8[s]")
    assert history.calendar.positions(days).tolist() == history.calendar.offsets(days).tolist() == [1]


def test_offsets_are_days_from_the_first_date_even_before_it(history):
    assert history.calendar.offsets(np.array(["2014-01-05", "2015-01-06"], "M8[D]")).tolist() == [-1, 365]


@pytest.mark.parametrize(
    ("store", "day", "message"),
    [
        (
            4,
            "2014-01-06",
            "1 rows are of stores without a history, the first is store 4; there are 4 stores from 1 to 8",
        ),
        (9, "2014-01-06", "store 9"),
        (0, "2014-01-06", "store 0"),
        (1, "2014-01-05", "2014-01-05 is outside the history, which covers 2014-01-06 to 2014-05-03"),
        (1, "2014-05-04", "2014-05-04 is outside the history"),
        (1, "NaT", "NaT is outside the history"),
    ],
)
def test_positions_refuse_unknown_stores_and_days_outside_the_calendar(store, day, message, history):
    with pytest.raises(DataError, match=message):
        history.positions(np.array([1, store]), np.array(["2014-02-01", day], "M8[D]"))


def test_stores_are_selected_by_position_or_flag(history):
    assert history.stores.contains(np.array([0, 1, 4, 8, 9])).tolist() == [False, True, False, True, False]
    for selected in (history.stores.at(np.array([1, 3])), history.stores.at(np.array([False, True, False, True]))):
        assert selected.number.tolist() == [2, 8]
        assert selected.kaggle.competition_distance_m.tolist() == [14130, 20]
        assert selected.kaggle.promo2_months.shape == (2, 12)


def test_take_has_the_values_of_pairs_and_nan_where_there_is_none(files, read):
    history = read(without(files, 2, *date_texts("2014-02-05", 14))).history
    pairs = [
        (1, "2014-02-04"), (8, HOLIDAY), (2, "2014-02-06"), (4, "2014-02-04"), (1, "2014-01-05"), (1, "2014-03-17"),
        (1, "2014-05-04"), (1, "NaT"),
    ]  # fmt: skip
    store, day = np.array([number for number, _ in pairs]), np.array([day for _, day in pairs], "M8[D]")
    (row,) = files.train[files.is_day(1, "2014-02-04")].itertuples()
    gap = [np.nan] * 6
    np.testing.assert_array_equal(history.take("sales", store, day), [row.Sales, 0, *gap])
    np.testing.assert_array_equal(history.take("traffic", store, day), [row.Customers, 0, *gap])
    in_calendar = [1, 0, 1, np.nan, np.nan, 1, np.nan, np.nan]  # also in the closure, by habit, and after the origin
    np.testing.assert_array_equal(history.take("open", store, day), in_calendar)


# Repairs


def test_a_missing_open_is_read_from_the_sales(files, read):
    is_tuesday, is_sunday = (files.is_day(1, day) for day in ("2014-02-04", "2014-02-09"))
    files.train["Open"] = files.train["Open"].astype("Int64")
    files.train.loc[is_tuesday | is_sunday, "Open"] = pd.NA
    ingest = read(files)
    assert ingest.history.calendar.open[position(ingest.history, 1, "2014-02-04")] == 1
    assert ingest.history.calendar.open[position(ingest.history, 1, "2014-02-09")] == 0
    assert repairs(ingest) == {"open_missing": 2}


def test_a_day_that_is_open_without_sales_stays_as_it_was_planned(files, read):
    files.train.loc[files.is_day(2, "2014-02-04"), ["Sales", "Customers"]] = 0
    ingest = read(files)
    at = position(ingest.history, 2, "2014-02-04")
    assert (ingest.history.calendar.open[at], ingest.history.sales[at]) == (1, 0)
    assert repairs(ingest) == {"open_without_sales": 1}


@pytest.mark.parametrize(("day", "holiday"), [("2014-02-09", 0), (HOLIDAY, 1)], ids=["Sunday", "state holiday"])
def test_a_missing_closed_day_is_added(day, holiday, files, read):
    ingest = read(without(files, 1, day))
    at = position(ingest.history, 1, day)
    assert (ingest.history.calendar.open[at], ingest.history.sales[at], ingest.history.traffic[at]) == (0, 0, 0)
    assert ingest.history.calendar.holiday_kind[at] == holiday
    assert repairs(ingest) == {"closed_day_missing": 1}


def test_an_export_without_any_closed_sunday_is_completed(files, read):
    is_closed_sunday = (files.train["DayOfWeek"] == 7) & (files.train["Open"] == 0)
    files.train = files.train[~is_closed_sunday]
    expected = int(is_closed_sunday.sum()) - 3  # the last day is a Sunday: three stores now end one day before it
    assert repairs(read(files)) == {"closed_day_missing": expected}


@pytest.mark.parametrize(("store", "day"), [(1, "2014-02-04"), (3, "2014-02-09")], ids=["Tuesday", "open Sunday"])
def test_a_missing_open_day_is_set_aside(store, day, files, read):
    ingest = read(without(files, store, day))
    assert repairs(ingest) == {"open_day_missing": 1}
    (row,) = ingest.set_aside.to_dict("records")
    assert (row["check"], row["store"], str(row["date"].date())) == ("open_day_missing", store, day)
    assert np.argwhere(np.isnan(ingest.history.sales)).tolist() == [list(position(ingest.history, store, day))]


def test_a_day_that_is_missing_in_all_stores_is_refused(files, read):
    files.train = files.train[files.train["Date"] != "2014-02-04"]
    with pytest.raises(ValidationError, match=r"4 rows: most stores .* \[complete_days\]"):
        read(files)


def test_thirteen_missing_days_are_too_many_and_fourteen_are_a_whole_closure(files, read):
    with pytest.raises(ValidationError, match=r"(?s)12 of 279 days of stores .*\[open_day_missing\]"):
        read(without(raw_files(), 2, *date_texts("2014-02-03", 13)))
    history = read(without(files, 2, *date_texts("2014-02-03", 14))).history
    assert np.isnan(history.sales[1]).sum() == 14
    assert not history.plan(np.datetime64("2014-02-02"), 14).store.tolist().count(2)


# The published plan


def test_a_planned_day_without_open_follows_the_habit_of_the_store(files, read):
    files.test["Open"] = files.test["Open"].astype("Int64")
    files.test.loc[files.test["Date"] == "2014-03-23", "Open"] = pd.NA  # a Sunday
    ingest = read(files)
    assert [ingest.history.calendar.open[position(ingest.history, s, "2014-03-23")] for s in NUMBERS] == [0, 0, 1, 0]
    assert repairs(ingest) == {"plan_open_missing": 4}


def test_without_a_plan_the_calendar_of_52_weeks_before_is_used(read):
    files = raw_files(past_days=420)
    is_monday = (files.train["Store"] == 2) & (files.train["DayOfWeek"] == 1)
    files.train.loc[is_monday, ["Open", "Sales", "Customers"]] = 0
    files.test = None
    ingest = read(files)
    calendar, past_days = ingest.history.calendar, len(ingest.history.dates)
    assert repairs(ingest) == {"plan_row_missing": 4 * 48}
    for j in range(past_days, past_days + 48):
        day = j % WEEK_DAYS
        assert calendar.promotion[:, j].tolist() == calendar.promotion[:, j - WEEKS_YEAR_DAYS].tolist()
        assert calendar.school_break[:, j].tolist() == calendar.school_break[:, j - WEEKS_YEAR_DAYS].tolist()
        is_easter = str(calendar.dates[j]) in ("2015-04-03", "2015-04-06")
        assert (calendar.holiday_kind[:, j] == (2 if is_easter else 0)).all()
        usual = [day <= SATURDAY, 0 < day <= SATURDAY, 1, day <= SATURDAY]
        assert calendar.open[:, j].tolist() == ([0, 0, 0, 0] if is_easter else usual)


def test_the_habit_is_that_of_the_last_eight_weeks(read):
    files = raw_files(past_days=420)
    is_monday = (files.train["Store"] == 2) & (files.train["DayOfWeek"] == 1)
    files.train.loc[is_monday & (files.train["Date"] < "2015-01-05"), ["Open", "Sales", "Customers"]] = 0
    files.test = None  # the history ends on 2015-03-01: the store is open on the last eight Mondays
    assert read(files).history.calendar.open[1, 420] == 1


def test_a_store_that_is_missing_in_the_plan_follows_the_plan_of_the_others(files, read):
    is_easter = files.test["Date"] == "2014-04-18"
    files.test.loc[is_easter, ["Open", "StateHoliday", "Promo"]] = [0, "b", 1]
    files.test = files.test[files.test["Store"] != 2]
    ingest = read(files)
    assert repairs(ingest) == {"plan_row_missing": 48}
    at, calendar = position(ingest.history, 2, "2014-04-18"), ingest.history.calendar
    assert (calendar.open[at], calendar.holiday_kind[at], calendar.promotion[at]) == (0, 2, 1)
    np.testing.assert_array_equal(calendar.promotion[1, PAST_DAYS:], calendar.promotion[0, PAST_DAYS:])
    assert calendar.open[position(ingest.history, 2, "2014-03-17")] == 1


def test_planned_days_before_or_far_after_the_origin_are_left_out_and_missing_ones_are_filled(files, read):
    past = files.train.loc[files.train["Date"] == "2014-03-16"].assign(Open=1, Promo=1)[list(RAW_PLAN_COLUMNS)]
    far = files.test[files.test["Date"] == "2014-05-02"].assign(Date="2014-05-09")
    is_missing = files.test["Date"].between("2014-03-17", "2014-03-18")
    expected = read(files).history
    files.test = pd.concat([files.test[~is_missing], past, far])
    ingest = read(files)
    assert repairs(ingest) == {"plan_row_missing": 8, "plan_row_past": 4, "plan_row_beyond_horizon": 4}
    np.testing.assert_array_equal(ingest.history.calendar.open[:, :PAST_DAYS], expected.calendar.open[:, :PAST_DAYS])
    assert ingest.history.calendar.dates[-1] == ORIGIN + 48


def test_a_store_without_any_row_and_any_plan_is_left_out_and_counted(files, read):
    files.train = files.train[files.train["Store"] != 8]
    far = files.test[(files.test["Store"] == 8) & (files.test["Date"] == "2014-05-02")].assign(Date="2014-06-06")
    files.test = pd.concat([files.test[files.test["Store"] != 8], far])
    ingest = read(files)
    assert ingest.history.stores.number.tolist() == [1, 2, 3]
    assert repairs(ingest) == {"store_without_history": 1, "plan_store_without_history": 1}


def test_a_planned_store_without_any_row_is_a_new_store(files, read):
    files.train = files.train[files.train["Store"] != 8]
    files.test = files.test[(files.test["Store"] != 8) | (files.test["Date"] > "2014-03-20")]
    ingest = read(files)
    history = ingest.history
    assert history.stores.number.tolist() == [1, 2, 3, 8]
    assert np.isnan(history.sales[3]).all()
    assert repairs(ingest) == {"store_new": 1, "plan_row_missing": 4}
    planned = files.test[files.test["Store"] == 8].sort_values("Date")
    np.testing.assert_array_equal(history.calendar.open[3, PAST_DAYS + 4 :], planned["Open"])
    assert (history.plan(history.origin, 48).store == 8).sum() == 48
    assert len(history.actuals(history.dates[0], PAST_DAYS - 1).sales) == 3 * (PAST_DAYS - 1)


# Replay


def test_as_of_gives_the_same_history_as_files_that_end_on_that_day(files, read):
    replayed = read(files, date(2014, 2, 20)).history
    is_later = files.train["Date"] > "2014-02-20"
    files.test = pd.concat([table[list(RAW_PLAN_COLUMNS)] for table in (files.train.loc[is_later], files.test)])
    files.train = files.train[~is_later]
    expected = read(files).history
    assert str(replayed.origin) == "2014-02-20"
    assert len(replayed.calendar.dates) - len(replayed.dates) == 48
    assert replayed.fingerprint == expected.fingerprint


def test_a_replay_gives_the_same_history_as_cutting_the_whole_one(read):
    files = raw_files(past_days=130)  # up to 2014-05-15
    files.store.loc[0, ["CompetitionOpenSinceMonth", "CompetitionOpenSinceYear"]] = [4, 2014]
    files.store.loc[2, "Promo2SinceWeek"] = 19
    origin = np.datetime64("2014-03-09")
    whole = read(files).history
    assert np.isnan(whole.until(origin).stores.kaggle.competition_distance_m[0]) != np.isnan(
        whole.stores.kaggle.competition_distance_m[0]
    )
    assert read(files, origin.item()).history.fingerprint == whole.until(origin).fingerprint


def test_sales_after_as_of_do_not_matter(files, read):
    before = read(files, date(2014, 2, 20)).history
    is_later = files.train["Date"] > "2014-02-20"
    files.train.loc[is_later, ["Sales", "Customers"]] *= 3
    files.train.loc[is_later & (files.train["Store"] == 1), "Sales"] = -1
    assert read(files, date(2014, 2, 20)).history.fingerprint == before.fingerprint


def test_an_error_beyond_the_horizon_of_a_replay_does_not_matter_yet(files, read):
    before = read(files, date(2014, 1, 12)).history
    files.train.loc[files.train["Date"] > "2014-03-01", ["Promo", "DayOfWeek"]] = 9
    assert read(files, date(2014, 1, 12)).history.fingerprint == before.fingerprint
    with pytest.raises(ValidationError, match="day_of_week_agrees"):
        read(files, date(2014, 1, 13))


def test_as_of_before_the_first_day_is_refused_and_after_the_last_changes_nothing(files, read, history):
    with pytest.raises(
        DataError, match=r"--as-of 2014-01-05: train.csv has sales from 2014-01-06 to 2014-\d\d-\d\d; name one"
    ):
        read(files, date(2014, 1, 5))
    assert read(files, date(2014, 12, 31)).history.fingerprint == history.fingerprint


# A caller's plan


@pytest.mark.parametrize("names", ["Kaggle's", "ours"])
def test_a_plan_is_read_in_its_order_with_its_ids_under_either_set_of_names(names, files, history, tmp_path):
    shuffled = files.test.sample(frac=1, random_state=1)
    ours = {kaggle: KAGGLE_CHAIN.name_of(name) for name, kaggle in KAGGLE_NAMES.items()}
    table = shuffled if names == "Kaggle's" else shuffled.rename(columns=ours)
    table.to_csv(tmp_path / "plan.csv", index=False)
    plan, ids = read_plan(str(tmp_path / "plan.csv"), history)
    assert ids.tolist() == shuffled["Id"].tolist()
    assert plan.store.tolist() == shuffled["Store"].tolist()
    assert plan.date.astype(str).tolist() == shuffled["Date"].tolist()
    assert plan.open.tolist() == shuffled["Open"].tolist()
    assert plan.school_break.tolist() == shuffled["SchoolHoliday"].tolist()
    assert [HOLIDAY_KINDS[code] for code in plan.holiday_kind] == shuffled["StateHoliday"].tolist()


@pytest.mark.parametrize("header", ["date,store,promo", "Date,Store,Promo"])
def test_the_published_plan_fills_in_what_a_plan_leaves_out(header, history, tmp_path):
    (tmp_path / "mine.csv").write_text(f"{header}\n2014-03-23,3,1\n2014-03-23,1,\n2014-03-18,8,0\n")
    plan, ids = read_plan(str(tmp_path / "mine.csv"), history)
    assert ids is None
    assert plan.open.tolist() == [1, 0, 1]
    assert plan.promotion.tolist() == [1, history.calendar.promotion[position(history, 1, "2014-03-23")], 0]
    assert plan.school_break[2] == history.calendar.school_break[position(history, 8, "2014-03-18")]


def test_ids_may_be_text(history, tmp_path):
    (tmp_path / "mine.csv").write_text("id,store,date\nx1,3,2014-03-23\n7,1,2014-03-23\n")
    assert read_plan(str(tmp_path / "mine.csv"), history)[1].tolist() == ["x1", "7"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("3,2014-03-16", r"plan for store 3 starts on 2014-03-16, but sales are known until then"),
        ("3,2014-03-16", r"Plan from 2014-03-17"),
        ("3,2014-03-10", r"plan for store 3 starts on 2014-03-10, but sales are known until 2014-03-16"),
        ("3,2014-05-04", r"more than 48 days after 2014-03-16.*\n.*line 2: {store} 3.*\n.*Plan up to 2014-05-03"),
        ("4,2014-03-17", r"the store has no history"),
        ("3,2014-03-17\n3,2014-03-17", r"more than one row for the same store and day"),
        (",2014-03-17", r"{store} is empty"),
        ("3,17.03.2014", r"{date} is not a valid date .*\n.*line 2: {store} 3, {date} 17.03.2014\n.*year-month-day"),
    ],
)
@pytest.mark.parametrize(("store", "date"), [("store", "date"), ("Store", "Date")])
def test_an_impossible_plan_is_refused_in_the_names_of_its_own_columns(rows, message, store, date, history, tmp_path):
    (tmp_path / "mine.csv").write_text(f"{store},{date}\n{rows}\n")
    with pytest.raises(DataError, match=message.format(store=store, date=date)):
        read_plan(str(tmp_path / "mine.csv"), history)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Store,Date,Promotion", r"column Promotion that is not used; a plan may have Store, Date, Id, .*Promo"),
        ("store,date,promotion", r"column promotion that is not used; a plan may have store, date, id, .*promo"),
        ("Store,Date,Sales", r"column Sales that is not used"),
        ("store,Date,promo", r"mixes our column names \(promo, store\) with Kaggle's \(Date\). Rename Date to date"),
        ("store,date,Open", r"mixes our column names \(date, store\) with Kaggle's \(Open\). Rename Open to open"),
        ("store,date,Store", r"has a column twice: Store and store. Keep one"),
        ("store,date,date", r"has the column date more than once"),
        ("store,day,promo", r"no column date; .* It needs store, date"),
        ("Store;Date;Promo", r"separates its cells by semicolons"),
    ],
)
def test_a_plan_with_wrong_columns_is_refused_with_the_reason(header, message, history, tmp_path):
    (tmp_path / "mine.csv").write_text(f"{header}\n3,2014-03-17,0\n")
    with pytest.raises(DataError, match=message):
        read_plan(str(tmp_path / "mine.csv"), history)


def test_a_wrong_flag_or_weekday_in_a_plan_is_refused(history, tmp_path):
    (tmp_path / "mine.csv").write_text("Store,Date,DayOfWeek,Open\n3,2014-03-17,2,5\n")  # a Monday
    with pytest.raises(ValidationError, match=r"Open is neither 0 nor 1") as refusal:
        read_plan(str(tmp_path / "mine.csv"), history)
    assert "DayOfWeek is not the weekday of the date" in str(refusal.value)


def test_a_plan_that_does_not_exist_is_named(history, tmp_path):
    with pytest.raises(DataError, match=r"no plan .*mine.csv"):
        read_plan(str(tmp_path / "mine.csv"), history)


# Kaggle's submission


def test_a_submission_has_the_ids_of_the_plan_or_numbers_from_1():
    table = pd.DataFrame(
        {"id": [9, 4], "store": [1, 2], "forecast": [10.0, 0.0], "lower": [8.0, 0], "upper": [12.0, 0]}
    )
    assert kaggle_submission(table).to_dict("list") == {"Id": [9, 4], "Sales": [10.0, 0.0]}
    assert kaggle_submission(table.drop(columns="id")).to_dict("list") == {"Id": [1, 2], "Sales": [10.0, 0.0]}
