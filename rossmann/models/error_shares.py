"""How the errors of a forecast go together: how much of them all stores, all days, or both share.

The error of a row is its standard deviation times the sum of six independent parts. Each part is the same for all rows
of a group: the whole forecast, a week, a day, a store, a store's week, or the row alone. So the standard deviation of a
sum of rows is a formula.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rossmann.schema import DAY, weekday

FILE = "error_shares.json"


@dataclass(frozen=True)
class ErrorShares:
    """The share that each part has in the variance of a row's error. Together they are 1."""

    chain: float  # the same for all rows of a forecast
    chain_week: float  # for all rows of a week from Monday to Sunday
    chain_day: float  # for all stores on a day
    store: float  # for all days of a store
    store_week: float
    own: float  # of one store on one day

    def deviation_of_sum(self, deviation: np.ndarray, dates: np.ndarray) -> float:
        """The standard deviation of a sum, from those of its rows: [stores, dates], 0 where there is no row.

        Negative where a row's error is taken off the sum.
        """
        squares = _squares(deviation, dates)
        return float(np.sqrt(sum(share * squares[part] for part, share in asdict(self).items())))

    def narrowing(self, deviation: np.ndarray, dates: np.ndarray) -> float:
        """That deviation as a share of the rows' own ones, added up: 1 if nothing cancels, and for a single row.

        The quantiles of a sum are those of its rows, `Quantiles.narrowed` by this factor and added up.
        """
        added = np.abs(deviation).sum()
        return self.deviation_of_sum(deviation, dates) / added if added > 0 else 1.0

    def save(self, folder: Path) -> None:
        """Write FILE into an existing folder."""
        (folder / FILE).write_text(json.dumps(asdict(self)))


def load(folder: Path) -> ErrorShares | None:
    """What `save` wrote; None if the folder has no such file."""
    file = folder / FILE
    return ErrorShares(**json.loads(file.read_text())) if file.exists() else None


def estimate_error_shares(folds: Iterable[tuple[np.ndarray, np.ndarray]]) -> ErrorShares:
    """The shares in the backtest's errors: how alike pairs of rows are that share a week, a day, a store, or nothing.

    folds: of each one log(sales / forecast) in standard deviations [stores, dates], NaN without a row, and its dates.
    A part that no pair of rows shows is 0. One fold at least with rows; two, for how far the next one may be off.
    """
    panels = list(folds)
    mean = np.nanmean(np.concatenate([errors.ravel() for errors, _ in panels]))
    deviations = [(errors - mean, dates) for errors, dates in panels]
    products = _sum_of_each(_pairs(_squares(np.nan_to_num(errors), dates)) for errors, dates in deviations)
    counts = _sum_of_each(_pairs(_squares((~np.isnan(errors)).astype(float), dates)) for errors, dates in deviations)
    # All pairs of a fold seem less alike than they are, since its own mean is a part of the mean that is taken off; and
    # the next forecast is as far from the mean of few folds as this mean from the true one.
    of_mean = 2 * np.mean([np.nanmean(errors) ** 2 for errors, _ in deviations]) / max(len(deviations) - 1, 1)
    return _shares({part: products[part] / count + of_mean if count else 0 for part, count in counts.items()})


def _shares(alike: Mapping[str, float]) -> ErrorShares:
    """From the mean product of two errors that share a group, and no smaller one, to the parts that add up to it."""
    chain = max(alike["chain"], 0)
    chain_week = max(alike["chain_week"] - chain, 0)
    chain_day = max(alike["chain_day"] - chain - chain_week, 0)
    store = max(alike["store"] - chain, 0)
    store_week = max(alike["store_week"] - chain - chain_week - store, 0)
    parts = [chain, chain_week, chain_day, store, store_week]
    variance = max(alike["own"], sum(parts))
    return ErrorShares(*(float(part / variance) for part in (*parts, variance - sum(parts))))


def _squares(panel: np.ndarray, dates: np.ndarray) -> dict[str, float]:
    """For each part, the sum of the squares of its groups' sums. panel: [stores, dates]"""
    mondays = dates.astype("datetime64[D]") - weekday(dates) * DAY
    of_weeks = panel @ (mondays[:, None] == np.unique(mondays))  # [stores, weeks]
    sums = {
        "chain": panel.sum(), "chain_week": of_weeks.sum(axis=0), "chain_day": panel.sum(axis=0),
        "store": panel.sum(axis=1), "store_week": of_weeks, "own": panel,
    }  # fmt: skip
    return {part: float(np.square(values).sum()) for part, values in sums.items()}


def _pairs(squares: Mapping[str, float]) -> dict[str, float]:
    """For each part, the sum over the pairs of rows that share its group, and no smaller one, of their product."""
    chain, chain_week, chain_day, store, store_week, own = squares.values()
    return {
        "chain": chain - chain_week - store + store_week, "chain_week": chain_week - chain_day - store_week + own,
        "chain_day": chain_day - own, "store": store - store_week, "store_week": store_week - own, "own": own,
    }  # fmt: skip


def _sum_of_each(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    first, *others = parts
    return {part: value + sum(other[part] for other in others) for part, value in first.items()}
