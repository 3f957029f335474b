"""`python -m benchmarks.cold_start RAW`: how well stores with few days or none are forecast.

Of some stores, all days but the last 0, 14 or 56 before an origin are hidden. Boosters are fitted without any of their
days. The intervals of a fold are calibrated on the other stores of the other folds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from rich.console import Console

from rossmann import evaluation, features, models
from rossmann.data import SalesHistory, read_history
from rossmann.evaluation import Fold
from rossmann.models.candidate import BLEND
from rossmann.schema import HORIZON_DAYS, WEEKS_YEAR_DAYS, weekday

ORIGINS = np.array(["2014-06-13", "2015-01-20", "2015-04-26"], "datetime64[D]")
DAYS = (0, 14, 56)
ALL_DAYS = 10_000  # nothing is hidden
HIDDEN_STORES, SEED, COVERAGE = 50, 7, 0.9
NAMES = ("ridge", BLEND)
TYPE_MEDIAN = "median of the type"


def main() -> None:
    """Usage: python -m benchmarks.cold_start RAW"""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", help="Folder with the raw files.")
    history = read_history(parser.parse_args().raw).history
    console = Console(highlight=False)
    with console.status("fitting"):
        rows = pd.concat([rows for origin in ORIGINS for rows in fold_rows(history, origin)])
    console.print(table(with_bounds(rows)).to_string(float_format="{:.3f}".format), soft_wrap=True)


def fold_rows(history: SalesHistory, origin: np.datetime64) -> Iterator[pd.DataFrame]:
    """The backtest rows of a fold, by model and days of the hidden stores; `is_hidden` tells which stores these are."""
    fold = evaluation.cut_fold(history, origin, HORIZON_DAYS)
    hidden = hidden_stores(fold.past)
    without = hide(history, hidden, 0, origin)
    starts = [start for start in models.window_origins(history.dates[0], history.origin) if start < origin]
    windows = [*(models.training_window(without, start) for start in starts), models.past_window(without, origin)]
    forecasters = [models.fit(models.default_candidate(name), windows, origin, SEED) for name in NAMES]
    is_hidden = np.isin(fold.plan.store, history.stores.number[hidden])
    for days in (*DAYS, ALL_DAYS):
        state = features.fit_state(hide(history, hidden, days, origin).until(origin, HORIZON_DAYS))
        deviation = features.join_plan(state, fold.plan).standard_deviation
        for forecaster in forecasters:
            forecast = forecaster.predict(state, fold.plan).sales
            rows = evaluation.backtest_rows(forecaster.candidate.name, fold, forecast, deviation)
            yield rows.assign(days=days, is_hidden=is_hidden)
    yield evaluation.backtest_rows(TYPE_MEDIAN, fold, type_medians(fold, hidden)).assign(days=0, is_hidden=is_hidden)


def hidden_stores(past: SalesHistory) -> np.ndarray:
    """Positions of HIDDEN_STORES random stores that have a row on the origin."""
    return np.random.default_rng(SEED).choice(
        np.flatnonzero(~np.isnan(past.sales[:, -1])), HIDDEN_STORES, replace=False
    )


def hide(history: SalesHistory, stores: np.ndarray, days: int, origin: np.datetime64) -> SalesHistory:
    """The history without the days of these stores up to the origin, but for the last `days`, and after it."""
    end = int(history.calendar.positions(origin)) + 1
    panels = {}
    for name in ("sales", "traffic"):
        panels[name] = getattr(history, name).copy()
        panels[name][stores, : max(end - days, 0)] = np.nan
        panels[name][stores, end:] = np.nan
    return replace(history, **panels)


def type_medians(fold: Fold, hidden: np.ndarray) -> np.ndarray:
    """The median by weekday and promotion of the other stores of the same type, over one year. [rows of the plan]"""
    past, plan, days = fold.past, fold.plan, slice(-WEEKS_YEAR_DAYS, None)
    sales = np.delete(past.sales, hidden, axis=0)[:, days]
    promotion = np.delete(past.calendar.promotion[:, : len(past.dates)], hidden, axis=0)[:, days]
    store_type = np.delete(past.stores.attribute_codes[:, 0], hidden)
    day, row_day = weekday(past.dates[days]), weekday(plan.date)
    row_type = past.stores.attribute_codes[:, 0][past.stores.positions(plan.store)]
    forecast = np.zeros(len(plan))
    for key in np.unique(np.stack([row_type, row_day, plan.promotion], axis=1)[plan.open == 1], axis=0):
        of_cell = (store_type[:, None] == key[0]) & (day == key[1]) & (promotion == key[2]) & (sales > 0)
        of_row = (row_type == key[0]) & (row_day == key[1]) & (plan.promotion == key[2]) & (plan.open == 1)
        forecast[of_row] = np.median(sales[of_cell]) if of_cell.any() else np.median(sales[sales > 0])
    return forecast


def with_bounds(rows: pd.DataFrame) -> pd.DataFrame:
    """The hidden stores' rows, with bounds."""
    tables = []
    for (origin, name), of_fold in rows[rows.is_hidden].groupby(["origin", "candidate"], observed=True):
        others = rows[(rows.origin != origin) & (rows.candidate == name) & ~rows.is_hidden & (rows.days == ALL_DAYS)]
        sold = others[(others.sales > 0) & (others.forecast > 0)]
        if len(sold):
            residual = np.log(sold.sales / sold.forecast).to_numpy()
            quantiles = models.calibrate(sold.standard_deviation.to_numpy(), residual, COVERAGE)
            bounds = quantiles.bounds(of_fold.standard_deviation.to_numpy(), of_fold.forecast.to_numpy())
            of_fold = of_fold.assign(lower=bounds[0], upper=bounds[1])
        tables.append(of_fold)
    return pd.concat(tables)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """By days and model: RMSPE, raw and capped, and coverage, mean and by fold."""
    scores = rows.groupby(["days", "candidate", "origin"], observed=True)[list(rows.columns)].apply(evaluation.scores)
    scores = scores[["rmspe_capped", "rmspe", "coverage"]]
    by_fold = scores["coverage"].unstack("origin").rename(columns="{:%Y-%m-%d}".format)
    return scores.groupby(["days", "candidate"], observed=True).mean().join(by_fold)


if __name__ == "__main__":
    main()
