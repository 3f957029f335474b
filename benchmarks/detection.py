"""False alarms of every week, and the days until injected faults are found and named.

Usage: python -m benchmarks.detection FOLDER [STORES]
FOLDER: raw files, or a workspace with a snapshot; only the first STORES stores.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rossmann import data, evaluation, features, models
from rossmann.data import SalesHistory
from rossmann.monitoring import DriftReport, detect_drift
from rossmann.monitoring.store_series import compute_series
from rossmann.schema import DAY, WEEK_DAYS
from rossmann.simulation import FAULTS, inject_fault

WEEK = WEEK_DAYS * DAY
REFERENCE_WEEKS = 17  # of forecasts before the first week that is examined
FIRST_WEEK_END = np.datetime64("2014-07-06", "D")
FAULT_STARTS = ("2014-09-08", "2014-12-08", "2015-02-12", "2015-04-20")  # one before Christmas
GAP = ("2014-07-01", "2014-07-20")  # 180 stores leave the data for refurbishment
CANDIDATE = "ridge"
STALE_FORECASTS = "stale_forecasts"


@dataclass(frozen=True)
class Case:
    """A fault of one size."""

    name: str
    size: float
    description: str

    @property
    def changes_forecasts(self) -> bool:
        """Whether the forecasts are changed instead of the history."""
        return self.name == STALE_FORECASTS


CASES = [
    *(Case(name, size, fault.description) for name, fault in FAULTS.items() for size in fault.sizes),
    *(Case(STALE_FORECASTS, size, "days that the forecasts are late") for size in (21.0, 35.0)),
]


def main() -> None:
    """Print both tables."""
    history = read(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    console = Console(width=None if sys.stdout.isatty() else 130)
    rows = weekly_forecasts(history)
    console.print(false_alarms(history, rows))
    console.print(detections(history, rows))


def read(folder: Path, stores: int | None) -> SalesHistory:
    """The history of a workspace's current snapshot, or of raw files."""
    is_raw = (folder / "train.csv").exists()
    history = data.read_history(str(folder)).history if is_raw else data.load_snapshot(f"{folder}/snapshots")
    return first_stores(history, stores) if stores else history


def first_stores(history: SalesHistory, count: int) -> SalesHistory:
    """The `count` stores with the lowest numbers."""
    calendar = {name: v if name == "dates" else v[:count] for name, v in vars(history.calendar).items()}
    return SalesHistory(
        history.stores.at(slice(count)),
        type(history.calendar)(**calendar),
        history.sales[:count],
        history.traffic[:count],
    )


def weekly_forecasts(history: SalesHistory) -> pd.DataFrame:
    """Forecasts with actuals of every week from REFERENCE_WEEKS before FIRST_WEEK_END, from the day before the week."""
    weeks = int((history.origin - FIRST_WEEK_END + REFERENCE_WEEKS * WEEK) // WEEK)
    origins = [history.origin - k * WEEK for k in range(weeks, 0, -1)]
    return pd.concat([week_forecasts(history, end, end) for end in track(origins, "forecasts")], ignore_index=True)


def week_forecasts(history: SalesHistory, day_before: np.datetime64, origin: np.datetime64) -> pd.DataFrame:
    """Forecasts with actuals of the week after `day_before`, from a model and State of `origin`."""
    candidate = models.default_candidate(CANDIDATE)
    fold = evaluation.cut_fold(history, origin, int((day_before - origin) / DAY) + WEEK_DAYS)
    forecast = models.fit(candidate, (), origin, 0).predict(features.fit_state(fold.past), fold.plan)
    rows = evaluation.backtest_rows(candidate.name, fold, forecast.sales).assign(source="batch", model_version=1)
    return rows[rows.date > pd.Timestamp(day_before.item())]


def false_alarms(history: SalesHistory, rows: pd.DataFrame) -> Table:
    """The alarms of every week from FIRST_WEEK_END on, without a fault."""
    table = Table(title="Alarms of every week, nothing injected", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("week until", "alarm", "subject", "effect", "limit", "true or false"):
        table.add_column(column, justify="right" if column in ("effect", "limit") else "left")
    weeks, false_count, previous = np.arange(FIRST_WEEK_END, history.origin + DAY, WEEK), 0, set()
    for last in track(weeks, "weeks"):
        alarms = drift_until(history, rows, last).alarm_findings
        for alarm in alarms:
            is_true = alarm.name == "stores_missing" and GAP[0] <= str(last) <= GAP[1]
            repeated = alarm.name in previous
            false_count += not is_true and not repeated
            assessment = "true: 180 stores left" if is_true else "the same as the week before" if repeated else "false"
            numbers = (f"{alarm.effect:+.3f}", f"{alarm.limit:.3f}")
            table.add_row(str(last), alarm.name, alarm.subject, *numbers, assessment)
        previous = {alarm.name for alarm in alarms}
    table.caption = f"{len(weeks)} weeks, {false_count} false alarms: {false_count * 52 / len(weeks):.1f} a year"
    return table


def drift_until(history: SalesHistory, rows: pd.DataFrame, last: np.datetime64) -> DriftReport:
    """The drift that is detected when `last` is the newest day."""
    return detect_drift(history.until(last), rows[rows.date <= pd.Timestamp(last.item())])


def detections(history: SalesHistory, rows: pd.DataFrame) -> Table:
    """Every fault, size and start: days until it is named correctly, and the other alarms until then."""
    table = Table(title="Faults injected into real weeks", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("fault", "size", "what", *FAULT_STARTS, "other alarms before"):
        table.add_column(column, justify="right" if column in ("size", *FAULT_STARTS) else "left")
    correct = 0
    for case in track(CASES, "faults"):
        cells, others = [], set()
        for text in FAULT_STARTS:
            fault_start = np.datetime64(text, "D")
            if case.name == "promotion_uplift_gone":
                fault_start = first_promotion_day(history, fault_start)
            days, other = days_until_named(history, rows, case, fault_start)
            correct += days is not None
            cells.append("never" if days is None else str(days))
            others |= other
        table.add_row(case.name, f"{case.size:.3g}", case.description, *cells, ", ".join(sorted(others)))
    table.caption = f"days from the first faulty day on; {correct} of {len(CASES) * len(FAULT_STARTS)} named within 7"
    return table


def first_promotion_day(history: SalesHistory, start: np.datetime64) -> np.datetime64:
    """The first promotion from `start` on: a promotion that has no effect any more cannot be detected before it."""
    is_promotion = compute_series(history).promotion.mean(axis=0) > 0.5
    return history.dates[(history.dates >= start) & is_promotion][0]


def days_until_named(
    history: SalesHistory, rows: pd.DataFrame, case: Case, fault_start: np.datetime64
) -> tuple[int | None, set[str]]:
    """Days until the fault is named correctly (None: not within 7 days), and the other alarms before that."""
    if case.changes_forecasts:
        changed, rows = history, stale_forecasts(history, rows, fault_start, case.size)
    else:
        changed = inject_fault(history.until(fault_start + 20 * DAY), case.name, fault_start, case.size)
        rows = with_actuals(rows, changed)
    others: set[str] = set()
    for day in range(7):
        alarms = {alarm.name for alarm in drift_until(changed, rows, fault_start + day * DAY).alarm_findings}
        if case.name in alarms:
            return day + 1, others
        others |= alarms
    return None, others


def with_actuals(rows: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """The same forecasts with the actuals of another history; without those that have none."""
    sales = history.take("sales", rows.store.to_numpy(), rows.date.to_numpy())
    return rows.assign(sales=sales).dropna(subset="sales")


def stale_forecasts(history: SalesHistory, rows: pd.DataFrame, start: np.datetime64, days: float) -> pd.DataFrame:
    """From `start` on, the forecasts of an origin that is `days` days before it."""
    earlier = rows[rows.date < pd.Timestamp(start.item())]
    return pd.concat([earlier, week_forecasts(history, start - DAY, start - DAY - int(days) * DAY)], ignore_index=True)


if __name__ == "__main__":
    main()
