"""An uploaded plan is explained row by row, or read in its order; by the rules of `rossmann forecast --plan`."""

import io
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from flows.cli.main import main
from rossmann.data import read_history, read_plan, save_snapshot
from rossmann.planning.plan_upload import check_upload, file_message
from rossmann.settings import Settings
from rossmann.validation import ValidationError
from tests.support.chains import write_rich_chain

BAD = """store,date,open,promo,day_of_week
1,2015-02-10,1,0,2
9,2015-02-10,1,0,2
1,2015-02-09,1,0,1

2,10.02.2015,1,yes,2
2,2015-02-11,3,0,3
3,2015-05-01,1,no,5
3,2015-02-12,1,0,1
1,2015-02-10,1,1,2
,2015-02-13,1,0,5
"""


def test_every_row_that_is_wrong_is_named_with_column_value_and_remedy(toy):
    upload = check_upload("mine.csv", BAD.encode(), toy)
    assert upload.plan is None
    assert [tuple(row)[:3] for row in upload.findings.itertuples(index=False)] == [
        (2, "store, date", "1, 2015-02-10"),
        (3, "store", "9"),
        (4, "date", "2015-02-09"),
        (6, "date", "10.02.2015"),
        (6, "promo", "yes"),
        (7, "open", "3"),
        (8, "promo", "no"),
        (8, "date", "2015-05-01"),
        (9, "day_of_week", "1"),
        (10, "store, date", "1, 2015-02-10"),
        (11, "store", "(empty)"),
    ], "an empty line counts, as in an editor"
    problems = dict(zip(upload.findings.row, upload.findings.problem, strict=True))
    assert problems[3] == "store 9 has no history; there are 3 stores from 1 to 3"
    assert problems[4] == "sales of the day are known already", "not what is wrong with another row"
    assert upload.findings.what_to_do.str.len().gt(5).all()


def test_the_findings_are_those_of_the_command(toy, tmp_path):
    """One rule, two doors: what the command refuses in one message has the same rows."""
    (tmp_path / "mine.csv").write_text(BAD)
    with pytest.raises(ValidationError) as error:
        read_plan(str(tmp_path / "mine.csv"), toy)
    assert len(error.value.table) == len(check_upload("mine.csv", BAD.encode(), toy).findings)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "mine.csv is empty"),
        (b"PK\x03\x04\x14\x00 and the rest", "mine.csv is an Excel file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and the rest", "mine.csv is an old Excel file"),
        (b"store;date\n1;2015-02-10\n", "mine.csv separates its cells by semicolons; save it with commas."),
        (b"store,day\n1,2015-02-10\n", "mine.csv has no column date"),
        (b"store,date,promotion\n1,2015-02-10,1\n", "has a column promotion that is not used"),
        (b"PAR1 and nothing more", "mine.csv is no whole Parquet file"),
        (b"store,date\n", "mine.csv has a header but no rows"),
    ],
)
def test_what_is_wrong_with_the_whole_file_is_one_finding_without_a_row(toy, content, problem):
    (finding,) = check_upload("mine.csv", content, toy).findings.itertuples()
    assert finding.row is pd.NA
    assert problem in finding.problem


def test_the_message_of_a_file_without_a_remedy_of_its_own_ends_with_one_full_stop(toy):
    upload = check_upload("mine.csv", b"store;date\n1;2015-02-10\n", toy)
    assert file_message(upload.findings) == "mine.csv separates its cells by semicolons; save it with commas."


def test_a_line_with_too_many_cells_is_named(toy):
    (finding,) = check_upload("mine.csv", b"store,date\n1,2015-02-10\n1,2015-02-11,5\n", toy).findings.itertuples()
    assert (finding.row, "not 2 cells" in finding.problem) == (3, True)


def parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def test_a_good_plan_is_read_in_its_order_from_csv_and_from_parquet(toy):
    table = pd.DataFrame(
        {"store": [3, 1, 2], "date": pd.to_datetime(["2015-02-12", "2015-02-10", "2015-02-12"]), "promo": [1, 0, 1],
         "id": [7, 8, 9]}
    )  # fmt: skip
    for content in (table.to_csv(index=False).encode(), parquet(table)):
        upload = check_upload("mine", content, toy)
        assert upload.findings.empty
        assert upload.plan.store.tolist() == [3, 1, 2]
        assert upload.plan.date.astype(str).tolist() == ["2015-02-12", "2015-02-10", "2015-02-12"]
        assert upload.plan.promotion.tolist() == [1, 0, 1]
        assert upload.ids.tolist() == [7, 8, 9]


def test_the_rows_of_a_parquet_file_are_counted_from_1(toy):
    table = pd.DataFrame({"store": [1, 9], "date": pd.to_datetime(["2015-02-10"] * 2)})
    (finding,) = check_upload("mine.parquet", parquet(table), toy).findings.itertuples()
    assert (finding.row, finding.value) == (2, "9")
    (finding,) = check_upload("mine.parquet", parquet(table.iloc[:0]), toy).findings.itertuples()
    assert "has no rows" in finding.problem


def test_a_chain_has_its_own_columns_and_labels(tmp_path):
    history = read_history(write_rich_chain(tmp_path / "raw", stores=3, days=120)).history
    day = str(history.origin + 1)
    good = check_upload("mine.csv", f"shop,day,deal\nshop b,{day},1\nshop a,{day},0\n".encode(), history)
    assert good.findings.empty
    assert history.stores.label[history.stores.positions(good.plan.store)].tolist() == ["shop b", "shop a"]
    assert good.plan.promotion.tolist() == [1, 0]
    bad = check_upload("mine.csv", f"shop,day,deal\nshpo b,{day},1\nshop a,{day},x\n".encode(), history)
    assert [(row.row, row.column, row.value) for row in bad.findings.itertuples()] == [
        (2, "shop", "shpo b"),
        (3, "deal", "x"),
    ]
    assert "the nearest are shop b" in bad.findings.problem[0]
    assert np.all(bad.findings.what_to_do != "")


def test_the_command_names_every_row_and_writes_all_of_them_to_a_file(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    save_snapshot(toy, Settings().workspace.snapshots, datetime(2015, 2, 10, tzinfo=UTC), "test")
    plan = tmp_path / "mine.csv"
    plan.write_text(BAD + "".join(f"{store},2015-02-10,1,0,2\n" for store in range(10, 20)))
    monkeypatch.setattr(sys, "argv", ["rossmann", "forecast", "--plan", str(plan)])
    with pytest.raises(SystemExit) as end:
        main()
    message = capsys.readouterr().err
    assert end.value.code == 2
    assert "mine.csv has 21 findings in 19 rows; nothing was forecast:" in message
    assert "line 6: date 10.02.2015: date is not a valid date → Write dates as 2015-06-13 (year-month-day)." in message
    assert "… and 9 more" in message
    findings = pd.read_csv(message.splitlines()[-1].removeprefix("all of them: "))
    assert findings.row.tolist()[-10:] == list(range(12, 22))
