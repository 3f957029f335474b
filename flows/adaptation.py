"""The champion's quantiles after the newest outcomes, in a file beside the State of a snapshot. `ingest` writes it."""

from dataclasses import replace
from datetime import date

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import alarms, workspace
from rossmann import journal, models, registry
from rossmann.alarms import REASON_LENGTH, QuantilesNotUpdated
from rossmann.data import SalesHistory, is_snapshot
from rossmann.models import AdaptiveQuantiles, Forecaster
from rossmann.schema import to_date
from rossmann.settings import Settings


def update_quantiles(settings: Settings, history: SalesHistory, previous: str | None) -> None:
    """`adapt_quantiles`, or an alarm if it fails: then the forecasts have the quantiles of the training."""
    try:
        is_updated = adapt_quantiles(settings, history, previous)
    except Exception as error:  # registry, database, bucket: each has its own; new days must not wait
        problem = f"the quantiles from {history.origin} do not follow the outcomes: {type(error).__name__}: {error}"
        alarms.publish(settings, QuantilesNotUpdated(reason=problem[:REASON_LENGTH]))
    else:
        if is_updated:
            alarms.end(settings, {QuantilesNotUpdated.event: f"those from {history.origin} follow the outcomes"})


@task(cache_policy=NO_CACHE)
def adapt_quantiles(settings: Settings, history: SalesHistory, previous: str | None) -> bool:
    """Let the champion's quantiles follow the outcomes of its forecasts up to the end of the history.

    previous: fingerprint of the snapshot before, from whose quantiles they go on. Returns False where there is nothing
    to do: without a champion, and for a snapshot that is there already, which replicas may have loaded.
    """
    champion = registry.find_champion(workspace.registry(settings))
    if champion is None or champion.code_mismatch:
        return False
    forecaster = registry.load_forecaster(workspace.registry(settings), champion)
    snapshots, fingerprint = settings.workspace.snapshots, history.fingerprint
    if forecaster.quantiles is None or is_snapshot(snapshots, fingerprint):
        return False
    origin = to_date(history.origin)
    start = _start(settings, forecaster, previous, origin)
    days = journal.read_scaled_errors(settings.journal_address, champion.version, history, start.until, origin)
    start.after(days, origin).save(snapshots, fingerprint)
    return True


def _start(settings: Settings, forecaster: Forecaster, previous: str | None, origin: date) -> AdaptiveQuantiles:
    """The quantiles to continue: those of the snapshot before; else those of the model, from LOOK_BACK before `origin`.

    A snapshot that only corrects days before its origin continues them without new outcomes: each outcome is followed
    once, as it was first known.
    """
    model = forecaster.require_quantiles()
    stored = models.load_adaptive_quantiles(settings.workspace.snapshots, previous, model) if previous else None
    if stored and origin - workspace.LOOK_BACK <= stored.until <= origin:
        return replace(stored, interval_quantiles=stored.interval_quantiles or forecaster.interval_quantiles)
    return AdaptiveQuantiles(model, model, origin - workspace.LOOK_BACK, forecaster.interval_quantiles)
