"""PNGs of every page of the dashboard of a workspace, on light and on dark ground: `make screenshots`."""

import sys
from pathlib import Path

from playwright.sync_api import Page

from tests.support.browser import Screen, headless_chromium, running_dashboard, screen

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
THEMES = ("light", "dark")
WIDTH_PX, HEIGHT_PX = 1400, 900
PAGES = {
    "forecast": "", "forecast-store": "?stores=1", "what-if": "what-if", "overrides": "overrides",
    "upload": "upload", "accuracy": "accuracy", "alarms": "alarms", "models": "models", "system": "system",
}  # fmt: skip
IDLE_MS = 1_500  # in which charts are drawn and animations end


def main(workspace: str, folder: Path = FOLDER) -> None:
    """Write one PNG per page and theme into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with running_dashboard(workspace) as url, headless_chromium() as browser:
        for theme in THEMES:
            with screen(browser, url, theme, WIDTH_PX, HEIGHT_PX) as opened:
                for name, path in PAGES.items():
                    page = opened.open(path)
                    if name == "what-if":
                        add_change(opened)
                    _save(page, folder / f"{name}-{theme}.png")


def add_change(opened: Screen) -> None:
    """Ask for the promotion that the page proposes."""
    opened.page.get_by_role("button", name="Add this change").click()
    opened.page.get_by_role("heading", name="Difference").wait_for()
    opened.settled()


def _save(page: Page, file: Path) -> None:
    """A picture of the whole page: its height is that of its content, which scrolls inside the window."""
    page.wait_for_timeout(IDLE_MS)
    height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
    page.set_viewport_size({"width": WIDTH_PX, "height": max(height, HEIGHT_PX)})
    page.wait_for_timeout(IDLE_MS)
    page.screenshot(path=file)
    page.set_viewport_size({"width": WIDTH_PX, "height": HEIGHT_PX})


if __name__ == "__main__":
    main(*sys.argv[1:])
