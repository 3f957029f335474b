"""Challenger against champion → verdict → alias → endpoint; undone if the endpoint differs from the batch.

After train. Needs a challenger. Never cached, though finished fits are reused. While there is no champion and the
challenger is refused, the median baseline becomes the first one: so there is a champion after every release. The
champion is backtested as stale as it is: at each origin its candidate is fitted on days as old as the champion's last
training day is now. Where the history is too short for that, it is backtested as stale as possible, and one that cannot
be backtested stops nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows import artifacts, endpoint, links, retries, training_report, workspace
from flows.progress import progress
from flows.train import refit
from rossmann import evaluation, features, models, registry, training
from rossmann.data import SalesHistory
from rossmann.evaluation import BacktestRun, Loss, Verdict
from rossmann.models import Candidate
from rossmann.registry import RegisteredModel, Registry
from rossmann.serving.deployment import serve_cluster
from rossmann.settings import Settings
from rossmann.training import BacktestEntry
from rossmann.validation import DataError, UnavailableError


@flow
def release(challenger: int | None = None) -> Verdict:
    """Promote the challenger if it beats the champion and the median baseline on the same folds.

    challenger: a model version. Default: the one that was trained last.
    """
    settings = Settings()
    workspace.check_disk(settings)
    model_registry = workspace.registry(settings)
    model, champion = find_challenger(model_registry, challenger), registry.find_champion(model_registry)
    purpose = f"release of version {model.version}"
    if champion and champion.version == model.version:
        with workspace.lock(settings, purpose):
            endpoint.sync_endpoint()  # completes or takes back what a run began that was killed after the alias moved
        verdict = skip_judging(f"version {model.version} is champion already")
    else:
        verdict = decide(settings, model_registry, model, champion, purpose)
    complete_report(settings, model.version)
    return verdict


def decide(
    settings: Settings,
    model_registry: Registry,
    model: RegisteredModel,
    champion: RegisteredModel | None,
    purpose: str,
) -> Verdict:
    """Judge the challenger, and promote or refuse it; `purpose` is that of the lock."""
    verdict = refuse_vetoed(model_registry, model) or judge(model, champion)
    if not verdict.promote:
        refuse(model_registry, model.version, verdict)
        return verdict if champion else promote_baseline(model_registry, model, verdict)
    with workspace.lock(settings, purpose):
        return promote_and_deploy(model_registry, model, champion, verdict)


def find_challenger(model_registry: Registry, version: int | None) -> RegisteredModel:
    """The model of this version; for None, the one with the alias challenger. DataError where there is none."""
    try:
        if version is None:
            return registry.challenger(model_registry)
        return registry.find_version(model_registry, version)
    except DataError as error:
        skip_judging(str(error))
        raise


def skip_judging(reason: str) -> Verdict:
    """A verdict without comparisons; the UI shows the reason."""
    create_markdown_artifact(artifacts.nothing_to_judge(reason), key="verdict", description=reason)
    return Verdict(False, (reason,), ())


def refuse_vetoed(model_registry: Registry, model: RegisteredModel) -> Verdict | None:
    """The refusal of a version that was taken back before; None: it may be judged."""
    entry = registry.find_veto(model_registry, model.version)
    if entry is None:
        return None
    return show(Verdict(False, (registry.veto_reason(entry, model.version),), ()), model)


def promote_and_deploy(
    model_registry: Registry, challenger: RegisteredModel, champion: RegisteredModel | None, verdict: Verdict
) -> Verdict:
    """Make the challenger champion and switch the endpoint to it; undone if the endpoint cannot serve it."""
    has_endpoint = serve_cluster(Settings()) is not None
    promote(model_registry, challenger.version, verdict, champion.version if champion else None, has_endpoint)
    try:
        endpoint.sync_endpoint()  # takes the promotion back before it raises
    except DataError as error:
        reasons = (f"promotion undone: {error}", *verdict.reasons)
        return show(replace(verdict, promote=False, reasons=reasons), challenger)
    return verdict


def promote_baseline(model_registry: Registry, challenger: RegisteredModel, refusal: Verdict) -> Verdict:
    """Make the baseline the first champion, and return the refusal of the challenger with what became of it.

    The same call after an interruption completes it. Raises DataError like `promote_and_deploy`.
    """
    baseline = registry.find_version(model_registry, register_baseline(challenger))
    if veto := registry.find_veto(model_registry, baseline.version):
        outcome = f"there is no champion: {registry.veto_reason(veto, baseline.version)}"
    else:
        cause = f"the first champion is the baseline {baseline.card.candidate}: version {challenger.version} is refused"
        with workspace.lock(Settings(), f"release of version {baseline.version}"):
            first = promote_and_deploy(model_registry, baseline, None, Verdict(True, (cause,), ()))
        state = "is the first champion" if first.promote else f"could not become champion: {first.reasons[0]}"
        outcome = f"the baseline {baseline.card.candidate}, version {baseline.version}, {state}"
    return show(replace(refusal, reasons=(*refusal.reasons, outcome)), challenger)


@task(**retries.ON_RAY)
def register_baseline(challenger: RegisteredModel) -> int:
    """Fit and register the baseline of the challenger's own backtest run, unless it is registered. Returns its version.

    DataError if its backtest failed.
    """
    settings = Settings()
    run = workspace.backtest_run(settings, challenger.backtest_run)
    if failure := run.failures.get(evaluation.BASELINE):
        raise DataError(f"there is no champion, and {evaluation.BASELINE} cannot become it: {failure}; train again")
    baseline = models.default_candidate(evaluation.BASELINE)
    return refit(settings, run, challenger.card.run_id, challenger.card.snapshot, baseline)


def show(verdict: Verdict, challenger: RegisteredModel) -> Verdict:
    """Show a verdict in the UI, and return it."""
    next_steps = links.training(Settings(), challenger.card.run_id)
    page = artifacts.verdict(verdict, challenger.version, next_steps)
    create_markdown_artifact(page, key="verdict", description=artifacts.verdict_title(verdict, challenger.version))
    return verdict


@task(**retries.ON_RAY)
def judge(challenger: RegisteredModel, champion: RegisteredModel | None) -> Verdict:
    """Backtest challenger, champion and the median baseline on the same folds, and judge the challenger."""
    settings = Settings()
    model_registry = workspace.registry(settings)
    history = workspace.history(settings, challenger.card.snapshot)
    # raises: an unreadable model is not promoted
    candidate = registry.load_forecaster(model_registry, challenger).candidate
    entry = BacktestEntry(f"challenger v{challenger.version} ({candidate.name})", candidate)
    rivals, notes = rival_entries(settings, history, challenger, champion)
    notes = other_loss_notes(workspace.loss(settings, history.chain), entry.name, challenger) + notes
    run = backtest(settings, history, challenger.card.folds, [entry, *rivals])
    verdict = evaluation.judge(
        run,
        entry.name,
        [rival.name for rival in rivals],
        promotion_probability=settings.promotion_probability,
        slice_margin=settings.slice_margin,
        seed=settings.seed,
        names=evaluation.chain_names(history),
    )
    return show(replace(verdict, reasons=(*notes, *verdict.reasons)), challenger)


def rival_entries(
    settings: Settings, history: SalesHistory, challenger: RegisteredModel, champion: RegisteredModel | None
) -> tuple[list[BacktestEntry], list[str]]:
    """Whom the challenger must beat: the champion if it can be backtested, and the median baseline.

    Also returns what the verdict must say about the champion's comparison.
    """
    median = models.default_candidate(evaluation.BASELINE)
    baseline = BacktestEntry(median.name, median)
    if champion is None:
        return [baseline], []
    try:
        forecaster = registry.load_forecaster(workspace.registry(settings), champion)
        forecaster.require_features(features.load_state(settings.workspace.snapshots, challenger.card.snapshot))
    except UnavailableError:  # it may be better than the challenger
        raise
    except (
        DataError
    ) as error:  # of other code or covariates, damaged or lost: it cannot forecast, and must not stop the challenger
        return [baseline], [f"the challenger is compared with the median only: {error}"]
    entry, notes = champion_entry(history, challenger, champion, forecaster.candidate)
    return [entry, baseline], notes + other_loss_notes(workspace.loss(settings, history.chain), entry.name, champion)


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


def other_loss_notes(loss: Loss, name: str, model: RegisteredModel) -> list[str]:
    """A note if a model was trained for another loss than that of the comparison; it forecasts as it was trained."""
    if model.card.loss == loss.name or model.card.candidate == evaluation.BASELINE:
        return []
    trained_loss = evaluation.LOSSES[model.card.loss].label
    return [
        f"{name} was trained for {trained_loss}; the comparison is by {loss.label} (ROSSMANN_LOSS, else chain.toml)"
    ]


def backtest(
    settings: Settings, history: SalesHistory, origins: Sequence[np.datetime64], entries: Sequence[BacktestEntry]
) -> BacktestRun:
    """Backtest the entries on the folds of the challenger's own backtest."""
    options = workspace.backtest_options(settings, history)
    with progress("release") as report:
        return training.run_backtests(history, entries, origins, **options, progress=report)


promote = task(registry.promote, **retries.OVER_NETWORK)
refuse = task(registry.record_refusal, **retries.OVER_NETWORK)
complete_report = task(training_report.complete, **retries.OVER_NETWORK)
