"""Features of the coming days, computed in two steps so that no later sales can leak into them.

`fit_state` reads only the past; `build` reads only the State and a plan (the known future covariates). Training,
backtests, batch forecasts and HTTP requests share these two calls.

calendar       helpers that need nothing but dates and calendar panels
levels         usual sales of a store by weekday and promotion, and recent deviations from them
store_ridge    the linear model of each store; ridge_design has its regressors, store_groups its normal equations
shrinkage      how strongly its coefficients are shrunk; chain_ridge learns that for a chain with a chain.toml
weekdays       the weekday on which the chain rests, and those with promotions
new_stores     the level of stores with few days or none, from stores like them
school_breaks  the days around the school breaks of the region of a store
state          fit_state: all of the above for one origin
state_files    load_state: the State of a snapshot, stored beside it
plan_rows      join_plan: a plan's rows beside the State; published_plan, past_rows: the days after and before it
columns        the table of features: add a feature there
spec           FeatureSpec: which features of the table a model uses
trials         trial_features: features that are not in the table yet
"""

from rossmann.features.plan_rows import PlanRows, join_plan, past_rows, published_plan
from rossmann.features.spec import ATTRIBUTE, CALENDAR_SPEC, FeatureSpec, build, column_names, matrix
from rossmann.features.state import State, fit_state
from rossmann.features.state_files import load_state, save_state
from rossmann.features.trials import trial_features

__all__ = [
    "ATTRIBUTE",
    "CALENDAR_SPEC",
    "FeatureSpec",
    "PlanRows",
    "State",
    "build",
    "column_names",
    "fit_state",
    "join_plan",
    "load_state",
    "matrix",
    "past_rows",
    "published_plan",
    "save_state",
    "trial_features",
]  # fmt: skip
