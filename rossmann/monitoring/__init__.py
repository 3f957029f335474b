"""Whether forecasts still come true and the data are still like those learnt from."""

from rossmann.monitoring.drift import Examination, Finding, examine
from rossmann.monitoring.faults import FAULTS, inject
from rossmann.monitoring.performance import Performance, Promise, baseline, judge, perform, promise, sums

__all__ = [
    "FAULTS",
    "Examination",
    "Finding",
    "Performance",
    "Promise",
    "baseline",
    "examine",
    "inject",
    "judge",
    "perform",
    "promise",
    "sums",
]
