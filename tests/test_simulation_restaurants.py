"""The sample of restaurants: the same bytes for a seed, and its planted effects in the files by a plain group-by."""

import gzip
import tomllib
from inspect import signature
from pathlib import Path

import holidays
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli import commands
from rossmann.schema import MAX_TIMES_MEDIAN, WEEKDAY_NAMES
from rossmann.simulation import restaurants, write_restaurants
from rossmann.simulation.restaurant_files import DAYS, HORIZON_DAYS, STORES
from rossmann.validation import DataError

FILES = ["chain.toml", "coming.csv", "places.csv", "visits.csv.gz"]


def read_days(file: Path) -> pd.DataFrame:
    days = pd.read_csv(file)
    return days.assign(day=pd.to_datetime(days["day"], format="%Y/%m/%d"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_restaurants(tmp_path_factory.mktemp("restaurants"))


@pytest.fixture(scope="module")
def visits(sample: Path) -> pd.DataFrame:
    return read_days(sample / "visits.csv.gz")


@pytest.fixture(scope="module")
def ordinary(sample: Path, visits: pd.DataFrame) -> pd.DataFrame:
    """The visits without true peaks and December; excess: log revenue over the restaurant's median of the weekday."""
    peaks = tomllib.loads((sample / "chain.toml").read_text())["days"]["accept"]
    is_peak = (visits["restaurant"] + "@" + visits["day"].dt.strftime("%Y-%m-%d")).isin(peaks)
    rows = visits[~is_peak & (visits["day"].dt.month != 12)].assign(weekday=visits["day"].dt.weekday)
    log_revenue = np.log(rows["revenue"]) - restaurants.BOOKING * rows["bookings"]
    usual = log_revenue.groupby([rows["restaurant"], rows["weekday"]]).transform("median")
    japan = holidays.country_holidays("JP", years=(2016, 2017))
    return rows.assign(excess=log_revenue - usual, holiday=[japan.get(day, "") for day in rows["day"].dt.date])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        write_restaurants(tmp_path / name, stores=5, days=60, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert sorted(path.name for path in first.iterdir()) == FILES
    for name in FILES:
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_extra_days_and_a_longer_horizon_leave_the_days_before_as_they_are(tmp_path: Path) -> None:
    first = write_restaurants(tmp_path / "first", stores=6, days=90, seed=3)
    later = write_restaurants(tmp_path / "later", stores=6, days=90, seed=3, extra_days=HORIZON_DAYS, horizon_days=60)
    rows, more = (gzip.decompress((folder / "visits.csv.gz").read_bytes()) for folder in (first, later))
    assert more.startswith(rows)
    planned = read_days(first / "coming.csv")
    actual = read_days(later / "visits.csv.gz")
    pd.testing.assert_frame_equal(planned, actual.iloc[-len(planned) :][planned.columns].reset_index(drop=True))


def test_the_plan_follows_the_history_and_has_no_sales(sample: Path, visits: pd.DataFrame) -> None:
    plan = read_days(sample / "coming.csv")
    assert (visits["day"].min(), visits["day"].max()) == (pd.Timestamp("2016-01-02"), pd.Timestamp("2017-03-31"))
    assert (plan["day"].min(), plan["day"].max()) == (pd.Timestamp("2017-04-01"), pd.Timestamp("2017-05-05"))
    assert list(visits.columns) == [*plan.columns, "revenue"]
    assert set(plan["restaurant"]) == set(visits["restaurant"]) == set(pd.read_csv(sample / "places.csv")["restaurant"])


def test_each_restaurant_rests_on_its_weekday_and_all_of_them_at_new_year(sample: Path, visits: pd.DataFrame) -> None:
    rows = pd.concat([visits, read_days(sample / "coming.csv")])
    weekdays = rows.groupby("restaurant")["day"].agg(lambda day: len(set(day.dt.weekday)))
    assert set(weekdays) == {len(WEEKDAY_NAMES) - 1}
    assert not rows["day"].isin(pd.to_datetime(["2016-01-01", "2016-12-31", "2017-01-01"])).any()
    span = visits.groupby("restaurant")["day"].agg(lambda day: (day.max() - day.min()).days + 1)
    assert 1 - len(visits) / span.sum() == pytest.approx(0.15, abs=0.01)


def test_some_restaurants_open_in_between(visits: pd.DataFrame) -> None:
    first = visits.groupby("restaurant")["day"].min()
    assert (first > "2016-02-01").sum() == round(restaurants.NEW_SHARE * STORES)


def test_a_weekend_with_the_menu_sells_more(ordinary: pd.DataFrame) -> None:
    rows = ordinary[(ordinary["holiday"] == "")]
    assert set(rows.loc[rows["weekend_menu"] == 1, "weekday"]) == {5, 6}
    excess = rows[rows["weekday"] >= 5].groupby("weekend_menu")["excess"].mean()
    assert excess[1] - excess[0] == pytest.approx(restaurants.WEEKEND_MENU, abs=0.03)


def test_a_booking_adds_its_share(visits: pd.DataFrame) -> None:
    rows = visits[visits["day"].dt.weekday < 4]
    log_revenue = np.log(rows["revenue"])
    usual = log_revenue.groupby(rows["restaurant"]).transform("median")
    by_bookings = (log_revenue - usual).groupby(rows["bookings"]).mean()
    assert by_bookings[2] - by_bookings[0] == pytest.approx(2 * restaurants.BOOKING, abs=0.03)


def test_the_named_holidays_of_the_country_sell_as_weekends_do(ordinary: pd.DataFrame) -> None:
    workdays = ordinary[ordinary["weekday"] < 5]
    by_name = workdays[workdays["holiday"] != ""].groupby("holiday")["excess"].mean()
    assert len(by_name) >= 10
    ordinary_days = workdays.loc[workdays["holiday"] == "", "excess"].mean()
    assert (by_name - ordinary_days).mean() == pytest.approx(restaurants.HOLIDAY, abs=0.06)


def test_the_accepted_days_are_the_only_ones_beyond_the_limit(sample: Path, visits: pd.DataFrame) -> None:
    median = visits.groupby("restaurant")["revenue"].transform("median")
    peaks = visits[visits["revenue"] > MAX_TIMES_MEDIAN * median]
    keys = peaks["restaurant"] + "@" + peaks["day"].dt.strftime("%Y-%m-%d")
    assert sorted(keys) == sorted(tomllib.loads((sample / "chain.toml").read_text())["days"]["accept"])
    assert len(keys) == restaurants.PEAKS


def test_revenue_is_in_tens_of_thousands_and_ids_are_words(visits: pd.DataFrame) -> None:
    assert 50_000 < visits["revenue"].median() < 150_000
    assert visits["restaurant"].str.fullmatch("[a-z]+-[a-z]+").all()


def test_the_chain_file_is_short(sample: Path) -> None:
    assert len((sample / "chain.toml").read_text().splitlines()) <= 25


def test_more_restaurants_than_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are names for 200 restaurants; choose --stores 200 or fewer"):
        write_restaurants(tmp_path, stores=201, days=60)


def test_the_command_has_the_defaults_of_the_library() -> None:
    defaults = {name: parameter.default for name, parameter in signature(commands.restaurants).parameters.items()}
    assert (defaults["stores"], defaults["days"]) == (STORES, DAYS)


def test_the_command_writes_the_restaurants_and_not_the_other_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(commands.app, ["sample", "restaurants", "--stores", "3", "--days", "60"])
    assert result.exit_code == 0
    assert "3 restaurants × 60 days" in result.output
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == FILES
