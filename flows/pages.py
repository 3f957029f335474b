"""What the Prefect UI shows of a run: artifacts in Markdown."""

import pandas as pd

from rossmann.evaluation import Verdict
from rossmann.forecasting import Delivered
from rossmann.monitoring import Examination, Performance


def verdict(decided: Verdict, challenger: int) -> str:
    """The verdict on a challenger and every reason."""
    outcome = "becomes champion" if decided.promote else "is refused, the champion stays"
    reasons = "\n".join(f"- {reason}" for reason in decided.reasons)
    return f"# Version {challenger} {outcome}\n\n{reasons}\n"


def forecast(delivered: Delivered) -> str:
    """What was forecast, and where it lies."""
    made = delivered.summary
    return (
        f"# {made.stores:,} stores, {made.first} to {made.last}\n\n"
        f"Model version {delivered.champion} forecasts sales of **{made.total:,.0f}** in {made.rows:,} rows; "
        f"{made.on_year:+.1%} on the same weekdays a year before where both sell (nan: none does).\n\n"
        f"- file: `{delivered.file}`\n- picture: `{delivered.picture}`\n"
    )


def monitored(performance: Performance | None, examination: Examination, report: str) -> str:
    """How the last week was forecast, and every finding."""
    if performance is None:
        told = "No forecast of the champion has come due.\n"
    else:
        told = (
            f"{performance.reason}.\n\n{_table(performance.slices)}\n\nWorst stores:\n\n{_table(performance.worst)}\n"
        )
    lines = [
        f"| {'**alarm**' if each.alarm else ''} | {each.kind} | {each.name} | {each.of} | {each.effect:+.3f} "
        f"| {each.limit:.3f} | {each.story} |"
        for each in examination.findings
    ]
    head = "| | kind | name | of | effect | limit | |\n|---|---|---|---|---|---|---|\n"
    return (
        f"# {examination.first} to {examination.last}\n\n{told}\n{head}"
        + "\n".join(lines)
        + f"\n\nReport: `{report}`\n"
    )


def traffic(days: pd.DataFrame, serve: dict[str, float] | None) -> str:
    """Who asked how much: whole days by the journal, and what Serve counts."""
    asked = _table(days.set_index("date")) if len(days) else "nobody, on a whole day"
    counts = "{requests:,.0f} requests, {errors:,.0f} errors, {mean_ms:.1f} ms each".format(**serve) if serve else "–"
    return f"\nAsked in the last week (UTC days, latency in ms):\n\n{asked}\n\nServe since its start: {counts}\n"


def _table(scores: pd.DataFrame) -> str:
    """A frame of scores as Markdown."""
    rows = scores.reset_index()
    cells = [["–" if value != value else f"{value:,.3f}" if isinstance(value, float) else str(value) for value in row]
             for row in rows.itertuples(index=False)]  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(rows.columns), ["---"] * len(rows.columns), *cells])
