"""Challenger against champion → verdict → alias → endpoint; undone if the endpoint differs from the batch.

After train. Needs a challenger. Never cached, though finished fits are reused. The champion is backtested as stale as
it is: at each origin its candidate is fitted on days as old as the champion's last training day is now. Where the
history is too short for that, it is backtested as stale as possible, and one that cannot be backtested stops nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows import artifacts, endpoint, retries, workspace
from flows.progress import progress
from rossmann import evaluation, models, registry, training
from rossmann.data import SalesHistory
from rossmann.evaluation import BacktestRun, Verdict
from rossmann.models import Candidate
from rossmann.registry import CHAMPION, RegisteredModel, Registry
from rossmann.settings import Settings
from rossmann.training import BacktestEntry
from rossmann.validation import DataError


@flow
def release() -> Verdict:
    """Promote the challenger if it beats the champion and the median baseline on the same folds."""
    settings = Settings()
    models = workspace.registry(settings)
    challenger, champion = registry.challenger(models), registry.find_by_alias(models, CHAMPION)
    if champion and champion.version == challenger.version:
        with workspace.lock(settings, f"release of version {challenger.version}"):
            endpoint.sync_endpoint()  # an earlier run may have been killed between the alias and the endpoint
        return Verdict(False, (f"version {challenger.version} is champion already",), ())
    verdict = decide(challenger, champion)
    if not verdict.promote:
        refuse(models, challenger.version, verdict)
        return verdict
    with workspace.lock(settings, f"release of version {challenger.version}"):
        return promote_and_deploy(models, challenger, champion, verdict)


def promote_and_deploy(
    models: Registry, challenger: RegisteredModel, champion: RegisteredModel | None, verdict: Verdict
) -> Verdict:
    """Make the challenger champion and switch the endpoint to it; undone if the endpoint cannot serve it."""
    promote(models, challenger.version, verdict, champion.version if champion else None)
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
    models = workspace.registry(settings)
    history = workspace.history(settings, challenger.card.snapshot)
    candidate = registry.load_forecaster(models, challenger).candidate  # raises: an unreadable model is not promoted
    entry = BacktestEntry(f"challenger v{challenger.version} ({candidate.name})", candidate)
    rivals, notes = rival_entries(settings, history, challenger, champion)
    run = backtest(settings, history, challenger.card.folds, [entry, *rivals])
    verdict = evaluation.judge(
        run,
        entry.name,
        [rival.name for rival in rivals],
        promotion_probability=settings.promotion_probability,
        slice_margin=settings.slice_margin,
        seed=settings.seed,
    )
    verdict = replace(verdict, reasons=(*notes, *verdict.reasons))
    create_markdown_artifact(artifacts.verdict(verdict, challenger.version), key="verdict")
    return verdict


def rival_entries(
    settings: Settings, history: SalesHistory, challenger: RegisteredModel, champion: RegisteredModel | None
) -> tuple[list[BacktestEntry], list[str]]:
    """Whom the challenger must beat: the champion if it can be backtested, and the median baseline.

    Also returns what the verdict must say about the champion's comparison.
    """
    (median,) = (each for each in models.candidates((), 0, settings.seed) if each.name == evaluation.BASELINE)
    baseline = BacktestEntry(median.name, median)
    if champion is None:
        return [baseline], []
    only_median = "the challenger is compared with the median only"
    if champion.code_mismatch:
        reason = f"champion v{champion.version} was fitted by another code version and cannot forecast: {only_median}"
        return [baseline], [reason]
    try:
        candidate = registry.load_candidate(workspace.registry(settings), champion)
    except DataError as error:  # it cannot forecast either, and must not stop the challenger
        return [baseline], [f"{only_median}: {error}"]
    entry, notes = champion_entry(history, challenger, champion, candidate)
    return [entry, baseline], notes


def champion_entry(
    history: SalesHistory, challenger: RegisteredModel, champion: RegisteredModel, candidate: Candidate
) -> tuple[BacktestEntry, list[str]]:
    """The champion's candidate as stale as the champion is, or as stale as the history allows; a note says so."""
    name, staleness = f"champion v{champion.version} ({candidate.name})", champion.staleness_days(challenger)
    possible = training.possible_staleness_days(history, candidate, challenger.card.folds, staleness)
    if possible == staleness:
        return BacktestEntry(name, candidate, staleness), []
    note = (
        f"{name} is {staleness} days stale, and the history has no training window so long before its oldest fold: "
        f"it is compared as {possible} days stale, the most that is possible"
    )
    return BacktestEntry(name, candidate, possible), [note]


def backtest(
    settings: Settings, history: SalesHistory, origins: Sequence[np.datetime64], entries: Sequence[BacktestEntry]
) -> BacktestRun:
    """Backtest the entries on the folds of the challenger's own backtest."""
    options = workspace.backtest_options(settings)
    with progress("release") as report:
        return training.run_backtests(history, entries, origins, **options, progress=report)


promote = task(registry.promote, **retries.OVER_NETWORK)
withdraw = task(registry.withdraw, **retries.OVER_NETWORK)
refuse = task(registry.record_refusal, **retries.OVER_NETWORK)
