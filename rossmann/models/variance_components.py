"""Variance components of the forecast error, from which the standard deviation of a sum of forecasts follows.

The standardised error of a row is modelled as the sum of six independent random effects: one each of the whole
forecast, the chain's week, the chain's day, the store, the store's week, and the row itself.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rossmann.schema import DAY, weekday
from rossmann.validation import DataError

FILE = "variance_components.json"


@dataclass(frozen=True)
class VarianceComponents:
    """The fraction of a row's error variance that each random effect contributes. Together they are 1."""

    chain: float  # the same for all rows of a forecast
    chain_week: float  # for all rows of a week from Monday to Sunday
    chain_day: float  # for all stores on a day
    store: float  # for all days of a store
    store_week: float
    residual: float  # of one store on one day

    def standard_deviation_of_sum(self, standard_deviations: np.ndarray, dates: np.ndarray) -> float:
        """Standard deviation of a sum of forecasts, in the unit of sales.

        standard_deviations: of the rows' errors in the unit of sales, [stores, dates]; 0 where there is no row,
        negative for a row that is subtracted. dates: datetime64[D] [dates]
        """
        squares = _group_sums_of_squares(standard_deviations, dates)
        return float(np.sqrt(sum(fraction * squares[effect] for effect, fraction in asdict(self).items())))

    def spread_ratio(self, standard_deviations: np.ndarray, dates: np.ndarray) -> float:
        """The standard deviation of the sum, divided by the sum of the rows' standard deviations.

        1 if the errors are perfectly correlated, and for a single row. The quantiles of a sum are those of its rows,
        `Quantiles.scaled_about_median` by this factor and summed.
        """
        total = np.abs(standard_deviations).sum()
        return self.standard_deviation_of_sum(standard_deviations, dates) / total if total > 0 else 1.0

    def save(self, folder: Path) -> None:
        """Write FILE into an existing folder."""
        (folder / FILE).write_text(json.dumps(asdict(self)))


def load(folder: Path) -> VarianceComponents | None:
    """What `save` wrote; None if the folder has no such file."""
    file = folder / FILE
    return VarianceComponents(**json.loads(file.read_text())) if file.exists() else None


def estimate_variance_components(folds: Iterable[tuple[np.ndarray, np.ndarray]]) -> VarianceComponents:
    """Estimate the components from the mean products of the errors of pairs of backtest rows that share a group.

    folds: for each fold the standardised log errors, log(sales / forecast) / standard deviation, [stores, dates], NaN
    where there is no row; and its dates, datetime64[D].
    A component that no pair shows is 0. With one fold, the uncertainty of the mean error is taken as 0. DataError
    without rows.
    """
    panels = [(errors, dates) for errors, dates in folds if not np.isnan(errors).all()]
    if not panels:
        raise DataError("no backtest rows with sales to estimate variance components from; backtest a fold first")
    mean = np.nanmean(np.concatenate([errors.ravel() for errors, _ in panels]))
    deviations = [(errors - mean, dates) for errors, dates in panels]
    products = _sum_of_each(
        _pair_products(_group_sums_of_squares(np.nan_to_num(errors), dates)) for errors, dates in deviations
    )
    counts = _sum_of_each(
        _pair_products(_group_sums_of_squares((~np.isnan(errors)).astype(float), dates)) for errors, dates in deviations
    )
    # The overall mean was estimated from these folds. Subtracting it hides part of the correlation within a fold, and
    # the next forecast deviates from it by as much more than from the true mean. Both are added back.
    mean_variance = 2 * np.mean([np.nanmean(errors) ** 2 for errors, _ in deviations]) / max(len(deviations) - 1, 1)
    means = {group: products[group] / count + mean_variance if count else 0 for group, count in counts.items()}
    return _nested_components(means)


def _nested_components(means: Mapping[str, float]) -> VarianceComponents:
    """From the mean products of pairs of rows that share exactly this group, and no smaller one."""
    chain = max(means["chain"], 0)
    chain_week = max(means["chain_week"] - chain, 0)
    chain_day = max(means["chain_day"] - chain - chain_week, 0)
    store = max(means["store"] - chain, 0)
    store_week = max(means["store_week"] - chain - chain_week - store, 0)
    components = [chain, chain_week, chain_day, store, store_week]
    variance = max(means["residual"], sum(components))
    fractions = (float(each / variance) for each in (*components, variance - sum(components)))
    return VarianceComponents(*fractions)


def _group_sums_of_squares(panel: np.ndarray, dates: np.ndarray) -> dict[str, float]:
    """For each random effect, the sum over its groups of the square of the group's sum. panel: [stores, dates]"""
    mondays = dates.astype("datetime64[D]") - weekday(dates) * DAY
    of_weeks = panel @ (mondays[:, None] == np.unique(mondays))  # [stores, weeks]
    sums = {
        "chain": panel.sum(), "chain_week": of_weeks.sum(axis=0), "chain_day": panel.sum(axis=0),
        "store": panel.sum(axis=1), "store_week": of_weeks, "residual": panel,
    }  # fmt: skip
    return {effect: float(np.square(values).sum()) for effect, values in sums.items()}


def _pair_products(squares: Mapping[str, float]) -> dict[str, float]:
    """For each random effect, the sum of the products of the pairs of rows that share its group, and no smaller one."""
    chain, chain_week, chain_day, store, store_week, residual = squares.values()
    return {
        "chain": chain - chain_week - store + store_week,
        "chain_week": chain_week - chain_day - store_week + residual,
        "chain_day": chain_day - residual, "store": store - store_week, "store_week": store_week - residual,
        "residual": residual,
    }  # fmt: skip


def _sum_of_each(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    first, *others = parts
    return {part: value + sum(other[part] for other in others) for part, value in first.items()}
