"""Drift of the data and of the forecasts: the findings of a week, and which of them are alarms.

Each statistic is compared with its own history (`statistics`); the statistics are listed in `definitions`. Where one
cause explains other findings, only the cause is an alarm, and their messages name it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.monitoring.covariate_drift import covariate_statistics
from rossmann.monitoring.definitions import DEFINITIONS, Kind, find_definition
from rossmann.monitoring.forecast_statistics import forecast_statistics
from rossmann.monitoring.history_statistics import history_statistics, multivariate
from rossmann.monitoring.plan_drift import plan_statistics
from rossmann.monitoring.slices import SliceDeviation, explaining_slice, type_slices
from rossmann.monitoring.statistics import WINDOW_DAYS, Statistic
from rossmann.monitoring.store_series import compute_series, forecast_residuals


@dataclass(frozen=True)
class DriftFinding:
    """What one statistic says about one subject in the window."""

    kind: Kind
    name: str  # of the definition
    subject: str  # a column, an attribute or a group of stores
    effect: float  # distance from its usual value
    limit: float  # the largest usual distance; NaN with too few earlier days
    since: np.datetime64 | None  # first day of the window beyond the limit
    days_beyond_limit: int
    reference: str
    alarm: bool
    message: str

    @property
    def broken_data(self) -> bool:
        """Whether the data must be corrected at their source before a model is trained on them."""
        return find_definition(self.name).broken_data


@dataclass(frozen=True)
class DriftReport:
    """All findings of a window, alarms first."""

    first_day: np.datetime64
    last_day: np.datetime64
    findings: tuple[DriftFinding, ...]

    @property
    def alarm_findings(self) -> tuple[DriftFinding, ...]:
        """The findings that are alarms, the strongest first."""
        return tuple(finding for finding in self.findings if finding.alarm)

    def frame(self) -> pd.DataFrame:
        """A row per finding, with the last day as `date`: columns of the journal's table `drift_findings`."""
        rows = pd.DataFrame([vars(finding) for finding in self.findings])
        return rows.drop(columns="days_beyond_limit").assign(date=self.last_day.astype("datetime64[s]"))


def detect_drift(
    history: SalesHistory, forecasts: pd.DataFrame | None, backtest: pd.DataFrame | None = None
) -> DriftReport:
    """The findings of the last WINDOW_DAYS of a history.

    forecasts: with their actuals, from `join_actuals`; may be empty, or None. backtest: rows of the champion's backtest
    (BACKTEST_COLUMNS), whose residuals stand for the days before the first forecast.
    """
    series = compute_series(history)
    statistics = list(history_statistics(history, series))
    statistics.append(multivariate(statistics))
    statistics += plan_statistics(history)
    statistics += covariate_statistics(history)
    residual = np.full(history.sales.shape, np.nan)
    if forecasts is not None and len(forecasts):
        rows = forecasts if backtest is None else pd.concat([_oldest_forecasts(backtest), forecasts])
        residual, lead_days = forecast_residuals(rows, history)
        statistics += forecast_statistics(series, residual, lead_days)
    findings = explain_alarms([_finding(statistic, history.dates) for statistic in statistics])
    subjects = {name for name, _ in type_slices(history)}
    if any(_is_about_chain(finding, subjects) for finding in findings):
        findings = name_slice(findings, subjects, explaining_slice(history, residual))
    findings.sort(key=lambda finding: (not finding.alarm, -_strength(finding)))
    return DriftReport(history.dates[-WINDOW_DAYS:][0], history.origin, tuple(findings))


def explain_alarms(findings: Sequence[DriftFinding]) -> list[DriftFinding]:
    """The findings in the same order. Those explained by another alarm are no alarms; their message names it."""
    result = list(findings)
    for cause in DEFINITIONS.values():
        if any(finding.alarm and finding.name == cause.name for finding in result):
            result = [
                replace(finding, alarm=False, message=f"{finding.message}; explained by {cause.name}")
                if finding.alarm and finding.name in cause.explains
                else finding
                for finding in result
            ]
    return result


def name_slice(
    findings: Sequence[DriftFinding], slices: Collection[str], explanation: SliceDeviation | None
) -> list[DriftFinding]:
    """The findings in the same order; the message of those about the whole chain names the slice that explains them.

    slices: the subjects that are not the whole chain.
    """
    if explanation is None:
        return list(findings)
    return [
        replace(finding, message=f"{finding.message}; {explanation.message}")
        if _is_about_chain(finding, slices)
        else finding
        for finding in findings
    ]


def _is_about_chain(finding: DriftFinding, slices: Collection[str]) -> bool:
    """Whether a finding is an alarm about all stores, in which one slice may be the cause."""
    return finding.alarm and find_definition(finding.name).names_slice and finding.subject not in slices


def _oldest_forecasts(backtest: pd.DataFrame) -> pd.DataFrame:
    """A backtest as rows older than any real forecast; without lead days, since folds are no stale forecasts."""
    return backtest.assign(lead_days=np.nan, origin=pd.Timestamp(0))


def _finding(statistic: Statistic, dates: np.ndarray) -> DriftFinding:
    beyond = np.flatnonzero(statistic.beyond_limit)
    return DriftFinding(
        kind=statistic.definition.kind,
        name=statistic.definition.name,
        subject=statistic.subject,
        effect=statistic.effect,
        limit=statistic.limit,
        since=dates[-WINDOW_DAYS:][beyond[0]] if len(beyond) else None,
        days_beyond_limit=len(beyond),
        reference=statistic.definition.reference,
        alarm=statistic.persistent,
        message=statistic.message,
    )


def _strength(finding: DriftFinding) -> float:
    """The effect in limits; 0 where there is no limit or no effect."""
    return abs(finding.effect) / finding.limit if finding.limit > 0 and np.isfinite(finding.effect) else 0.0
