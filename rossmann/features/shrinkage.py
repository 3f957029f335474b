"""How strongly the coefficients of the linear model are shrunk: a store's to the chain's, and the chain's to 0.

The penalties of Kaggle's files are the constants below. For another chain they are multiplied by what
`chain_ridge` learns from its past.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rossmann.features.ridge_design import FINE_SEASON, NAMED_HOLIDAY, harmonic, kind
from rossmann.schema import MIN_SEASON_HISTORY_DAYS, WEEK_DAYS

SEASON = "season"
# Penalties by kind of column: of a store's difference from the chain, and of the chain's own coefficients. All stores
# share the shocks of a day, so that the evidence for the chain's does not grow with their number: its penalties do.
PENALTY = {"trend": 10.0, SEASON: 4.0, "special_day": 0.2, "holiday": 0.2, "closure": 10.0, "break": 10.0}  # others 1
CHAIN_PENALTY_PER_STORE = {SEASON: 27.0, "break": 2.7}
FINE_SEASON_PENALTY = 2.0  # the same, times the square of how often a year
NAMED_HOLIDAY_PENALTY = 25.0  # of a store's difference: it has a day a year, and shares what else happened on it
NO_EFFECT = 1e9  # leaves nothing of a coefficient
# In which stores differ most, and of which each has many days; not what changes them, as "promotion early in month".
STORES_OWN_COLUMNS = frozenset(f"{name} {day}" for name in ("weekday", "promotion") for day in range(WEEK_DAYS))
# The days around a feast: the last weeks, on which the factor is chosen, have few of them.
FEAST_KINDS = ("special_day", "december", "advent", "holiday", "before", "two", "after")
COVARIATE_KINDS = ("flag", "number")  # which a chain has, because they have effects


@dataclass(frozen=True)
class Shrinkage:
    """What multiplies the penalties of a chain."""

    factor: float = 1.0  # of all but STORES_OWN_COLUMNS; the chain's own also but for COVARIATE_KINDS, FEAST_KINDS
    by_column: Mapping[str, float] = field(default_factory=dict)  # by name of a column; others 1
    # In how many years a named holiday was, by name of a column. An effect that one year showed is half the chain's
    # own and half that of holidays in general; after three years it is its own.
    years: Mapping[str, int] = field(default_factory=dict)

    def of_store(self, name: str) -> float:
        """How strongly a store's coefficient of this column is shrunk to the chain's."""
        if kind(name) == NAMED_HOLIDAY:
            return NAMED_HOLIDAY_PENALTY
        factor = 1.0 if name in STORES_OWN_COLUMNS else self.factor
        return PENALTY.get(kind(name), 1.0) * factor * self.by_column.get(name, 1.0)

    def of_chain(self, name: str, stores: int, days: int) -> float:
        """How strongly the chain's coefficient of this column is shrunk to 0, in a chain of so many stores and days."""
        if kind(name) in (SEASON, FINE_SEASON) and days < MIN_SEASON_HISTORY_DAYS:
            return NO_EFFECT
        if kind(name) == FINE_SEASON:
            return FINE_SEASON_PENALTY * harmonic(name) ** 2 * stores
        if kind(name) == NAMED_HOLIDAY:
            return stores / self.years[name]
        if kind(name) in CHAIN_PENALTY_PER_STORE:
            return CHAIN_PENALTY_PER_STORE[kind(name)] * stores
        if kind(name) in COVARIATE_KINDS:
            return self.by_column.get(name, 1.0)
        factor = self.factor if kind(name) in FEAST_KINDS else 1.0
        return self.of_store(name) / factor


KAGGLE_SHRINKAGE = Shrinkage()
