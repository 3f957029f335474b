"""The lock of a workspace: whoever changes its champion, its current snapshot or its endpoint holds it meanwhile.

With a journal in PostgreSQL it is an advisory lock of a session, for all machines; with SQLite it is a lock on a file
beside the database. The server or the kernel frees it when its holder ends, however that ends.
"""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from rossmann.validation import DataError

WORKSPACE_LOCK = 7_034_116  # an arbitrary number: the advisory lock in PostgreSQL, beside tables.MIGRATION_LOCK
POLL_INTERVAL_S = 0.25
SILENT_WAIT_S = 1  # after which a wait is logged
# PostgreSQL notices within half a minute that a holder's machine is gone.
SESSION = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4"}
HOLDER_QUERY = sa.text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND objid = :key AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
logger = logging.getLogger(__name__)


class _Lock(Protocol):
    """A lock of one holder among all processes."""

    def acquire(self, owner: str) -> bool:
        """Try to take the lock now; whether it was free. `owner` is shown to those who wait for it."""

    def holder(self) -> str:
        """Who holds the lock, or what else prevents taking it."""

    def close(self) -> None:
        """Free the lock if it is taken."""


@contextmanager
def workspace_lock(url: str, purpose: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock of the workspace whose journal is at `url`, and wait for it up to `timeout_s`.

    Do not take it twice in one process: the second waits for the first. DataError names the holder after the timeout.
    """
    owner = f"{purpose} (process {os.getpid()} on {socket.gethostname()})"
    with closing(_FileLock(url) if url.startswith("sqlite") else _DatabaseLock(url)) as lock:
        _wait(lock, owner, purpose, timeout_s)
        yield


def _wait(lock: _Lock, owner: str, purpose: str, timeout_s: float) -> None:
    started, is_logged = time.monotonic(), False
    while not lock.acquire(owner):
        wait_s = time.monotonic() - started
        if wait_s > timeout_s:
            raise DataError(
                f"{purpose} has waited {timeout_s:g} s for the lock of the workspace, {lock.holder()}: "
                "run it again when that has ended"
            )
        if wait_s > SILENT_WAIT_S and not is_logged:
            logger.warning("%s waits for the lock of the workspace, %s", purpose, lock.holder())
            is_logged = True
        time.sleep(POLL_INTERVAL_S)


class _FileLock:
    """A lock on the file with the name of the SQLite database and the ending .lock; it contains the holder's name."""

    def __init__(self, url: str) -> None:
        self._path = Path(f"{sa.make_url(url).database}.lock")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a")

    def acquire(self, owner: str) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._file.truncate(0)
        self._file.write(owner)
        self._file.flush()
        return True

    def holder(self) -> str:
        return f"held by {self._path.read_text() or 'another process'}"

    def close(self) -> None:
        self._file.close()


class _DatabaseLock:
    """An advisory lock of a session of PostgreSQL, whose application name is the holder's. It ends with the session."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        self._connection: sa.Connection | None = None
        self._holder = ""

    def acquire(self, owner: str) -> bool:
        try:
            if self._connection is None:
                self._connection = self._connect(owner)
            if self._connection.scalar(sa.select(sa.func.pg_try_advisory_lock(WORKSPACE_LOCK))):
                return True
            name = self._connection.scalar(HOLDER_QUERY, {"key": WORKSPACE_LOCK})
            self._holder = f"held by {name or 'another process'}"
        except sa.exc.OperationalError as error:  # the database restarts, or cannot be reached yet
            self._holder = f"but the journal's database does not respond: {error.orig}"
            self.close()
        return False

    def holder(self) -> str:
        return self._holder

    def close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # a session whose server is gone cannot be closed in an orderly way
            self._connection.close()
            self._connection = None

    def _connect(self, owner: str) -> sa.Connection:
        connection = self._engine.connect()
        for name, value in (SESSION | {"application_name": owner}).items():
            connection.execute(sa.select(sa.func.set_config(name, value, False)))
        return connection
