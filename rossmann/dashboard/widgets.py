"""Layouts and widgets that several pages show."""

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

FACT_PX, CHART_PX = 215, 340  # the least width at which a fact, or a chart, is readable
SIDE_PX = 190  # of a part beside a chart; four of them and their gaps fit beside the navigation at 1,280


def columns(
    count: int, min_width_px: int = FACT_PX, vertical_alignment: Literal["top", "center", "bottom"] = "top"
) -> list[DeltaGenerator]:
    """Equal columns beside each other; fewer of them where the window is narrow, so that nothing in them is cut."""
    grid = st.grid(count, min_column_width=min_width_px, vertical_alignment=vertical_alignment)
    return [grid.cell() for _ in range(count)]


def side_and_main() -> tuple[DeltaGenerator, DeltaGenerator]:
    """A narrow part and a wide one at its right; where the window is narrow, below it."""
    grid = st.grid(4, min_column_width=SIDE_PX)
    return grid.cell(), grid.cell(column_span=3)


def reserved_place() -> DeltaGenerator:
    """A container for what is on the page only after some choices, so that the widgets below it do not move.

    Streamlit stops writing the value of a widget that has moved into the address.
    """
    return st.container()


def row() -> DeltaGenerator:
    """A text and its buttons in one line, where nothing in a button is cut. The text needs width="stretch"."""
    return st.container(horizontal=True, vertical_alignment="center")


def fact(
    column: DeltaGenerator, label: str, value: str | float, note: str | None = None, help: str | None = None
) -> None:
    """A number or a word in large letters, with a note below that is neither good nor bad."""
    column.metric(label, value, note, delta_color="off", delta_arrow="off", help=help)
