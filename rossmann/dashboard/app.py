"""Navigation over the pages, and one place for their errors.

To add a page, write a module with a function `page()` in `rossmann.dashboard.pages` and a line in `main`.
"""

from collections.abc import Callable

import streamlit as st

from rossmann.dashboard.pages import accuracy, alarms, forecast, models, overrides, system, upload, whatif
from rossmann.validation import DataError

ICON = (  # Streamlit's own icons would be fetched from another site
    '<svg viewBox="0 0 16 16"><path d="M1 13 5 7l3 3 6-8" fill="none" stroke="#2f9e8f" stroke-width="2.2"/></svg>'
)


def main() -> None:
    """Run the page of the URL."""
    st.set_page_config(page_title="rossmann", page_icon=ICON, layout="wide")
    st.navigation(
        {
            "Plan": [
                _page(forecast.page, "Forecast", "show_chart", "forecast", default=True),
                _page(whatif.page, "What-if", "alt_route", "what-if"),
                _page(overrides.page, "Overrides", "edit_note", "overrides"),
                _page(upload.page, "Upload a plan", "upload_file", "upload"),
            ],
            "Operate": [
                _page(accuracy.page, "Accuracy", "target", "accuracy"),
                _page(alarms.page, "Drift and alarms", "notifications", "alarms"),
                _page(models.page, "Models", "deployed_code", "models"),
                _page(system.page, "System", "monitor_heart", "system"),
            ],
        }
    ).run()


def _page(page: Callable[[], None], title: str, icon: str, path: str, default: bool = False):
    return st.Page(_with_messages(page), title=title, icon=f":material/{icon}:", url_path=path, default=default)


def _with_messages(page: Callable[[], None]) -> Callable[[], None]:
    """The page; an error that the reader can correct becomes its message, which says what to type."""

    def run() -> None:
        try:
            page()
        except DataError as error:
            st.info(str(error), icon=":material/info:")

    return run
