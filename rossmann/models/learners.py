"""The table of learners: everything that the rest of the library knows about a model.

To add a learner, write a module with its `fit` and `load` (see `lightgbm_trees`) and add an entry to the table. Add its
distribution to `NUMERIC_DISTRIBUTIONS` in `rossmann.provenance`, and its import to `VENDOR_PACKAGES` in
tests/test_architecture.py. The new learner is a candidate where it is named; the production blend has the members in
`candidate.BLEND_MEMBERS`, and the default candidates are in `Settings.candidates`.
"""

from rossmann.features import CALENDAR_SPEC
from rossmann.models import lightgbm_trees, sklearn_trees, state_rules, xgboost_trees
from rossmann.models.learner import Learner

_TABLE = (
    state_rules.rule(state_rules.last_week, is_baseline=True),
    state_rules.rule(state_rules.median, is_baseline=True),
    # The linear model of each store: see rossmann/features/store_ridge.py.
    state_rules.rule(state_rules.ridge, is_baseline=False),
    Learner(
        "lightgbm",
        lightgbm_trees.fit,
        lightgbm_trees.load,
        needs_training_windows=True,
        defaults={
            "max_rows": 520_000,
            "max_rounds": 800,
            "learning_rate": 0.03,
            "num_leaves": 63,
            "min_data_in_leaf": 200,
            "feature_fraction": 0.3,
            "lambda_l2": 10.0,
        },
        ranges={
            "learning_rate": (0.02, 0.06),
            "num_leaves": (24, 128),
            "min_data_in_leaf": (lightgbm_trees.MIN_LEAF_ROWS, 600),
            "feature_fraction": (0.25, 0.8),
            "lambda_l2": (1.0, 50.0),
        },
    ),
    Learner(
        "xgboost",
        xgboost_trees.fit,
        xgboost_trees.load,
        needs_training_windows=True,
        defaults={
            "max_rows": 480_000,
            "max_rounds": 300,
            "learning_rate": 0.08,
            "max_depth": 6,
            "min_child_weight": 100.0,
            "colsample_bynode": 0.4,
            "lambda": 10.0,
        },
        ranges={
            "learning_rate": (0.04, 0.12),
            "max_depth": (4, 9),
            "min_child_weight": (20.0, 400.0),
            "colsample_bynode": (0.25, 0.8),
            "lambda": (1.0, 50.0),
        },
    ),
    Learner(
        "hist_gradient_boosting",
        sklearn_trees.fit,
        sklearn_trees.load,
        needs_training_windows=True,
        defaults={
            "max_rows": 480_000,
            "max_rounds": 300,
            "learning_rate": 0.08,
            "max_leaf_nodes": 63,
            "min_samples_leaf": 200,
            "max_features": 0.3,
            "l2_regularization": 10.0,
        },
        ranges={
            "learning_rate": (0.04, 0.12),
            "max_leaf_nodes": (24, 128),
            "min_samples_leaf": (50, 600),
            "max_features": (0.25, 0.8),
            "l2_regularization": (1.0, 50.0),
        },
    ),
    # Where the linear model is too simple: it knows the calendar and the store, and all past days.
    Learner(
        "lightgbm_calendar",
        lightgbm_trees.fit,
        lightgbm_trees.load,
        needs_past_window=True,
        spec=CALENDAR_SPEC,
        defaults={
            "max_rounds": 250,
            "learning_rate": 0.05,
            "num_leaves": 63,
            "min_data_in_leaf": 200,
            "feature_fraction": 0.8,
            "lambda_l2": 10.0,
        },
    ),
)
LEARNERS = {learner.name: learner for learner in _TABLE}
BASELINES = tuple(learner.name for learner in _TABLE if learner.is_baseline)
SEARCHABLE = tuple(learner.name for learner in _TABLE if learner.ranges)
