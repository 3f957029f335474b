"""The diagnosis as text. Without rich: it may be what is missing."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

from flows.cli.doctor.findings import OK, WARNING, WRONG, Finding

INDENT = 24
NAMES = ("status", "check", "finding", "what to do")


def show_diagnosis(findings: Iterable[Finding]) -> None:
    """A table in a terminal; in a pipe one line per finding, with tabs between the columns."""
    findings = list(findings)
    terminal = sys.stdout.isatty()
    lines = terminal_lines(findings, shutil.get_terminal_size().columns) if terminal else pipe_lines(findings)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def pipe_lines(findings: list[Finding]) -> list[str]:
    """The heading, then status, check, finding and advice of each, separated by tabs."""
    rows = [(each.status, each.check, each.text, each.advice) for each in findings]
    return ["\t".join(" ".join(cell.split()) for cell in row).rstrip() for row in (NAMES, *rows)]


def terminal_lines(findings: list[Finding], width: int) -> list[str]:
    """Each finding wrapped, its advice below it, and a last line that counts them."""
    lines = []
    for each in findings:
        lines += _wrap(f"{each.status:<8} {each.check:<{INDENT - 10}} {' '.join(each.text.split())}", width)
        if each.advice:
            lines += _wrap(f"{'':<{INDENT}}→ {each.advice}", width)
    return [*lines, "", summary(findings)]


def summary(findings: Iterable[Finding]) -> str:
    """How many findings are wrong and how many are warnings."""
    statuses = [each.status for each in findings]
    return f"{statuses.count(WRONG)} wrong, {statuses.count(WARNING)} warnings, {statuses.count(OK)} ok"


def _wrap(line: str, width: int) -> list[str]:
    indent, width = " " * (INDENT + 2), max(width, 2 * INDENT)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
