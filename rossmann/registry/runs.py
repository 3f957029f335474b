"""Backtest runs as MLflow runs: a parent run, and a child run per candidate with its scores and figures."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from rossmann import figures
from rossmann.evaluation import BacktestRun
from rossmann.models import Candidate
from rossmann.provenance import environment
from rossmann.registry.connection import BACKTESTS, Registry

RUN_KEY_TAG = "backtest_run"


def record_backtests(
    registry: Registry, run: BacktestRun, candidates: Iterable[Candidate], snapshot: str, snapshot_address: str
) -> str:
    """Record a backtest run and return the id of its MLflow run. A run that is recorded already is not repeated."""
    experiment, client = registry.experiment(BACKTESTS), registry.client
    same_run = f"tags.{RUN_KEY_TAG} = '{run.key}'"
    if finished := client.search_runs([experiment], f"{same_run} and attributes.status = 'FINISHED'"):
        return finished[0].info.run_id
    for interrupted in client.search_runs([experiment], f"{same_run} and attributes.status = 'RUNNING'"):
        client.set_terminated(interrupted.info.run_id, "KILLED")
    tags = {RUN_KEY_TAG: run.key}
    parent = client.create_run(experiment, run_name=f"backtests on {snapshot}", tags=tags).info.run_id
    client.log_inputs(parent, [_dataset(snapshot, snapshot_address, len(run.backtest.rows))])
    board = run.leaderboard()
    for candidate in candidates:
        _record_candidate(client, experiment, parent, run, board, candidate)
    _log_rows(client, parent, run)
    client.set_terminated(parent)
    return parent


def _record_candidate(
    client: MlflowClient, experiment: str, parent: str, run: BacktestRun, board: pd.DataFrame, candidate: Candidate
) -> None:
    """A child run with the parameters, and with scores and figures or the reason of the failure."""
    tags = {MLFLOW_PARENT_RUN_ID: parent, "failure": run.failures.get(candidate.name, "")}
    child = client.create_run(experiment, run_name=candidate.name, tags=tags).info.run_id
    client.log_batch(child, params=[Param(name, str(value)) for name, value in candidate.params])
    if candidate.name in run.failures:
        client.set_terminated(child, "FAILED")
        return
    _log_scores(client, child, board.loc[candidate.name])
    _log_figures(client, child, run, candidate.name)
    client.set_terminated(child)


def _dataset(snapshot: str, address: str, rows: int) -> DatasetInput:
    source, profile = json.dumps({"uri": address}), json.dumps({"rows": rows})
    dataset = Dataset(name="snapshot", digest=snapshot, source_type="local", source=source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _log_scores(client: MlflowClient, run_id: str, scores: pd.Series) -> None:
    """The numbers of a row of the leaderboard; RMSPE per fold also as the steps of one metric, oldest first."""
    step = 0
    for name, value in scores.drop("failure").dropna().items():
        is_fold = name[0].isdigit()  # folds are named by their origin, YYYY-MM-DD
        client.log_metric(run_id, f"rmspe_{name}" if is_fold else name, float(value))
        if is_fold:
            client.log_metric(run_id, "fold_rmspe", float(value), step=step)
            step += 1


def _log_figures(client: MlflowClient, run_id: str, run: BacktestRun, candidate: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pictures = figures.backtest_figures(run.backtest, candidate)
        if run.importance[candidate]:
            pictures["importance.png"] = figures.importance_figure(run.importance[candidate])
        for name, png in pictures.items():
            Path(folder, name).write_bytes(png)
        client.log_artifacts(run_id, folder, "figures")


def _log_rows(client: MlflowClient, run_id: str, run: BacktestRun) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run.backtest.rows.to_parquet(Path(folder, "backtest.parquet"), index=False)
        run.leaderboard().to_csv(Path(folder, "leaderboard.csv"))
        Path(folder, "environment.txt").write_text("\n".join(environment()))
        client.log_artifacts(run_id, folder)
