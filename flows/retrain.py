"""Ingest → is it worth it? → train → release → forecast, as one visible run.

Weekly, by hand, or started by an alarm. Needs raw files; an alarm is about the current snapshot and answered from that,
wherever its files came from. What is unchanged is not done again. Asked by hand it always trains; otherwise only if
that pays, and a skipped training still forecasts from the fresh history.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows import alarms, evidence, schedule, world
from flows.alarms import Outcome
from flows.forecast import forecast
from flows.ingest import ingest
from flows.release import release
from flows.train import Trained, train
from rossmann import data, monitoring, registry
from rossmann.evaluation import Verdict
from rossmann.forecasting import Delivered
from rossmann.monitoring import Decision
from rossmann.settings import Settings

ASKED = "asked"


@dataclass(frozen=True)
class Retrained:
    """What each step came to; nothing is delivered while there is no champion."""

    snapshot: str
    decision: Decision
    trained: Trained | None  # None: skipped
    verdict: Verdict | None
    delivered: Delivered | None


@flow
def retrain(
    raw: str | None = None,
    as_of: date | None = None,
    folds: int | None = None,
    candidates: list[str] | None = None,
    search: int = 0,
    reason: str = ASKED,
    alarm: str | None = None,
) -> Retrained:
    """From raw files to forecasts; the champion is replaced only if it is beaten.

    reason: why it was started. alarm: id of the alarm that started it, which this run closes.
    """
    get_run_logger().info("retraining, reason: %s", reason)
    started = datetime.now(UTC)
    try:
        schedule.only_this_one()
        alarmed = alarm is not None and raw is None
        snapshot = data.current_snapshot(world.snapshots(Settings())) if alarmed else ingest(raw, as_of)
        made = _retrain(snapshot, folds, candidates, search, reason)
    except Exception as error:  # whatever it is, no alarm stays open behind a failed run; Prefect hears of it too
        close(alarm, started, "failed", f"{type(error).__name__}: {error}"[:500])
        raise
    if made.verdict is None:
        close(alarm, started, "skipped", made.decision.reason)
    else:
        close(alarm, started, "promoted" if made.verdict.promote else "refused", "; ".join(made.verdict.reasons))
    return made


def _retrain(snapshot: str, folds: int | None, candidates: list[str] | None, search: int, reason: str) -> Retrained:
    decision = Decision(True, ASKED) if reason == ASKED else decide(snapshot)
    trained = train(folds, candidates, search) if decision.train else None
    verdict = release() if decision.train else None
    champion = registry.find(world.models(Settings()), registry.CHAMPION)
    return Retrained(snapshot, decision, trained, verdict, forecast() if champion else None)


@task(cache_policy=NO_CACHE)
def decide(snapshot: str) -> Decision:
    """Whether a training pays, from the state as it is now: whatever started this may be over."""
    settings = Settings()
    champion = registry.find(world.models(settings), registry.CHAMPION)
    if champion is None or champion.made_by_other_code:
        return Decision(True, "there is no champion that can forecast")
    if champion.card.snapshot == snapshot:
        return Decision(False, f"nothing new has come since version {champion.version} was trained")
    history = world.history(settings, snapshot)
    backtest = evidence.backtest_of(settings, champion)
    examination = monitoring.examine(history, evidence.judged(settings, history), backtest)
    promised = monitoring.promise(backtest, champion.version)
    forecaster = registry.load(world.models(settings), champion)
    decision = monitoring.worth(forecaster, history, promised, examination, settings.retrain_gain)
    get_run_logger().info("%s: %s", "training" if decision.train else "skipped", decision.reason)
    return decision


@task(cache_policy=NO_CACHE)
def close(alarm: str | None, started: datetime, decision: str, reason: str) -> None:
    """The outcome of the alarm that started this, and of every other that a training answers and that was open."""
    settings = Settings()
    champion = registry.find(world.models(settings), registry.CHAMPION)
    serving = champion.version if champion else None
    for each in {*([alarm] if alarm else []), *alarms.waiting(settings, started)}:
        alarms.tell(
            settings, Outcome(alarm=each, started=started, decision=decision, reason=reason, model_version=serving)
        )
