"""Navigation over the pages, and one place for their errors.

To add a page, write a module with a function `page()` in `rossmann.dashboard.pages` and a line in PAGES.
"""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from rossmann.dashboard import formats, selection
from rossmann.dashboard.pages import accuracy, alarms, forecast, models, overrides, system, upload, whatif
from rossmann.validation import DataError

ICON = (  # Streamlit's own icons would be fetched from another site
    '<svg viewBox="0 0 16 16"><path d="M1 13 5 7l3 3 6-8" fill="none" stroke="#2f9e8f" stroke-width="2.2"/></svg>'
)


@dataclass(frozen=True)
class DashboardPage:
    """One page, as the navigation shows it."""

    content: Callable[[], None]
    title: str
    icon: str  # of Material Symbols
    path: str


PAGES = {
    "Plan": (
        DashboardPage(forecast.page, "Forecast", "show_chart", "forecast"),
        DashboardPage(whatif.page, "What-if", "alt_route", "what-if"),
        DashboardPage(overrides.page, "Overrides", "edit_note", "overrides"),
        DashboardPage(upload.page, "Upload a plan", "upload_file", "upload"),
    ),
    "Operate": (
        DashboardPage(accuracy.page, "Accuracy", "target", "accuracy"),
        DashboardPage(alarms.page, "Drift and alarms", "notifications", "alarms"),
        DashboardPage(models.page, "Models", "deployed_code", "models"),
        DashboardPage(system.page, "System", "monitor_heart", "system"),
    ),
}
DEFAULT = PAGES["Plan"][0]  # at the address of the dashboard itself
SUB_PATHS = tuple(page.path for group in PAGES.values() for page in group if page is not DEFAULT)


def main() -> None:
    """Run the page of the URL."""
    st.set_page_config(page_title="rossmann", page_icon=ICON, layout="wide")
    selection.remember_address()
    st.navigation({title: [_streamlit_page(page) for page in group] for title, group in PAGES.items()}).run()


def _streamlit_page(page: DashboardPage):
    content, icon = _with_messages(page.content), f":material/{page.icon}:"
    return st.Page(content, title=page.title, icon=icon, url_path=page.path, default=page is DEFAULT)


def _with_messages(page: Callable[[], None]) -> Callable[[], None]:
    """The page; an error that the reader can correct becomes its message, which says what to type."""

    def run() -> None:
        try:
            page()
        except DataError as error:
            st.info(formats.capitalise(str(error)), icon=":material/info:")

    return run
