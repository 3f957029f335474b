"""Checks of what the caller has typed, before Prefect is imported and started, which takes seconds.

A mistake in a terminal is a message to whoever made it; in a flow it would be an alarm, too. Each raises DataError.
"""

from typing import TYPE_CHECKING

from flows.cli.options import split_names

if TYPE_CHECKING:
    from rossmann.settings import Settings


def check_raw(settings: "Settings", raw: str | None) -> None:
    """The folder of raw files, or the workspace's own, must have the files and columns that ingest needs."""
    from rossmann.data import require_raw_files

    require_raw_files(raw or settings.workspace.raw)


def check_candidates(names: str | None) -> None:
    """Each of the comma-separated names must be a candidate's."""
    from rossmann.models import candidates

    candidates(split_names(names) or ())


def check_plan(plan: str | None) -> None:
    """The plan, if one is given, must be a file."""
    from rossmann.data import require_plan

    if plan:
        require_plan(plan)


def check_snapshot(settings: "Settings") -> None:
    """There must be a current snapshot."""
    from rossmann.data import current_snapshot

    current_snapshot(settings.workspace.snapshots)


def check_champion(settings: "Settings") -> None:
    """There must be a champion."""
    from flows import workspace
    from rossmann import registry

    registry.champion(workspace.registry(settings))


def check_challenger(settings: "Settings") -> None:
    """There must be a challenger."""
    from flows import workspace
    from rossmann import registry

    registry.challenger(workspace.registry(settings))
