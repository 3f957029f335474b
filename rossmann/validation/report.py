"""What was checked, what was repaired, what is worth knowing: one report of all validations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Repair:
    """A rule of repair and how often it was used."""

    name: str
    found: str
    done: str
    rows: int


@dataclass(frozen=True)
class Checked:
    """One check of one frame."""

    where: str
    check: str
    rows: int
    failing: int


@dataclass(frozen=True)
class StageReport:
    """One validation: raw, clean, features, …; `notes` are sentences worth a look."""

    stage: str
    checks: tuple[Checked, ...]
    repairs: tuple[Repair, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not any(check.failing for check in self.checks)


def report_markdown(stages: Iterable[StageReport], title: str = "Validation") -> str:
    """All validations on one page."""
    lines = [f"# {title}"]
    for stage in stages:
        lines += ["", f"## {_heading(stage)}", *(f"\n{note}" for note in stage.notes)]
        for header, rows in _tables(stage):
            lines += ["", f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
            lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def report_html(stages: Iterable[StageReport], title: str = "Validation") -> str:
    """The same page for a browser; needs nothing but itself."""
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
    outcome = f"{len(failing)} of {len(stage.checks)} checks failed" if failing else "passed"
    return f"{stage.stage}: {outcome}"


def _tables(stage: StageReport) -> list[tuple[Sequence[str], list[Sequence[str]]]]:
    """Checks, then the repairs that were needed."""
    checks = [
        (c.where, c.check.replace("_", " "), f"{c.rows:,}", f"**{c.failing:,}**" if c.failing else "0")
        for c in stage.checks
    ]
    repairs = [(r.found, r.done, f"{r.rows:,}") for r in stage.repairs]
    tables = [(("what", "check", "rows", "failing"), checks), (("found", "done about it", "rows"), repairs)]
    return [(header, rows) for header, rows in tables if rows]


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell.replace('**', ''))}</{tag}>" for cell in cells) + "</tr>"
