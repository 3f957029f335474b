"""How a chain's files are described: `chain.toml` beside them, read once into one frozen value.

Without the file, the files are those of Kaggle's competition, and the value is KAGGLE_CHAIN.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeGuard, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from rossmann.schema import ASSORTMENTS, MAX_HORIZON_DAYS, STORE_TYPES, LossName
from rossmann.validation import DataError

CHAIN_FILE = "chain.toml"
ISO_DATE = "%Y-%m-%d"
# What the columns that have a role are called outside: in chain.toml, in plans, requests and messages.
ROLE_NAMES: Mapping[str, str] = {
    "promotion": "promo",
    "holiday_kind": "state_holiday",
    "school_break": "school_holiday",
    "traffic": "customers",
}
PROMOTION, SCHOOL_BREAK = ROLE_NAMES["promotion"], ROLE_NAMES["school_break"]  # of [known]
KAGGLE_ATTRIBUTES = {"store type": STORE_TYPES, "assortment": ASSORTMENTS}  # categories of its stores, by name
# No names for [known]: fields of requests, and columns of plans and days with a meaning of their own.
RESERVED_NAMES = frozenset({"store", "date", "plan", "quantiles", "id", "day_of_week", "open", "sales"}).union(
    name for role, name in ROLE_NAMES.items() if role not in ("promotion", "school_break")
)
Kind = Literal["flag", "number", "category"]
Missing = Literal["unknown", "closed", "refuse"]
_STORE_AND_DATE = re.compile(r".+@\d{4}-\d{2}-\d{2}")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    example: ClassVar[str] = 'column = "…"'


class DateColumn(_Table):
    """Where the date of a row is, and how it is written."""

    column: str
    format: str = ISO_DATE  # of strptime

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_column(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @field_validator("format")
    @classmethod
    def _has_directives(cls, value: str) -> str:
        if "%" not in value:
            raise ValueError(f"{value} has no directive like %Y; write it as {ISO_DATE} or %d/%m/%Y")
        return value


class Column(_Table):
    """Where a covariate is: a column of `file`, or of the files of days and plan."""

    column: str
    kind: Kind = "number"
    file: str | None = None
    store: str | None = None  # the column of the file with the store; None: it is called as in the files of days
    date: DateColumn | None = None  # the same of the date
    stores: Literal["all"] | None = None  # "all": the file has a row per day, without a store, for all stores

    @model_validator(mode="after")
    def _keys_of_a_file(self) -> "Column":
        for name in ("store", "date", "stores"):
            if getattr(self, name) and not self.file:
                raise ValueError(f"{name} is about a file of its own; add file, or leave {name} out")
        if self.store and self.stores:
            raise ValueError('write either store, or stores = "all" for a file without stores')
        return self


class _Files(_Table):
    example: ClassVar[str] = 'file = "…"'
    files: tuple[str, ...] = Field(min_length=1)  # .csv, .csv.gz, .parquet, or folders of them

    @model_validator(mode="before")
    @classmethod
    def _one_file_is_a_list(cls, table: Any) -> Any:
        """`file = "a.csv"` is short for `files = ["a.csv"]`."""
        if not isinstance(table, Mapping) or "file" not in table:
            return table
        if "files" in table:
            raise ValueError("write either file or files")
        return {"files": [table["file"]], **{name: value for name, value in table.items() if name != "file"}}


class Days(_Files):
    """The files with one row per store and day."""

    example: ClassVar[str] = 'file = "…", store = "…", date = "…", sales = "…"'
    store: str
    date: DateColumn
    sales: str
    open: str | None = None  # 0 or 1; None: a store is open on the days on which it has sales
    customers: str | None = None
    missing: Missing = "unknown"  # what a day without a row, between others of its store, is
    accept: tuple[str, ...] = ()  # "STORE@DATE" of true peaks, which would be set aside

    @field_validator("accept")
    @classmethod
    def _store_and_date(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [each for each in entries if not _STORE_AND_DATE.fullmatch(each)]
        if wrong:
            raise ValueError(f'{", ".join(wrong)} is not like "STORE@2014-05-01"')
        return entries

    @model_validator(mode="after")
    def _columns_of_their_own(self) -> "Days":
        names = [name for name in (self.store, self.date.column, self.sales, self.open, self.customers) if name]
        if len(set(names)) < len(names):
            raise ValueError(f"a column is named twice: {', '.join(names)}; each key needs a column of its own")
        return self


class PlanFiles(_Files):
    """The files with the known covariates of the coming days, with the same columns as those of the days."""


class Place(_Table):
    """Where a holiday of a file is one: a column with values of the stores' attributes."""

    example: ClassVar[str] = 'column = "…", static = ["…"]'
    column: str  # of the file of holidays; an empty cell: everywhere
    static: tuple[str, ...] = Field(min_length=1)  # names of [static], as the city and the state of a store
    everywhere: tuple[str, ...] = ()  # values of the column that mean all stores, as the country


class Holidays(_Table):
    """Public holidays with names: of a country, by the package `holidays`, or of a file."""

    example: ClassVar[str] = 'country = "…"'
    country: str | None = None  # ISO code
    subdivision: str | None = None  # a name of [static] with the subdivision of each store
    file: str | None = None
    date: DateColumn = DateColumn(column="date")
    name: str = "name"  # column of the file
    place: Place | None = None  # None: every row of the file counts for all stores

    @model_validator(mode="after")
    def _one_source(self) -> "Holidays":
        if (self.country is None) == (self.file is None):
            raise ValueError("write either country or file")
        if self.place and not self.file:
            raise ValueError("place is about a file of holidays; for a country write subdivision")
        return self


class Forecast(_Table):
    """Settings of the chain; without them those of the installation hold."""

    example: ClassVar[str] = "horizon_days = 28"
    horizon_days: int | None = Field(None, ge=1, le=MAX_HORIZON_DAYS)
    loss: LossName | None = None


class _File(_Table):
    days: Days
    known: dict[str, Column] = {}
    plan: PlanFiles | None = None
    static: dict[str, Column] = {}
    holidays: Holidays | None = None
    forecast: Forecast = Forecast()

    @field_validator("known")
    @classmethod
    def _other_names(cls, known: dict[str, Column]) -> dict[str, Column]:
        for name in known:
            if name in RESERVED_NAMES:
                advice = f"give the entry another name, as {name}_value"
                raise ValueError(f"{name} has another meaning in plans and requests; {advice}")
        return known

    @model_validator(mode="after")
    def _consistent(self) -> "_File":
        if without_file := [name for name, column in self.static.items() if column.file is None]:
            raise ValueError(f"static.{without_file[0]} needs a file: the one with a row per store")
        if with_date := [name for name, column in self.static.items() if column.date or column.stores]:
            raise ValueError(f"static.{with_date[0]} has a row per store, and no date; leave date and stores out")
        subdivision = self.holidays and self.holidays.subdivision
        if subdivision and (subdivision not in self.static or self.static[subdivision].kind != "category"):
            raise ValueError(f'holidays.subdivision names {subdivision}: add it to [static] with kind = "category"')
        for place in self.holidays.place.static if self.holidays and self.holidays.place else ():
            if place not in self.static or self.static[place].kind != "category":
                raise ValueError(f'holidays.place names {place}: add it to [static] with kind = "category"')
        for name in (PROMOTION, SCHOOL_BREAK):
            if name in self.known and self.known[name].kind == "category":
                raise ValueError(f"known.{name} is a category; make it a flag or a number, or give it another name")
        _check_known(self.known, self.days)
        return self


def _check_known(known: Mapping[str, Column], days: Days) -> None:
    """ValueError for a covariate that is a key or an amount of the days, or whose name or column is ambiguous."""
    day_columns = {days.store: "store", days.date.column: "date", days.sales: "sales", days.customers: "customers"}
    names: dict[str, str] = {}
    for name, column in known.items():
        if "=" in name:
            raise ValueError(f"known.{name}: give it another name; = is for the values of categories")
        if column.file:
            continue
        if column.column in day_columns:
            raise ValueError(
                f"known.{name} is the column {column.column}, which days.{day_columns[column.column]} names"
            )
        first_name = names.setdefault(column.column, name)
        if known[first_name].kind != column.kind:
            kinds = f"{column.kind} and {known[first_name].kind}"
            raise ValueError(
                f"known.{name} and known.{first_name} read the column {column.column} as {kinds}; keep one of them"
            )


@dataclass(frozen=True)
class Chain:
    """What chain.toml says. Two chains with the same text are equal."""

    text: str  # of chain.toml; empty for Kaggle's files
    country: str | None  # of the package `holidays`; None: the holidays are those of the files
    days: Days | None = None  # None: Kaggle's files
    known: tuple[tuple[str, Column], ...] = ()
    plan: PlanFiles | None = None
    static: tuple[tuple[str, Column], ...] = ()
    holidays: Holidays | None = None
    forecast: Forecast = field(default_factory=Forecast)
    content: str = ""  # JSON of all values: the same for files that differ in their comments only

    @property
    def covariate_columns(self) -> tuple[tuple[str, Column], ...]:
        """The entries of [known] that become covariates: all but promotions and school holidays that are flags.

        Those are columns of the calendar, unless they have a file of their own.
        """
        special = (PROMOTION, SCHOOL_BREAK)
        return tuple(
            (name, column) for name, column in self.known if name not in special or column.kind != "flag" or column.file
        )

    @property
    def names(self) -> Mapping[str, str]:
        """What the chain calls the columns that have a role, by role."""
        if self.days and self.days.customers:
            return {**ROLE_NAMES, "traffic": self.days.customers}
        return ROLE_NAMES

    def name_of(self, column: str) -> str:
        """What the chain calls a column of the schema. Columns without a role have one name everywhere."""
        return self.names.get(column, column)

    @property
    def place_attributes(self) -> tuple[str, ...]:
        """The names of [static] that say where a store is, for its holidays."""
        if not self.holidays:
            return ()
        if self.holidays.place:
            return self.holidays.place.static
        return (self.holidays.subdivision,) if self.holidays.subdivision else ()

    @property
    def own_days(self) -> Days:
        """The files of days that chain.toml describes. ValueError for Kaggle's, which no chain.toml describes."""
        if self.days is None:
            raise ValueError("the files are Kaggle's: no chain.toml describes them")
        return self.days

    @property
    def is_kaggle(self) -> bool:
        """Whether the files are those of Kaggle's competition."""
        return self.days is None

    @property
    def unit(self) -> str:
        """What sales are counted in: Kaggle's in euros; those of another chain as its files call them."""
        return KAGGLE_UNIT if self.days is None else self.days.sales

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the stores' categories, in the order of Stores.attributes."""
        if self.is_kaggle:
            return tuple(KAGGLE_ATTRIBUTES)
        return tuple(name for name, column in self.static if column.kind == "category")

    @property
    def attribute_columns(self) -> tuple[str, ...]:
        """The same names as those of columns in tables."""
        return tuple(name.replace(" ", "_") for name in self.attributes)


KAGGLE_COUNTRY = "DE"
KAGGLE_UNIT = "EUR"
KAGGLE_CHAIN = Chain(text="", country=KAGGLE_COUNTRY)


def parse_chain(text: str, where: str = CHAIN_FILE) -> Chain:
    """The chain that the text of a chain.toml describes. Raises DataError with every key that is wrong."""
    if not text:
        return KAGGLE_CHAIN
    try:
        file = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{where} is not TOML: {error}. Correct the line; texts are in quotes.") from None
    except ValidationError as error:
        raise DataError(f"{where}: {'; '.join(_problems(error))}.") from None
    country = file.holidays.country if file.holidays else None
    known, static = tuple(file.known.items()), tuple(file.static.items())
    content = file.model_dump_json()
    return Chain(text, country, file.days, known, file.plan, static, file.holidays, file.forecast, content)


def _problems(error: ValidationError) -> list[str]:
    """One sentence per wrong key."""
    return [_problem(".".join(map(str, each["loc"])), each) for each in error.errors()]


def _problem(key: str, detail: ErrorDetails) -> str:
    """What is wrong with a key, and what to do."""
    match detail["type"]:
        case "extra_forbidden":
            keys = ", ".join(_table_of(detail["loc"][:-1]).model_fields)
            return f"there is no key {key}; correct it to one of {keys}, or leave it out"
        case "missing":
            return f"{key} is missing; add it"
        case "model_type" | "model_attributes_type":
            return f"{key} needs a table, as {{ {_table_of(detail['loc']).example} }}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _table_of(location: tuple[int | str, ...]) -> type[_Table]:
    """The table at a place in chain.toml, found through the fields of the tables around it."""
    table: type[_Table] = _File
    entries: type[_Table] | None = None  # of a table like [known], whose keys are names
    for key in location:
        if entries is not None:
            table, entries = entries, None
            continue
        annotation = table.model_fields[str(key)].annotation
        (inner,) = (each for each in (annotation, *get_args(annotation)) if _is_table(each))
        if get_origin(annotation) is dict:
            entries = inner
        else:
            table = inner
    return table


def _is_table(annotation: Any) -> TypeGuard[type[_Table]]:
    return isinstance(annotation, type) and issubclass(annotation, _Table)
