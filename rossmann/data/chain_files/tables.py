"""Turn a chain's files, once they are checked, into tables under the schema's names."""

import zlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from rossmann.chain import PROMOTION, SCHOOL_BREAK, Chain, Column
from rossmann.data.chain_files.gaps import days_without_row
from rossmann.data.chain_files.holidays import ChainHolidays, chain_holidays
from rossmann.data.chain_files.reading import ChainTables, amount_columns, known_keys, static_key
from rossmann.data.cleaning import RawTables
from rossmann.data.covariates import CovariatePanel, CovariateRows
from rossmann.data.csv_parsing import as_written
from rossmann.data.history import Stores
from rossmann.schema import CLOSURE_DAYS, DTYPES, KEYS
from rossmann.validation import DataError

MAX_ENCODED_TEXTS = 20  # of a covariate: rarer ones have no value of their own
MAX_NUMBER = 1e30  # of a covariate; float32 has no larger ones than 3e38
MAX_STORE_CATEGORIES = 100  # of an attribute of stores
TEXT_NUMBERS_FROM = 1 << 30  # the numbers of stores whose labels are no numbers


def without_empty_columns(chain: Chain, tables: ChainTables) -> Chain:
    """The chain as if it did not describe the columns that have no value in any row."""
    days = {
        name: None
        for name, column in (("open", chain.own_days.open), ("customers", chain.own_days.customers))
        if column and tables.days[column].isna().all()
    }
    known = tuple((name, column) for name, column in chain.known if _has_values(_sources(tables, name, column), column))
    stores = tables.days[chain.own_days.store].unique()

    def table_of_stores(name: str) -> pd.DataFrame:
        table = tables.static[name]
        return table[table[static_key(chain.own_days, dict(chain.static)[name])].isin(stores)]

    static = tuple(
        (name, column)
        for name, column in chain.static
        if column.kind == "category" or _has_values([table_of_stores(name)], column)
    )
    return replace(chain, days=chain.own_days.model_copy(update=days), known=known, static=static)


def with_zeros(tables: ChainTables, chain: Chain) -> ChainTables:
    """The tables with 0 in empty amounts that are no fault: of a closed store, and customers that nobody counted."""
    columns, amounts = chain.own_days, {}
    is_closed = tables.days[columns.open] == 0 if columns.open else False
    for name in amount_columns(columns):
        is_empty = tables.days[name].isna() & tables.days[as_written(name)].isna()
        amounts[name] = tables.days[name].mask(is_empty & ((name == columns.customers) | is_closed), 0.0)
    return replace(tables, days=tables.days.assign(**amounts))


def _has_values(sources: list[pd.DataFrame], column: Column) -> bool:
    return any(source[column.column].notna().any() for source in sources)


def _sources(tables: ChainTables, name: str, column: Column) -> list[pd.DataFrame]:
    """The tables with the rows of one of [known]."""
    return [tables.known[name]] if column.file else [each for each in (tables.days, tables.plan) if each is not None]


def chain_raw_tables(tables: ChainTables, chain: Chain, is_unusable: np.ndarray) -> RawTables:
    """The tables under the schema's names. The files must have passed `check_chain`."""
    number_of = store_numbers(_labels(tables.days[chain.own_days.store]))
    stores, places = _stores(tables, chain, number_of)
    dates = tables.days[chain.own_days.date.column].to_numpy().astype("datetime64[D]")
    holidays = chain_holidays(chain, tables.holidays, places, dates.min(), dates.max())
    days = _rows(tables.days, chain, number_of, holidays)
    days["sales"] = tables.days[chain.own_days.sales].mask(is_unusable)
    days["traffic"] = (
        tables.days[chain.own_days.customers].mask(is_unusable) if chain.own_days.customers else days["sales"] * 0
    )
    days = days.fillna({"promotion": 0.0, "school_break": 0.0})
    if chain.own_days.missing == "closed":
        days = _add_closed_days(days, holidays)
    plan = _rows(tables.plan if tables.plan is not None else tables.days.iloc[:0], chain, number_of, holidays)
    covariates = _covariates(tables, chain, number_of) | holidays.panels() | _static_panels(tables, chain, number_of)
    return RawTables(days, stores, plan.assign(is_published=True), chain, holidays, covariates)


def store_numbers(labels: list[str]) -> dict[str, int]:
    """The number of each store by its label: the label itself if it is a whole number, otherwise a hash of it.

    So a store has the same number in every delivery. Raises DataError if two labels have the same number.
    """
    numbers: dict[int, str] = {}
    for label in labels:
        number = _number(label)
        if number in numbers:
            raise DataError(
                f"The stores {numbers[number]} and {label} have the same number {number}: rename one of them."
            )
        numbers[number] = label
    return {label: number for number, label in numbers.items()}


def _number(label: str) -> int:
    if label.isascii() and label.isdigit() and not label.startswith("0") and int(label) < TEXT_NUMBERS_FROM:
        return int(label)
    return TEXT_NUMBERS_FROM + zlib.crc32(label.encode()) % TEXT_NUMBERS_FROM


def _labels(stores: pd.Series) -> list[str]:
    return sorted(stores.dropna().unique().tolist())


def _rows(table: pd.DataFrame, chain: Chain, number_of: Mapping[str, int], holidays: ChainHolidays) -> pd.DataFrame:
    """The rows of days or of the plan with PLAN_COLUMNS; those of stores without sales are left out."""
    store = table[chain.own_days.store].map(number_of)
    table, store = table[store.notna()], store.dropna().astype(DTYPES["store"])
    day = table[chain.own_days.date.column]
    known = dict(chain.known)
    return pd.DataFrame(
        {
            "store": store,
            "date": day,
            "open": table[chain.own_days.open] if chain.own_days.open else np.nan,
            "promotion": _flag(table, known.get(PROMOTION)),
            "holiday_kind": holidays.codes(store.to_numpy(), day.to_numpy().astype("datetime64[D]")),
            "school_break": _flag(table, known.get(SCHOOL_BREAK)),
        }
    )


def _flag(table: pd.DataFrame, column: Column | None) -> pd.Series | float:
    """Whether the column is more than 0, NaN where it is empty; 0 if there is none, or it is in a file of its own."""
    if not column or column.file:
        return 0.0
    values = _without_blanks(table, column)[column.column]
    return (values > 0).astype(float).where(values.notna())


def _without_blanks(rows: pd.DataFrame, column: Column) -> pd.DataFrame:
    """The rows with values for those empty cells that mean "no": of a category, and of a flag that is never 0.

    In a column without any value, cells stay empty, which is unknown.
    """
    values = rows[column.column]
    is_mark = column.kind == "category" or (column.kind == "flag" and (values.dropna() > 0).all())
    if not is_mark or values.isna().all():
        return rows
    return rows.assign(**{column.column: values.fillna("" if column.kind == "category" else 0.0)})


def _add_closed_days(days: pd.DataFrame, holidays: ChainHolidays) -> pd.DataFrame:
    """The rows, and a closed day for each day of a gap between two rows of a store; gaps of CLOSURE_DAYS remain."""
    missing = days_without_row(days, *KEYS, max_days=CLOSURE_DAYS - 1)
    if missing.empty:
        return days
    codes = holidays.codes(missing["store"].to_numpy(), missing["date"].to_numpy().astype("datetime64[D]"))
    zeros = dict.fromkeys(("open", "sales", "traffic", "promotion", "school_break"), 0.0)
    return pd.concat([days, missing.assign(holiday_kind=codes, **zeros)], ignore_index=True)


def _covariates(tables: ChainTables, chain: Chain, number_of: Mapping[str, int]) -> dict[str, CovariatePanel]:
    """The panels of the entries of [known], of a category one for each value; a promotion that is a flag has none."""
    panels: dict[str, CovariatePanel] = {}
    for name, column in chain.covariate_columns:
        sources = [_without_blanks(source, column) for source in _sources(tables, name, column)]
        rows = pd.concat(sources, ignore_index=True)
        *store_column, date = known_keys(chain.own_days, column)
        stores = None  # of a file that counts for all
        for key in store_column:
            store = rows[key].map(number_of)
            rows, stores = rows[store.notna()], store.dropna().to_numpy(dtype=np.int32)
        day = rows[date].to_numpy().astype("datetime64[D]")
        for label, values, is_flag in _encoded(name, rows[column.column], column):
            panels[label] = CovariateRows(stores, day, values, is_flag)
    return panels


def _encoded(name: str, values: pd.Series, column: Column) -> list[tuple[str, np.ndarray, bool]]:
    """Name, values and whether it is a flag, of the covariates that a column becomes."""
    if column.kind != "category":
        if (largest := values.abs().max()) > MAX_NUMBER:
            raise DataError(f"known.{name}: {largest:g} is too large for a covariate. Correct the cell.")
        return [(f"{column.kind} {name}", values.to_numpy(dtype=float), column.kind == "flag")]
    common = sorted(values[values != ""].value_counts().index[:MAX_ENCODED_TEXTS].tolist())
    return [
        (f"flag {name}={text}", np.where(values.isna(), np.nan, values == text).astype(float), True) for text in common
    ]


def _static_panels(tables: ChainTables, chain: Chain, number_of: Mapping[str, int]) -> dict[str, CovariatePanel]:
    """One covariate for each number of [static], since its categories are attributes."""
    panels: dict[str, CovariatePanel] = {}
    for name, column in chain.static:
        if column.kind == "category":
            continue
        key = static_key(chain.own_days, column)
        values = tables.static[name].set_index(key)[column.column].rename(index=number_of)
        ((_, encoded, _),) = _encoded(name, values, column)
        panels[f"static {name}"] = _constant(pd.Series(encoded, values.index))
    return panels


def _constant(of_store: pd.Series) -> CovariatePanel:
    def panel(stores: Stores, dates: np.ndarray) -> np.ndarray:
        return np.repeat(of_store.reindex(stores.number).to_numpy(dtype=float)[:, None], len(dates), axis=1)

    return panel


def _stores(
    tables: ChainTables, chain: Chain, number_of: Mapping[str, int]
) -> tuple[Stores, dict[int, tuple[str, ...]]]:
    """The stores in ascending order of their numbers, and the places of each, by `Chain.place_attributes`."""
    label = np.array(sorted(number_of, key=number_of.__getitem__))
    number = np.array([number_of[each] for each in label], np.int32)
    names = {each: _categories(tables, chain, each, label) for each in chain.attributes}
    codes = [np.unique(each, return_inverse=True)[1] for each in names.values()]
    shape = (len(label), len(names))
    stores = Stores(
        number=number,
        attribute_codes=np.array(codes, np.int8).T.reshape(shape),
        label=label,
        attributes=np.array([*names.values()], str).T.reshape(shape),
    )
    places = [names[attribute].tolist() for attribute in chain.place_attributes]
    return stores, dict(zip(number.tolist(), zip(*places, strict=True), strict=True)) if places else {}


def _categories(tables: ChainTables, chain: Chain, name: str, label: np.ndarray) -> np.ndarray:
    """The value of each store in a column of [static], "" where it has none; the most common ones only. str [stores]"""
    column = dict(chain.static)[name]
    values = tables.static[name].set_index(static_key(chain.own_days, column))[column.column]
    values = values.reindex(label).fillna("").astype(str)
    common = values.value_counts().index[:MAX_STORE_CATEGORIES]
    return values.where(values.isin(common), "other").to_numpy().astype(str)
