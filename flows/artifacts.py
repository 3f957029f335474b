"""What the Prefect UI shows of a run: artifacts in Markdown."""

from collections.abc import Sequence

import pandas as pd

from flows.retention import Expired
from rossmann.evaluation import Verdict
from rossmann.forecasting import DeliveredForecast
from rossmann.monitoring import DriftReport, Performance


def verdict(verdict: Verdict, challenger: int) -> str:
    """The verdict on a challenger (a model version), with every reason."""
    decision = "becomes champion" if verdict.promote else "is refused, the champion stays"
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    return f"# Version {challenger} {decision}\n\n{reasons}\n"


def nothing_to_judge(reason: str) -> str:
    """Why a release ended without a verdict on a challenger."""
    return f"# Nothing to judge\n\n{reason}\n"


def forecast(delivered: DeliveredForecast) -> str:
    """The totals of a forecast, and the addresses of its files."""
    summary = delivered.summary
    return (
        f"# {summary.stores:,} stores, {summary.first_day} to {summary.last_day}\n\n"
        f"Model version {delivered.model_version} forecasts sales of **{summary.total:,.0f}** in {summary.rows:,} "
        f"rows; {summary.year_over_year:+.1%} against the same weekdays one year before, counting store days that are "
        f"open in both years (nan: there is none).\n\n"
        f"- forecasts: `{delivered.file}`\n" + (f"- plot: `{delivered.plot}`\n" if delivered.plot else "")
    )


def monitoring(performance: Performance | None, drift: DriftReport, report: str) -> str:
    """The scores of the last week's forecasts, and every drift statistic."""
    if performance is None:
        scores = "No forecast of the champion has actuals yet.\n"
    else:
        worst = f"Worst stores:\n\n{_table(performance.worst_stores)}"
        scores = f"{performance.reason}.\n\n{_table(performance.slices)}\n\n{worst}\n"
    rows = [
        f"| {'**alarm**' if each.alarm else ''} | {each.kind} | {each.name} | {each.subject} | {each.effect:+.3f} "
        f"| {each.limit:.3f} | {each.message} |"
        for each in drift.findings
    ]
    head = "| | kind | name | subject | effect | limit | |\n|---|---|---|---|---|---|---|\n"
    return (
        f"# {drift.first_day} to {drift.last_day}\n\n{scores}\n{head}" + "\n".join(rows) + f"\n\nReport: `{report}`\n"
    )


def sweep(expired: Sequence[Expired]) -> str:
    """What a sweep deletes."""
    rows = [
        f"| {each.kind} | {each.name} | {each.count:,} | {'–' if each.size is None else f'{each.size / 1e6:,.1f}'} |"
        for each in expired
    ]
    head = "| what | name | count | MB |\n|---|---|---|---|\n"
    return f"# {len(rows)} deletions\n\n{head}" + "\n".join(rows) + "\n"


def traffic(days: pd.DataFrame, serve: dict[str, float] | None) -> str:
    """Requests of the last whole days by the journal, and Serve's own counters (None: there is no endpoint)."""
    requests = _table(days.set_index("date")) if len(days) else "no request on a whole day"
    counters = "{requests:,.0f} requests, {errors:,.0f} errors, {mean_ms:.1f} ms each".format(**serve) if serve else "–"
    return (
        f"\nRequests of the last week (UTC days, latency in ms):\n\n{requests}\n\nServe since its start: {counters}\n"
    )


def _table(scores: pd.DataFrame) -> str:
    """A frame of scores, with its index, as a Markdown table."""
    rows = scores.reset_index()
    cells = [[_cell(value) for value in row] for row in rows.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(rows.columns), ["---"] * len(rows.columns), *cells])


def _cell(value: object) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)
