"""What the commands show of a training besides the result of its flow, loaded from the workspace."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from flows import workspace
from rossmann.evaluation import Loss
from rossmann.settings import Settings

if TYPE_CHECKING:
    from flows.train import TrainResult


@dataclass(frozen=True)
class TrainingSummary:
    """A training with its leaderboard and the addresses of what it stored."""

    result: "TrainResult"
    best: str  # candidate
    leaderboard: pd.DataFrame  # BacktestRun.leaderboard()
    loss: Loss  # by which the leaderboard is sorted
    warning: str  # of the best candidate, a large bias or a suspicious error; empty without
    backtest_rows_file: str  # address of the backtest rows
    mlflow: str  # address of MLflow, without its password


def summarise_training(settings: Settings, result: "TrainResult") -> TrainingSummary:
    """Load the backtest run of a training."""
    run = workspace.backtest_run(settings, result.backtest_run)
    best = run.backtest.best()
    return TrainingSummary(
        result,
        best,
        leaderboard=run.leaderboard(),
        loss=run.backtest.loss,
        warning=run.backtest.warning(best),
        backtest_rows_file=f"{workspace.backtests(settings).address(result.backtest_run)}/backtest.parquet",
        mlflow=workspace.registry(settings).address,
    )
