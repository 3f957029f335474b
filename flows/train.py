"""Snapshot → backtests on Ray → challenger.

After ingest, whenever there are new days or new candidates. Needs a snapshot. Every finished fit is stored under its
snapshot, candidate, fold, seed and code version and is not repeated: a run that was killed continues where it stopped.
"""

from dataclasses import dataclass

import numpy as np
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows import artifacts, links, retries, training_report, workspace
from flows.progress import progress
from rossmann import models, registry, training
from rossmann.data import SalesHistory, load_chain, resolve_snapshot
from rossmann.evaluation import BacktestRun
from rossmann.models import Candidate
from rossmann.provenance import code_version, installed_packages_hash
from rossmann.reports import leaderboard_rows
from rossmann.schema import INTERVAL_COVERAGES
from rossmann.settings import Settings


@dataclass(frozen=True)
class TrainResult:
    """The identifiers of what a training stored."""

    backtest_run: str  # its key
    run_id: str  # of MLflow
    challenger: int  # model version
    report: str | None  # address of its page; None if it could not be written


@flow
def train(
    folds: int | None = None, candidates: list[str] | None = None, search: int = 0, snapshot: str | None = None
) -> TrainResult:
    """Backtest the candidates on the same folds. The best one, fitted again on all days, becomes challenger.

    folds: how many windows, counted back from the end of the history. Default: as many as have a full year before
        them, ROSSMANN_FOLDS at most.
    candidates: names; the two baselines, last_week and median, are always added. Default: ROSSMANN_CANDIDATES.
    search: hyperparameter configurations to try for each booster; the best join the candidates.
    snapshot: a fingerprint. Default: the current snapshot.
    """
    settings = Settings()
    workspace.check_disk(settings)
    snapshot = resolve_snapshot(settings.workspace.snapshots, snapshot)
    loss = workspace.loss(settings, load_chain(settings.workspace.snapshots, snapshot))
    selected = models.candidates(tuple(candidates or settings.candidates), loss)
    if search:
        selected += search_hyperparameters(snapshot, selected, folds, search)
    key = backtest(snapshot, selected, folds)
    run_id = record(key, snapshot, selected)
    version = register(key, run_id, snapshot, selected)
    return TrainResult(key, run_id, version, report_unless_it_fails(version, run_id))


@task(**retries.ON_RAY)
def search_hyperparameters(
    snapshot: str, candidates: tuple[Candidate, ...], folds: int | None, trials: int
) -> tuple[Candidate, ...]:
    """Search the parameters of the boosters on the folds of the snapshot. Returns the candidates that it adds."""
    settings = Settings()
    history = workspace.history(settings, snapshot)
    origins = fold_origins(settings, history, candidates, folds)
    options = workspace.search_options(settings, history)
    with progress("search") as report:
        results = training.run_search(history, candidates, trials, origins, **options, progress=report)
    create_table_artifact(training.trial_table(results), key="trials", description=f"snapshot {snapshot}")
    return training.search_results(results, candidates)


@task(**retries.ON_RAY)
def backtest(snapshot: str, candidates: tuple[Candidate, ...], folds: int | None) -> str:
    """Backtest the candidates on the folds of the snapshot. Returns the key of the backtest run."""
    settings = Settings()
    history = workspace.history(settings, snapshot)
    origins = fold_origins(settings, history, candidates, folds)
    entries = [training.BacktestEntry(candidate.name, candidate) for candidate in candidates]
    with progress("backtests") as report:
        options = workspace.backtest_options(settings, history)
        run = training.run_backtests(history, entries, origins, **options, progress=report)
    description = artifacts.leaderboard_description(run.backtest, snapshot)
    create_table_artifact(leaderboard_rows(run), key="leaderboard", description=description)
    return run.key


def fold_origins(
    settings: Settings, history: SalesHistory, candidates: tuple[Candidate, ...], folds: int | None
) -> tuple[np.datetime64, ...]:
    """The origins of so many folds, or of as many as are usual."""
    cut, count = (training.usual_fold_origins, settings.folds) if folds is None else (training.fold_origins, folds)
    step_days = settings.fold_step_days or training.usual_step_days(history, candidates)
    return cut(history, candidates, count, step_days, history.horizon_days)


@task(**retries.OVER_NETWORK)
def record(key: str, snapshot: str, candidates: tuple[Candidate, ...]) -> str:
    """Record the backtest run with its rows and figures in MLflow. Returns the id of the MLflow run."""
    settings = Settings()
    run = workspace.backtest_run(settings, key)
    model_registry = workspace.registry(settings)
    return registry.record_backtests(model_registry, run, candidates, snapshot, settings.workspace.snapshots)


@task(**retries.ON_RAY)
def register(key: str, run_id: str, snapshot: str, candidates: tuple[Candidate, ...]) -> int:
    """Make the best candidate of the backtest run the challenger. Returns its version."""
    settings = Settings()
    model_registry = workspace.registry(settings)
    run = workspace.backtest_run(settings, key)
    best = next(candidate for candidate in candidates if candidate.name == run.backtest.best())
    version = refit(settings, run, run_id, snapshot, best)
    registry.set_challenger(model_registry, version)
    return version


def refit(settings: Settings, run: BacktestRun, run_id: str, snapshot: str, candidate: Candidate) -> int:
    """Fit a candidate of the run on the whole history and register it with its card, unless that was done before.

    Returns its version.
    """
    model_registry = workspace.registry(settings)
    if version := registry.find_registered(model_registry, run.key, candidate.name):
        return version
    history = workspace.history(settings, snapshot)
    quantiles = training.backtest_quantiles(run.backtest, candidate.name, settings.coverage, settings.quantile_levels)
    intervals = training.backtest_quantiles(
        run.backtest, candidate.name, INTERVAL_COVERAGES[0], models.interval_levels()
    )
    variance_components = training.backtest_variance_components(run.backtest, candidate.name)
    forecaster = training.fit_final(history, candidate, quantiles, seed=settings.seed, ray_address=settings.ray_address)
    forecaster = forecaster.with_interval_quantiles(intervals).with_variance_components(variance_components)
    card = registry.ModelCard(
        candidate=candidate.name,
        snapshot=snapshot,
        train_end=str(history.origin),
        rmspe=run.rmspe_by_fold(candidate.name),
        coverage=run.coverage(candidate.name),
        seed=settings.seed,
        code_version=code_version(),
        environment=installed_packages_hash(),
        run_id=run_id,
        loss=run.backtest.loss.name,
    )
    return registry.register_model(model_registry, forecaster, card, run.key)


def report_unless_it_fails(version: int, run_id: str) -> str | None:
    """`write_report`; if it fails, a line in the log and None: the challenger is registered and can be released."""
    try:
        return write_report(version, run_id)
    except Exception as error:  # a page, MLflow, a bucket: each has its own; hours of fits must not end with it
        problem = f"version {version} is registered, but its report could not be written"
        get_run_logger().error("%s: %s: %s", problem, type(error).__name__, error)
        return None


@task(**retries.READING_MODELS)
def write_report(version: int, run_id: str) -> str:
    """Write the report of the training that registered a version. Returns its address."""
    settings = Settings()
    address = training_report.write(settings, version)
    page = artifacts.training(version, address, links.training(settings, run_id))
    create_markdown_artifact(page, key="training", description=f"version {version}: the report of its training")
    return address
