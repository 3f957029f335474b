"""Alarms, retrainings and decisions about the champion in one order of time, with what each of them changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from rossmann import monitoring, registry
from rossmann.alarms import AlarmRecord, RetrainingOutcome, ids_of_repeated_outcomes
from rossmann.dashboard.formats import moment, percent, plain
from rossmann.registry import LedgerEntry

ADVICE = {  # what a person does about an alarm that no retraining answers, by its kind
    "data": "Correct the files where they come from and ingest them again. If the newest snapshot has them, go back "
            "to the one before: `rossmann snapshots`, then `rossmann snapshots restore FINGERPRINT`.",
    "endpoint": "Look at the page System. `make up` starts again what ended; `rossmann serve` deploys the champion.",
    "journal": "Look at the database of the journal and at the disk; `rossmann doctor` looks for the cause.",
    "quantiles": "The next forecast tries again; the log of the run in Prefect has the cause.",
    "flow": "The run's log in Prefect has the cause; `rossmann doctor` looks at the machine.",
    "stale-data": "Ask for newer files where they come from, then `rossmann refresh --raw DIR`.",
}  # fmt: skip
DECISION = "decision"  # the kind of an entry that is no alarm
SENTENCES = {  # of the ledger's actions
    registry.PROMOTE: "Version {version} became champion",
    registry.OVERRIDE: "A person made version {version} champion",
    registry.REFUSE: "Version {version} was refused",
    registry.ROLLBACK: "Rolled back to version {version}",
    registry.WITHDRAW: "The promotion of version {version} was taken back",
}


@dataclass(frozen=True)
class TimelineEntry:
    """One alarm or one decision."""

    at: datetime  # with its time zone
    kind: str  # of the alarm: drift, performance, data, …; or DECISION
    title: str
    reasons: tuple[str, ...]
    day: date | None  # of the sales that an alarm is about
    answer: str  # as Markdown: what was done, and what that changed, or what a person does; empty where nothing answers
    is_open: bool = False  # whether a retraining must still answer it, or a check pass
    waits_for_retraining: bool = False
    is_over: bool = False  # whether a check has passed


def timeline(
    records: Sequence[AlarmRecord], ledger: Sequence[LedgerEntry], weekly: pd.DataFrame
) -> list[TimelineEntry]:
    """All entries, newest first. weekly: from `monitoring.weekly_scores`, for what a promotion changed."""
    repeated = ids_of_repeated_outcomes(records)
    answers = [
        _same_answer(each) if each.alarm.id in repeated else _answer(each, *effect(each, ledger, weekly))
        for each in records
    ]
    entries = [*map(_of_alarm, records, answers), *map(_of_decision, ledger)]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def sentence(entry: LedgerEntry) -> str:
    """What was decided, without the reasons."""
    before = f" in place of version {entry.previous}" if entry.previous not in (None, entry.version) else ""
    is_change = entry.action in (*registry.PROMOTION_ACTIONS, registry.ROLLBACK)
    unfinished = "" if entry.done else " (interrupted: the alias says which version serves)"
    return SENTENCES[entry.action].format(version=entry.version) + (before if is_change else "") + unfinished


def effect(record: AlarmRecord, ledger: Sequence[LedgerEntry], weekly: pd.DataFrame) -> tuple[float, float]:
    """WAPE before and after the promotion that answered an alarm; NaN where there was none, or no week yet."""
    outcome, nothing = record.outcome, (np.nan, np.nan)
    if not isinstance(outcome, RetrainingOutcome) or outcome.decision != "promoted" or record.alarm.day is None:
        return nothing
    promotions = (each for each in ledger if each.version == outcome.model_version and each.action == registry.PROMOTE)
    previous = next((each.previous for each in promotions), None)
    if previous is None or outcome.model_version is None:
        return nothing
    return monitoring.wape_around(weekly, record.alarm.day, previous, outcome.model_version)


def _of_alarm(record: AlarmRecord, answer: str) -> TimelineEntry:
    alarm = record.alarm
    statistic = f": {alarm.statistic}" if alarm.statistic else ""
    title = f"{alarm.event_kind.replace('-', ' ').capitalize()} alarm{statistic}"
    reason = alarm.reason.removeprefix(f"{alarm.statistic}: ")  # which is in the title
    return TimelineEntry(
        alarm.at, alarm.event_kind, title, (reason,), alarm.day, answer,
        record.is_open, record.waits_for_retraining, record.is_over,
    )  # fmt: skip


def _answer(record: AlarmRecord, before: float, after: float) -> str:
    """The first reason of a retraining only: the decision, an entry of its own, has all of them."""
    outcome = record.outcome
    if outcome and record.is_over:
        return f"Over since {moment(outcome.at)}: {plain(outcome.reason)}."
    if not isinstance(outcome, RetrainingOutcome):
        return ADVICE.get(record.alarm.event_kind, "")
    version = f", version {outcome.model_version} serves" if outcome.model_version else ""
    text = f"Retraining {outcome.decision}{version}: {plain(outcome.reason.partition('; ')[0])}."
    if np.isnan(after):
        return text
    return f"{text} WAPE was {percent(before)} before and is {percent(after)} in the weeks after."


def _same_answer(record: AlarmRecord) -> str:
    """Without what the alarm before says of the same retraining."""
    return f"Retraining {record.outcome.decision}: the same as above." if record.outcome else ""


def _of_decision(entry: LedgerEntry) -> TimelineEntry:
    at = entry.at.to_pydatetime().astimezone(UTC)
    return TimelineEntry(at, DECISION, sentence(entry), entry.reasons, None, "")
