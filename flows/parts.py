"""Runs the independent parts of a flow: one that fails costs only itself, and the run fails at its end."""

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from prefect import get_run_logger

P = ParamSpec("P")
T = TypeVar("T")


class Parts:
    """The failures of a flow's parts so far."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []

    def run(self, part: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The result of a part; None if it failed, which is logged."""
        try:
            return part(*args, **kwargs)
        except Exception as error:  # whatever the failure is, the other parts do not depend on it; `finish` raises it
            error.add_note(f"in {getattr(part, 'name', None) or part.__name__}")
            get_run_logger().error("%s failed: %s: %s", error.__notes__[-1], type(error).__name__, error)
            self.failures.append(error)
            return None

    def collect(self, part: Callable[P, Sequence[T]], *args: P.args, **kwargs: P.kwargs) -> Sequence[T]:
        """The items that a part returns; none if it failed."""
        return self.run(part, *args, **kwargs) or ()

    def finish(self) -> None:
        """Raise the first failure, with the others as notes. Nothing happens without a failure."""
        if not self.failures:
            return
        first, *others = self.failures
        for each in others:
            first.add_note(f"{each.__notes__[-1]}: {type(each).__name__}: {each}")
        raise first
