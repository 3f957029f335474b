"""Losses: how forecasts are scored, and which forecast of uncertain sales each score asks for.

If log sales are normally distributed around a forecast with variance σ², the expected loss is least at the median times
exp(variance_factor × σ²): the factor is −3/2 for squared relative errors, 0 for absolute errors and for squared errors
of logarithms, whose best forecast is the median, and +1/2 for sums, whose best forecast is the mean.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.schema import LossName

Values = Callable[[np.ndarray], np.ndarray]

# Sales of four times the forecast, or a quarter of it, are an accident also in a chain whose sales scatter by 50 %.
MAX_RATIO = 4.0
SALES_CAP = "the error of a row counts as at most three times the store's median sales"


@dataclass(frozen=True)
class Loss:
    """One way to score forecasts of days with sales; lower is better.

    Each row has an error and a term made of it. The score of a fold is `finish`(sum over stores of the absolute sum of
    a store's terms / sum of the weights of all rows): only signed terms cancel out within a store.
    """

    name: LossName  # of the setting, and the column of the leaderboard
    label: str  # in messages
    number_format: str  # of a score
    variance_factor: float  # see above
    error: Callable[[np.ndarray, np.ndarray], np.ndarray]  # from sales and forecast, negative where that is too low
    cap: float  # the largest error of a row that counts in a capped score
    cap_is_in_sales: bool  # whether `cap` is a multiple of the store's median sales in the fold
    cap_text: str  # the same in words
    term: Values  # from an error
    weight: Values  # from sales
    finish: Values

    @property
    def capped_name(self) -> str:
        """The leaderboard's column of the capped score."""
        return f"{self.name}_capped"

    @property
    def capped_label(self) -> str:
        """The name of the capped score, as `label` is that of the raw one."""
        return f"{self.label}, capped"

    def terms(self, sales: np.ndarray, forecast: np.ndarray) -> np.ndarray:
        """The term of each row. float64 [rows]"""
        return self.term(self.error(sales, forecast))

    def capped_terms(self, sales: np.ndarray, forecast: np.ndarray, store_fold: np.ndarray) -> np.ndarray:
        """The same with no error beyond the cap. store_fold: from `store_folds`. float64 [rows]"""
        cap: np.ndarray | float = self.cap
        if self.cap_is_in_sales:
            cap = cap * pd.Series(sales).groupby(store_fold).transform("median").to_numpy()
        return self.term(np.clip(self.error(sales, forecast), -cap, cap))

    def score(self, terms: np.ndarray, sales: np.ndarray, store_fold: np.ndarray) -> float:
        """The score of rows with these terms; there must be at least one. store_fold: from `store_folds`."""
        store_sums = np.abs(np.bincount(store_fold, terms))
        return float(self.finish(store_sums.sum() / self.weight(sales).sum()))

    def capped_score(self, sales: np.ndarray, forecast: np.ndarray, store_fold: np.ndarray) -> float:
        """The score of the days with sales, of which there must be one, with no error beyond the cap."""
        sold = sales > 0
        sales, groups = sales[sold], store_fold[sold]
        return self.score(self.capped_terms(sales, forecast[sold], groups), sales, groups)

    def text(self, score: float) -> str:
        """A score for a message."""
        return f"{score:{self.number_format}}"


def store_folds(rows: pd.DataFrame) -> np.ndarray:
    """A number from 0 for the store and fold (columns store and origin) of each row. int64 [rows]"""
    return rows.groupby(["origin", "store"], observed=True).ngroup().to_numpy()


def _relative_error(sales: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    return forecast / sales - 1


def _difference(sales: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    return forecast - sales


def _log_ratio(sales: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    return np.log1p(forecast) - np.log1p(sales)


def _same(values: np.ndarray) -> np.ndarray:
    return values


RMSPE = Loss(  # root mean squared percentage error, the score of Kaggle's competition
    name="rmspe",
    label="RMSPE",
    number_format=".4f",
    variance_factor=-1.5,
    error=_relative_error,
    cap=1.0,
    cap_is_in_sales=False,
    cap_text="the error of a row counts as at most 100 %",
    term=np.square,
    weight=np.ones_like,
    finish=np.sqrt,
)
MAE = Loss(  # mean absolute error
    name="mae",
    label="MAE",
    number_format=",.1f",
    variance_factor=0.0,
    error=_difference,
    cap=MAX_RATIO - 1,
    cap_is_in_sales=True,
    cap_text=SALES_CAP,
    term=np.abs,
    weight=np.ones_like,
    finish=_same,
)
RMSLE = Loss(  # root mean squared error of log(1 + sales)
    name="rmsle",
    label="RMSLE",
    number_format=".4f",
    variance_factor=0.0,
    error=_log_ratio,
    cap=float(np.log(MAX_RATIO)),
    cap_is_in_sales=False,
    cap_text="sales count as at most four times the forecast, and at least a quarter",
    term=np.square,
    weight=np.ones_like,
    finish=np.sqrt,
)
# Absolute errors of each store's total over a fold, as a share of all sales: the WAPE, or MAD/mean ratio (Kolassa and
# Schütz, Foresight 6, 2007), of forecasts that are first summed over the horizon.
TOTAL = Loss(
    name="total",
    label="error of store totals",
    number_format=".4f",
    variance_factor=0.5,
    error=_difference,
    cap=MAX_RATIO - 1,
    cap_is_in_sales=True,
    cap_text=SALES_CAP,
    term=_same,
    weight=_same,
    finish=_same,
)
LOSSES = {loss.name: loss for loss in (RMSPE, MAE, RMSLE, TOTAL)}
