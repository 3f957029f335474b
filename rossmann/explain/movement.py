"""Why the forecast of a store and day moved: new actuals, a changed plan, a changed model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from itertools import permutations, product
from math import factorial

import numpy as np

from rossmann.data import Plan
from rossmann.explain.reasons import ForecastInputs
from rossmann.features import State
from rossmann.schema import to_date

CAUSES = 3  # actuals, plan and model
Sides = tuple[int, ...]  # of each cause, whether it is as before (0) or as after (1)


@dataclass(frozen=True)
class Movement:
    """By how much a forecast moved, and the causes of that, which add up to it. All in the unit of sales."""

    store: int
    date: date
    before: float
    after: float
    actuals: float
    plan: float
    model: float

    @property
    def change(self) -> float:
        """The difference of the two forecasts."""
        return self.after - self.before

    @property
    def causes(self) -> tuple[tuple[str, float], ...]:
        """Name and amount of each cause. The amounts add up to `change`."""
        return ("new actuals", self.actuals), ("changed plan", self.plan), ("changed model", self.model)


def why_it_moved(earlier: ForecastInputs, later: ForecastInputs, store: int, day: np.datetime64) -> Movement:
    """Split the difference of two forecasts of a store's day. DataError if one of the two cannot forecast the day.

    The forecast is computed with every mixture of what was and what is. A cause has the mean of what it changes over
    all orders in which the causes can be exchanged (its Shapley value): one fixed order would give what two causes do
    together to one of them. A cause that changes nothing has 0. The plan is exchanged on the days that both forecast.
    """
    sides = (earlier, later)
    for inputs in sides:
        inputs.require_day(day)
    forecasts = {mixture: _forecast(sides, mixture, store, day) for mixture in product((0, 1), repeat=CAUSES)}
    shares = _shapley(forecasts.__getitem__)
    first, last = forecasts[0, 0, 0], forecasts[1, 1, 1]
    return Movement(store, to_date(day), first, last, *shares)


def _shapley(value: Callable[[Sides], float]) -> list[float]:
    """The mean over all orders of what each cause changes when its turn comes."""
    shares = [0.0] * CAUSES
    for order in permutations(range(CAUSES)):
        mixture = [0] * CAUSES
        for cause in order:
            value_without = value(tuple(mixture))
            mixture[cause] = 1
            shares[cause] += value(tuple(mixture)) - value_without
    return [share / factorial(CAUSES) for share in shares]


def _forecast(sides: tuple[ForecastInputs, ForecastInputs], mixture: Sides, store: int, day: np.datetime64) -> float:
    """The forecast with the actuals, the plan and the model that the mixture takes from the two sides."""
    actuals, plan, model = (sides[side] for side in mixture)
    rows = _store_plan(plan, actuals.state, store)
    sales = model.forecaster.predict(actuals.state, rows).sales
    return float(sales[rows.date == day][0])


def _store_plan(inputs: ForecastInputs, state: State, store: int) -> Plan:
    """The plan of these inputs for one store, on the days that both they and the State forecast.

    With the State's covariates, overwritten by those of the plan that have the same name.
    """
    rows = inputs.rows_of(store)
    rows = rows.at((rows.date > state.origin) & (rows.date <= state.calendar.dates[-1]))
    position = int(state.stores.positions(np.array([store]))[0])
    covariates = state.calendar.covariates[:, position, state.calendar.positions(rows.date)].T.copy()
    names = inputs.state.calendar.covariate_names.tolist()
    for column, name in enumerate(state.calendar.covariate_names.tolist()):
        if name in names:
            covariates[:, column] = rows.covariates[:, names.index(name)]
    return replace(rows, covariates=covariates)
