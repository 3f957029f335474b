"""The journal of one replica: what an entry costs, how far the database lags behind, and whether all entries arrive.

Usage: python -m benchmarks.journal [REQUESTS]   default: a million, as fast as they can be written

Before them it writes RATE entries a second for RATE_S seconds, as the endpoint does under full load. The database is
SQLite on the local disk.
"""

import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from rossmann.journal import OPERATIONAL, BatchRows, Journal, JournalEntry

REQUESTS = 1_000_000
RATE, RATE_S = 1_800, 20  # requests per second, and for how many seconds
MAX_PENDING_ROWS = 1_000_000
LOOK_INTERVAL_S = 0.05
ORIGIN = np.datetime64("2015-07-31", "D")


def main() -> None:
    """Print one line for each load."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    for title, count, rate in ((f"{RATE:,} a second", RATE * RATE_S, RATE), ("as fast as possible", requests, None)):
        with tempfile.TemporaryDirectory() as folder:
            Console(width=200).print(measure(title, Path(folder), count, rate))


def measure(title: str, folder: Path, count: int, rate: int | None) -> str:
    """Write so many entries, wait for the database, and describe what it cost."""
    journal = Journal(f"sqlite:///{folder}/journal.db", folder / "log", max_pending_rows=MAX_PENDING_ROWS)
    started, cpu_started, memory = time.perf_counter(), time.process_time(), psutil.Process().memory_info().rss
    with largest_values(journal) as largest:
        for number in range(count):
            if rate and (ahead_s := number / rate - (time.perf_counter() - started)) > 0.01:
                time.sleep(ahead_s)
            journal.write(entry(f"{number:032x}"))
        written_s = time.perf_counter() - started
        journal.close(600)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    with closing(sqlite3.connect(folder / "journal.db")) as database:
        (stored,) = database.execute("select count(*) from requests").fetchone()
    lag_s = largest["pending"] / (count / seconds)
    return (
        f"{title}: {count:,} entries written in {written_s:.1f} s, {stored:,} in the database after {seconds:.1f} s, "
        f"{journal.health().lost_rows} lost; {cpu / count * 1e6:.0f} µs of processor time each; at most "
        f"{largest['pending']:,} waited, {lag_s:.1f} s; memory + {(largest['memory'] - memory) / 1e6:.0f} MB"
    )


def entry(request_id: str) -> JournalEntry:
    """An answer of one row as published."""
    rows = BatchRows("published-1-ffffffffffffffff-0123456789abcdef", np.array([7], np.int32))
    return JournalEntry(request_id, datetime.now(UTC), "http", OPERATIONAL, 1, "f" * 16, ORIGIN, 0.5, rows)


@contextmanager
def largest_values(journal: Journal) -> Iterator[dict[str, int]]:
    """The largest number of rows that waited, and the largest memory of this process, while the block ran."""
    largest, done = {"pending": 0, "memory": 0}, threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_INTERVAL_S):
            largest["pending"] = max(largest["pending"], journal.health().pending_rows)
            largest["memory"] = max(largest["memory"], psutil.Process().memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    yield largest
    done.set()
    thread.join()


if __name__ == "__main__":
    main()
