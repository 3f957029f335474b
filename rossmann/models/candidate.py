"""Who may race: recipes, and where a search draws more of them from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from rossmann.features import FeatureSpec
from rossmann.validation import DataError

Param = int | float | str

NAIVE = ("last_week", "median")
BOOSTERS = ("lightgbm", "xgboost")
BLENDED = ("ridge", *BOOSTERS)
NAMES = (*NAIVE, "ridge", *BOOSTERS, "blend")

# `rows`: at most so many are learnt from; `rounds`: of boosting, where there are enough rows for them.
LIGHTGBM: dict[str, Param] = {
    "rows": 520_000,
    "rounds": 800,
    "learning_rate": 0.03,
    "num_leaves": 63,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.3,
    "lambda_l2": 10.0,
}
XGBOOST: dict[str, Param] = {
    "rows": 480_000,
    "rounds": 300,
    "learning_rate": 0.08,
    "max_depth": 6,
    "min_child_weight": 100.0,
    "colsample_bynode": 0.4,
    "lambda": 10.0,
}

# What `search` draws from: (lowest, highest), evenly on a log scale; whole numbers stay whole.
LIGHTGBM_RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (0.02, 0.06),
    "num_leaves": (24, 128),
    "min_data_in_leaf": (50, 600),
    "feature_fraction": (0.25, 0.8),
    "lambda_l2": (1.0, 50.0),
}
XGBOOST_RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (0.04, 0.12),
    "max_depth": (4, 9),
    "min_child_weight": (20.0, 400.0),
    "colsample_bynode": (0.25, 0.8),
    "lambda": (1.0, 50.0),
}
DEFAULTS = {"lightgbm": LIGHTGBM, "xgboost": XGBOOST}
RANGES = {"lightgbm": LIGHTGBM_RANGES, "xgboost": XGBOOST_RANGES}


@dataclass(frozen=True)
class Candidate:
    """A recipe: hashable, and the same words in any process."""

    name: str
    learner: str  # one of NAMES
    params: tuple[tuple[str, Param], ...] = ()
    spec: FeatureSpec = field(default_factory=FeatureSpec)
    members: tuple["Candidate", ...] = ()  # of a blend

    @property
    def learns(self) -> bool:
        """Whether it has to be fitted on lessons; the others read all they need from the State."""
        return self.learner in BOOSTERS or any(member.learns for member in self.members)

    def key(self) -> str:
        """All that it is, as JSON; `parse` reads it."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def parse(key: str) -> "Candidate":
        """The candidate with this key."""
        return _revived(json.loads(key))


def candidates(names: Sequence[str], search: int = 0, seed: int = 7) -> tuple[Candidate, ...]:
    """The named, always with the naive two, and `search` draws of each named booster. ValueError if unknown."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise DataError(f"unknown candidate {', '.join(unknown)}; known are {', '.join(NAMES)}")
    wanted = [name for name in NAMES if name in NAIVE or name in names]
    drawn = [
        drawn_candidate(name, number, seed) for name in BOOSTERS if name in names for number in range(1, search + 1)
    ]
    return (*(_default(name) for name in wanted), *drawn)


def drawn_candidate(booster: str, number: int, seed: int) -> Candidate:
    """The `number`th random recipe of a booster; the same for a seed, however many are drawn."""
    random = np.random.default_rng([seed, BOOSTERS.index(booster), number])
    default = DEFAULTS[booster]
    drawn = {name: _draw(random, low, high, type(default[name])) for name, (low, high) in RANGES[booster].items()}
    return Candidate(f"{booster}-s{number}", booster, _frozen(default | drawn))


def _default(name: str) -> Candidate:
    members = tuple(_default(member) for member in BLENDED) if name == "blend" else ()
    return Candidate(name, name, _frozen(DEFAULTS.get(name, {})), members=members)


def _draw(random: np.random.Generator, low: float, high: float, kind: type) -> Param:
    value = float(np.exp(random.uniform(np.log(low), np.log(high))))
    return round(value) if kind is int else float(f"{value:.3g}")


def _frozen(params: Mapping[str, Param]) -> tuple[tuple[str, Param], ...]:
    return tuple(sorted(params.items()))


def _revived(words: dict) -> Candidate:
    spec = {name: tuple(value) if isinstance(value, list) else value for name, value in words["spec"].items()}
    return Candidate(
        words["name"],
        words["learner"],
        tuple((name, value) for name, value in words["params"]),
        FeatureSpec(**spec),
        tuple(_revived(member) for member in words["members"]),
    )
