"""The journal's log: entries that are on their way to the database, in files on this machine.

A file belongs to the process that holds its lock. The kernel releases the lock when the process ends, however it ends,
and the next process that looks finds the file. A record is complete when it is in the page cache: it survives the
process, but not a power failure in the half second before it is in the database.

A file is a sequence of records: SIZES, CHECKSUM, then the entry.
"""

import fcntl
import os
import struct
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SIZES = struct.Struct("<II")  # bytes of the entry, its rows
CHECKSUM = struct.Struct("<I")  # CRC-32 of the sizes and the entry
HEADER_BYTES = SIZES.size + CHECKSUM.size
ENDING = ".log"
UNREADABLE = ".unreadable"  # appended to the name of a file with a damaged record


@dataclass(frozen=True)
class Record:
    """One entry of a log, encoded. `intact` is False if its bytes are not those that were written."""

    content: bytes
    rows: int
    intact: bool


class LogFile:
    """An open file that this process has locked."""

    def __init__(self, path: Path, descriptor: int):
        self.path, self._descriptor = path, descriptor
        self.rows = self._size = 0  # appended by this process

    def append(self, content: bytes, rows: int) -> None:
        """Add a record. Raises OSError; then the file is as it was."""
        sizes = SIZES.pack(len(content), rows)
        record = b"".join((sizes, CHECKSUM.pack(_checksum(sizes, content)), content))
        try:
            if os.write(self._descriptor, record) < len(record):
                raise OSError(f"{self.path} cannot be extended: the disk is full")
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            os.lseek(self._descriptor, self._size, os.SEEK_SET)
            raise
        self.rows, self._size = self.rows + rows, self._size + len(record)

    def read(self) -> bytes:
        """The whole content."""
        return self.path.read_bytes()

    def remove(self) -> None:
        """Delete the file and release its lock."""
        self.path.unlink(missing_ok=True)
        self.release()

    def set_aside(self) -> None:
        """Rename the file, so that nobody reads it as a log again, and release its lock."""
        self.path.rename(f"{self.path}{UNREADABLE}")
        self.release()

    def release(self) -> None:
        """Release the lock: from now on the file is another process's to write."""
        os.close(self._descriptor)


def create_file(folder: Path) -> LogFile:
    """A new file in the folder, which is created when missing. Raises OSError.

    Its name begins with the time: files are moved in their order, a batch before the answers that refer to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.time_ns()}-{uuid.uuid4().hex}{ENDING}"
    try:
        if file := _lock(path, os.O_CREAT | os.O_EXCL):
            return file
        raise OSError(f"{path} was taken by another process between its creation and its lock")
    except OSError:
        path.unlink(missing_ok=True)
        raise


def abandoned_files(folder: Path) -> Iterator[LogFile]:
    """The files of processes that ended, one after the other; each is locked now. Raises OSError."""
    paths = sorted(folder.glob(f"*{ENDING}")) if folder.exists() else []
    for path in paths:
        with suppress(FileNotFoundError):
            if file := _lock(path, 0):
                yield file


def records(content: bytes) -> Iterator[Record]:
    """The records of a file. After a damaged one there are no others, since nobody knows where they begin."""
    position = 0
    while position < len(content):
        header = content[position : position + HEADER_BYTES]
        if len(header) < HEADER_BYTES:
            yield Record(b"", 1, intact=False)
            return
        length, rows = SIZES.unpack_from(header)
        (checksum,) = CHECKSUM.unpack_from(header, SIZES.size)
        position += HEADER_BYTES + length
        entry = content[position - length : position]
        intact = _checksum(header[: SIZES.size], entry) == checksum
        yield Record(entry, rows if intact else max(1, min(rows, len(content))), intact)
        if not intact:
            return


def _checksum(sizes: bytes, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(sizes))


def _lock(path: Path, flags: int) -> LogFile | None:
    """The file, opened and locked; None if another process has the lock, or has removed the file meanwhile."""
    descriptor = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return LogFile(path, descriptor)
    except BlockingIOError:
        pass
    except OSError:  # a file system without locks
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
