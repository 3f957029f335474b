"""How long work shows that it moves: a bar in a terminal, lines where there is none, a progress artifact in the UI."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

COLUMNS = (TextColumn("{task.fields[title]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
           TextColumn("{task.description}"))  # fmt: skip

terminal: Console | None = None  # whose eyes are on a terminal; the command line sets it, a worker has none


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yields `report(done, total, what)`, for use inside a task."""
    artifact = create_progress_artifact(0.0, key=title.replace(" ", "-"), description=title)
    logger = get_run_logger()
    live = terminal is not None and terminal.is_terminal
    with Progress(*COLUMNS, console=terminal, disable=not live) as bars:
        bar = bars.add_task("starting", title=title, total=None)

        def report(done: int, total: int, what: str) -> None:
            update_progress_artifact(artifact, 100 * done / max(total, 1), description=f"{title}: {what}")
            logger.info("%s: %d of %d, %s", title, done, total, what)
            bars.update(bar, completed=done, total=total, description=what)
            if terminal is not None and not live:
                terminal.print(f"  {title}: {done} of {total}, {what}", highlight=False)

        yield report
