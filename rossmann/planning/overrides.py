"""Overrides: a planner's amount for a store and a day, beside the forecast and never instead of it.

The rows that the functions return are for `journal.add_overrides`; those that they take are from
`journal.read_overrides`. Rows are only added: a correction is a new row, and so is a withdrawal, whose amount is NaN.
"""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from rossmann import validation
from rossmann.data import SalesHistory, row_labels, store_labels, store_names, store_numbers
from rossmann.schema import DAY, DTYPES, KEYS
from rossmann.validation import DataError

MOST_NAME, MOST_REASON = 80, 500  # characters
FORECAST_FIELDS = ("forecast", "model_version", "origin")  # of the forecast that a row is about


@dataclass(frozen=True)
class Signature:
    """Who changes something, why, and when. DataError if one of these is missing, or too long for a table."""

    planner: str
    reason: str
    at: datetime  # with its time zone

    def __post_init__(self):
        if not self.planner.strip():
            raise DataError("an override has no planner: say who changes the forecast")
        if not self.reason.strip():
            raise DataError("an override has no reason: say why the forecast is changed; it is judged by it later")
        for text, name, most in ((self.planner, "planner", MOST_NAME), (self.reason, "reason", MOST_REASON)):
            if len(text) > most:
                raise DataError(f"the {name} has {len(text):,} characters: write at most {most}")
        if self.at.tzinfo is None:
            raise ValueError(f"{self.at} has no time zone")


def override_rows(
    history: SalesHistory, forecasts: pd.DataFrame, amounts: pd.DataFrame, signature: Signature
) -> pd.DataFrame:
    """Amounts of days to come, with the forecasts beside which they stand. Rows for the journal.

    forecasts: of `journal.read_newest_forecasts`. amounts: store (label, or number where there are no labels), date,
    amount. Raises ValidationError for unknown stores, days that are over, beyond the horizon or closed, days without a
    forecast, amounts that are negative or no number, and repeated days.
    """
    number = store_numbers(history, amounts["store"].tolist())
    date = amounts["date"].to_numpy().astype(DTYPES["date"])
    rows = pd.DataFrame({"store": number, "date": date, "amount": amounts["amount"].to_numpy(dtype=float)})
    rows = rows.merge(forecasts[[*KEYS, *FORECAST_FIELDS]], on=list(KEYS), how="left", validate="many_to_one")
    validation.check_overrides(
        rows[["date", "amount", "forecast"]].assign(
            store=[str(name).strip() for name in amounts["store"]], is_open=history.take("open", number, date)
        ),
        store_names(history, history.stores.number).astype(str),
        history.origin,
        history.calendar.dates[-1],
    )
    return _with_signature(history, rows, signature)


def withdrawal_rows(
    history: SalesHistory, overrides: pd.DataFrame, days: pd.DataFrame, signature: Signature
) -> pd.DataFrame:
    """The withdrawal of the overrides in force on days (store, date). DataError where there is none to withdraw."""
    number = store_numbers(history, days["store"].tolist())
    keys = pd.DataFrame({"store": number, "date": days["date"].to_numpy().astype(DTYPES["date"])})
    rows = keys.merge(overrides_in_force(overrides)[[*KEYS, *FORECAST_FIELDS]], on=list(KEYS), how="left")
    if rows["forecast"].isna().any():
        first = days[rows["forecast"].isna().to_numpy()].iloc[0]
        raise DataError(f"store {first['store']} has no override on {first['date']:%Y-%m-%d} that could be withdrawn")
    return _with_signature(history, rows.assign(amount=np.nan), signature)


def overrides_in_force(overrides: pd.DataFrame) -> pd.DataFrame:
    """The last row of each store and day, without those that are withdrawn."""
    last = overrides.drop_duplicates(list(KEYS), keep="last")
    return last[last["amount"].notna()]


def with_overrides(forecasts: pd.DataFrame, overrides: pd.DataFrame) -> pd.DataFrame:
    """The rows of a forecast table (store numbers, date, forecast) with override (NaN: none), planner, reason, final.

    `forecast` stays what it is; `final` is the override where there is one.
    """
    of_planners = overrides_in_force(overrides)[[*KEYS, "amount", "planner", "reason"]]
    rows = forecasts.merge(of_planners.rename(columns={"amount": "override"}), on=list(KEYS), how="left")
    return rows.assign(final=rows["override"].fillna(rows["forecast"]))


def open_days(history: SalesHistory, store: object, first: date, last: date) -> pd.DataFrame:
    """The days from first to last on which a store is open by the published plan: store, date. DataError if none is.

    A single day is taken as it is, and so are days that the plan does not have: `override_rows` says what is wrong.
    """
    if last < first:
        raise DataError(f"the last day, {last}, is before the first, {first}: give them in their order")
    dates = np.arange(np.datetime64(first), np.datetime64(last) + DAY, dtype="datetime64[D]")
    is_open = history.take("open", store_numbers(history, [store] * len(dates)), dates)
    open_dates = dates if len(dates) == 1 else dates[is_open != 0]
    if not len(open_dates):
        raise DataError(f"store {store} is closed on all days from {first} to {last}: choose other days")
    return pd.DataFrame({"store": [store] * len(open_dates), "date": open_dates.astype(DTYPES["date"])})


def amounts_of_days(
    history: SalesHistory, forecasts: pd.DataFrame, days: pd.DataFrame, amount: float | None, factor: float | None
) -> pd.DataFrame:
    """Days (store, date) with one amount each, or a factor times their forecasts: store, date, amount.

    NaN where there is no forecast to multiply. DataError unless exactly one of amount and factor is given.
    """
    if (amount is None) == (factor is None):
        raise DataError("give either an amount or a factor of the forecast, and not both")
    if factor is None:
        return days.assign(amount=amount)
    numbers = days.assign(store=store_numbers(history, days["store"].tolist()))
    forecast = numbers.merge(forecasts[[*KEYS, "forecast"]], on=list(KEYS), how="left")["forecast"]
    return days.assign(amount=forecast.to_numpy() * factor)


def days_in_force(
    history: SalesHistory, overrides: pd.DataFrame, store: object, first: date, last: date
) -> pd.DataFrame:
    """The days from first to last on which a store has an override: store, date. DataError for none, or no store."""
    number = store_numbers(history, [store])[0]
    if number == store_labels.UNKNOWN_STORE:
        raise DataError(store_labels.unknown_store(history, store))
    rows = overrides_in_force(overrides)
    dates = rows["date"][(rows["store"] == number) & rows["date"].between(str(first), str(last))].to_numpy()
    if not len(dates):
        raise DataError(f"store {store} has no override from {first} to {last} that could be withdrawn")
    return pd.DataFrame({"store": [store] * len(dates), "date": dates})


def _with_signature(history: SalesHistory, rows: pd.DataFrame, signature: Signature) -> pd.DataFrame:
    labels = row_labels(history, rows["store"].to_numpy())
    return rows.assign(
        label=None if labels is None else labels,
        reason=signature.reason.strip(),
        planner=signature.planner.strip(),
        at=signature.at,
    )
