"""What a request may say, and in words what is wrong with one that says something else. Without pandas: it is fast.

A row names its store and day; what it leaves out is taken from the published plan. Kaggle's column names will do too.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date as day
from typing import Annotated, Literal

import numpy as np
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)

from rossmann.data import Plan
from rossmann.features import HORIZON_DAYS, State
from rossmann.validation import STATE_HOLIDAYS

EPOCH = day(1970, 1, 1).toordinal()
FLAGS = ("open", "promo", "school_holiday")
TOLD = (*FLAGS, "state_holiday")  # what a row may say of its day
MOST_TOLD = 20  # problems that an answer lists; it counts the others
EXPECTED = {
    "store": "a store's number, like 1",
    "date": 'a day, like "2015-08-01"',
    **dict.fromkeys(FLAGS, "true or false, or 1 or 0"),
    "state_holiday": '"0", "a", "b" or "c"',
    "day_of_week": "1 (Monday) to 7 (Sunday), or nothing",
    "id": "a whole number, or nothing",
    "plan": "a list of at least one row",
}

Flag = bool | Literal[0, 1] | None


def _named(name: str, kaggle: str, **more: object) -> object:
    return Field(validation_alias=AliasChoices(name, kaggle), **more)


def _day(value: object) -> day:
    """Of "2015-08-01" and nothing else: pydantic alone takes "1438387200", seconds since 1970, for a day, too."""
    if isinstance(value, str) and len(value) == 10 and value[4::3] == "--":
        return day.fromisoformat(value)
    raise ValueError("no day")


class Row(BaseModel):
    """One day of one store. What is left out, or null, holds as published."""

    model_config = ConfigDict(extra="forbid", strict=True)

    store: int = _named("store", "Store", ge=1, lt=2**31, description="The store's number; Kaggle: Store.")
    date: Annotated[day, BeforeValidator(_day)] = _named(
        "date", "Date", description="The day to forecast, after the last known one; Kaggle: Date."
    )
    open: Flag = _named("open", "Open", default=None, description="Whether the store opens; Kaggle: Open.")
    promo: Flag = _named("promo", "Promo", default=None, description="Whether it runs a promotion; Kaggle: Promo.")
    state_holiday: Literal["0", "a", "b", "c", 0] | None = _named(
        "state_holiday", "StateHoliday", default=None, description="0 none, a public, b Easter, c Christmas."
    )
    school_holiday: Flag = _named("school_holiday", "SchoolHoliday", default=None, description="Schools closed nearby.")
    day_of_week: Annotated[int, Field(ge=1, le=7)] | None = _named(
        "day_of_week", "DayOfWeek", default=None, description="Only checked against the date: 1 Monday … 7 Sunday."
    )
    id: int | None = _named("id", "Id", default=None, description="Kaggle's Id; ignored: answers keep the order.")


class Several(BaseModel):
    """Many rows, answered in their order, all or none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    plan: list[Row] = Field(min_length=1, description="The rows, each store and day once.")


def _kind(body: object) -> str:
    return "several" if isinstance(body, dict) and "plan" in body else "one"


Body = Annotated[Annotated[Row, Tag("one")] | Annotated[Several, Tag("several")], Discriminator(_kind)]
BODY: TypeAdapter[Row | Several] = TypeAdapter(Body)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a request; `row` counts from 0, None if it is not about one."""

    row: int | None
    field: str | None
    problem: str

    def sentence(self) -> str:
        """row 3, date: …"""
        where = [f"row {self.row}"] if self.row is not None else []
        return ", ".join([*where, *([self.field] if self.field else [])] or ["the request"]) + f": {self.problem}"


class RefusedError(Exception):
    """A request that is not answered: the HTTP status, the problems (the first MOST_TOLD), and how many there are."""

    def __init__(self, status: int, problems: Sequence[Problem], count: int | None = None):
        self.status, self.problems, self.count = status, tuple(problems[:MOST_TOLD]), count or len(problems)
        super().__init__("; ".join(problem.sentence() for problem in self.problems))


def read(body: bytes, most_rows: int) -> list[Row]:
    """The rows of a body; raises RefusedError (422) with every row that cannot be read."""
    try:
        asked = BODY.validate_json(body)
    except ValidationError as error:
        problems = list(dict.fromkeys(_told(error)))
        raise RefusedError(422, problems) from None
    rows = asked.plan if isinstance(asked, Several) else [asked]
    if len(rows) > most_rows:
        raise RefusedError(422, [Problem(None, "plan", f"{len(rows):,} rows; at most {most_rows:,} in one request")])
    return rows


def lay(rows: Sequence[Row], state: State) -> Plan:
    """The rows over the published plan; raises RefusedError (422) for what the State knows nothing of."""
    count = len(rows)
    store = np.fromiter((row.store for row in rows), np.int32, count)
    lead = np.fromiter((row.date.toordinal() for row in rows), np.int64, count)
    lead -= EPOCH + int(state.origin.astype(np.int64))
    at = np.minimum(np.searchsorted(state.stores, store), len(state.stores) - 1)
    keys = at * (HORIZON_DAYS + 1) + lead
    sane = (state.stores[at] == store).all() and lead.min() >= 1 and lead.max() <= HORIZON_DAYS
    if not sane or (count > 1 and len(np.unique(keys)) < count) or _weekdays_wrong(rows):
        problems = list(_wrong(rows, state))
        raise RefusedError(422, problems)
    calendar = state.calendar
    column = len(calendar.dates) - HORIZON_DAYS - 1 + lead
    told = {}
    for name in TOLD:
        published = getattr(calendar, name)[at, column]
        values = np.fromiter((_code(getattr(row, name)) for row in rows), np.int8, count)
        told[name] = np.where(values < 0, published, values)
    return Plan(store, state.origin + lead.astype("timedelta64[D]"), **told)


def unknown_store(number: int, state: State, row: int | None = None) -> Problem:
    """For a store without a history."""
    some = f"{len(state.stores):,} stores from {state.stores[0]} to {state.stores[-1]}"
    return Problem(row, "store", f"store {number} has no history; known are {some}")


def _code(value: bool | int | str | None) -> int:
    """As the panel has it; −1 for what is left out."""
    if value is None:
        return -1
    return STATE_HOLIDAYS.index(value) if isinstance(value, str) else int(value)


def _weekdays_wrong(rows: Sequence[Row]) -> bool:
    return any(row.day_of_week and row.day_of_week != row.date.isoweekday() for row in rows)


def _wrong(rows: Sequence[Row], state: State) -> Iterator[Problem]:
    """Everything that is wrong with rows that could be read, in their order."""
    known, first, last = set(state.stores.tolist()), state.origin + 1, state.origin + HORIZON_DAYS
    seen: dict[tuple[int, day], int] = {}
    for number, row in enumerate(rows):
        if row.store not in known:
            yield unknown_store(row.store, state, number)
        if row.date <= state.origin.item():
            yield Problem(number, "date", f"{row.date} is past: sales are known until {state.origin}; ask from {first}")
        elif row.date > last.item():
            yield Problem(
                number, "date",
                f"{row.date} lies more than {HORIZON_DAYS} days after {state.origin}, the last day with known sales; "
                f"ask up to {last}",
            )  # fmt: skip
        if row.day_of_week and row.day_of_week != row.date.isoweekday():
            yield Problem(number, "day_of_week", f"{row.date} is day {row.date.isoweekday()}, not {row.day_of_week}")
        if (before := seen.setdefault((row.store, row.date), number)) != number:
            yield Problem(number, None, f"store {row.store} on {row.date} is asked for already, in row {before}")


def _told(error: ValidationError) -> Iterator[Problem]:
    for mistake in error.errors(include_url=False, include_context=False):
        where = [part for part in mistake["loc"] if part not in ("one", "several")]
        if where[:1] == ["plan"] and len(where) > 1:
            row, rest = where[1], where[2:]
        else:
            row, rest = None, where
        names = [part for part in rest if (isinstance(part, str) and part[:1].islower()) or part in KAGGLE]
        field = KAGGLE.get(names[0], names[0]) if names else None
        yield Problem(row, field, _sentence(mistake, field))


def _sentence(mistake: dict, field: str | None) -> str:
    kind, got = mistake["type"], _shown(mistake["input"])
    if kind == "json_invalid":
        return f"the body is not JSON ({mistake['msg'].removeprefix('Invalid JSON: ')})"
    if kind == "extra_forbidden" and mistake["loc"][0] == "several" and "plan" not in mistake["loc"]:
        return "stands beside the plan; a request is one row, or a plan and nothing else"
    if kind == "extra_forbidden" and field in Row.model_fields:
        return "is given twice, by its own name and by Kaggle's"
    if kind == "extra_forbidden":
        return f"there is no such field; known are {', '.join(Row.model_fields)}, and Kaggle's names of these"
    if kind == "missing":
        return f"is missing; expected {EXPECTED[field]}"
    if field in EXPECTED:
        return f"{got} is not possible; expected {EXPECTED[field]}"
    return f'{got} is no row; expected {{"store": 1, "date": "2015-08-01"}} or {{"plan": [rows]}}'


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."


KAGGLE = {field.validation_alias.choices[1]: name for name, field in Row.model_fields.items()}
