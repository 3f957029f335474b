"""Accuracy of past forecasts, drift of the data, and whether a retraining is useful."""

from rossmann.monitoring.delivered import (
    calibration,
    group_scores,
    lead_week_scores,
    store_scores,
    wape_around,
    weekly_scores,
    with_sales,
)
from rossmann.monitoring.drift import DriftFinding, DriftReport, detect_drift
from rossmann.monitoring.performance import (
    BacktestReference,
    Performance,
    accuracy_rows,
    backtest_reference,
    baseline_forecasts,
    daily_sums,
    join_actuals,
    weekly_performance,
    with_baseline,
)
from rossmann.monitoring.report import LATEST, PAGE, report_address, write_report
from rossmann.monitoring.retraining import RetrainingDecision, decide_retraining
from rossmann.monitoring.scored_days import consecutive_runs, days_with_late_forecasts, outdated_days

__all__ = [
    "LATEST",
    "PAGE",
    "BacktestReference",
    "DriftFinding",
    "DriftReport",
    "Performance",
    "RetrainingDecision",
    "accuracy_rows",
    "backtest_reference",
    "baseline_forecasts",
    "calibration",
    "consecutive_runs",
    "daily_sums",
    "days_with_late_forecasts",
    "decide_retraining",
    "detect_drift",
    "group_scores",
    "join_actuals",
    "lead_week_scores",
    "outdated_days",
    "report_address",
    "store_scores",
    "wape_around",
    "weekly_performance",
    "weekly_scores",
    "with_baseline",
    "with_sales",
    "write_report",
]
