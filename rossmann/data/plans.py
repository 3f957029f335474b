"""A caller's plan: the rows to forecast, with what it leaves open taken from the published plan."""

import numpy as np

from rossmann.data.cells import cut, typed
from rossmann.data.panel import Plan, SalesHistory
from rossmann.storage import locate
from rossmann.validation import DataError, check_plan

TOLD = {"Open": "open", "Promo": "promo", "StateHoliday": "state_holiday", "SchoolHoliday": "school_holiday"}


def read_plan(path: str, history: SalesHistory) -> tuple[Plan, np.ndarray | None]:
    """The rows of a CSV with Store and Date, in its order, and its Id column if it has one.

    Open, Promo, StateHoliday and SchoolHoliday may be there; where they are not, or are empty, the published plan
    holds. Raises DataError for unknown columns and stores, doubled rows, and days that are past or beyond the horizon.
    """
    files, name = locate(path)
    if not name or not files.exists(name):
        raise DataError(f"There is no plan {path}. Give a CSV file with the columns Store and Date.")
    optional = ("Id", "DayOfWeek", *TOLD)
    text = cut(name, files.read(name), ("Store", "Date"), ignored=optional, stage="plan")
    if text.extra:
        known = ", ".join(("Store", "Date", *optional))
        raise DataError(f"The plan {name} has a column {', '.join(text.extra)} that says nothing; known are {known}.")
    there = [column for column in optional if column in text.cells.column_names]
    rows = typed(text, ["Store", "Date", *there])
    check_plan(rows, history.stores.number, history.origin, history.calendar.dates[-1])
    number, calendar = rows["Store"].to_numpy(dtype=np.int32), history.calendar
    date = rows["Date"].to_numpy().astype("datetime64[D]")
    at = np.searchsorted(history.stores.number, number), (date - calendar.dates[0]).astype(int)
    told = {}
    for column, field in TOLD.items():
        published = getattr(calendar, field)[at]
        said = rows[column].to_numpy() if column in rows else np.full(len(rows), np.nan)
        told[field] = np.where(np.isnan(said), published, said).astype(np.int8)
    ids = rows["Id"].to_numpy() if "Id" in rows else None
    return Plan(number, date, **told), ids
