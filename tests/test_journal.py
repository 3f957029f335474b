"""The journal: every forecast once, whatever happens to the database meanwhile."""

import multiprocessing
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from rossmann.data import Plan
from rossmann.journal import Entry, Journal, migrate, prune, record
from rossmann.journal.tables import metadata
from rossmann.models import Forecast
from rossmann.storage import Storage

NOW = datetime(2015, 2, 10, 12, tzinfo=UTC)
ORIGIN = np.datetime64("2015-02-09", "D")


def entry(request: str, rows: int = 1, at: datetime = NOW, sales: float = 100.0) -> Entry:
    """Rows of stores 1, 2, … on the day after the origin; every second one promoted."""
    plan = Plan(
        np.arange(1, rows + 1, dtype=np.int32),
        np.full(rows, ORIGIN + 1),
        np.ones(rows, np.int8),
        (np.arange(rows) % 2).astype(np.int8),
        np.full(rows, 1, np.int8),
        np.zeros(rows, np.int8),
    )
    made = np.full(rows, sales) + np.arange(rows)
    return Entry(request, at, "http", 3, "f" * 16, ORIGIN, 1.5, plan, Forecast(made, made - 10, np.full(rows, np.nan)))


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture
def spill(tmp_path):
    return Storage(str(tmp_path / "spill"))


def kept(url: str, query: str) -> list[tuple]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        return database.execute(query).fetchall()


def counts(url: str) -> tuple[int, int]:
    return kept(url, "select count(*) from requests")[0][0], kept(url, "select count(*) from forecasts")[0][0]


def wait(true, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_an_entry_is_written_as_it_was_asked_and_answered(url):
    record(url, entry("a", rows=2))
    assert kept(url, "select * from requests") == [
        ("a", "2015-02-10 12:00:00.000000", "http", 3, "f" * 16, "2015-02-09", 2, 1.5)
    ]
    assert kept(url, "select * from forecasts") == [
        ("a", 0, 1, "2015-02-10", 1, 100.0, 90.0, None, 1, 0, "a", 0),
        ("a", 1, 2, "2015-02-10", 1, 101.0, 91.0, None, 1, 1, "a", 0),
    ]


def test_the_same_request_again_changes_nothing(url):
    record(url, entry("a", rows=3))
    record(url, entry("a", rows=3, sales=999.0))
    assert counts(url) == (1, 3)
    assert kept(url, "select max(forecast) from forecasts") == [(102.0,)]


def test_old_requests_are_pruned_with_their_forecasts(url):
    for days in (1, 10, 100):
        record(url, entry(f"{days} days ago", rows=2, at=NOW - timedelta(days=days)))
    assert prune(url, NOW - timedelta(days=10, seconds=1)) == 1
    assert counts(url) == (2, 4)


def test_the_migrations_make_the_tables_that_the_code_writes(url):
    migrate(url)
    migrate(url)
    engine = sa.create_engine(url)
    seen = sa.inspect(engine)
    assert set(seen.get_table_names()) == {*metadata.tables, "alembic_version"}
    for table in metadata.tables.values():
        assert [c["name"] for c in seen.get_columns(table.name)] == [c.name for c in table.columns]
        assert {i["name"] for i in seen.get_indexes(table.name)} == {i.name for i in table.indexes}
        assert seen.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
    engine.dispose()


@pytest.mark.slow
def test_several_processes_may_migrate_and_write_at_once(url):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(record, [(url, entry(f"r{k}", rows=5)) for k in range(12)])
    assert counts(url) == (12, 60)


def test_writing_takes_microseconds_and_closing_loses_nothing(url, spill):
    journal = Journal(url, spill)
    entries = [entry(f"r{k}") for k in range(2_000)]
    started = time.perf_counter()
    for each in entries:
        journal.write(each)
    assert (time.perf_counter() - started) / 2_000 < 200e-6
    journal.close(30)
    assert counts(url) == (2_000, 2_000)
    health = journal.health()
    assert (health.pending, health.written, health.lost) == (0, 2_000, 0)
    assert spill.names() == []


def test_a_locked_database_is_told_and_waited_for(url, spill):
    migrate(url)
    journal = Journal(url + "?timeout=0.1", spill)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as thief:
        thief.execute("BEGIN EXCLUSIVE")
        journal.write(entry("a"))
        wait(lambda: journal.health().failures > 0)
        assert "locked" in journal.health().problem
        assert journal.health().pending == 1
        thief.execute("ROLLBACK")
    wait(lambda: journal.health().written == 1)
    assert journal.health().problem is None
    journal.close(10)
    assert counts(url) == (1, 1)


def test_a_database_that_comes_later_gets_everything(tmp_path, spill):
    place = tmp_path / "later"
    url = f"sqlite:///{place}/journal.db"
    journal = Journal(url, spill)
    journal.write(entry("a"))
    wait(lambda: journal.health().failures > 0)
    place.mkdir()
    wait(lambda: journal.health().written == 1)
    journal.close(10)
    assert counts(url) == (1, 1)


def test_what_a_shutdown_cannot_write_the_next_one_does(tmp_path, spill):
    place = tmp_path / "later"
    url = f"sqlite:///{place}/journal.db"
    first = Journal(url, spill)
    for name in "ab":
        first.write(entry(name, rows=3))
    first.close(5)
    assert len(spill.names()) == 1
    place.mkdir()
    second = Journal(url, spill)
    wait(lambda: second.health().written == 6)
    second.close(5)
    assert spill.names() == []
    assert kept(url, "select forecast, upper from forecasts where request_id = 'b'") == [
        (100.0, None), (101.0, None), (102.0, None),
    ]  # fmt: skip


def test_too_much_that_waits_is_dropped_oldest_first_and_counted(tmp_path, spill):
    journal = Journal(f"sqlite:///{tmp_path}/missing/journal.db", spill, most_rows=10)
    for k in range(5):
        journal.write(entry(f"r{k}", rows=4))
    assert journal.health().pending == 8
    assert journal.health().lost == 12
    journal.close(2)


def test_an_entry_that_no_database_takes_does_not_stop_the_others(url, spill):
    journal = Journal(url, spill)
    journal.write(entry("good"))
    journal.write(entry("bad", sales=np.nan))
    journal.write(entry("after"))
    wait(lambda: journal.health().written == 2)
    journal.close(10)
    assert kept(url, "select id from requests order by id") == [("after",), ("good",)]
    assert journal.health().lost == 1


def test_a_password_is_not_told(spill):
    journal = Journal("postgresql+psycopg://me:secret@127.0.0.1:1/x", spill)
    journal.write(entry("a"))
    wait(lambda: journal.health().problem is not None)
    assert "secret" not in journal.health().problem
    journal.close(1)


def test_an_address_that_is_none_is_told_and_the_thread_lives(spill):
    journal = Journal("nonsense", spill)
    journal.write(entry("a"))
    wait(lambda: journal.health().failures > 1, 30)
    assert "nonsense" in journal.health().problem
    journal.close(5)


def test_what_was_spilled_stays_until_it_is_written(tmp_path, spill):
    away = f"sqlite:///{tmp_path}/none/journal.db"
    first = Journal(away, spill)
    first.write(entry("a"))
    first.close(5)
    second = Journal(away, spill)  # killed now, say
    wait(lambda: second.health().failures > 0, 30)
    assert len(spill.names()) == 1
    for name in (".first", "no-spill"):
        spill.write(name, b"what is this")
    third = Journal(f"sqlite:///{tmp_path}/journal.db", spill)
    third.close(30)
    assert third.health().written > 0
    assert spill.names() == [".first", "no-spill"]
    second.close(0)
