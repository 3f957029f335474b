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
    rows: str  # address of the backtest rows
    mlflow: str  # address of MLflow, without its password


def training(settings: Settings, result: "TrainResult") -> TrainingReport:
    """Load the backtest run of a training."""
    run = workspace.backtest_run(settings, result.backtest)
    return TrainingReport(
        result,
        best=run.backtest.best(),
        leaderboard=run.leaderboard(),
        rows=f"{workspace.backtests(settings).address(result.backtest)}/backtest.parquet",
        mlflow=workspace.registry(settings).address,
    )
