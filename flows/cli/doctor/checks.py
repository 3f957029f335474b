"""The table of all checks. They run at the same time, with one deadline for all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from flows.cli.doctor.findings import WRONG, Finding, Surroundings, read_surroundings
from flows.cli.doctor.installation import IMPORT_TIMEOUT_S, libraries, python, settings, versions
from flows.cli.doctor.keys import keys
from flows.cli.doctor.machine import clock, disk, shared_memory
from flows.cli.doctor.network import addresses, ports
from flows.cli.doctor.watching import watching

Check = Callable[[Surroundings], Iterable[Finding]]
CHECKS: dict[str, Check] = {
    "python": python,
    "versions": versions,
    "libraries": libraries,
    "settings": settings,
    "shared memory": shared_memory,
    "disk": disk,
    "clock": clock,
    "ports": ports,
    "addresses": addresses,
    "keys": keys,
    "watching": watching,
}
DEADLINE_S = IMPORT_TIMEOUT_S + 5  # for all checks together


def diagnose(environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """The findings of all checks, in the order of the table."""
    return run_checks(read_surroundings(environment), CHECKS, DEADLINE_S)


def run_checks(surroundings: Surroundings, checks: Mapping[str, Check], deadline_s: float) -> list[Finding]:
    """Run each check in its own thread. One that fails, or has not ended by the deadline, becomes a finding."""
    findings: dict[str, list[Finding]] = {name: [] for name in checks}
    threads = {
        name: threading.Thread(target=_run, args=(name, check, surroundings, findings[name]), daemon=True)
        for name, check in checks.items()
    }
    end = time.monotonic() + deadline_s
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(end - time.monotonic(), 0))
    text = f"this check did not end within {deadline_s:g} s"
    advice = "look for a disk, a name server or an address that does not respond"
    unfinished = {name: [Finding(name, WRONG, text, advice)] for name, thread in threads.items() if thread.is_alive()}
    return [each for name in checks for each in (*findings[name], *unfinished.get(name, []))]


def _run(name: str, check: Check, surroundings: Surroundings, findings: list[Finding]) -> None:
    """Append each finding as it comes: those of a check that does not end count, too."""
    try:
        for each in check(surroundings):
            findings.append(each)
    except Exception as error:  # a check that cannot run has failed; its message could show a secret
        text = f"this check failed ({type(error).__name__})"
        findings.append(Finding(name, WRONG, text, "report it, with the output of `rossmann doctor`"))
