"""Contracts of our own tables: clean days, a caller's plan, features and forecasts."""

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

import numpy as np
import pandas as pd

from rossmann.schema import (
    ACTUAL_COLUMNS,
    CALENDAR_COLUMNS,
    DTYPES,
    FLAG_COLUMNS,
    FORECAST_COLUMNS,
    HOLIDAY_KINDS,
    KEYS,
    PLAN_COLUMNS,
)
from rossmann.validation.contract import DATE, NUMBER, TEXT, Column, Contract, Rule, check_contracts
from rossmann.validation.report import Repair, StageReport
from rossmann.validation.rules import day_of_week_agrees, flags_are_0_or_1, one_row_per_store_and_day, store_exists

CLEANING_BUG = "This is a bug in the cleaning: please report it."
MODEL_ERROR = "This is an error of the model: roll it back (rossmann models rollback)."
PAST_DAY = "sales of the day are known already"
NO_HISTORY = "the store has no history"
QUANTILE_ERROR = "This is an error of the model's quantiles: train again."

SORTED_KEYS = Rule(
    "one_row_per_store_and_day",
    "the store and day occur twice, or are not in order",
    CLEANING_BUG,
    KEYS,
    lambda days: (days["store"].diff().fillna(1) > 0) | (days["date"].diff() > pd.Timedelta(0)),
)
VALID_CODES = Rule(
    "valid_codes",
    "a flag is neither 0 nor 1, or a holiday code does not exist",
    CLEANING_BUG,
    CALENDAR_COLUMNS,
    lambda days: (
        np.all(np.isin(days[list(FLAG_COLUMNS)].to_numpy(), (0, 1)), axis=1)
        & days["holiday_kind"].between(0, len(HOLIDAY_KINDS) - 1)
    ),
)
CLEAN_DAYS = (
    SORTED_KEYS,
    VALID_CODES,
    Rule(
        "closed_means_zero_sales",
        "the store is closed, but has sales or customers",
        "Correct open or the sales.",
        ("open", *ACTUAL_COLUMNS),
        lambda days: (days["open"] == 1) | ((days["sales"] == 0) & (days["traffic"] == 0)),
    ),
    Rule(
        "amounts_finite_and_not_negative",
        "sales or customers are negative or not a number",
        "Correct them.",
        ACTUAL_COLUMNS,
        lambda days: _finite_and_not_negative(days, ACTUAL_COLUMNS),
    ),
)
COMPLETE_DAYS = Rule(
    "complete_days",
    "most stores have no row for this day, or none whose sales can be right",
    "Add or correct the day in the sales file (train.csv); where a store was closed, open and sales are 0.",
    ("has_row",),
    lambda days: days["share"] <= 0.5,
)


def check_clean(
    days: pd.DataFrame,
    plan: pd.DataFrame,
    set_aside_days: pd.DataFrame,
    as_of: date | None = None,
    repairs: Sequence[Repair] = (),
    labels: Mapping[int, str] = MappingProxyType({}),
) -> StageReport:
    """Check the clean days and the published plan of the days after them, both ordered by store, then date.

    `set_aside_days` are in none of the two: store, date, has_row, and the share of the stores that are set aside on
    this day. The report includes `repairs`, and names stores by their `labels`, if they have any.
    Raises ValidationError.
    """
    plan_columns, actual_columns = _columns(PLAN_COLUMNS), _columns(ACTUAL_COLUMNS)
    as_of_rules = [_no_sales_after(as_of)] if as_of else []
    days_contract = Contract("clean days", plan_columns | actual_columns, (*CLEAN_DAYS, *as_of_rules))
    plan_contract = Contract("published plan", plan_columns, (SORTED_KEYS, VALID_CODES))
    set_aside_contract = Contract("days set aside", _columns(KEYS), (COMPLETE_DAYS,))
    report = check_contracts(
        "cleaned data", [(days_contract, days), (plan_contract, plan), (set_aside_contract, set_aside_days)]
    )
    return StageReport(report.stage, report.checks, tuple(repairs), _stores_without_last_day(days, labels))


def check_plan(
    plan: pd.DataFrame,
    stores: np.ndarray,
    origin: np.datetime64,
    last_day: np.datetime64,
    names: Mapping[str, str] | None = None,
) -> StageReport:
    """Check a caller's plan of days after `origin`, up to `last_day`, for `stores` (numbers or labels) with a history.

    `names` has the names of the columns in the plan by their names in the schema, where they differ.
    Raises ValidationError.
    """
    name = {column: (names or {}).get(column, column) for column in (*PLAN_COLUMNS, "day_of_week")}
    store, day, store_type = name["store"], name["date"], NUMBER if stores.dtype.kind == "i" else TEXT
    calendar = [name[column] for column in CALENDAR_COLUMNS if name[column] in plan]
    columns = {store: Column(store_type), day: Column(DATE)} | {c: Column(NUMBER, may_be_empty=True) for c in calendar}
    rules = [
        store_exists(store, stores, NO_HISTORY, "Plan only for stores of the snapshot."),
        *flags_are_0_or_1([name[column] for column in FLAG_COLUMNS if name[column] in plan]),
        one_row_per_store_and_day(store, day),
        _after_origin(origin, day, _early_plan(plan, origin, store, day)),
        _within_horizon(origin, last_day, day),
    ]
    if name["day_of_week"] in plan:
        rules.append(day_of_week_agrees(name["day_of_week"], day))
    return check_contracts("plan", [(Contract("plan", columns, tuple(rules), keys=(store, day)), plan)])


def check_overrides(
    overrides: pd.DataFrame, stores: np.ndarray, origin: np.datetime64, last_day: np.datetime64
) -> StageReport:
    """Check a planner's amounts for days after `origin`, up to `last_day`, of `stores` (numbers or labels).

    overrides: store, date, amount, the forecast of the day (NaN: there is none), and is_open (NaN: not known).
    Raises ValidationError.
    """
    in_plan = overrides["is_open"].notna() & (overrides["date"].to_numpy() > origin)
    rules = (
        store_exists("store", stores, NO_HISTORY, "Name a store of the snapshot."),
        one_row_per_store_and_day("store", "date"),
        _after_origin(origin, "date"),
        _within_horizon(origin, last_day, "date"),
        Rule(
            "store_is_open",
            "the store is closed on this day",
            "Leave the day out; if it will be open, correct the plan.",
            (),
            lambda table: ~in_plan | (table["is_open"] == 1),
        ),
        Rule(
            "day_is_forecast",
            "the journal has no forecast of the day",
            "Forecast first: rossmann forecast.",
            (),
            lambda table: ~in_plan | table["forecast"].notna(),
        ),
        Rule(
            "amount_finite_and_not_negative",
            "the amount is negative, or no number",
            "Give the sales of the day that you expect, 0 or more.",
            ("amount",),
            lambda table: (np.isfinite(table["amount"]) & (table["amount"] >= 0)) | table["forecast"].isna(),
        ),
    )
    columns = {"date": Column(DATE), "amount": Column(NUMBER, may_be_empty=True)}
    return check_contracts("overrides", [(Contract("overrides", columns, rules), overrides)])


def check_features(matrix: np.ndarray, columns: Sequence[str], required: Sequence[str] = ()) -> StageReport:
    """Check a feature matrix [rows, columns]: no infinite values, and no NaN in the `required` columns.

    NaN elsewhere means "unknown". The report notes the share of such cells and the columns that have nothing else.
    Raises ValidationError.
    """
    table = pd.DataFrame(matrix, columns=list(columns))
    types = {name: Column(str(table[name].dtype), may_be_empty=name not in required) for name in columns}
    unknown = table.isna()
    empty_columns = [name for name in columns if unknown[name].all()]
    notes = [f"{len(table):,} rows of {len(columns)} features; {unknown.to_numpy().mean():.1%} of the cells unknown."]
    if empty_columns:
        notes.append(f"Unknown in every row: {', '.join(empty_columns)}.")
    return check_contracts("features", [(Contract("features", types, (_finite(table),), keys=()), table)], notes)


def check_forecast(forecast: pd.DataFrame, is_open: np.ndarray, quantiles: Sequence[str]) -> StageReport:
    """Check a table with store, date, forecast, lower and upper. `is_open`: whether the store opens. bool [rows]

    quantiles: the names of the columns with quantiles, in the order of their levels.
    Raises ValidationError.
    """
    columns = _columns((*KEYS, *FORECAST_COLUMNS)) | {name: Column(NUMBER) for name in quantiles}
    contract = Contract("forecast", columns, _forecast_rules(quantiles))
    return check_contracts("forecast", [(contract, forecast.assign(is_open=is_open))])


def _forecast_rules(quantiles: Sequence[str]) -> tuple[Rule, ...]:
    """What every row of a forecast table with the columns of these quantiles must fulfil."""
    amounts = (*FORECAST_COLUMNS, *quantiles)
    return (
        Rule(
            "finite_and_not_negative",
            "a forecast is negative or infinite",
            MODEL_ERROR,
            amounts,
            lambda table: _finite_and_not_negative(table, amounts),
        ),
        Rule(
            "lower_forecast_upper_in_order",
            "not lower ≤ forecast ≤ upper",
            QUANTILE_ERROR,
            FORECAST_COLUMNS,
            lambda table: (table["lower"] <= table["forecast"]) & (table["forecast"] <= table["upper"]),
        ),
        Rule(
            "quantiles_in_order",
            "a quantile is below one of a lower level",
            QUANTILE_ERROR,
            tuple(quantiles),
            lambda table: np.all(np.diff(table[list(quantiles)].to_numpy(), axis=1) >= 0, axis=1),
        ),
        Rule(
            "closed_days_are_zero",
            "the store is closed, but sales are forecast",
            MODEL_ERROR,
            ("forecast",),
            lambda table: table["is_open"].astype(bool) | (table["forecast"] == 0),
        ),
        Rule(
            "one_row_per_store_and_day",
            "more than one row for the same store and day",
            "Plan each day once.",
            (),
            lambda table: ~table[list(KEYS)].duplicated(keep=False),
        ),
    )


def _columns(names: Sequence[str]) -> dict[str, Column]:
    return {name: Column(DTYPES[name]) for name in names}


def _finite_and_not_negative(table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    amounts = table[list(names)].to_numpy()
    return (np.isfinite(amounts) & (amounts >= 0)).all(axis=1)


def _stores_without_last_day(days: pd.DataFrame, labels: Mapping[int, str]) -> tuple[str, ...]:
    """A note if some stores end early: they may have closed for good, or their rows may be late."""
    last = days.groupby("store")["date"].max()
    stores = last.index[last < last.max()]
    if not len(stores):
        return ()
    first = ", ".join(str(labels.get(store, store)) for store in stores[:10]) + (", …" if len(stores) > 10 else "")
    return (f"{len(stores):,} of {len(last):,} stores have no row on the last day, {last.max().date()}: {first}.",)


def _finite(table: pd.DataFrame) -> Rule:
    infinite = np.isinf(table.to_numpy())
    columns = tuple(table.columns[infinite.any(axis=0)])
    return Rule(
        "nothing_infinite",
        f"infinite: {', '.join(columns)}",
        "This is a bug in the features: please report it.",
        columns,
        lambda _: ~infinite.any(axis=1),
    )


def _no_sales_after(as_of: date) -> Rule:
    return Rule(
        "no_sales_after_as_of",
        f"sales of a day after {as_of}",
        "This is a bug in the reader: please report it.",
        ("sales",),
        lambda days: days["date"] <= pd.Timestamp(as_of),
    )


def _early_plan(plan: pd.DataFrame, origin: np.datetime64, store: str, date: str) -> str:
    """What is wrong with a plan that starts too early, in the words of its first day."""
    early = plan[plan[date].to_numpy() <= origin].sort_values(date, kind="stable")
    if not len(early):
        return PAST_DAY
    first, day = early[store].iloc[0], early[date].iloc[0]
    name = first if isinstance(first, str) else f"{first:.0f}"
    end = "then" if day == pd.Timestamp(origin) else str(origin)
    return f"plan for store {name} starts on {day:%Y-%m-%d}, but sales are known until {end}"


def _after_origin(origin: np.datetime64, date: str, problem: str = PAST_DAY) -> Rule:
    return Rule(
        "after_the_origin",
        problem,
        f"Plan from {origin + 1}.",
        (date,),
        lambda table: ~(table[date].to_numpy() <= origin),
        PAST_DAY,
    )


def _within_horizon(origin: np.datetime64, last_day: np.datetime64, date: str) -> Rule:
    days = int((last_day - origin).astype(int))
    return Rule(
        "within_the_horizon",
        f"the day is more than {days} days after {origin}, the last day with known sales",
        f"Plan up to {last_day}, or ingest newer sales first.",
        (date,),
        lambda table: ~(table[date].to_numpy() > last_day),
    )
