"""The sample world: Kaggle's files to the letter, the chain's habits to a band, the same bytes for the same seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rossmann.sample import statistics, write_world
from rossmann.validation import DataError

FILES = ("store.csv", "test.csv", "train.csv")


def read(world: Path, name: str) -> pd.DataFrame:
    days = {} if name == "store.csv" else {"parse_dates": ["Date"], "dtype": {"StateHoliday": str}}
    return pd.read_csv(world / name, **days)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def train(world: Path) -> pd.DataFrame:
    return read(world, "train.csv")


@pytest.fixture(scope="module")
def plan(world: Path) -> pd.DataFrame:
    return read(world, "test.csv")


@pytest.fixture(scope="module")
def large_train(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read(write_world(tmp_path_factory.mktemp("large"), stores=300), "train.csv")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        write_world(tmp_path / name, stores=12, days=120, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    for name in FILES:
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_a_longer_horizon_leaves_the_history_as_it_is(tmp_path: Path) -> None:
    near, far = (write_world(tmp_path / str(n), stores=12, days=120, horizon_days=n) for n in (7, 90))
    assert (near / "train.csv").read_bytes() == (far / "train.csv").read_bytes()
    near_plan, far_plan = read(near, "test.csv"), read(far, "test.csv")
    both = near_plan.merge(far_plan, on=["Store", "Date"])
    for column in ("Open", "Promo", "StateHoliday", "SchoolHoliday"):
        assert (both[f"{column}_x"] == both[f"{column}_y"]).all()


def test_only_the_three_files_are_left_and_they_replace_earlier_ones(tmp_path: Path) -> None:
    out = write_world(tmp_path / "deep" / "folder", stores=2, days=28)
    before = (out / "train.csv").read_bytes()
    write_world(out, stores=3, days=28, replace=True)
    assert sorted(path.name for path in out.iterdir()) == list(FILES)
    assert (out / "train.csv").read_bytes() != before


def test_headers_and_quotes_are_those_of_kaggle(world: Path) -> None:
    lines = {name: (world / name).read_bytes().split(b"\n") for name in FILES}
    assert lines["train.csv"][0] == b"Store,DayOfWeek,Date,Sales,Customers,Open,Promo,StateHoliday,SchoolHoliday"
    assert lines["test.csv"][0] == b"Id,Store,DayOfWeek,Date,Open,Promo,StateHoliday,SchoolHoliday"
    assert lines["store.csv"][0] == (
        b'"Store","StoreType","Assortment","CompetitionDistance","CompetitionOpenSinceMonth",'
        b'"CompetitionOpenSinceYear","Promo2","Promo2SinceWeek","Promo2SinceYear","PromoInterval"'
    )
    assert not any(b'"' in line for name in ("train.csv", "test.csv") for line in lines[name])
    store = rb'\d+,"[a-d]","[a-c]",\d*,(\d+,\d{4}|,),(0,,,""|1,\d+,\d{4},"\w{3},\w{3},\w{3,4},\w{3}")'
    assert pd.Series([line.decode() for line in lines["store.csv"][1:-1]]).str.fullmatch(store.decode()).all()
    assert all(text[-1] == b"" for text in lines.values())


def test_the_latest_day_comes_first_and_then_the_stores_in_order(train: pd.DataFrame, plan: pd.DataFrame) -> None:
    for rows in (train, plan):
        ordered = rows.sort_values(["Date", "Store"], ascending=[False, True], kind="stable")
        assert ordered.index.equals(rows.index)
    assert plan["Id"].tolist() == list(range(1, len(plan) + 1))


def test_the_plan_follows_the_history_without_a_gap(train: pd.DataFrame, plan: pd.DataFrame) -> None:
    assert str(train["Date"].min().date()) == "2013-01-01"
    assert str(train["Date"].max().date()) == "2015-07-31"
    assert plan["Date"].min() - train["Date"].max() == pd.Timedelta(1, "D")
    assert len(plan) == 48 * 60


def test_every_row_keeps_the_rules_of_the_shop(train: pd.DataFrame, plan: pd.DataFrame) -> None:
    for rows in (train, plan):
        assert not rows.duplicated(["Store", "Date"]).any()
        assert (rows["DayOfWeek"] == rows["Date"].dt.dayofweek + 1).all()
        assert rows["StateHoliday"].isin(list("0abc")).all()
        assert (rows.groupby("Date")["Promo"].nunique() == 1).all()
        assert (rows.loc[rows["Promo"] == 1, "DayOfWeek"] <= 5).all()
        assert rows[["Open", "SchoolHoliday"]].isin([0, 1]).all(axis=None)
    assert (train.loc[train["Open"] == 0, ["Sales", "Customers"]] == 0).all(axis=None)
    assert ((train["Sales"] == 0) == (train["Customers"] == 0)).all()
    assert train.loc[train["Sales"] > 0, "Sales"].between(100, 80_000).all()


def test_promos_run_from_monday_to_friday(train: pd.DataFrame) -> None:
    promo = train.groupby("Date")["Promo"].first()
    whole = promo.groupby(promo.index.to_period("W")).agg(["sum", "size"])
    assert set(whole.loc[whole["size"] == 7, "sum"]) == {0, 5}


def test_a_few_stores_have_no_rows_for_half_a_year_and_no_others_miss_any(train: pd.DataFrame) -> None:
    days = train.groupby("Store").size()
    gone = days.index[days < 942]
    assert 2 <= len(gone) <= 15
    assert set(days) == {942, 942 - 184}
    dates = pd.DatetimeIndex(train.loc[train["Store"] == gone[0], "Date"])
    missing = pd.date_range("2013-01-01", "2015-07-31").difference(dates)
    assert missing.equals(pd.date_range("2014-07-01", "2014-12-31"))


def test_some_stores_stay_closed_for_two_weeks_and_more(train: pd.DataFrame) -> None:
    by_day = train.pivot(index="Date", columns="Store", values="Open").fillna(1)
    assert (by_day.rolling(14).sum() == 0).any().sum() >= 2


def test_state_holidays_fall_on_their_dates_and_differ_between_states(train: pd.DataFrame) -> None:
    holiday = train.pivot(index="Date", columns="Store", values="StateHoliday")
    kept = (holiday != "0") & holiday.notna()
    everywhere = holiday[kept.sum(axis=1) == holiday.notna().sum(axis=1)]
    of_2013 = everywhere[everywhere.index.year == 2013].iloc[:, 0]
    assert {f"{date:%m-%d}": code for date, code in of_2013.items()} == {
        "01-01": "a", "03-29": "b", "04-01": "b", "05-01": "a", "05-09": "a", "05-20": "a", "10-03": "a",
        "12-25": "c", "12-26": "c",
    }  # fmt: skip
    corpus_christi = kept.loc["2014-06-19"].mean()
    assert 0.5 < corpus_christi < 0.85
    assert kept.loc["2013-11-20"].any()  # repentance, in one state
    shut = train[(train["StateHoliday"] == "c") & (train["Open"] == 1)]
    assert shut["Store"].nunique() <= 3


def test_school_holidays_differ_between_states_and_summers_between_years(train: pd.DataFrame) -> None:
    school = train.pivot(index="Store", columns="Date", values="SchoolHoliday")
    assert len(school.loc[:, "2013-07-01":"2013-08-31"].drop_duplicates()) >= 5
    share = school.mean()
    assert share["2013-08-05"] > 0.5
    assert share["2013-11-11":"2013-11-15"].max() < 0.1


def test_few_stores_open_on_sundays(train: pd.DataFrame, plan: pd.DataFrame) -> None:
    for rows in (train, plan):
        sundays = rows[(rows["DayOfWeek"] == 7) & (rows["Open"] == 1)]
        assert 1 <= sundays["Store"].nunique() <= 4


def test_a_near_competitor_lowers_the_level(tmp_path: Path) -> None:
    out = write_world(tmp_path, stores=300)
    stores, rows = read(out, "store.csv").set_index("Store"), read(out, "train.csv")
    rows = rows[rows["Sales"] > 0]
    shared = np.log(rows["Sales"]) - np.log(rows["Sales"]).groupby(rows["Date"]).transform("mean")
    monthly = shared.groupby([rows["Store"], rows["Date"].dt.to_period("M")]).mean().unstack()
    opened = stores[(stores["CompetitionOpenSinceYear"] == 2014) & (stores["CompetitionDistance"] < 2000)]
    drops = []
    for store, row in opened.iterrows():
        month = pd.Period(
            year=int(row["CompetitionOpenSinceYear"]), month=int(row["CompetitionOpenSinceMonth"]), freq="M"
        )
        months = monthly.loc[store]
        drops.append(months[month + 2 : month + 7].mean() - months[month - 6 : month - 1].mean())
    assert len(drops) >= 5
    assert -0.2 < np.nanmean(drops) < -0.03


# What the real chain measures, and how far a world of 300 stores may be off. data/README.md has the whole table.
BANDS = {
    "rows missing": (0.033, 0.01),
    "zero-sales rows": (0.171, 0.015),
    "promo days": (0.380, 0.04),
    "school holidays": (0.175, 0.04),
    "state holidays": (0.032, 0.005),
    "stores open on Sundays": (0.030, 0.01),
    "sales per selling day": (6945, 700),
    "customers per selling day": (764, 120),
    "spend per customer": (9.46, 0.8),
    "promo uplift (Mon-Fri)": (1.386, 0.06),
    "noise (sd)": (0.164, 0.025),
    "noise, robust (1.48 MAD)": (0.120, 0.015),
    "noise shared by all stores (sd of its daily mean)": (0.126, 0.03),
    "weekday Mon": (1.180, 0.06),
    "weekday Wed": (0.967, 0.04),
    "weekday Sat": (0.848, 0.06),
    "month 1": (0.924, 0.05),
    "month 6": (0.990, 0.05),
    "month 9": (0.947, 0.05),
    "month 12": (1.245, 0.06),
}


def test_the_world_is_as_the_real_chain_is(large_train: pd.DataFrame) -> None:
    measured = statistics(large_train)
    off = {name: measured[name] for name, (real, width) in BANDS.items() if abs(measured[name] - real) > width}
    assert not off
    assert measured["noise, excess kurtosis"] > 2
    assert 0 < measured["open rows without sales, per million"] < 200


def test_a_store_wanders_for_months(large_train: pd.DataFrame) -> None:
    rows = large_train[large_train["Sales"] > 0]
    logs = np.log(rows["Sales"])
    noise = logs - logs.groupby([rows["Store"], rows["DayOfWeek"], rows["Promo"]]).transform("median")
    month = noise.groupby([rows["Store"], rows["Date"].dt.to_period("M")]).mean().unstack()
    own = month - month.mean()
    now, then = own.iloc[:, 1:].to_numpy().ravel(), own.iloc[:, :-1].to_numpy().ravel()
    known = ~np.isnan(now) & ~np.isnan(then)
    assert 0.5 < np.corrcoef(now[known], then[known])[0, 1] < 0.85


def test_statistics_of_three_days_by_hand() -> None:
    three = pd.DataFrame(
        {
            "Store": [1, 1, 1],
            "DayOfWeek": [7, 1, 2],
            "Date": ["2013-01-06", "2013-01-07", "2013-01-08"],
            "Sales": [0, 300, 100],
            "Customers": [0, 30, 20],
            "Open": [0, 1, 1],
            "Promo": [0, 1, 0],
            "StateHoliday": ["a", "0", "0"],
            "SchoolHoliday": [0, 0, 1],
        }
    )
    measured = statistics(three)
    assert measured["zero-sales rows"] == pytest.approx(1 / 3)
    assert measured["promo uplift (Mon-Fri)"] == pytest.approx(3)
    assert measured["weekday Mon"] == pytest.approx(1.5)
    assert measured["spend per customer"] == pytest.approx(7.5)
    assert measured["state holidays"] == pytest.approx(1 / 3)
    assert measured["rows missing"] == 0


@pytest.mark.parametrize(("stores", "days"), [(3, 200), (1, 28), (2, 1200)])
def test_small_worlds_and_long_ones_are_whole(tmp_path: Path, stores: int, days: int) -> None:
    out = write_world(tmp_path, stores=stores, days=days, horizon_days=5)
    train, plan = read(out, "train.csv"), read(out, "test.csv")
    assert train["Date"].nunique() == days
    assert len(plan) == 5 * stores
    assert train["Store"].nunique() == len(read(out, "store.csv")) == stores
    assert train["Sales"].max() > 0


@pytest.mark.parametrize(
    ("absurd", "sentence"),
    [({"stores": 0}, "0 stores"), ({"days": 27}, "27 days"), ({"horizon_days": 0}, "plan of 0 days")],
)
def test_absurd_worlds_are_refused_before_anything_is_written(tmp_path: Path, absurd: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        write_world(tmp_path / "out", **absurd)
    assert not (tmp_path / "out").exists()


def test_other_files_are_not_replaced_unasked(tmp_path: Path) -> None:
    write_world(tmp_path, stores=3, days=60)
    write_world(tmp_path, stores=3, days=60)  # the same bytes: nothing is lost
    (tmp_path / "train.csv").write_text("mine")
    with pytest.raises(DataError, match=r"other files \(train.csv\)"):
        write_world(tmp_path, stores=3, days=60)
    assert (tmp_path / "train.csv").read_text() == "mine"
    write_world(tmp_path, stores=3, days=60, replace=True)
    assert (tmp_path / "train.csv").read_text() != "mine"
