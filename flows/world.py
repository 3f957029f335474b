"""One world: where its parts lie and on which terms its races run, from the settings."""

from pathlib import Path

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State, TaskRun

from rossmann.data import SalesHistory, load_snapshot
from rossmann.registry import Registered, Registry
from rossmann.settings import Settings
from rossmann.storage import Storage, locate
from rossmann.validation import DataError


def transient(_: Task, __: TaskRun, state: State) -> bool:
    """Whether trying again may help: what bad data or settings caused stays wrong."""
    return not isinstance(state.result(raise_on_failure=False), DataError)


# For tasks that need a Ray: it may not come up in time on a busy machine, or be away for a moment.
ON_RAY = {"retries": 1, "retry_delay_seconds": 10, "retry_condition_fn": transient, "cache_policy": NO_CACHE}


def snapshots(settings: Settings) -> str:
    """Where the versions of the history lie."""
    return settings.place("snapshots")


def history(settings: Settings, snapshot: str) -> SalesHistory:
    """The history of a snapshot."""
    return load_snapshot(snapshots(settings), snapshot)


def backtests(settings: Settings) -> Storage:
    """Finished fits and races."""
    return Storage(settings.place("backtests"))


def forecast_place(
    settings: Settings, history: SalesHistory, champion: Registered, plan: str | None, out: str | None
) -> tuple[Storage, str]:
    """Folder and name (without ending) of a forecast's files: beside `out` where it is given."""
    if out:
        folder, name = locate(out)
        return folder, Path(name).stem
    asked = f"_{Path(plan).stem}" if plan else ""
    return Storage(settings.place("forecasts")), f"{history.origin}_v{champion.version}{asked}"


def models(settings: Settings) -> Registry:
    """The registry of models."""
    return Registry(settings.tracking_uri, settings.place("models"))


def race_terms(settings: Settings) -> dict[str, object]:
    """The terms of `training.race` that are the same for every race of this world."""
    return {
        "horizon_days": settings.horizon_days,
        "coverage": settings.coverage,
        "seed": settings.seed,
        "ray_address": settings.ray_address,
        "kept": backtests(settings),
    }
