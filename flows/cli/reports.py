"""What a command shows besides the result of its flow, loaded from the workspace."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from flows import workspace
from rossmann.settings import Settings

if TYPE_CHECKING:
    from flows.train import TrainResult


@dataclass(frozen=True)
class TrainingReport:
    """A training with its leaderboard and the addresses of what it stored."""

    result: "TrainResult"
    best: str  # candidate
    leaderboard: pd.DataFrame  # BacktestRun.leaderboard()
    backtest_rows_file: str  # address of the backtest rows
    mlflow: str  # address of MLflow, without its password


def training(settings: Settings, result: "TrainResult") -> TrainingReport:
    """Load the backtest run of a training."""
    run = workspace.backtest_run(settings, result.backtest_run)
    return TrainingReport(
        result,
        best=run.backtest.best(),
        leaderboard=run.leaderboard(),
        backtest_rows_file=f"{workspace.backtests(settings).address(result.backtest_run)}/backtest.parquet",
        mlflow=workspace.registry(settings).address,
    )
