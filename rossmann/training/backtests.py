"""Candidates × folds: what must be fitted, and the backtest run made of the results."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann import evaluation, models
from rossmann.data import SalesHistory
from rossmann.evaluation import LOSSES, Backtest, BacktestRun, Fold, Loss
from rossmann.models import Candidate, Quantiles, VarianceComponents
from rossmann.schema import DAY, DEFAULT_LOSS, MIN_FOLDS, QUANTILE_LEVELS
from rossmann.storage import Storage
from rossmann.training import files
from rossmann.training.fits import FitResult, FitTask, run_fits
from rossmann.training.rehearsal import require_storable
from rossmann.validation import DataError

Progress = Callable[[int, int, str], None]  # number of finished fits, number of all fits, what was finished last
Results = dict[FitTask, FitResult]


@dataclass(frozen=True)
class BacktestEntry:
    """A candidate in a backtest run, and the name it has there.

    staleness_days: how many days before a fold's origin its training data ends. A champion is compared as stale as it
    is today; a new candidate has 0.
    """

    name: str
    candidate: Candidate
    staleness_days: int = 0

    def tasks(self, origin: np.datetime64) -> tuple[FitTask, ...]:
        """What must be fitted to forecast from `origin`: the candidate, or a blend's members."""
        train_end = origin - self.staleness_days * DAY
        return tuple(FitTask(member, origin, train_end) for member in self.candidate.members or (self.candidate,))


def run_backtests(
    history: SalesHistory,
    entries: Sequence[BacktestEntry],
    origins: Sequence[np.datetime64],
    *,
    horizon_days: int,
    coverage: float,
    seed: int,
    ray_address: str | None,
    storage: Storage,
    progress: Progress,
    quantile_levels: Sequence[float] = QUANTILE_LEVELS,
    loss: Loss = LOSSES[DEFAULT_LOSS],
) -> BacktestRun:
    """Backtest every entry on the fold after every origin, and save the run in the storage.

    loss: by which the entries are ranked and compared; what each forecasts is up to its candidate.
    An entry that fails is in `failures`, and the others go on. Each fit is saved as soon as it is finished, and a fit
    that the storage has from an earlier run is not done again. DataError for fewer than two folds, or if the fits
    of a candidate could not be stored as a model; RuntimeError if all entries fail.
    """
    if len(origins) < MIN_FOLDS:
        raise DataError(f"backtests need at least {MIN_FOLDS} folds: a fold's quantiles are calibrated on the others")
    tasks = dict.fromkeys(task for origin in origins for entry in entries for task in entry.tasks(origin))
    results = _fit_all(history, list(tasks), horizon_days, seed, ray_address, storage, progress)
    failed = sorted(
        str(task) for task, result in results.items() if result.failure
    )  # a run in which these fits succeed is another run
    options = (horizon_days, seed, coverage, tuple(quantile_levels), loss.name)
    key = files.run_key(history.fingerprint, *options, *entries, *origins, *failed)
    folds = [evaluation.cut_fold(history, origin, horizon_days) for origin in origins]
    run = _assemble_run(key, entries, folds, results, coverage, quantile_levels, loss)
    files.save_backtest_run(run, storage)
    return run


def possible_staleness_days(
    history: SalesHistory, candidate: Candidate, origins: Sequence[np.datetime64], staleness_days: int
) -> int:
    """`staleness_days`, or fewer: as many as leave the candidate a whole training window before the oldest origin.

    0 where even a fresh fit has no whole window. A candidate that is not fitted to rows can be as stale as it is.
    """
    if not candidate.is_booster:
        return staleness_days
    first_window = models.window_origins(history.dates[0], history.origin)[0]
    largest = int((min(origins) - first_window).astype(int)) - history.horizon_days
    return max(0, min(staleness_days, largest))


def backtest_quantiles(
    backtest: Backtest, candidate: str, coverage: float, levels: Sequence[float] = QUANTILE_LEVELS
) -> Quantiles:
    """Quantiles calibrated on all folds of the candidate's backtest."""
    return _calibrate(backtest.of(candidate), coverage, levels)


def backtest_variance_components(backtest: Backtest, candidate: str) -> VarianceComponents:
    """How the errors of the candidate are correlated, on all folds of its backtest."""
    return models.estimate_variance_components(_error_panels(backtest.of(candidate)))


def quantiles_of_folds(
    rows: pd.DataFrame, coverage: float, levels: Sequence[float] = QUANTILE_LEVELS
) -> Iterator[tuple[pd.DataFrame, Quantiles]]:
    """The rows of each fold of one candidate, and quantiles calibrated on its other folds: they are out of sample."""
    for origin, fold_rows in rows.groupby("origin"):
        yield fold_rows, _calibrate(rows[rows.origin != origin], coverage, levels)


def share_below_levels(
    backtest: Backtest, candidate: str, coverage: float, levels: Sequence[float] = QUANTILE_LEVELS
) -> dict[float, float]:
    """Share of the scored days whose sales are at or below the quantile of each level, each fold out of sample."""
    below = []
    for fold_rows, quantiles in quantiles_of_folds(backtest.of(candidate), coverage, levels):
        rows = evaluation.scored_rows(fold_rows)
        values = quantiles.around(rows.standard_deviation.to_numpy(), rows.forecast.to_numpy())
        below.append(pd.DataFrame(rows.sales.to_numpy()[:, None] <= values, columns=quantiles.levels))
    shares = pd.concat(below).mean()
    return dict(zip(shares.index, shares.tolist(), strict=True))


def _fit_all(
    history: SalesHistory,
    tasks: Sequence[FitTask],
    horizon_days: int,
    seed: int,
    ray_address: str | None,
    storage: Storage,
    progress: Progress,
) -> Results:
    """The results of all tasks: read from the storage where it has them, else fitted on Ray and saved."""
    fit_files = files.FitFiles(storage, history.fingerprint, horizon_days, seed)
    results = {task: result for task in tasks if (result := fit_files.load(task))}
    missing = [task for task in tasks if task not in results]
    require_storable(task.candidate for task in missing)
    progress(len(results), len(tasks), "fitted before" if results else "starting Ray")
    if not missing:
        return results
    for task, result in run_fits(history, missing, horizon_days, seed, ray_address):
        results[task] = result
        fit_files.save(task, result)
        progress(len(results), len(tasks), task.name)
    return results


def _assemble_run(
    key: str,
    entries: Sequence[BacktestEntry],
    folds: Sequence[Fold],
    results: Results,
    coverage: float,
    levels: Sequence[float],
    loss: Loss,
) -> BacktestRun:
    """The run with the rows of all entries whose fits succeeded. RuntimeError if there is none."""
    tables: list[pd.DataFrame] = []
    cpu_seconds: dict[str, float] = {}
    importance: dict[str, dict[str, float]] = {}
    failures: dict[str, str] = {}
    for entry in entries:
        by_fold = [[results[task] for task in entry.tasks(fold.origin)] for fold in folds]
        fits = [result for members in by_fold for result in members]
        if reasons := [result.failure for result in fits if result.failure]:
            failures[entry.name] = reasons[0]
            continue
        cpu_seconds[entry.name] = sum(result.cpu_seconds for result in fits)
        importance[entry.name] = _mean_importance([result.importance for result in fits])
        tables.append(_with_quantiles(_entry_rows(entry.name, folds, by_fold), coverage, levels))
    if not tables:
        details = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise RuntimeError(f"every candidate failed: {details}")
    rows = pd.concat(tables, ignore_index=True).astype(evaluation.BACKTEST_COLUMNS)
    param_changes = {entry.name: changes for entry in entries if (changes := entry.candidate.param_changes)}
    return BacktestRun(key, Backtest(rows, loss), cpu_seconds, importance, failures, param_changes)


def _entry_rows(name: str, folds: Sequence[Fold], by_fold: Sequence[Sequence[FitResult]]) -> pd.DataFrame:
    """The rows of one entry on all folds; of a blend from the pooled forecasts of its members."""
    forecasts = [models.geometric_mean([result.columns[0] for result in members]) for members in by_fold]
    deviations = [members[0].columns[1] for members in by_fold]  # it depends on the origin only
    columns = zip(folds, forecasts, deviations, strict=True)
    return pd.concat([evaluation.backtest_rows(name, *of_fold) for of_fold in columns])


def _mean_importance(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean share of the gain over the fits of boosters, largest first; empty without boosters."""
    boosters = pd.DataFrame([share for share in shares if share])
    mean = boosters.fillna(0).mean().sort_values(ascending=False)
    return dict(zip(mean.index, mean.tolist(), strict=True))


def _with_quantiles(rows: pd.DataFrame, coverage: float, levels: Sequence[float]) -> pd.DataFrame:
    """The rows with the bounds and the loss of their quantiles."""
    tables = []
    for fold_rows, quantiles in quantiles_of_folds(rows, coverage, levels):
        arguments = fold_rows.standard_deviation.to_numpy(), fold_rows.forecast.to_numpy()
        lower, upper = quantiles.bounds(*arguments)
        loss = evaluation.quantile_loss(fold_rows.sales.to_numpy(), quantiles.around(*arguments), quantiles.levels)
        tables.append(fold_rows.assign(lower=lower, upper=upper, quantile_loss=loss))
    return pd.concat(tables)


def _calibrate(rows: pd.DataFrame, coverage: float, levels: Sequence[float]) -> Quantiles:
    sold, log_residual = _log_residuals(rows)
    return models.calibrate(sold.standard_deviation.to_numpy(), log_residual, coverage, levels)


def _error_panels(rows: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each fold with sales the errors in standard deviations [stores, dates], NaN without sales, and the dates."""
    sold, log_residual = _log_residuals(rows)
    for _, errors in sold.assign(error=log_residual / sold.standard_deviation).groupby("origin"):
        panel = errors.pivot(index="store", columns="date", values="error")
        yield panel.to_numpy(), panel.columns.to_numpy()


def _log_residuals(rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows with sales and a forecast, and log(sales / forecast) of each."""
    sold = rows[(rows.sales > 0) & (rows.forecast > 0)]
    return sold, np.log(sold.sales.to_numpy() / sold.forecast.to_numpy())
