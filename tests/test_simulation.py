"""The sample chain: Kaggle's file format, statistics within bands of the real chain's, the same bytes for a seed."""

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rossmann.simulation import chain_statistics, write_sample
from rossmann.validation import DataError

DEFAULT_SHA256 = {
    "store.csv": "d61d334709c83348562a819c6a7a3221796edea692dd6e58fdcba742f3814aa8",
    "test.csv": "0bb003ac70247c7b53434d93064adc53cb3092c236264014e995f838bf7c106e",
    "train.csv": "decf85fc8e2155351f4fda6c98ac5f766465403fdee71606ed2f8041c3022b64",
}
FILES = tuple(DEFAULT_SHA256)
PLAN_COLUMNS = ("Open", "Promo", "StateHoliday", "SchoolHoliday")


def read(folder: Path, name: str) -> pd.DataFrame:
    days = {} if name == "store.csv" else {"parse_dates": ["Date"], "dtype": {"StateHoliday": str}}
    return pd.read_csv(folder / name, **days)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def train(sample: Path) -> pd.DataFrame:
    return read(sample, "train.csv")


@pytest.fixture(scope="module")
def plan(sample: Path) -> pd.DataFrame:
    return read(sample, "test.csv")


@pytest.fixture(scope="module")
def large_train(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read(write_sample(tmp_path_factory.mktemp("large"), stores=300), "train.csv")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        write_sample(tmp_path / name, stores=12, days=120, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    for name in FILES:
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_a_longer_horizon_leaves_the_history_as_it_is(tmp_path: Path) -> None:
    near, far = (write_sample(tmp_path / str(n), stores=12, days=120, horizon_days=n) for n in (7, 90))
    assert (near / "train.csv").read_bytes() == (far / "train.csv").read_bytes()
    near_plan, far_plan = read(near, "test.csv"), read(far, "test.csv")
    both = near_plan.merge(far_plan, on=["Store", "Date"])
    for column in PLAN_COLUMNS:
        assert (both[f"{column}_x"] == both[f"{column}_y"]).all()


def test_the_default_sample_has_the_bytes_of_earlier_versions(sample: Path) -> None:
    assert {name: hashlib.sha256((sample / name).read_bytes()).hexdigest() for name in FILES} == DEFAULT_SHA256


def rows_of(folder: Path) -> bytes:
    """train.csv without its header."""
    return (folder / "train.csv").read_bytes().split(b"\n", 1)[1]


@pytest.mark.parametrize("days", [300, 357, 359])  # the last two end within three days of Christmas
def test_extra_days_continue_the_same_chain(tmp_path: Path, days: int) -> None:
    """The latest day comes first, so the rows of the shorter file are the end of the longer one."""
    folders = [write_sample(tmp_path / str(extra), 12, days, seed=3, extra_days=extra) for extra in (0, 1, 28, 60)]
    for shorter, longer in pairwise(folders):
        assert rows_of(longer).endswith(rows_of(shorter))
        assert (longer / "store.csv").read_bytes() == (shorter / "store.csv").read_bytes()
    assert [read(folder, "train.csv")["Date"].nunique() for folder in folders] == [days + n for n in (0, 1, 28, 60)]


def test_extra_days_have_the_calendar_that_was_published_for_them(tmp_path: Path) -> None:
    first = read(write_sample(tmp_path / "first", 12, 330, seed=3), "test.csv")  # with a refurbishment and Christmas
    later = read(write_sample(tmp_path / "later", 12, 330, seed=3, extra_days=48), "train.csv")
    both = first.merge(later, on=["Store", "Date"])
    assert len(both) == len(first) == 12 * 48
    for column in PLAN_COLUMNS:
        assert both[f"{column}_x"].nunique() > 1
        assert (both[f"{column}_x"] == both[f"{column}_y"]).all()


def test_extra_days_sell_as_the_days_before_them(tmp_path: Path) -> None:
    days = read(write_sample(tmp_path, 100, 600, seed=3, extra_days=364), "train.csv")
    days = days[days["Sales"] > 0]
    is_extra = days["Date"] >= np.datetime64("2013-01-01") + 600
    year_before = days["Date"] >= np.datetime64("2013-01-01") + 236
    first, extra = (chain_statistics(rows) for rows in (days[year_before & ~is_extra], days[is_extra]))
    assert 1.0 < extra["sales per selling day"] / first["sales per selling day"] < 1.1, "the chain grows"
    for name in ("noise (sd)", "promo uplift (Mon-Fri)", "sales per customer"):
        assert extra[name] == pytest.approx(first[name], rel=0.1), name


def test_only_the_three_files_remain_and_they_replace_earlier_ones(tmp_path: Path) -> None:
    out = write_sample(tmp_path / "deep" / "folder", stores=2, days=28)
    before = (out / "train.csv").read_bytes()
    write_sample(out, stores=3, days=28, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == list(FILES)
    assert (out / "train.csv").read_bytes() != before


def test_headers_and_quotes_are_those_of_kaggle(sample: Path) -> None:
    lines = {name: (sample / name).read_bytes().split(b"\n") for name in FILES}
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


def test_every_row_follows_the_rules_of_the_chain(train: pd.DataFrame, plan: pd.DataFrame) -> None:
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


def test_a_few_stores_have_no_rows_for_half_a_year_and_all_others_have_every_row(train: pd.DataFrame) -> None:
    days = train.groupby("Store").size()
    with_gap = days.index[days < 942]
    assert 2 <= len(with_gap) <= 15
    assert set(days) == {942, 942 - 184}
    dates = pd.DatetimeIndex(train.loc[train["Store"] == with_gap[0], "Date"])
    missing = pd.date_range("2013-01-01", "2015-07-31").difference(dates)
    assert missing.equals(pd.date_range("2014-07-01", "2014-12-31"))


def test_some_stores_stay_closed_for_two_weeks_and_more(train: pd.DataFrame) -> None:
    by_day = train.pivot(index="Date", columns="Store", values="Open").fillna(1)
    assert (by_day.rolling(14).sum() == 0).any().sum() >= 2


def test_state_holidays_fall_on_their_dates_and_differ_between_states(train: pd.DataFrame) -> None:
    holiday = train.pivot(index="Date", columns="Store", values="StateHoliday")
    is_holiday = (holiday != "0") & holiday.notna()
    everywhere = holiday[is_holiday.sum(axis=1) == holiday.notna().sum(axis=1)]
    of_2013 = everywhere[everywhere.index.year == 2013].iloc[:, 0]
    assert {f"{date:%m-%d}": code for date, code in of_2013.items()} == {
        "01-01": "a", "03-29": "b", "04-01": "b", "05-01": "a", "05-09": "a", "05-20": "a", "10-03": "a",
        "12-25": "c", "12-26": "c",
    }  # fmt: skip
    corpus_christi = is_holiday.loc["2014-06-19"].mean()
    assert 0.5 < corpus_christi < 0.85
    assert is_holiday.loc["2013-11-20"].any()  # repentance, in one state
    open_at_christmas = train[(train["StateHoliday"] == "c") & (train["Open"] == 1)]
    assert open_at_christmas["Store"].nunique() <= 3


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
    out = write_sample(tmp_path, stores=300)
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


# Statistic of the real chain, and how far a sample of 300 stores may differ. data/README.md has the whole table.
BANDS = {
    "rows missing": (0.033, 0.01),
    "zero-sales rows": (0.171, 0.015),
    "promo days": (0.380, 0.04),
    "school holidays": (0.175, 0.04),
    "state holidays": (0.032, 0.005),
    "stores open on Sundays": (0.030, 0.01),
    "sales per selling day": (6945, 700),
    "customers per selling day": (764, 120),
    "sales per customer": (9.46, 0.8),
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


def test_the_sample_is_similar_to_the_real_chain(large_train: pd.DataFrame) -> None:
    statistics = chain_statistics(large_train)
    outside = {name: statistics[name] for name, (real, width) in BANDS.items() if abs(statistics[name] - real) > width}
    assert not outside
    assert statistics["noise, excess kurtosis"] > 2
    assert 0 < statistics["open rows without sales, per million"] < 200


def test_the_level_of_a_store_changes_over_months(large_train: pd.DataFrame) -> None:
    rows = large_train[large_train["Sales"] > 0]
    logs = np.log(rows["Sales"])
    noise = logs - logs.groupby([rows["Store"], rows["DayOfWeek"], rows["Promo"]]).transform("median")
    month = noise.groupby([rows["Store"], rows["Date"].dt.to_period("M")]).mean().unstack()
    deviation = month - month.mean()
    current, previous = deviation.iloc[:, 1:].to_numpy().ravel(), deviation.iloc[:, :-1].to_numpy().ravel()
    valid = ~np.isnan(current) & ~np.isnan(previous)
    assert 0.5 < np.corrcoef(current[valid], previous[valid])[0, 1] < 0.85


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
    statistics = chain_statistics(three)
    assert statistics["zero-sales rows"] == pytest.approx(1 / 3)
    assert statistics["promo uplift (Mon-Fri)"] == pytest.approx(3)
    assert statistics["weekday Mon"] == pytest.approx(1.5)
    assert statistics["sales per customer"] == pytest.approx(7.5)
    assert statistics["state holidays"] == pytest.approx(1 / 3)
    assert statistics["rows missing"] == 0


@pytest.mark.parametrize(("stores", "days"), [(3, 200), (1, 28), (2, 1200)])
def test_small_and_long_samples_are_complete(tmp_path: Path, stores: int, days: int) -> None:
    out = write_sample(tmp_path, stores=stores, days=days, horizon_days=5)
    train, plan = read(out, "train.csv"), read(out, "test.csv")
    assert train["Date"].nunique() == days
    assert len(plan) == 5 * stores
    assert train["Store"].nunique() == len(read(out, "store.csv")) == stores
    assert train["Sales"].max() > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"stores": 0}, "0 stores"),
        ({"days": 27}, "27 days"),
        ({"horizon_days": 0}, "plan of 0 days"),
        ({"extra_days": -1}, "-1 extra days"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        write_sample(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_other_files_are_replaced_only_on_request(tmp_path: Path) -> None:
    write_sample(tmp_path, stores=3, days=60)
    write_sample(tmp_path, stores=3, days=60)  # the same bytes: nothing is lost
    (tmp_path / "train.csv").write_text("mine")
    with pytest.raises(DataError, match=r"other files \(train.csv\)"):
        write_sample(tmp_path, stores=3, days=60)
    assert (tmp_path / "train.csv").read_text() == "mine"
    write_sample(tmp_path, stores=3, days=60, overwrite=True)
    assert (tmp_path / "train.csv").read_text() != "mine"
