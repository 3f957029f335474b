"""Read a caller's plan: the rows to forecast. The published plan fills in the values that it leaves out."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rossmann.chain import KAGGLE_CHAIN
from rossmann.data.chain_files.cells import is_parquet, parquet_cells, parquet_names
from rossmann.data.chain_files.plans import plan_names, plan_types
from rossmann.data.csv_parsing import CELL_TYPES, CellType, check_not_excel, header_names, parse_readable, read_cells
from rossmann.data.history import Plan, SalesHistory
from rossmann.data.kaggle.columns import KAGGLE_NAMES
from rossmann.data.known_values import calendar_values, lay_over
from rossmann.data.store_labels import numbers_of_labels
from rossmann.schema import CALENDAR_COLUMNS, KEYS
from rossmann.storage import split_path
from rossmann.validation import DataError, ValidationError, Violation, check_plan

OPTIONAL_COLUMNS = ("id", "day_of_week", *CALENDAR_COLUMNS)


def require_plan(path: str) -> None:
    """Raise DataError if there is no such file. Reads nothing."""
    storage, file = split_path(path)
    if not file or not storage.exists(file):
        raise DataError(f"There is no plan {path}. Give a CSV file with the columns store and date.")


def read_plan(path: str, history: SalesHistory) -> tuple[Plan, np.ndarray | None]:
    """The rows of a CSV or Parquet file in its order, and its ids if it has a column of them, like `parse_plan`."""
    require_plan(path)
    storage, file = split_path(path)
    return parse_plan(file, storage.read(file), history)


def parse_plan(file: str, content: bytes, history: SalesHistory) -> tuple[Plan, np.ndarray | None]:
    """The rows of a file with this name and content in its order, and its ids if it has a column of them.

    The columns are KEYS and any of OPTIONAL_COLUMNS, all under our names or all under Kaggle's. With a chain.toml,
    they are also the entries of [known], under our names or those of the chain's own files, and stores have labels.
    A column that is missing, or a cell that is empty, is taken from the published plan. Raises DataError for other
    columns; and ValidationError for cells that cannot be read, stores without a history, repeated rows and days up to
    the origin or beyond the horizon, all of them at once.
    """
    check_not_excel(file, content)
    chain, stores = history.chain, history.stores
    header = set(parquet_names(file, content)) if is_parquet(content) else header_names(content)
    if chain.is_kaggle:
        names = _column_names(file, header)
        types = {chain.name_of(column): cell_type for column, cell_type in CELL_TYPES.items()}
    else:
        names, types = plan_names(chain, file, header), plan_types(chain)
    rows, unreadable = _parse(file, content, names, types)
    covariates = [names[name] for name, _ in chain.covariate_columns if names[name] in rows]
    numbers = stores.number if chain.is_kaggle else stores.label
    columns = {name: names[chain.name_of(name)] for name in (*KEYS, *OPTIONAL_COLUMNS)}
    keys = {names[name] for name in KEYS}  # without one of which a row is of no store or no day
    lines = {line for violation in unreadable if keys & {*violation.columns} for line in violation.rows["line"]}
    readable = rows[~rows["line"].isin(lines)].drop(columns=covariates)
    try:
        check_plan(readable, numbers, history.origin, history.calendar.dates[-1], columns)
    except ValidationError as error:
        raise ValidationError(error.stage, [*unreadable, *error.violations], error.report) from None
    if unreadable:
        raise ValidationError("plan", unreadable)
    cells = {name: rows[column].to_numpy() for name, column in names.items() if column in rows}
    store = cells["store"].astype(np.int32) if chain.is_kaggle else numbers_of_labels(stores, cells["store"].tolist())
    return _plan(history, store, cells["date"].astype("datetime64[D]"), cells), cells.get("id")


def _parse(
    file: str, content: bytes, names: Mapping[str, str], types: Mapping[str, CellType]
) -> tuple[pd.DataFrame, list[Violation]]:
    """The rows of a file under its own names, and its cells that cannot be read.

    DataError for columns that are none of the plan's `names`.
    """
    keys, optional = [names[name] for name in KEYS], [column for name, column in names.items() if name not in KEYS]
    read = parquet_cells if is_parquet(content) else read_cells
    csv_file = read(file, content, keys, optional, keys, stage="plan")
    if not len(csv_file.line):
        raise DataError(f"The plan {file} has no rows. Give a row for each store and day to forecast.")
    if csv_file.extra_columns:
        raise DataError(
            f"The plan {file} has a column {', '.join(csv_file.extra_columns)} that is not used; "
            f"a plan may have {', '.join((*keys, *optional))}. Rename the column or leave it out."
        )
    columns = {name: column for name, column in names.items() if column in csv_file.cells.column_names}
    return parse_readable(csv_file, {column: types[name] for name, column in columns.items()})


def _plan(history: SalesHistory, store: np.ndarray, date: np.ndarray, cells: Mapping[str, np.ndarray]) -> Plan:
    """The rows, with what their cells leave out from the published plan.

    cells: by the chain's names. [rows] each
    """
    chain = history.chain
    values = {name: cells[name] for name, _ in chain.known if name in cells}
    own_names = {name: chain.name_of(name) for name in CALENDAR_COLUMNS}
    own = {name: cells[own] for name, own in own_names.items() if own in cells.keys() - values.keys()}
    own |= calendar_values(chain, values)
    calendar = {}
    for name in CALENDAR_COLUMNS:
        published = history.take(name, store, date)
        column = own.get(name, published)
        calendar[name] = np.where(np.isnan(column), published, column).astype(np.int8)
    if not values:
        return Plan(store, date, **calendar)
    position, day = history.positions(store, date)
    covariates = lay_over(chain, history.calendar, position, day, values)
    return Plan(store, date, **calendar, covariates=covariates)


def _column_names(file: str, header: set[str]) -> Mapping[str, str]:
    """The file's name of each column by our name: Kaggle's names or our own. DataError if the header mixes both."""
    own_names = {kaggle: KAGGLE_CHAIN.name_of(name) for name, kaggle in KAGGLE_NAMES.items()}
    names = {KAGGLE_CHAIN.name_of(name): KAGGLE_NAMES[name] for name in (*KEYS, *OPTIONAL_COLUMNS)}
    ours, kaggles = sorted(header & set(own_names.values())), sorted(header & own_names.keys())
    repeated = [f"{kaggle} and {own}" for kaggle, own in own_names.items() if {kaggle, own} <= header]
    if repeated:
        raise DataError(f"The plan {file} has a column twice: {', '.join(repeated)}. Keep one of each.")
    if ours and kaggles:
        raise DataError(
            f"The plan {file} mixes our column names ({', '.join(ours)}) with Kaggle's ({', '.join(kaggles)}). "
            f"Rename {', '.join(kaggles)} to {', '.join(own_names[name] for name in kaggles)}."
        )
    return names if kaggles else {name: name for name in names}
