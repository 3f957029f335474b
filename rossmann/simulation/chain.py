"""The stores of the sample chain: where they are, what they are, and which events change them."""

from dataclasses import dataclass

import numpy as np

from rossmann.schema import CLOSURE_DAYS


@dataclass(frozen=True)
class FederalState:
    """A federal state. Its stores share holidays; the files never name it."""

    share: float  # of the chain's stores
    regional_holidays: str  # by letter: e Epiphany, c Corpus Christi, m Mary, r Reformation, s All Saints, b repentance
    summer_slot: int  # of the summer holidays; 0 to 5 move from year to year, 6 is always late
    winter_days: int  # of school holidays in February
    whitsun_days: int  # of school holidays after Whit Monday
    marks_weekends: bool = False  # whether Saturdays and Sundays are school holidays too


FEDERAL_STATES = (
    FederalState(0.162, "ecms", 6, 5, 11),  # the state whose stores have no rows for half a year
    FederalState(0.066, "ecs", 6, 0, 11),
    FederalState(0.168, "c", 1, 0, 0, marks_weekends=True),
    FederalState(0.256, "cs", 3, 0, 1),
    FederalState(0.036, "cs", 1, 0, 1),
    FederalState(0.083, "", 0, 6, 1),
    FederalState(0.066, "", 0, 2, 1),
    FederalState(0.014, "", 5, 0, 1),
    FederalState(0.050, "er", 2, 12, 6),
    FederalState(0.067, "rb", 2, 12, 1),
    FederalState(0.032, "r", 2, 6, 0),
)
GAP_STATE = 0
KIND_SHARES = {  # store type and assortment
    "aa": 0.342, "ac": 0.198, "ba": 0.006, "bb": 0.008, "bc": 0.001,
    "ca": 0.069, "cc": 0.064, "da": 0.115, "dc": 0.197,
}  # fmt: skip
PROMO2_INTERVALS = ("Jan,Apr,Jul,Oct", "Feb,May,Aug,Nov", "Mar,Jun,Sept,Dec")
NO_REFURBISHMENT = -1
REFERENCE_DAYS, REFERENCE_GAP = 942, (546, 729)  # 2014-07-01 to 2014-12-31 in a chain of 942 days, as in Kaggle's data


@dataclass(frozen=True)
class Chain:
    """The stores, arrays [stores]. Days are counted from the first day of the sample, before it negative."""

    federal_state: np.ndarray  # index into FEDERAL_STATES
    store_type: np.ndarray  # "a" … "d"
    assortment: np.ndarray  # "a" … "c"
    opens_on_sundays: np.ndarray  # bool, also on most holidays; type b (railway stations) on every day
    ignores_regional_holidays: np.ndarray  # bool
    competition_distance_m: np.ndarray  # multiple of 10, NaN unknown
    competition_opening_day: np.ndarray
    competition_is_dated: np.ndarray  # bool, store.csv says when that was
    promo2: np.ndarray  # bool
    promo2_day: np.ndarray  # on which the store joined
    promo2_interval: np.ndarray  # index into PROMO2_INTERVALS
    refurbishment_first_day: np.ndarray  # of a long closure, or NO_REFURBISHMENT
    refurbishment_last_day: np.ndarray
    has_gap: np.ndarray  # bool, the store has no rows from gap_first_day to gap_last_day
    gap_first_day: int
    gap_last_day: int


def make_chain(stores: int, days: int, rng: np.random.Generator) -> Chain:
    """A chain whose events (competitors, refurbishments, gaps) are spread over the first `days` days."""
    federal_state = _by_share([each.share for each in FEDERAL_STATES], stores, rng)
    kinds = np.array(list(KIND_SHARES))[_by_share(list(KIND_SHARES.values()), stores, rng)]
    store_type, assortment = kinds.astype("U1"), np.array([kind[1] for kind in kinds])
    opens_on_sundays = (store_type == "b") | _random_share(0.0145, stores, rng)
    distance = np.rint(np.exp(7.7 + 1.45 * rng.standard_normal(stores)).clip(20, 75_000) / 10) * 10
    distance[rng.random(stores) < 0.003] = np.nan
    opens_in_sample = rng.random(stores) < 0.25
    earlier_opening_day = -1 - np.rint(365 * rng.exponential(6, stores)).astype(int)
    refurbished = _random_share(0.06, stores, rng)
    refurbishment_day = rng.integers(days // 20, days - days // 10, stores)
    refurbishment_days = rng.integers(CLOSURE_DAYS, 45, stores).clip(max=max(CLOSURE_DAYS, days // 10))
    gap_first_day, gap_last_day = (days * day // REFERENCE_DAYS for day in REFERENCE_GAP)
    return Chain(
        federal_state=federal_state,
        store_type=store_type,
        assortment=assortment,
        opens_on_sundays=opens_on_sundays,
        ignores_regional_holidays=rng.random(stores) < 0.07,
        competition_distance_m=distance,
        competition_opening_day=np.where(opens_in_sample, rng.integers(0, days, stores), earlier_opening_day),
        competition_is_dated=rng.random(stores) < 0.68,
        promo2=rng.random(stores) < 0.512,
        promo2_day=rng.integers(-1400, days * 4 // 5, stores),
        promo2_interval=rng.choice(3, size=stores, p=[0.586, 0.228, 0.186]),
        refurbishment_first_day=np.where(refurbished, refurbishment_day, NO_REFURBISHMENT),
        refurbishment_last_day=np.where(refurbished, refurbishment_day + refurbishment_days - 1, NO_REFURBISHMENT),
        has_gap=(federal_state == GAP_STATE) & (gap_last_day - gap_first_day >= CLOSURE_DAYS),
        gap_first_day=gap_first_day,
        gap_last_day=gap_last_day,
    )


def _by_share(shares: list[float], stores: int, rng: np.random.Generator) -> np.ndarray:
    """A class for every store, in random order; each class gets its share also of few stores. [stores]"""
    bounds = np.cumsum(shares)
    return rng.permutation(np.searchsorted(bounds[:-1], (np.arange(stores) + 0.5) / stores))


def _random_share(share: float, stores: int, rng: np.random.Generator) -> np.ndarray:
    """A random `share` of the stores, at least one. bool [stores]"""
    return rng.permutation(stores) < max(1, round(share * stores))
