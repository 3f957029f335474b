"""The champion's forecast as a table, for a person, a file or Kaggle."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann import features, validation
from rossmann.data import Plan, SalesHistory
from rossmann.models import Forecast, Forecaster


@dataclass(frozen=True)
class Summary:
    """What a planner wants to know of a forecast at a glance."""

    rows: int
    stores: int
    first: str
    last: str
    total: float  # all sales that are forecast
    on_year: float  # change against 364 days earlier, of the rows that sell on both days; NaN where there is none


@dataclass(frozen=True)
class Delivered:
    """A forecast that was written, and where it lies."""

    summary: Summary
    champion: int  # version
    file: str
    picture: str


def forecast(forecaster: Forecaster, history: SalesHistory, plan: Plan, ids: np.ndarray | None = None) -> pd.DataFrame:
    """One row per row of the plan, in its order: Id where the plan has it, Store, Date, Sales, Lower, Upper.

    Raises ValidationError if the model forecasts what cannot be: negative, infinite, or open for closed days.
    """
    made = forecaster.predict(features.summarise(history), plan)
    table = pd.DataFrame(
        {
            "Store": plan.store,
            "Date": plan.date.astype("datetime64[s]"),
            "Sales": made.sales,
            "Lower": made.lower,
            "Upper": made.upper,
        }
    )
    validation.check_forecast(table, plan.open)
    if ids is not None:
        table.insert(0, "Id", ids)
    return table


def made(table: pd.DataFrame) -> Forecast:
    """The numbers of a forecast's table. float64 [rows] each"""
    return Forecast(*(table[name].to_numpy() for name in ("Sales", "Lower", "Upper")))


def kaggle(table: pd.DataFrame) -> pd.DataFrame:
    """The two columns Kaggle takes; a table without Id is numbered from 1."""
    ids = table["Id"] if "Id" in table else pd.Series(range(1, len(table) + 1))
    return pd.DataFrame({"Id": ids, "Sales": table["Sales"]})


def summarise(table: pd.DataFrame, history: SalesHistory) -> Summary:
    """The totals of a forecast, and like for like against the same weekdays a year before."""
    year_ago = table.Date.to_numpy().astype("datetime64[D]") - np.timedelta64(364, "D")
    day = (year_ago - history.dates[0]).astype(int)
    store = np.searchsorted(history.stores.number, table.Store.to_numpy())
    before = np.where(day >= 0, history.sales[store, np.maximum(day, 0)], np.nan)
    both = (before > 0) & (table.Sales.to_numpy() > 0)
    on_year = table.Sales[both].sum() / before[both].sum() - 1 if both.any() else np.nan
    first, last = table.Date.min(), table.Date.max()
    total = float(table.Sales.sum())
    return Summary(len(table), table.Store.nunique(), f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}", total, float(on_year))


def csv(table: pd.DataFrame) -> bytes:
    """The table as a person or Kaggle reads it: sales to the cent, dates as 2015-08-01."""
    return table.to_csv(index=False, float_format="%.2f", date_format="%Y-%m-%d", lineterminator="\n").encode()


def parquet(table: pd.DataFrame) -> bytes:
    """The table with every digit."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
