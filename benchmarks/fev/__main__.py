"""`make benchmark-fev RAW=…`: this project on the task rossmann_1D of fev-bench, scored by fev's own evaluation."""

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.fev import published, quantiles, task
from benchmarks.fev.forecasts import INFERENCE, LINEAR, MODELS, TRAINING, linear_forecast, window_forecasts
from benchmarks.fev.predictions import write_predictions
from rossmann.data import SalesHistory, read_history
from rossmann.schema import DAY, HORIZON_DAYS


def main() -> None:
    """Usage: python -m benchmarks.fev RAW --work FOLDER --fev-python PATH"""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path, help="Folder with Kaggle's files.")
    parser.add_argument("--work", type=Path, required=True, help="Folder of the data set, fits and predictions.")
    parser.add_argument("--fev-python", type=Path, required=True, help="Python of an environment that has fev.")
    arguments = parser.parse_args()
    console = Console(width=120, highlight=False)
    with console.status("the seasonal naive") as status:
        history = read_history(str(arguments.raw)).history
        origins = task.window_origins(history.origin)
        write_task(arguments.raw, arguments.work, len(origins))
        naive = evaluate(arguments.work, arguments.fev_python)["seasonal_naive"]
        published.check_seasonal_naive([window["MASE"] for window in naive["by_window"]])
        status.update("fitting")
        windows = window_forecasts(history, origins, arguments.work / "fits")
        calibration_window = linear_forecast(history, origins[0] - HORIZON_DAYS * DAY)
        for model in MODELS:
            earlier = calibration_window.rename(columns={LINEAR: model})
            write_model(model, history, dict(zip(origins, windows, strict=True)), earlier, arguments.work)
        status.update("evaluating")
        scores = evaluate(arguments.work, arguments.fev_python)
    console.print(table(scores, windows))


def write_task(raw: Path, work: Path, windows: int) -> None:
    """Write the data set and the definition of the task, and an empty folder of predictions."""
    work.mkdir(parents=True, exist_ok=True)
    file, predictions = (work / "dataset.parquet").resolve(), work / "predictions"
    task.dataset(raw).to_parquet(file)
    (work / "task.json").write_text(json.dumps(task.definition(file, raw, windows)))
    shutil.rmtree(predictions, ignore_errors=True)
    predictions.mkdir()


def evaluate(work: Path, python: Path) -> dict[str, dict]:
    """The scores of the seasonal naive and of every model in the folder of predictions, by fev."""
    environment = {**os.environ, "HF_HOME": str(work / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [python, "-I", Path(__file__).with_name("evaluate.py"), work]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(process.stdout)["scores"]


def write_model(
    model: str,
    history: SalesHistory,
    windows: Mapping[np.datetime64, pd.DataFrame],
    calibration_window: pd.DataFrame,
    work: Path,
) -> None:
    """Write the predictions of a model for the windows, by origin; each is calibrated on those before it.

    calibration_window: what the first window is calibrated on. It is the linear model's: boosters have no rows yet.
    """
    earlier_windows = [calibration_window]
    for origin, rows in windows.items():
        scaled = quantiles.log_residual_quantiles(history, model, earlier_windows)
        file = work / "predictions" / model / f"{origin}.parquet"
        write_predictions(file, history, origin, rows, quantiles.sales_quantiles(model, rows, scaled))
        earlier_windows.append(rows)


def table(scores: dict[str, dict], windows: Sequence[pd.DataFrame]) -> Table:
    """Our models and the seasonal naive on the windows that are scored, then the published ones on all ten."""
    result = Table(title=f"rossmann_1D: mean of {len(windows)} windows; published: of ten", box=box.SIMPLE_HEAD)
    for name in ("model", *published.SCORES, "training s", "inference s"):
        result.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for model in MODELS:
        seconds = [sum(rows.attrs[kind][model] for rows in windows) for kind in (TRAINING, INFERENCE)]
        result.add_row(model, *_scores(scores[model]["mean"].values()), *(f"{each:,.0f}" for each in seconds))
    result.add_row("seasonal naive", *_scores(scores["seasonal_naive"]["mean"].values()))
    result.add_section()
    for model, (*values, training, inference) in published.MODELS.items():
        result.add_row(model, *_scores(values), f"{training:,}", f"{inference:,}")
    return result


def _scores(values: Iterable[float]) -> list[str]:
    return [f"{value:.4f}" for value in values]


if __name__ == "__main__":
    main()
