"""Writing in the background: an answer never waits for the database, and a broken database costs no answer."""

import io
import json
import logging
import threading
import uuid
import zipfile
from collections import deque
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from rossmann.data import Plan
from rossmann.journal.tables import Entry, connect, insert, migrate
from rossmann.models import Forecast
from rossmann.settings import without_password
from rossmann.storage import Storage

PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0  # between two looks; between two tries while the database is away
ROWS_PER_TRANSACTION = 20_000
log = logging.getLogger("ray.serve")  # so that it lands in Serve's own logs; elsewhere it is a logger like any


@dataclass(frozen=True)
class Health:
    """How the writing goes. Counts of rows, since the start."""

    pending: int
    written: int
    lost: int  # dropped because too many were waiting
    failures: int  # tries that failed
    problem: str | None  # why nothing can be written at present


class Journal:
    """`write` takes microseconds and never raises; a thread does the rest. `spill` is for what a shutdown cannot."""

    def __init__(self, url: str, spill: Storage, most_rows: int = 1_000_000):
        self._url, self._spill, self._most_rows = url, spill, most_rows
        self._reread_files: list[str] = []  # whose entries wait, and which are removed when these are written
        self._engine: sa.Engine | None = None
        self._waiting: deque[Entry] = deque()
        self._lock, self._woken, self._ending = threading.Lock(), threading.Event(), threading.Event()
        self._pending = self._written = self._lost = self._failures = 0
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def write(self, entry: Entry) -> None:
        """Take an entry. Where too many rows wait, the oldest are dropped, and counted."""
        with self._lock:
            self._waiting.append(entry)
            self._pending += len(entry.plan)
            while self._pending > self._most_rows:
                dropped = len(self._waiting.popleft().plan)
                self._pending -= dropped
                self._lost += dropped

    def health(self) -> Health:
        """Now."""
        with self._lock:
            return Health(self._pending, self._written, self._lost, self._failures, self._problem)

    def close(self, seconds: float) -> None:
        """Write what waits; what cannot be written within `seconds` is spilled, for the next journal here to write."""
        self._ending.set()
        self._woken.set()
        self._thread.join(seconds)
        with self._lock:
            left = list(self._waiting)
            self._waiting.clear()
            self._pending = 0
        if left:
            self._spill.write(f"{uuid.uuid4().hex}.npz", _bytes(left))
            self._forget()
            log.warning("%s journal entries could not be written and lie in %s", len(left), self._spill.root)

    def _work(self) -> None:
        self._reread()
        pause = PAUSE_S
        while True:
            ended = self._ending.is_set()
            batch = self._next()
            if batch and not self._try(batch):
                pause = min(pause * 2, LONGEST_PAUSE_S)
                if ended:
                    return
            elif batch:
                pause = PAUSE_S
                continue
            else:
                self._forget()
                if ended:
                    break
            self._woken.wait(pause)
        if self._engine is not None:
            self._engine.dispose()

    def _next(self) -> list[Entry]:
        """The oldest entries, as many as one transaction takes; they stay in the queue until they are written."""
        with self._lock:
            batch, rows = [], 0
            for entry in self._waiting:
                batch.append(entry)
                rows += len(entry.plan)
                if rows >= ROWS_PER_TRANSACTION:
                    break
            return batch

    def _try(self, batch: list[Entry]) -> bool:
        try:
            if self._engine is None:
                migrate(self._url)
                self._engine = connect(self._url)
            insert(self._engine, batch)
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:  # of what is written, not of the database
            if len(batch) > 1:
                return all(self._try([entry]) for entry in batch)
            log.error("request %s can never be in the journal: %s", batch[0].request, error.orig)
            self._leave(batch, written=False)
            return True
        except Exception as error:  # whatever it is, the thread must live to try again
            self._failed(error)
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None  # a database that comes back may be another: its tables are looked for again
            return False
        self._leave(batch, written=True)
        return True

    def _leave(self, batch: list[Entry], written: bool) -> None:
        """Take them out of the queue: they are in the database, or never will be."""
        with self._lock:
            for entry in batch:
                if self._waiting and self._waiting[0] is entry:  # else it was dropped meanwhile, and counted as lost
                    self._waiting.popleft()
                    self._pending -= len(entry.plan)
                    self._written += len(entry.plan) if written else 0
                    self._lost += 0 if written else len(entry.plan)
            recovered, self._problem = self._problem, None
        if recovered:
            log.warning("the journal is written again")

    def _failed(self, error: Exception) -> None:
        cause = getattr(error, "orig", None) or error
        told = f"the journal at {without_password(self._url)} cannot be written ({type(cause).__name__}: {cause})"
        with self._lock:
            self._failures += 1
            first, self._problem = self._problem is None, told
        if first:
            log.error("%s; trying again until it can", told)

    def _reread(self) -> None:
        """What an earlier journal spilled here, to be written first; a file stays until its entries are.

        What is no spill is left where it is, as is everything in an object store that is away.
        """
        try:
            for name in self._spill.names():
                self._reread_one(name, self._spill.read(name))
        except OSError as error:
            log.error("journal entries that may lie in %s are left there (%s)", self._spill.root, error)

    def _reread_one(self, name: str, content: bytes) -> None:
        try:
            entries = _entries(content)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.error("%s holds no journal entries and is left there (%s)", self._spill.address(name), error)
            return
        for entry in entries:
            self.write(entry)
        self._reread_files.append(name)

    def _forget(self) -> None:
        """Remove the files whose entries are written, or spilled again."""
        files, self._reread_files = self._reread_files, []
        try:
            for name in files:
                self._spill.remove(name)
        except OSError as error:  # the next journal writes them again, which changes nothing
            log.error("journal entries in %s are written and could not be removed (%s)", self._spill.root, error)


def _bytes(entries: list[Entry]) -> bytes:
    """Entries as one npz: what is said once as JSON, rows as arrays."""
    arrays = {}
    for number, entry in enumerate(entries):
        about = {
            "request": entry.request, "at": entry.at.isoformat(), "source": entry.source, "origin": str(entry.origin),
            "model_version": entry.model_version, "snapshot": entry.snapshot, "latency_ms": entry.latency_ms,
        }  # fmt: skip
        arrays[f"{number}"] = np.array(json.dumps(about))
        arrays |= {f"{number}.plan.{name}": values for name, values in vars(entry.plan).items()}
        arrays |= {f"{number}.forecast.{name}": values for name, values in vars(entry.forecast).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _entries(content: bytes) -> list[Entry]:
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:

        def part(number: int, of: str) -> dict[str, np.ndarray]:
            start = f"{number}.{of}."
            return {name.removeprefix(start): kept[name] for name in kept.files if name.startswith(start)}

        entries = []
        for number in range(sum(name.isdecimal() for name in kept.files)):
            about = json.loads(str(kept[f"{number}"]))
            about |= {"at": datetime.fromisoformat(about["at"]), "origin": np.datetime64(about["origin"], "D")}
            plan, forecast = Plan(**part(number, "plan")), Forecast(**part(number, "forecast"))
            entries.append(Entry(**about, plan=plan, forecast=forecast))
    return entries
