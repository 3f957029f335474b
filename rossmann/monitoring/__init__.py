"""Accuracy of past forecasts, drift of the data, and whether a retraining is useful."""

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
from rossmann.monitoring.report import report_address, write_report
from rossmann.monitoring.retraining import RetrainingDecision, decide_retraining
from rossmann.monitoring.scored_days import consecutive_runs, days_with_late_forecasts, outdated_days

__all__ = [
    "BacktestReference",
    "DriftFinding",
    "DriftReport",
    "Performance",
    "RetrainingDecision",
    "accuracy_rows",
    "backtest_reference",
    "baseline_forecasts",
    "consecutive_runs",
    "daily_sums",
    "days_with_late_forecasts",
    "decide_retraining",
    "detect_drift",
    "join_actuals",
    "outdated_days",
    "report_address",
    "weekly_performance",
    "with_baseline",
    "write_report",
]
