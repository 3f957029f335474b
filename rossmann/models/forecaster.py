"""A cooked Candidate: a State and a plan in, a forecast out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rossmann import features
from rossmann.data import Plan
from rossmann.features import Rows, State
from rossmann.models import intervals as bounds
from rossmann.models import learners
from rossmann.models.candidate import Candidate
from rossmann.models.intervals import Intervals
from rossmann.models.learners import Model
from rossmann.models.lessons import Lesson

CANDIDATE_FILE = "candidate.json"


@dataclass(frozen=True)
class Forecast:
    """Sales of a plan's rows, in its order; bounds are NaN until there are intervals. float64 [rows] each"""

    sales: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True)
class Forecaster:
    """What was learnt, for a blend by each of its members, and how far it may be off."""

    candidate: Candidate
    model: Model | None  # None for a blend
    members: tuple["Forecaster", ...] = ()
    intervals: Intervals | None = None

    def predict(self, state: State, plan: Plan) -> Forecast:
        """One forecast per row of the plan; closed days are exactly 0."""
        sales = self._sales(features.lay(state, plan), {})
        if self.intervals is None:
            unknown = np.full(len(sales), np.nan)
            return Forecast(sales, unknown, unknown.copy())
        return Forecast(sales, *self.intervals.around(plan.store, sales))

    def with_intervals(self, intervals: Intervals) -> "Forecaster":
        """The same, with bounds."""
        return replace(self, intervals=intervals)

    def importance(self) -> tuple[tuple[str, float], ...]:
        """(column, share of the gain), largest first; of a blend the mean of its members'; empty for others."""
        shares: dict[str, float] = {}
        learnt = [ranked for member in self.members or (self,) if (ranked := _shares(member))]
        for ranked in learnt:
            for name, share in ranked.items():
                shares[name] = shares.get(name, 0.0) + share / len(learnt)
        return tuple(sorted(shares.items(), key=lambda pair: -pair[1]))

    def save(self, folder: Path | str) -> None:
        """Native formats only: LightGBM text, XGBoost UBJSON, JSON and npz. The folder is made."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CANDIDATE_FILE).write_text(self.candidate.key() + "\n")
        for number, member in enumerate(self.members):
            member.save(folder / f"member-{number}")
        if self.model:
            self.model.save(folder)
        if self.intervals:
            self.intervals.save(folder)

    def _sales(self, rows: Rows, matrices: dict[features.FeatureSpec, np.ndarray]) -> np.ndarray:
        if self.members:
            return pool([member._sales(rows, matrices) for member in self.members])
        spec = self.candidate.spec
        if self.candidate.learns and spec not in matrices:
            matrices[spec] = rows.matrix(spec)
        log_sales = self.model.log_sales(rows, matrices.get(spec))
        return np.where(rows.open, np.exp(log_sales), 0.0)


def fit(
    candidate: Candidate, lessons: Sequence[Lesson], known_until: np.datetime64, seed: int, threads: int = 1
) -> Forecaster:
    """Learnt from lesson rows up to `known_until`; candidates that do not learn need no lessons."""
    if candidate.members:
        return blend(candidate, [fit(member, lessons, known_until, seed, threads) for member in candidate.members])
    return Forecaster(candidate, learners.learn(candidate, lessons, known_until, seed, threads))


def blend(candidate: Candidate, members: Sequence[Forecaster]) -> Forecaster:
    """The members, in the candidate's order, weighed equally in log space."""
    by_name = {member.candidate.name: member for member in members}
    missing = [member.name for member in candidate.members if member.name not in by_name]
    if missing:
        raise ValueError(f"{candidate.name} lacks its member {', '.join(missing)}; fit it first")
    return Forecaster(candidate, None, tuple(by_name[member.name] for member in candidate.members))


def pool(forecasts: Sequence[np.ndarray]) -> np.ndarray:
    """The mean in log space of forecasts of the same rows; 0 where any is 0."""
    together = np.stack(forecasts)
    open_days = (together > 0).all(axis=0)
    return np.where(open_days, np.exp(np.log(np.where(open_days, together, 1)).mean(axis=0)), 0.0)


def load(folder: Path | str) -> Forecaster:
    """What `save` wrote; forecasts the same to the last bit."""
    folder = Path(folder)
    candidate = Candidate.parse((folder / CANDIDATE_FILE).read_text())
    members = tuple(load(folder / f"member-{number}") for number in range(len(candidate.members)))
    model = None if members else learners.load(candidate, folder)
    known = Intervals.load(folder) if (folder / bounds.FILE).exists() else None
    return Forecaster(candidate, model, members, known)


def _shares(forecaster: Forecaster) -> dict[str, float]:
    ranked = forecaster.model.importance() if forecaster.model else forecaster.importance()
    total = sum(gain for _, gain in ranked)
    return {name: gain / total for name, gain in ranked} if total else {}
