"""Which alarms a monitoring run raises, from the alarms that were raised before, and which a retraining answers."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from flows.monitor_alarms import new_drift_alarms
from rossmann.alarms import (
    AlarmRecord,
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
NO_FINDINGS = pd.DataFrame({"date": pd.Series(dtype="datetime64[s]"), "name": [], "alarm": []})


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    return Settings()


def drift(*findings: DriftFinding, day: date = DAY) -> DriftReport:
    last = np.datetime64(day, "D")
    return DriftReport(last - 6, last, findings)


def outcome(alarm_id: str, decision: str) -> RetrainingOutcome:
    return RetrainingOutcome(alarm_id=alarm_id, started=NOW, decision=decision, reason="", model_version=1)


def raised_after(
    settings: Settings, finding: DriftFinding, days: int, decision: str | None = None, findings=NO_FINDINGS
) -> list:
    """The alarms of a finding that was raised on DAY, then answered by `decision`, and lasts for some days."""
    (first,) = new_drift_alarms(settings, "a", drift(finding), "report", [], NO_FINDINGS)
    records = [AlarmRecord(first, outcome(first.id, decision) if decision else None)]
    later = drift(finding, day=DAY + timedelta(days=days))
    return new_drift_alarms(settings, f"after {days} days", later, "report", records, findings)


def test_a_finding_of_a_run_that_raised_no_alarm_is_raised(settings):
    """The findings are in the journal, and the run was killed before it published anything."""
    findings = pd.DataFrame({"date": pd.to_datetime([DAY - timedelta(days=1)]), "name": MARKET.name, "alarm": True})
    (alarm,) = new_drift_alarms(settings, "a", drift(MARKET), "report", [], findings)
    assert (alarm.name, alarm.snapshot, alarm.day) == (MARKET.name, "a", DAY)


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
        alarms = new_drift_alarms(settings, "a", drift(finding), "report", [], NO_FINDINGS)
        records = [AlarmRecord(each, None) for each in alarms]
        assert new_drift_alarms(settings, "a", drift(finding), "report", records, NO_FINDINGS) == []


def test_wrong_data_that_were_right_in_between_are_raised_again(settings):
    between = pd.DataFrame({"date": pd.to_datetime([DAY + timedelta(days=1)]), "name": BROKEN.name, "alarm": False})
    assert raised_after(settings, BROKEN, 2, findings=between)
    assert not raised_after(settings, BROKEN, 2, findings=between.assign(alarm=True))
    assert not raised_after(settings, MARKET, 2, findings=between.assign(name=MARKET.name)), "a retraining answers it"
    assert not raised_after(settings, BROKEN, 2, findings=None), "the journal is away"


def test_an_alarm_that_is_stored_twice_is_one_alarm(settings):
    (alarm,) = new_drift_alarms(settings, "a", drift(MARKET), "report", [], NO_FINDINGS)
    (same,) = new_drift_alarms(settings, "a", drift(MARKET), "report", [], NO_FINDINGS)
    (other,) = new_drift_alarms(settings, "b", drift(MARKET), "report", [], NO_FINDINGS)
    assert store(settings.workspace.alarms, alarm) == store(settings.workspace.alarms, same)
    store(settings.workspace.alarms, other)
    assert [each.alarm for each in list_alarms(settings.workspace.alarms)] == [other, alarm]


def test_a_failed_retraining_leaves_its_alarm_open(settings):
    (alarm,) = new_drift_alarms(settings, "a", drift(MARKET), "report", [], NO_FINDINGS)
    decisions = ("promoted", "refused", "skipped", "failed", None)
    records = [AlarmRecord(alarm, outcome(alarm.id, each) if each else None) for each in decisions]
    assert [each.is_open for each in records] == [False, False, False, True, True]
    assert not AlarmRecord(DataRejected(reason="r", raw="here"), None).is_open


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
