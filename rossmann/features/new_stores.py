"""The sales level of new stores, which have too few days to show it: that of stores like them, and their own days.

A level is a store's mean log sales. The fewer days a new store has, the closer is its level to the mean of the
established stores with the same attributes, and the larger is its uncertainty.
"""

from dataclasses import dataclass

import numpy as np

from rossmann.data import Stores
from rossmann.features.levels import nanmean
from rossmann.schema import WEEKS_YEAR_DAYS

MAX_NEW_DAYS = 182  # open days: with more a store is established
MAX_NEW_SHARE = 0.5  # of the median store's open days: in a short history not all stores are new
USUAL_LEVEL_VARIANCE = 0.1  # of the levels of a chain's stores (Rossmann's): what few established stores cannot tell
SHRINK_STORES = 5  # weight, in stores, of the larger group's mean and variance in those of a group
PATTERN_HALF_LIFE_DAYS = 28  # open days in which half of what is special in a new store's pattern is learned


@dataclass(frozen=True)
class NewStores:
    """What is estimated for the new stores."""

    positions: np.ndarray  # int64 [new stores]
    level: np.ndarray  # float64 [new stores]
    level_variance: np.ndarray  # of the level's error. float64 [new stores]
    pattern_variance: float  # of log sales around a store's level and the chain's effect of the day
    unlearned_share: np.ndarray  # of the pattern: 1 without days. float64 [new stores]

    def standard_deviation(self, standard_deviation: np.ndarray) -> np.ndarray:
        """The standard deviation of the errors of all stores, with that of the new stores in place of their own.

        [stores, 7 weekdays]
        """
        share = self.unlearned_share[:, None]
        own = np.square(standard_deviation[self.positions])
        result = standard_deviation.copy()
        variance = self.level_variance[:, None] + share * self.pattern_variance + (1 - share) * own
        result[self.positions] = np.sqrt(variance)
        return result


def fit_new_stores(log_sales: np.ndarray, level: np.ndarray, stores: Stores) -> NewStores:
    """Estimate the level of the new stores from `log_sales` [stores, days] and the levels of the established ones."""
    days = (~np.isnan(log_sales)).sum(axis=1)
    is_new = is_new_store(days)
    positions = np.flatnonzero(is_new)
    deviation = log_sales[~is_new] - level[~is_new, None]
    effect = np.nan_to_num(nanmean(deviation.T))  # of the day, on the whole chain. [days]
    pattern_variance = _mean_square((deviation - effect)[:, -WEEKS_YEAR_DAYS:])
    mean, variance = level_of_similar_stores(level, is_new, stores)
    own = np.nan_to_num(nanmean(log_sales[is_new] - effect))
    shrink_days = pattern_variance / np.maximum(variance[is_new], 1e-12)
    own_weight = days[is_new] / np.maximum(days[is_new] + shrink_days, 1e-12)
    return NewStores(
        positions,
        mean[is_new] + own_weight * (own - mean[is_new]),
        (1 - own_weight) * variance[is_new],
        pattern_variance,
        0.5 ** (days[is_new] / PATTERN_HALF_LIFE_DAYS),
    )


def lifetime_level(log_sales: np.ndarray, stores: Stores) -> np.ndarray:
    """Mean log sales over all days; of similar stores for a store that never sold, and 0 if none ever did. [stores]"""
    level = nanmean(log_sales)
    is_silent = np.isnan(level)
    if is_silent.all():
        return np.zeros(len(level))
    return np.where(is_silent, level_of_similar_stores(level, is_silent, stores)[0], level)


def is_new_store(days: np.ndarray) -> np.ndarray:
    """Which stores are new, by how many open days each store has. bool [stores]"""
    usual = np.median(days[days > 0]) if days.any() else 0
    return days < min(MAX_NEW_DAYS, MAX_NEW_SHARE * usual)


def level_of_similar_stores(level: np.ndarray, is_new: np.ndarray, stores: Stores) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the established levels among the stores with the same attributes. [stores] each

    The groups are nested: stores with the same first attribute, with the same first two, and so on. The mean of a group
    is shrunk to that of the next larger one, and that of the largest to the chain's. The variance of the smallest group
    is shrunk to the chain's.
    """
    groups = _nested_groups(stores.attribute_codes)
    established = level[~is_new]
    mean = np.full(len(level), established.mean())
    for code in groups:
        mean += _shrunken_mean(established - mean[~is_new], code, is_new, 0.0)
    square = np.square(established - mean[~is_new])
    of_chain = (square.sum() + SHRINK_STORES * USUAL_LEVEL_VARIANCE) / (len(square) + SHRINK_STORES)
    variance = _shrunken_mean(square, groups[-1], is_new, of_chain)
    return mean, variance


def _nested_groups(codes: np.ndarray) -> list[np.ndarray]:
    """Groups of stores with the same first attribute, with the same first two, …; one group if there is none.

    codes: [stores, attributes]. Each a number per store: int64 [stores]
    """
    counts = range(1, codes.shape[1] + 1)
    groups = [np.unique(codes[:, :count], axis=0, return_inverse=True)[1].reshape(-1) for count in counts]
    return groups or [np.zeros(len(codes), np.int64)]


def _shrunken_mean(values: np.ndarray, code: np.ndarray, is_new: np.ndarray, larger: float) -> np.ndarray:
    """The mean of the established stores' values by code, shrunk to that of the larger group. [stores]"""
    total = np.bincount(code[~is_new], values, code.max() + 1)
    count = np.bincount(code[~is_new], minlength=code.max() + 1)
    return ((total + SHRINK_STORES * larger) / (count + SHRINK_STORES))[code]


def _mean_square(values: np.ndarray) -> float:
    count = (~np.isnan(values)).sum()
    return float(np.nansum(np.square(values)) / max(count, 1))
