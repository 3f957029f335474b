"""`python -m benchmarks.quantile_loss RAW`: LightGBM's quantile loss beside the conformal quantiles of the backtest.

On the latest fold of `accuracy`: a LightGBM for each level, with the features, rows, parameters and base of the
candidate `lightgbm`; and `lightgbm` and the blend with quantiles that were calibrated on their seven other folds.
Finished backtest fits are reused if `--storage` names a folder, like that of `accuracy`.
"""

import time
from collections.abc import Mapping

import lightgbm
import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import accuracy
from rossmann import evaluation, features, models, training
from rossmann.data import SalesHistory, read_history
from rossmann.evaluation import Backtest, Fold
from rossmann.models.candidate import BLEND
from rossmann.models.training_windows import TrainingWindow, linear_base, train_set
from rossmann.schema import HORIZON_DAYS
from rossmann.settings import Settings

LEARNER = "lightgbm"
COVERAGE, LEVELS = 0.9, (0.05, 0.5, 0.95)  # a fit of each level takes a minute


def main() -> None:
    """Usage: python -m benchmarks.quantile_loss RAW [--storage FOLDER]"""
    console = Console(highlight=False)
    arguments = accuracy.parse_arguments()
    run = accuracy.run_with_progress(arguments, console)
    history = read_history(arguments.raw).history
    started = time.process_time()
    with console.status("fitting the quantile loss"):
        fold = evaluation.cut_fold(history, accuracy.ORIGINS[-1], HORIZON_DAYS)
        quantiles = quantile_forecasts(history, fold)
    seconds = time.process_time() - started
    scores = {"quantile loss": score(fold.actuals.sales, quantiles)} | conformal_scores(run.backtest)
    console.print(pd.DataFrame(scores).T.to_string(float_format="{:.4f}".format), soft_wrap=True)
    console.print(f"quantile loss: {seconds:.0f} CPU s for one fold", soft_wrap=True)


def quantile_forecasts(history: SalesHistory, fold: Fold) -> np.ndarray:
    """The quantiles at LEVELS of the fold's days, sorted along the levels. float64 [rows, levels]"""
    origin = fold.past.origin
    starts = [start for start in models.window_origins(history.dates[0], history.origin) if start < origin]
    params = dict(models.default_candidate(LEARNER).params)
    rounds, max_rows = int(params.pop("max_rounds")), int(params.pop("max_rows"))
    windows = [models.training_window(history, start) for start in starts]
    rows = train_set(windows, origin, max_rows, Settings().seed)
    plan_rows = features.join_plan(features.fit_state(fold.past), fold.plan)
    matrix, base = features.matrix(plan_rows, rows.columns), linear_base(plan_rows)
    corrections = [fit_quantile(rows, level, params, rounds).predict(matrix) for level in LEVELS]
    return np.sort(np.exp(base[:, None] + np.stack(corrections, axis=1)), axis=1)


def fit_quantile(rows: TrainingWindow, level: float, params: Mapping[str, float], rounds: int) -> lightgbm.Booster:
    """A booster for this quantile of the differences of log sales from the linear model."""
    fixed = {"objective": "quantile", "alpha": level, "max_bin": 63, "seed": Settings().seed, "verbosity": -1}
    return lightgbm.train(fixed | params, lightgbm.Dataset(rows.matrix, rows.log_sales - rows.base), rounds)


def conformal_scores(backtest: Backtest) -> dict[str, dict[str, float]]:
    """The scores of LEARNER and the blend on the latest fold."""
    scores = {}
    for name in (LEARNER, BLEND):
        *_, (rows, quantiles) = training.quantiles_of_folds(backtest.of(name), COVERAGE, LEVELS)
        of_levels = quantiles.around(rows.standard_deviation.to_numpy(), rows.forecast.to_numpy())
        scores[f"{name}, conformal"] = score(rows.sales.to_numpy(), of_levels)
    return scores


def score(sales: np.ndarray, quantiles: np.ndarray) -> dict[str, float]:
    """WQL of LEVELS, and the share of days between the outer two, on days with sales.

    sales: [rows]; quantiles: [rows, LEVELS]
    """
    sold = sales > 0
    sales, quantiles = sales[sold], quantiles[sold]
    loss = evaluation.quantile_loss(sales, quantiles, LEVELS)
    is_inside = (quantiles[:, 0] <= sales) & (sales <= quantiles[:, -1])
    return {"WQL": loss.sum() / sales.sum(), f"{COVERAGE:.0%}": is_inside.mean()}


if __name__ == "__main__":
    main()
