"""Whether a retraining is useful: the champion is first tried with a fresh State, which takes seconds."""

from dataclasses import dataclass

import pandas as pd

from rossmann import evaluation, features
from rossmann.data import SalesHistory
from rossmann.models import Forecaster
from rossmann.monitoring.drift import DriftReport
from rossmann.monitoring.performance import BacktestReference, daily_sums, scores_of_sums
from rossmann.schema import DAY, WEEK_DAYS


@dataclass(frozen=True)
class RetrainingDecision:
    """Whether to train, and the reason in one sentence."""

    train: bool
    reason: str


def decide_retraining(
    forecaster: Forecaster, history: SalesHistory, reference: BacktestReference, drift: DriftReport, min_gain: float
) -> RetrainingDecision:
    """Train if the champion with a fresh State has clearly more error on the last week than in its backtest.

    min_gain: the share of its error that a new model must be expected to save. While data are broken, do not train.
    """
    data_alarms = [alarm for alarm in drift.alarm_findings if alarm.broken_data]
    if data_alarms:
        reason = (
            f"the data are broken, correct them at their source first: {data_alarms[0].name}, {data_alarms[0].message}"
        )
        return RetrainingDecision(False, reason)
    wape, expected_wape = _fresh_wape(forecaster, history), reference.first_week_wape
    if wape is None:
        reason = f"the history of {len(history.dates)} days has no last week with sales to try the champion on"
        return RetrainingDecision(False, reason)
    gain = 1 - expected_wape / wape
    comparison = (
        f"with a fresh State the champion has WAPE {wape:.3f} on the last week, {expected_wape:.3f} in its backtest"
    )
    if gain < min_gain:
        reason = f"{comparison}: a retraining is expected to save {max(gain, 0):.0%} of the error, below {min_gain:.0%}"
        return RetrainingDecision(False, reason)
    return RetrainingDecision(True, f"{comparison}: a retraining is expected to save {gain:.0%} of the error")


def _fresh_wape(forecaster: Forecaster, history: SalesHistory) -> float | None:
    """WAPE on the history's last week; None without sales in it.

    It is forecast from the State of the day before, or, with a shorter horizon, from several States.
    """
    if len(history.dates) < 2 * WEEK_DAYS:
        return None  # a State needs a week
    sums = []
    for days_back in range(WEEK_DAYS, 0, -history.horizon_days):
        fold = evaluation.cut_fold(history, history.origin - days_back * DAY, min(history.horizon_days, days_back))
        state = features.fit_state(history.until(fold.origin))  # with the whole plan of that day, as in service
        forecast = forecaster.predict(state, fold.plan)
        rows = evaluation.backtest_rows("champion", fold, forecast.sales)
        sums.append(daily_sums(rows.assign(source="fresh", model_version=0)))
    return scores_of_sums(pd.concat(sums), "slice").wape.get("all")
