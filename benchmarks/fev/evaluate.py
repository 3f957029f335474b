"""fev's own evaluation, in an environment that has fev and not this project: run by its path, not as a module.

Reads task.json, the data set and the predictions of a folder, and prints the scores as JSON.
"""

import json
import sys
from pathlib import Path

import datasets
import fev
import numpy as np


def main() -> None:
    """Usage: python evaluate.py FOLDER"""
    folder = Path(sys.argv[1])
    task = fev.Task(**json.loads((folder / "task.json").read_text()))
    naive = [_seasonal_naive(task, window) for window in task.iter_windows()]
    models = {"seasonal_naive": naive} | {
        model.name: [_predictions(file) for file in sorted(model.glob("*.parquet"))]
        for model in sorted((folder / "predictions").iterdir())
    }
    scores = {name: _scores(task, name, windows) for name, windows in models.items()}
    print(json.dumps({"fev": fev.__version__, "scores": scores}))


def _scores(task: fev.Task, name: str, windows: list) -> dict:
    """The means over the windows as `evaluation_summary` has them, and the main metrics of each window."""
    summary = task.evaluation_summary(windows, model_name=name)
    metrics = [fev.metrics.get_metric(metric) for metric in [task.eval_metric, *task.extra_metrics]]
    by_window = [
        window.compute_metrics(task.clean_and_validate_predictions(predictions), metrics, task.seasonality,
                               task.quantile_levels)
        for predictions, window in zip(windows, task.iter_windows(), strict=True)
    ]  # fmt: skip
    names = [metric.name for metric in metrics]
    return {"mean": {name: summary[name] for name in names}, "by_window": by_window}


def _predictions(file: Path) -> datasets.Dataset:
    return datasets.Dataset.from_parquet(str(file), cache_dir=str(file.parents[2] / "cache"))


def _seasonal_naive(task: fev.Task, window: fev.EvaluationWindow) -> list[dict]:
    """The last week repeated, after NaN were filled with the value before them; all quantiles are the same."""
    past, _ = window.get_input_data()
    predictions = []
    for series in past:
        values = np.asarray(series[task.target], float)
        last_value = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
        week = values[last_value][-task.seasonality :]
        forecast = np.resize(week, task.horizon)
        predictions.append({"predictions": forecast} | {str(level): forecast for level in task.quantile_levels})
    return predictions


if __name__ == "__main__":
    main()
