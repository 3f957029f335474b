"""What Kaggle's files say about a store beside its categories: its competitor, and its part in a continuing promotion.

What that means for a day is in `derivations`.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from rossmann.schema import DAY


@dataclass(frozen=True)
class StoreAttributes:
    """Attributes that only Kaggle's files have. Arrays [stores]."""

    competition_distance_m: np.ndarray  # float64, NaN unknown
    competition_since: np.ndarray  # datetime64[M], NaT unknown
    promo2: np.ndarray  # bool, whether the store takes part in the continuing promotion
    promo2_since: np.ndarray  # datetime64[D], NaT where it does not
    promo2_months: np.ndarray  # bool [stores, 12], months in which a round of it starts

    @staticmethod
    def nothing(count: int) -> "StoreAttributes":
        """The attributes of `count` stores about which nothing is known, as in every chain but Kaggle's."""
        return StoreAttributes(
            competition_distance_m=np.full(count, np.nan),
            competition_since=np.full(count, np.datetime64("NaT", "M")),
            promo2=np.zeros(count, bool),
            promo2_since=np.full(count, np.datetime64("NaT", "D")),
            promo2_months=np.zeros((count, 12), bool),
        )

    def at(self, positions: np.ndarray | slice) -> "StoreAttributes":
        """Those of the stores at these positions, or of those that a bool array [stores] selects."""
        return StoreAttributes(**{each.name: getattr(self, each.name)[positions] for each in fields(self)})

    def as_of(self, origin: np.datetime64, plan_end: np.datetime64) -> "StoreAttributes":
        """Those that were known at the end of `origin`, with a published plan up to `plan_end`.

        A competitor is known when the month of its opening is over, since the day is not given; one without a month
        always is. Promo2 is planned by the chain: a start up to `plan_end` is known. Before, all values of the
        attribute are unknown, or those of a store that takes no part.
        """
        month_end = (self.competition_since + 1).astype("datetime64[D]") - DAY
        no_competitor, no_promo2 = month_end > origin, self.promo2_since > plan_end
        return replace(
            self,
            competition_distance_m=np.where(no_competitor, np.nan, self.competition_distance_m),
            competition_since=np.where(no_competitor, np.datetime64("NaT", "M"), self.competition_since),
            promo2=self.promo2 & ~no_promo2,
            promo2_since=np.where(no_promo2, np.datetime64("NaT", "D"), self.promo2_since),
            promo2_months=self.promo2_months & ~no_promo2[:, None],
        )
