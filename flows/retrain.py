"""Ingest → train → release → forecast, as one visible run.

Weekly, by hand, or started by an alarm. Needs raw files; what is unchanged is not done again.
"""

from dataclasses import dataclass
from datetime import date

from prefect import flow, get_run_logger

from flows import world
from flows.forecast import forecast
from flows.ingest import ingest
from flows.release import release
from flows.train import Trained, train
from rossmann import registry
from rossmann.evaluation import Verdict
from rossmann.forecasting import Delivered
from rossmann.settings import Settings


@dataclass(frozen=True)
class Retrained:
    """What each step came to; nothing is delivered while there is no champion."""

    snapshot: str
    trained: Trained
    verdict: Verdict
    delivered: Delivered | None


@flow
def retrain(
    raw: str | None = None,
    as_of: date | None = None,
    folds: int | None = None,
    candidates: list[str] | None = None,
    search: int = 0,
    reason: str = "asked",
) -> Retrained:
    """From raw files to forecasts; the champion is replaced only if it is beaten. reason: why it was started."""
    get_run_logger().info("retraining, reason: %s", reason)
    snapshot = ingest(raw, as_of)
    trained = train(folds, candidates, search)
    verdict = release()
    champion = registry.find(world.models(Settings()), registry.CHAMPION)
    return Retrained(snapshot, trained, verdict, forecast() if champion else None)
