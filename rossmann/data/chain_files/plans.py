"""The columns of a caller's plan for a chain with a chain.toml: our names, or those of the chain's own files."""

from collections.abc import Mapping

from rossmann.chain import Chain
from rossmann.data.chain_files.cells import cell_type, date_type
from rossmann.data.csv_parsing import CELL_TYPES, TEXT, CellType
from rossmann.schema import CALENDAR_COLUMNS
from rossmann.validation import DataError


def plan_types(chain: Chain) -> dict[str, CellType]:
    """The types of all columns that a plan may have, by our names; entries of [known] are among them."""
    types = {chain.name_of(name): CELL_TYPES[name] for name in ("id", "day_of_week", *CALENDAR_COLUMNS)}
    known = {name: cell_type(column) for name, column in chain.known}
    return types | {"store": TEXT, "date": date_type(chain.own_days.date)} | known


def plan_names(chain: Chain, file: str, header: set[str]) -> Mapping[str, str]:
    """The file's name of each column by our name. DataError if the header has a column under both names.

    A header that consists of the names in the chain's own files is read as one of these files.
    """
    ours, own = {name: name for name in plan_types(chain)}, _own_names(chain)
    own_columns = {column: name for name, column in (ours | own).items()}
    if header <= own_columns.keys():
        return ours | own
    repeated = [f"{name} and {own[name]}" for name in own if name != own[name] and {name, own[name]} <= header]
    if repeated:
        raise DataError(f"The plan {file} has a column twice: {', '.join(repeated)}. Keep one of each.")
    return ours | {name: column for name, column in own.items() if column in header - ours.keys()}


def _own_names(chain: Chain) -> dict[str, str]:
    days = chain.own_days
    opened = {"open": days.open} if days.open else {}
    return {"store": days.store, "date": days.date.column} | opened | {name: each.column for name, each in chain.known}
