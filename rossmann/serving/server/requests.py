"""What a request may contain, and the plan that its rows describe. `parsing` reads them from a body.

No pandas here: a request of one row takes a third of a millisecond.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

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
    ValidationError,
)
from starlette.datastructures import QueryParams

from rossmann.chain import KAGGLE_CHAIN
from rossmann.data import Plan, labels_by_number, store_labels
from rossmann.data.kaggle.columns import KAGGLE_NAMES
from rossmann.data.known_values import KnownValues, calendar_values, lay_over
from rossmann.features import State
from rossmann.schema import CALENDAR_COLUMNS, DAY, FLAG_COLUMNS, HOLIDAY_KINDS, weekday
from rossmann.serving.server.errors import ApiError, Problem

field_name = KAGGLE_CHAIN.name_of  # of a column: fields that every chain's rows have are called as for Kaggle's files
EXPECTED = {  # by the name of a field
    "store": "a store's number, like 1",
    "date": 'a day, like "2015-08-01"',
    **dict.fromkeys(map(field_name, FLAG_COLUMNS), "true or false, or 1 or 0"),
    field_name("holiday_kind"): '"0", "a", "b" or "c"',
    "day_of_week": "1 (Monday) to 7 (Sunday), or null",
    "id": "a whole number, or null",
    "plan": "a list of at least one row",
    "quantiles": "true or false",
    "since": 'the last day with known sales, like "2015-07-10", or null',
    "since_version": "the number of a model version, like 1, or null",
}
FIELDS = {kaggle: field_name(name) for name, kaggle in KAGGLE_NAMES.items() if field_name(name) in EXPECTED}
NOT_IN_ROW = -1  # code of a field that a row leaves out
MAX_STORE = 2**31 - 1

STORE_NUMBER = TypeAdapter(Annotated[int, Field(ge=1, le=MAX_STORE)])
Flag = bool | Literal[0, 1] | None


def _field(column: str, description: str, **options: Any) -> Any:
    """A field that has the column's name for Kaggle's files, or Kaggle's own."""
    names = AliasChoices(field_name(column), KAGGLE_NAMES[column])
    return Field(validation_alias=names, description=f"{description}; Kaggle: {KAGGLE_NAMES[column]}.", **options)


def parse_day(value: object) -> dt.date:
    """The day of "2015-08-01", and of no other form: pydantic also accepts "1438387200", the seconds since 1970."""
    if isinstance(value, str) and len(value) == 10 and value[4::3] == "--":
        return dt.date.fromisoformat(value)
    raise ValueError("not a day")


def parse_store_number(text: str) -> int:
    """The number that a path names. Raises ApiError (422)."""
    try:
        return STORE_NUMBER.validate_python(text)
    except ValidationError:
        raise ApiError(422, [Problem(f'"{text}" is not valid; expected {EXPECTED["store"]}', "store")]) from None


class PlanRow(BaseModel):
    """One day of one store. Fields that are left out, or null, are taken from the published plan."""

    model_config = ConfigDict(extra="forbid", strict=True)

    store: int = _field("store", "The store's number", ge=1, le=MAX_STORE)
    date: Annotated[dt.date, BeforeValidator(parse_day)] = _field(
        "date", "The day to forecast, after the last day with known sales"
    )
    open: Flag = _field("open", "Whether the store is open", default=None)
    promotion: Flag = _field("promotion", "Whether the store runs a promotion", default=None)
    holiday_kind: Literal["0", "a", "b", "c", 0] | None = _field(
        "holiday_kind", "0 none, a public, b Easter, c Christmas", default=None
    )
    school_break: Flag = _field("school_break", "Whether nearby schools are closed", default=None)
    day_of_week: Annotated[int, Field(ge=1, le=7)] | None = _field(
        "day_of_week", "Only compared with the date: 1 Monday … 7 Sunday", default=None
    )
    id: int | None = _field("id", "Ignored: forecasts come in the order of the rows", default=None)


ROW_COLUMNS = {field_name(column): column for column in PlanRow.model_fields}  # by the name of a field
QUANTILES_DESCRIPTION = "Whether the forecasts have their quantiles."


class SingleRow(PlanRow):
    """A request of one day of one store."""

    quantiles: bool = Field(False, description=QUANTILES_DESCRIPTION)


class PlanRequest(BaseModel):
    """Several rows. They get forecasts in their order, either all of them or none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    plan: Annotated[list[PlanRow], FailFast()] = Field(
        min_length=1, description="The rows; each pair of store and date once."
    )
    quantiles: bool = Field(False, description=QUANTILES_DESCRIPTION)


def _tag(body: object) -> str:
    return "plan_request" if isinstance(body, dict) and "plan" in body else "single_row"


TAGS = ("single_row", "plan_request")  # pydantic puts them into the locations of its errors
REQUEST_BODY: TypeAdapter[SingleRow | PlanRequest] = TypeAdapter(
    Annotated[Annotated[SingleRow, Tag(TAGS[0])] | Annotated[PlanRequest, Tag(TAGS[1])], Discriminator(_tag)]
)


class Earlier(BaseModel):
    """The forecast to compare with. What is not named is as in the explained one; its plan is the published one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    since: Annotated[dt.date, BeforeValidator(parse_day)] | None = Field(
        None, description="Also explain why the forecast moved since this origin, the last day with known sales."
    )
    since_version: Annotated[int, Field(ge=1, le=MAX_STORE)] | None = Field(
        None, description="Also explain why it moved from that of this model version."
    )

    @property
    def is_requested(self) -> bool:
        """Whether there is anything to compare with."""
        return self.since is not None or self.since_version is not None


class SingleExplainRequest(SingleRow, Earlier):
    """A request for the reasons of one day of one store."""


class PlanExplainRequest(PlanRequest, Earlier):
    """A request for the reasons of several rows."""


EXPLAIN_BODY: TypeAdapter[SingleExplainRequest | PlanExplainRequest] = TypeAdapter(
    Annotated[
        Annotated[SingleExplainRequest, Tag(TAGS[0])] | Annotated[PlanExplainRequest, Tag(TAGS[1])], Discriminator(_tag)
    ]
)


@dataclass(frozen=True)
class RequestRows:
    """The fields of a request's rows, each valid by itself. Arrays [rows]; NOT_IN_ROW where one is left out."""

    store: np.ndarray  # int32
    date: np.ndarray  # datetime64[D]
    day_of_week: np.ndarray  # int8
    codes: dict[str, np.ndarray]  # int8, by the names of CALENDAR_COLUMNS
    known: KnownValues = field(default_factory=dict)  # of a chain with a chain.toml

    def __len__(self) -> int:
        return len(self.store)

    @staticmethod
    def of(rows: Sequence[PlanRow]) -> "RequestRows":
        """The rows that pydantic has parsed."""
        return RequestRows(
            store=np.array([row.store for row in rows], np.int32),
            date=np.array([row.date for row in rows], "datetime64[D]"),
            day_of_week=np.array([row.day_of_week or NOT_IN_ROW for row in rows], np.int8),
            codes={name: np.array([_code(getattr(row, name)) for row in rows], np.int8) for name in CALENDAR_COLUMNS},
        )


def to_plan(rows: RequestRows, state: State) -> Plan:
    """The rows, with fields that they leave out from the published plan.

    Raises ApiError (422) for unknown stores, days outside the horizon, wrong weekdays and repeated rows.
    """
    lead_days = (rows.date - state.origin).view(np.int64)
    if not _is_valid(rows, lead_days, state):
        raise ApiError(422, _row_problems(rows, state))
    cells = state.stores.positions(rows.store), lead_days - 1 + len(state.calendar.dates) - state.horizon_days
    columns = {}
    for name, codes in (rows.codes | _codes_of_known(rows, state)).items():
        is_missing = codes == NOT_IN_ROW
        columns[name] = np.where(is_missing, getattr(state.calendar, name)[cells], codes) if is_missing.any() else codes
    if rows.known:
        columns["covariates"] = lay_over(state.chain, state.calendar, *cells, rows.known)
    return Plan(rows.store, rows.date, **columns)


def unknown_store(store: int | str, state: State, row: int | None = None) -> Problem:
    """The problem with a store that has no history."""
    return Problem(store_labels.unknown_store(state, store), "store", row)


def _code(value: bool | int | str | None) -> int:
    """The value as the arrays of a Plan have it; NOT_IN_ROW for None."""
    if value is None:
        return NOT_IN_ROW
    return HOLIDAY_KINDS.index(value) if isinstance(value, str) else int(value)


def refuse_repetitions(query: QueryParams) -> None:
    """Refuse a query that names a parameter more than once. Raises ApiError (422)."""
    counts = Counter(name for name, _ in query.multi_items())
    if problems := [
        Problem(f"is there {count} times; name it once", name) for name, count in counts.items() if count > 1
    ]:
        raise ApiError(422, problems)


def _codes_of_known(rows: RequestRows, state: State) -> dict[str, np.ndarray]:
    """Codes of calendar columns that the values of [known] imply. int8 [rows]"""
    values = calendar_values(state.chain, rows.known)
    return {name: np.where(np.isnan(each), NOT_IN_ROW, each).astype(np.int8) for name, each in values.items()}


def _is_valid(rows: RequestRows, lead_days: np.ndarray, state: State) -> bool:
    """Whether `_row_problems` would find nothing."""
    if lead_days.min() < 1 or lead_days.max() > state.horizon_days or not state.stores.contains(rows.store).all():
        return False
    if _wrong_weekday(rows).any():
        return False
    return len(rows) == 1 or len(np.unique(rows.store * np.int64(state.horizon_days + 1) + lead_days)) == len(rows)


def _wrong_weekday(rows: RequestRows) -> np.ndarray:
    """Where a row names another day of the week than that of its date. bool [rows]"""
    return (rows.day_of_week != NOT_IN_ROW) & (rows.day_of_week != weekday(rows.date) + 1)


def _row_problems(rows: RequestRows, state: State) -> Iterator[Problem]:
    """All problems of rows with valid fields, in the order of the rows."""
    stores, origin, last = set(state.store_numbers.tolist()), state.origin, state.calendar.dates[-1]
    labels = labels_by_number(state)
    wrong_weekday = _wrong_weekday(rows)
    first_rows: dict[tuple[int, dt.date], int] = {}
    for number, (store, date) in enumerate(zip(rows.store.tolist(), rows.date.tolist(), strict=True)):
        if store not in stores:
            yield unknown_store(store, state, number)
        if date <= origin.item():
            message = f"{date} is in the past: sales are known until {origin}; the first day is {origin + DAY}"
            yield Problem(message, "date", number)
        elif date > last.item():
            message = f"{date} is more than {state.horizon_days} days after {origin}, the last day with known " \
                      f"sales; the last day is {last}"  # fmt: skip
            yield Problem(message, "date", number)
        if wrong_weekday[number]:
            message = f"{date} is day {date.isoweekday()} of the week, not {rows.day_of_week[number]}"
            yield Problem(message, "day_of_week", number)
        if (first := first_rows.setdefault((store, date), number)) != number:
            yield Problem(f"store {labels.get(store, store)} on {date} is already in row {first}", None, number)
