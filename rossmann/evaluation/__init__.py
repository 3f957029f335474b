"""Evaluation on windows of the past: folds, scores, and the verdict on a challenger.

A candidate is fitted on days up to a fold's origin and forecasts the days after it from nothing but that past and the
plan. Every forecast row stays in the backtest, and candidates are compared on the same rows only.

folds      windows cut from a history
losses     how rows are scored, and which forecast each score asks for
backtest   forecasts on folds beside the actuals, and their scores
names      how a chain calls its slices and stores
verdict    the release rule: whether a challenger becomes champion
"""

from rossmann.evaluation.backtest import (
    BACKTEST_COLUMNS,
    BASELINE,
    LOSS_SCORES,
    Backtest,
    BacktestRun,
    backtest_rows,
    quantile_loss,
    scored_rows,
    scores,
)
from rossmann.evaluation.folds import MIN_PAST_DAYS, Fold, cut_fold, fold_origins, possible_folds
from rossmann.evaluation.losses import LOSSES, MAE, RMSLE, RMSPE, TOTAL, Loss
from rossmann.evaluation.names import Names, chain_names
from rossmann.evaluation.verdict import (
    Comparison,
    LargeError,
    Verdict,
    WorseSlice,
    compare,
    judge,
    largest_errors,
    probability_better,
    worse_slices,
)

__all__ = [
    "BACKTEST_COLUMNS",
    "BASELINE",
    "LOSSES",
    "LOSS_SCORES",
    "MAE",
    "MIN_PAST_DAYS",
    "RMSLE",
    "RMSPE",
    "TOTAL",
    "Backtest",
    "BacktestRun",
    "Comparison",
    "Fold",
    "LargeError",
    "Loss",
    "Names",
    "Verdict",
    "WorseSlice",
    "backtest_rows",
    "chain_names",
    "compare",
    "cut_fold",
    "fold_origins",
    "judge",
    "largest_errors",
    "possible_folds",
    "probability_better",
    "quantile_loss",
    "scored_rows",
    "scores",
    "worse_slices",
]
