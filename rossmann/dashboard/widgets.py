"""Widgets and columns of tables that several pages show."""

from collections.abc import Sequence

from streamlit import column_config
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_types import ColumnConfig


def fact(column: DeltaGenerator, label: str, value: str | float, note: str | None = None) -> None:
    """A number or a word in large letters, with a note below that is neither good nor bad."""
    column.metric(label, value, note, delta_color="off", delta_arrow="off")


def amount_column(label: str | None = None, explanation: str | None = None) -> ColumnConfig:
    """A column of sales, with thousands separators. explanation: what is shown when the pointer is over its name."""
    return column_config.NumberColumn(label, help=explanation, format="localized")


def percent_column() -> ColumnConfig:
    """A column of shares, as percentages."""
    return column_config.NumberColumn(format="percent")


def day_column(label: str | None = None) -> ColumnConfig:
    """A column of days, with their weekdays: as `formats.day` writes one."""
    return column_config.DateColumn(label, format="ddd D MMM YYYY")


def selected_row(rows: Sequence[int]) -> tuple[int, str]:
    """The position of the row that the reader has selected in a table, or the first one, and a hint about that."""
    return (rows[0], "") if rows else (0, " (select another in the table)")
