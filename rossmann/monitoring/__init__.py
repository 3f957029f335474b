"""Whether forecasts still come true and the data are still like those learnt from."""

from rossmann.monitoring.drift import Examination, Finding, examine
from rossmann.monitoring.faults import FAULTS, inject
from rossmann.monitoring.performance import Performance, Promise, baseline, judge, perform, promise, sums
from rossmann.monitoring.rehearsal import stage
from rossmann.monitoring.report import write_report
from rossmann.monitoring.worth import Decision, worth

__all__ = [
    "FAULTS",
    "Decision",
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
    "stage",
    "sums",
    "worth",
    "write_report",
]
