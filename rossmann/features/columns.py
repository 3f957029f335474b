"""The table of features: every name once, beside the function that computes it.

To add a feature, add a line to a group. The order of the lines is the order of the matrix's columns, and `FeatureSpec`
reads the names from here, so there is no second list. A feature's function gets the `PlanRows` and returns one value
per row; NaN is "unknown", which trees can read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rossmann.data import DERIVED_FEATURES, Derivation
from rossmann.features import levels, store_ridge
from rossmann.features.calendar import (
    CLOSURE_CAP_DAYS,
    REOPENING_CAP_DAYS,
    closure_days,
    days_since,
    days_until,
    days_until_closure,
    shift,
)
from rossmann.features.plan_rows import PlanRows

Feature = Callable[[PlanRows], np.ndarray]

# Caps of days since and until something: beyond them, further away makes no difference.
PROMOTION_CAP, HOLIDAY_CAP, CLOSED_CAP, SCHOOL_CAP = 14, 21, 14, 28
MONTH_PART_STARTS = tuple(first for first, _ in levels.MONTH_PARTS[1:])


@dataclass(frozen=True)
class FeatureGroup:
    """Features that are switched on and off together."""

    switch: str | None  # the field of FeatureSpec that switches the group; None: it is always on
    features: dict[str, Feature]


def deviation_name(days: int) -> str:
    """Name of the feature "mean deviation over the last `days` days"."""
    return f"deviation_{days}"


def _recent_deviation(index: int) -> Feature:
    return lambda r: r.at_store(r.state.levels.recent_deviation[:, index])


def _year_ago(index: int) -> Feature:
    return lambda r: r.on_lead_day(r.state.levels.year_ago)[:, index]


def _year_over_year(index: int) -> Feature:
    return lambda r: r.at_store(r.state.levels.year_over_year[:, index])


def _ridge_residual(index: int) -> Feature:
    return lambda r: r.at_store(r.state.ridge.recent_residual[:, index])


def _derived(derivation: Derivation) -> Feature:
    return lambda r: r.on_day(derivation(r.stores, r.calendar.dates))


def _month_effect(r: PlanRows) -> np.ndarray:
    """The store's effect of the part of the month. float32 [rows]"""
    part = np.searchsorted(MONTH_PART_STARTS, r.date_parts.day_of_month, side="right")
    return r.state.levels.month_effect[r.store_positions[r.row_store], r.on_date(part)]


def _closure_days(r: PlanRows) -> np.ndarray:
    """Length of the long closure before the last reopening. int64 [rows]"""
    return r.on_day(closure_days(r.closed, r.since_reopening, REOPENING_CAP_DAYS))


ATTRIBUTES = FeatureGroup(None, {})  # the place of the stores' attributes, which are others for every chain
GROUPS: tuple[FeatureGroup, ...] = (
    # No month and no day of the year: the history has each once or twice, and trees would memorise what happened then.
    FeatureGroup("levels", {"lead_days": lambda r: r.lead_days}),
    FeatureGroup(None, {
        "weekday": lambda r: r.on_date(r.date_parts.weekday),
        "day_of_month": lambda r: r.on_date(r.date_parts.day_of_month),
        "days_left_in_month": lambda r: r.on_date(r.date_parts.days_left_in_month),
        "promotion": lambda r: r.on_day(r.calendar.promotion),
        "holiday_kind": lambda r: r.on_day(r.calendar.holiday_kind),
        "school_break": lambda r: r.on_day(r.calendar.school_break),
    }),
    # The store.
    ATTRIBUTES,
    FeatureGroup(None, {name: _derived(derivation) for name, derivation in DERIVED_FEATURES.items()}),
    # Its usual sales, and how the recent ones deviate. "cell": weekday × promotion of the store.
    FeatureGroup("levels", {
        "cell_expected": lambda r: r.in_cell(r.state.levels.expected),
        "cell_count": lambda r: r.in_cell(r.state.levels.count),
        "cell_sd": lambda r: r.in_cell(r.state.levels.standard_deviation),
        "cell_median_deviation": lambda r: r.in_cell(r.state.levels.median_deviation),
        "deviation_decayed": lambda r: r.at_store(r.state.levels.decayed_deviation),
        "deviation_slope": lambda r: r.at_store(r.state.levels.deviation_slope),
        "school_effect": lambda r: r.at_store(r.state.levels.school_effect),
        "month_effect": _month_effect,
        "traffic_change": lambda r: r.at_store(r.state.levels.traffic_change),
        "sales_per_customer_change": lambda r: r.at_store(r.state.levels.sales_per_customer_change),
        "sales_per_customer": lambda r: r.at_store(r.state.levels.sales_per_customer),
    }),
    FeatureGroup("recent_days", {
        deviation_name(days): _recent_deviation(index) for index, days in enumerate(levels.DEVIATION_DAYS)
    }),
    # The days around the row's day. `x_since`, `x_until`: days since the last, until the next x; `x_run`, `x_left`:
    # days of the current x so far, still to come; `x_past_7`, `x_next_7`: days with x among the 7 before, after.
    FeatureGroup("neighbours", {
        "promotion_run": lambda r: r.on_day(days_since(~r.has_promotion, PROMOTION_CAP)),
        "promotion_until": lambda r: r.on_day(days_until(r.has_promotion, PROMOTION_CAP)),
        "promotion_next_7": lambda r: r.count_around(r.promotion_counts, 1, 7),
        "promotion_next_14": lambda r: r.count_around(r.promotion_counts, 1, 14),
        "promotion_past_7": lambda r: r.count_around(r.promotion_counts, -7, -1),
        "promotion_past_14": lambda r: r.count_around(r.promotion_counts, -14, -1),
        "holiday_since": lambda r: r.on_day(days_since(r.holiday, HOLIDAY_CAP)),
        "holiday_until": lambda r: r.on_day(days_until(r.holiday, HOLIDAY_CAP)),
        "closed_since": lambda r: r.on_day(days_since(r.closed_except_rest_day, CLOSED_CAP)),
        "closed_until": lambda r: r.on_day(days_until(r.closed_except_rest_day, CLOSED_CAP)),
        "open_yesterday": lambda r: r.on_day(~shift(r.closed, 1)),
        "open_tomorrow": lambda r: r.on_day(~shift(r.closed, -1)),
        "open_past_7": lambda r: r.count_around(r.open_counts, -7, -1),
        "open_next_7": lambda r: r.count_around(r.open_counts, 1, 7),
        "school_run": lambda r: r.on_day(days_since(~r.school, SCHOOL_CAP)),
        "school_left": lambda r: r.on_day(days_until(~r.school, SCHOOL_CAP)),
        "school_since": lambda r: r.on_day(days_since(r.school, SCHOOL_CAP)),
        "school_until": lambda r: r.on_day(days_until(r.school, SCHOOL_CAP)),
        "closure_until": lambda r: r.on_day(days_until_closure(r.closed, CLOSURE_CAP_DAYS)),
        "reopening_since": lambda r: r.on_day(r.since_reopening),
        "closure_days": _closure_days,
    }),
    # The same season one year before.
    FeatureGroup("year_ago", {
        f"year_ago_{days}": _year_ago(index) for index, days in enumerate(levels.YEAR_AGO_AROUND)
    } | {
        f"year_over_year_{days}": _year_over_year(index) for index, days in enumerate(levels.YEAR_OVER_YEAR_DAYS)
    }),
    # The linear model's forecast, its uncertainty and its recent residuals.
    FeatureGroup("ridge", {
        "ridge_over_expected": lambda r: r.ridge - r.in_cell(r.state.levels.expected),
        "ridge_sd": lambda r: r.standard_deviation,
    } | {
        f"ridge_residual_{days}": _ridge_residual(index) for index, days in enumerate(store_ridge.RESIDUAL_DAYS)
    }),
)  # fmt: skip


def merge_groups(groups: Sequence[FeatureGroup]) -> dict[str, Feature]:
    """All features of the groups, in order. ValueError if two have the same name."""
    features: dict[str, Feature] = {}
    for group in groups:
        if repeated := features.keys() & group.features.keys():
            raise ValueError(f"two features have the name {', '.join(sorted(repeated))}; rename one in the table")
        features |= group.features
    return features
