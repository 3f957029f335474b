"""Quantiles around the medians of a window, calibrated on windows before it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.fev.task import LEVELS
from rossmann.data import SalesHistory


def log_residual_quantiles(history: SalesHistory, model: str, earlier_windows: Sequence[pd.DataFrame]) -> np.ndarray:
    """Quantiles at LEVELS of log(sales / median), in units of each row's own standard deviation. float64 [levels]

    Their median is moved to 0: what the sales of a few weeks had in common does not repeat itself.
    """
    residuals = np.concatenate([_scaled_residuals(history, model, table) for table in earlier_windows])
    return np.quantile(residuals, LEVELS) - np.median(residuals)


def sales_quantiles(model: str, table: pd.DataFrame, scaled: np.ndarray) -> np.ndarray:
    """Quantiles of sales of the rows of a window. float64 [rows, levels]"""
    return table[model].to_numpy()[:, None] * np.exp(table["standard_deviation"].to_numpy()[:, None] * scaled)


def _scaled_residuals(history: SalesHistory, model: str, table: pd.DataFrame) -> np.ndarray:
    sales = history.take("sales", table["store"].to_numpy(), table["date"].to_numpy())
    sold = (sales > 0) & (table[model].to_numpy() > 0)
    return (np.log(sales[sold] / table[model].to_numpy()[sold])) / table["standard_deviation"].to_numpy()[sold]
