"""`python3 -m flows.cli.doctor`: the diagnosis with any Python, even where nothing is installed."""

import sys

from flows.cli.doctor.checks import diagnose
from flows.cli.doctor.display import show_diagnosis
from flows.cli.doctor.findings import WRONG

if __name__ == "__main__":
    findings = diagnose()
    show_diagnosis(findings)
    sys.exit(any(each.status == WRONG for each in findings))
