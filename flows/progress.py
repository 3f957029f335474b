"""Progress of long tasks: a bar in a terminal, a line every few seconds in a pipe, a progress artifact in Prefect.

And warnings, which a terminal shows, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from rossmann.training import backtests

LINE_INTERVAL_S = 5.0  # at least, between two lines in a pipe
BAR_COLUMNS = (
    TextColumn("{task.fields[title]}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.description}"),
)

console: Console | None = None  # set by the command line; a worker has none, its progress is in Prefect


def warn(message: str) -> None:
    """Log a warning of the run; from the command line, which hides Prefect's log, print it."""
    get_run_logger().warning(message)
    if console:
        console.print(f"warning: {message}", highlight=False, soft_wrap=True, markup=False)


@contextmanager
def progress(title: str) -> Iterator[backtests.Progress]:
    """Yields `report(done, total, message)`. For use inside a task."""
    artifact = cast(UUID, create_progress_artifact(0.0, key=title.replace(" ", "-"), description=title))
    logger = get_run_logger()
    with _display(title) as show:

        def report(done: int, total: int, message: str) -> None:
            update_progress_artifact(artifact, 100 * done / max(total, 1), description=f"{title}: {message}")
            logger.info("%s: %d of %d, %s", title, done, total, message)
            show(done, total, message)

        yield report


@contextmanager
def _display(title: str) -> Iterator[backtests.Progress]:
    if console is None:
        yield lambda done, total, message: None
    elif console.is_terminal:
        with Progress(*BAR_COLUMNS, console=console) as bars:
            bar = bars.add_task("starting", title=title, total=None)
            yield lambda done, total, message: bars.update(bar, completed=done, total=total, description=message)
    else:
        yield LinePrinter(title, lambda line: console.print(line, highlight=False, soft_wrap=True))


class LinePrinter:
    """Prints the first and the last report, and between them at most one every LINE_INTERVAL_S."""

    def __init__(self, title: str, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.title, self.write, self.clock = title, write, clock
        self.next_at = clock()

    def __call__(self, done: int, total: int, message: str) -> None:
        if done < total and self.clock() < self.next_at:
            return
        self.next_at = self.clock() + LINE_INTERVAL_S
        self.write(f"  {self.title}: {done} of {total}, {message}")
