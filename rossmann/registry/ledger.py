"""The ledger: an append-only list of all decisions about the champion, each an MLflow run.

An entry is written before the alias moves and closed afterwards, so that a crash in between can be recognised.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from mlflow.entities import Run

from rossmann.evaluation import Verdict
from rossmann.registry.connection import CHAMPION, LEDGER, MODEL, Registry
from rossmann.registry.versions import champion, find_by_alias, list_models
from rossmann.validation import DataError

PROMOTE, REFUSE, ROLLBACK, WITHDRAW = "promote", "refuse", "rollback", "withdraw"  # actions


@dataclass(frozen=True)
class LedgerEntry:
    """One decision about the champion."""

    at: pd.Timestamp  # UTC
    action: str  # promote, refuse, rollback or withdraw
    version: int  # the new champion, or the challenger that was refused, or the version that was withdrawn
    previous: int | None  # the champion before the decision
    done: bool  # False after a crash between entry and alias: only the alias says which version serves
    reasons: tuple[str, ...]


def promote(registry: Registry, version: int, verdict: Verdict) -> None:
    """Write the promotion into the ledger, then move the alias in one atomic step; until then the old champion serves.

    The same call after an interruption completes the entry that is there.
    """
    _move_champion(registry, PROMOTE, version, verdict.reasons)


def record_refusal(registry: Registry, version: int, verdict: Verdict) -> None:
    """Write a refusal into the ledger, unless the same refusal is its last entry; the champion stays."""
    last = next(iter(ledger(registry)), None)
    if last and (last.action, last.version, last.reasons) == (REFUSE, version, verdict.reasons):
        return
    entry = _open_entry(registry, REFUSE, version, verdict.reasons)
    registry.client.set_terminated(entry.info.run_id)


def withdraw(registry: Registry, version: int, reason: str) -> None:
    """Take back a promotion that could not be deployed: the previous champion is champion again, or no version is.

    Does nothing if the version is not champion.
    """
    if (current := find_by_alias(registry, CHAMPION)) is None or current.version != version:
        return
    if _promotion(registry, version) is not None:
        rollback(registry, reason)
        return
    entry = _open_entry(registry, WITHDRAW, version, (reason,))
    registry.client.delete_registered_model_alias(MODEL, CHAMPION)
    registry.client.set_terminated(entry.info.run_id)


def rollback(registry: Registry, reason: str = "by hand") -> int:
    """Make the previous champion champion again; returns its version. DataError where there was none."""
    current = champion(registry).version
    promotion = _promotion(registry, current)
    if promotion is None:
        raise DataError(f"nothing to roll back to: the ledger has no champion before version {current}")
    if promotion.previous not in {model.version for model in list_models(registry)}:
        raise DataError(f"version {promotion.previous}, the champion before {current}, is no longer in the registry")
    _move_champion(registry, ROLLBACK, promotion.previous, (f"rolled back from version {current}: {reason}",))
    return promotion.previous


def ledger(registry: Registry) -> tuple[LedgerEntry, ...]:
    """All decisions about the champion, newest first."""
    runs = registry.client.search_runs([registry.experiment(LEDGER)], order_by=["attributes.start_time DESC"])
    return tuple(_ledger_entry(run) for run in runs)


def _promotion(registry: Registry, version: int) -> LedgerEntry | None:
    """The last promotion of a version that replaced another one."""
    replacements = (entry for entry in ledger(registry) if entry.action == PROMOTE and entry.previous is not None)
    return next((entry for entry in replacements if entry.version == version), None)


def _move_champion(registry: Registry, action: str, version: int, reasons: Iterable[str]) -> None:
    entry = _open_entry(registry, action, version, reasons)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    registry.client.set_terminated(entry.info.run_id)


def _open_entry(registry: Registry, action: str, version: int, reasons: Iterable[str]) -> Run:
    """A new entry, or the one that an interrupted attempt at the same decision left open."""
    experiment = registry.experiment(LEDGER)
    same = f"attributes.status = 'RUNNING' and tags.action = '{action}' and tags.version = '{version}'"
    if interrupted := registry.client.search_runs([experiment], same):
        return interrupted[0]
    current = find_by_alias(registry, CHAMPION)
    previous = str(current.version) if current else ""
    tags = {"action": action, "version": str(version), "previous": previous, "reasons": json.dumps(list(reasons))}
    return registry.client.create_run(experiment, run_name=f"{action} version {version}", tags=tags)


def _ledger_entry(run: Run) -> LedgerEntry:
    tags = run.data.tags
    return LedgerEntry(
        at=pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
        action=tags["action"],
        version=int(tags["version"]),
        previous=int(tags["previous"]) if tags["previous"] else None,
        done=run.info.status == "FINISHED",
        reasons=tuple(json.loads(tags["reasons"])),
    )
