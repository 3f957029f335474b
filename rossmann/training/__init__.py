"""Backtests of many candidates on a Ray cluster, and the final fit of the best one.

fits        single fits as Ray tasks
backtests   candidates × folds: what must be fitted, and the run made of the results
files       finished fits and backtest runs in a storage: what was computed once is not computed again
"""

from rossmann.training.backtests import BacktestEntry, backtest_intervals, run_backtests
from rossmann.training.files import FITS_FOLDER, load_backtest_run, remove_backtest_run, save_backtest_run
from rossmann.training.fits import FitResult, FitTask, fit_final, ray_cluster, run_fits

__all__ = [
    "FITS_FOLDER",
    "BacktestEntry",
    "FitResult",
    "FitTask",
    "backtest_intervals",
    "fit_final",
    "load_backtest_run",
    "ray_cluster",
    "remove_backtest_run",
    "run_backtests",
    "run_fits",
    "save_backtest_run",
]
