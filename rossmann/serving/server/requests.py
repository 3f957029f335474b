"""What a request may contain, and the plan that its rows describe. `parsing` reads them from a body.

No pandas here: a request of one row takes a millisecond.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    Tag,
    TypeAdapter,
)

from rossmann.data import Plan
from rossmann.data.kaggle.columns import KAGGLE_NAMES
from rossmann.features import State
from rossmann.schema import CALENDAR_COLUMNS, DAY, STATE_HOLIDAYS
from rossmann.serving.server.errors import ApiError, Problem

EXPECTED = {
    "store": "a store's number, like 1",
    "date": 'a day, like "2015-08-01"',
    **dict.fromkeys(("open", "promo", "school_holiday"), "true or false, or 1 or 0"),
    "state_holiday": '"0", "a", "b" or "c"',
    "day_of_week": "1 (Monday) to 7 (Sunday), or null",
    "id": "a whole number, or null",
    "plan": "a list of at least one row",
}
FIELDS = {KAGGLE_NAMES[name]: name for name in EXPECTED if name in KAGGLE_NAMES}  # by Kaggle's name
NOT_IN_ROW = -1  # code of a calendar field that a row leaves out

Flag = bool | Literal[0, 1] | None


def _field(name: str, description: str, **options: object) -> object:
    return Field(validation_alias=AliasChoices(name, KAGGLE_NAMES[name]), description=description, **options)


def _parse_day(value: object) -> dt.date:
    """The day of "2015-08-01", and of no other form: pydantic also accepts "1438387200", the seconds since 1970."""
    if isinstance(value, str) and len(value) == 10 and value[4::3] == "--":
        return dt.date.fromisoformat(value)
    raise ValueError("not a day")


class PlanRow(BaseModel):
    """One day of one store. Fields that are left out, or null, are taken from the published plan."""

    model_config = ConfigDict(extra="forbid", strict=True)

    store: int = _field("store", "The store's number; Kaggle: Store.", ge=1, lt=2**31)
    date: Annotated[dt.date, BeforeValidator(_parse_day)] = _field(
        "date", "The day to forecast, after the last day with known sales; Kaggle: Date."
    )
    open: Flag = _field("open", "Whether the store is open; Kaggle: Open.", default=None)
    promo: Flag = _field("promo", "Whether the store runs a promotion; Kaggle: Promo.", default=None)
    state_holiday: Literal["0", "a", "b", "c", 0] | None = _field(
        "state_holiday", "0 none, a public, b Easter, c Christmas; Kaggle: StateHoliday.", default=None
    )
    school_holiday: Flag = _field(
        "school_holiday", "Whether nearby schools are closed; Kaggle: SchoolHoliday.", default=None
    )
    day_of_week: Annotated[int, Field(ge=1, le=7)] | None = _field(
        "day_of_week", "Only compared with the date: 1 Monday … 7 Sunday; Kaggle: DayOfWeek.", default=None
    )
    id: int | None = _field("id", "Ignored: forecasts come in the order of the rows; Kaggle: Id.", default=None)


class PlanRequest(BaseModel):
    """Several rows. They get forecasts in their order, either all of them or none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    plan: Annotated[list[PlanRow], FailFast()] = Field(
        min_length=1, description="The rows; each pair of store and date once."
    )


def _tag(body: object) -> str:
    return "plan_request" if isinstance(body, dict) and "plan" in body else "single_row"


TAGS = ("single_row", "plan_request")  # pydantic puts them into the locations of its errors
REQUEST_BODY: TypeAdapter[PlanRow | PlanRequest] = TypeAdapter(
    Annotated[Annotated[PlanRow, Tag(TAGS[0])] | Annotated[PlanRequest, Tag(TAGS[1])], Discriminator(_tag)]
)


def to_plan(rows: Sequence[PlanRow], state: State) -> Plan:
    """The rows, with fields that they leave out from the published plan.

    Raises ApiError (422) for unknown stores, days outside the horizon, wrong weekdays and repeated rows.
    """
    count = len(rows)
    store = np.fromiter((row.store for row in rows), np.int32, count)
    date = np.array([row.date for row in rows], "datetime64[D]")
    if not _is_valid(rows, store, date, state):
        raise ApiError(422, _row_problems(rows, state))
    position, column = state.stores.positions(store), state.calendar.offsets(date)
    columns = {}
    for name in CALENDAR_COLUMNS:
        codes = np.fromiter((_code(getattr(row, name)) for row in rows), np.int8, count)
        published = getattr(state.calendar, name)[position, column]
        columns[name] = np.where(codes == NOT_IN_ROW, published, codes)
    return Plan(store, date, **columns)


def unknown_store(store: int, state: State, row: int | None = None) -> Problem:
    """The problem with a store that has no history."""
    stores = f"{len(state.store_numbers):,} stores from {state.store_numbers[0]} to {state.store_numbers[-1]}"
    return Problem(f"store {store} has no history; there are {stores}", "store", row)


def _code(value: bool | int | str | None) -> int:
    """The value as the arrays of a Plan have it; NOT_IN_ROW for None."""
    if value is None:
        return NOT_IN_ROW
    return STATE_HOLIDAYS.index(value) if isinstance(value, str) else int(value)


def _is_valid(rows: Sequence[PlanRow], store: np.ndarray, date: np.ndarray, state: State) -> bool:
    """Whether `_row_problems` would find nothing, computed with arrays where possible."""
    lead_days = (date - state.origin) // DAY
    if lead_days.min() < 1 or lead_days.max() > state.horizon_days or not state.stores.contains(store).all():
        return False
    if any(_has_wrong_weekday(row) for row in rows):
        return False
    return len(rows) == 1 or len(np.unique(store.astype(np.int64) * (state.horizon_days + 1) + lead_days)) == len(rows)


def _has_wrong_weekday(row: PlanRow) -> bool:
    return bool(row.day_of_week) and row.day_of_week != row.date.isoweekday()


def _row_problems(rows: Sequence[PlanRow], state: State) -> Iterator[Problem]:
    """All problems of rows with valid fields, in the order of the rows."""
    stores, origin, last = set(state.store_numbers.tolist()), state.origin, state.calendar.dates[-1]
    first_rows: dict[tuple[int, dt.date], int] = {}
    for number, row in enumerate(rows):
        if row.store not in stores:
            yield unknown_store(row.store, state, number)
        if row.date <= origin.item():
            message = f"{row.date} is in the past: sales are known until {origin}; the first day is {origin + DAY}"
            yield Problem(message, "date", number)
        elif row.date > last.item():
            message = f"{row.date} is more than {state.horizon_days} days after {origin}, the last day with known " \
                      f"sales; the last day is {last}"  # fmt: skip
            yield Problem(message, "date", number)
        if _has_wrong_weekday(row):
            message = f"{row.date} is day {row.date.isoweekday()} of the week, not {row.day_of_week}"
            yield Problem(message, "day_of_week", number)
        if (first := first_rows.setdefault((row.store, row.date), number)) != number:
            yield Problem(f"store {row.store} on {row.date} is already in row {first}", None, number)
