"""What the Prefect UI shows of a run: artifacts in Markdown."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from flows.retention import Expired
from rossmann.alarms import Alarm
from rossmann.evaluation import Backtest, Verdict
from rossmann.forecasting import DeliveredForecast
from rossmann.monitoring import DriftFinding, DriftReport, Performance

SCORE_NAMES = {  # headings of tables of scores, in the order of the columns
    "rows": "rows", "wape": "WAPE", "expected_wape": "expected WAPE", "rmspe": "RMSPE",
    "expected_rmspe": "expected RMSPE",
    "mae": "MAE", "bias": "bias", "coverage": "in bounds",
}  # fmt: skip


def leaderboard_description(backtest: Backtest, snapshot: str) -> str:
    """By what a leaderboard is sorted, and a warning if the best candidate is biased."""
    warning = backtest.warning(backtest.best())
    return f"snapshot {snapshot}, the best by {backtest.loss.label} first" + (f"; {warning}" if warning else "")


def training(version: int, report: str, next_steps: str) -> str:
    """Where the report of a training is."""
    return f"Version {version} is trained, and waits for its release.\n\n{next_steps}\nReport: `{report}`\n"


def verdict(verdict: Verdict, challenger: int, next_steps: str) -> str:
    """The verdict on a challenger (a model version), with every reason."""
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    return f"{reasons}\n\n{next_steps}"


def verdict_title(verdict: Verdict, challenger: int) -> str:
    """The verdict in a few words."""
    return f"Version {challenger} {'becomes champion' if verdict.promote else 'is refused'}"


def nothing_to_judge(reason: str) -> str:
    """Why a release ended without a verdict on a challenger."""
    return f"# Nothing to judge\n\n{reason}\n"


def forecast(delivered: DeliveredForecast, picture: bytes | None, next_steps: str) -> str:
    """The totals of a forecast, its picture (PNG), and the addresses of its files."""
    summary = delivered.summary
    change = (
        ""
        if math.isnan(summary.year_over_year)
        else f", {summary.year_over_year:+.1%} against the same weekdays one year before, counting store days that are "
        "open in both years"
    )
    return (
        f"Model version {delivered.model_version} forecasts sales of **{summary.total:,.0f}** in {summary.rows:,} "
        f"rows{change}.\n\n{_image(picture)}{next_steps}\nFile: `{delivered.file}`\n"
    )


def forecast_title(delivered: DeliveredForecast) -> str:
    """The extent of a forecast."""
    summary = delivered.summary
    return f"{summary.stores:,} stores, {summary.first_day} to {summary.last_day}"


def _image(png: bytes | None) -> str:
    """A picture inside Markdown; empty without one."""
    return f"![forecast](data:image/png;base64,{base64.b64encode(png).decode()})\n\n" if png else ""


def monitoring(
    new: Sequence[Alarm], performance: Performance | None, drift: DriftReport | None, report: str | None
) -> str:
    """The alarms of a monitoring run, the scores of the last week's forecasts, and every drift statistic.

    drift and report are None if that part of the run failed.
    """
    return "\n".join([_alarms(new, drift), _scores(performance), _statistics(drift), f"Report: `{report or '–'}`\n"])


def _alarms(new: Sequence[Alarm], drift: DriftReport | None) -> str:
    """What is new, and what is still beyond its limit and was raised by an earlier run."""
    days = f"{drift.first_day} to {drift.last_day}" if drift else "the drift of the data could not be computed"
    earlier = _earlier(new, drift)
    lines = [f"- **{each.event}**: {each.reason}" for each in new]
    lines += [f"- raised before, still beyond its limit: **{each.name}**, {each.message}" for each in earlier]
    return f"# {alarms_title(new, drift)}; {days}\n\n" + "".join(f"{line}\n" for line in lines)


def alarms_title(new: Sequence[Alarm], drift: DriftReport | None) -> str:
    """How many alarms there are."""
    earlier = _earlier(new, drift)
    return f"New alarms: {len(new)}, raised before: {len(earlier)}" if new or earlier else "No alarm"


def _earlier(new: Sequence[Alarm], drift: DriftReport | None) -> list[DriftFinding]:
    """The findings beyond their limits that an earlier run raised."""
    names = {getattr(each, "name", None) for each in new}
    return [each for each in drift.alarm_findings if each.name not in names] if drift else []


def _scores(performance: Performance | None) -> str:
    if performance is None:
        return "No forecast of the champion has actuals yet.\n"
    worst = f"Worst stores:\n\n{_table(_scores_table(performance.worst_stores.rename_axis('store')))}"
    return f"{performance.reason}.\n\n{_table(_scores_table(performance.slices))}\n\n{worst}\n"


def _scores_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores as text, under the names that people say; those that are shares as percentages."""
    formats = {"mae": "{:,.0f}", "rows": "{:,.0f}", "bias": "{:+.1%}"}
    columns = [each for each in SCORE_NAMES if each in scores]
    texts = {
        SCORE_NAMES[each]: [
            "–" if pd.isna(value) else formats.get(each, "{:.1%}").format(value) for value in scores[each]
        ]
        for each in columns
    }
    return pd.DataFrame(texts, index=scores.index)


def _statistics(drift: DriftReport | None) -> str:
    if drift is None:
        return ""
    rows = [
        f"| {'**alarm**' if each.alarm else ''} | {each.name} | {each.effect:+.3f} | {each.limit:.3f} "
        f"| {each.subject} | {each.kind} |"
        for each in sorted(drift.findings, key=lambda each: not each.alarm)
    ]
    return "\n".join(["| | name | effect | limit | subject | kind |", "|---|---|---:|---:|---|---|", *rows, ""])


def sweep(expired: Sequence[Expired]) -> str:
    """What a sweep deletes."""
    rows = [f"| {each.kind} | {each.name} | {each.count:,} | {each.megabytes} |" for each in expired]
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


def _cell(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)
