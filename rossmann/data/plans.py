"""Read a caller's plan: the rows to forecast. The published plan fills in the values that it leaves out."""

from collections.abc import Mapping

import numpy as np

from rossmann.data.csv_parsing import CELL_TYPES, header_names, parse_columns, read_cells
from rossmann.data.history import Plan, SalesHistory
from rossmann.data.kaggle.columns import KAGGLE_NAMES, SCHEMA_NAMES
from rossmann.schema import CALENDAR_COLUMNS, KEYS
from rossmann.storage import split_path
from rossmann.validation import DataError, check_plan

OPTIONAL_COLUMNS = ("id", "day_of_week", *CALENDAR_COLUMNS)


def require_plan(path: str) -> None:
    """Raise DataError if there is no such file. Reads nothing."""
    storage, file = split_path(path)
    if not file or not storage.exists(file):
        raise DataError(f"There is no plan {path}. Give a CSV file with the columns store and date.")


def read_plan(path: str, history: SalesHistory) -> tuple[Plan, np.ndarray | None]:
    """The rows of a CSV file in its order, and its ids if it has a column of them.

    The columns are KEYS and any of OPTIONAL_COLUMNS, all under our names or all under Kaggle's. A calendar column
    that is missing, or a cell that is empty, is taken from the published plan. Raises DataError for other columns,
    for stores without a history, for repeated rows and for days up to the origin or beyond the horizon.
    """
    require_plan(path)
    storage, file = split_path(path)
    content = storage.read(file)
    names = _column_names(file, header_names(content))
    keys, optional = [names[column] for column in KEYS], [names[column] for column in OPTIONAL_COLUMNS]
    csv_file = read_cells(file, content, keys, optional, keys, stage="plan")
    if csv_file.extra_columns:
        raise DataError(
            f"The plan {file} has a column {', '.join(csv_file.extra_columns)} that is not used; "
            f"a plan may have {', '.join((*keys, *optional))}. Rename the column or leave it out."
        )
    columns = [*KEYS, *(column for column in OPTIONAL_COLUMNS if names[column] in csv_file.cells.column_names)]
    rows = parse_columns(csv_file, {names[column]: CELL_TYPES[column] for column in columns})
    check_plan(rows, history.stores.number, history.origin, history.calendar.dates[-1], names)
    rows = rows.rename(columns={names[column]: column for column in columns})
    store, date = rows["store"].to_numpy(dtype=np.int32), rows["date"].to_numpy().astype("datetime64[D]")
    calendar = {}
    for column in CALENDAR_COLUMNS:
        published = history.take(column, store, date)
        values = rows[column].to_numpy() if column in rows else published
        calendar[column] = np.where(np.isnan(values), published, values).astype(np.int8)
    return Plan(store, date, **calendar), rows["id"].to_numpy() if "id" in rows else None


def _column_names(file: str, header: set[str]) -> Mapping[str, str]:
    """The file's name of each column by our name: Kaggle's names or our own. DataError if the header mixes both."""
    ours, kaggles = sorted(header & KAGGLE_NAMES.keys()), sorted(header & SCHEMA_NAMES.keys())
    repeated = [f"{KAGGLE_NAMES[name]} and {name}" for name in ours if KAGGLE_NAMES[name] in header]
    if repeated:
        raise DataError(f"The plan {file} has a column twice: {', '.join(repeated)}. Keep one of each.")
    if ours and kaggles:
        raise DataError(
            f"The plan {file} mixes our column names ({', '.join(ours)}) with Kaggle's ({', '.join(kaggles)}). "
            f"Rename {', '.join(kaggles)} to {', '.join(SCHEMA_NAMES[name] for name in kaggles)}."
        )
    return KAGGLE_NAMES if kaggles else {name: name for name in KAGGLE_NAMES}
