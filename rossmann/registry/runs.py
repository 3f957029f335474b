"""Backtest runs as MLflow runs: a parent run, and a child run per candidate with its scores and figures."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd

from rossmann import figures
from rossmann.evaluation import BacktestRun, Loss
from rossmann.models import Candidate
from rossmann.provenance import installed_packages
from rossmann.registry.connection import BACKTESTS, RUN_KEY_TAG, Registry

if TYPE_CHECKING:  # importing it takes a second, and reading a registry does not need it
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

PARENT_RUN_TAG = "mlflow.parentRunId"  # MLflow shows child runs below their parent by it
NOTE_TAG = "mlflow.note.content"  # MLflow shows it as the description of a run
# By default MLflow's pages expect traces of an LLM, and its list of runs shows no metric: a shared view does.
MODE, VIEW = "workflowType=machine_learning", "scores"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
REPORT_FILE = "report.html"  # of a training, among the files of its run


def record_backtests(
    registry: Registry, run: BacktestRun, candidates: Iterable[Candidate], snapshot: str, snapshot_address: str
) -> str:
    """Record a backtest run and return the id of its MLflow run. A run that is recorded already is not repeated."""
    experiment, client = registry.experiment(BACKTESTS), registry.client
    same_run = f"tags.{RUN_KEY_TAG} = '{run.key}'"
    if finished_runs := client.search_runs([experiment], f"{same_run} and attributes.status = 'FINISHED'"):
        return finished_runs[0].info.run_id
    for attempt in client.search_runs([experiment], same_run):
        _end_interrupted(client, experiment, attempt)
    client.set_experiment_tag(experiment, VIEW_TAG, _view(run.backtest.loss))
    tags = {RUN_KEY_TAG: run.key, "best": run.backtest.best(), NOTE_TAG: _note(run)}
    with _mlflow_run(client, experiment, f"backtests on {snapshot}", tags) as parent:
        client.log_inputs(parent, [_dataset(snapshot, snapshot_address, len(run.backtest.rows))])
        board = run.leaderboard()
        _log_scores(client, parent, cast(pd.Series, board.loc[run.backtest.best()]))
        for candidate in candidates:
            _record_candidate(client, experiment, parent, run, board, candidate)
        _log_rows(client, parent, run)
    return parent


def run_pages(registry: Registry, run_id: str) -> dict[str, str]:
    """Where MLflow shows a run, by title: what follows MLflow's own address."""
    experiment = f"/#/experiments/{registry.client.get_run(run_id).info.experiment_id}/runs"
    return {
        "report": f"{experiment}/{run_id}/artifacts/{REPORT_FILE}?{MODE}",
        "MLflow run": f"{experiment}/{run_id}?{MODE}",
        "all trainings": f"{experiment}?{MODE}&viewStateShareKey={VIEW}",
    }


def log_report(registry: Registry, run_id: str, page: bytes) -> None:
    """Store the report of a training with its run, in place of an earlier one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, REPORT_FILE).write_bytes(page)
        registry.client.log_artifact(run_id, str(Path(folder, REPORT_FILE)))


@contextmanager
def _mlflow_run(
    client: "MlflowClient", experiment: str, name: str, tags: Mapping[str, str], status: str = "FINISHED"
) -> Iterator[str]:
    """The id of a new run. It ends with the context: with this status, or as FAILED after any exception."""
    from mlflow.exceptions import MlflowException

    run_id = client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id
    try:
        yield run_id
    except BaseException:
        with suppress(MlflowException):  # the disk of the database may be full, too: `_end_interrupted` ends it later
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, status)


def _end_interrupted(client: "MlflowClient", experiment: str, parent: "Run") -> None:
    """Mark an earlier attempt and its child runs as killed, as far as they could not end themselves."""
    children = client.search_runs([experiment], f"tags.`{PARENT_RUN_TAG}` = '{parent.info.run_id}'")
    for run in (*children, parent):
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")


def _record_candidate(
    client: "MlflowClient", experiment: str, parent: str, run: BacktestRun, board: pd.DataFrame, candidate: Candidate
) -> None:
    """A child run with the parameters, and with scores and figures or the reason of the failure."""
    from mlflow.entities import Param

    failure = run.failures.get(candidate.name, "")
    tags, status = {PARENT_RUN_TAG: parent}, "FINISHED"
    if failure:
        tags, status = tags | {"failure": failure}, "FAILED"
    with _mlflow_run(client, experiment, candidate.name, tags, status) as child:
        client.log_batch(child, params=[Param(name, str(value)) for name, value in candidate.params])
        if not failure:
            _log_scores(client, child, cast(pd.Series, board.loc[candidate.name]))
            _log_figures(client, child, run, candidate.name)


def _note(run: BacktestRun) -> str:
    """What the parent run says about itself. Markdown"""
    loss, best = run.backtest.loss, run.backtest.best()
    score = run.backtest.score()[loss.capped_name][best]
    return (
        f"Best: **{best}** with a capped {loss.label} of {loss.text(score)}, the mean of the folds. Its scores are the "
        f"metrics here; each candidate has a child run. The report is `{REPORT_FILE}` among the artifacts."
    )


def _view(loss: Loss) -> str:
    """The columns of the list of runs, as MLflow stores a view."""
    names = dict.fromkeys((loss.capped_name, "rmspe_capped", "bias", "coverage", "wql"))
    return json.dumps({"selectedColumns": [f"metrics.`{name}`" for name in names]})


def _dataset(snapshot: str, address: str, rows: int) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source, profile = json.dumps({"uri": address}), json.dumps({"rows": rows})
    dataset = Dataset(name="snapshot", digest=snapshot, source_type="local", source=source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _log_scores(client: "MlflowClient", run_id: str, scores: pd.Series) -> None:
    """The numbers of a row of the leaderboard; RMSPE per fold also as the steps of one metric, oldest first."""
    step = 0
    for key, value in scores.drop(["param_changes", "failure"]).dropna().items():
        name = str(key)
        is_fold = name[0].isdigit()  # folds are named by their origin, YYYY-MM-DD
        client.log_metric(run_id, f"rmspe_{name}" if is_fold else name, float(value))
        if is_fold:
            client.log_metric(run_id, "fold_rmspe", float(value), step=step)
            step += 1


def _log_figures(client: "MlflowClient", run_id: str, run: BacktestRun, candidate: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pictures = figures.backtest_figures(run.backtest, candidate)
        if run.importance[candidate]:
            pictures["importance.png"] = figures.importance_figure(run.importance[candidate])
        for name, png in pictures.items():
            Path(folder, name).write_bytes(png)
        client.log_artifacts(run_id, folder, "figures")


def _log_rows(client: "MlflowClient", run_id: str, run: BacktestRun) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run.backtest.rows.to_parquet(Path(folder, "backtest.parquet"), index=False)
        run.leaderboard().to_csv(Path(folder, "leaderboard.csv"))
        Path(folder, "environment.txt").write_text("\n".join(installed_packages()))
        client.log_artifacts(run_id, folder)
