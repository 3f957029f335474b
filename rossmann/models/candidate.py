"""Candidates: the model configurations that a backtest run compares."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rossmann.evaluation.losses import LOSSES, Loss
from rossmann.features import FeatureSpec
from rossmann.models.learner import Param
from rossmann.models.learners import BASELINES, LEARNERS
from rossmann.schema import DEFAULT_LOSS
from rossmann.validation import DataError

BLEND = "blend"
# Of the production blend: new learners are not added automatically.
BLEND_MEMBERS = ("lightgbm_calendar", "lightgbm", "xgboost")
CANDIDATE_NAMES = (*LEARNERS, BLEND)


@dataclass(frozen=True)
class Candidate:
    """A model configuration: hashable, and with the same `key` in every process."""

    name: str
    learner: str  # a name in LEARNERS, or BLEND
    params: tuple[tuple[str, Param], ...] = ()
    spec: FeatureSpec = field(default_factory=FeatureSpec)
    members: tuple["Candidate", ...] = ()  # of a blend
    # Times the variance of log sales is added to their median; of a blend's members, not of the blend itself.
    variance_factor: float = field(kw_only=True)

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

    @property
    def param_changes(self) -> str:
        """The parameters that differ from the learner's defaults, as text; of a blend the members that do.

        Empty where nothing differs.
        """
        if self.members:
            names = [member.name for member in self.members if member.param_changes]
            return f"with {', '.join(names)}" if names else ""
        defaults = LEARNERS[self.learner].defaults
        changes = [(name, value) for name, value in self.params if value != defaults.get(name)]
        return ", ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in changes
        )

    def key(self) -> str:
        """The whole configuration as JSON; `parse` reads it."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def parse(key: str) -> "Candidate":
        """The candidate with this key."""
        return _from_json(json.loads(key))


def candidates(names: Sequence[str], loss: Loss = LOSSES[DEFAULT_LOSS]) -> tuple[Candidate, ...]:
    """The named candidates and the baselines. DataError for an unknown name.

    loss: what their forecasts are to be good at; the baselines forecast the same whatever it is.
    """
    unknown = [name for name in names if name not in CANDIDATE_NAMES]
    if unknown:
        raise DataError(f"unknown candidate {', '.join(unknown)}; choose from {', '.join(CANDIDATE_NAMES)}")
    return tuple(default_candidate(name, loss) for name in CANDIDATE_NAMES if name in BASELINES or name in names)


def default_candidate(name: str, loss: Loss = LOSSES[DEFAULT_LOSS]) -> Candidate:
    """The candidate of this name, one of CANDIDATE_NAMES, with the default parameters."""
    if name == BLEND:
        members = tuple(default_candidate(member, loss) for member in BLEND_MEMBERS)
        return Candidate(BLEND, BLEND, members=members, variance_factor=0.0)
    learner = LEARNERS[name]
    factor = 0.0 if learner.is_baseline else loss.variance_factor
    return Candidate(name, name, _sorted_pairs(learner.defaults), learner.spec, variance_factor=factor)


def trial_candidate(
    learner: str, number: int, params: Mapping[str, float], loss: Loss = LOSSES[DEFAULT_LOSS]
) -> Candidate:
    """The `number`th trial of a search: the learner's defaults with these parameters, rounded to three digits."""
    rounded = {name: value if isinstance(value, int) else float(f"{value:.3g}") for name, value in params.items()}
    pairs = _sorted_pairs({**LEARNERS[learner].defaults, **rounded})
    return Candidate(
        f"{learner}-s{number}", learner, pairs, LEARNERS[learner].spec, variance_factor=loss.variance_factor
    )


def replace_members(blend: Candidate, members: Mapping[str, Candidate]) -> Candidate:
    """The blend with these candidates in place of the members of the same learner; the same where none differs."""
    replaced = tuple(members.get(member.learner, member) for member in blend.members)
    return blend if replaced == blend.members else replace(blend, name=f"{blend.name}-s", members=replaced)


def _sorted_pairs(params: Mapping[str, Param]) -> tuple[tuple[str, Param], ...]:
    return tuple(sorted(params.items()))


def _from_json(values: dict) -> Candidate:
    spec: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values["spec"].items()
    }
    return Candidate(
        values["name"],
        values["learner"],
        tuple((name, value) for name, value in values["params"]),
        FeatureSpec(**spec),
        tuple(_from_json(member) for member in values["members"]),
        variance_factor=values["variance_factor"],
    )
