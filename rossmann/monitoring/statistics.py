"""A drift statistic by day, and its limit: what is usual according to its own earlier values.

The limit is never below the smallest effect that matters (`StatisticDefinition.floor`).
"""

from dataclasses import dataclass

import numpy as np

from rossmann.monitoring.definitions import StatisticDefinition

WINDOW_DAYS = 7  # the newest days, which are compared with all days before them
MIN_LIMIT_DAYS = 28  # earlier values that are enough for a limit
LIMIT_MARGIN = 1.25  # times a quantile of the earlier values' distances from their median
LIMIT_QUANTILE = {  # lower than for sales, so that one earlier alarm does not raise the limit above the next one
    "quality": 0.9,
    "plan": 0.9,
    "concept": 0.95,
}
DEFAULT_LIMIT_QUANTILE = 0.99  # sales have a Christmas every year
MIN_STORES = 5  # with a value, for a median or a share of stores


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """The values of one definition for one subject, by day of the history; the last WINDOW_DAYS are the window."""

    definition: StatisticDefinition
    subject: str  # a column, an attribute or a group of stores
    values: np.ndarray  # float64 [days], NaN where it cannot be computed

    @property
    def has_limit(self) -> bool:
        """Whether there are enough earlier values to say what is usual."""
        required = min(MIN_LIMIT_DAYS, MIN_LIMIT_DAYS // WINDOW_DAYS * self.definition.required_days)
        return int(np.isfinite(self._past).sum()) >= required

    @property
    def centre(self) -> float:
        """Median of the earlier values; NaN without a limit."""
        return float(np.nanmedian(self._past)) if self.has_limit else np.nan

    @property
    def limit(self) -> float:
        """How far from `centre` a usual day may be; NaN with too few earlier values."""
        if not self.has_limit:
            return np.nan
        quantile = LIMIT_QUANTILE.get(self.definition.kind, DEFAULT_LIMIT_QUANTILE)
        distance = float(np.nanquantile(np.abs(self._past - self.centre), quantile))
        return max(self.definition.floor, LIMIT_MARGIN * distance)

    @property
    def beyond_limit(self) -> np.ndarray:
        """Which days of the window are beyond the limit. bool [WINDOW_DAYS]"""
        return np.abs(self.values[-WINDOW_DAYS:] - self.centre) > self.limit

    @property
    def persistent(self) -> bool:
        """Whether enough days of the window are beyond the limit for an alarm."""
        return int(self.beyond_limit.sum()) >= self.definition.required_days

    @property
    def effect(self) -> float:
        """Median distance of the window's days from `centre`, of those beyond the limit if it is persistent.

        NaN if no day of the window has a value.
        """
        distances = self.values[-WINDOW_DAYS:] - self.centre
        distances = distances[self.beyond_limit] if self.persistent else distances[np.isfinite(distances)]
        return float(np.median(distances)) if len(distances) else np.nan

    @property
    def message(self) -> str:
        """One sentence about the window."""
        if not self.has_limit:
            return "there are too few earlier days to say what is usual"
        effect = self.effect
        if not np.isfinite(effect):
            return "no day of the window has a value"
        sentence = self.definition.message.format(effect=effect, subject=self.subject)
        return sentence if self.persistent else f"as usual: {sentence}"

    @property
    def _past(self) -> np.ndarray:
        return self.values[:-WINDOW_DAYS]


def medians_of_rows(values: np.ndarray) -> np.ndarray:
    """Median of every row, NaN where it has no value. [rows]"""
    medians = np.full(len(values), np.nan)
    has_value = np.isfinite(values).any(axis=1)
    medians[has_value] = np.nanmedian(values[has_value], axis=1)
    return medians


def median_of_days(values: np.ndarray, is_included: np.ndarray) -> np.ndarray:
    """Median over the store-days that are included, by day. values, is_included: [stores, days] → [days]

    NaN where fewer than MIN_STORES, or a quarter of the stores, have a value.
    """
    included_values = np.where(is_included, values, np.nan)
    enough = np.isfinite(included_values).sum(axis=0) >= max(MIN_STORES, len(included_values) // 4)
    medians = np.full(values.shape[1], np.nan)
    medians[enough] = np.nanmedian(included_values[:, enough], axis=0)
    return medians


def median_of_stores(values: np.ndarray, stores: np.ndarray) -> np.ndarray:
    """Median over the stores (bool [stores]), by day; NaN where too few of them have a value. [days]"""
    return median_of_days(values[stores], np.ones((int(stores.sum()), 1), bool))


def share_of_stores(flags: np.ndarray, among: np.ndarray, stores: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Share of the store-days `among` with the flag, by day; NaN where these are fewer than MIN_STORES. [days]"""
    count = among[stores].sum(axis=0)
    flag_count = (flags & among)[stores].sum(axis=0)
    return np.where(count >= MIN_STORES, flag_count / np.maximum(count, 1), np.nan)
