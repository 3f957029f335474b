"""The parts of a workspace that several flows open: history, registry, backtests and recent forecasts.

Nothing of Prefect is imported here, and the heavy packages only where they are used: the command line's listings and
its forecast open a workspace without waiting for Prefect, Ray and Evidently to be imported.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rossmann.chain import Chain
from rossmann.data import SalesHistory, load_snapshot
from rossmann.registry import RegisteredModel, Registry
from rossmann.schema import to_date
from rossmann.settings import Settings
from rossmann.storage import Storage, split_path

if TYPE_CHECKING:
    from rossmann.evaluation import BacktestRun, Loss

LOCK_TIMEOUT_S = 900  # whoever holds the lock may wait for new replicas, and for the old ones when these fail
# The forecasts and daily sums that monitoring reads, and the days whose outcomes the quantiles follow.
LOOK_BACK = timedelta(days=56)
MIN_FREE_BYTES = 50_000_000  # of the disk of the workspace; a retraining of a small chain writes 10 MB


def check_disk(settings: Settings) -> None:
    """Raise OSError with the path if the workspace cannot be written, or if its disk is nearly full.

    Called before work starts: databases, and the servers that use them, report a full disk in many other ways.
    """
    check_writable(settings)
    free_bytes = shutil.disk_usage(settings.local_folder).free
    if free_bytes < MIN_FREE_BYTES:
        problem = f"the disk is full, {free_bytes / 1e6:.0f} MB are free and {MIN_FREE_BYTES / 1e6:.0f} MB are needed"
        raise OSError(errno.ENOSPC, problem, settings.local_folder)


def check_writable(settings: Settings) -> None:
    """Create the folder of the workspace if there is none. Raise OSError with the path if it cannot be written."""
    Path(settings.local_folder).mkdir(parents=True, exist_ok=True)
    if not os.access(settings.local_folder, os.W_OK):
        raise OSError(errno.EROFS, "the workspace is read-only", settings.local_folder)


def lock(settings: Settings, purpose: str) -> AbstractContextManager[None]:
    """The lock for what changes the champion, the current snapshot or the endpoint; `purpose` is shown to who waits.

    What is current is read inside it. Backtests and reading need no lock. Do not take it again inside.
    """
    from rossmann import journal

    return journal.workspace_lock(settings.journal_address, purpose, LOCK_TIMEOUT_S)


def history(settings: Settings, snapshot: str) -> SalesHistory:
    """The sales history of a snapshot, given by its fingerprint."""
    return load_snapshot(settings.workspace.snapshots, snapshot)


def loss(settings: Settings, chain: Chain) -> "Loss":
    """What models of a chain are trained for and compared by: ROSSMANN_LOSS if it is set, else that of chain.toml."""
    from rossmann.evaluation import LOSSES

    is_set = "loss" in settings.model_fields_set
    return LOSSES[settings.loss if is_set else chain.forecast.loss or settings.loss]


def registry(settings: Settings) -> Registry:
    """The model registry. OSError if it is in a workspace that cannot be written."""
    if settings.mlflow_tracking_uri is None:
        check_writable(settings)
    return Registry(settings.mlflow_address, settings.workspace.models)


def backtests(settings: Settings) -> Storage:
    """The storage of finished fits and backtest runs."""
    return Storage(settings.workspace.backtests)


def backtest_run(settings: Settings, key: str) -> "BacktestRun":
    """A stored backtest run."""
    from rossmann import training  # imports Ray

    return training.load_backtest_run(backtests(settings), key)


def backtest_of(settings: Settings, version: RegisteredModel) -> pd.DataFrame:
    """The backtest rows of a registered model (evaluation.BACKTEST_COLUMNS), without those of other candidates."""
    return backtest_run(settings, version.backtest_run).backtest.of(version.card.candidate)


def recent_forecasts(settings: Settings, history: SalesHistory) -> pd.DataFrame:
    """The newest operational forecast of each store and day of the last LOOK_BACK, joined with its actuals."""
    from rossmann import journal, monitoring  # imports Evidently

    last = to_date(history.origin)
    return monitoring.join_actuals(
        journal.read_newest_forecasts(settings.journal_address, last - LOOK_BACK, last), history
    )


def daily_forecasts(settings: Settings, history: SalesHistory, first: date, last: date) -> Iterator[pd.DataFrame]:
    """All operational forecasts of the days first … last with their actuals, a table per day that has any."""
    from rossmann import journal, monitoring  # imports Evidently

    for forecasts in journal.read_forecasts(settings.journal_address, first, last):
        rows = monitoring.join_actuals(forecasts, history)
        if len(rows):
            yield rows


def forecast_location(
    settings: Settings, history: SalesHistory, champion: RegisteredModel, plan: str | None, out: str | None
) -> tuple[Storage, str]:
    """Folder and name (without ending) of a forecast's files. `out`, if given, is the path of the CSV."""
    if out:
        folder, name = split_path(out)
        return folder, Path(name).stem
    suffix = f"_{Path(plan).stem}" if plan else ""
    return Storage(settings.workspace.forecasts), f"{history.origin}_v{champion.version}{suffix}"


def backtest_options(settings: Settings, history: SalesHistory) -> dict[str, Any]:
    """The arguments of `training.run_backtests` that are the same for every backtest run of a history."""
    return search_options(settings, history) | {
        "coverage": settings.coverage,
        "quantile_levels": settings.quantile_levels,
    }


def search_options(settings: Settings, history: SalesHistory) -> dict[str, Any]:
    """The arguments of `training.run_search` that are the same for every search of a history."""
    return {
        "horizon_days": history.horizon_days,
        "loss": loss(settings, history.chain),
        "seed": settings.seed,
        "ray_address": settings.ray_address,
        "storage": backtests(settings),
    }
