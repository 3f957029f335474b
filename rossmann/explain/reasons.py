"""The reasons of a forecast: its terms, named in business language, which add up to it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from rossmann import features
from rossmann.data import Plan
from rossmann.explain import terms
from rossmann.explain.effects import WHOLE, Effects, log_effects
from rossmann.features import PlanRows, State
from rossmann.models import Forecaster
from rossmann.schema import CALENDAR_COLUMNS, DAY
from rossmann.validation import DataError


@dataclass(frozen=True)
class Term:
    """A part of a forecast. The first one is the level from which all others are counted."""

    name: str
    log_effect: float  # the sum over all terms is the logarithm of the forecast
    amount: float  # in the unit of sales: the sum over all terms is the forecast
    parts: tuple["Term", ...] = ()  # they add up to the term; empty if the term has no parts

    @property
    def change(self) -> float:
        """Relative effect on sales: 0.05 means +5 %. Meaningless for the first term, the base level."""
        return float(np.expm1(self.log_effect))

    def document(self) -> dict[str, object]:
        """The term for JSON, without its parts."""
        return {"name": self.name, "log_effect": self.log_effect, "amount": self.amount}


@dataclass(frozen=True)
class Reasons:
    """Why the forecast of a store and day is what it is. `forecast` and amounts are in the unit of sales.

    Terms without any effect are left out.
    """

    store: int
    date: date
    lead_days: int  # after the last day with known sales
    forecast: float
    terms: tuple[Term, ...]  # none on a closed day, whose forecast is 0 because the plan says so

    @property
    def closed(self) -> bool:
        """Whether the plan says that the store is closed."""
        return not self.terms

    def document(self) -> dict[str, object]:
        """The reasons for JSON, on the command line and over HTTP. The store is left to those who know its label."""
        return {
            "date": self.date.isoformat(),
            "lead_days": self.lead_days,
            "forecast": self.forecast,
            "closed": self.closed,
            "terms": [term.document() | {"parts": [part.document() for part in term.parts]} for term in self.terms],
        }


@dataclass(frozen=True)
class ForecastInputs:
    """What a forecast is made from: a model, the data as they were known at an origin, and the plan."""

    forecaster: Forecaster
    state: State
    plan: Plan | None = None  # a caller's rows, which are laid over the published plan of the State

    def rows_of(self, store: int) -> Plan:
        """The plan of one store for all days of the horizon: the published rows, with the caller's rows over them.

        With its covariates. DataError for an unknown store.
        """
        position = int(self.state.stores.positions(np.array([store]))[0])
        rows = features.published_plan(self.state, slice(position, position + 1))
        caller_rows = rows
        if self.plan is not None and (is_of_store := self.plan.store == store).any():
            caller_rows = self.plan.at(is_of_store)
        calendar, days = features.join_plan(self.state, caller_rows).calendar, slice(-self.state.horizon_days, None)
        columns = {name: getattr(calendar, name)[0, days] for name in CALENDAR_COLUMNS}
        return Plan(rows.store, rows.date, **columns, covariates=calendar.covariates[:, 0, days].T)

    def require_day(self, day: np.datetime64) -> None:
        """DataError for a day that cannot be forecast."""
        origin, last = self.state.origin, self.state.calendar.dates[-1]
        if not origin < day <= last:
            raise DataError(
                f"{day} cannot be forecast from sales up to {origin}: the plan covers {origin + DAY} to {last}; choose "
                "one of these days, or another origin"
            )


def reasons_of_day(inputs: ForecastInputs, store: int, day: np.datetime64) -> Reasons:
    """The reasons of the forecast of one store's day. DataError for a day that cannot be forecast, or unknown store."""
    inputs.require_day(day)
    plan = inputs.rows_of(store)
    (result,) = _reasons(inputs.forecaster, inputs.state, plan, np.flatnonzero(plan.date == day))
    return result


def reasons_of_stores(inputs: ForecastInputs, stores: Sequence[int], day: np.datetime64) -> tuple[Reasons, ...]:
    """The reasons of the published forecasts of a day of these stores. DataError for a day that cannot be forecast."""
    inputs.require_day(day)
    plan = features.published_plan(inputs.state)
    return reasons(inputs.forecaster, inputs.state, plan.at(np.isin(plan.store, stores) & (plan.date == day)))


def sum_terms(several: Sequence[Reasons]) -> tuple[Term, ...]:
    """The terms of the sum of several forecasts, without parts: their amounts are summed. None if all are closed.

    An effect is that on the logarithm of the sum, so that these add up, too.
    """
    amounts: dict[str, float] = {}
    for term in (term for each in several for term in each.terms):
        amounts[term.name] = amounts.get(term.name, 0.0) + term.amount
    if not amounts:
        return ()
    forecast, base = sum(each.forecast for each in several), amounts[terms.USUAL]
    amount_per_log_effect = float(logarithmic_mean(np.array(forecast), np.array(base)))
    others = (name for name in _ordered(amounts) if name != terms.USUAL)
    return (
        Term(terms.USUAL, float(np.log(base)), base),
        *(Term(name, amounts[name] / amount_per_log_effect, amounts[name]) for name in others),
    )


def reasons(forecaster: Forecaster, state: State, plan: Plan) -> tuple[Reasons, ...]:
    """The reasons of the forecast of every row of the plan, in its order. Some 5 ms of one core per row with a blend.

    plan: as for `Forecaster.predict`. DataError for a day outside the horizon, or an unknown store.
    """
    return _reasons(forecaster, state, plan, np.arange(len(plan)))


def _reasons(forecaster: Forecaster, state: State, plan: Plan, positions: np.ndarray) -> tuple[Reasons, ...]:
    """The reasons of the rows at these positions; the other rows of the plan are their neighbours."""
    if not len(positions):
        return ()
    all_rows = features.join_plan(state, plan)
    row_positions = all_rows.row_store[positions], all_rows.row_day[positions]
    rows = PlanRows(state, all_rows.calendar, all_rows.store_positions, *row_positions)
    forecast = forecaster.predict(state, plan).sales[positions]
    effects = log_effects(forecaster, rows)
    base = effects[terms.USUAL, WHOLE]
    amount_per_log_effect = logarithmic_mean(forecast, np.exp(base))
    order = _in_order(effects)
    return tuple(
        Reasons(
            int(plan.store[position]),
            plan.date[position].item(),
            int(rows.lead_days[row]),
            float(forecast[row]),
            _terms(order, row, base[row], amount_per_log_effect[row]) if rows.open[row] else (),
        )
        for row, position in enumerate(positions)
    )


def logarithmic_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The logarithmic mean (a − b) / (log a − log b); a where a equals b, 0 where a is 0. float64, same shape

    An effect on log sales times this mean is the term's amount. The amounts add up exactly and do not depend on an
    order (LMDI: Ang, "The LMDI approach to decomposition analysis: a practical guide", Energy Policy 33, 2005).
    """
    positive = np.where(a > 0, a, b)
    log_ratio = np.log(positive) - np.log(b)
    is_equal = np.abs(log_ratio) < 1e-9
    return np.where(a > 0, np.where(is_equal, positive, (positive - b) / np.where(is_equal, 1.0, log_ratio)), 0.0)


def _in_order(effects: Effects) -> Mapping[str, Mapping[str, np.ndarray]]:
    """The effects by term and part, as the terms are listed."""
    by_term: dict[str, dict[str, np.ndarray]] = {}
    for (term, part), values in effects.items():
        by_term.setdefault(term, {})[part] = values
    return {term: by_term[term] for term in _ordered(by_term)}


def _ordered(names: Iterable[str]) -> list[str]:
    """Names of terms as they are listed: the covariates of chain.toml before LAST_TERMS."""
    existing = list(names)
    covariate_terms = [name for name in existing if name not in (*terms.FIRST_TERMS, *terms.LAST_TERMS)]
    return [name for name in (*terms.FIRST_TERMS, *covariate_terms, *terms.LAST_TERMS) if name in existing]


def _terms(
    order: Mapping[str, Mapping[str, np.ndarray]], row: int, base: float, amount_per_log_effect: float
) -> tuple[Term, ...]:
    """The terms of one row, but for those without an effect."""
    result = [Term(terms.USUAL, float(base), float(np.exp(base)))]
    for name, parts in order.items():
        if name == terms.USUAL:
            continue
        effective_parts = tuple(
            _term(part, float(values[row]), amount_per_log_effect) for part, values in parts.items() if values[row]
        )
        if effective_parts:
            total = sum(part.log_effect for part in effective_parts)
            result.append(_term(name, total, amount_per_log_effect, _informative_parts(effective_parts)))
    return tuple(result)


def _term(name: str, log_effect: float, amount_per_log_effect: float, parts: tuple[Term, ...] = ()) -> Term:
    return Term(name, log_effect, float(log_effect * amount_per_log_effect), parts)


def _informative_parts(parts: tuple[Term, ...]) -> tuple[Term, ...]:
    """The parts, the largest first; none where the only one says no more than its term."""
    if {part.name for part in parts} <= {WHOLE, terms.OTHER_HOLIDAYS}:
        return ()
    return tuple(sorted(parts, key=lambda part: -abs(part.log_effect)))
