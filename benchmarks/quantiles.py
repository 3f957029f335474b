"""`python -m benchmarks.quantiles RAW`: whether the quantiles of the blend are right, on the folds of `accuracy`.

Coverage by fold and by slice of days, of quantiles that were calibrated on the other folds. With `--alternative`, the
weighted quantile loss (WQL) beside that of LightGBM with its quantile loss, one fit per level, on two of the folds.
With `--replay`, a year of weekly forecasts by `ridge`, with the quantiles of the calibration before it and with those
that follow the outcomes. Finished fits of the blend are reused if `--storage` names a folder, like that of `accuracy`.
"""

import argparse
import tempfile
import time

import lightgbm
import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import accuracy
from rossmann import evaluation, features, models, training
from rossmann.data import SalesHistory, read_history
from rossmann.models.candidate import BLEND
from rossmann.models.quantiles import bound_levels
from rossmann.models.training_windows import linear_base, train_set
from rossmann.schema import HORIZON_DAYS
from rossmann.settings import Settings

SHARES = (0.5, 0.8, 0.9, 0.95)
SLICES = ("origin", "store_type", "weekday", "promo", "lead_week")
ALTERNATIVE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
ALTERNATIVE_ORIGINS = accuracy.ORIGINS[4:8:3]  # Christmas and spring
CALIBRATION_ORIGINS = np.arange("2014-02-22", "2014-04-12", HORIZON_DAYS, dtype="datetime64[D]")
REPLAY_ORIGINS = np.arange("2014-06-08", "2015-06-08", 7, dtype="datetime64[D]")
SEED = 7
FIXED = {"max_bin": 63, "seed": SEED, "num_threads": 2, "verbosity": -1, "deterministic": True, "force_row_wise": True}


def main() -> None:
    """Usage: python -m benchmarks.quantiles RAW [--storage FOLDER] [--alternative | --replay]"""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", help="Folder with the raw files.")
    parser.add_argument("--storage", help="Folder of finished fits.")
    parser.add_argument("--alternative", action="store_true", help="Fit LightGBM's quantile loss, too.")
    parser.add_argument("--replay", action="store_true", help="Replay a year instead of the folds.")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    if arguments.replay:
        console.print(replay(read_history(arguments.raw).history).to_string(float_format="{:.3f}".format))
        return
    with tempfile.TemporaryDirectory() as folder, console.status("fitting") as status:
        run = accuracy.backtest(
            arguments.raw, arguments.storage or folder, lambda *done: status.update("{}/{} {}".format(*done))
        )
    rows = run.backtest.of(BLEND)
    console.print(coverage(rows).to_string(float_format="{:.3f}".format))
    if arguments.alternative:
        console.print(alternative(read_history(arguments.raw).history, rows).to_string(float_format="{:.4f}".format))


def coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of days with sales inside the middle SHARES of quantiles: mean of the folds, and by each of SLICES."""
    tables = []
    for fold, quantiles in training.quantiles_of_folds(rows, Settings().coverage, _levels(SHARES)):
        sold = fold[fold.sales > 0]
        names = dict(zip(quantiles.levels, _quantiles(quantiles, sold).T, strict=True))
        bounds = {share: bound_levels(share) for share in SHARES}
        inside = {s: (names[low] <= sold.sales) & (sold.sales <= names[high]) for s, (low, high) in bounds.items()}
        tables.append(sold[list(SLICES)].assign(origin=sold.origin.dt.strftime("%Y-%m-%d"), **_named(inside)))
    days, columns = pd.concat(tables), list(_named(dict.fromkeys(SHARES)))
    slices = {name: days.groupby(name, observed=True)[columns].mean() for name in SLICES}
    mean = slices["origin"].mean().to_frame("").T
    return pd.concat({"mean of the folds": mean, **slices}, names=["slice", "value"])


def alternative(history: SalesHistory, rows: pd.DataFrame) -> pd.DataFrame:
    """WQL of both at ALTERNATIVE_LEVELS on each of ALTERNATIVE_ORIGINS, and CPU seconds of the alternative."""
    table = {}
    for fold, quantiles in training.quantiles_of_folds(rows, Settings().coverage, ALTERNATIVE_LEVELS):
        origin = fold.origin.iloc[0].to_datetime64().astype("datetime64[D]")
        if origin not in ALTERNATIVE_ORIGINS:
            continue
        started, sold = time.process_time(), (fold.sales > 0).to_numpy()
        used = [quantiles.levels.index(level) for level in ALTERNATIVE_LEVELS]
        other = quantile_loss_forecast(history, origin)
        losses = {
            "conformal": _wql(fold[sold], _quantiles(quantiles, fold[sold])[:, used]),
            "quantile loss": _wql(fold[sold], other[sold]),
        }
        table[str(origin)] = losses | {"CPU s": time.process_time() - started}
    return pd.DataFrame(table).T


def quantile_loss_forecast(history: SalesHistory, origin: np.datetime64) -> np.ndarray:
    """Quantiles by LightGBM, fitted to each of ALTERNATIVE_LEVELS with its quantile loss, and sorted. [rows, levels]

    It is fitted to the residuals of the linear model, as the booster of the blend, but to all of them: what all stores
    share on a day is part of the uncertainty.
    """
    fold = evaluation.cut_fold(history, origin, HORIZON_DAYS)
    past = history.until(origin)
    starts = [start for start in models.window_origins(past.dates[0], past.origin) if start < origin]
    windows = [models.training_window(past, start) for start in starts]
    candidate = models.default_candidate("lightgbm")
    params = dict(candidate.params)
    max_rows, rounds = params.pop("max_rows"), params.pop("max_rounds")
    rows, planned = (
        train_set(windows, origin, max_rows, SEED),
        features.join_plan(features.fit_state(fold.past), fold.plan),
    )
    base, matrix = linear_base(planned), features.matrix(planned, candidate.spec)
    forecasts = []
    for level in ALTERNATIVE_LEVELS:
        own = FIXED | params | {"objective": "quantile", "alpha": level}
        booster = lightgbm.train(own, lightgbm.Dataset(rows.matrix, rows.log_sales - rows.base, params=FIXED), rounds)
        forecasts.append(np.where(planned.open, np.exp(base + booster.predict(matrix)), 0))
    return np.sort(np.stack(forecasts, axis=1), axis=1)


def replay(history: SalesHistory) -> pd.DataFrame:
    """Coverage of SHARES by quarter of the year after CALIBRATION_ORIGINS: static quantiles, and adaptive ones.

    Each week's forecast has the quantiles after all days up to its origin; a day counts with all of its forecasts.
    """
    calibration = pd.concat(_ridge_rows(history, origin) for origin in CALIBRATION_ORIGINS)
    static = models.calibrate(np.ones(len(calibration)), calibration.error.to_numpy(), 0.9, _levels(SHARES))
    adaptive, year, tables = static, [_ridge_rows(history, origin) for origin in REPLAY_ORIGINS], []
    for number, week in enumerate(year):
        adaptive = models.follow_outcomes(adaptive, _errors_of_last_week(year[:number], week.origin.iloc[0]))
        inside = {f"{name} {share:.0%}": _inside(quantiles, share, week.error)
                  for name, quantiles in (("static", static), ("adaptive", adaptive)) for share in SHARES}  # fmt: skip
        tables.append(week[["origin", "date"]].assign(**inside))
    days = pd.concat(tables).drop(columns="origin").set_index("date")
    return pd.concat([days.mean().to_frame("year").T, days.groupby(days.index.to_period("Q")).mean()])


def _ridge_rows(history: SalesHistory, origin: np.datetime64) -> pd.DataFrame:
    """Of a forecast, on days with sales: origin, date, and log(sales / forecast) in standard deviations."""
    fold = evaluation.cut_fold(history, origin, min(HORIZON_DAYS, int((history.origin - origin).astype(int))))
    state = features.fit_state(fold.past)
    forecast = models.fit(models.default_candidate("ridge"), (), origin, SEED).predict(state, fold.plan).sales
    deviation = features.join_plan(state, fold.plan).standard_deviation
    rows = evaluation.backtest_rows("ridge", fold, forecast, deviation)
    sold = rows[(rows.sales > 0) & (rows.forecast > 0)]
    return sold[["origin", "date"]].assign(error=np.log(sold.sales / sold.forecast) / sold.standard_deviation)


def _errors_of_last_week(earlier: list[pd.DataFrame], origin: pd.Timestamp) -> list[np.ndarray]:
    """The errors of the days since the origin before, day by day, of all earlier forecasts."""
    if not earlier:
        return []
    rows = pd.concat(earlier)
    week = rows[(rows.date > earlier[-1].origin.iloc[0]) & (rows.date <= origin)]
    return [errors.to_numpy() for _, errors in week.groupby("date").error]


def _inside(quantiles: models.Quantiles, share: float, errors: pd.Series) -> pd.Series:
    """Whether errors in standard deviations are between the two quantiles with this share between them."""
    lower, upper = (quantiles.offsets[quantiles.levels.index(level)] for level in bound_levels(share))
    return errors.between(lower, upper)


def _quantiles(quantiles: models.Quantiles, rows: pd.DataFrame) -> np.ndarray:
    return quantiles.around(rows.standard_deviation.to_numpy(), rows.forecast.to_numpy())


def _wql(rows: pd.DataFrame, quantiles: np.ndarray) -> float:
    loss = evaluation.quantile_loss(rows.sales.to_numpy(), quantiles, ALTERNATIVE_LEVELS)
    return float(loss.sum() / rows.sales.sum())


def _levels(shares: tuple[float, ...]) -> list[float]:
    return sorted(level for share in shares for level in bound_levels(share))


def _named(by_share: dict[float, object]) -> dict[str, object]:
    return {f"{share:.0%}": value for share, value in by_share.items()}


if __name__ == "__main__":
    main()
