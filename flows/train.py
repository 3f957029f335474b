"""Snapshot → backtests on Ray → challenger.

After ingest, whenever days or recipes are new. Needs a snapshot. A fit is kept by snapshot, candidate, fold, seed and
code version, and what is kept is not fitted again: a run that was killed goes on where it stopped.
"""

from dataclasses import dataclass

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows import world
from flows.progress import progress
from rossmann import evaluation, models, registry, training
from rossmann.data import current_snapshot
from rossmann.models import Candidate
from rossmann.settings import Settings, code_version, environment_hash


@dataclass(frozen=True)
class Trained:
    """Where the outcome of a training lies."""

    race: str  # key of the race
    run: str  # MLflow run
    challenger: int  # version


@flow
def train(folds: int | None = None, candidates: list[str] | None = None, search: int = 0) -> Trained:
    """Race all candidates on the same folds; the best, refitted on everything, becomes challenger.

    folds: windows counted back from the end of the history. candidates: who races beside the two naive ones.
    search: how many hyperparameter draws race beside each booster.
    """
    settings = Settings()
    snapshot = current_snapshot(world.snapshots(settings))
    racing = models.candidates(tuple(candidates or settings.candidates), search, settings.seed)
    race = backtest(snapshot, racing, folds or settings.folds)
    run = record(race, snapshot, racing)
    return Trained(race, run, register(race, run, snapshot, racing))


@task(**world.ON_RAY)
def backtest(snapshot: str, racing: tuple[Candidate, ...], folds: int) -> str:
    """Race the candidates on the folds of the snapshot; answers the key of the race."""
    settings = Settings()
    history = world.history(settings, snapshot)
    origins = evaluation.fold_origins(history, folds, settings.fold_step_days, settings.horizon_days)
    entrants = [training.Entrant(candidate.name, candidate) for candidate in racing]
    with progress("backtests") as report:
        race = training.race(history, entrants, origins, **world.race_terms(settings), progress=report)
    board = race.leaderboard().reset_index()
    create_table_artifact(board.to_dict("records"), key="leaderboard", description=f"snapshot {snapshot}")
    return race.key


@task(retries=3, retry_delay_seconds=[1, 10, 60], cache_policy=NO_CACHE)  # MLflow may be a network away
def record(race: str, snapshot: str, racing: tuple[Candidate, ...]) -> str:
    """Keep the race with its rows and figures in MLflow; answers the run."""
    settings = Settings()
    kept = training.load_race(world.backtests(settings), race)
    return registry.record(world.models(settings), kept, racing, snapshot, world.snapshots(settings))


@task(**world.ON_RAY)
def register(race: str, run: str, snapshot: str, racing: tuple[Candidate, ...]) -> int:
    """Make the winner of the race the challenger; answers its version."""
    settings = Settings()
    models_known = world.models(settings)
    version = registry.saved(models_known, race) or refit(settings, race, run, snapshot, racing)
    registry.challenge(models_known, version)
    return version


def refit(settings: Settings, race: str, run: str, snapshot: str, racing: tuple[Candidate, ...]) -> int:
    """Fit the winner on the whole history and save it with its card."""
    kept = training.load_race(world.backtests(settings), race)
    winner = next(candidate for candidate in racing if candidate.name == kept.backtest.best())
    history = world.history(settings, snapshot)
    bounds = training.intervals(kept.backtest, winner.name, settings.coverage)
    forecaster = training.fit_final(history, winner, bounds, seed=settings.seed, ray_address=settings.ray_address)
    card = registry.ModelCard(
        candidate=winner.name,
        snapshot=snapshot,
        origin=str(history.origin),
        rmspe=kept.rmspe_by_fold(winner.name),
        coverage=kept.coverage(winner.name),
        seed=settings.seed,
        code_version=code_version(),
        environment=environment_hash(),
        training=run,
    )
    return registry.save(world.models(settings), forecaster, card, race)
