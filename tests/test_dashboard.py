"""The planners' pages in a browser, on one small workspace in operation."""

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from playwright.sync_api import Locator, Page, Route, expect
from streamlit.testing.v1 import AppTest

from flows.delivery import deliver_and_record
from flows.explanation import explain_day
from rossmann import journal
from rossmann.dashboard import formats, series
from rossmann.planning import scenarios
from rossmann.planning.scenarios import Change, Scenario
from rossmann.schema import SUNDAY, weekday
from rossmann.storage import Storage
from tests.support.browser import headless_chromium, running_dashboard, screen
from tests.support.operations import Operations, operations

pytestmark = pytest.mark.slow
CUT_TEXTS = """() => [...document.querySelectorAll('[data-testid=stMain] *')].filter(each =>
    each.innerText && each.clientWidth + 1 < each.scrollWidth && getComputedStyle(each).overflowX !== 'visible'
    && !each.closest('.js-plotly-plot, [data-testid=stDataFrame]')  // a table scrolls
).map(each => each.innerText)"""


@pytest.fixture(scope="module")
def workspace(noisy, tmp_path_factory, new_mlflow_database):
    """The `noisy` chain in operation: version 2, ridge, is champion; earlier forecasts are in the journal."""
    folder = tmp_path_factory.mktemp("dashboard")
    new_mlflow_database(folder)
    return operations(folder, noisy)


@pytest.fixture(scope="module")
def label(workspace):
    """Of a store that is open in the plan."""
    return workspace.history.stores.label[3]


@pytest.fixture(scope="module")
def dashboard(workspace):
    """The URL of the dashboard of this workspace."""
    with running_dashboard(workspace.settings.data_dir) as url:
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


def test_a_forecast_is_drawn_with_its_intervals_and_earlier_forecasts_and_survives_a_reload(show, workspace, label):
    page = show.open(f"?stores={label}&past=4")
    assert page.get_by_role("heading", name=f"Store {label}").is_visible()
    names = traces(page, 0, "trace.name")
    assert {"actual", "forecast", "95%", "80%", "50%", "same weekday last year"} <= set(names)
    assert sum(name.startswith("forecast of ") for name in names if name) > 2
    texts = traces(page, 0, "trace.name === 'holiday' && trace.customdata ? Array.from(trace.customdata) : null")
    kinds = workspace.history.calendar.holiday_kind[3, -workspace.history.horizon_days - 4 * 7 :]
    assert [names for names in texts if names] == [[series.HOLIDAY_KIND_NAMES[kind] for kind in kinds[kinds > 0]]]
    chart_values = chart_of(page).evaluate("chart => Array.from(chart.data.find(trace => trace.name === 'forecast').y)")
    deliver_and_record(workspace.settings, None, None, False)
    (file,) = Path(workspace.settings.workspace.forecasts).glob("*_v2.parquet")
    batch = pd.read_parquet(file)
    np.testing.assert_allclose(chart_values, batch.forecast[(batch.store == int(label)) & (batch.forecast > 0)])
    page.reload()
    assert show.settled().get_by_role("heading", name=f"Store {label}").is_visible()
    assert "past=4" in page.url


def test_enter_chooses_the_store_that_was_typed_and_no_other(show, workspace):
    """The label is part of others, too: the chain has stores 4, 34 and 43."""
    label = "4"
    assert sum(label in other for other in workspace.history.stores.label) > 2
    page = show.open("")
    page.get_by_role("combobox", name="Stores").press_sequentially(label)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # closes the list, which hides the page from screen readers
    expect(page.get_by_role("heading", name=f"Store {label}", exact=True)).to_be_visible()
    expect(page).to_have_url(f"{show.url}/?stores={label}")


def test_back_from_the_what_if_returns_to_the_chosen_stores(show, workspace):
    first, second = workspace.history.stores.label[:2]
    page = show.open(f"?stores={first}&stores={second}")
    expect(page.get_by_role("heading", name=f"Stores {first}, {second}")).to_be_visible()
    page.get_by_role("link", name="What-if").click()
    expect(page.get_by_role("heading", name="What-if")).to_be_visible()
    expect(page).to_have_url(f"{show.url}/what-if?stores={first}&stores={second}")
    show.settled()
    page.go_back()
    expect(page.get_by_role("heading", name=f"Stores {first}, {second}")).to_be_visible()
    expect(page).to_have_url(f"{show.url}/?stores={first}&stores={second}")


@pytest.mark.parametrize("drawn", ["What-if", "Stores"], ids=["left at once", "left before the stores are drawn"])
def test_a_page_that_is_left_before_it_is_drawn_takes_the_chosen_stores_along(show, workspace, drawn):
    first, second = workspace.history.stores.label[:2]
    requests: list[Route] = []
    show.page.route(
        re.compile("/Multiselect[.]"), lambda request: requests.append(request)
    )  # the code of this widget does not come
    page = show.page
    page.goto(f"{show.url}/?stores={first}&stores={second}")
    page.get_by_text(re.compile(f"^{drawn}")).first.wait_for()
    page.get_by_role("link", name="What-if").click()
    expect(page.get_by_text(f"Stores {first}, {second}: every choice")).to_be_visible()
    expect(page).to_have_url(f"{show.url}/what-if?stores={first}&stores={second}")
    assert requests


def test_an_address_that_names_what_does_not_exist_says_so_and_what_exists(show, workspace, label):
    labels = ", ".join(workspace.history.stores.label[:5])
    for address, message in {
        f"?stores={label}&stores=999": f"there is no store 999 in this chain; choose from {labels}, … (12 in all)",
        "?group=nonsense": "there is no group nonsense; choose from All stores, ",
        f"?stores={label}&day=2019-01-01": "2019-01-01 is no day of the forecast; choose one from 2014-10-16 to ",
        "what-if?stores=*": "there is no store * in this chain; choose from ",
        "overrides?store=999": "there is no store 999 in this chain; choose from ",
    }.items():
        page = show.open(address)
        expect(page.get_by_test_id("stAlert").filter(has_text=message)).to_be_visible()


def test_picture_and_csv_are_named_after_the_stores_and_the_picture_says_what_it_shows(show, workspace):
    first, second = workspace.history.stores.label[:2]
    page = show.open(f"?stores={first}&stores={second}")
    stem = f"stores-{first}-{second}_{workspace.history.origin}_v2"
    with page.expect_download() as csv:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    assert csv.value.suggested_filename == f"{stem}.csv"
    chart = chart_of(page)
    expect(chart).to_contain_text(f"Stores {first}, {second}: forecast from sales up to Wed 15 Oct 2014, version 2")
    assert "Arial" in chart.locator(".legendtext").first.evaluate("text => getComputedStyle(text).fontFamily")
    chart.hover()
    with page.expect_download() as picture:
        chart.locator("[data-title*='PNG']").click()
    assert picture.value.suggested_filename == f"forecast_{stem}.png"


def test_the_reasons_of_a_day_add_up_to_its_forecast(show, label):
    page = show.open(f"?stores={label}")
    page.get_by_role("heading", name="Reasons").wait_for()
    (steps,) = traces(page, 1, "[Array.from(trace.x), Array.from(trace.y)]")
    (*terms, forecast), names = steps
    assert names[-1] == "forecast"
    assert len(terms) > 2
    assert sum(terms) == pytest.approx(forecast)


def test_a_click_on_a_day_shows_its_reasons_and_puts_it_into_the_url(show, label):
    page = show.open(f"?stores={label}")
    chart = chart_of(page)
    x, y, day = chart.evaluate("""chart => {
        const line = chart.data.find(trace => trace.name === 'forecast'), layout = chart._fullLayout;
        const [x, y] = [layout.xaxis.d2p(line.x[9]), layout.yaxis.d2p(line.y[9])];
        return [x + layout._size.l, y + layout._size.t, line.x[9].slice(0, 10)];
    }""")
    chart.click(position={"x": x, "y": y})
    page.wait_for_url(f"**day={day}*")
    assert show.settled().get_by_text(f"Forecast of {formats.day(np.datetime64(day))}").is_visible()


def test_no_text_is_cut_in_a_narrow_window(browser, dashboard, label):
    with screen(browser, dashboard, width=1000) as narrow:
        for address in (f"?stores={label}", "models", "system"):
            page = narrow.open(address)
            page.get_by_test_id("stMetricValue").first.wait_for()
            assert page.evaluate(CUT_TEXTS) == [], address


def test_why_a_forecast_moved_is_shown_when_asked_for_as_the_command_says_it_and_is_in_the_url(show, workspace, label):
    since, first = ((workspace.history.origin + days).item() for days in (-9, 1))
    address = f"?stores={label}&since={since}&since-version=1"
    page = show.open(address)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    page.get_by_text("Why it moved since an earlier origin").click()
    page.wait_for_url("**movement=true*")
    page.get_by_text(f"no snapshot ends on {since}").wait_for()
    ((*causes, change),) = traces(show.settled(), 2, "Array.from(trace.x)")
    movement = explain_day(workspace.settings, label, first, since=since, since_version=1).earlier.movement
    assert causes == pytest.approx([movement.actuals, movement.plan, movement.model])
    assert movement.model != 0
    assert sum(causes) == pytest.approx(change) == pytest.approx(movement.after - movement.before)
    page.reload()
    page.get_by_text(f"Before, from sales up to {formats.day(since)}").wait_for()
    assert traces(show.settled(), 2, "Array.from(trace.x)") == [[*causes, change]]


def test_a_what_if_changes_the_forecast_and_is_kept_without_touching_plan_and_journal(show, workspace):
    before = contents(workspace)
    page = show.open("what-if")
    page.get_by_role("button", name="Add this change").click()
    page.get_by_role("heading", name="Difference").wait_for()
    amount = show.settled().get_by_test_id("stMetricValue").nth(2).inner_text()
    assert re.fullmatch(r"\+[1-9][\d,]*", amount), "one more promotion sells more"
    page.get_by_label("Name of the scenario").fill("one week more")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("heading", name="Scenarios").wait_for()
    page.goto(f"{show.url}/what-if?scenario=one+week+more")
    page.get_by_role("heading", name="Difference").wait_for()
    assert show.settled().get_by_test_id("stMetricValue").nth(2).inner_text() == amount
    after = contents(workspace)
    assert {path for path in after if after[path] != before.get(path)} == {"scenarios/one week more.json"}


@pytest.fixture
def without_browser(workspace, monkeypatch) -> None:
    """Pages that run in this process show the same workspace."""
    monkeypatch.setenv("ROSSMANN_DATA_DIR", workspace.settings.data_dir)
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def what_if(without_browser) -> AppTest:
    return AppTest.from_function(what_if_page, default_timeout=60).run()


def forecast_page() -> None:
    from rossmann.dashboard.pages import forecast

    forecast.page()


def test_the_change_of_a_week_says_that_it_is_not_the_ratio_of_its_two_sums(without_browser):
    """A store of the chain is closed for some weeks of the plan, so the sums differ by more than the change."""
    page = AppTest.from_function(forecast_page, default_timeout=60).run()
    assert not page.exception
    assert not page.error
    weeks = page.dataframe[0].value
    ratio = weeks["forecast, EUR"] / weeks["same days last year"] - 1
    assert (abs(ratio - weeks["change, open in both years"]) > 0.02).any()
    assert any("It is not the ratio of the two sums" in caption.value for caption in page.caption)


def what_if_page() -> None:
    from rossmann.dashboard.pages import whatif

    whatif.page()


def test_a_week_without_sales_last_year_shows_a_dash_and_says_why(without_browser, workspace):
    """A year before the first two weeks of the forecast, this store had no rows yet."""
    page = AppTest.from_function(forecast_page, default_timeout=60)
    page.query_params["stores"] = str(workspace.history.stores.label[7])
    (table,) = page.run().dataframe
    week, *longer = (each.delta for each in page.metric[:3])
    assert week == "– no sales on these days last year"
    assert all(each.endswith("% on last year") for each in longer)
    assert table.value["same days last year"].isna().tolist()[:3] == [True, True, False]
    assert table.proto.placeholder == "–"


def test_a_scenario_of_a_store_that_is_gone_says_so_and_can_be_deleted(what_if, workspace):
    folder = Storage(workspace.settings.workspace.scenarios)
    first = (workspace.history.origin + 1).item()
    for name, stores in (("gone", ("nowhere",)), ("there", ())):
        scenarios.save_scenario(folder, Scenario(name, (Change("closed", first, first, stores),), "2026-11-29"))
    what_if.run()
    assert any("there is no store nowhere" in text.value for text in what_if.markdown)
    assert any(text.value.startswith("**there**: -") for text in what_if.markdown)
    what_if.button(key="open-gone").click().run()
    assert "there is no store nowhere" in what_if.error[0].value
    for name in ("gone", "there"):
        what_if.button(key=f"delete-{name}").click().run()
    assert not what_if.exception
    assert {"gone", "there"}.isdisjoint(scenario.name for scenario in scenarios.list_scenarios(folder))


def test_a_scenario_is_replaced_only_after_a_question_and_comes_back_after_its_deletion(what_if, workspace):
    folder = Storage(workspace.settings.workspace.scenarios)
    first = (workspace.history.origin + 1).item()
    old = Scenario("old", (Change("closed", first, first),), "2026-11-29")
    scenarios.save_scenario(folder, old)
    what_if.session_state["changes"] = (Change("promotion", first, first),)
    what_if.run()
    for name, message in (("x" * 81, "this one has 81"), ("  ", "1 to 80 characters")):
        keep_as(what_if, name)
        assert message in what_if.error[0].value
        assert "Scenarios" in [each.value for each in what_if.subheader], "the rest of the page is there"
    keep_as(what_if, "old")
    assert by_name(folder)["old"] == old
    what_if.session_state["changes"] = (Change("closed", first, first), Change("promotion", first, first))
    what_if.run()
    assert "Replace it" not in [each.label for each in what_if.button], "the question was about other changes"
    what_if.session_state["changes"] = (Change("promotion", first, first),)
    what_if.run()
    button(what_if, "Replace it").click().run()
    new = by_name(folder)["old"]
    assert new.changes == (Change("promotion", first, first),)
    what_if.button(key="delete-old").click().run()
    assert "old" not in by_name(folder)
    button(what_if, "Undo").click().run()
    assert by_name(folder)["old"] == new
    what_if.button(key="delete-old").click().run()
    scenarios.save_scenario(folder, old)  # of another planner, meanwhile
    button(what_if, "Undo").click().run()
    assert by_name(folder)["old"] == old, "it is asked about"
    button(what_if, "Cancel").click().run()
    what_if.button(key="delete-old").click().run()


def test_scenarios_kept_one_after_the_other_have_their_own_names_which_are_no_markup(what_if, workspace):
    folder = Storage(workspace.settings.workspace.scenarios)
    first = (workspace.history.origin + 1).item()
    what_if.session_state["changes"] = (Change("closed", first, first),)
    what_if.run()
    names = ("*b* ![i](http://e.x/p.png)", "second", "third")
    for name in names:
        keep_as(what_if, name)
    assert set(names) <= set(by_name(folder))
    assert any(r"**\*b\* \!\[i\](http\://e.x/p.png)**" in each.value for each in what_if.markdown)
    for name in names:
        scenarios.remove_scenario(folder, name)


def by_name(folder: Storage) -> dict[str, Scenario]:
    return {scenario.name: scenario for scenario in scenarios.list_scenarios(folder)}


def keep_as(what_if: AppTest, name: str) -> None:
    what_if.text_input[0].set_value(name)
    button(what_if, "Keep").click().run()


def button(page: AppTest, label: str):
    return next(each for each in page.button if each.label == label)


def test_the_changes_are_in_the_address_and_are_read_from_it(what_if, workspace):
    first = (workspace.history.origin + 1).item()
    changes = (Change("closed", first, first),)
    what_if.session_state["changes"] = changes
    what_if.run()
    address = "".join(what_if.query_params["changes"])
    del what_if.session_state["changes"]
    what_if.run()
    assert what_if.session_state["changes"] == changes
    del what_if.session_state["changes"]
    what_if.query_params["changes"] = address[:-3]
    what_if.run()
    assert what_if.session_state["changes"] == ()
    assert "cannot be read" in what_if.warning[0].value


def test_a_promotion_on_a_sunday_is_said_to_have_no_effect_and_why(what_if, workspace):
    days = workspace.history.calendar.dates[-workspace.history.horizon_days :]
    sunday = days[weekday(days) == SUNDAY][0].item()
    what_if.date_input[0].set_value((sunday, sunday))
    what_if.button[0].click().run()
    assert "the chain has no promotions on these weekdays" in what_if.info[0].value


def test_a_change_with_one_end_of_its_days_asks_for_the_other(what_if, workspace):
    what_if.date_input[0].set_value(((workspace.history.origin + 1).item(),))
    what_if.button[0].click().run()
    assert what_if.error[0].value == "Choose a first and a last day."


def test_the_forecast_of_today_takes_no_place_among_the_earlier_ones(workspace):
    """The journal has five forecasts, one at the end of each week; today's is the last one."""
    today = workspace.history.origin - 7
    first, last = (today + 1).item(), (today + 14).item()
    table = journal.read_earlier_forecasts(
        workspace.settings.journal_address, None, first, last, before_origin=today.item(), most=2
    )
    assert table.origin.unique().tolist() == [pd.Timestamp(today - 7), pd.Timestamp(today - 14)]


def chart_of(page: Page, number: int = 0) -> Locator:
    """A chart by its place on the page: the second may be drawn first."""
    return page.get_by_test_id("stPlotlyChart").nth(number).locator(".js-plotly-plot")


def traces(page: Page, chart: int, value: str) -> list:
    """A value of each trace of a chart, in JavaScript."""
    return chart_of(page, chart).evaluate(f"chart => chart.data.map(trace => {value})")


def contents(workspace: Operations) -> dict[str, str]:
    """A hash of every file of the workspace, and of what is in the journal, by path."""
    root = Path(workspace.settings.data_dir)
    files = {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in root.rglob("*")
        if file.is_file()
        and not file.name.startswith("journal.db")  # a reader of SQLite may move pages between its files
    }
    with closing(sqlite3.connect(root / "journal.db")) as journal:
        return files | {"journal": hashlib.sha256("\n".join(journal.iterdump()).encode()).hexdigest()}


def test_a_port_in_use_is_named_with_what_to_do(dashboard, tmp_path):
    port = dashboard.rpartition(":")[2]
    command = [sys.executable, "-m", "flows.cli", "dashboard", "--port", port]
    environment = os.environ | {"ROSSMANN_DATA_DIR": str(tmp_path), "COLUMNS": "300"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert f"cannot listen on port {port} of 127.0.0.1" in result.stderr
    assert "another one with --port" in result.stderr


def test_an_empty_workspace_says_what_to_type(browser, tmp_path):
    with running_dashboard(tmp_path) as url, screen(browser, url) as empty:
        assert "rossmann ingest --raw DIR" in empty.open("").get_by_test_id("stAlert").inner_text()
        assert empty.problems == []
