"""What Kaggle's attributes of a store say about a day: its competitor, and the rounds of its continuing promotion.

Stores of other chains have none of these attributes: their flags are 0, and their features the same everywhere.
"""

from collections.abc import Callable, Mapping

import numpy as np

from rossmann.data.history import Stores

Derivation = Callable[[Stores, np.ndarray], np.ndarray]  # of stores and consecutive dates. [stores, days]

MIN_MONTHS, MAX_MONTHS = -12, 60  # since a competitor opened, or since the store takes part in promo2
NO_ROUND = 3  # the phase of a store that takes no part in promo2


def promo2_phase(stores: Stores, dates: np.ndarray) -> np.ndarray:
    """Months since the round of promo2 began: 0, 1 or 2; NO_ROUND where the store takes no part. int8"""
    month = dates.astype("datetime64[M]").astype(np.int64) % 12
    phase = np.full((len(stores.number), len(dates)), 2, np.int8)
    for months_ago in (1, 0):
        phase[stores.kaggle.promo2_months[:, (month - months_ago) % 12]] = months_ago
    active = stores.kaggle.promo2[:, None] & (dates >= stores.kaggle.promo2_since[:, None])
    return np.where(active, phase, np.int8(NO_ROUND))


def derived_flags(stores: Stores, dates: np.ndarray) -> dict[str, np.ndarray]:
    """The flags for the linear model, by name. bool [stores, days] each"""
    phase = promo2_phase(stores, dates)
    return {
        "promo2": phase < NO_ROUND,
        "promo2 month 0": phase == 0,
        "promo2 month 1": phase == 1,
        "competitor": ~(dates < stores.kaggle.competition_since[:, None]),  # NaT: open for the whole history
    }


def derived_slices(stores: Stores) -> dict[str, np.ndarray]:
    """Groups of stores that a sentence can name. bool [stores] each"""
    return {"participation in the continuing promotion": stores.kaggle.promo2}


def _months_since(start: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whole months from the stores' `start` to each day, clipped; NaN where the start is NaT. float32 [stores, days]"""
    months = (dates.astype("datetime64[M]") - start.astype("datetime64[M]")[:, None]).astype(np.float32)
    months[np.isnat(start)] = np.nan
    return np.clip(months, MIN_MONTHS, MAX_MONTHS)


def _on_all_days(values: np.ndarray, dates: np.ndarray) -> np.ndarray:
    return np.broadcast_to(values[:, None], (len(values), len(dates)))


# For the trees, in the order of their columns.
DERIVED_FEATURES: Mapping[str, Derivation] = {
    "competition_log_distance": lambda stores, dates: _on_all_days(
        np.log1p(stores.kaggle.competition_distance_m), dates
    ),
    "competition_months": lambda stores, dates: _months_since(stores.kaggle.competition_since, dates),
    "promo2": lambda stores, dates: _on_all_days(stores.kaggle.promo2, dates),
    "promo2_phase": promo2_phase,
    "promo2_months": lambda stores, dates: _months_since(stores.kaggle.promo2_since, dates),
}
