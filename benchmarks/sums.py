"""`python -m benchmarks.sums ROWS [CANDIDATE]`: whether the intervals of sums are right, on the backtest of a training.

ROWS is its file `backtests/…/backtest.parquet` in the workspace. Each fold has the quantiles and the variance
components of the other folds. The coverage of the prediction intervals with INTERVAL_COVERAGES, with the summed bounds
of the rows and with variance components, and the mean width of the widest interval as a fraction of the forecast.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.console import Console

from rossmann import models, training
from rossmann.evaluation import LOSSES, Backtest
from rossmann.models import Quantiles, VarianceComponents
from rossmann.models.candidate import BLEND
from rossmann.models.quantiles import bound_levels
from rossmann.schema import DEFAULT_LOSS, INTERVAL_COVERAGES, WEEK_DAYS, weekday

STORES, SAMPLES = 10, 40  # random stores in a group, and how many groups and single stores
SEED = 7


@dataclass(frozen=True)
class Panels:
    """The days with sales of one fold. [stores, dates], 0 where there are none"""

    dates: np.ndarray
    sales: np.ndarray
    forecast: np.ndarray
    standard_deviation: np.ndarray


def main() -> None:
    """Usage: python -m benchmarks.sums ROWS [CANDIDATE]"""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", help="The file backtest.parquet of a training.")
    parser.add_argument("candidate", nargs="?", default=BLEND)
    arguments = parser.parse_args()
    rows = pd.read_parquet(arguments.rows)
    table = coverage(Backtest(rows[rows.candidate == arguments.candidate], LOSSES[DEFAULT_LOSS]), arguments.candidate)
    Console(highlight=False).print(table.to_string(float_format="{:.3f}".format), soft_wrap=True)


def coverage(backtest: Backtest, candidate: str) -> pd.DataFrame:
    """Mean of all sums of a kind: coverage and width by nominal coverage and method."""
    random, tables = np.random.default_rng(SEED), []
    for fold, quantiles in training.quantiles_of_folds(backtest.rows, INTERVAL_COVERAGES[0], models.interval_levels()):
        others = Backtest(backtest.rows[backtest.rows.origin != fold.origin.iloc[0]], backtest.loss)
        components, panels = training.backtest_variance_components(others, candidate), _panels(fold)
        tables += [
            {"sum": name, **_score(panels, stores, days, quantiles, components)}
            for name, stores, days in _sums(panels, random)
            if panels.forecast[np.ix_(stores, days)].any()
        ]
    return pd.DataFrame(tables).groupby("sum", sort=False).mean()


def _panels(fold: pd.DataFrame) -> Panels:
    sold = fold[(fold.sales > 0) & (fold.forecast > 0)]
    names = ("sales", "forecast", "standard_deviation")
    tables = [sold.pivot(index="store", columns="date", values=name).fillna(0) for name in names]
    return Panels(tables[0].columns.to_numpy("datetime64[D]"), *(table.to_numpy(float) for table in tables))


def _sums(panels: Panels, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, stores and days of each sum."""
    stores, days = panels.forecast.shape
    monday = (panels.dates - weekday(panels.dates)).astype("datetime64[D]")
    all_weeks = [np.flatnonzero(monday == each) for each in np.unique(monday)]
    weeks = [week for week in all_weeks if len(week) >= WEEK_DAYS - 1]  # a chain may be closed on Sundays
    groups = {
        "a store": [random.choice(stores, 1) for _ in range(SAMPLES)],
        f"{STORES} stores": [random.choice(stores, STORES, replace=False) for _ in range(SAMPLES)],
        "all stores": [np.arange(stores)],
    }
    for name, members in groups.items():
        for group in members:
            yield from ((f"{name}, day", group, np.array([day])) for day in range(days))
            yield from ((f"{name}, week", group, week) for week in weeks)
            yield f"{name}, all days", group, np.arange(days)


def _score(
    panels: Panels, stores: np.ndarray, days: np.ndarray, quantiles: Quantiles, components: VarianceComponents
) -> dict[str, float]:
    """Whether the sum is in its intervals, by nominal coverage and method, and how wide the widest ones are."""
    rows = np.ix_(stores, days)
    sales, forecast, deviation = panels.sales[rows].sum(), panels.forecast[rows], panels.standard_deviation[rows]
    scaled = quantiles.scaled_about_median(components.spread_ratio(forecast * deviation, panels.dates[days]))
    methods = {
        name: each.around(deviation.ravel(), forecast.ravel()).sum(axis=0)
        for name, each in (("summed", quantiles), ("components", scaled))
    }
    result: dict[str, float] = {}
    for nominal in reversed(INTERVAL_COVERAGES):
        lower, upper = (quantiles.levels.index(level) for level in bound_levels(nominal))
        for method, edges in methods.items():
            result[f"{nominal:.0%} {method}"] = edges[lower] <= sales <= edges[upper]
    widths = {f"width {method}": (edges[-1] - edges[0]) / forecast.sum() for method, edges in methods.items()}
    return result | widths


if __name__ == "__main__":
    main()
