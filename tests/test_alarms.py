"""Which alarms a monitoring run raises, from the alarms that were raised before, and which a retraining answers."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from flows.cli.console import show_alarms
from flows.monitor_alarms import new_drift_alarms, statistics_within_limits
from rossmann.alarms import (
    AlarmRecord,
    CheckOutcome,
    DataRejected,
    DriftDetected,
    RetrainingOutcome,
    ids_to_answer,
    list_alarms,
    store,
)
from rossmann.monitoring import DriftFinding, DriftReport
from rossmann.settings import Settings

DAY = date(2015, 6, 14)
NOW = datetime(2015, 6, 15, 6, tzinfo=UTC)
MARKET = DriftFinding(
    kind="concept", name="concept_shift", subject="groups of stores", effect=0.2, limit=0.05, since=None,
    days_beyond_limit=7, reference="earlier forecasts", alarm=True, message="sales of some stores deviate",
)  # fmt: skip
BROKEN = replace(MARKET, kind="quality", name="traffic_frozen")


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    return Settings()


def drift(*findings: DriftFinding, day: date = DAY) -> DriftReport:
    last = np.datetime64(day, "D")
    return DriftReport(last - 6, last, findings)


def outcome(alarm_id: str, decision: str) -> RetrainingOutcome:
    return RetrainingOutcome(alarm_id=alarm_id, started=NOW, decision=decision, reason="", model_version=1)


def raised_after(settings: Settings, finding: DriftFinding, days: int, decision: str | None = None) -> list:
    """The alarms of a finding that was raised on DAY, then answered by `decision`, and lasts for some days."""
    (first,) = new_drift_alarms(settings, "a", drift(finding), "report", [])
    records = [AlarmRecord(first, outcome(first.id, decision) if decision else None)]
    later = drift(finding, day=DAY + timedelta(days=days))
    return new_drift_alarms(settings, f"after {days} days", later, "report", records)


def test_an_alarm_names_every_subject_that_is_beyond_its_limit_or_says_how_many(settings):
    def reason(count: int) -> str:
        findings = (replace(BROKEN, subject=f"type {letter}", message=f"wrong in type {letter}")
                    for letter in "cabde"[:count])  # fmt: skip
        alarms = new_drift_alarms(settings, "a", drift(*findings, MARKET), "report", [])
        (reason,) = (each.reason for each in alarms if each.name == BROKEN.name)
        return reason

    assert [reason(count) for count in (1, 2, 5)] == [
        "traffic_frozen: wrong in type c",
        "traffic_frozen: wrong in type c; also type a",
        "traffic_frozen: wrong in type c; also type a, type b, type d and 1 more",
    ]


@pytest.mark.parametrize("finding", [MARKET, BROKEN])
def test_what_lasts_rings_again_after_alarm_repeat_days(settings, finding):
    assert [len(raised_after(settings, finding, days)) for days in (1, 7, 20, 21, 30)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("decision", ["refused", "skipped"])
def test_drift_that_lasts_after_a_retraining_without_a_change_rings_earlier(settings, decision):
    assert [len(raised_after(settings, MARKET, days, decision)) for days in (1, 6, 7)] == [0, 0, 1]


@pytest.mark.parametrize("decision", ["promoted", "failed"])
def test_no_second_alarm_is_raised_for_what_a_new_model_or_the_open_alarm_answers(settings, decision):
    assert [len(raised_after(settings, MARKET, days, decision)) for days in (1, 7, 20, 21)] == [0, 0, 0, 1]


def test_a_finding_is_raised_once_per_snapshot(settings):
    for finding in (MARKET, BROKEN):
        alarms = new_drift_alarms(settings, "a", drift(finding), "report", [])
        records = [AlarmRecord(each, None) for each in alarms]
        assert new_drift_alarms(settings, "a", drift(finding), "report", records) == []


def test_wrong_data_that_were_right_in_between_are_raised_again(settings):
    (first,) = new_drift_alarms(settings, "a", drift(BROKEN), "report", [])
    over = AlarmRecord(first, CheckOutcome(alarm_id=first.id, decision="over", reason="it is right"))
    for snapshot in ("a", "b"):  # the snapshot before was restored in between, or came again after a right one
        assert new_drift_alarms(settings, snapshot, drift(BROKEN), "report", [over])
        assert not new_drift_alarms(settings, snapshot, drift(BROKEN), "report", [AlarmRecord(first, None)])


def test_wrong_data_are_right_again_once_their_statistic_is_within_its_limit_of_every_subject():
    def right(*findings: DriftFinding) -> dict[str, str]:
        return statistics_within_limits("b", drift(*findings))

    within = replace(BROKEN, effect=0.01, alarm=False)
    cause = DataRejected(reason="r", raw="snapshot a", name=BROKEN.name).cause
    assert right(within) == {cause: "traffic_frozen is within its limit up to 2015-06-14"}
    assert right(within, replace(within, subject="type b", effect=-0.2)) == {}
    assert right(replace(within, effect=np.nan)) == {}, "it could not be checked"
    assert right(replace(MARKET, effect=0.01, alarm=False)) == {}, "a retraining answers it"


def test_an_alarm_that_is_stored_twice_is_one_alarm(settings):
    (alarm,) = new_drift_alarms(settings, "a", drift(MARKET), "report", [])
    (same,) = new_drift_alarms(settings, "a", drift(MARKET), "report", [])
    (other,) = new_drift_alarms(settings, "b", drift(MARKET), "report", [])
    assert store(settings.workspace.alarms, alarm) == store(settings.workspace.alarms, same)
    store(settings.workspace.alarms, other)
    assert [each.alarm for each in list_alarms(settings.workspace.alarms)] == [other, alarm]


def test_a_failed_retraining_leaves_its_alarm_open(settings):
    (alarm,) = new_drift_alarms(settings, "a", drift(MARKET), "report", [])
    decisions = ("promoted", "refused", "skipped", "failed", None)
    records = [AlarmRecord(alarm, outcome(alarm.id, each) if each else None) for each in decisions]
    assert [each.is_open for each in records] == [False, False, False, True, True]


def test_an_alarm_that_starts_no_retraining_is_open_until_a_check_passes():
    wrong = DataRejected(reason="r", raw="here")
    outcomes = (None, outcome(wrong.id, "skipped"), *(
        CheckOutcome(alarm_id=wrong.id, decision=each, reason="") for each in ("over", "open again")
    ))  # fmt: skip
    records = [AlarmRecord(wrong, each) for each in outcomes]
    assert [each.is_open for each in records] == [True, True, False, True]
    assert not any(each.waits_for_retraining for each in records)


def test_the_reason_of_a_retraining_that_answered_several_alarms_is_said_once(capsys):
    alarms = [DataRejected(reason="r", raw=str(number)) for number in range(3)]
    records = [AlarmRecord(each, outcome(each.id, "refused").model_copy(update={"reason": "no better"}))
               for each in alarms]  # fmt: skip
    later = records[2].outcome.model_copy(update={"started": NOW + timedelta(days=1)})
    show_alarms([*records[:2], replace(records[2], outcome=later)], "")
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("\t")[5] for line in lines] == ["refused: no better", "refused, as above", "refused: no better"]


@pytest.mark.parametrize(
    ("snapshot", "day", "minutes_after_start", "is_answered"),
    [
        ("run's", DAY, -5, True),
        ("run's", DAY, 5, True),  # the monitor looked at the same snapshot while the retraining ran
        ("older", DAY - timedelta(days=1), -5, True),
        ("newer", DAY + timedelta(days=1), 5, False),
        ("newer", DAY + timedelta(days=1), -5, False),  # the run was given older data
        ("mended", DAY, 5, False),
    ],
)
def test_a_retraining_answers_the_alarms_that_its_snapshot_covers(snapshot, day, minutes_after_start, is_answered):
    alarm = DriftDetected(
        at=NOW + timedelta(minutes=minutes_after_start), reason="r", snapshot=snapshot, day=day, kind="k", name="n",
        subject="s", effect=2, limit=1, reference="r", report="p",
    )  # fmt: skip
    assert ids_to_answer([AlarmRecord(alarm, None)], NOW, "run's", DAY) == ([alarm.id] if is_answered else [])
