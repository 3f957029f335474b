"""The closed loop: the whole stack, a week in which a part of the stores sells less, and nobody who does anything."""

from pathlib import Path

import pytest

from benchmarks.loop import loop
from rossmann.sample import write_world


@pytest.mark.proof
@pytest.mark.timeout(900)  # a stack, two trainings, and all that lies between: minutes on two loaded cores
def test_a_drifted_week_is_answered_by_a_verdict_with_nobody_awake(tmp_path: Path) -> None:
    sample = str(write_world(tmp_path / "sample", 60))
    hops, outcome = loop(tmp_path / "world", sample, None, ROSSMANN_CANDIDATES="ridge,xgboost")
    delays = [seconds for _, seconds in hops]
    assert delays == sorted(delays)
    assert hops[0][0].startswith("alarm: rossmann.drift.detected")
    assert outcome["decision"] in ("promoted", "refused"), "a verdict of release"
    assert f"version {outcome['model_version']} answers over HTTP" == hops[-1][0]
    assert (outcome["model_version"] > 1) == (outcome["decision"] == "promoted")
