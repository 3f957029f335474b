"""The drift report as a page: our findings first, then Evidently's comparison of the window with its reference.

Evidently describes and does not decide: its tests do not account for the season, and with so many rows everything is
significant to them.
"""

import html
import json
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from rossmann.data import Plan, SalesHistory
from rossmann.monitoring.drift import DriftFinding, DriftReport
from rossmann.monitoring.statistics import WINDOW_DAYS
from rossmann.schema import CALENDAR_COLUMNS, DAY, KEYS, WEEKS_YEAR_DAYS
from rossmann.storage import Storage

PAGE = "report.html"
LATEST = "latest"  # the folder of the newest report, beside those named by their last day
MAX_ROWS = 50_000  # per side; Evidently takes minutes for more
SAMPLE_SEED = 7
NO_COMPARISON = ("<html><head><meta charset=utf-8></head><body></body></html>", "{}")  # without rows on both sides
OWN_NUMBERS = ("sales", "sales_per_customer", "forecast", "residual")  # columns of every chain's comparison
FINDING_COLUMNS = (
    "kind", "name", "subject", "effect", "limit", "days_beyond_limit", "reference", "message",
)  # fmt: skip


# Of our part of the page, which Evidently draws on light or on dark ground as the reader's system wants it.
STYLE = """
.findings { font: 14px sans-serif; margin: 2em }
.findings table { border-collapse: collapse }
.findings th, .findings td { padding: 4px 8px; text-align: left; vertical-align: top }
.findings td:last-child { min-width: 28em }
.findings tr.alarm td { background: #fdd; color: #400 }
"""


@dataclass(frozen=True)
class ReportRows:
    """The two tables that Evidently compares: numbers and texts (categories) that have values on both sides."""

    current: pd.DataFrame
    reference: pd.DataFrame
    reference_description: str


def report_address(drift: DriftReport, reports: Storage) -> str:
    """Where `write_report` writes the page of these findings."""
    return reports.subfolder(str(drift.last_day)).address(PAGE)


def write_report(history: SalesHistory, forecasts: pd.DataFrame | None, drift: DriftReport, reports: Storage) -> str:
    """Write report.html, report.json and findings.json into a folder per date, and into `latest`.

    Returns the address of the dated page, which can be read without a network.
    """
    pages = render(history, forecasts, drift)
    for folder in (LATEST, str(drift.last_day)):
        for name, content in pages.items():
            reports.subfolder(folder).write(name, content)
    return report_address(drift, reports)


def render(history: SalesHistory, forecasts: pd.DataFrame | None, drift: DriftReport) -> dict[str, bytes]:
    """The content of the files by name."""
    rows = select_rows(history, forecasts, drift)
    evidently_html, evidently_json = NO_COMPARISON if rows.reference.empty or rows.current.empty else _evidently(rows)
    findings = drift.frame().astype({"date": str})
    page = evidently_html.replace("<body>", f"<body>{_findings_html(drift, rows)}", 1)
    return {
        "findings.json": findings.to_json(orient="records", indent=2, default_handler=str).encode(),
        "report.json": evidently_json.encode(),
        PAGE: page.encode(),
    }


def select_rows(history: SalesHistory, forecasts: pd.DataFrame | None, drift: DriftReport) -> ReportRows:
    """Rows of the window, and of the same season a year before, or four weeks before in a short history.

    Only stores that have rows on both sides.
    """
    has_year = drift.first_day - np.timedelta64(WEEKS_YEAR_DAYS, "D") >= history.dates[0]
    back = np.timedelta64(WEEKS_YEAR_DAYS if has_year else 4 * WINDOW_DAYS, "D")
    current, reference = (
        _window_rows(history, first, forecasts) for first in (drift.first_day, drift.first_day - back)
    )
    common = np.intersect1d(current.store, reference.store)
    sides = [_sample(rows[rows.store.isin(common)].drop(columns="store")) for rows in (current, reference)]
    usable = [name for name in sides[0] if all(rows[name].notna().any() for rows in sides)]
    season = "same season a year before" if has_year else "four weeks before"
    description = f"{season}: {drift.first_day - back} to {drift.last_day - back}, {len(common):,} common stores"
    return ReportRows(sides[0][usable], sides[1][usable], description)


def _window_rows(history: SalesHistory, first: np.datetime64, forecasts: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of the WINDOW_DAYS days from `first` on, with the newest forecast of each; none before the history.

    Columns: the store, then texts, then numbers; those that the chain has, under its own names.
    """
    origin = max(first - DAY, history.dates[0])
    days = max(int((first + WINDOW_DAYS * DAY - DAY - origin).astype(int)), 0)
    days = min(days, int((history.origin - origin).astype(int)))
    plan, actuals = history.plan(origin, days), history.actuals(origin, days)
    rows = pd.DataFrame({"store": plan.store, "date": plan.date.astype("datetime64[s]"), "sales": actuals.sales})
    rows["forecast"] = _newest_forecasts(rows, forecasts)
    positive = (rows.sales > 0) & (rows.forecast > 0)
    categories = _categories(history, plan)
    numbers: dict[str, Any] = {"sales": rows.sales}
    if history.has_column("traffic"):
        traffic = pd.Series(actuals.traffic)
        per_customer = (rows.sales / traffic.where(traffic > 0)).astype(float)
        name = history.chain.name_of("traffic")
        name = f"number {name}" if name in {*categories, *OWN_NUMBERS} else name
        numbers |= {name: traffic, "sales_per_customer": per_customer}
    residual = np.log(rows.sales.where(positive) / rows.forecast.where(positive))
    numbers |= {"forecast": rows.forecast, "residual": residual}
    flags, values = _covariates(history, plan, {*categories, *numbers})
    texts = {name: pd.Series(each).astype(str) for name, each in (categories | flags).items()}
    return pd.DataFrame({"store": rows.store, **texts, **numbers, **values})


def _newest_forecasts(rows: pd.DataFrame, forecasts: pd.DataFrame | None) -> np.ndarray | float:
    """The newest forecast of each row; NaN where there is none. [rows]"""
    if forecasts is None or forecasts.empty:
        return np.nan
    newest = forecasts.sort_values("origin").drop_duplicates([*KEYS], keep="last")
    return rows.merge(newest[[*KEYS, "forecast"]], on=list(KEYS), how="left").forecast.to_numpy()


def _categories(history: SalesHistory, plan: Plan) -> dict[str, np.ndarray | pd.Series]:
    """Attribute, weekday and the calendar columns that the chain has, by name. [rows] each"""
    first = history.stores.first_attribute[history.stores.positions(plan.store)]
    attribute = dict.fromkeys(history.chain.attribute_columns[:1], first)
    weekday = pd.Series(plan.date.astype("datetime64[s]")).dt.day_name()
    columns = [name for name in CALENDAR_COLUMNS if history.has_column(name)]
    calendar = {history.chain.name_of(name): getattr(plan, name) for name in columns}
    if "holiday_kind" in columns and not history.chain.is_kaggle:
        calendar["holiday"] = _holiday_names(history, plan)
        del calendar[history.chain.name_of("holiday_kind")]
    return {**attribute, "weekday": weekday, **calendar}


def _holiday_names(history: SalesHistory, plan: Plan) -> np.ndarray:
    """The holiday of each row, "none" on other days; of several the last by name. [rows]"""
    store, day = history.positions(plan.store, plan.date)
    names = np.full(len(plan), "none", dtype=object)
    for label, panel in zip(history.calendar.covariate_names.tolist(), history.calendar.covariates, strict=True):
        if label.startswith("holiday "):
            names[panel[store, day] > 0] = label.split(" ", 1)[1]
    return names


def _covariates(
    history: SalesHistory, plan: Plan, names: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Flags and numbers of [known] by name; by kind and name if that is one of `names`. [rows] each"""
    store, day = history.positions(plan.store, plan.date)
    flags, numbers = {}, {}
    for label, panel in zip(history.calendar.covariate_names.tolist(), history.calendar.covariates, strict=True):
        kind, name = label.split(" ", 1)
        name = label if name in names else name
        if kind == "flag":
            flags[name] = panel[store, day].astype(int)
        elif kind == "number":
            numbers[name] = panel[store, day].astype(float)
    return flags, numbers


def _sample(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sample(min(MAX_ROWS, len(rows)), random_state=SAMPLE_SEED).reset_index(drop=True)


def _evidently(rows: ReportRows) -> tuple[str, str]:
    """Evidently's report as HTML and JSON."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the libraries that Evidently imports
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            categorical_columns=[name for name in rows.current if not is_numeric_dtype(rows.current[name])],
            numerical_columns=[name for name in rows.current if is_numeric_dtype(rows.current[name])],
        )
        current, reference = (Dataset.from_pandas(side, definition) for side in (rows.current, rows.reference))
        # distances instead of p-values: with so many rows every p-value is 0
        report = Report([DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon")])
        snapshot = report.run(current, reference)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.html"
            snapshot.save_html(str(file))
            return file.read_text(), json.dumps(json.loads(snapshot.json()), indent=2)


def _findings_html(drift: DriftReport, rows: ReportRows) -> str:
    """Our alarms as sentences, then all findings as a table."""
    sentences = "".join(f"<li><b>{each.name}</b>: {html.escape(each.message)}</li>" for each in drift.alarm_findings)
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in ("", *FINDING_COLUMNS))
    lines = "".join(_finding_html(finding) for finding in drift.findings)
    return (
        f'<style>{STYLE}</style><div class="findings"><h1>{drift.first_day} to {drift.last_day}: '
        f"{len(drift.alarm_findings)} alarms</h1><ul>{sentences}</ul><p>Each number is compared with its own history; "
        "a finding that stays beyond its limit is an alarm. "
        f"Below is Evidently's comparison of {len(rows.current):,} rows with {len(rows.reference):,} of the "
        f"{html.escape(rows.reference_description)}. It describes distributions and decides nothing.</p>"
        f"<table><tr>{head}</tr>{lines}</table></div>"
    )


def _finding_html(finding: DriftFinding) -> str:
    values = [getattr(finding, name) for name in FINDING_COLUMNS]
    cells = [f"{value:+.3f}" if isinstance(value, float) else html.escape(str(value)) for value in values]
    style = " class=alarm" if finding.alarm else ""
    return f"<tr{style}><td>" + "</td><td>".join(["ALARM" if finding.alarm else "", *cells]) + "</td></tr>"
