"""Bad files are refused on one screen, with the file, the line and the way out; ugly ones are read."""

import re
from datetime import date
from pathlib import Path

import pytest
from raw_files import raw_files

from rossmann.data import read_history
from rossmann.validation import DataError, ValidationError

ONE_SCREEN = 26


@pytest.fixture
def folder(tmp_path):
    return Path(raw_files().write(tmp_path / "raw"))


@pytest.fixture(scope="module")
def fingerprint(tmp_path_factory):
    """Of the untouched files."""
    return read_history(raw_files().write(tmp_path_factory.mktemp("raw"))).history.fingerprint


def cell(line, column, text):
    """Replace one cell; lines count from 1, the header, as in an editor."""

    def change(content):
        lines = content.split(b"\n")
        cells = lines[line - 1].split(b",")
        cells[lines[0].split(b",").index(column.encode())] = text.encode()
        lines[line - 1] = b",".join(cells)
        return b"\n".join(lines)

    return change


def german_dates(content):
    return re.sub(rb"(\d{4})-(\d\d)-(\d\d)", rb"\3.\2.\1", content)


def doubled(content):
    return content + content.split(b"\n")[3] + b"\n"


BAD = {
    "wrong delimiter": ("train.csv", lambda c: c.replace(b",", b";"), ["semicolons", "commas"]),
    "tabs": ("store.csv", lambda c: re.sub(rb'"[^"]*"', b"x", c).replace(b",", b"\t"), ["tabs"]),
    "missing column": ("train.csv", lambda c: c.replace(b"Promo", b"Action", 1), ["no column Promo", "Action"]),
    "doubled column": ("test.csv", lambda c: c.replace(b"Id", b"Open", 1), ["Open more than once"]),
    "UTF-16": ("train.csv", lambda c: c.decode().encode("utf-16"), ["UTF-16", "UTF-8"]),
    "Latin-1": ("train.csv", lambda c: c.replace(b"\n", b"\xe9\n", 3), ["not UTF-8", "0xe9", "line 1"]),
    "not text": ("train.csv", lambda c: b"PK\x03\x04\x00\x00" * 99, ["not plain text"]),
    "empty": ("train.csv", lambda c: b"", ["is empty"]),
    "blank": ("store.csv", lambda c: b"\n\n", ["is empty"]),
    "header only": ("train.csv", lambda c: c.split(b"\n")[0] + b"\n", ["header but no rows"]),
    "header only, no line end": ("store.csv", lambda c: c.split(b"\n")[0], ["header but no rows"]),
    "last line cut off": ("train.csv", lambda c: c[:-14], ["last line is cut off", "line 281", "fetch it again"]),
    "last cell cut off": ("train.csv", lambda c: c[:-2], ["SchoolHoliday is empty", "line 281", "cut off"]),
    "cut off in quotes": ("store.csv", lambda c: c[: c.rindex(b"Sept") + 2], ["cut off", "whole file"]),
    "dates day first": ("train.csv", german_dates, ["280 rows", "year-month-day", "line 2", "277 more"]),
    "dates with slashes": ("test.csv", cell(5, "Date", "03/17/2014"), ["03/17/2014", "line 5"]),
    "impossible date": ("train.csv", cell(7, "Date", "2014-02-30"), ["2014-02-30", "line 7"]),
    "mistyped year": ("train.csv", cell(7, "Date", "2041-03-16"), ["dates_in_one_piece", "2041-03-16"]),
    "decimal comma": ("train.csv", cell(7, "Sales", "12,5"), ["9 cells", "line 7", "decimal commas"]),
    "quoted decimal comma": ("train.csv", cell(7, "Sales", '"12,5"'), ["Sales", "12,5", "decimal point"]),
    "text in a number": ("train.csv", cell(7, "Customers", "many"), ["Customers", "many", "line 7"]),
    "infinite": ("train.csv", cell(7, "Sales", "inf"), ["Sales is not a number", "line 7"]),
    "text in a flag": ("train.csv", cell(7, "Promo", "yes"), ["Promo is not a number", "yes"]),
    "flag of 2": ("test.csv", cell(7, "Open", "2"), ["Open is neither 0 nor 1", "line 7"]),
    "unknown holiday": ("train.csv", cell(7, "StateHoliday", "x"), ["StateHoliday", "0, a, b, c"]),
    "negative sales": ("train.csv", cell(7, "Sales", "-5"), ["Sales is negative", "Sales -5", "line 7"]),
    "closed with sales": ("train.csv", cell(7, "Open", "0"), ["closed, yet with sales", "line 7"]),
    "doubled day": ("train.csv", doubled, ["same store and day", "2 rows", "line 4", "line 282"]),
    "doubled plan": ("test.csv", doubled, ["same store and day", "line 4", "line 194"]),
    "unknown store": ("train.csv", cell(7, "Store", "9"), ["known_store", "Store 9", "store.csv"]),
    "unknown store in the plan": ("test.csv", cell(7, "Store", "9"), ["known_store", "Store 9", "line 7"]),
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
    "doubled store": ("store.csv", cell(3, "Store", "1"), ["more than one row for the store", "line 2", "line 3"]),
    "absurdly large": ("train.csv", cell(7, "Sales", "9" * 25), ["over 1,000,000", "line 7"]),
    "lost decimal point": ("train.csv", cell(7, "Sales", "450000"), ["20 times the store's median", "line 7"]),
    "wrong weekday": ("train.csv", cell(7, "DayOfWeek", "4"), ["DayOfWeek", "line 7"]),
    "competitor without year": (
        "store.csv",
        cell(2, "CompetitionOpenSinceYear", ""),
        ["competition_since_consistent", "Store 1"],
    ),
    "promo2 without week": ("store.csv", cell(3, "Promo2SinceWeek", ""), ["promo2_consistent", "Store 2"]),
    "promo2 that does not run": ("store.csv", cell(3, "Promo2", "0"), ["promo2_consistent", "Store 2"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_on_one_screen(case, folder):
    file, change, told = BAD[case]
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    with pytest.raises(DataError) as refusal:
        read_history(str(folder))
    message = str(refusal.value)
    assert file in message
    assert not [words for words in told if words not in message], message
    assert len(message.splitlines()) <= ONE_SCREEN


@pytest.mark.parametrize("file", ["train.csv", "store.csv"])
def test_a_missing_file_is_named_with_its_folder(file, folder):
    (folder / file).unlink()
    with pytest.raises(DataError, match=rf"no {file} in .*{folder.name}.*--raw"):
        read_history(str(folder))


def test_many_mistakes_still_fit_on_one_screen_and_all_rows_are_in_the_table(folder):
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
    assert len(str(refusal.value).splitlines()) <= ONE_SCREEN
    table = refusal.value.table
    assert (table["check"] == "day_of_week_agrees").sum() == len(files.train)
    assert (table["check"] == "promo2_consistent").sum() == 4
    assert not refusal.value.report.passed


def unordered(content):
    header, *rows = content.rstrip(b"\n").split(b"\n")
    return b"\n".join([header, *rows[1::2], *rows[::2]]) + b"\n"


UGLY = {
    "Windows line ends": lambda c: c.replace(b"\n", b"\r\n"),
    "old Mac line ends": lambda c: c.replace(b"\n", b"\r"),
    "byte order mark": lambda c: b"\xef\xbb\xbf" + c,
    "no line end at the end": lambda c: c.rstrip(b"\n"),
    "blank lines": lambda c: c.replace(b"\n", b"\n\n", 3) + b"\n\n",
    "any order of rows": unordered,
    "spaces around": lambda c: re.sub(rb",(?=[\w-]+,)", b", ", c),
}


@pytest.mark.parametrize("file", ["train.csv", "store.csv", "test.csv"])
@pytest.mark.parametrize("case", UGLY)
def test_an_ugly_file_is_read_as_the_same_history(case, file, folder, fingerprint):
    changed = UGLY[case]((folder / file).read_bytes())
    assert changed != (folder / file).read_bytes()
    (folder / file).write_bytes(changed)
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
    read = read_history(files.write(folder))
    assert "train.csv: Weather, test.csv: Note" in read.raw.notes[0]
    assert read.history.fingerprint == fingerprint


def test_line_numbers_are_right_behind_blank_lines(folder):
    content = (folder / "train.csv").read_bytes()
    (folder / "train.csv").write_bytes(cell(20, "Sales", "x")(content.replace(b"\n", b"\n\n", 4)))
    with pytest.raises(DataError, match="line 20: "):
        read_history(str(folder))


def test_what_lies_after_as_of_is_not_even_looked_at(folder):
    content = (folder / "train.csv").read_bytes()
    (folder / "train.csv").write_bytes(cell(2, "Sales", "not yet")(content))
    assert str(read_history(str(folder), as_of=date(2014, 3, 1)).history.origin) == "2014-03-01"
