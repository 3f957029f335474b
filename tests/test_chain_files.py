"""The files of any chain: which rows are set aside, which deliveries are refused, and with which words."""

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.cli.environment import run_flow
from flows.ingest import ingest
from rossmann import features, models
from rossmann.chain import parse_chain
from rossmann.data import IngestResult, load_snapshot, read_history, require_raw_files, save_snapshot
from rossmann.data.chain_files.tables import TEXT_NUMBERS_FROM
from rossmann.data.csv_parsing import HEADER_BYTES
from rossmann.data.day_rules import MIN_MEDIAN_DAYS, far_above_median
from rossmann.monitoring.slices import store_slices
from rossmann.validation import DataError, ValidationError

FIRST_DAY, DAYS = "2014-01-06", 140  # a Monday
STORES = ("north", "7", "Café")
WEEKLY_ON_EACH_DAY = tuple(f"W-{day}" for day in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"))
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


def test_the_values_of_chain_toml_are_hashed_with_the_history_and_its_comments_are_not(delivery):
    fingerprint = delivery.read().history.fingerprint
    written = delivery.toml
    delivery.toml = f"# ours\n{written}"
    assert delivery.read().history.fingerprint == fingerprint
    delivery.toml = f'{written}\n[forecast]\nloss = "mae"\n'
    assert delivery.read().history.fingerprint != fingerprint


def test_sales_of_a_closed_store_are_set_aside(delivery):
    delivery.days["open"] = 1
    delivery.toml = MINIMAL + 'open = "open"\n'
    delivery.set("north", "2014-04-02", "open", 0)
    (row,) = delivery.read().set_aside.to_dict("records")
    assert (row["check"], row["shop"], row["open"]) == ("closed_means_zero_sales", "north", 0)


def test_empty_sales_of_a_closed_store_are_zero(delivery):
    is_sunday = pd.to_datetime(delivery.days["day"]).dt.dayofweek == 6
    delivery.days = delivery.days.assign(amount=delivery.days["amount"].mask(is_sunday), open=~is_sunday)
    delivery.toml = MINIMAL + 'open = "open"\n'
    history = delivery.read().history
    assert (history.sales[:, 6::7] == 0).all()
    assert (history.calendar.open[:, 6:140:7] == 0).all()


def test_a_store_that_counts_no_customers_has_none_and_a_count_that_cannot_be_read_is_set_aside(delivery):
    delivery.days["visitors"] = 100
    delivery.toml = MINIMAL + 'customers = "visitors"\n'
    delivery.set("north", "2014-04-02", "visitors", "many")
    delivery.days.loc[delivery.days["shop"] == "7", "visitors"] = None
    result = delivery.read()
    assert result.set_aside[["check", "line"]].values.tolist() == [["readable_visitors", 88]]
    assert (result.history.traffic[0] == 0).all()
    assert (result.history.traffic[result.history.stores.label == "Café"] == 100).all()


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


@pytest.mark.parametrize("frequencies", [("W-MON",), ("MS",), WEEKLY_ON_EACH_DAY])
def test_sales_by_week_or_month_are_refused_as_such(frequencies, tmp_path):
    delivery = small_chain(tmp_path / "raw", 400, tuple(f"shop {k}" for k in range(len(frequencies))))
    rows = [
        delivery.days[(delivery.days["shop"] == store) & delivery.days["day"].isin(f"{day:%Y-%m-%d}" for day in dates)]
        for store, dates in (
            (f"shop {k}", pd.date_range(FIRST_DAY, "2015-12-31", freq=each)) for k, each in enumerate(frequencies)
        )
    ]
    delivery.days = pd.concat(rows)
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


def test_an_empty_column_acts_as_if_it_were_not_described(delivery):
    plain = delivery.read().history
    delivery.days = delivery.days.assign(open=None, visitors=None, deal=None, heat=None)
    delivery.others["places.csv"] = pd.DataFrame({"shop": STORES, "area": None})
    delivery.toml = MINIMAL + (
        'open = "open"\ncustomers = "visitors"\n[known]\npromo = { column = "deal", kind = "flag" }\n'
        'heat = { column = "heat" }\n[static]\narea = { file = "places.csv", column = "area" }\n'
    )
    history = delivery.read().history
    for name in ("open", "promotion", "covariates", "covariate_names"):
        np.testing.assert_array_equal(getattr(history.calendar, name), getattr(plain.calendar, name))
    np.testing.assert_array_equal(history.sales, plain.sales)
    save_snapshot(history, str(delivery.folder / "snapshots"), datetime(2015, 1, 1, tzinfo=UTC), "here")
    loaded = load_snapshot(str(delivery.folder / "snapshots"), history.fingerprint)
    assert loaded.chain == history.chain, "what chain.toml says is kept"


def test_a_column_that_only_the_plan_lacks_is_that_of_52_weeks_before(tmp_path):
    delivery = small_chain(tmp_path / "raw", 400)
    delivery.days["deal"] = (pd.to_datetime(delivery.days["day"]).dt.isocalendar().week % 2).to_numpy()
    delivery.days["open"] = 1
    plan = [(store, f"2015-02-{day:02}") for store in (*STORES, "new", "next") for day in range(8, 24)]
    delivery.others["plan.csv"] = pd.DataFrame(plan, columns=["shop", "day"]).assign(open=1)
    described = '[known]\npromo = { column = "deal", kind = "flag" }\n[plan]\nfile = "plan.csv"\n'
    delivery.toml = MINIMAL + 'open = "open"\n' + described + "[forecast]\nhorizon_days = 14\n"
    result = delivery.read()
    history = result.history
    days = len(history.dates)
    np.testing.assert_array_equal(
        history.calendar.promotion[:, days:], history.calendar.promotion[:, days - 364 : days - 350]
    )
    assert history.calendar.promotion[:, days:].any()
    assert (history.calendar.open[:, days:] == 1).all()
    assert "The plan has no values of deal: those of 52 weeks before are used." in result.raw_report.notes
    assert any(
        "2 stores of the plan have no sales and get no forecast: new, next" in note for note in result.raw_report.notes
    )
    past = delivery.read(date(2015, 2, 1)).history
    np.testing.assert_array_equal(
        past.calendar.promotion[:, -14:-5], history.calendar.promotion[:, days - 8 : days + 1]
    )


def test_a_wrong_date_format_is_told_with_few_of_many_files_and_where_to_correct_it(delivery):
    days = delivery.days.assign(day=pd.to_datetime(delivery.days["day"]).dt.strftime("%d/%m/%Y"))
    weeks = np.arange(len(days)) // 28
    delivery.others = {f"weeks/{week:02}.csv": rows for week, rows in days.groupby(weeks)}
    delivery.toml = MINIMAL.replace("days.csv", "weeks").replace('"day"', '{ column = "day", format = "%m/%d/%Y" }')
    with pytest.raises(ValidationError) as refusal:
        delivery.read()
    assert "weeks/00.csv, weeks/01.csv, weeks/02.csv and 12 more files: " in str(refusal.value)
    assert "if most are listed, the format of days.date in chain.toml" in str(refusal.value)


@pytest.mark.parametrize(("coming_days", "is_noted"), [(0, True), (7, False)])
def test_a_covariate_whose_file_ends_with_the_sales_is_noted(coming_days, is_noted, tmp_path):
    delivery, longer = small_chain(tmp_path / "raw"), small_chain(tmp_path, DAYS + coming_days)
    delivery.toml += '[known]\ntickets = { file = "tickets.csv", column = "tickets" }\n'
    delivery.others = {"tickets.csv": longer.days.rename(columns={"amount": "tickets"})}
    notes = [
        note for note in delivery.read().raw_report.notes if "known.tickets: tickets.csv ends on 2014-05-25" in note
    ]
    assert len(notes) == is_noted


def test_the_command_line_shows_the_notes_about_the_files(delivery, prefect_server, monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(delivery.folder.parent))
    monkeypatch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
    delivery.toml += 'accept = ["north@2014-01-01"]\n'
    run_flow(ingest, delivery.write())
    assert "chain.toml accepts rows that do not exist: north@2014-01-01" in capsys.readouterr().err


def test_all_holidays_of_a_day_in_a_file_count(delivery):
    delivery.toml += '[holidays]\nfile = "feasts.csv"\n'
    feasts = [("2014-02-03", "Fair"), ("2014-02-03", "Carnival"), ("2014-03-04", "Carnival")]
    delivery.others = {"feasts.csv": pd.DataFrame(feasts, columns=["date", "name"])}
    calendar = delivery.read().history.calendar
    days = {
        name.removeprefix("holiday "): calendar.dates[values[0] > 0].astype(str).tolist()
        for name, values in zip(calendar.covariate_names, calendar.covariates, strict=True)
    }
    assert days == {"Fair": ["2014-02-03"], "Carnival": ["2014-02-03", "2014-03-04"]}


def test_two_rows_of_a_store_and_day_are_refused_with_both_files_and_lines(delivery):
    halves = delivery.days[delivery.days["day"] < "2014-04-01"], delivery.days[delivery.days["day"] >= "2014-03-31"]
    for name, rows in zip(("2014.parquet", "new/a.csv"), halves, strict=True):
        delivery.others[name] = rows
    delivery.toml = MINIMAL.replace('file = "days.csv"', 'files = ["2014.parquet", "new"]')
    with pytest.raises(ValidationError, match="one_row_per_store_and_day") as refusal:
        delivery.read()
    table = refusal.value.table
    assert len(table) == 2 * len(STORES)
    assert table[["shop", "file", "line"]].values.tolist()[:2] == [["7", "2014.parquet", 170], ["7", "new/a.csv", 58]]
    assert "file 2014.parquet, shop 7" in str(refusal.value)
    assert "file new/a.csv, shop 7" in str(refusal.value)


def test_a_folder_of_csv_and_parquet_files_and_dates_with_a_time_are_read(delivery):
    plain = delivery.read().history
    days, dates = delivery.days, pd.to_datetime(delivery.days["day"])
    delivery.others = {
        "sales/a.parquet": days.assign(day=dates)[days["shop"] == "north"],
        "sales/b.csv": days.assign(day=days["day"] + " 00:00:00")[days["shop"] == "7"],
        "sales/c.csv.gz": days.assign(day=days["day"] + "T00:00")[days["shop"] == "Café"],
    }
    delivery.toml = MINIMAL.replace("days.csv", "sales")
    require_raw_files(delivery.write())
    np.testing.assert_array_equal(delivery.read().history.sales, plain.sales)


def test_stores_without_attributes_are_a_group_of_their_own_and_attributes_of_others_are_ignored(delivery):
    places = pd.DataFrame({"shop": ["north", "7", "gone"], "kind": ["a", "b", "a"], "area": [10, 20, 99]})
    delivery.others["places.csv"] = places
    delivery.toml = MINIMAL + (
        '[static]\nkind = { file = "places.csv", column = "kind", kind = "category" }\n'
        'area = { file = "places.csv", column = "area" }\n'
    )
    result = delivery.read()
    stores = result.history.stores
    assert dict(zip(stores.label, stores.first_attribute, strict=True)) == {"7": "b", "north": "a", "Café": ""}
    assert result.raw_report.notes[0] == "1 of 3 stores have no row for static.kind, and share a group: Café."
    delivery.others["places.csv"] = places.assign(shop=["x", "y", "z"])
    assert not len(delivery.read().history.calendar.covariate_names), "as if nothing was said of any store"


def test_any_number_of_categories_are_attributes_of_the_stores(delivery):
    kinds = {"kind": ["a", "a", "b"], "town": ["x", "y", "y"], "size": ["big", "small", "big"]}
    delivery.others["places.csv"] = pd.DataFrame({"shop": STORES} | kinds)
    lines = [f'{name} = {{ file = "places.csv", column = "{name}", kind = "category" }}' for name in kinds]
    delivery.toml = MINIMAL + "\n".join(["[static]", *lines])
    history = delivery.read().history
    rows = {
        label: values.tolist() for label, values in zip(history.stores.label, history.stores.attributes, strict=True)
    }
    assert rows == {
        label: list(values) for label, values in zip(STORES, zip(*kinds.values(), strict=True), strict=True)
    }
    assert not len(history.calendar.covariate_names)
    assert [name for name, _ in store_slices(history)] == [
        "kind a", "kind b", "town x", "town y", "size big", "size small",
    ]  # fmt: skip
    state = features.fit_state(history)
    columns = features.column_names(state, features.FeatureSpec())
    positions = [columns.index(f"attribute {json.dumps([name, *sorted(set(kinds[name]))])}") for name in kinds]
    matrix = features.build(state, history.plan(history.origin, 1), features.FeatureSpec())
    np.testing.assert_array_equal(matrix[:, positions], history.stores.attribute_codes)
    save_snapshot(history, str(delivery.folder / "snapshots"), datetime(2015, 1, 1, tzinfo=UTC), "here")
    loaded = load_snapshot(str(delivery.folder / "snapshots"))
    assert loaded.fingerprint == history.fingerprint
    np.testing.assert_array_equal(loaded.stores.attributes, history.stores.attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: b"\xff\xfe" + text.encode("utf-16-le"), "not UTF-8 text"),
        (lambda text: text.replace(",", ";").encode(), "separates its cells by semicolons"),
    ],
)
def test_files_that_are_no_plain_csv_are_refused_as_before(change, message, delivery):
    path = Path(delivery.write()) / "days.csv"
    path.write_bytes(change(path.read_text()))
    for read in (require_raw_files, read_history):
        with pytest.raises(DataError, match=message):
            read(str(delivery.folder))


def test_a_byte_order_mark_and_line_ends_of_windows_are_read(delivery):
    plain = delivery.read().history
    for name in ("days.csv", "chain.toml"):
        path = delivery.folder / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(read_history(str(delivery.folder)).history.sales, plain.sales)


FILES = {
    "days": '[days]\nfile = "FILE"\nstore = "shop"\ndate = "day"\nsales = "amount"\n',
    "plan": MINIMAL + '[plan]\nfile = "FILE"\n',
    "known": MINIMAL + '[known]\nheat = { file = "FILE", column = "heat" }\n',
    "static": MINIMAL + '[static]\nkind = { file = "FILE", column = "heat", kind = "category" }\n',
    "holidays": MINIMAL + '[holidays]\nfile = "FILE"\ndate = "day"\nname = "heat"\n',
}


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("table", FILES)
def test_a_wrong_header_of_any_file_is_told_before_anything_is_read(table, ending, delivery):
    lacking = {"days": "amount", "plan": "shop", "known": "day", "static": "heat", "holidays": "heat"}[table]
    whole = delivery.days.assign(heat="1")
    delivery.toml = FILES[table].replace("FILE", f"other.{ending}")
    delivery.others[f"other.{ending}"] = whole
    require_raw_files(delivery.write())
    delivery.others[f"other.{ending}"] = whole.drop(columns=lacking)
    with pytest.raises(DataError, match=rf"other\.{ending} has no column {lacking}"):
        require_raw_files(delivery.write())
    damaged = delivery.folder / f"other.{ending}"
    if ending != "csv":
        damaged.write_bytes(b"shop,day,amount,heat\n" * 9)
        with pytest.raises(DataError, match=rf"other\.{ending} is no .* file"):
            require_raw_files(str(delivery.folder))


@pytest.mark.parametrize(("name", "message"), [("days.csv", "no train.csv"), ("train.csv", "no column Store")])
def test_a_delivery_without_its_chain_toml_is_told_that_it_needs_one(name, message, delivery):
    delivery.others = {name: delivery.days}
    folder = delivery.write()
    (delivery.folder / "chain.toml").unlink()
    with pytest.raises(DataError, match=f"{message}.* need a chain.toml beside them: copy that of the last delivery"):
        require_raw_files(folder)


def test_of_a_parquet_file_only_the_footer_is_read_even_if_it_is_long(delivery):
    wide = {f"column {k:05}": [1.0] for k in range(2000)}
    delivery.others["days.parquet"] = pd.DataFrame(wide | {"shop": ["a"], "day": ["2014-01-01"], "amount": [1.0]})
    delivery.toml = MINIMAL.replace("days.csv", "days.parquet")
    path = Path(delivery.write()) / "days.parquet"
    require_raw_files(str(delivery.folder))
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    assert footer > HEADER_BYTES
    path.write_bytes(b"\0" * (len(content) - footer) + content[-footer:])
    require_raw_files(str(delivery.folder))


MISTAKES = {
    "unknown key": (MINIMAL + 'sale = "x"\n', "there is no key days.sale; correct it to one of files, store, date,"),
    "unknown table": (MINIMAL + "[day]\n", "there is no key day; correct it to one of days, known, plan,"),
    "unknown key of a covariate": (
        MINIMAL + '[known]\nheat = { column = "heat", sort = "flag" }\n',
        "there is no key known.heat.sort; correct it to one of column, kind, file",
    ),
    "unknown key of a place": (
        MINIMAL + '[holidays]\nfile = "h.csv"\nplace = { column = "c", static = ["s"], city = "x" }\n',
        "there is no key holidays.place.city; correct it to one of column, static, everywhere, or",
    ),
    "unknown key of a date": (
        MINIMAL + '[known]\nheat = { file = "h.csv", column = "heat", date = { column = "d", form = "%d" } }\n',
        "there is no key known.heat.date.form; correct it to one of column, format, or",
    ),
    "unknown key of an attribute called date": (
        MINIMAL + '[static]\ndate = { file = "s.csv", column = "heat", kinds = "flag" }\n',
        "there is no key static.date.kinds; correct it to one of column, kind, file",
    ),
    "a number for a table of files": ("plan = 3\n" + MINIMAL, 'plan needs a table, as { file = "…" }'),
    "a text for a place": (
        MINIMAL + '[holidays]\nfile = "h.csv"\nplace = "c"\n',
        r'holidays.place needs a table, as { column = "…", static = \["…"\] }',
    ),
    "kind misspelled": (
        MINIMAL + '[known]\nheat = { column = "heat", kind = "flags" }\n',
        "known.heat.kind: Input should be 'flag', 'number' or 'category'",
    ),
    "no table": (MINIMAL + '[known]\nheat = "heat"\n', 'known.heat needs a table, as { column = "…" }'),
    "no sales": (MINIMAL.replace("sales", "# sales"), "days.sales is missing; add it"),
    "horizon": (MINIMAL + "[forecast]\nhorizon_days = 0\n", "horizon_days: Input should be greater than or equal to 1"),
    "date format": (MINIMAL.replace('"day"', '{ column = "day", format = "dd.mm.yyyy" }'), "has no directive like %Y"),
    "promotion": (
        MINIMAL + '[known]\npromo = { column = "heat", kind = "category" }\n',
        "known.promo is a category; make it a flag or a number",
    ),
    "one column for two": (MINIMAL.replace('"shop"', '"day"'), "days: a column is named twice: day, day, amount"),
    "country": (MINIMAL + '[holidays]\ncountry = "XX"\n', "holidays.country XX is none that .* Write its ISO code"),
    "two sources": (MINIMAL + '[holidays]\ncountry = "EC"\nfile = "a.csv"\n', "write either country or file"),
    "subdivision": (
        MINIMAL + '[static]\nstate = { file = "s.csv", column = "s" }\n'
        '[holidays]\ncountry = "DE"\nsubdivision = "state"\n',
        'holidays.subdivision names state: add it to .static. with kind = "category"',
    ),
    "a covariate that is the sales": (
        MINIMAL + '[known]\nheat = { column = "amount" }\n',
        "known.heat is the column amount, which days.sales names",
    ),
    "a column of two kinds": (
        MINIMAL + '[known]\nheat = { column = "x" }\ncold = { column = "x", kind = "flag" }\n',
        "known.cold and known.heat read the column x as flag and number",
    ),
    "a name that rows have": (
        MINIMAL + '[known]\nstore = { column = "x" }\n',
        "store has another meaning in plans and requests",
    ),
    "not TOML": ("days = [", "is not TOML"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_chain_toml_is_told_with_what_to_do(case, delivery):
    delivery.toml, message = MISTAKES[case]
    with pytest.raises(DataError, match=message):
        require_raw_files(delivery.write())


def test_two_rows_of_a_covariate_for_one_day_are_refused(delivery):
    delivery.others["heat.csv"] = delivery.days.assign(heat=1)[["shop", "day", "heat"]].iloc[[0, 0, 1, 2]]
    delivery.toml = MINIMAL + '[known]\nheat = { file = "heat.csv", column = "heat" }\n'
    with pytest.raises(ValidationError, match=r"heat\.csv: 2 rows: more than one row for the same store and day"):
        delivery.read()


def test_two_holidays_on_one_day_are_both_named(delivery):
    feasts = pd.DataFrame({"date": ["2014-03-01", "2014-03-01"], "name": ["Carnival", "Founding day"]})
    delivery.others["feasts.csv"] = feasts
    delivery.toml = MINIMAL + '[holidays]\nfile = "feasts.csv"\n'
    calendar = delivery.read().history.calendar
    assert calendar.covariate_names.tolist() == ["holiday Carnival", "holiday Founding day"]


def test_a_subdivision_that_does_not_exist_is_told_with_those_that_do(delivery):
    delivery.others["places.csv"] = pd.DataFrame({"shop": STORES, "state": ["BE", "ZZ", "BY"]})
    delivery.toml = MINIMAL + (
        '[static]\nstate = { file = "places.csv", column = "state", kind = "category" }\n'
        '[holidays]\ncountry = "DE"\nsubdivision = "state"\n'
    )
    with pytest.raises(DataError, match=r"a store is in ZZ, which .* does not have for DE. Use BB, BE"):
        delivery.read()


def test_two_labels_with_the_same_number_are_refused(tmp_path):
    numbers: dict[int, str] = {}
    labels = (hashlib.md5(str(k).encode()).hexdigest() for k in range(1_000_000))
    first, second = next(
        (numbers[number], label)
        for label in labels
        if numbers.setdefault(number := zlib.crc32(label.encode()) % TEXT_NUMBERS_FROM, label) != label
    )
    with pytest.raises(DataError, match=f"The stores .*{second}.* have the same number .*: rename one"):
        small_chain(tmp_path / "raw", stores=(first, second)).read()


def test_the_horizon_of_chain_toml_wins_over_the_setting(delivery):
    delivery.toml = MINIMAL + "[forecast]\nhorizon_days = 9\n"
    assert read_history(delivery.write(), None, 48).history.horizon_days == 9


@pytest.mark.parametrize("factor", [4000, 1 / 5000])
def test_amounts_in_another_currency_have_the_same_verdict_and_forecasts_that_scale(factor, tmp_path):
    (delivery := small_chain(tmp_path / "raw", 450)).read()
    for day, value in (("2014-04-02", 20 * 4000.0), ("2014-05-01", 900_000.0), ("2014-05-02", -3.0), ("2014-05-03", 0)):
        delivery.set("north", day, "amount", value)
    delivery.days["amount"] = delivery.days["amount"].astype(float)
    one = delivery.read()
    delivery.days["amount"] *= factor
    other = delivery.read()
    pd.testing.assert_frame_equal(one.set_aside[["check", "line"]], other.set_aside[["check", "line"]])
    assert set(one.set_aside["check"]) == {"amount_not_negative", "amount_plausible_for_the_store"}
    assert one.clean_report.repairs == other.clean_report.repairs
    np.testing.assert_allclose(other.history.sales, one.history.sales * factor, rtol=1e-12)
    ridge = next(each for each in models.candidates(("ridge",)) if each.name == "ridge")
    forecasts = []
    for history in (one.history, other.history):
        forecaster, state = models.fit(ridge, (), history.origin, 0), features.fit_state(history)
        forecasts.append(forecaster.predict(state, history.plan(state.origin, state.horizon_days)))
    np.testing.assert_allclose(forecasts[1].sales, forecasts[0].sales * factor, rtol=1e-6)
    np.testing.assert_allclose(forecasts[1].standard_deviation, forecasts[0].standard_deviation, atol=1e-6)


SIDE_FILES = """
[known]
oil = { file = "oil.csv", column = "price", stores = "all", date = { column = "when", format = "%d.%m.%Y" } }
event = { file = "events.csv", column = "kind", kind = "category", stores = "all" }
rain = { file = "rain.csv", column = "mm", store = "shop_id", date = "date" }

[static]
city = { file = "shops.csv", column = "city", kind = "category", store = "shop_id" }
land = { file = "shops.csv", column = "land", kind = "category", store = "shop_id" }

[holidays]
file = "holidays.csv"
date = "date"
name = "what"
place = { column = "where", static = ["city", "land"], everywhere = ["Republic"] }
"""


@pytest.fixture
def side_files(delivery) -> Delivery:
    """A chain with a price and events of all stores, keys under other names, and holidays of places."""
    delivery.toml += SIDE_FILES
    shops = pd.DataFrame({"shop_id": STORES, "city": ["Aa", "Bb", "Bb"], "land": ["L", "M", "M"]})
    dates = pd.date_range(FIRST_DAY, periods=DAYS + 20)
    weekdays = dates[dates.dayofweek < 5]
    rain = pd.DataFrame(
        [(shop, day, k + (day.day % 7)) for k, shop in enumerate(STORES) for day in dates],
        columns=["shop_id", "date", "mm"],
    )
    holidays = [("2014-02-03", "Republic", "Founding"), ("2014-02-10", "Bb", "Fair"), ("2014-02-11", "L", "Saint")]
    delivery.others = {
        "shops.csv": shops,
        "oil.csv": pd.DataFrame({"when": weekdays.strftime("%d.%m.%Y"), "price": np.arange(len(weekdays)) + 50.0}),
        "events.csv": pd.DataFrame(
            {"day": ["2014-01-08", "2014-03-05", "2014-05-30"], "kind": ["match", "match", "fair"]}
        ),
        "rain.csv": rain,
        "holidays.csv": pd.DataFrame(
            [*holidays, ("2014-02-12", None, "Spring"), ("2014-02-13", "Zz", "Else")], columns=["date", "where", "what"]
        ),
    }
    return delivery


def test_a_file_without_stores_counts_for_all_and_keys_may_have_other_names(side_files):
    history = side_files.read().history
    calendar = history.calendar
    values = dict(zip(calendar.covariate_names.tolist(), calendar.covariates, strict=True))
    monday, saturday, sunday = (
        calendar.positions(np.datetime64(day)) for day in ("2014-01-13", "2014-01-18", "2014-01-19")
    )
    assert (values["number oil"][:, monday] == 55).all()  # the sixth weekday
    assert (values["number oil"][:, [saturday, sunday]] == 59).all(), "the price of Friday holds until Monday"
    match = values["flag event=match"]
    assert (match == match[0]).all()
    assert np.flatnonzero(match[0]).tolist() == [2, 58]
    assert values["number rain"][:, 0].tolist() == [6 + STORES.index(label) for label in history.stores.label]


def test_a_holiday_of_a_place_is_one_of_the_stores_there(side_files):
    result = side_files.read()
    calendar, label = result.history.calendar, result.history.stores.label
    days = {
        str(calendar.dates[day]): set(label[stores])
        for day in range(60)
        if (stores := calendar.holiday_kind[:, day] > 0).any()
    }
    assert days == {
        "2014-02-03": set(STORES),
        "2014-02-10": {"7", "Café"},
        "2014-02-11": {"north"},
        "2014-02-12": set(STORES),
    }
    notes = result.raw_report.notes
    assert any("no store is in Zz" in note for note in notes), notes


def test_two_rows_of_a_covariate_of_all_stores_on_one_day_are_refused(side_files):
    events = side_files.others["events.csv"]
    side_files.others["events.csv"] = pd.concat([events, events.iloc[:1]])
    with pytest.raises(ValidationError, match="more than one row for the day"):
        side_files.read()


def test_amounts_are_in_euros_for_kaggles_files_and_in_the_sales_of_another_chain():
    assert parse_chain("").unit == "EUR"
    assert parse_chain('[days]\nfile = "d.csv"\nstore = "s"\ndate = "d"\nsales = "umsatz"\n').unit == "umsatz"
