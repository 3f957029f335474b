"""Why the forecast of a store and day moved: new actuals, a changed plan, a changed model."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import permutations, product
from math import factorial

import numpy as np

from rossmann import features
from rossmann.data import Plan
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.schema import CALENDAR_COLUMNS
from rossmann.validation import DataError

CAUSES = 3  # actuals, plan and model
Sides = tuple[int, ...]  # of each cause, whether it is as before (0) or as after (1)


@dataclass(frozen=True)
class Basis:
    """What a forecast is made from: a model, what was known on an evening, and the plan."""

    forecaster: Forecaster
    state: State
    plan: Plan | None = None  # a caller's rows, which are laid over the published plan of the State


@dataclass(frozen=True)
class Movement:
    """By how much a forecast moved, and the causes of that, which add up to it. In the currency of the forecast."""

    store: int
    date: date
    before: float
    after: float
    actuals: float
    plan: float
    model: float


def why_it_moved(before: Basis, after: Basis, store: int, day: np.datetime64) -> Movement:
    """Split the difference of two forecasts of a store's day. DataError if one of the two cannot forecast the day.

    The forecast is computed with every mixture of what was and what is. A cause has the mean of what it changes over
    all orders in which the causes can be exchanged (its Shapley value): one fixed order would give what two causes do
    together to one of them. A cause that changes nothing has 0. The plan is exchanged on the days that both forecast.
    """
    sides = (before, after)
    for basis in sides:
        _check(basis.state, store, day)
    forecasts = {mixture: _forecast(sides, mixture, store, day) for mixture in product((0, 1), repeat=CAUSES)}
    shares = _shapley(forecasts.__getitem__)
    first, last = forecasts[0, 0, 0], forecasts[1, 1, 1]
    return Movement(store, day.item(), first, last, *shares)


def _check(state: State, store: int, day: np.datetime64) -> None:
    """DataError if a State cannot forecast the day of the store."""
    state.stores.positions(np.array([store]))
    if not state.origin < day <= state.calendar.dates[-1]:
        raise DataError(
            f"with sales until {state.origin}, {day} cannot be forecast: the days are {state.origin + 1} to "
            f"{state.calendar.dates[-1]}; choose an evening before {day} from which it can"
        )


def _shapley(value: Callable[[Sides], float]) -> list[float]:
    """The mean over all orders of what each cause changes when its turn comes."""
    shares = [0.0] * CAUSES
    for order in permutations(range(CAUSES)):
        mixture = [0] * CAUSES
        for cause in order:
            without = value(tuple(mixture))
            mixture[cause] = 1
            shares[cause] += value(tuple(mixture)) - without
    return [share / factorial(CAUSES) for share in shares]


def _forecast(sides: tuple[Basis, Basis], mixture: Sides, store: int, day: np.datetime64) -> float:
    """The forecast with actuals, plan and model each of one side."""
    actuals, plan, model = (sides[side] for side in mixture)
    rows = _store_plan(plan, actuals.state, store)
    sales = model.forecaster.predict(actuals.state, rows).sales
    return float(sales[rows.date == day][0])


def _store_plan(basis: Basis, state: State, store: int) -> Plan:
    """The plan of a basis for one store, on the days that it and the State forecast, with the State's covariates."""
    own = features.join_plan(basis.state, _own_rows(basis, store))
    dates = own.calendar.dates[-basis.state.horizon_days :]
    dates = dates[(dates > state.origin) & (dates <= state.calendar.dates[-1])]
    days = own.calendar.positions(dates)
    columns = {name: getattr(own.calendar, name)[0, days] for name in CALENDAR_COLUMNS}
    position = int(state.stores.positions(np.array([store]))[0])
    covariates = state.calendar.covariates[:, position, state.calendar.positions(dates)].T.copy()
    names = own.calendar.covariate_names.tolist()
    for column, name in enumerate(state.calendar.covariate_names.tolist()):
        if name in names:
            covariates[:, column] = own.calendar.covariates[names.index(name), 0, days]
    return Plan(np.full(len(dates), store, np.int32), dates, **columns, covariates=covariates)


def _own_rows(basis: Basis, store: int) -> Plan:
    """The caller's rows of a store, or the published ones where there are none."""
    if basis.plan is not None and (is_own := basis.plan.store == store).any():
        return Plan(**{name: values[is_own] for name, values in vars(basis.plan).items()})
    position = int(basis.state.stores.positions(np.array([store]))[0])
    return features.published_plan(basis.state, slice(position, position + 1))
