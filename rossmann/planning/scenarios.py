"""What-if: changes of the plan, what they would sell beside the plan as it is, and scenarios that are kept by name.

A scenario is a question. It is not journaled as a forecast, and the published plan stays as it is.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from itertools import combinations
from typing import Literal, cast, get_args
from urllib.parse import quote

import numpy as np
import pandas as pd

from rossmann import features
from rossmann.data import Plan, SalesHistory
from rossmann.features import State
from rossmann.models import Forecast, Forecaster, Quantiles, VarianceComponents
from rossmann.models.quantiles import bound_levels
from rossmann.schema import DAY, MONDAY, WEEK_DAYS, weekday
from rossmann.storage import Storage
from rossmann.validation import DataError

Kind = Literal["promotion", "no promotion", "closed", "open"]
OPENING: tuple[Kind, ...] = ("closed", "open")  # the changes that a chain without promotions can have
NAME_LENGTH, FILE_NAME_LENGTH = 80, 240  # characters; the file system allows 255, and writing needs some
BEST_OF_WEEKS, BEST_WEEKS = 6, 2  # so many promotion weeks are chosen among so many
WEEK_END = timedelta(days=WEEK_DAYS - 1)


@dataclass(frozen=True)
class Change:
    """What is different from the published plan on the days first … last of some stores."""

    kind: Kind
    first: date
    last: date
    stores: tuple[str, ...] = ()  # labels; empty: all stores


@dataclass(frozen=True)
class Scenario:
    """Some changes under a name. Of two changes of the same days, the later one holds."""

    name: str
    changes: tuple[Change, ...]
    created: str  # date and time, ISO


@dataclass(frozen=True)
class Difference:
    """What changes are worth: the sum over some rows, and its bounds."""

    base: float
    amount: float  # alternative minus base
    lower: float
    upper: float


@dataclass(frozen=True)
class Comparison:
    """Rows of the published plan, forecast as they are and as the changes make them."""

    plan: Plan  # changed; whole stores only, each with all days of the horizon
    base: Forecast
    alternative: Forecast
    quantiles: Quantiles
    variance_components: VarianceComponents | None  # None: all errors are taken as perfectly correlated: too wide

    def total(self, rows: np.ndarray | slice = slice(None)) -> Difference:
        """The sum of these rows, with its prediction interval: their errors partly cancel, as in the backtest."""
        base, alternative = self.base.at(rows), self.alternative.at(rows)
        lower, upper = difference_bounds(
            base, alternative, self._quantiles_of_sum(self.plan.at(rows), base, alternative)
        )
        total = base.sales.sum()
        return Difference(float(total), float(alternative.sales.sum() - total), lower.sum(), upper.sum())

    def _quantiles_of_sum(self, plan: Plan, base: Forecast, alternative: Forecast) -> Quantiles:
        if self.variance_components is None:
            return self.quantiles
        stores, row = np.unique(plan.store, return_inverse=True)
        dates, column = np.unique(plan.date, return_inverse=True)
        deviations = np.zeros((len(stores), len(dates)))
        deviations[row, column] = (
            alternative.sales * alternative.standard_deviation - base.sales * base.standard_deviation
        )
        return self.quantiles.scaled_about_median(self.variance_components.spread_ratio(deviations, dates))

    def table(self) -> pd.DataFrame:
        """A row per store and day: store, date, planned, changed, difference, and its lower and upper."""
        planned, changed = self.base.sales, self.alternative.sales
        lower, upper = difference_bounds(self.base, self.alternative, self.quantiles)
        return pd.DataFrame({
            "store": self.plan.store, "date": self.plan.date, "planned": planned, "changed": changed,
            "difference": changed - planned, "lower": lower, "upper": upper,
        })  # fmt: skip


@dataclass(frozen=True)
class WeekChoice:
    """Promotion weeks, each by its Monday, and what they are worth against the published plan."""

    weeks: tuple[date, ...]
    difference: Difference


def compare(forecaster: Forecaster, state: State, changes: Sequence[Change]) -> Comparison:
    """Forecast the stores that the changes name with and without them. DataError for a store that does not exist."""
    labels = {store for change in changes for store in change.stores}
    base_plan = _plan_of(state, tuple(labels) if all(change.stores for change in changes) else ())
    base = forecaster.predict(state, base_plan)
    return _comparison(forecaster, state, base, apply_changes(base_plan, changes, state))


def apply_changes(plan: Plan, changes: Iterable[Change], state: State) -> Plan:
    """The plan with the changes. A promotion is added only on weekdays on which the chain has promotions."""
    opening, promotion = plan.open.copy(), plan.promotion.copy()
    promotion_day = state.weekdays.has_promotion[weekday(plan.date)]
    for change in changes:
        rows = _is_affected(plan, change, state)
        match change.kind:
            case "promotion":
                promotion[rows & promotion_day] = 1
            case "no promotion":
                promotion[rows] = 0
            case "closed":
                opening[rows] = 0
            case "open":
                opening[rows] = 1
    return replace(plan, open=opening, promotion=promotion)


def difference_bounds(base: Forecast, alternative: Forecast, quantiles: Quantiles) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of alternative - base, with `coverage` between them. float64 [rows] each

    The errors of both are those of the same day of the same store, so they are taken to be perfectly correlated: a day
    that sells so many standard deviations more than its forecast would have done so with the other plan, too. Where
    the standard deviations are equal, the relative error carries over. How wrong the model is about the effect of a
    promotion itself is not in it.
    """
    shifts = quantiles.around(alternative.standard_deviation, alternative.sales)
    shifts -= quantiles.around(base.standard_deviation, base.sales)
    lowest, highest = bound_levels(quantiles.coverage)
    levels = np.array(quantiles.levels)
    shifts_within_bounds = shifts[:, (levels >= lowest) & (levels <= highest)]
    return shifts_within_bounds.min(axis=1), shifts_within_bounds.max(axis=1)


def has_promotions(history: SalesHistory) -> bool:
    """Whether the chain ever had a promotion: without one, no model can know what it would sell."""
    return bool((history.calendar.promotion == 1).any())


def whole_weeks(state: State) -> list[date]:
    """The Mondays of the whole weeks of the horizon."""
    days = state.origin + DAY * np.arange(1, state.horizon_days + 1)
    mondays = days[(weekday(days) == MONDAY) & (days <= days[-1] - (WEEK_DAYS - 1) * DAY)]
    return mondays.tolist()


def best_weeks(
    forecaster: Forecaster,
    state: State,
    stores: tuple[str, ...] = (),
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[WeekChoice]:
    """Every choice of BEST_WEEKS promotion weeks among the next BEST_OF_WEEKS, the best one first; each is forecast.

    The other weeks among these have no promotion then; later days stay as they are published.
    """
    weeks = whole_weeks(state)[:BEST_OF_WEEKS]
    choices = list(combinations(weeks, min(BEST_WEEKS, len(weeks))))
    if not weeks:
        raise DataError(f"the horizon of {state.horizon_days} days has no whole week from Monday to Sunday")
    base_plan = _plan_of(state, stores)
    base, result = forecaster.predict(state, base_plan), []
    for number, selection in enumerate(choices):
        progress(number, len(choices))
        plan = apply_changes(base_plan, weeks_as_changes(selection, weeks, stores), state)
        result.append(WeekChoice(selection, _comparison(forecaster, state, base, plan).total()))
    progress(len(choices), len(choices))
    return sorted(result, key=lambda choice: -choice.difference.amount)


def weeks_as_changes(selection: Sequence[date], weeks: Sequence[date], stores: tuple[str, ...]) -> tuple[Change, ...]:
    """The changes that make these weeks, and no others of `weeks`, promotion weeks."""
    promotions = (Change("promotion", monday, monday + WEEK_END, stores) for monday in selection)
    return (Change("no promotion", weeks[0], weeks[-1] + WEEK_END, stores), *promotions)


def save_scenario(folder: Storage, scenario: Scenario) -> None:
    """Keep a scenario; one of the same name is replaced. DataError for a name that is empty or too long."""
    folder.write(_file_name(scenario.name), json.dumps(asdict(scenario), indent=2, default=str).encode())


def changes_to_json(changes: Iterable[Change]) -> str:
    """Changes as short JSON: what `changes_of_json` reads."""
    rows = [[each.kind, each.first.isoformat(), each.last.isoformat(), *each.stores] for each in changes]
    return json.dumps(rows, separators=(",", ":"))


def changes_of_json(text: str) -> tuple[Change, ...]:
    """The changes of `changes_to_json`. DataError for other text."""
    try:
        return tuple(_change(kind, first, last, stores) for kind, first, last, *stores in json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{text[:60]} is no list of changes ({error})") from error


def _change(kind: str, first: str, last: str, stores: Iterable[object]) -> Change:
    """A change from its JSON values. ValueError for an unknown kind, no date, or a last day before the first."""
    if kind not in get_args(Kind):
        raise ValueError(f"there is no change {kind}; there are {', '.join(get_args(Kind))}")
    days = date.fromisoformat(first), date.fromisoformat(last)
    if days[1] < days[0]:
        raise ValueError(f"the last day, {last}, is before the first, {first}")
    return Change(cast(Kind, kind), *days, tuple(map(str, stores)))


def list_scenarios(folder: Storage) -> list[Scenario]:
    """All scenarios by name. DataError for a file that is none."""
    return [_read(folder, name) for name in sorted(folder.file_names()) if name.endswith(".json")]


def remove_scenario(folder: Storage, name: str) -> None:
    """Forget a scenario, if there is one of this name."""
    folder.delete_if_exists(_file_name(name))


def _plan_of(state: State, stores: tuple[str, ...]) -> Plan:
    """The published plan of these stores, by their labels; of all for none."""
    plan = features.published_plan(state)
    return plan.at(_is_named(plan, stores, state))


def _is_affected(plan: Plan, change: Change, state: State) -> np.ndarray:
    """Whether a change is about each row. bool [rows]"""
    of_days = (plan.date >= np.datetime64(change.first)) & (plan.date <= np.datetime64(change.last))
    return of_days & _is_named(plan, change.stores, state)


def _is_named(plan: Plan, stores: tuple[str, ...], state: State) -> np.ndarray:
    """Whether the store of each row is one of these, by their labels; none of them means all. bool [rows]

    DataError for a store that does not exist.
    """
    if not stores:
        return np.ones(len(plan), bool)
    unknown = sorted(set(stores) - set(state.stores.label.tolist()))
    if unknown:
        raise DataError(f"there is no store {', '.join(unknown[:3])}; remove it from the change, or correct it")
    return np.isin(plan.store, state.stores.number[np.isin(state.stores.label, stores)])


def _comparison(forecaster: Forecaster, state: State, base: Forecast, plan: Plan) -> Comparison:
    alternative = forecaster.predict(state, plan)
    return Comparison(plan, base, alternative, forecaster.require_interval_quantiles(), forecaster.variance_components)


def _file_name(name: str) -> str:
    if not name.strip() or len(name) > NAME_LENGTH:
        length = f"; this one has {len(name)}" if name.strip() else ""
        raise DataError(f"give the scenario a name of 1 to {NAME_LENGTH} characters{length}")
    file = f"{quote(name.strip(), safe=' ')}.json"
    if len(file) > FILE_NAME_LENGTH:
        raise DataError("the name of the scenario has too many special characters for a file: give it a shorter one")
    return file


def _read(folder: Storage, file: str) -> Scenario:
    try:
        document = json.loads(folder.read(file))
        changes = tuple(
            _change(each["kind"], each["first"], each["last"], each["stores"]) for each in document["changes"]
        )
        return Scenario(document["name"], changes, document["created"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{folder.address(file)} is no scenario ({error}); delete the file") from error
