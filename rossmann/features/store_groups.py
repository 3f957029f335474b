"""The normal equations of the linear models of many stores.

Columns that all stores of a group share (those of dates, usually promotions, the school breaks of a region) are stored
once. One matrix product gives their part of the Gram matrices of all stores; only the other columns need one per store.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rossmann.data import Calendar, Stores
from rossmann.features import school_breaks
from rossmann.features.ridge_design import is_for_chain_only, store_columns
from rossmann.features.school_breaks import SchoolBreaks
from rossmann.features.weekdays import USUAL_WEEKDAYS, Weekdays

STORES_AT_ONCE = 300  # bounds the memory of intermediate results
NO_CENTRES: Mapping[str, np.ndarray] = {}


@dataclass(frozen=True)
class StoreGroup:
    """Stores of one region and their design matrices A: the columns of `names`, the common ones first."""

    stores: np.ndarray  # positions. int64 [stores]
    names: tuple[str, ...]
    common: np.ndarray  # float64 [days, common columns]
    own: np.ndarray  # float64 [stores, own columns, days]

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """The Gram matrices AᵀWA of every store. weight: [stores, days]; result: [stores, columns, columns]"""
        count = self.common.shape[1]
        is_active = (self.common != 0).astype(np.float32)
        # Most columns are 0 or 1, and many exclude each other: their product is 0 on all days.
        first, second = np.nonzero(np.triu(is_active.T @ is_active))
        pairs = self.common.T[first] * self.common.T[second]
        weighted = self.own * weight[:, None, :]
        cross = (weighted.reshape(-1, weight.shape[1]) @ self.common).reshape(*weighted.shape[:2], count)
        result = np.zeros((len(weight), len(self.names), len(self.names)))
        result[:, first, second] = result[:, second, first] = weight @ pairs.T
        result[:, count:, :count], result[:, :count, count:] = cross, cross.transpose(0, 2, 1)
        result[:, count:, count:] = weighted @ self.own.transpose(0, 2, 1)
        return result

    def products(self, values: np.ndarray) -> np.ndarray:
        """Aᵀ times the values of each store. [stores, days] → [stores, columns]"""
        return np.concatenate([values @ self.common, (self.own @ values[:, :, None])[:, :, 0]], axis=1)

    def total_products(self, weight: np.ndarray, dates: np.ndarray) -> np.ndarray:
        """AᵀW times columns that are the same for all stores [days, k], summed over the stores. [columns, k]"""
        own = np.einsum("skd,sd->kd", self.own, weight)
        return np.concatenate([(self.common * weight.sum(axis=0)[:, None]).T @ dates, own @ dates])

    def fitted(self, coefficients: np.ndarray) -> np.ndarray:
        """A times the coefficients of each store. [stores, columns] → [stores, days]"""
        count = self.common.shape[1]
        own = (coefficients[:, None, count:] @ self.own)[:, 0]
        return coefficients[:, :count] @ self.common.T + own

    def days_of(self, column: str) -> np.ndarray:
        """On which days the column is not zero. bool [stores, days] or [1, days]"""
        position, count = self.names.index(column), self.common.shape[1]
        values = self.common[None, :, position] if position < count else self.own[:, position - count]
        return values != 0


def group_stores(
    calendar: Calendar,
    stores: Stores,
    breaks: SchoolBreaks,
    dates: Mapping[str, np.ndarray],
    weekdays: Weekdays = USUAL_WEEKDAYS,
    centres: Mapping[str, np.ndarray] = NO_CENTRES,
) -> tuple[StoreGroup, ...]:
    """The stores of each region, STORES_AT_ONCE at most, with their design on the first days of the calendar.

    dates: the columns that are the same for all stores, [days] each; those that only the chain learns are left out.
    centres: what is subtracted from a column, by name. [stores]
    """
    days = len(next(iter(dates.values())))
    columns = {name: column for name, column in dates.items() if not is_for_chain_only(name)}
    groups = []
    for region in np.unique(breaks.region):
        common = columns | dict(zip(school_breaks.NAMES, breaks.days[region].T, strict=True))
        members = np.flatnonzero(breaks.region == region)
        for positions in np.array_split(members, -(-len(members) // STORES_AT_ONCE)):
            members_calendar, origin = calendar.of_stores(positions), calendar.dates[days - 1]
            of_stores = store_columns(members_calendar, stores.at(positions), origin, weekdays)
            of_stores |= {name: of_stores[name] - centre[positions, None] for name, centre in centres.items()}
            groups.append(_group(positions, common, {name: column[:, :days] for name, column in of_stores.items()}))
    return tuple(groups)


def _group(positions: np.ndarray, common: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]) -> StoreGroup:
    """A group of stores. The columns of `own` that are the same for all of these stores become common ones."""
    shared = {name: column[0] for name, column in own.items() if (column == column[:1]).all()}
    common, own = {**common, **shared}, {name: column for name, column in own.items() if name not in shared}
    values = np.empty((len(positions), len(own), len(next(iter(common.values())))))
    for k, column in enumerate(own.values()):
        values[:, k] = column
    return StoreGroup(positions, (*common, *own), np.stack(list(common.values()), axis=1).astype(float), values)
