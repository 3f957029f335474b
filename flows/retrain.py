"""Ingest → train → release → forecast, as one visible run.

Weekly, by hand, or started by an alarm. Needs raw files; what is unchanged is not done again.
"""

from dataclasses import dataclass
from datetime import date

from prefect import flow, get_run_logger

from flows.forecast import forecast
from flows.ingest import ingest
from flows.release import release
from flows.train import Trained, train
from rossmann.evaluation import Verdict
from rossmann.forecasting import Delivered


@dataclass(frozen=True)
class Retrained:
    """What each step came to."""

    snapshot: str
    trained: Trained
    verdict: Verdict
    delivered: Delivered


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
    return Retrained(snapshot, trained, release(), forecast())
