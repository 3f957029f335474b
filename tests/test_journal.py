"""The journal (prediction log): every forecast is written once, whatever happens to the database meanwhile."""

import errno
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from alembic import command

from rossmann import journal
from rossmann.data import Plan
from rossmann.journal import (
    OPERATIONAL,
    QUESTION,
    BatchRows,
    ForecastRows,
    Journal,
    JournalEntry,
    count_old,
    migrate,
    prune,
    tables,
    write_entries,
)
from rossmann.journal import writer as writer_module
from rossmann.journal.encoding import decode_entry, encode_entry, read_log
from rossmann.journal.entries import from_ranges, published_batch, to_ranges
from rossmann.journal.log_files import create_file
from rossmann.journal.tables import alembic_config, connect, metadata
from rossmann.models import Forecast, Quantiles
from rossmann.validation import DataError

NOW = datetime(2015, 2, 10, 12, tzinfo=UTC)
ORIGIN = np.datetime64("2015-02-09", "D")
QUANTILES = Quantiles((0.05, 0.5, 0.95), (-1.7, 0.1 + 0.2, 1.6), 0.9)


def entry(request_id: str, rows: int = 1, at: datetime = NOW, sales: float = 100.0) -> JournalEntry:
    """Rows of stores 1, 2, … on the day after the origin; every second one has a promotion."""
    plan = Plan(
        np.arange(1, rows + 1, dtype=np.int32),
        np.full(rows, ORIGIN + 1),
        np.ones(rows, np.int8),
        (np.arange(rows) % 2).astype(np.int8),
        np.full(rows, 1, np.int8),
        np.zeros(rows, np.int8),
    )
    values = np.full(rows, sales) + np.arange(rows)
    forecast = Forecast(values, values - 10, np.full(rows, np.nan), np.full(rows, 0.1))
    return JournalEntry(
        request_id, at, "http", QUESTION, 3, "f" * 16, ORIGIN, 1.5, ForecastRows(plan, forecast, QUANTILES)
    )


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture
def folder(tmp_path):
    """Of the log."""
    return tmp_path / "log"


def log_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def select(url: str, query: str) -> list[tuple]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        return database.execute(query).fetchall()


def counts(url: str) -> tuple[int, int]:
    return select(url, "select count(*) from requests")[0][0], select(url, "select count(*) from forecasts")[0][0]


def wait(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_other_forecasts_of_the_same_version_and_snapshot_are_another_batch(url):
    """A registry that was lost begins again with version 1."""
    first, other = (
        published_batch(1, "f" * 16, ORIGIN, entry("", sales=sales).answer, NOW) for sales in (100.0, 777.0)
    )
    write_entries(url, [first, other, other])
    assert sorted(select(url, "select forecast from forecasts")) == [(100.0,), (777.0,)]


def test_a_batch_that_is_forecast_again_after_a_rollback_is_the_newest(url):
    hours = [NOW + timedelta(hours=hour) for hour in range(3)]
    batches = [
        published_batch(version, "f" * 16, ORIGIN, entry("", sales=100.0 * version).answer, hours[version - 1])
        for version in (1, 2)
    ]
    runs = [(batches[0], hours[0]), (batches[1], hours[1]), (batches[0], hours[2])]
    requests = [
        replace(
            entry(f"run {hour}"),
            at=hour,
            purpose=OPERATIONAL,
            answer=BatchRows(batch.request_id, np.zeros(1, np.int32)),
        )
        for batch, hour in runs
    ]
    write_entries(url, [*batches, *requests])
    day = (ORIGIN + 1).item()
    assert journal.read_newest_forecasts(url, day, day).model_version.tolist() == [1]


def test_an_entry_is_written_with_its_plan_and_its_forecast(url):
    write_entries(url, [entry("a", rows=2)])
    assert select(url, "select * from requests") == [
        ("a", "2015-02-10 12:00:00.000000", "http", 3, "f" * 16, "2015-02-09", 2, 1.5, "question", None, None,
         '{"levels": [0.05, 0.5, 0.95], "offsets": [-1.7, 0.30000000000000004, 1.6], "coverage": 0.9}')
    ]  # fmt: skip
    assert select(url, "select * from forecasts") == [
        ("a", 0, 1, "2015-02-10", 1, 100.0, 90.0, None, 1, 0, "a", 0, 0.1, None),
        ("a", 1, 2, "2015-02-10", 1, 101.0, 91.0, None, 1, 1, "a", 0, 0.1, None),
    ]


def test_the_same_request_again_changes_nothing(url):
    write_entries(url, [entry("a", rows=3)])
    write_entries(url, [entry("a", rows=3, sales=999.0)])
    assert counts(url) == (1, 3)
    assert select(url, "select max(forecast) from forecasts") == [(102.0,)]


def test_old_requests_are_pruned_with_their_forecasts(url):
    for days in (1, 10, 100):
        write_entries(url, [entry(f"{days} days ago", rows=2, at=NOW - timedelta(days=days))])
    assert prune(url, NOW - timedelta(days=10, seconds=1)) == 1
    assert counts(url) == (2, 4)


def batch(rows: int = 6, at: datetime = NOW) -> JournalEntry:
    return published_batch(3, "f" * 16, ORIGIN, entry("", rows=rows).answer, at)


def reference(request_id: str, positions: list[int], at: datetime = NOW) -> JournalEntry:
    """An answer with rows of `batch()`."""
    rows = BatchRows(batch().request_id, np.array(positions, np.int32))
    return replace(entry(request_id, at=at), purpose=OPERATIONAL, answer=rows)


def test_a_batch_is_stored_once_and_answers_refer_to_its_rows(url):
    other_writer = replace(batch(), at=NOW + timedelta(hours=1))
    write_entries(url, [batch(), reference("a", [1, 2, 5])])
    write_entries(url, [other_writer, reference("b", [4]), reference("c", [5, 0, 1, 2, 3, 4])])
    assert counts(url) == (4, 6)
    assert select(url, "select id, batch, positions from requests where source = 'http' order by id") == [
        ("a", batch().request_id, "1-2,5"), ("b", batch().request_id, "4"), ("c", batch().request_id, "5,0-4"),
    ]  # fmt: skip
    assert journal.read_answer(url, "a").store.tolist() == [2, 3, 6]
    assert journal.read_answer(url, "a").forecast.tolist() == [101.0, 102.0, 105.0]
    assert journal.read_answer(url, "c").store.tolist() == [6, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("answer", [entry("a", rows=3), reference("a", [4, 0])], ids=["own rows", "rows of a batch"])
def test_an_answer_has_its_quantiles_to_the_last_bit(url, answer):
    write_entries(url, [batch(), answer])
    rows = journal.read_answer(url, "a")
    expected = QUANTILES.around(np.full(len(rows), 0.1), rows.forecast.to_numpy())
    assert rows[["q05", "q50", "q95"]].to_numpy().tolist() == expected.tolist()


def test_an_answer_of_a_model_without_quantiles_has_none(url):
    plain = entry("a")
    write_entries(url, [replace(plain, answer=replace(plain.answer, quantiles=None))])
    assert "q50" not in journal.read_answer(url, "a")
    assert select(url, "select quantiles from requests") == [(None,)]


@pytest.mark.parametrize(("request_id", "message"), [("nobody", "no request nobody"), ("a", "request a are lost")])
def test_an_answer_that_the_journal_does_not_have_is_one_sentence(url, request_id, message):
    write_entries(url, [reference("a", [1])])
    with pytest.raises(DataError, match=message):
        journal.read_answer(url, request_id)


def test_a_batch_is_written_again_to_a_database_that_replaces_the_one_that_had_it(url, folder):
    writer = Journal(url, folder)
    for each in (batch(), reference("a", [1])):
        writer.write(each)
    wait(lambda: writer.health().written_rows == 7)
    for path in Path(url.removeprefix("sqlite:///")).parent.glob("journal.db*"):
        path.unlink()
    writer.write(reference("b", [4]))
    wait(lambda: writer.health().pending_rows == 0)
    writer.close(10)
    assert journal.read_answer(url, "b").store.tolist() == [5]
    assert writer.health().lost_rows == 0


def test_a_batch_that_was_dropped_is_written_again_with_the_answers_that_refer_to_it(tmp_path, folder):
    database_folder = tmp_path / "later"
    url = f"sqlite:///{database_folder}/journal.db"
    writer = Journal(url, folder, max_pending_rows=10)
    for each in (batch(), reference("a", [1]), entry("b", rows=9), reference("c", [4])):
        writer.write(each)
    assert writer.health().lost_rows == 7
    database_folder.mkdir()
    writer.close(10)
    assert journal.read_answer(url, "c").store.tolist() == [5]
    assert writer.health().lost_rows == 7


def test_answers_whose_batch_is_lost_are_counted_as_lost(url, folder):
    """As of a process that was killed after its batch had been dropped."""
    writer = Journal(url, folder)
    for each in (reference("a", [1, 2]), entry("b", rows=3)):
        writer.write(each)
    writer.close(10)
    assert (writer.health().lost_rows, writer.health().written_rows) == (2, 3)


def test_an_answer_in_full_is_read_as_it_was_given(url):
    write_entries(url, [entry("a", rows=3)])
    assert journal.read_answer(url, "a").forecast.tolist() == [100.0, 101.0, 102.0]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_ranges_are_the_positions_in_their_order(count):
    positions = np.random.default_rng(count).permutation(np.arange(60, dtype=np.int32))[:count]
    for each in (positions, np.sort(positions)):
        np.testing.assert_array_equal(from_ranges(to_ranges(each)), each)


def test_many_old_requests_are_deleted_in_several_transactions(url, monkeypatch):
    monkeypatch.setattr(tables, "REQUESTS_PER_DELETION", 7)
    monkeypatch.setattr(tables, "ROWS_PER_DELETION", 10)
    write_entries(url, [entry(f"r{number}", rows=1 + number % 5) for number in range(40)])
    write_entries(url, [entry("young", at=NOW + timedelta(days=1))])
    assert prune(url, NOW + timedelta(hours=1)) == 40
    assert counts(url) == (1, 1)


def test_a_batch_stays_as_long_as_a_younger_request_refers_to_it(url):
    old, young = NOW - timedelta(days=100), NOW - timedelta(days=1)
    write_entries(url, [batch(at=old), reference("old", [1], old), reference("young", [2], young)])
    month_ago = NOW - timedelta(days=30)
    assert count_old(url, month_ago) == (1, 0)
    assert prune(url, month_ago) == 1
    assert journal.read_answer(url, "young").store.tolist() == [3]
    assert count_old(url, NOW) == (2, 6)
    assert prune(url, NOW) == 2
    assert counts(url) == (0, 0)


def test_the_migrations_make_the_tables_that_the_code_writes(url):
    migrate(url)
    migrate(url)
    engine = sa.create_engine(url)
    schema = sa.inspect(engine)
    assert set(schema.get_table_names()) == {*metadata.tables, "alembic_version"}
    for table in metadata.tables.values():
        assert [c["name"] for c in schema.get_columns(table.name)] == [c.name for c in table.columns]
        assert {i["name"] for i in schema.get_indexes(table.name)} == {i.name for i in table.indexes}
        assert schema.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
    engine.dispose()


def test_a_database_of_version_0_1_is_upgraded_with_its_rows(url):
    """Revision 0002 is the schema of 0.1.0; all columns of its monitoring tables have other values."""
    engine = connect(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(alembic_config(connection), "0002")
        for table, values in (
            ("requests", ("a", "2015-02-10 12:00:00.000000", "http", 3, "f" * 16, "2015-02-09", 1, 1.5)),
            ("forecasts", ("a", 0, 1, "2015-02-10", 1, 100.0, 90.0, None, 1, 0, "a", 0)),
            ("accuracy", ("2015-02-10", "batch", 3, "all", "", 10, 0.5, 60.0, -7.0, 900.0, 8, 6)),
            ("accuracy", ("2015-02-10", "batch", 3, "store_type", "a", 10, 0.5, 60.0, -7.0, 900.0, 8, 6)),
            ("accuracy", ("2015-02-10", "batch", 3, "promo", "1", 10, 0.5, 60.0, -7.0, 900.0, 8, 6)),
            ("traffic", ("2015-02-10", "http", 5, 50, 1.25, 9.5)),
            ("findings", ("2015-02-10", "concept", "concept_shift", "groups", 0.1, 0.05, 1, "2015-02-08", "r", "why")),
            ("findings", ("2015-02-11", "plan", "promos_more_than_ever", "promo", 0.1, 0.05, 1, None, "r", "why")),
            ("findings", ("2015-02-12", "quality", "stores_missing", "stores", 0.1, 0.05, 1, None, "r", "why")),
        ):
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
        connection.commit()
    engine.dispose()
    migrate(url)
    assert counts(url) == (1, 1)
    assert select(url, "select purpose, batch, positions from requests") == [("question", None, None)]
    accuracy, *slices = journal.read_rows(url, journal.accuracy, date(2015, 1, 1)).to_dict("records")
    assert {(row["slice"], row["value"]) for row in slices} == {("attribute", "a"), ("promotion", "1")}
    assert accuracy == {
        "date": pd.Timestamp("2015-02-10"), "source": "batch", "model_version": 3, "slice": "all", "value": "",
        "rows": 10, "squared_relative_error": 0.5, "absolute_error": 60.0, "error": -7.0, "sales": 900.0,
        "interval_rows": 8, "covered_rows": 6,
    }  # fmt: skip
    finding, *others = journal.read_rows(url, journal.drift_findings, date(2015, 1, 1)).to_dict("records")
    assert finding == {
        "date": pd.Timestamp("2015-02-10"), "kind": "concept", "name": "concept_shift", "subject": "groups",
        "effect": 0.1, "limit": 0.05, "alarm": True, "since": date(2015, 2, 8), "reference": "r", "message": "why",
    }  # fmt: skip
    assert [(other["name"], other["subject"]) for other in others] == [
        ("planned_promotion_share", "promo"), ("stores_missing", "all stores"),
    ]  # fmt: skip
    assert len(journal.read_rows(url, journal.traffic, date(2015, 1, 1))) == 1


def test_a_database_of_version_0_2_is_upgraded_with_its_rows(url):
    """Revision 0003. Batches were forecasts; which requests over HTTP had the published plan nobody knows any more."""
    engine = connect(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(alembic_config(connection), "0003")
        for request_id, source in (("batch-1", "batch"), ("a", "http")):
            values = (request_id, "2015-02-10 12:00:00.000000", source, 3, "f" * 16, "2015-02-09", 1, 1.5)
            connection.exec_driver_sql(f"INSERT INTO requests VALUES ({', '.join('?' * len(values))})", values)
            row = (request_id, 0, 1, "2015-02-10", 1, 100.0, 90.0, None, 1, 0, "a", 0)
            connection.exec_driver_sql(f"INSERT INTO forecasts VALUES ({', '.join('?' * len(row))})", row)
        connection.commit()
    engine.dispose()
    (table,) = journal.read_forecasts(url, date(2015, 2, 1), date(2015, 2, 28))
    (forecast,) = table.to_dict("records")
    assert (forecast["request_id"], forecast["source"], forecast["forecast"]) == ("batch-1", "batch", 100.0)
    assert select(url, "select id, purpose from requests order by id") == [
        ("a", "question"),
        ("batch-1", "operational"),
    ]
    assert "q50" not in journal.read_answer(url, "a")
    write_entries(url, [batch(), reference("b", [4])])
    assert journal.read_answer(url, "b").store.tolist() == [5]


@pytest.mark.slow
def test_several_processes_may_migrate_and_write_at_once(url):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(write_entries, [(url, [entry(f"r{k}", rows=5)]) for k in range(12)])
    assert counts(url) == (12, 60)


def test_writing_takes_microseconds_and_closing_loses_nothing(url, folder):
    writer = Journal(url, folder)
    entries, seconds = [entry(f"r{k}") for k in range(2_000)], []
    for each in entries:
        started = time.perf_counter()
        writer.write(each)
        seconds.append(time.perf_counter() - started)
    assert np.median(seconds) < 50e-6
    writer.close(30)
    assert counts(url) == (2_000, 2_000)
    health = writer.health()
    assert (health.pending_rows, health.written_rows, health.lost_rows) == (0, 2_000, 0)
    assert log_names(folder) == []


def test_a_locked_database_is_reported_and_waited_for(url, folder):
    migrate(url)
    writer = Journal(url + "?timeout=0.1", folder)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        writer.write(entry("a"))
        wait(lambda: writer.health().failures > 0)
        assert "locked" in writer.health().problem
        assert writer.health().pending_rows == 1
        other.execute("ROLLBACK")
    wait(lambda: writer.health().written_rows == 1)
    assert writer.health().problem is None
    writer.close(10)
    assert counts(url) == (1, 1)


def test_a_database_that_is_created_later_gets_every_entry(tmp_path, folder):
    database_folder = tmp_path / "later"
    url = f"sqlite:///{database_folder}/journal.db"
    writer = Journal(url, folder)
    writer.write(entry("a"))
    wait(lambda: writer.health().failures > 0)
    database_folder.mkdir()
    wait(lambda: writer.health().written_rows == 1)
    writer.close(10)
    assert counts(url) == (1, 1)


def test_entries_that_a_shutdown_cannot_write_are_written_by_the_next_journal(tmp_path, folder):
    database_folder = tmp_path / "later"
    url = f"sqlite:///{database_folder}/journal.db"
    first = Journal(url, folder)
    for name in "ab":
        first.write(entry(name, rows=3))
    first.close(5)
    assert len(log_names(folder)) == 1
    database_folder.mkdir()
    second = Journal(url, folder)
    wait(lambda: second.health().written_rows == 6)
    second.close(5)
    assert log_names(folder) == []
    assert select(url, "select forecast, upper from forecasts where request_id = 'b'") == [
        (100.0, None), (101.0, None), (102.0, None),
    ]  # fmt: skip


WRITER = """
import os, sys
from pathlib import Path
from rossmann.journal import Journal
from tests.test_journal import entry
writer = Journal(sys.argv[1], Path(sys.argv[2]))
for number in range(int(sys.argv[3])):
    writer.write(entry(f"killed-{number}", rows=2))
print("written", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_entries_of_a_killed_process_are_written_by_the_next_and_by_running_ones(tmp_path, url, folder, monkeypatch):
    """As long as it lives, its log is its own; then any other journal on the machine moves it."""
    monkeypatch.setattr(writer_module, "SEARCH_PAUSE_S", 0.1)
    migrate(url)
    arguments = [f"sqlite:///{tmp_path}/missing/journal.db", str(folder), "16"]
    running = Journal(url, folder)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"written\n"
    third = Journal(url, folder)
    third.close(10)
    assert third.health().written_rows == 0
    assert len(log_names(folder)) == 1
    process.kill()
    process.wait()
    wait(lambda: counts(url) == (16, 32))
    running.close(10)
    assert log_names(folder) == []
    assert running.health().lost_rows == 0


def test_a_torn_record_is_counted_and_those_before_it_are_written(url, folder):
    """As after a power failure; the file stays under another name, for whoever wants to look."""
    first = Journal(f"sqlite:///{folder}/none/journal.db", folder)
    for name in "abc":
        first.write(entry(name, rows=3))
    first.close(5)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    second = Journal(url, folder)
    second.close(10)
    assert counts(url) == (2, 6)
    assert second.health().lost_rows == 3
    assert log_names(folder) == [f"{path.name}.unreadable"]


@pytest.mark.parametrize("position", [0, 5, 9, 30, 300])
def test_a_changed_byte_is_noticed(position):
    content = bytearray(log_content([entry("a", rows=3), entry("b", rows=2)]))
    content[position] ^= 1
    entries, unreadable = read_log(bytes(content))
    assert entries == []
    assert len(unreadable) == 1
    assert unreadable[0][0] >= 1


def log_content(entries: list[JournalEntry]) -> bytes:
    with TemporaryDirectory() as folder:
        file = create_file(Path(folder))
        for each in entries:
            file.append(encode_entry(each), len(each.answer))
        content = file.read()
        file.release()
    return content


def test_more_entries_than_a_journal_lets_wait_are_left_and_moved(tmp_path, url, folder):
    """A file is deleted after its entries are in the database, and never because there are many."""
    first = Journal(f"sqlite:///{tmp_path}/missing/journal.db", folder)
    for number in range(20):
        first.write(entry(f"r{number}", rows=2))
    first.close(5)
    second = Journal(url, folder, max_pending_rows=4)
    second.close(10)
    assert counts(url) == (20, 40)
    assert second.health().lost_rows == 0


def test_a_file_system_without_locks_leaves_no_files_behind(url, folder, monkeypatch):
    """Entries wait in memory then, as on a full disk."""

    def no_locks(*_: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    writer, descriptors = Journal(url, folder), len(os.listdir("/proc/self/fd"))
    for number in range(10):
        writer.write(entry(f"r{number}"))
    assert log_names(folder) == []
    assert len(os.listdir("/proc/self/fd")) < descriptors + 5
    wait(lambda: writer.health().written_rows == 10)
    writer.close(10)


def test_entries_that_the_disk_does_not_take_wait_in_memory(url, tmp_path):
    """A file is where the folder should be."""
    (tmp_path / "file").touch()
    writer = Journal(url, tmp_path / "file")
    writer.write(entry("a"))
    wait(lambda: writer.health().written_rows == 1)
    writer.close(10)
    assert counts(url) == (1, 1)


def test_with_too_many_pending_rows_the_oldest_are_dropped_and_counted(tmp_path, folder):
    writer = Journal(f"sqlite:///{tmp_path}/missing/journal.db", folder, max_pending_rows=10)
    for k in range(5):
        writer.write(entry(f"r{k}", rows=4))
    assert writer.health().pending_rows == 8
    assert writer.health().lost_rows == 12
    writer.close(2)


def test_an_entry_that_no_database_accepts_does_not_stop_the_others(url, folder):
    writer = Journal(url, folder)
    writer.write(entry("good"))
    writer.write(entry("bad", sales=np.nan))
    writer.write(entry("after"))
    wait(lambda: writer.health().written_rows == 2)
    writer.close(10)
    assert select(url, "select id from requests order by id") == [("after",), ("good",)]
    assert writer.health().lost_rows == 1


@pytest.mark.parametrize("password", ["secret", "se/cret", "se@cret"])
def test_a_password_is_not_shown(folder, password):
    writer = Journal(f"postgresql+psycopg://me:{password}@127.0.0.1:1/x", folder)
    writer.write(entry("a"))
    wait(lambda: writer.health().problem is not None)
    assert "cret" not in writer.health().problem
    writer.close(1)


def test_an_invalid_address_is_reported_and_the_thread_survives(folder):
    writer = Journal("nonsense", folder)
    writer.write(entry("a"))
    wait(lambda: writer.health().failures > 1, 30)
    assert "nonsense" in writer.health().problem
    writer.close(5)


def test_a_log_stays_until_its_entries_are_written(tmp_path, folder):
    unavailable = f"sqlite:///{tmp_path}/none/journal.db"
    first = Journal(unavailable, folder)
    first.write(entry("a"))
    first.close(5)
    second = Journal(unavailable, folder)
    wait(lambda: second.health().failures > 0, 30)
    second.close(30)
    assert len(log_names(folder)) == 1
    (folder / "other-file").write_bytes(b"not a log")
    third = Journal(f"sqlite:///{tmp_path}/journal.db", folder)
    third.close(30)
    assert third.health().written_rows > 0
    assert log_names(folder) == ["other-file"]


def test_a_decoded_entry_is_equal_to_the_one_that_was_encoded():
    decoded = decode_entry(encode_entry(reference("r", [3, 1])))
    assert decoded.answer.positions.tolist() == [3, 1]
    assert (decoded.answer.batch, decoded.purpose) == (batch().request_id, OPERATIONAL)
    for original in (entry("a", rows=3), entry("b", rows=1, sales=7.5), entry("c", rows=0)):
        decoded = decode_entry(encode_entry(original))
        scalars = ("request_id", "at", "source", "purpose", "model_version", "snapshot", "origin", "latency_ms")
        assert [getattr(decoded, name) for name in scalars] == [getattr(original, name) for name in scalars]
        assert decoded.answer.quantiles == QUANTILES
        for part in ("plan", "forecast"):
            for name, values in vars(getattr(original.answer, part)).items():
                np.testing.assert_array_equal(getattr(getattr(decoded.answer, part), name), values)
                assert getattr(getattr(decoded.answer, part), name).dtype == values.dtype


@pytest.mark.parametrize("content", [b"", b"not a log", b"\x04\0\0\0{}{}", encode_entry(entry("a"))[:-1]])
def test_other_content_is_no_entry(content):
    with pytest.raises(ValueError, match="not a journal entry"):
        decode_entry(content)
