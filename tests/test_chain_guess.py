"""`rossmann init`: what it guesses from three differently shaped folders, and what it refuses."""

import gzip
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli.commands import app
from rossmann.chain import parse_chain
from rossmann.data import read_history
from rossmann.data.chain_guess import CHAIN_FILE, guess_chain, write_chain_file
from rossmann.simulation import write_restaurants, write_sample
from rossmann.validation import DataError
from tests.support.commands import imported_packages

DAYS = pd.date_range("2016-01-01", periods=120)
ROWS = ("1a", "1b", "2a", "2b")  # of a store and an item
RANDOM = np.random.default_rng(3)


def init(folder: Path) -> dict:
    """What the chain.toml that init writes says."""
    write_chain_file(guess_chain(str(folder)))
    return tomllib.loads((folder / CHAIN_FILE).read_text())


def comments(folder: Path) -> str:
    """The comments of chain.toml as one line."""
    lines = (folder / CHAIN_FILE).read_text().splitlines()
    return " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))


def proposal(folder: Path, name: str) -> str:
    """A line of chain.toml that is commented out, as it would be in force."""
    lines = (folder / CHAIN_FILE).read_text().splitlines()
    return next(line.removeprefix("# ") for line in lines if line.startswith(f"# {name} = "))


def store_days(store: str, date: str, stores: list) -> pd.DataFrame:
    """One row per store and day."""
    return pd.MultiIndex.from_product([stores, DAYS], names=[store, date]).to_frame(index=False)


def amounts(rows: pd.DataFrame | pd.Index, low: int, high: int) -> np.ndarray:
    return RANDOM.integers(low, high, len(rows))


@pytest.fixture
def ecuador(tmp_path: Path) -> Path:
    """Shops by number, attributes as words and numbers, named holidays of places."""
    days = store_days("store_nbr", "date", list(range(1, 13)))
    days.assign(transactions=amounts(days, 400, 3000)).drop(index=[5, 6, *range(150, 180)]).to_csv(
        tmp_path / "transactions.csv", index=False, date_format="%m/%d/%Y"
    )
    pd.DataFrame(
        {
            "store_nbr": range(1, 13),
            "city": ["Quito", "Cuenca", "Loja"] * 4,
            "state": ["Pichincha", "Azuay"] * 6,
            "type": list("ABCDDD") * 2,
            "cluster": [1, 2, 4, 4] * 3,
            "size_m2": [80, 80, 250, 300] * 3,
        }
    ).to_csv(tmp_path / "stores.csv", index=False)
    (tmp_path / "holidays_events.csv").write_text(
        "date,type,locale,description\n2016-01-01,Holiday,National,Primer dia del ano\n"
        "2016-02-08,Holiday,National,Carnaval\n2016-04-12,Holiday,Local,Fundacion de Cuenca\n"
    )
    return tmp_path


@pytest.fixture
def japan(tmp_path: Path) -> Path:
    """Restaurants by a hash, without rows on the day of rest, and a calendar without names."""
    ids = [f"air_{number:016x}" for number in RANDOM.integers(0, 2**60, 9)]
    days = store_days("air_store_id", "visit_date", ids)
    days = days[days.visit_date.dt.weekday != 0]
    days.assign(visitors=amounts(days, 1, 60)).to_csv(tmp_path / "air_visit_data.csv", index=False)
    pd.DataFrame(
        {
            "air_store_id": ids,
            "air_genre_name": ["Izakaya", "Cafe/Sweets", "Bar/Cocktail"] * 3,
            "air_area_name": ["Tōkyō-to Shibuya-ku", "Ōsaka-fu Ōsaka-shi", "Fukuoka-ken Fukuoka-shi"] * 3,
            "latitude": RANDOM.random(9),
            "longitude": RANDOM.random(9),
        }
    ).to_csv(tmp_path / "air_store_info.csv", index=False)
    holiday = (DAYS.day == 11).astype(int)
    pd.DataFrame({"calendar_date": DAYS, "day_of_week": DAYS.day_name(), "holiday_flg": holiday}).to_csv(
        tmp_path / "date_info.csv", index=False
    )
    return tmp_path


def test_shops_with_attributes_and_named_holidays(ecuador: Path) -> None:
    chain = init(ecuador)
    assert chain["days"] == {
        "file": "transactions.csv",
        "store": "store_nbr",
        "date": {"column": "date", "format": "%m/%d/%Y"},
        "sales": "transactions",
        "missing": "unknown",
    }
    kinds = dict.fromkeys(("city", "state", "type", "cluster"), "category") | {"size_m2": "number"}
    assert {name: each["kind"] for name, each in chain["static"].items()} == kinds
    assert chain["holidays"] == {"file": "holidays_events.csv", "date": "date", "name": "description"}
    text = comments(ecuador)
    assert "1,408 rows, 12 stores, 2016-01-01 to 2016-04-29" in text
    assert "2 of 1,410 days between others of their store have no row (0.1%)" in text
    assert "Not read: type, locale" in text
    assert "No file has days after 2016-04-29" in text


def test_restaurants_with_days_of_rest_and_a_calendar_without_names(japan: Path) -> None:
    chain = init(japan)
    assert chain["days"] == {
        "file": "air_visit_data.csv",
        "store": "air_store_id",
        "date": "visit_date",
        "sales": "visitors",
        "missing": "closed",
    }
    kinds = {name: each["kind"] for name, each in chain["static"].items()}
    assert kinds == {
        "air_genre_name": "category", "air_area_name": "category", "latitude": "number", "longitude": "number",
    }  # fmt: skip
    assert "holidays" not in chain
    holiday = tomllib.loads(proposal(japan, "holiday_flg"))["holiday_flg"]
    assert holiday == {
        "file": "date_info.csv", "column": "holiday_flg", "kind": "flag", "stores": "all", "date": "calendar_date",
    }  # fmt: skip
    assert "none after the sales; the same for all stores" in comments(japan)


def test_holidays_of_places_and_files_with_other_keys(ecuador: Path) -> None:
    days = pd.date_range("2015-12-01", "2016-06-30")
    pd.DataFrame({"when": days.strftime("%d.%m.%Y"), "oil": amounts(days, 400, 999) / 10}).to_csv(
        ecuador / "oil.csv", index=False
    )
    stores = pd.read_csv(ecuador / "stores.csv").rename(columns={"store_nbr": "number"})
    stores.to_csv(ecuador / "stores.csv", index=False)
    (ecuador / "holidays_events.csv").write_text(
        "date,type,locale,locale_name,description\n2016-01-01,Holiday,National,Ecuador,Primer dia del ano\n"
        "2016-04-12,Holiday,Local,Cuenca,Fundacion de Cuenca\n2016-04-13,Holiday,Local,Loja,Fundacion de Loja\n"
        "2016-04-14,Holiday,Regional,Azuay,Provincializacion\n2016-04-15,Holiday,Regional,Pichincha,Batalla\n"
    )
    chain = init(ecuador)
    assert chain["known"]["oil"] == {
        "file": "oil.csv", "column": "oil", "kind": "number", "stores": "all",
        "date": {"column": "when", "format": "%d.%m.%Y"},
    }  # fmt: skip
    assert chain["static"]["city"] == {
        "file": "stores.csv", "column": "city", "kind": "category", "store": "number",
    }  # fmt: skip
    assert chain["holidays"]["place"] == {
        "column": "locale_name", "static": ["city", "state"], "everywhere": ["Ecuador"],
    }  # fmt: skip
    history = read_history(str(ecuador)).history
    calendar, city = history.calendar, stores.set_index("number").city.reindex(history.stores.number).to_numpy()
    fair = calendar.positions(np.datetime64("2016-04-12"))
    assert set(city[calendar.holiday_kind[:, fair] > 0]) == {"Cuenca"}
    assert (calendar.holiday_kind[:, 0] > 0).all()


def test_kaggles_format_needs_no_chain_file(tmp_path: Path) -> None:
    write_sample(tmp_path, stores=2, days=28)
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert result.exit_code == 0
    assert "no chain.toml is needed" in result.output
    assert f"next: rossmann retrain --raw {tmp_path}" in result.output
    assert not (tmp_path / CHAIN_FILE).exists()


def test_what_is_guessed_for_the_restaurants_is_what_their_own_file_says(tmp_path: Path) -> None:
    write_restaurants(tmp_path, stores=40, days=200)
    (tmp_path / CHAIN_FILE).rename(tmp_path / "own.toml")
    own, guess = tomllib.loads((tmp_path / "own.toml").read_text()), init(tmp_path)
    del own["days"]["accept"], own["holidays"], own["forecast"]["loss"]  # what no file shows
    assert guess == own


def test_covariates_are_told_from_amounts_of_the_day_and_from_parts_of_the_date(tmp_path: Path) -> None:
    days = store_days("shop", "day", ["a", "b", "c"])
    weekday = days.day.dt.weekday
    days["umsatz"] = amounts(days, 100, 900)
    days["kunden"] = amounts(days, 10, 90)
    days["waste"] = amounts(days, 0, 50)
    days["aktion"] = RANDOM.random(len(days)) < 0.3
    days["geöffnet"] = (weekday != 6).astype(int)
    days["weather"] = RANDOM.choice(["sun", "rain"], len(days))
    days["weekday"] = weekday
    days.to_csv(tmp_path / "days.csv", index=False)
    chain = init(tmp_path)
    assert (chain["days"]["sales"], chain["days"]["customers"], chain["days"]["open"]) == (
        "umsatz",
        "kunden",
        "geöffnet",
    )
    assert chain["known"] == {
        "promo": {"column": "aktion", "kind": "flag"},
        "weather": {"column": "weather", "kind": "category"},
    }
    text = comments(tmp_path)
    assert 'waste = { column = "waste", kind = "number" }' in text
    assert "Other amounts: kunden" in text
    assert "it follows from the date" in text


def test_covariates_are_not_called_like_columns_with_another_meaning(tmp_path: Path) -> None:
    days = store_days("shop", "day", ["a", "b", "c"])
    days["umsatz"] = amounts(days, 100, 900)
    days["StateHoliday"] = RANDOM.choice(["0", "a"], len(days))
    days["Open"] = RANDOM.choice(["early", "late"], len(days))
    days.to_csv(tmp_path / "days.csv", index=False)
    assert set(init(tmp_path)["known"]) == {"state_holiday_value", "open_value"}
    parse_chain((tmp_path / CHAIN_FILE).read_text())


@pytest.mark.parametrize(("count", "is_told"), [(20, False), (21, True)])
def test_of_many_texts_the_guess_says_how_many_have_an_effect(count: int, is_told: bool, tmp_path: Path) -> None:
    days = store_days("shop", "day", ["a", "b", "c"])
    days["umsatz"] = amounts(days, 100, 900)
    days["weather"] = [f"kind {number}" for number in RANDOM.permutation(np.arange(len(days)) % count)]
    days.to_csv(tmp_path / "days.csv", index=False)
    init(tmp_path)
    assert ("the 20 most common have an effect" in comments(tmp_path)) == is_told


def test_a_file_of_covariates_and_a_plan_are_told_from_the_sales(tmp_path: Path) -> None:
    days = store_days("shop", "day", ["a", "b", "c"])
    past, coming = days[days.day <= "2016-04-15"], days[days.day > "2016-04-15"]
    sales = past.assign(umsatz=amounts(past, 100, 900), price=amounts(past, 1, 90) / 10, footfall=amounts(past, 9, 99))
    plan = coming[coming.day <= "2016-04-24"].assign(price=amounts(coming[coming.day <= "2016-04-24"], 1, 90) / 10)
    weather = days.assign(rain=amounts(days, 0, 30), sun=amounts(days, 0, 14), sky=RANDOM.choice(["grey", "blue"], 360))
    for name, rows in (("sales.csv", sales), ("coming.csv", plan), ("weather.csv", weather)):
        rows.to_csv(tmp_path / name, index=False, date_format="%d/%m/%Y")
    chain = init(tmp_path)
    assert chain["known"] == {
        "price": {"column": "price", "kind": "number"},
        "rain": {"file": "weather.csv", "column": "rain", "kind": "number"},
        "sun": {"file": "weather.csv", "column": "sun", "kind": "number"},
        "sky": {"file": "weather.csv", "column": "sky", "kind": "category"},
    }
    assert chain["plan"] == {"file": "coming.csv"}
    assert chain["forecast"] == {"horizon_days": 9}


def test_a_plan_of_the_first_days_of_a_month_has_the_date_format_of_the_sales(tmp_path: Path) -> None:
    days = store_days("shop", "day", ["a", "b", "c"])
    days["price"] = amounts(days, 1, 90) / 10
    past, coming = days[days.day < "2016-04-01"], days[(days.day >= "2016-04-01") & (days.day < "2016-04-08")]
    past.assign(sales=amounts(past, 100, 900)).to_csv(tmp_path / "sales.csv", index=False, date_format="%d/%m/%Y")
    coming.to_csv(tmp_path / "coming.csv", index=False, date_format="%d/%m/%Y")
    chain = init(tmp_path)
    assert chain["plan"] == {"file": "coming.csv"}
    assert chain["forecast"] == {"horizon_days": 7}


def test_files_with_the_same_columns_are_one_table_and_parquet_and_gzip_are_read(tmp_path: Path) -> None:
    days = store_days("branch", "date", [1, 2, 3])
    days["sales"] = amounts(days, 100, 900)
    early, late = days[days.date < DAYS[60]], days[days.date >= DAYS[60]]
    (tmp_path / "early.csv.gz").write_bytes(gzip.compress(early.to_csv(index=False).encode()))
    late.to_parquet(tmp_path / "late.parquet", index=False)
    (tmp_path / "damaged.parquet").write_bytes(b"no table")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"store,size\n1,20\n")[:-9])
    (tmp_path / "semicolons.csv").write_text("branch;size\n1;20\n2;30\n")
    chain = init(tmp_path)
    assert chain["days"]["files"] == ["early.csv.gz", "late.parquet"]
    assert "360 rows, 3 stores, 2016-01-01 to 2016-04-29" in comments(tmp_path)
    assert "damaged.parquet cannot be read" in comments(tmp_path)
    assert "cut.csv.gz cannot be read: it is no complete gzip file" in comments(tmp_path)
    assert "semicolons.csv cannot be read: it separates its cells by semicolons" in comments(tmp_path)


def test_the_files_of_a_folder_are_one_table(tmp_path: Path) -> None:
    days = store_days("branch", "date", [1, 2, 3])
    days["sales"] = amounts(days, 100, 900)
    (tmp_path / "sales").mkdir()
    for month, rows in days.groupby(days.date.dt.month):
        rows.to_csv(tmp_path / "sales" / f"{month}.csv", index=False)
    assert init(tmp_path)["days"]["file"] == "sales"
    assert "360 rows, 3 stores, 2016-01-01 to 2016-04-29" in comments(tmp_path)


def test_days_and_months_that_may_be_swapped_are_told(tmp_path: Path) -> None:
    days = store_days("branch", "date", ["x", "y"])
    days = days[days.date.dt.day <= 12].assign(sales=100)
    days["sales"] = amounts(days, 100, 900)
    days.to_csv(tmp_path / "days.csv", index=False, date_format="%d/%m/%Y")
    init(tmp_path)
    assert "all of them are also dates by %d/%m/%Y: check it" in comments(tmp_path)


def test_a_file_that_ends_with_the_sales_is_only_proposed(tmp_path: Path) -> None:
    days = store_days("shop", "day", ["a", "b", "c"])
    days.assign(sales=amounts(days, 100, 900)).to_csv(tmp_path / "sales.csv", index=False)
    days.assign(tickets=amounts(days, 10, 90)).to_csv(tmp_path / "tickets.csv", index=False)
    assert init(tmp_path)["known"] == {}
    assert "none after the sales, so not known beforehand?" in comments(tmp_path)
    assert 'tickets = { file = "tickets.csv"' in comments(tmp_path)


@pytest.mark.parametrize(("lost", "missing"), [(["2016-02-01"], "closed"), ([], "unknown")])
def test_days_without_a_row_of_any_store_are_closed(tmp_path: Path, lost: list[str], missing: str) -> None:
    days = store_days("shop", "day", list("abcdef")).drop(index=20)  # a row of one store
    days = days[~days.day.isin(pd.to_datetime(lost))]
    days.assign(sales=amounts(days, 100, 900)).to_csv(tmp_path / "sales.csv", index=False)
    assert init(tmp_path)["days"]["missing"] == missing
    assert ("on days on which no store has one (2016-02-01)" in comments(tmp_path)) == bool(lost)


def test_y_and_n_are_a_flag(tmp_path: Path) -> None:
    days = store_days("shop", "day", ["a", "b", "c"])
    days = days.assign(sales=amounts(days, 100, 900), offer=RANDOM.choice(["Y", "N"], len(days)))
    days.to_csv(tmp_path / "sales.csv", index=False)
    assert init(tmp_path)["known"] == {"offer": {"column": "offer", "kind": "flag"}}


def test_an_existing_chain_file_is_not_overwritten(ecuador: Path) -> None:
    (ecuador / CHAIN_FILE).write_text("# mine\n")
    with pytest.raises(DataError, match=r"chain.toml exists and is not overwritten"):
        write_chain_file(guess_chain(str(ecuador)))
    assert (ecuador / CHAIN_FILE).read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"has no file that ends in .csv, .csv.gz, .parquet"),
        ("store,sales\n1,20\n2,30\n", r"has a column of dates \(days.csv: store, sales\)"),
        ("date,sales\n2016-01-01,20\n2016-01-02,30\n", "no column tells the stores apart. Add one"),
        (
            "store,date,item,sales\n"
            + "".join(f"{row[0]},2016-01-0{day},{row[1]},9\n" for day in (1, 2) for row in ROWS),
            "days.csv has 8 rows on 2 days, several for the same store and date. Sum them",
        ),
        (
            "store,date,sales\n"
            + "".join(f"{store},2016-01-{day:02},{day}\n" for store in "ab" for day in (1, 8, 15, 22)),
            "days.csv has a date every 7 days .* Export the sales of every day",
        ),
        (
            "store,date,note\n" + "".join(f"1,2016-01-0{day},fine\n" for day in range(1, 8)),
            r"days.csv has stores \(store\) and dates \(date\), but no column of numbers .* \(note: fine\)",
        ),
        (
            "store,date,sales\n" + "".join(f'1,2016-01-0{day},"1,0{day}"\n' for day in range(1, 8)),
            r"\(sales: 1,01, 1,02, 1,03 …\). Write numbers as 1234.5, without currencies",
        ),
    ],
)
def test_a_folder_that_cannot_be_a_chain_is_refused_with_what_is_missing(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content:
        (tmp_path / "days.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        guess_chain(str(tmp_path))


def test_a_name_that_is_no_folder_and_a_file_in_latin_1_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere; correct the name"):
        guess_chain(str(tmp_path / "nowhere"))
    (tmp_path / "days.csv").write_bytes("store,date,sales\nCafé,2016-01-01,20\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"days.csv is a file; name its folder"):
        guess_chain(str(tmp_path / "days.csv"))
    with pytest.raises(DataError, match=r"days.csv cannot be read: it is not UTF-8 text, perhaps Latin-1"):
        guess_chain(str(tmp_path))


def test_init_starts_without_prefect_and_models(tmp_path: Path, ecuador: Path) -> None:
    heavy = {"prefect", "ray", "mlflow", "lightgbm", "sklearn", "matplotlib"}
    assert imported_packages(tmp_path / "workspace", "init", str(ecuador)) & heavy == set()
