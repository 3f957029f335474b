"""A fitted candidate: from a State and a plan to a forecast."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from rossmann import features
from rossmann.data import Plan
from rossmann.features import PlanRows, State
from rossmann.models import quantiles, variance_components
from rossmann.models.candidate import Candidate
from rossmann.models.day_corrections import day_excess
from rossmann.models.learner import Booster, FittedModel, Rule, TrainingInput, loss_shift
from rossmann.models.learners import LEARNERS
from rossmann.models.quantiles import Quantiles
from rossmann.models.training_windows import TrainingWindow, linear_base, past_set, train_set
from rossmann.models.variance_components import VarianceComponents

CANDIDATE_FILE = "candidate.json"
# From so many rows on all rounds are used; below, they shrink with the square root of the rows.
FULL_ROUNDS_MIN_ROWS = 300_000
MIN_ROUNDS = 40


@dataclass(frozen=True)
class Forecast:
    """Sales of a plan's rows, in its order. float64 [rows] each; all but sales is NaN where there are no quantiles.

    `Forecaster.quantiles` has the other quantiles: `around(standard_deviation, sales)`.
    """

    sales: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    standard_deviation: np.ndarray  # of the error of log sales

    def at(self, rows: np.ndarray | slice) -> "Forecast":
        """The rows at these positions, or those that a bool array [rows] selects."""
        return Forecast(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Forecaster:
    """A candidate with its fitted model, or the forecasters of a blend's members, and the quantiles around them."""

    candidate: Candidate
    model: FittedModel | None  # None for a blend
    members: tuple["Forecaster", ...] = ()
    quantiles: Quantiles | None = None  # those that tables, responses and the journal have
    interval_quantiles: Quantiles | None = None  # the bounds of INTERVAL_COVERAGES, and the median
    variance_components: VarianceComponents | None = None  # how the errors of its rows are correlated

    @property
    def booster(self) -> Booster:
        """The model of a candidate that is a booster."""
        return cast(Booster, self.model)

    @property
    def rule(self) -> Rule:
        """The model of a candidate that is neither a booster nor a blend."""
        return cast(Rule, self.model)

    def predict(self, state: State, plan: Plan) -> Forecast:
        """One forecast per row of the plan; closed days are exactly 0."""
        rows = features.join_plan(state, plan)
        sales = self._sales(rows, {})
        if self.quantiles is None:
            return Forecast(sales, *np.full((3, len(sales)), np.nan))
        deviation = rows.standard_deviation
        return Forecast(sales, *self.quantiles.bounds(deviation, sales), deviation)

    def require_features(self, state: State) -> None:
        """DataError if the State lacks a covariate that a booster was fitted with: it cannot forecast from it."""
        rows = features.join_plan(state, features.published_plan(state, slice(1)))
        for each in self.members or (self,):
            if each.candidate.is_booster:
                features.matrix(rows, each.booster.columns)

    def require_quantiles(self) -> Quantiles:
        """Its quantiles. ValueError if it has none: it was not registered."""
        if self.quantiles is None:
            raise ValueError(f"{self.candidate.name} has no quantiles: calibrate them in a backtest")
        return self.quantiles

    def with_quantiles(self, quantiles: Quantiles) -> "Forecaster":
        """A copy with these quantiles."""
        return replace(self, quantiles=quantiles)

    def with_interval_quantiles(self, quantiles: Quantiles) -> "Forecaster":
        """A copy with these interval quantiles."""
        return replace(self, interval_quantiles=quantiles)

    def with_variance_components(self, components: VarianceComponents) -> "Forecaster":
        """A copy with these components, for the prediction intervals of sums."""
        return replace(self, variance_components=components)

    def require_interval_quantiles(self) -> Quantiles:
        """The interval quantiles, or `quantiles` where it has none. Raises ValueError like `require_quantiles`."""
        return self.interval_quantiles or self.require_quantiles()

    def importance(self) -> tuple[tuple[str, float], ...]:
        """(column, share of the gain), largest first. Of a blend the mean of its boosters; empty without boosters."""
        total: dict[str, float] = {}
        members = [shares for member in self.members or (self,) if (shares := _gain_shares(member))]
        for shares in members:
            for name, share in shares.items():
                total[name] = total.get(name, 0.0) + share / len(members)
        return tuple(sorted(total.items(), key=lambda pair: -pair[1]))

    def save(self, folder: Path | str) -> None:
        """Write into the folder, which is created. The formats execute no code when loaded: no pickle."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CANDIDATE_FILE).write_text(self.candidate.key() + "\n")
        for number, member in enumerate(self.members):
            member.save(_member_folder(folder, number))
        if self.model:
            self.model.save(folder)
        if self.quantiles:
            self.quantiles.save(folder / quantiles.FILE)
        if self.interval_quantiles:
            self.interval_quantiles.save(folder / quantiles.INTERVAL_FILE)
        if self.variance_components:
            self.variance_components.save(folder)

    def _sales(self, rows: PlanRows, matrices: dict[tuple[str, ...], np.ndarray]) -> np.ndarray:
        """Forecast sales. `matrices` collects the features by their names: the members of a blend share them. [rows]"""
        if self.members:
            return geometric_mean([member._sales(rows, matrices) for member in self.members])
        log_sales = self._log_sales(rows, matrices) + loss_shift(rows, self.candidate.variance_factor)
        return np.where(rows.open, np.exp(log_sales), 0.0)

    def _log_sales(self, rows: PlanRows, matrices: dict[tuple[str, ...], np.ndarray]) -> np.ndarray:
        """Median log sales as if every day were open. [rows]"""
        if not self.candidate.is_booster:
            return self.rule.log_sales(rows)
        columns = self.booster.columns
        if columns not in matrices:
            matrices[columns] = features.matrix(rows, columns)
        excess = day_excess(self.booster, rows.state)[rows.lead_days - 1]
        return linear_base(rows) + self.booster.correction(matrices[columns]) - excess


def fit(
    candidate: Candidate,
    training_windows: Sequence[TrainingWindow],
    train_end: np.datetime64,
    seed: int,
    threads: int = 1,
) -> Forecaster:
    """Fit a candidate to the rows of the windows up to and including `train_end`.

    training_windows: those of the training, and the `past_window` of `train_end`; a candidate ignores what it does not
    need. ValueError where a booster has no rows, or where the windows have other features than the candidate.
    """
    if candidate.members:
        members = [fit(member, training_windows, train_end, seed, threads) for member in candidate.members]
        return blend(candidate, members)
    learner = LEARNERS[candidate.learner]
    if not candidate.is_booster:
        return Forecaster(candidate, learner.fit(None))
    return Forecaster(candidate, learner.fit(_training_input(candidate, training_windows, train_end, seed, threads)))


def _training_input(
    candidate: Candidate, training_windows: Sequence[TrainingWindow], train_end: np.datetime64, seed: int, threads: int
) -> TrainingInput:
    params = dict(candidate.params)
    max_rounds = int(params.pop("max_rounds"))
    if LEARNERS[candidate.learner].needs_past_window:
        rows = past_set(training_windows, train_end)
    else:
        rows = train_set(training_windows, train_end, int(params.pop("max_rows")), seed)
    if rows.spec != candidate.spec:
        raise ValueError(f"{candidate.name} needs training windows with {candidate.spec}, these have {rows.spec}")
    scaled_rounds = int(max_rounds * min(1.0, (len(rows.date) / FULL_ROUNDS_MIN_ROWS) ** 0.5))
    return TrainingInput(rows, params, max(min(MIN_ROUNDS, max_rounds), scaled_rounds), seed, threads)


def blend(candidate: Candidate, members: Sequence[Forecaster]) -> Forecaster:
    """The blend of fitted members, with equal weights in log space. ValueError where a member is missing."""
    by_name = {member.candidate.name: member for member in members}
    missing = [member.name for member in candidate.members if member.name not in by_name]
    if missing:
        raise ValueError(f"{candidate.name} lacks its member {', '.join(missing)}; fit it first")
    return Forecaster(candidate, None, tuple(by_name[member.name] for member in candidate.members))


def geometric_mean(forecasts: Sequence[np.ndarray]) -> np.ndarray:
    """The geometric mean of several forecasts of the same rows; 0 where any of them is 0. float64 [rows]"""
    stacked = np.stack(forecasts)
    positive = (stacked > 0).all(axis=0)
    return np.where(positive, np.exp(np.log(np.where(positive, stacked, 1)).mean(axis=0)), 0.0)


def load(folder: Path | str) -> Forecaster:
    """Read what `save` wrote; the forecasts are the same to the last bit."""
    folder = Path(folder)
    candidate = Candidate.parse((folder / CANDIDATE_FILE).read_text())
    members = tuple(load(_member_folder(folder, number)) for number in range(len(candidate.members)))
    model = None if members else LEARNERS[candidate.learner].load(folder)
    published, intervals = (quantiles.load(folder / name) for name in (quantiles.FILE, quantiles.INTERVAL_FILE))
    return Forecaster(candidate, model, members, published, intervals, variance_components.load(folder))


def _member_folder(folder: Path, number: int) -> Path:
    return folder / f"member-{number}"


def _gain_shares(forecaster: Forecaster) -> dict[str, float]:
    gains = forecaster.model.importance() if forecaster.model else forecaster.importance()
    total = sum(gain for _, gain in gains)
    return {name: gain / total for name, gain in gains} if total else {}
