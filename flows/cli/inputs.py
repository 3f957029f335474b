"""Checks of what the caller has typed, before Prefect is imported and started, which takes seconds.

A mistake in a terminal is a message to whoever made it; in a flow it would be an alarm, too. Each raises DataError.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.options import split_names

if TYPE_CHECKING:
    import pandas as pd

    from rossmann.settings import Settings

MAX_FINDINGS_SHOWN = 12  # of a plan's rows, in a message


def check_raw(settings: "Settings", raw: str | None) -> None:
    """The folder of raw files, or the workspace's own, must have the files and columns that ingest needs."""
    from rossmann.data import require_raw_files

    require_raw_files(raw or settings.workspace.raw)


def check_candidates(names: str | None) -> None:
    """Each of the comma-separated names must be a candidate's."""
    from rossmann.models import candidates

    candidates(split_names(names) or ())


def check_plan(settings: "Settings", plan: str | None) -> None:
    """The plan, if one is given, must be a file whose rows can be forecast from the current snapshot.

    The message has the findings row by row; a CSV file in the workspace has all of them.
    """
    from rossmann.data import find_current, load_snapshot, require_plan

    if not plan:
        return
    require_plan(plan)
    if fingerprint := find_current(settings.workspace.snapshots):
        from rossmann.planning.plan_upload import check_upload
        from rossmann.storage import split_path

        storage, file = split_path(plan)
        history = load_snapshot(settings.workspace.snapshots, fingerprint)
        _refuse(settings, file, check_upload(file, storage.read(file), history).findings)


def _refuse(settings: "Settings", file: str, findings: "pd.DataFrame") -> None:
    """Raise DataError if there are findings."""
    from rossmann.forecasting import to_csv_bytes
    from rossmann.planning.plan_upload import file_message
    from rossmann.storage import Storage
    from rossmann.validation import DataError

    if findings.empty:
        return
    if message := file_message(findings):
        raise DataError(message)
    lines = [f"  line {each.row}: {each.column} {each.value}: {each.problem} → {each.what_to_do}"
             for each in findings.head(MAX_FINDINGS_SHOWN).itertuples()]  # fmt: skip
    if len(findings) > MAX_FINDINGS_SHOWN:
        lines.append(f"  … and {len(findings) - MAX_FINDINGS_SHOWN:,} more")
    name = f"{Path(file).stem}_findings.csv"
    address = Storage(settings.workspace.forecasts).write(name, to_csv_bytes(findings))
    rows = findings["row"].nunique()
    head = f"The plan {file} has {len(findings):,} findings in {rows:,} rows; nothing was forecast:"
    raise DataError("\n".join([head, *lines, f"all of them: {address}"]))


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
