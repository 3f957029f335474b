"""Writing the journal in the background: responses do not wait for the database, and do not fail when it does."""

import logging
import threading
import uuid
from collections import deque
from dataclasses import dataclass

import sqlalchemy as sa

from rossmann.journal.spill import decode_entries, encode_entries
from rossmann.journal.tables import JournalEntry, connect, insert, migrate
from rossmann.settings import hide_password, without_password
from rossmann.storage import Storage

PAUSE_S = 0.5  # between two looks at the queue
MAX_PAUSE_S = 5.0  # between two attempts while the database is unavailable
ROWS_PER_TRANSACTION = 20_000
log = logging.getLogger("ray.serve")  # whose messages are in Serve's own log files


@dataclass(frozen=True)
class JournalHealth:
    """The state of the writing. Counts are since the start."""

    pending_rows: int  # waiting to be written
    written_rows: int
    lost_rows: int  # dropped because too many were waiting, or because no database takes them
    failures: int  # failed attempts to write
    problem: str | None  # why nothing can be written at present


class Journal:
    """A queue of entries, and a thread that writes them to the database.

    `write` takes microseconds and never raises. `spill` is where a shutdown puts the entries that it cannot write.
    """

    def __init__(self, url: str, spill: Storage, max_pending_rows: int = 1_000_000):
        self._url, self._spill, self._max_pending_rows = url, spill, max_pending_rows
        self._loaded_files: list[str] = []  # spill files whose entries are in the queue, to be removed when written
        self._engine: sa.Engine | None = None
        self._queue: deque[JournalEntry] = deque()
        self._lock, self._wake_up, self._closing = threading.Lock(), threading.Event(), threading.Event()
        self._pending_rows = self._written_rows = self._lost_rows = self._failures = 0
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, entry: JournalEntry) -> None:
        """Add an entry to the queue. If too many rows wait, the oldest are dropped and counted as lost."""
        with self._lock:
            self._queue.append(entry)
            self._pending_rows += len(entry.plan)
            while self._pending_rows > self._max_pending_rows:
                dropped_rows = len(self._queue.popleft().plan)
                self._pending_rows -= dropped_rows
                self._lost_rows += dropped_rows

    def health(self) -> JournalHealth:
        """The present state of the writing."""
        with self._lock:
            return JournalHealth(self._pending_rows, self._written_rows, self._lost_rows, self._failures, self._problem)

    def close(self, timeout_s: float) -> None:
        """Write the queue; what cannot be written within the timeout is spilled, for the next journal to write."""
        self._closing.set()
        self._wake_up.set()
        self._thread.join(timeout_s)
        with self._lock:
            unwritten = list(self._queue)
            self._queue.clear()
            self._pending_rows = 0
        if unwritten:
            self._spill.write(f"{uuid.uuid4().hex}.npz", encode_entries(unwritten))
            self._remove_loaded_files()
            log.warning("%s journal entries could not be written and are in %s", len(unwritten), self._spill.root)

    def _run(self) -> None:
        """The thread: write batches until the journal is closed and the queue is empty, or a last attempt fails."""
        self._load_spill_files()
        pause_s = PAUSE_S
        while True:
            closing = self._closing.is_set()  # before the queue is looked at: entries may still be added
            batch = self._next_batch()
            if batch and self._write_batch(batch):
                pause_s = PAUSE_S
                continue
            if not batch:
                self._remove_loaded_files()
            if closing:
                break
            if batch:
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            self._wake_up.wait(pause_s)
        self._disconnect()

    def _next_batch(self) -> list[JournalEntry]:
        """The oldest entries, as many as one transaction takes; they stay in the queue until they are written."""
        with self._lock:
            batch, rows = [], 0
            for entry in self._queue:
                batch.append(entry)
                rows += len(entry.plan)
                if rows >= ROWS_PER_TRANSACTION:
                    break
            return batch

    def _write_batch(self, batch: list[JournalEntry]) -> bool:
        """Whether these entries are dealt with: written, or refused for ever. False: the database is unavailable."""
        try:
            if self._engine is None:
                migrate(self._url)
                self._engine = connect(self._url)
            insert(self._engine, batch)
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:  # the entry is wrong, not the database
            if len(batch) > 1:
                return all(self._write_batch([entry]) for entry in batch)
            log.error("request %s cannot be written to the journal: %s", batch[0].request_id, error.orig)
            self._remove_from_queue(batch, written=False)
            return True
        except Exception as error:  # whatever it is, the thread must survive it and try again
            self._record_failure(error)
            self._disconnect()  # a database that comes back may be a new one: its tables are migrated again
            return False
        self._remove_from_queue(batch, written=True)
        return True

    def _disconnect(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _remove_from_queue(self, batch: list[JournalEntry], written: bool) -> None:
        """Count the entries as written or lost, and report that the database is available again."""
        with self._lock:
            for entry in batch:
                if self._queue and self._queue[0] is entry:  # otherwise it was dropped meanwhile and counted as lost
                    self._queue.popleft()
                    self._pending_rows -= len(entry.plan)
                    self._written_rows += len(entry.plan) if written else 0
                    self._lost_rows += 0 if written else len(entry.plan)
            recovered, self._problem = self._problem is not None, None
        if recovered:
            log.warning("the journal is written again")

    def _record_failure(self, error: Exception) -> None:
        cause = getattr(error, "orig", None) or error
        reason = hide_password(f"{type(cause).__name__}: {cause}", self._url)
        problem = f"the journal at {without_password(self._url)} cannot be written ({reason})"
        with self._lock:
            self._failures += 1
            is_new, self._problem = self._problem is None, problem
        if is_new:
            log.error("%s; it is tried again every few seconds", problem)

    def _load_spill_files(self) -> None:
        """Add the entries of earlier journals to the queue; a file is removed when its entries are written."""
        try:
            for name in self._spill.names():
                self._load_spill_file(name, self._spill.read(name))
        except OSError as error:  # an object store that is unavailable: the next journal reads them
            log.error("spilled journal entries in %s could not be read (%s)", self._spill.root, error)

    def _load_spill_file(self, name: str, content: bytes) -> None:
        try:
            entries = decode_entries(content)
        except ValueError as error:
            log.error("%s is not a valid spill file and was ignored (%s)", self._spill.address(name), error)
            return
        for entry in entries:
            self.write(entry)
        self._loaded_files.append(name)

    def _remove_loaded_files(self) -> None:
        """Remove the spill files whose entries are in the database, or spilled again."""
        files, self._loaded_files = self._loaded_files, []
        try:
            for name in files:
                self._spill.remove(name)
        except OSError as error:  # the next journal writes these entries again, which changes nothing
            log.error("spill files in %s are written and could not be removed (%s)", self._spill.root, error)
