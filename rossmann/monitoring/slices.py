"""Which slice of the stores explains that sales deviate from their forecasts.

Promotions are no slice: the statistic `promo_uplift_gone` is about them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rossmann.data import Stores
from rossmann.monitoring.definitions import STORE_TYPE
from rossmann.monitoring.statistics import MIN_STORES, WINDOW_DAYS

MIN_DEVIATION = 0.05  # |log(sales / forecast)| of a slice that can explain a deviation of the chain
MAX_OUTSIDE = 1 / 3  # largest deviation of all other stores, as a share of the slice's
MIN_SHARE = 2 / 3  # of the chain's whole deviation, in the stores of the slice


@dataclass(frozen=True)
class SliceDeviation:
    """How far the week's sales are from their forecasts, less what is usual: medians of stores, in logs."""

    name: str
    inside: float  # of the stores of the slice
    outside: float  # of all others
    share: float  # of the sum of all stores' deviations from `outside`, in the stores of the slice

    @property
    def explains(self) -> bool:
        """Whether the stores of the slice deviate together and the others, on the whole, do not."""
        is_large = abs(self.inside) >= MIN_DEVIATION and abs(self.outside) <= MAX_OUTSIDE * abs(self.inside)
        return is_large and self.share >= MIN_SHARE

    @property
    def message(self) -> str:
        """The end of a sentence about the chain."""
        inside, outside = np.expm1(self.inside), np.expm1(self.outside)
        return f"{self.name} explains it: {inside:+.1%} against its forecasts, all other stores {outside:+.1%}"


def explaining_slice(stores: Stores, residual: np.ndarray) -> SliceDeviation | None:
    """The slice that explains the window's residuals best; None if they deviate in several slices, or in parts of one.

    residual: log(sales / forecast) [stores, days], NaN where there is none.
    """
    deviation = _deviation(residual)
    slices = [_compare(name, deviation, included) for name, included in _slices(stores)]
    explanations = [each for each in slices if each is not None and each.explains]
    return max(explanations, key=lambda each: abs(each.inside - each.outside), default=None)


def _slices(stores: Stores) -> Iterator[tuple[str, np.ndarray]]:
    """Every slice with its name, as the stores in it. bool [stores]"""
    for label, names in ((STORE_TYPE, stores.type_name), ("assortment", stores.assortment_name)):
        for name in np.unique(names).tolist():
            yield f"{label} {name}", names == name
    yield "participation in the continuing promotion", stores.promo2


def _compare(name: str, deviation: np.ndarray, included: np.ndarray) -> SliceDeviation | None:
    """A slice beside all other stores; None where one of them has too few stores."""
    valid = np.isfinite(deviation)
    inside, outside = deviation[valid & included], deviation[valid & ~included]
    if min(len(inside), len(outside)) < MIN_STORES:
        return None
    rest = float(np.median(outside))
    total = float((deviation[valid] - rest).sum())
    share = float((inside - rest).sum()) / total if total else 0.0
    return SliceDeviation(name, float(np.median(inside)), rest, share)


def _deviation(residual: np.ndarray) -> np.ndarray:
    """Median residual of the window, minus that of the days before where there are any; by store. [stores]"""
    window, usual = (_medians(days) for days in (residual[:, -WINDOW_DAYS:], residual[:, :-WINDOW_DAYS]))
    return window - np.where(np.isfinite(usual), usual, 0.0)


def _medians(values: np.ndarray) -> np.ndarray:
    """Median of every row, NaN where it has no value. [rows]"""
    medians = np.full(len(values), np.nan)
    has_value = np.isfinite(values).any(axis=1)
    medians[has_value] = np.nanmedian(values[has_value], axis=1)
    return medians
