"""The closed loop: the whole stack, a week in which some stores sell less, and no person who does anything."""

from pathlib import Path

import pytest

from benchmarks.loop import loop
from rossmann.alarms import DriftDetected
from rossmann.simulation import write_sample


@pytest.mark.proof
@pytest.mark.alone
@pytest.mark.timeout(900)  # a stack, two trainings and all steps between them take minutes on two busy cores
def test_a_week_with_drift_ends_in_a_verdict_without_any_action(tmp_path: Path) -> None:
    sample = str(write_sample(tmp_path / "sample", 60))
    hops, outcome = loop(tmp_path / "workspace", sample, None, ROSSMANN_CANDIDATES="ridge,xgboost")
    delays = [seconds for _, seconds in hops]
    assert delays == sorted(delays)
    assert hops[0][0].startswith(f"alarm: {DriftDetected.event}")
    assert outcome["decision"] in ("promoted", "refused"), "a verdict of release"
    assert f"version {outcome['model_version']} is served over HTTP" == hops[-1][0]
    assert (outcome["model_version"] > 1) == (outcome["decision"] == "promoted")
