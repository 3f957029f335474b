"""The processor's cores, which the replicas of a machine share when they compute many rows.

A core is a file that is locked while somebody computes on it, so that no more threads compute than there are cores,
whichever replicas they belong to. The kernel releases the lock of a process that ends.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL_INTERVAL_S = 0.002  # what is computed on a core takes a hundred times as long


class Cores:
    """The cores that this process may use; `folder` has their files and is the same for all replicas of the machine."""

    def __init__(self, folder: Path):
        count = len(os.sched_getaffinity(0))
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files = [folder / f"core-{number}" for number in range(count)]
        for file in self._files:  # a disk that is full or read-only later does not matter
            file.touch(0o600)
        self._threads = ThreadPoolExecutor(count, "core")

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """The results in the order of the items, each computed in a thread, on a core of its own."""

        def compute(item: Item) -> Result:
            with self._core():
                return function(item)

        return self._threads.map(compute, items)

    @contextmanager
    def _core(self) -> Iterator[None]:
        """Wait for a free core and keep it while the block runs."""
        while (descriptor := self._lock_any()) is None:
            time.sleep(POLL_INTERVAL_S)
        try:
            yield
        finally:
            os.close(descriptor)

    def _lock_any(self) -> int | None:
        """The descriptor of the first file that nobody has locked."""
        self._folder.mkdir(parents=True, exist_ok=True)  # somebody may have cleared the temporary files
        for file in self._files:
            descriptor = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                os.close(descriptor)
        return None
