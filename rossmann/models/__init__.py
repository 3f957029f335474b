"""From a candidate (a model configuration) to a forecaster (the same, fitted).

learners          the table of learners: add a model there
state_rules       learners without a fit of their own: last week, median, and the linear model of each store, which is
                  fitted in `rossmann.features.store_ridge` because its forecast is a feature of the boosters too
lightgbm_trees, xgboost_trees, sklearn_trees    the boosters, fitted to the residuals of the linear model
flat_trees        XGBoost's trees for a forecast of one row
training_windows  what boosters are fitted to; past_windows the same of the days that the linear model was fitted to
day_corrections   what their trees add to the whole chain on a day, which is clipped
candidate         named configurations, those that a search tries, and the production blend
forecaster        fit, predict, save and load; blends
adaptive_quantiles    the quantiles that a snapshot has for a model: they follow the outcomes of the forecasts
variance_components    how the errors of the rows are correlated: the quantiles of sums
trials            a learner that is not in the table yet, and a backtest in this process, for a notebook
quantiles         quantiles of a forecast: two are its lower and upper bound; others bound the intervals in charts
"""

from rossmann.models.adaptive_quantiles import AdaptiveQuantiles, adapt, follow_outcomes, load_adaptive_quantiles
from rossmann.models.candidate import (
    BLEND_MEMBERS,
    CANDIDATE_NAMES,
    Candidate,
    candidates,
    default_candidate,
    replace_members,
    trial_candidate,
)
from rossmann.models.forecaster import (
    Forecast,
    Forecaster,
    blend,
    fit,
    geometric_mean,
    load,
)
from rossmann.models.learner import Learner, TrainingInput
from rossmann.models.learners import LEARNERS
from rossmann.models.past_windows import past_window
from rossmann.models.quantiles import Quantiles, calibrate, interval_levels
from rossmann.models.training_windows import TrainingWindow, min_train_days, training_window, window_origins
from rossmann.models.trials import backtest, trial_learner
from rossmann.models.variance_components import VarianceComponents, estimate_variance_components

__all__ = [
    "BLEND_MEMBERS",
    "CANDIDATE_NAMES",
    "LEARNERS",
    "AdaptiveQuantiles",
    "Candidate",
    "Forecast",
    "Forecaster",
    "Learner",
    "Quantiles",
    "TrainingInput",
    "TrainingWindow",
    "VarianceComponents",
    "adapt",
    "backtest",
    "blend",
    "calibrate",
    "candidates",
    "default_candidate",
    "estimate_variance_components",
    "fit",
    "follow_outcomes",
    "geometric_mean",
    "interval_levels",
    "load",
    "load_adaptive_quantiles",
    "min_train_days",
    "past_window",
    "replace_members",
    "training_window",
    "trial_candidate",
    "trial_learner",
    "window_origins",
]  # fmt: skip
