"""Writing the journal in the background: responses do not wait for the database, and do not fail when it does."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from rossmann.journal import log_files
from rossmann.journal.encoding import encode_entry, read_log
from rossmann.journal.entries import JournalEntry
from rossmann.journal.log_files import LogFile
from rossmann.journal.tables import connect, find_missing_batches, insert, migrate
from rossmann.settings import hide_password, without_password
from rossmann.storage import Storage

PAUSE_S = 0.5  # between two looks at the log
MAX_PAUSE_S = 5.0  # between two attempts while the database is unavailable
SEARCH_PAUSE_S = 30.0  # between two looks for what other processes left
ROWS_PER_TRANSACTION = 20_000
BATCHES_FOR_REPAIR = 2  # the newest batches, in memory: a model's, and the one's before it with its last requests
FILES_FOR_LIMIT = 10  # the limit of pending rows is kept by dropping whole files, of at most such a part of it
log = logging.getLogger("ray.serve")  # whose messages are in Serve's own log files


@dataclass(frozen=True)
class JournalHealth:
    """The state of the writing. Counts are since the start."""

    pending_rows: int  # waiting to be written
    written_rows: int
    lost_rows: int  # dropped because too many were waiting, unreadable, refused by the database, or of a lost batch
    failures: int  # failed attempts to write
    problem: str | None  # why nothing can be written at present


class Journal:
    """A log on the local disk, and a thread that moves its entries to the database.

    `write` takes microseconds and never raises; when it returns, the entry survives the process. Entries that a killed
    process left in `folder` are moved, too. `leftovers` is where a shutdown puts what it could not move; None if other
    machines see `folder`, or never need to.
    """

    def __init__(self, url: str, folder: Path, leftovers: Storage | None = None, max_pending_rows: int = 1_000_000):
        self._url, self._folder, self._leftovers, self._max_pending_rows = url, folder, leftovers, max_pending_rows
        self._rows_per_file = min(ROWS_PER_TRANSACTION, max_pending_rows // FILES_FOR_LIMIT)
        self._engine: sa.Engine | None = None
        self._files: deque[LogFile] = deque()  # the last one is being extended
        self._in_memory: deque[JournalEntry] = deque()  # which the disk did not take
        self._batches: deque[JournalEntry] = deque(maxlen=BATCHES_FOR_REPAIR)  # to be written again if they are gone
        self._lock, self._wake_up, self._closing = threading.Lock(), threading.Event(), threading.Event()
        self._pending_rows = self._written_rows = self._lost_rows = self._failures = 0
        self._problem: str | None = None
        self._next_search = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, entry: JournalEntry) -> None:
        """Add an entry to the log. If too many rows wait, the oldest are dropped and counted as lost."""
        content = encode_entry(entry)
        with self._lock:
            if entry.is_batch:
                self._batches.append(entry)
            self._pending_rows += len(entry.answer)
            try:
                if not self._files or self._files[-1].rows >= self._rows_per_file:
                    self._files.append(log_files.create_file(self._folder))
                self._files[-1].append(content, len(entry.answer))
            except OSError as error:
                self._in_memory.append(entry)
                if len(self._in_memory) == 1:
                    log.error("journal entries wait in memory: %s", error)
            self._drop_oldest()

    def health(self) -> JournalHealth:
        """The present state of the writing."""
        with self._lock:
            return JournalHealth(self._pending_rows, self._written_rows, self._lost_rows, self._failures, self._problem)

    def close(self, timeout_s: float) -> None:
        """Move the entries to the database; after the timeout the rest is left to the next journal."""
        self._closing.set()
        self._wake_up.set()
        self._thread.join(timeout_s)
        with self._lock:
            files, entries = list(self._files), list(self._in_memory)
            self._files.clear()
            self._in_memory.clear()
            lost_rows = sum(len(entry.answer) for entry in entries)
            self._pending_rows, self._lost_rows = 0, self._lost_rows + lost_rows
        for file in files:
            self._leave(file)
        if files or entries:
            log.warning("the journal ends: %s files stay to be written, %s rows are lost", len(files), lost_rows)

    def _leave(self, file: LogFile) -> None:
        """Make a file available to the journals that come later."""
        if self._leftovers is None:
            file.release()
            return
        try:
            self._leftovers.write(file.path.name, file.read())
            file.remove()
        except OSError as error:  # an object store that is unavailable: a later process on this machine finds the file
            log.error("%s could not be copied to %s (%s)", file.path, self._leftovers.root, error)
            file.release()

    def _drop_oldest(self) -> None:
        """Keep the limit of pending rows. The caller has the lock."""
        while self._pending_rows > self._max_pending_rows and (self._files or self._in_memory):
            if self._files:
                file = self._files.popleft()
                rows = file.rows
                with suppress(OSError):  # the file stays on a disk that is read-only by now: another process moves it
                    file.remove()
            else:
                rows = len(self._in_memory.popleft().answer)
            self._pending_rows -= rows
            self._lost_rows += rows

    def _run(self) -> None:
        """The thread: move entries until the journal is closed and nothing waits, or a last attempt fails."""
        pause_s = PAUSE_S
        while True:
            closing = self._closing.is_set()  # before anything is moved: entries may still be added
            try:
                self._move_all()
                pause_s = PAUSE_S
            except Exception as error:  # whatever it is, the thread must survive it and try again
                self._record_failure(error)
                self._disconnect()  # a database that comes back may be a new one: its tables are migrated again
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            if closing:
                break
            self._wake_up.wait(pause_s)
        self._disconnect()

    def _move_all(self) -> None:
        """Move what waits, and from time to time what other processes left. Raises what the database raises."""
        if self._files or self._in_memory:
            self._connect()  # before a file is taken: nothing more is appended to a file that was taken
        while file := self._take_file():
            self._move_own(file)
        self._move_memory()
        if time.monotonic() >= self._next_search:
            self._move_abandoned()
            self._move_leftovers()
            self._next_search = time.monotonic() + SEARCH_PAUSE_S
        self._record_success()

    def _connect(self) -> sa.Engine:
        if self._engine is None:
            migrate(self._url)
            self._engine = connect(self._url)
        return self._engine

    def _disconnect(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _take_file(self) -> LogFile | None:
        """The oldest file; from now on nothing is appended to it, and it cannot be dropped."""
        with self._lock:
            return self._files.popleft() if self._files else None

    def _move_own(self, file: LogFile) -> None:
        try:
            self._move_file(file)
        except Exception:
            with self._lock:
                self._files.appendleft(file)
            raise
        with self._lock:
            self._pending_rows -= file.rows

    def _move_file(self, file: LogFile) -> None:
        """Move a file's entries, then delete it; one with entries that cannot be read is set aside."""
        if self._move_records(file.read(), file.path):
            file.remove()
        else:
            file.set_aside()

    def _move_abandoned(self) -> None:
        """Move the files of processes on this machine that ended without moving them."""
        for file in log_files.abandoned_files(self._folder):
            try:
                self._move_file(file)
            except Exception:
                file.release()
                raise

    def _move_leftovers(self) -> None:
        """Move the files that shutdowns on all machines copied to the object store."""
        if self._leftovers is None:
            return
        try:
            for name in self._leftovers.file_names():
                if name.endswith(log_files.ENDING):
                    content = self._leftovers.read(name)
                    if not self._move_records(content, self._leftovers.address(name)):
                        self._leftovers.write(f"{name}{log_files.UNREADABLE}", content)
                    self._leftovers.delete_if_exists(name)
        except OSError as error:  # the object store is unavailable, or another replica was faster
            log.error("journal entries in %s could not be moved (%s)", self._leftovers.root, error)

    def _move_memory(self) -> None:
        with self._lock:
            entries = list(self._in_memory)
        refused_rows = self._insert(entries)
        with self._lock:
            for entry in entries:
                if self._in_memory and self._in_memory[0] is entry:  # otherwise it was dropped meanwhile
                    self._in_memory.popleft()
                    self._pending_rows -= len(entry.answer)
            self._count(entries, refused_rows)

    def _move_records(self, content: bytes, address: object) -> bool:
        """Write the entries of a log to the database. Whether all of them could be read."""
        entries, unreadable = read_log(content)
        for rows, reason in unreadable:
            log.error("%s has an entry of %s rows that cannot be read: %s", address, rows, reason)
        refused_rows = self._insert(entries)
        with self._lock:
            self._count(entries, refused_rows)
            self._lost_rows += sum(rows for rows, _ in unreadable)
        return not unreadable

    def _insert(self, entries: Sequence[JournalEntry]) -> int:
        """Write entries, ROWS_PER_TRANSACTION at a time. Returns the rows that the database refuses for ever."""
        refused_rows, batch, batch_rows = 0, [], 0
        for entry in entries:
            batch.append(entry)
            batch_rows += len(entry.answer)
            if batch_rows >= ROWS_PER_TRANSACTION:
                refused_rows += self._insert_batch(batch)
                batch, batch_rows = [], 0
        return refused_rows + self._insert_batch(batch)

    def _insert_batch(self, batch: Sequence[JournalEntry]) -> int:
        """Write entries in one transaction, without those that are wrong; returns the rows that are lost.

        A stored batch that answers refer to may be gone: dropped from the log, or in a database that was replaced.
        """
        if not batch:
            return 0
        engine = self._connect()
        try:
            missing = find_missing_batches(engine, batch)
            with self._lock:
                batches_again = [each for each in self._batches if each.request_id in missing]
            insert(engine, [*batches_again, *batch])
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:  # the entry is wrong, not the database
            if len(batch) > 1:
                return sum(self._insert_batch([entry]) for entry in batch)
            log.error("request %s cannot be written to the journal: %s", batch[0].request_id, error.orig)
            return len(batch[0].answer)
        return _rows_without_batch(batch, missing - {each.request_id for each in batches_again})

    def _count(self, entries: Sequence[JournalEntry], refused_rows: int) -> None:
        """Count entries that are dealt with. The caller has the lock."""
        self._written_rows += sum(len(entry.answer) for entry in entries) - refused_rows
        self._lost_rows += refused_rows

    def _record_success(self) -> None:
        with self._lock:
            was_failing, self._problem = self._problem is not None, None
        if was_failing:
            log.warning("the journal is written again")

    def _record_failure(self, error: Exception) -> None:
        reason = getattr(error, "orig", None) or error
        hidden = hide_password(f"{type(reason).__name__}: {reason}", self._url)
        problem = f"the journal at {without_password(self._url)} cannot be written ({hidden})"
        with self._lock:
            self._failures += 1
            is_new, self._problem = self._problem is None, problem
        if is_new:
            log.error("%s; it is tried again every few seconds", problem)


def _rows_without_batch(entries: Sequence[JournalEntry], missing: set[str]) -> int:
    """The rows of answers that refer to a batch which is lost."""
    rows = sum(len(entry.answer) for entry in entries if entry.batch in missing)
    if rows:
        log.error("%s forecasts are lost, because they refer to %s, which is lost", rows, ", ".join(sorted(missing)))
    return rows
