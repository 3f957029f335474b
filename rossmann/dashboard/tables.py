"""How tables look on every page: columns of amounts, shares and days; and which row is selected."""

from collections.abc import Sequence

from streamlit import column_config
from streamlit.elements.lib.column_types import ColumnConfig


def amount_column(label: str | None = None, explanation: str | None = None) -> ColumnConfig:
    """A column of sales, with thousands separators. explanation: what is shown when the pointer is over its name."""
    return column_config.NumberColumn(label, help=explanation, format="localized")


def percent_column() -> ColumnConfig:
    """A column of shares, as percentages."""
    return column_config.NumberColumn(format="percent")


def day_column(label: str | None = None) -> ColumnConfig:
    """A column of days with their weekdays, as `formats.day` writes one."""
    return column_config.DateColumn(label, format="ddd D MMM YYYY")


def selected_row(rows: Sequence[int]) -> tuple[int, str]:
    """The position of the row that the reader has selected, else of the first one; and a hint while none is selected.

    rows: the selected rows of a table in which one row can be selected.
    """
    return (rows[0], "") if rows else (0, " (select another in the table)")
