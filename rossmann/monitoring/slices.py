"""Slices of the stores by their attributes, and which one explains that sales deviate from their forecasts.

Promotions are no slice: the statistic `promotion_uplift_gone` is about them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rossmann.data import SalesHistory, derived_slices
from rossmann.monitoring.statistics import MIN_STORES, WINDOW_DAYS, medians_of_rows

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


def type_slices(history: SalesHistory) -> list[tuple[str, np.ndarray]]:
    """The values of the first attribute with its name, as the stores that have them. bool [stores] each

    Empty for a chain whose stores have no attribute.
    """
    return list(_attribute_slices(history, slice(1)))


def store_slices(history: SalesHistory) -> Iterator[tuple[str, np.ndarray]]:
    """Every slice with its name, as the stores in it. bool [stores]"""
    yield from _attribute_slices(history, slice(None))
    if history.chain.is_kaggle:
        yield from derived_slices(history.stores).items()


def _attribute_slices(history: SalesHistory, positions: slice) -> Iterator[tuple[str, np.ndarray]]:
    """The slices of the attributes at these positions of the chain's own."""
    for name, values in zip(history.chain.attributes[positions], history.stores.attributes.T[positions], strict=True):
        for value in np.unique(values).tolist():
            yield f"{name} {value}" if value else f"no {name}", values == value


def explaining_slice(history: SalesHistory, residual: np.ndarray) -> SliceDeviation | None:
    """The slice that explains the window's residuals best; None if they deviate in several slices, or in parts of one.

    residual: log(sales / forecast) [stores, days], NaN where there is none.
    """
    deviation = _deviation(residual)
    slices = [_compare(name, deviation, included) for name, included in store_slices(history)]
    explanations = [each for each in slices if each is not None and each.explains]
    return max(explanations, key=lambda each: abs(each.inside - each.outside), default=None)


def _compare(name: str, deviation: np.ndarray, is_inside: np.ndarray) -> SliceDeviation | None:
    """A slice beside all other stores; None where one of them has too few stores."""
    has_value = np.isfinite(deviation)
    inside, outside = deviation[has_value & is_inside], deviation[has_value & ~is_inside]
    if min(len(inside), len(outside)) < MIN_STORES:
        return None
    rest = float(np.median(outside))
    total = float((deviation[has_value] - rest).sum())
    share = float((inside - rest).sum()) / total if total else 0.0
    return SliceDeviation(name, float(np.median(inside)), rest, share)


def _deviation(residual: np.ndarray) -> np.ndarray:
    """Median residual of the window, minus that of the days before where there are any; by store. [stores]"""
    window, usual = (medians_of_rows(days) for days in (residual[:, -WINDOW_DAYS:], residual[:, :-WINDOW_DAYS]))
    return window - np.where(np.isfinite(usual), usual, 0.0)
