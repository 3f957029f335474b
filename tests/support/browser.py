"""The dashboard on a free port, and a headless Chromium that opens it and collects what goes wrong there."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.cluster import free_ports

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_TIMEOUT_S, DRAW_TIMEOUT_MS = 60, 30_000
MOST_TABS = 80
FOCUS = "document.activeElement.ariaLabel || (document.activeElement.innerText || '').split('\\n').pop()"
expect.set_options(timeout=DRAW_TIMEOUT_MS)


@dataclass(frozen=True)
class Screen:
    """A page of the browser, and what it complained about."""

    page: Page
    url: str  # of the dashboard, without a path
    problems: list[str] = field(default_factory=list)  # console errors, exceptions, and requests to other hosts

    def open(self, path: str) -> Page:
        """Open a page of the dashboard and wait until Streamlit has run it to its end."""
        self.page.goto(f"{self.url}/{path}")
        return self.settled()

    def tab_to(self, name: str) -> Page:
        """Press Tab until what has the keyboard has a label, or a last line of text, that begins like this."""
        labels = []
        for _ in range(MOST_TABS):
            self.page.keyboard.press("Tab")
            labels.append(self.page.evaluate(FOCUS))
            if labels[-1].startswith(name):
                return self.page
        raise AssertionError(f"Tab reaches {labels}, but not {name}")

    def settled(self) -> Page:
        """The page after the run that is going on."""
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        for placeholder in ("stAppSkeleton", "stSkeleton"):  # of the page, and of a widget whose code is still loaded
            expect(self.page.get_by_test_id(placeholder)).to_have_count(0)
        return self.page


@contextmanager
def running_dashboard(workspace: Path | str, **settings: str) -> Iterator[str]:
    """The `rossmann dashboard` of a workspace in a process of its own. Yields its URL."""
    (port,) = free_ports(1)
    others = {name: value for name, value in os.environ.items() if not name.startswith("ROSSMANN_")}  # of other tests
    environment = others | settings | {"ROSSMANN_DATA_DIR": str(workspace), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "flows.cli", "dashboard", "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL)
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def headless_chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def screen(browser: Browser, url: str, theme: str = "light", width: int = 1400, height: int = 1000) -> Iterator[Screen]:
    """A new page with nothing stored, in a colour theme, light or dark."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    result = Screen(context.new_page(), url)
    _collect_problems(result)
    yield result
    context.close()


def _collect_problems(result: Screen) -> None:
    def collect_foreign(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(result.url).netloc:
            result.problems.append(f"request to {request.url}")

    def collect_errors(line) -> None:
        if line.type == "error":
            result.problems.append(f"{line.text} ({line.location['url']})")

    result.page.on("request", collect_foreign)
    result.page.on("pageerror", lambda error: result.problems.append(str(error)))
    result.page.on("console", collect_errors)


def _wait_until_healthy(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the dashboard ended with {process.returncode}"
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5):
                return
        except URLError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer for {START_TIMEOUT_S} s")
