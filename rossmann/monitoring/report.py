"""The page of an examination: our findings first, then Evidently's comparison of the window with its reference.

Evidently shows, it does not decide: its tests know neither season nor how many rows make everything significant.
"""

import html
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from rossmann.data import STORE_TYPES, SalesHistory
from rossmann.monitoring.drift import Examination, Finding
from rossmann.monitoring.panels import YEAR
from rossmann.monitoring.statistics import WINDOW_DAYS
from rossmann.storage import Storage

MOST_ROWS = 50_000  # per side; Evidently takes minutes for more
SEED = 7
CATEGORIES = ["store_type", "weekday", "open", "promo", "state_holiday", "school_holiday"]
SHOWN = ("kind", "name", "of", "effect", "limit", "days", "reference", "story")
NUMBERS = ["sales", "customers", "sales_per_customer", "forecast", "residual"]


def write_report(history: SalesHistory, judged: pd.DataFrame, examination: Examination, place: Storage) -> str:
    """report.html, report.json and findings.json in a folder per date, and as `latest`; answers the page's address.

    Readable without a network.
    """
    pages = render(history, judged, examination)
    for folder in ("latest", str(examination.last)):
        for name, content in pages.items():
            address = place.within(folder).write(name, content)
    return address


def render(history: SalesHistory, judged: pd.DataFrame, examination: Examination) -> dict[str, bytes]:
    """Content by file name; the page comes last."""
    current, reference, which = sides(history, judged, examination)
    evidently_html, evidently_json = _evidently(current, reference)
    findings = examination.frame().astype({"date": str})
    own = _page(examination, which, len(current), len(reference))
    page = evidently_html.replace("<body>", f"<body>{own}", 1)
    return {
        "findings.json": findings.to_json(orient="records", indent=2, default_handler=str).encode(),
        "report.json": evidently_json.encode(),
        "report.html": page.encode(),
    }


def sides(
    history: SalesHistory, judged: pd.DataFrame, examination: Examination
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Rows of the window, and of the same season a year before (else four weeks before) on common stores; and which."""
    year_ago = examination.first - np.timedelta64(YEAR, "D")
    on_year = year_ago >= history.dates[0]
    back = YEAR if on_year else 4 * WINDOW_DAYS
    current = _rows(history, examination.first, judged)
    reference = _rows(history, examination.first - np.timedelta64(back, "D"), judged)
    common = np.intersect1d(current.store, reference.store)
    said = "same season a year before" if on_year else "four weeks before"
    first, last = (str(day - np.timedelta64(back, "D")) for day in (examination.first, examination.last))
    kept = [_sample(rows[rows.store.isin(common)].drop(columns="store")) for rows in (current, reference)]
    usable = [name for name in kept[0] if all(rows[name].notna().any() for rows in kept)]
    return kept[0][usable], kept[1][usable], f"{said}: {first} to {last}, {len(common):,} common stores"


def _rows(history: SalesHistory, first: np.datetime64, judged: pd.DataFrame) -> pd.DataFrame:
    before = first - np.timedelta64(1, "D")
    plan, outcomes = history.plan(before, WINDOW_DAYS), history.outcomes(before, WINDOW_DAYS)
    rows = pd.DataFrame({name: getattr(plan, name) for name in ("store", "date", *CATEGORIES[2:])})
    rows = rows.assign(sales=outcomes.sales, customers=outcomes.customers, date=rows.date.astype("datetime64[s]"))
    rows["sales_per_customer"] = (rows.sales / rows.customers.where(rows.customers > 0)).astype(float)
    rows["weekday"] = rows.date.dt.day_name()
    kinds = history.stores.store_type[np.searchsorted(history.stores.number, rows.store)]
    rows["store_type"] = np.asarray(STORE_TYPES)[kinds]
    newest = judged.sort_values("origin").drop_duplicates(["store", "date"], keep="last") if len(judged) else judged
    rows = rows.merge(newest[["store", "date", "forecast"]], on=["store", "date"], how="left")
    sold = (rows.sales > 0) & (rows.forecast > 0)
    rows["residual"] = np.log(rows.sales.where(sold) / rows.forecast.where(sold))
    return rows.astype(dict.fromkeys(CATEGORIES, str))[["store", *CATEGORIES, *NUMBERS]]


def _sample(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sample(min(MOST_ROWS, len(rows)), random_state=SEED).reset_index(drop=True)


def _evidently(current: pd.DataFrame, reference: pd.DataFrame) -> tuple[str, str]:
    """HTML and JSON."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries it is built with
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            categorical_columns=[name for name in CATEGORIES if name in current],
            numerical_columns=[name for name in NUMBERS if name in current],
        )
        now, before = (Dataset.from_pandas(rows, definition) for rows in (current, reference))
        # distances, not p-values: of so many rows every p-value is 0
        shown = Report([DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon")]).run(now, before)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.html"
            shown.save_html(str(file))
            return file.read_text(), json.dumps(json.loads(shown.json()), indent=2)


def _page(examination: Examination, reference: str, rows: int, reference_rows: int) -> str:
    """Our findings as a small table."""
    head = "".join(f"<th align=left>{name}</th>" for name in ("", *SHOWN))
    lines = "".join(_line(each) for each in examination.findings)
    return (
        f'<div style="font:14px sans-serif;margin:2em"><h1>{examination.first} to {examination.last}: '
        f"{len(examination.alarms)} alarms</h1><p>Each number against its own history; a finding that stays beyond its "
        f"limit is an alarm. Below: Evidently on {rows:,} rows against {reference_rows:,} of the "
        f"{html.escape(reference)}; it shows distributions and decides nothing.</p>"
        f"<table cellpadding=4>{head}{lines}</table></div>"
    )


def _line(finding: Finding) -> str:
    cells = [getattr(finding, name) for name in SHOWN]
    told = [f"{cell:+.3f}" if isinstance(cell, float) else html.escape(str(cell)) for cell in cells]
    alarm = ["ALARM" if finding.alarm else ""]
    return (
        f"<tr{' style=background:#fdd' if finding.alarm else ''}><td>" + "</td><td>".join(alarm + told) + "</td></tr>"
    )
