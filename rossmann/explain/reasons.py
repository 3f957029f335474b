"""The reasons of a forecast: its terms in the words of a shop, which add up to it."""

from collections.abc import Mapping
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
    amount: float  # the same as a part of the forecast, in its currency: the sum over all terms is the forecast
    parts: tuple["Term", ...] = ()  # their sum is the term; empty where there is nothing to tell apart

    @property
    def change(self) -> float:
        """By which share the term raises sales, whatever the others do; of the first term of no use."""
        return float(np.expm1(self.log_effect))

    def document(self) -> dict[str, object]:
        """The term for JSON, without its parts."""
        return {"name": self.name, "log_effect": self.log_effect, "amount": self.amount}


@dataclass(frozen=True)
class Reasons:
    """Why the forecast of a store and day is what it is. Terms without any effect are left out."""

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
class Basis:
    """What a forecast is made from: a model, what was known on an evening, and the plan."""

    forecaster: Forecaster
    state: State
    plan: Plan | None = None  # a caller's rows, which are laid over the published plan of the State

    def rows_of(self, store: int) -> Plan:
        """All days of the horizon for one store, with its covariates. DataError for an unknown store."""
        position = int(self.state.stores.positions(np.array([store]))[0])
        rows = features.published_plan(self.state, slice(position, position + 1))
        own = rows
        if self.plan is not None and (is_own := self.plan.store == store).any():
            own = self.plan.at(is_own)
        calendar, days = features.join_plan(self.state, own).calendar, slice(-self.state.horizon_days, None)
        columns = {name: getattr(calendar, name)[0, days] for name in CALENDAR_COLUMNS}
        return Plan(rows.store, rows.date, **columns, covariates=calendar.covariates[:, 0, days].T)

    def require_day(self, day: np.datetime64) -> None:
        """DataError for a day that cannot be forecast."""
        origin, last = self.state.origin, self.state.calendar.dates[-1]
        if not origin < day <= last:
            raise DataError(
                f"{day} cannot be forecast from the evening of {origin}: the plan has the days {origin + DAY} to "
                f"{last}; choose one of them, or another evening"
            )


def reasons_of_day(basis: Basis, store: int, day: np.datetime64) -> Reasons:
    """The reasons of the forecast of one store's day. DataError for a day that cannot be forecast, or unknown store."""
    basis.require_day(day)
    plan = basis.rows_of(store)
    (result,) = _reasons(basis.forecaster, basis.state, plan, np.flatnonzero(plan.date == day))
    return result


def reasons(forecaster: Forecaster, state: State, plan: Plan) -> tuple[Reasons, ...]:
    """The reasons of the forecast of every row of the plan, in its order. Some 5 ms of one core per row with a blend.

    plan: as for `Forecaster.predict`. DataError for a day outside the horizon, or an unknown store.
    """
    return _reasons(forecaster, state, plan, np.arange(len(plan)))


def _reasons(forecaster: Forecaster, state: State, plan: Plan, positions: np.ndarray) -> tuple[Reasons, ...]:
    """Those of the rows at these positions; the others are their neighbours."""
    if not len(positions):
        return ()
    joined = features.join_plan(state, plan)
    of_rows = joined.row_store[positions], joined.row_day[positions]
    rows = PlanRows(state, joined.calendar, joined.store_positions, *of_rows)
    forecast = forecaster.predict(state, plan).sales[positions]
    effects = log_effects(forecaster, rows)
    base = effects[terms.USUAL, WHOLE]
    per_log = mean_amount(forecast, np.exp(base))
    order = _in_order(effects)
    return tuple(
        Reasons(
            int(plan.store[position]),
            plan.date[position].item(),
            int(rows.lead_days[row]),
            float(forecast[row]),
            _terms(order, row, base[row], per_log[row]) if rows.open[row] else (),
        )
        for row, position in enumerate(positions)
    )


def mean_amount(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The logarithmic mean (a − b) / (log a − log b) of positive amounts; a where they are equal, 0 where a is 0.

    Times the effect of a term on log sales it is the amount of the term: no order of the terms, no rest. This is the
    LMDI split (Ang, "The LMDI approach to decomposition analysis: a practical guide", Energy Policy 33, 2005).
    """
    positive = np.where(a > 0, a, b)
    log_ratio = np.log(positive) - np.log(b)
    is_equal = np.abs(log_ratio) < 1e-9
    return np.where(a > 0, np.where(is_equal, positive, (positive - b) / np.where(is_equal, 1.0, log_ratio)), 0.0)


def _in_order(effects: Effects) -> Mapping[str, Mapping[str, np.ndarray]]:
    """The effects by term and part, as the terms are listed: those of a chain's own covariates before LAST_TERMS."""
    by_term: dict[str, dict[str, np.ndarray]] = {}
    for (term, part), values in effects.items():
        by_term.setdefault(term, {})[part] = values
    own = [term for term in by_term if term not in (*terms.FIRST_TERMS, *terms.LAST_TERMS)]
    return {term: by_term[term] for term in (*terms.FIRST_TERMS, *own, *terms.LAST_TERMS) if term in by_term}


def _terms(order: Mapping[str, Mapping[str, np.ndarray]], row: int, base: float, per_log: float) -> tuple[Term, ...]:
    """The terms of one row, but for those without an effect."""
    result = [Term(terms.USUAL, float(base), float(np.exp(base)))]
    for name, parts in order.items():
        if name == terms.USUAL:
            continue
        own = tuple(_term(part, float(values[row]), per_log) for part, values in parts.items() if values[row])
        if own:
            total = sum(part.log_effect for part in own)
            result.append(_term(name, total, per_log, _worth_telling(own)))
    return tuple(result)


def _term(name: str, log_effect: float, per_log: float, parts: tuple[Term, ...] = ()) -> Term:
    return Term(name, log_effect, float(log_effect * per_log), parts)


def _worth_telling(parts: tuple[Term, ...]) -> tuple[Term, ...]:
    """The parts, the largest first; none where the only one says no more than its term."""
    if {part.name for part in parts} <= {WHOLE, terms.OTHER_HOLIDAYS}:
        return ()
    return tuple(sorted(parts, key=lambda part: -abs(part.log_effect)))
