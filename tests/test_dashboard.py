"""The dashboard in a real browser: one small trained workspace for all tests of this file."""

import re

import numpy as np
import pandas as pd
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


def test_a_forecast_is_drawn_with_its_fan_and_survives_a_reload(show, workspace):
    page = show.open("?stores=3&past=4")
    assert page.get_by_role("heading", name="Store 3").is_visible()
    names = page.locator(".js-plotly-plot").first.evaluate("chart => chart.data.map(trace => trace.name)")
    assert {"actual", "forecast", "90%", "80%", "same weekday last year"} <= set(names)
    drawn = page.locator(".js-plotly-plot").first.evaluate(
        "chart => Array.from(chart.data.find(trace => trace.name === 'forecast').y)"
    )
    (file,) = (workspace / "forecasts").glob("*_v1.parquet")
    batch = pd.read_parquet(file).query("store == 3 and forecast > 0")
    np.testing.assert_allclose(drawn, batch.forecast)
    page.reload()
    assert show.settled().get_by_role("heading", name="Store 3").is_visible()
    assert "past=4" in page.url


def test_the_reasons_of_a_day_add_up_to_its_forecast(show):
    page = show.open("?stores=3")
    page.get_by_text("Reasons", exact=True).wait_for()
    steps = page.locator(".js-plotly-plot").nth(1).evaluate(
        "chart => ({x: Array.from(chart.data[0].x), y: Array.from(chart.data[0].y)})"
    )  # fmt: skip
    *terms, forecast = steps["x"]
    assert steps["y"][-1] == "forecast"
    assert len(terms) > 2
    assert sum(terms) == pytest.approx(forecast)


def test_a_what_if_changes_the_forecast_and_is_kept_without_touching_plan_and_journal(show, workspace):
    before = {file: file.read_bytes() for file in workspace.rglob("snapshots/*/*")}
    page = show.open("what-if")
    page.get_by_role("button", name="Add this change").click()
    page.get_by_role("heading", name="Difference").wait_for()
    show.settled()
    amount = page.get_by_test_id("stMetricValue").nth(2).inner_text()
    assert re.fullmatch(r"\+[1-9][\d,]*", amount), "a promotion more sells more"
    page.get_by_label("Name of the scenario").fill("one week more")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("heading", name="Scenarios").wait_for()
    page.goto(f"{show.url}/what-if?scenario=one+week+more")
    page.get_by_role("heading", name="Difference").wait_for()
    assert show.settled().get_by_test_id("stMetricValue").nth(2).inner_text() == amount
    assert [file.name for file in (workspace / "scenarios").iterdir()] == ["one week more.json"]
    assert {file: file.read_bytes() for file in workspace.rglob("snapshots/*/*")} == before


def test_an_empty_workspace_says_what_to_type(browser, tmp_path):
    with running_dashboard(tmp_path) as url, screen(browser, url) as empty:
        assert "rossmann ingest --raw DIR" in empty.open("").get_by_test_id("stAlert").inner_text()
        assert empty.problems == []
