"""What outside this program explains an error: a disk that is full, a database that is damaged, a server that is away.

MLflow, Prefect and the drivers of databases report these by many different errors, most of them without a path or an
address, so the causes themselves are looked at once something has failed.
"""

import errno
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flows.cli.doctor.network import DEFAULT_PORTS

if TYPE_CHECKING:
    from rossmann.settings import Settings

MAKE_WRITABLE = "make it writable, or choose another folder by ROSSMANN_DATA_DIR, and run this again"
DISK_ADVICE = {
    errno.ENOSPC: "free some space and run this again",
    errno.EDQUOT: "free some space and run this again",
    errno.EROFS: MAKE_WRITABLE,
    errno.EACCES: MAKE_WRITABLE,
    errno.EPERM: MAKE_WRITABLE,
}
CONNECT_TIMEOUT_S = 3


def outside_cause(settings: "Settings") -> str | None:
    """One sentence about the first cause that is present now; None if there is none."""
    return next(iter(_causes(settings)), None)


def file_error(error: OSError) -> str:
    """The path, what is wrong there, and what to do if it is the disk."""
    advice = DISK_ADVICE.get(error.errno or 0)
    return f"{error.filename}: {error.strerror}; {advice}" if advice and error.filename else str(error)


def _causes(settings: "Settings") -> Iterator[str]:
    from flows.workspace import check_disk

    try:
        check_disk(settings)
    except OSError as error:
        yield file_error(error)
    for variable, address in (
        ("ROSSMANN_MLFLOW_TRACKING_URI", settings.mlflow_address),
        ("ROSSMANN_JOURNAL_URL", settings.journal_address),
    ):
        cause = _database_problem(address) if address.startswith("sqlite") else _server_problem(variable, address)
        if cause:
            yield cause


def _database_problem(address: str) -> str | None:
    path = Path(address.removeprefix("sqlite:///"))
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path)) as database:
            (result,) = database.execute("pragma quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        result = str(error)
    return None if result == "ok" else f"{path} is damaged ({result}): restore it from a backup"


def _server_problem(variable: str, address: str) -> str | None:
    from rossmann.settings import without_password

    try:
        parts = urlsplit(address)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:  # its message would show a part of the password
        return f"{variable} is not an address: write /, ? and # of a password as %2F, %3F and %23"
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", port), CONNECT_TIMEOUT_S):
            return None
    except OSError as error:
        place = without_password(address)
        return (
            f"{place} does not respond ({error.strerror or error}): start it and run this again, or change {variable}"
        )
