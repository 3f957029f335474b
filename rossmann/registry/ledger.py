"""The ledger: an append-only list of all decisions about the champion, each an MLflow run.

An entry is written before the alias moves and closed afterwards, so that a crash in between can be recognised. Where
there is an endpoint, the entry of a promotion also says whether the endpoint has been switched to the version.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from rossmann.evaluation import Verdict
from rossmann.registry.connection import CHAMPION, LEDGER, MODEL, Registry
from rossmann.registry.records import RunRecord, read_runs
from rossmann.registry.versions import champion, find_champion, find_version, load_forecaster
from rossmann.validation import DataError, UnavailableError

PROMOTE = "promote"  # an action: the challenger became champion by its verdict
OVERRIDE = "override"  # an action: somebody made a version champion without a verdict
REFUSE = "refuse"  # an action: the verdict was against the challenger
ROLLBACK = "rollback"  # an action: an earlier champion serves again
WITHDRAW = "withdraw"  # an action: a promotion was taken back, since the endpoint could not serve it
PROMOTION_ACTIONS = (PROMOTE, OVERRIDE)  # by a release, or by a person
RELEASE_ACTIONS = (PROMOTE, REFUSE)  # what the verdict of a release leads to
JUDGEMENT_ACTIONS = (*RELEASE_ACTIONS, OVERRIDE)  # what a release, or a person, decides about a version
DEPLOYMENT, PENDING, DONE = "deployment", "pending", "done"  # a tag of promotions for an endpoint, and its values
NO_TAGS: Mapping[str, str] = {}


@dataclass(frozen=True)
class LedgerEntry:
    """One decision about the champion."""

    at: pd.Timestamp  # UTC
    action: str  # promote, override (a promotion by a person), refuse, rollback or withdraw
    version: int  # the new champion, or the challenger that was refused, or the version that was withdrawn
    previous: int | None  # the champion before the decision
    done: bool  # False after a crash between entry and alias: only the alias says which version serves
    reasons: tuple[str, ...]


def promote(
    registry: Registry, version: int, verdict: Verdict, rival: int | None, awaits_endpoint: bool = False
) -> None:
    """Make a challenger champion in place of `rival`, the champion that it was compared with; None: there was none.

    awaits_endpoint: the endpoint is to be switched next, and until then `is_deployment_pending`.
    The ledger's entry is written first, then the alias moves in one atomic step; until then the old champion serves.
    The same call after an interruption completes the entry that is there. The caller holds the workspace's lock.
    DataError if another version is champion by now, or if the version was taken back meanwhile.
    """
    current = _champion_version(registry)
    if current not in (rival, version):
        now = f"version {current} became champion" if current else f"champion {rival} was taken back"
        raise DataError(f"{now} while version {version} was compared with {rival or 'the median'}: release again")
    if veto := find_veto(registry, version):
        raise DataError(veto_reason(veto, version))
    _move_champion(registry, PROMOTE, version, verdict.reasons, awaits_endpoint)


def override(registry: Registry, version: int, reason: str, awaits_endpoint: bool = False) -> bool:
    """Make a version champion because a person wants it, whatever was decided before; this ends its veto.

    awaits_endpoint: the same as for `promote`. The caller holds the workspace's lock.
    Returns whether it was not champion already.
    """
    was_champion = _champion_version(registry) == version
    _move_champion(registry, OVERRIDE, version, (reason,), awaits_endpoint)
    return not was_champion


def require_champion(registry: Registry, version: int) -> None:
    """DataError unless this version is champion: whoever decided has seen another one. The caller holds the lock."""
    current = _champion_version(registry)
    if current != version:
        now = f"version {current} is" if current else "no version is"
        raise DataError(f"{now} champion by now, not version {version}: nothing was changed, look again")


def is_deployment_pending(registry: Registry, version: int) -> bool:
    """Whether the version is champion by a promotion that no switch of the endpoint has confirmed or withdrawn yet.

    It runs now, its process was killed, or the endpoint could not be reached.
    """
    return _pending_promotion(registry, version) is not None


def confirm_deployment(registry: Registry, version: int) -> None:
    """Record that the endpoint serves the version; nothing to do unless its promotion is pending."""
    if entry := _pending_promotion(registry, version):
        registry.client.set_tag(entry, DEPLOYMENT, DONE)


def record_refusal(registry: Registry, version: int, verdict: Verdict) -> None:
    """Write a refusal into the ledger, unless it has the same version with the same reasons; the champion stays."""
    refusal = (REFUSE, version, verdict.reasons, True)
    if any((each.action, each.version, each.reasons, each.done) == refusal for each in ledger(registry)):
        return
    entry = _open_entry(registry, REFUSE, version, verdict.reasons)
    registry.client.set_terminated(entry)


def withdraw(registry: Registry, version: int, reason: str) -> None:
    """Take back a promotion that could not be deployed: the previous champion is champion again, or no version is.

    Does nothing if the version is not champion. UnavailableError if the files of the previous champion cannot be read
    now. The caller holds the workspace's lock.
    """
    if _champion_version(registry) != version:
        return
    if find_version_before(registry, version) is not None:
        try:
            rollback(registry, reason)
            return
        except UnavailableError:
            raise
        except DataError as error:  # the version before cannot forecast either
            reason = f"{reason}; {error}"
    entry = _open_entry(registry, WITHDRAW, version, (reason,))
    registry.client.delete_registered_model_alias(MODEL, CHAMPION)
    registry.client.set_terminated(entry)


def rollback(registry: Registry, reason: str = "by hand") -> int:
    """Make the previous champion champion again; returns its version. DataError where there was none.

    The version rolled back from is vetoed: see `find_veto`. A rollback that was interrupted after the alias moved is
    completed, and not followed by another. The caller holds the workspace's lock.
    """
    current = champion(registry).version
    if interrupted := _interrupted_entry(registry, ROLLBACK, current):
        registry.client.set_terminated(interrupted)
        return current
    target = find_version_before(registry, current)
    if target is None:
        raise DataError(
            f"nothing to roll back to: the ledger has no champion before version {current} without a veto; any version "
            'becomes champion by `rossmann models promote VERSION --because "…"`'
        )
    load_forecaster(registry, find_version(registry, target))  # raises: a version that cannot forecast does not serve
    _move_champion(registry, ROLLBACK, target, (f"rolled back from version {current}: {reason}",))
    return target


def find_veto(registry: Registry, version: int) -> LedgerEntry | None:
    """The entry that took the version back, if it was not promoted by a person since then.

    A version that was taken back is not released again: with the same data, the same verdict would return it.
    """
    for entry in ledger(registry):
        if entry.action in PROMOTION_ACTIONS and entry.version == version and entry.done:
            return None
        if (entry.action, entry.previous) == (ROLLBACK, version):
            return entry
        if (entry.action, entry.version) == (WITHDRAW, version):
            return entry
    return None


def veto_reason(veto: LedgerEntry, version: int) -> str:
    """Why a version is vetoed, and how a person ends that."""
    return (
        f"version {version} was taken back on {veto.at:%Y-%m-%d %H:%M} UTC ({'; '.join(veto.reasons)}): it is not "
        f'released again until somebody says why: rossmann models promote {version} --because "…"'
    )


def ledger(registry: Registry) -> tuple[LedgerEntry, ...]:
    """All decisions about the champion, newest first."""
    return tuple(_ledger_entry(run) for run in read_runs(registry, LEDGER))


def champion_since(registry: Registry) -> pd.Timestamp | None:
    """When the champion was changed last, UTC; None if it never was."""
    return next((entry.at for entry in ledger(registry) if entry.action != REFUSE), None)


def _champion_version(registry: Registry) -> int | None:
    current = find_champion(registry)
    return current.version if current else None


def find_version_before(registry: Registry, version: int) -> int | None:
    """The last champion before a version that is neither vetoed nor this version; None where there is none."""
    replacements = {}  # the champion before the newest promotion of a version, by version
    for entry in reversed(ledger(registry)):
        if entry.action in PROMOTION_ACTIONS and entry.previous not in (None, entry.version):
            replacements[entry.version] = entry.previous
    visited_versions, predecessor = {version}, replacements.get(version)
    while predecessor is not None and predecessor not in visited_versions:
        if find_veto(registry, predecessor) is None:
            return predecessor
        visited_versions.add(predecessor)
        predecessor = replacements.get(predecessor)
    return None


def _move_champion(
    registry: Registry, action: str, version: int, reasons: Iterable[str], awaits_endpoint: bool = False
) -> None:
    """Does nothing if the version is champion already, unless an interrupted attempt is to be completed."""
    if _champion_version(registry) == version and not _interrupted_entry(registry, action, version):
        return
    tags = {DEPLOYMENT: PENDING} if awaits_endpoint else {}
    entry = _open_entry(registry, action, version, reasons, tags)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    registry.client.set_terminated(entry)


def _open_entry(
    registry: Registry, action: str, version: int, reasons: Iterable[str], more_tags: Mapping[str, str] = NO_TAGS
) -> str:
    """The run id of a new entry, or of the one that an interrupted attempt at the same decision left open."""
    if interrupted := _interrupted_entry(registry, action, version):
        return interrupted
    current = _champion_version(registry)
    tags = {
        "action": action,
        "version": str(version),
        "previous": str(current or ""),
        "reasons": json.dumps(list(reasons)),
        **more_tags,
    }
    experiment = registry.experiment(LEDGER)
    return registry.client.create_run(experiment, run_name=f"{action} version {version}", tags=tags).info.run_id


def _interrupted_entry(registry: Registry, action: str, version: int) -> str | None:
    """The run id of the newest entry, if it is an open one of this decision. Older open entries were superseded."""
    newest = next(iter(read_runs(registry, LEDGER)), None)
    if newest is None or newest.status != "RUNNING":
        return None
    return newest.run_id if (newest.tags["action"], newest.tags["version"]) == (action, str(version)) else None


def _pending_promotion(registry: Registry, version: int) -> str | None:
    """The run id of the version's promotion, if that is the newest decision and it waits for the endpoint."""
    newest = next((run for run in read_runs(registry, LEDGER) if run.tags["action"] != REFUSE), None)
    if newest is None or newest.tags.get(DEPLOYMENT) != PENDING or newest.tags["version"] != str(version):
        return None
    return newest.run_id


def _ledger_entry(run: RunRecord) -> LedgerEntry:
    tags = run.tags
    return LedgerEntry(
        at=pd.Timestamp(run.start_ms, unit="ms", tz="UTC"),
        action=tags["action"],
        version=int(tags["version"]),
        previous=int(tags["previous"]) if tags["previous"] else None,
        done=run.status == "FINISHED",
        reasons=tuple(json.loads(tags["reasons"])),
    )
