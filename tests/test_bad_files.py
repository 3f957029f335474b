"""Invalid files are refused with a message of one screen that names file, line and remedy; unusual ones are read."""

import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.cli.environment import run_flow
from flows.ingest import ingest
from rossmann.data import read_history, require_raw_files
from rossmann.validation import DataError, ValidationError
from tests.support.raw_files import raw_files

SCREEN_LINES = 26


@pytest.fixture
def folder(tmp_path):
    return Path(raw_files().write(tmp_path / "raw"))


@pytest.fixture(scope="module")
def fingerprint(tmp_path_factory):
    """Of the history of the unchanged files."""
    return read_history(raw_files().write(tmp_path_factory.mktemp("raw"))).history.fingerprint


def cell(line, column, text):
    """A change that replaces one cell; the header is line 1, as in an editor."""

    def change(content):
        lines = content.split(b"\n")
        cells = lines[line - 1].split(b",")
        cells[lines[0].split(b",").index(column.encode())] = text.encode()
        lines[line - 1] = b",".join(cells)
        return b"\n".join(lines)

    return change


def german_dates(content):
    return re.sub(rb"(\d{4})-(\d\d)-(\d\d)", rb"\3.\2.\1", content)


def with_repeated_row(content):
    return content + content.split(b"\n")[3] + b"\n"


INVALID = {
    "wrong delimiter": ("train.csv", lambda c: c.replace(b",", b";"), ["semicolons", "commas"]),
    "tabs": ("store.csv", lambda c: re.sub(rb'"[^"]*"', b"x", c).replace(b",", b"\t"), ["tabs"]),
    "missing column": ("train.csv", lambda c: c.replace(b"Promo", b"Action", 1), ["no column Promo", "Action"]),
    "repeated column": ("test.csv", lambda c: c.replace(b"Id", b"Open", 1), ["Open more than once"]),
    "UTF-16": ("train.csv", lambda c: c.decode().encode("utf-16"), ["UTF-16", "UTF-8"]),
    "Latin-1": ("train.csv", lambda c: c.replace(b"\n", b"\xe9\n", 3), ["not UTF-8", "0xe9", "line 1"]),
    "not text": ("train.csv", lambda c: b"MZ\x03\x04\x00\x00" * 99, ["not plain text"]),
    "Excel": ("train.csv", lambda c: b"PK\x03\x04\x00\x00" * 99, ["an Excel file", "as CSV"]),
    "old Excel": ("store.csv", lambda c: b"\xd0\xcf\x11\xe0\xa1\xb1" * 99, ["an old Excel file", "as CSV"]),
    "empty": ("train.csv", lambda c: b"", ["is empty"]),
    "blank": ("store.csv", lambda c: b"\n\n", ["is empty"]),
    "header only": ("train.csv", lambda c: c.split(b"\n")[0] + b"\n", ["header but no rows"]),
    "header only, no line end": ("store.csv", lambda c: c.split(b"\n")[0], ["header but no rows"]),
    "last line cut off": ("train.csv", lambda c: c[:-14], ["last line is cut off", "line 281", "download it again"]),
    "last cell cut off": ("train.csv", lambda c: c[:-2], ["SchoolHoliday is empty", "line 281", "cut off"]),
    "cut off in quotes": ("store.csv", lambda c: c[: c.rindex(b"Sept") + 2], ["incomplete", "Download it again"]),
    "dates day first": ("train.csv", german_dates, ["280 rows", "year-month-day", "line 2", "277 more"]),
    "dates with slashes": ("test.csv", cell(5, "Date", "03/17/2014"), ["03/17/2014", "line 5"]),
    "impossible date": ("train.csv", cell(7, "Date", "2014-02-30"), ["2014-02-30", "line 7"]),
    "mistyped year": ("train.csv", cell(7, "Date", "2041-03-16"), ["no_isolated_dates", "2041-03-16"]),
    "decimal comma": ("train.csv", cell(7, "Sales", "12,5"), ["9 cells", "line 7", "decimal commas"]),
    "quoted decimal comma": ("train.csv", cell(7, "Sales", '"12,5"'), ["Sales", "12,5", "decimal point"]),
    "text in a number": ("train.csv", cell(7, "Customers", "many"), ["Customers", "many", "line 7"]),
    "infinite": ("train.csv", cell(7, "Sales", "inf"), ["Sales is not a number", "line 7"]),
    "text in a flag": ("train.csv", cell(7, "Promo", "yes"), ["Promo is not a number", "yes"]),
    "flag of 2": ("test.csv", cell(7, "Open", "2"), ["Open is neither 0 nor 1", "line 7"]),
    "unknown holiday": ("train.csv", cell(7, "StateHoliday", "x"), ["StateHoliday", "0, a, b, c"]),
    "repeated day": ("train.csv", with_repeated_row, ["same store and day", "2 rows", "line 4", "line 282"]),
    "repeated plan": ("test.csv", with_repeated_row, ["same store and day", "line 4", "line 194"]),
    "unknown store": ("train.csv", cell(7, "Store", "9"), ["store_exists", "Store 9", "store.csv"]),
    "unknown store in the plan": ("test.csv", cell(7, "Store", "9"), ["store_exists", "Store 9", "line 7"]),
    "no store number": ("train.csv", cell(7, "Store", ""), ["Store is empty", "line 7"]),
    "NaN as store number": ("train.csv", cell(7, "Store", "NaN"), ["Store is empty", "line 7"]),
    "no date": ("train.csv", cell(7, "Date", ""), ["Date is empty", "line 7"]),
    "no promo": ("train.csv", cell(7, "Promo", ""), ["Promo is empty", "line 7"]),
    "no store type": ("store.csv", cell(3, "StoreType", ""), ["StoreType is empty", "Store 2"]),
    "store without attributes": (
        "store.csv",
        lambda c: b"\n".join(c.split(b"\n")[:-2]) + b"\n",
        ["no attributes in store.csv", "Store 8", "70 rows"],
    ),
    "repeated store": ("store.csv", cell(3, "Store", "1"), ["more than one row for the store", "line 2", "line 3"]),
    "wrong weekday": ("train.csv", cell(7, "DayOfWeek", "4"), ["DayOfWeek", "line 7"]),
    "competitor without year": (
        "store.csv",
        cell(2, "CompetitionOpenSinceYear", ""),
        ["competition_since_consistent", "Store 1"],
    ),
    "promo2 without week": ("store.csv", cell(3, "Promo2SinceWeek", ""), ["promo2_consistent", "Store 2"]),
    "promo2 that does not run": ("store.csv", cell(3, "Promo2", "0"), ["promo2_consistent", "Store 2"]),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_file_is_refused_with_a_message_of_one_screen(case, folder):
    file, change, texts = INVALID[case]
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    with pytest.raises(DataError) as refusal:
        read_history(str(folder))
    message = str(refusal.value)
    assert file in message
    assert not [text for text in texts if text not in message], message
    assert len(message.splitlines()) <= SCREEN_LINES


@pytest.mark.parametrize("frequency", ["W-MON", "MS"])
def test_sales_by_week_or_month_are_refused_as_such(tmp_path, frequency):
    files = raw_files(past_days=400)
    dates = pd.date_range("2014-01-01", "2015-12-31", freq=frequency).strftime("%Y-%m-%d")
    files.train = files.train[files.train["Date"].isin(dates)]
    with pytest.raises(ValidationError, match="as in sales by week or month") as refusal:
        read_history(files.write(tmp_path / "raw"))
    assert [violation.check for violation in refusal.value.violations] == ["daily"]
    assert "Export the sales of every day" in str(refusal.value)


def test_a_chain_that_opens_on_four_days_a_week_and_has_no_rows_on_the_others_is_daily(tmp_path):
    files = raw_files()
    files.train = files.train[files.train["DayOfWeek"].between(2, 5)]
    assert read_history(files.write(tmp_path / "raw")).history.sales.shape[0] == len(files.store)


def test_the_headers_are_checked_before_the_files_are_read(folder):
    train = folder / "train.csv"
    content = train.read_bytes()
    for padding in ("", "x"):  # with one of them, the start of the file ends within a character
        train.write_bytes(content.replace(b"\n", b"\r") + f"{padding}{'é' * 40_000}".encode())
        require_raw_files(str(folder))
    train.write_bytes(b"\n" + content)
    with pytest.raises(DataError, match=r"train\.csv has no column Store"):
        require_raw_files(str(folder))
    train.unlink()
    train.mkdir()
    with pytest.raises(DataError, match=r"train\.csv cannot be read"):
        require_raw_files(str(folder))


SET_ASIDE = {
    "negative sales": ("Sales", "-5", "Sales_not_negative"),
    "negative customers": ("Customers", "-5", "Customers_not_negative"),
    "no sales": ("Sales", "", "Sales_not_empty"),
    "closed with sales": ("Open", "0", "closed_means_zero_sales"),
    "impossibly large": ("Sales", "9" * 25, "Sales_plausible_for_the_store"),
    "missing decimal point": ("Sales", "450000", "Sales_plausible_for_the_store"),
}


@pytest.mark.parametrize("case", SET_ASIDE)
def test_a_day_whose_sales_cannot_be_right_is_set_aside_and_the_others_are_used(case, folder):
    before = read_history(str(folder)).history
    column, text, check = SET_ASIDE[case]
    (folder / "train.csv").write_bytes(cell(7, column, text)((folder / "train.csv").read_bytes()))  # store 2
    ingest = read_history(str(folder))
    (row,) = ingest.set_aside.to_dict("records")
    assert (row["check"], row["where"], row["line"], row["Store"]) == (check, "train.csv", 7, 2)
    assert ingest.clean_report.notes[0] == f"1 of 280 days of stores (0.36%) are set aside: {check}."
    assert {r.name: r.rows for r in ingest.clean_report.repairs if r.rows} == {"amounts_unusable": 1}
    is_unknown = np.isnan(ingest.history.sales)
    assert np.argwhere(is_unknown).tolist() == [[1, before.sales.shape[1] - 2]]
    np.testing.assert_array_equal(np.isnan(ingest.history.traffic), is_unknown)
    np.testing.assert_array_equal(ingest.history.sales[~is_unknown], before.sales[~is_unknown])
    plan = ingest.history.plan(before.origin - 2, 2)
    assert plan.store.tolist() == [1, 1, 2, 3, 3, 8, 8], "neither trained on nor scored"


def test_the_command_line_says_which_days_are_set_aside_and_a_file_has_them(
    folder, prefect_server, monkeypatch, capsys
):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(folder.parent))
    monkeypatch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
    (folder / "train.csv").write_bytes(cell(7, "Sales", "-5")((folder / "train.csv").read_bytes()))
    run_flow(ingest, str(folder))
    printed = capsys.readouterr().err
    file = re.search(
        r"1 of 280 days .* are set aside: Sales_not_negative. They are in (\S+set_aside_rows.csv);", printed
    )[1]
    assert pd.read_csv(file)[["check", "line", "Store", "Sales"]].values.tolist() == [["Sales_not_negative", 7, 2, -5]]
    report = (Path(file).parent / "report.html").read_text()
    assert "<p>1 of 280 days of stores (0.36%) are set aside: Sales_not_negative.</p>" in report
    monkeypatch.setenv("ROSSMANN_MAX_SET_ASIDE_SHARE", "0.003")
    with pytest.raises(DataError, match="would be set aside"):
        ingest(str(folder))


def test_more_days_than_the_given_share_are_refused_with_all_of_them(folder):
    files = raw_files()
    files.train.loc[[9, 70], "Sales"] = -1
    files.train = files.train[~(files.is_day(2, "2014-02-04"))]
    files.write(folder)
    with pytest.raises(ValidationError, match=r"3 of 280 days of stores \(1\.07%\) would be set aside \(at most 1\.0%"):
        read_history(str(folder))
    assert len(read_history(str(folder), max_set_aside_share=0.011).set_aside) == 3


def test_a_day_on_which_the_sales_of_most_stores_cannot_be_right_is_refused(folder):
    files = raw_files()
    day = files.train["Date"] == "2014-02-04"
    files.train.loc[day & (files.train["Store"] < 8), "Sales"] = -1
    files.write(folder)
    with pytest.raises(ValidationError, match=r"3 rows: most stores have no row for this day.*complete_days"):
        read_history(str(folder), max_set_aside_share=0.5)


def test_sales_of_another_currency_are_read(folder):
    files = raw_files()
    files.train["Sales"] *= 20_000  # rupiah
    history = read_history(files.write(folder)).history
    assert np.nanmax(history.sales) > 1e8


@pytest.mark.parametrize("file", ["train.csv", "store.csv"])
def test_a_missing_file_is_named_with_its_folder(file, folder):
    (folder / file).unlink()
    with pytest.raises(DataError, match=rf"no {file} in .*{folder.name}.*--raw"):
        read_history(str(folder))


def test_a_message_about_many_errors_fits_on_one_screen_and_the_table_has_all_rows(folder):
    files = raw_files()
    files.train["DayOfWeek"] = 9
    files.train["Promo"] = 3
    files.train["SchoolHoliday"] = 5
    files.train["Sales"] = -files.train["Sales"] - 1
    files.train["Customers"] *= 10**7
    files.store["Promo2"] = 1 - files.store["Promo2"]
    files.write(folder)
    with pytest.raises(ValidationError) as refusal:
        read_history(str(folder))
    assert len(str(refusal.value).splitlines()) <= SCREEN_LINES
    table = refusal.value.table
    assert (table["check"] == "day_of_week_agrees").sum() == len(files.train)
    assert (table["check"] == "promo2_consistent").sum() == 4
    assert not refusal.value.report.passed


def reordered(content):
    header, *rows = content.rstrip(b"\n").split(b"\n")
    return b"\n".join([header, *rows[1::2], *rows[::2]]) + b"\n"


UNUSUAL = {
    "Windows line ends": lambda c: c.replace(b"\n", b"\r\n"),
    "old Mac line ends": lambda c: c.replace(b"\n", b"\r"),
    "byte order mark": lambda c: b"\xef\xbb\xbf" + c,
    "no line end at the end": lambda c: c.rstrip(b"\n"),
    "blank lines": lambda c: c.replace(b"\n", b"\n\n", 3) + b"\n\n",
    "another order of rows": reordered,
    "spaces around": lambda c: re.sub(rb",(?=[\w-]+,)", b", ", c),
}


@pytest.mark.parametrize("file", ["train.csv", "store.csv", "test.csv"])
@pytest.mark.parametrize("case", UNUSUAL)
def test_an_unusual_file_is_read_as_the_same_history(case, file, folder, fingerprint):
    content = UNUSUAL[case]((folder / file).read_bytes())
    assert content != (folder / file).read_bytes()
    (folder / file).write_bytes(content)
    assert read_history(str(folder)).history.fingerprint == fingerprint


@pytest.mark.parametrize("quoting", [1, 2], ids=["all", "text"])  # csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC
def test_quoted_cells_and_holidays_as_text_or_number_are_the_same(quoting, folder, fingerprint):
    files = raw_files()
    for frame, name in ((files.train, "train"), (files.store, "store"), (files.test, "test")):
        frame.to_csv(folder / f"{name}.csv", index=False, quoting=quoting)
    assert '"0"' in (folder / "train.csv").read_text()
    assert read_history(str(folder)).history.fingerprint == fingerprint


def test_an_extra_column_is_named_in_the_report_and_changes_nothing(folder, fingerprint):
    files = raw_files()
    files.train.insert(3, "Weather", "fine")
    files.test["Note"] = None
    ingest = read_history(files.write(folder))
    assert "train.csv: Weather, test.csv: Note" in ingest.raw_report.notes[0]
    assert ingest.history.fingerprint == fingerprint


def test_line_numbers_count_blank_lines(folder):
    content = (folder / "train.csv").read_bytes()
    (folder / "train.csv").write_bytes(cell(20, "Sales", "x")(content.replace(b"\n", b"\n\n", 4)))
    with pytest.raises(DataError, match="line 20: "):
        read_history(str(folder))


def test_sales_after_as_of_are_not_parsed(folder):
    content = (folder / "train.csv").read_bytes()
    (folder / "train.csv").write_bytes(cell(2, "Sales", "not yet")(content))
    assert str(read_history(str(folder), as_of=date(2014, 3, 1)).history.origin) == "2014-03-01"
