"""The champion's quantiles after the newest outcomes, in a file beside the State of a snapshot. `ingest` writes it."""

from datetime import date

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows import workspace
from rossmann import journal, models, registry
from rossmann.data import SalesHistory, is_snapshot
from rossmann.models import AdaptiveQuantiles, Quantiles
from rossmann.settings import Settings


@task(cache_policy=NO_CACHE)
def adapt_quantiles(settings: Settings, history: SalesHistory, previous: str | None) -> None:
    """Let the champion's quantiles follow the outcomes of its forecasts up to the end of the history.

    previous: fingerprint of the snapshot before, from whose quantiles they go on. Without a champion there is nothing
    to do. If that fails, the forecasts from this snapshot have the quantiles of the training.
    """
    try:
        champion = registry.find_champion(workspace.registry(settings))
        if champion is None or champion.code_mismatch:
            return
        model = registry.load_forecaster(workspace.registry(settings), champion).quantiles
        snapshots, fingerprint = settings.workspace.snapshots, history.fingerprint
        if model is None or is_snapshot(snapshots, fingerprint):  # replicas may have loaded a snapshot that is there
            return
        origin = history.origin.item()
        start = _start(settings, model, previous, origin)
        days = journal.read_scaled_errors(
            settings.journal_address, champion.version, history, start.until + journal.ONE_DAY, origin
        )
        current = models.follow_outcomes(start.current, days)
        AdaptiveQuantiles(model, current, origin).save(snapshots, fingerprint)
    except Exception as error:  # a registry that is away raises errors of its own, and new days must not wait for it
        get_run_logger().error("the quantiles of the next forecasts do not follow the outcomes: %s", error)


def _start(settings: Settings, model: Quantiles, previous: str | None, origin: date) -> AdaptiveQuantiles:
    """The quantiles of the snapshot before; without them those of the model, before the outcomes of LOOK_BACK."""
    stored = models.load_adaptive_quantiles(settings.workspace.snapshots, previous, model) if previous else None
    if stored and origin - workspace.LOOK_BACK <= stored.until < origin:
        return stored
    return AdaptiveQuantiles(model, model, origin - workspace.LOOK_BACK)
