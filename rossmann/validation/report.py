"""The result of validations: which checks ran, what was repaired and what else to know, as Markdown or HTML."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Repair:
    """A repair of the cleaning, and how many rows it changed."""

    name: str
    problem: str
    action: str
    rows: int


@dataclass(frozen=True)
class CheckResult:
    """The result of one check on one table; it passed if `failing` is 0."""

    where: str  # the file or table
    check: str
    rows: int  # checked
    failing: int  # rows


@dataclass(frozen=True)
class StageReport:
    """The result of one validation, for example of the raw data; `notes` are sentences about what is not an error."""

    stage: str
    checks: tuple[CheckResult, ...]
    repairs: tuple[Repair, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no row fails any check."""
        return not any(check.failing for check in self.checks)


def report_title(stages: Iterable[StageReport]) -> str:
    """The result of each validation, in one sentence."""
    return "; ".join(map(_heading, stages))


def report_markdown(stages: Iterable[StageReport], title: str = "Validation") -> str:
    """All validations as one Markdown page."""
    lines = [f"# {title}"]
    for stage in stages:
        lines += ["", f"## {_heading(stage)}", *(f"\n{note}" for note in stage.notes)]
        for header, rows in _tables(stage):
            lines += ["", f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
            lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def report_html(stages: Iterable[StageReport], title: str = "Validation") -> str:
    """All validations as one HTML page without references to other files."""
    body = [f"<h1>{escape(title)}</h1>"]
    for stage in stages:
        body += [f"<h2>{escape(_heading(stage))}</h2>", *(f"<p>{escape(note)}</p>" for note in stage.notes)]
        for header, rows in _tables(stage):
            body.append("<table>" + _html_row(header, "th") + "".join(_html_row(r, "td") for r in rows) + "</table>")
    style = (
        "body{font:15px system-ui;max-width:72rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;"
        "margin:1rem 0}th,td{text-align:left;padding:.25rem .8rem;border-bottom:1px solid #ddd}"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _heading(stage: StageReport) -> str:
    failing = [check for check in stage.checks if check.failing]
    summary = f"{len(failing)} of {len(stage.checks)} checks failed" if failing else "passed"
    return f"{stage.stage}: {summary}"


def _tables(stage: StageReport) -> list[tuple[Sequence[str], list[Sequence[str]]]]:
    """Header and rows of the table of checks and of the table of repairs, as text; empty tables are left out."""
    checks: list[Sequence[str]] = [
        (c.where, c.check.replace("_", " "), f"{c.rows:,}", f"**{c.failing:,}**" if c.failing else "0")
        for c in stage.checks
    ]
    repairs: list[Sequence[str]] = [(f"{r.rows:,}", r.problem, r.action) for r in stage.repairs]
    tables: list[tuple[Sequence[str], list[Sequence[str]]]] = [
        (("table", "check", "rows", "failing"), checks),
        (("rows", "problem", "repair"), repairs),  # the number first: the sentences may be wider than the page
    ]
    return [(header, rows) for header, rows in tables if rows]


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell.replace('**', ''))}</{tag}>" for cell in cells) + "</tr>"
