"""Widgets that several pages show."""

from streamlit.delta_generator import DeltaGenerator


def fact(
    column: DeltaGenerator, label: str, value: str | float, note: str | None = None, help: str | None = None
) -> None:
    """A number or a word in large letters, with a note below that is neither good nor bad."""
    column.metric(label, value, note, delta_color="off", delta_arrow="off", help=help)
