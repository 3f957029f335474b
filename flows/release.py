"""Challenger against champion → verdict → alias → endpoint; undone if the endpoint differs from the batch.

After train. Needs a challenger. Never cached, though finished fits are reused. The champion is backtested as stale as
it is: at each origin its candidate is fitted on days as old as the champion's last training day is now.
"""

from dataclasses import replace

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows import artifacts, endpoint, retries, workspace
from flows.progress import progress
from rossmann import evaluation, models, registry, training
from rossmann.evaluation import BacktestRun, Verdict
from rossmann.registry import CHAMPION, RegisteredModel
from rossmann.settings import Settings
from rossmann.training import BacktestEntry
from rossmann.validation import DataError


@flow
def release() -> Verdict:
    """Promote the challenger if it beats the champion and the median baseline on the same folds."""
    models = workspace.registry(Settings())
    challenger, champion = registry.challenger(models), registry.find_by_alias(models, CHAMPION)
    if champion and champion.version == challenger.version:
        endpoint.sync_endpoint()  # an earlier run may have been killed between the alias and the endpoint
        return Verdict(False, (f"version {challenger.version} is champion already",), ())
    verdict = decide(challenger, champion)
    if not verdict.promote:
        refuse(models, challenger.version, verdict)
        return verdict
    promote(models, challenger.version, verdict)
    try:
        endpoint.sync_endpoint()
    except DataError as error:
        withdraw(models, challenger.version, str(error))
        return replace(verdict, promote=False, reasons=(f"promotion undone: {error}", *verdict.reasons))
    return verdict


@task(**retries.ON_RAY)
def decide(challenger: RegisteredModel, champion: RegisteredModel | None) -> Verdict:
    """Backtest challenger, champion and the median baseline on the same folds, and judge the challenger."""
    settings = Settings()
    registry.load_forecaster(workspace.registry(settings), challenger)  # raises: an unreadable model is not promoted
    entry, rivals = backtest_entry(challenger, "challenger", 0), rival_entries(settings, challenger, champion)
    run = backtest(settings, challenger, [entry, *rivals])
    verdict = evaluation.judge(
        run,
        entry.name,
        [rival.name for rival in rivals],
        promotion_probability=settings.promotion_probability,
        slice_margin=settings.slice_margin,
        seed=settings.seed,
    )
    if champion and champion.code_mismatch:
        reason = (
            f"champion v{champion.version} was fitted by another code version and cannot forecast: "
            "the challenger is compared with the median only"
        )
        verdict = replace(verdict, reasons=(reason, *verdict.reasons))
    create_markdown_artifact(artifacts.verdict(verdict, challenger.version), key="verdict")
    return verdict


def rival_entries(
    settings: Settings, challenger: RegisteredModel, champion: RegisteredModel | None
) -> list[BacktestEntry]:
    """Whom the challenger must beat: the champion, if there is one of this code, and the median baseline."""
    (median,) = (each for each in models.candidates((), 0, settings.seed) if each.name == evaluation.BASELINE)
    baseline = BacktestEntry(median.name, median)
    if champion is None or champion.code_mismatch:
        return [baseline]
    return [backtest_entry(champion, "champion", champion.staleness_days(challenger)), baseline]


def backtest_entry(version: RegisteredModel, role: str, staleness_days: int) -> BacktestEntry:
    """A registered model as a backtest entry: its candidate, fitted on days that end `staleness_days` earlier."""
    candidate = registry.load_candidate(workspace.registry(Settings()), version)
    return BacktestEntry(f"{role} v{version.version} ({candidate.name})", candidate, staleness_days)


def backtest(settings: Settings, challenger: RegisteredModel, entries: list[BacktestEntry]) -> BacktestRun:
    """Backtest the entries on the folds of the challenger's own backtest."""
    history = workspace.history(settings, challenger.card.snapshot)
    options = {"horizon_days": history.horizon_days, **workspace.backtest_options(settings)}
    origins = challenger.card.folds
    with progress("release") as report:
        return training.run_backtests(history, entries, origins, **options, progress=report)


promote = task(registry.promote, **retries.OVER_NETWORK)
withdraw = task(registry.withdraw, **retries.OVER_NETWORK)
refuse = task(registry.record_refusal, **retries.OVER_NETWORK)
