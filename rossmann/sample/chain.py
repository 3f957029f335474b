"""The stores of the chain: where they lie, what they are, what befalls them."""

from dataclasses import dataclass

import numpy as np

from rossmann.validation import CLOSURE_DAYS


@dataclass(frozen=True)
class State:
    """A federal state. Its stores share holidays, never named in the files."""

    share: float  # of the chain's stores
    holidays: str  # the regional ones, by letter: Epiphany, Corpus Christi, Mary, Reformation, Saints, repentance (b)
    summer: int  # slot of the summer holidays; 0 to 5 move from year to year, 6 stays late
    winter: int  # days of school holidays in February
    whitsun: int  # days after Whit Monday
    weekends: bool = False  # are Saturdays and Sundays marked as school holidays?


STATES = (
    State(0.162, "ecms", 6, 5, 11),  # the state whose stores are gone for half a year
    State(0.066, "ecs", 6, 0, 11),
    State(0.168, "c", 1, 0, 0, weekends=True),
    State(0.256, "cs", 3, 0, 1),
    State(0.036, "cs", 1, 0, 1),
    State(0.083, "", 0, 6, 1),
    State(0.066, "", 0, 2, 1),
    State(0.014, "", 5, 0, 1),
    State(0.050, "er", 2, 12, 6),
    State(0.067, "rb", 2, 12, 1),
    State(0.032, "r", 2, 6, 0),
)
_GAP_STATE = 0
_KINDS = {
    "aa": 0.342, "ac": 0.198, "ba": 0.006, "bb": 0.008, "bc": 0.001,
    "ca": 0.069, "cc": 0.064, "da": 0.115, "dc": 0.197,
}  # fmt: skip
INTERVALS = ("Jan,Apr,Jul,Oct", "Feb,May,Aug,Nov", "Mar,Jun,Sept,Dec")


@dataclass(frozen=True)
class Chain:
    """The stores: what store.csv says of them, and how they live. Arrays [stores]."""

    state: np.ndarray  # index into STATES
    store_type: np.ndarray  # "a" … "d"
    assortment: np.ndarray  # "a" … "c"
    on_sundays: np.ndarray  # bool, open on Sundays and most holidays; type b (railway stations) on every day
    on_regional: np.ndarray  # bool, lies where the regional holidays are not kept
    competition_distance_m: np.ndarray  # multiple of 10, NaN unknown
    competition_day: np.ndarray  # day of the world on which the competitor opened
    competition_known: np.ndarray  # bool, store.csv tells when that was
    promo2: np.ndarray  # bool
    promo2_day: np.ndarray  # day of the world on which it joined
    interval: np.ndarray  # index into INTERVALS
    rebuilt_from: np.ndarray  # first and last day of a long closure, -1 for none
    rebuilt_to: np.ndarray
    gap: np.ndarray  # bool, the store has no rows between gap_from and gap_to
    gap_from: int
    gap_to: int


def found(stores: int, days: int, rng: np.random.Generator) -> Chain:
    state = _by_share([s.share for s in STATES], stores, rng)
    kind = _by_share(list(_KINDS.values()), stores, rng)
    kinds = np.array(list(_KINDS))[kind]
    store_type, assortment = kinds.astype("U1"), np.array([k[1] for k in kinds])
    sunday = (store_type == "b") | _some(0.0145, stores, rng)
    distance = np.rint(np.exp(7.7 + 1.45 * rng.standard_normal(stores)).clip(20, 75_000) / 10) * 10
    distance[rng.random(stores) < 0.003] = np.nan
    opened_now = rng.random(stores) < 0.25
    opened_before = -1 - np.rint(365 * rng.exponential(6, stores)).astype(int)
    rebuilt = _some(0.06, stores, rng)
    rebuilt_from = rng.integers(days // 20, days - days // 10, stores)
    rebuilt_days = rng.integers(CLOSURE_DAYS, 45, stores).clip(max=max(CLOSURE_DAYS, days // 10))
    gap_from, gap_to = days * 546 // 942, days * 729 // 942  # 2014-07-01 … 2014-12-31 in a world of 942 days
    return Chain(
        state=state,
        store_type=store_type,
        assortment=assortment,
        on_sundays=sunday,
        on_regional=rng.random(stores) < 0.07,
        competition_distance_m=distance,
        competition_day=np.where(opened_now, rng.integers(0, days, stores), opened_before),
        competition_known=rng.random(stores) < 0.68,
        promo2=rng.random(stores) < 0.512,
        promo2_day=rng.integers(-1400, days * 4 // 5, stores),
        interval=rng.choice(3, size=stores, p=[0.586, 0.228, 0.186]),
        rebuilt_from=np.where(rebuilt, rebuilt_from, -1),
        rebuilt_to=np.where(rebuilt, rebuilt_from + rebuilt_days - 1, -1),
        gap=(state == _GAP_STATE) & (gap_to - gap_from >= CLOSURE_DAYS),
        gap_from=gap_from,
        gap_to=gap_to,
    )


def _by_share(shares: list[float], stores: int, rng: np.random.Generator) -> np.ndarray:
    """A class for every store; each class gets its share of them, in small worlds too. [stores]"""
    bounds = np.cumsum(shares)
    return rng.permutation(np.searchsorted(bounds[:-1], (np.arange(stores) + 0.5) / stores))


def _some(share: float, stores: int, rng: np.random.Generator) -> np.ndarray:
    """A `share` of the stores, one at least. bool [stores]"""
    return rng.permutation(stores) < max(1, round(share * stores))
