"""Backtests of many candidates on a Ray cluster, and the final fit of the best one.

fits        single fits as Ray tasks
search      hyperparameters of boosters: which configurations join the candidates (Optuna)
backtests   candidates × folds: what must be fitted, and the run made of the results
folds       the windows of the past on which all candidates can be fitted
rehearsal   whether what a candidate fits can be stored, before it is fitted to all folds
files       finished fits and backtest runs in a storage: what was computed once is not computed again
"""

from rossmann.training.backtests import (
    BacktestEntry,
    backtest_quantiles,
    backtest_variance_components,
    possible_staleness_days,
    quantiles_of_folds,
    run_backtests,
    share_below_levels,
)
from rossmann.training.files import (
    FITS_FOLDER,
    fit_cpu_seconds,
    load_backtest_run,
    remove_backtest_run,
    save_backtest_run,
)
from rossmann.training.fits import FitResult, FitTask, fit_final, ray_cluster, run_fits
from rossmann.training.folds import fold_origins, usual_fold_origins, usual_step_days
from rossmann.training.search import Trial, run_search, search_results, trial_table

__all__ = [
    "FITS_FOLDER",
    "BacktestEntry",
    "FitResult",
    "FitTask",
    "Trial",
    "backtest_quantiles",
    "backtest_variance_components",
    "fit_cpu_seconds",
    "fit_final",
    "fold_origins",
    "load_backtest_run",
    "possible_staleness_days",
    "quantiles_of_folds",
    "ray_cluster",
    "remove_backtest_run",
    "run_backtests",
    "run_fits",
    "run_search",
    "save_backtest_run",
    "search_results",
    "share_below_levels",
    "trial_table",
    "usual_fold_origins",
    "usual_step_days",
]
