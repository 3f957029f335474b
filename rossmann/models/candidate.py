"""Candidates: the model configurations that a backtest run compares."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from rossmann.features import FeatureSpec
from rossmann.models.learner import Param
from rossmann.models.learners import BASELINES, LEARNERS, SEARCHABLE
from rossmann.validation import DataError

BLEND = "blend"
BLEND_MEMBERS = (
    "lightgbm_calendar",
    "lightgbm",
    "xgboost",
)  # of the production blend: new learners are not added automatically
CANDIDATE_NAMES = (*LEARNERS, BLEND)


@dataclass(frozen=True)
class Candidate:
    """A model configuration: hashable, and with the same `key` in every process."""

    name: str
    learner: str  # a name in LEARNERS, or BLEND
    params: tuple[tuple[str, Param], ...] = ()
    spec: FeatureSpec = field(default_factory=FeatureSpec)
    members: tuple["Candidate", ...] = ()  # of a blend

    @property
    def needs_training_windows(self) -> bool:
        """Whether it, or a member of it, is fitted to training windows."""
        return any(LEARNERS[each.learner].needs_training_windows for each in self.members or (self,))

    @property
    def needs_past_window(self) -> bool:
        """Whether it, or a member of it, is fitted to the past window of the end of its training days."""
        return any(LEARNERS[each.learner].needs_past_window for each in self.members or (self,))

    @property
    def is_booster(self) -> bool:
        """Whether it is fitted to rows; other candidates read all they need from the State."""
        return self.needs_training_windows or self.needs_past_window

    def key(self) -> str:
        """The whole configuration as JSON; `parse` reads it."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def parse(key: str) -> "Candidate":
        """The candidate with this key."""
        return _from_json(json.loads(key))


def candidates(names: Sequence[str], search: int = 0, seed: int = 7) -> tuple[Candidate, ...]:
    """The named candidates and the baselines, then `search` random draws of each named booster.

    DataError for an unknown name.
    """
    unknown = [name for name in names if name not in CANDIDATE_NAMES]
    if unknown:
        raise DataError(f"unknown candidate {', '.join(unknown)}; choose from {', '.join(CANDIDATE_NAMES)}")
    selection = [default_candidate(name) for name in CANDIDATE_NAMES if name in BASELINES or name in names]
    boosters = [name for name in SEARCHABLE if name in names]
    return (*selection, *(random_candidate(name, n, seed) for name in boosters for n in range(1, search + 1)))


def random_candidate(learner: str, number: int, seed: int) -> Candidate:
    """The `number`th random configuration of a learner; it does not depend on how many are drawn."""
    rng = np.random.default_rng([seed, SEARCHABLE.index(learner), number])
    defaults, ranges = LEARNERS[learner].defaults, LEARNERS[learner].ranges
    params = {name: _draw(rng, low, high, type(defaults[name])) for name, (low, high) in ranges.items()}
    return Candidate(f"{learner}-s{number}", learner, _sorted_pairs({**defaults, **params}), LEARNERS[learner].spec)


def default_candidate(name: str) -> Candidate:
    """The candidate of this name, one of CANDIDATE_NAMES, with the default parameters."""
    if name == BLEND:
        return Candidate(BLEND, BLEND, members=tuple(default_candidate(member) for member in BLEND_MEMBERS))
    return Candidate(name, name, _sorted_pairs(LEARNERS[name].defaults), LEARNERS[name].spec)


def _draw(rng: np.random.Generator, low: float, high: float, kind: type) -> Param:
    value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return round(value) if kind is int else float(f"{value:.3g}")


def _sorted_pairs(params: Mapping[str, Param]) -> tuple[tuple[str, Param], ...]:
    return tuple(sorted(params.items()))


def _from_json(values: dict) -> Candidate:
    spec = {name: tuple(value) if isinstance(value, list) else value for name, value in values["spec"].items()}
    return Candidate(
        values["name"],
        values["learner"],
        tuple((name, value) for name, value in values["params"]),
        FeatureSpec(**spec),
        tuple(_from_json(member) for member in values["members"]),
    )
