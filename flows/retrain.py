"""Ingest → does a retraining pay? → train → release → forecast, as one run.

Weekly, by hand, or started by an alarm. Needs raw files; a run started by an alarm without raw files uses the current
snapshot, which the alarm is about. Steps whose inputs have not changed are not repeated. A run started by hand always
trains; any other only if it pays, and forecasts from the newest history in either case. All steps use one snapshot, and
release judges the version that was trained, whatever becomes current meanwhile.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows import alarms, retries, run_checks, workspace
from flows.forecast import forecast
from flows.ingest import ingest
from flows.release import release
from flows.train import TrainResult, train
from rossmann import data, features, monitoring, registry
from rossmann.alarms import REASON_LENGTH, RetrainingOutcome, ids_to_answer, list_alarms
from rossmann.evaluation import Verdict
from rossmann.forecasting import DeliveredForecast
from rossmann.monitoring import RetrainingDecision
from rossmann.schema import to_date
from rossmann.settings import Settings
from rossmann.validation import DataError

BY_HAND = "by hand"


@dataclass(frozen=True)
class RetrainResult:
    """The result of each step."""

    snapshot: str
    decision: RetrainingDecision
    training: TrainResult | None  # None: skipped
    verdict: Verdict | None  # None: skipped
    forecast: DeliveredForecast | None  # None: there is no champion

    @property
    def summary(self) -> str:
        """One line: the decision, the version that it is about, and every reason."""
        if self.training is None or self.verdict is None:
            return f"not trained: {self.decision.reason}"
        decision = "promoted" if self.verdict.promote else "not promoted"
        return f"version {self.training.challenger} is {decision}: {'; '.join(self.verdict.reasons)}"


@flow
def retrain(
    raw: str | None = None,
    as_of: date | None = None,
    folds: int | None = None,
    candidates: list[str] | None = None,
    search: int = 0,
    reason: str = BY_HAND,
    alarm_id: str | None = None,
    allow_shrink: bool = False,
) -> RetrainResult:
    """From raw files to forecasts. The champion is replaced only if the challenger beats it.

    reason: why the run was started. alarm_id: the alarm that started it; this run answers it.
    allow_shrink: accept raw files that lack stores or days of the current snapshot.
    """
    get_run_logger().info("retraining, reason: %s", reason)
    started = datetime.now(UTC)
    try:
        run_checks.cancel_duplicate_runs()
        use_current = alarm_id is not None and raw is None
        snapshot = (
            data.current_snapshot(Settings().workspace.snapshots) if use_current else ingest(raw, as_of, allow_shrink)
        )
        result = _retrain(snapshot, folds, candidates, search, reason)
    except Exception as error:  # whatever the failure, its alarm gets the outcome; Prefect gets the error too
        publish_outcomes(alarm_id, started, None, "failed", f"{type(error).__name__}: {error}"[:REASON_LENGTH])
        raise
    if result.verdict is None:
        publish_outcomes(alarm_id, started, snapshot, "skipped", result.decision.reason)
    else:
        publish_outcomes(alarm_id, started, snapshot, decision_on(result), "; ".join(result.verdict.reasons))
    get_run_logger().info(result.summary)  # the last line of `prefect deployment run … --watch`
    return result


def decision_on(result: RetrainResult) -> Literal["promoted", "refused", "unchanged"]:
    """What became of the challenger of a run that trained: unchanged if it is the version that was champion before."""
    assert result.verdict  # it trained
    assert result.training
    if result.verdict.promote:
        return "promoted"
    is_champion = result.forecast is not None and result.forecast.model_version == result.training.challenger
    return "unchanged" if is_champion else "refused"


def _retrain(snapshot: str, folds: int | None, candidates: list[str] | None, search: int, reason: str) -> RetrainResult:
    decision = RetrainingDecision(True, BY_HAND) if reason == BY_HAND else decide_retraining(snapshot)
    training = train(folds, candidates, search, snapshot) if decision.train else None
    verdict = release(training.challenger) if training else None
    champion = registry.find_champion(workspace.registry(Settings()))
    newest_forecast = forecast(snapshot=snapshot) if champion else None
    return RetrainResult(snapshot, decision, training, verdict, newest_forecast)


@task(**retries.READING_MODELS)
def decide_retraining(snapshot: str) -> RetrainingDecision:
    """Whether a retraining pays, from the state as it is now: the cause of the alarm may be gone."""
    settings = Settings()
    model_registry = workspace.registry(settings)
    champion = registry.find_champion(model_registry)
    if champion is None or champion.code_mismatch or not registry.is_readable(model_registry, champion):
        return RetrainingDecision(True, "there is no champion that can forecast")
    if champion.card.snapshot == snapshot:
        return RetrainingDecision(False, f"there are no new data since version {champion.version} was trained")
    forecaster = registry.load_forecaster(model_registry, champion)
    try:
        forecaster.require_features(features.load_state(settings.workspace.snapshots, snapshot))
    except DataError as error:
        return RetrainingDecision(True, str(error))
    history = workspace.history(settings, snapshot)
    backtest = workspace.backtest_of(settings, champion)
    drift = monitoring.detect_drift(history, workspace.recent_forecasts(settings, history), backtest)
    reference = monitoring.backtest_reference(backtest, champion.version)
    decision = monitoring.decide_retraining(forecaster, history, reference, drift, settings.retrain_min_gain)
    get_run_logger().info("%s: %s", "training" if decision.train else "skipped", decision.reason)
    return decision


@task(cache_policy=NO_CACHE)
def publish_outcomes(alarm_id: str | None, started: datetime, snapshot: str | None, decision: str, reason: str) -> None:
    """Publish the outcome of the alarm that started this run, and of every other open one that its snapshot covers.

    snapshot: None for a run that failed. Its alarms stay open, and the next monitoring run sends them again.
    """
    settings = Settings()
    champion = registry.find_champion(workspace.registry(settings))
    serving = champion.version if champion else None
    last = to_date(workspace.history(settings, snapshot).origin) if snapshot else None
    others = ids_to_answer(list_alarms(settings.workspace.alarms), started, snapshot, last)
    for each in {*([alarm_id] if alarm_id else []), *others}:
        outcome = RetrainingOutcome(
            alarm_id=each, started=started, decision=decision, reason=reason, model_version=serving
        )
        alarms.publish(settings, outcome)
