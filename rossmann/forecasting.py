"""Forecasts as tables: computed with the champion, summarised, and written as CSV or Parquet."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann import validation
from rossmann.data import Plan, SalesHistory, store_names
from rossmann.models import Forecast, Quantiles
from rossmann.schema import DAY, DTYPES, FORECAST_COLUMNS, WEEKS_YEAR_DAYS

DECIMALS = 2  # of amounts in a CSV file
SMALL_DIGITS, SIGNIFICANT_DIGITS = 3, 7  # of a typical amount below 100, in whatever currency: 1.234567


@dataclass(frozen=True)
class ForecastSummary:
    """The extent and the totals of a forecast."""

    rows: int
    stores: int
    first_day: str  # ISO
    last_day: str
    total: float  # the sum of all forecast sales
    year_over_year: float  # relative to the sales 364 days before, in rows with sales on both days; NaN without any


@dataclass(frozen=True)
class DeliveredForecast:
    """A forecast that has been written to files."""

    summary: ForecastSummary
    model_version: int
    file: str  # path or s3:// address
    plot: str | None  # path or s3:// address; None for a few days, whose plot says no more than the table


def forecast_table(plan: Plan, forecast: Forecast, quantiles: Quantiles, ids: np.ndarray | None = None) -> pd.DataFrame:
    """One row per row of the plan, in its order: id if `ids` are passed, store, date, forecast, lower, upper, q05, ….

    Raises ValidationError if the forecast is impossible: negative, infinite, or not 0 on a closed day.
    """
    amounts = dict(zip(FORECAST_COLUMNS, (forecast.sales, forecast.lower, forecast.upper), strict=True))
    amounts |= quantiles.by_name(forecast.standard_deviation, forecast.sales)
    table = pd.DataFrame({"store": plan.store, "date": plan.date.astype(DTYPES["date"]), **amounts})
    validation.check_forecast(table, plan.open, quantiles.columns)
    if ids is not None:
        table.insert(0, "id", ids)
    return table


def summarise(table: pd.DataFrame, history: SalesHistory) -> ForecastSummary:
    """The totals of a forecast table, and the change against the same stores and weekdays one year before."""
    forecast = table["forecast"].to_numpy()
    year_ago = table["date"].to_numpy() - WEEKS_YEAR_DAYS * DAY
    sales_before = history.take("sales", table["store"].to_numpy(), year_ago)
    first, last = table["date"].min(), table["date"].max()
    return ForecastSummary(
        rows=len(table),
        stores=table["store"].nunique(),
        first_day=f"{first:%Y-%m-%d}",
        last_day=f"{last:%Y-%m-%d}",
        total=float(forecast.sum()),
        year_over_year=year_over_year(forecast, sales_before),
    )


def year_over_year(forecast: np.ndarray, sales_before: np.ndarray) -> float:
    """The change against the sales 52 weeks before, in rows with sales on both days; NaN without any. [rows] each"""
    comparable = (sales_before > 0) & (forecast > 0)
    return float(forecast[comparable].sum() / sales_before[comparable].sum() - 1) if comparable.any() else np.nan


def with_store_names(table: pd.DataFrame, history: SalesHistory) -> pd.DataFrame:
    """The table for readers: its stores have the labels of the chain's files, where there are labels."""
    return table.assign(store=store_names(history, table["store"].to_numpy()))


def to_csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as CSV: dates like 2015-08-01, two decimals, and more of them where sales are small amounts."""
    amounts = table.select_dtypes("float").to_numpy()
    positive = amounts[amounts > 0]
    digits_before_point = np.floor(np.log10(np.median(positive))) + 1 if len(positive) else SMALL_DIGITS
    decimals = DECIMALS if digits_before_point >= SMALL_DIGITS else int(SIGNIFICANT_DIGITS - digits_before_point)
    return table.to_csv(
        index=False, float_format=f"%.{decimals}f", date_format="%Y-%m-%d", lineterminator="\n"
    ).encode()


def to_parquet_bytes(table: pd.DataFrame) -> bytes:
    """The table as Parquet, with all digits."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
