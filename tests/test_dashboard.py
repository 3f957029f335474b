"""The dashboard in a real browser: one small trained workspace for all tests of this file."""

import pytest

from tests.support.browser import headless_chromium, running_dashboard, screen
from tests.support.commands import trained_workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, new_mlflow_database, prefect_server, local_ray):
    """A small chain with a champion, a forecast in the journal, and its backtests."""
    with trained_workspace(tmp_path_factory.mktemp("dashboard"), new_mlflow_database) as home:
        yield home


@pytest.fixture(scope="module")
def dashboard(workspace):
    """The URL of the dashboard of this workspace."""
    with running_dashboard(workspace) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with headless_chromium() as chromium:
        yield chromium


@pytest.fixture
def show(browser, dashboard):
    """A page of the browser without any problem in the end."""
    with screen(browser, dashboard) as result:
        yield result
        assert result.problems == []


def test_the_first_page_is_the_forecast_of_the_champion(show):
    page = show.open("")
    assert page.get_by_role("heading", name="Forecast").is_visible()
    assert "version 1" in page.get_by_test_id("stMain").inner_text()


def test_an_empty_workspace_says_what_to_type(browser, tmp_path):
    with running_dashboard(tmp_path) as url, screen(browser, url) as empty:
        assert "rossmann ingest --raw DIR" in empty.open("").get_by_test_id("stAlert").inner_text()
        assert empty.problems == []
