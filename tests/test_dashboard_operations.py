"""The pages about operation in a browser, on one small workspace whose journal, alarms and ledger are synthetic."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from rossmann import monitoring, registry
from rossmann.alarms import AlarmRecord, CheckOutcome, DataRejected, DriftDetected, RetrainingOutcome
from rossmann.dashboard import operation_charts
from rossmann.dashboard.timeline import timeline
from rossmann.storage import Storage
from tests.support.browser import Screen, headless_chromium, running_dashboard, screen
from tests.support.endpoint import registry_of
from tests.support.operations import Operations, operations

pytestmark = pytest.mark.slow

KEY = "a-key-of-this-test"
COMMAND_TIMEOUT_MS = 120_000  # of a `rossmann` command that a page runs


@pytest.fixture(scope="module")
def ops(noisy, tmp_path_factory, new_mlflow_database) -> Operations:
    folder = tmp_path_factory.mktemp("dashboard-operations")
    new_mlflow_database(folder)
    result = operations(folder, noisy)
    reports = Storage(result.settings.workspace.monitoring_reports)
    reports.subfolder("2014-10-15").write(monitoring.PAGE, b"<html><body><h1>Drift of the week</h1></body></html>")
    return result


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with headless_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def dashboard(ops) -> Iterator[str]:
    """The dashboard of the workspace with an API key; its endpoint is not running."""
    settings = {
        "ROSSMANN_API_KEYS": KEY,
        "ROSSMANN_SERVE_ADDRESS": "http://127.0.0.1:1",
        "ROSSMANN_HTTP_PORT": "9",
        "ROSSMANN_COVERAGE": "0.5",
    }  # of models to come: those that are there have 0.9
    with running_dashboard(ops.settings.data_dir, **settings) as url:
        yield url


@pytest.fixture
def show(browser, dashboard) -> Iterator[Screen]:
    with screen(browser, dashboard) as result:
        yield result
        assert result.problems == []


def main(page: Page) -> str:
    """The text of the page."""
    return page.get_by_test_id("stMain").inner_text()


def test_accuracy_draws_what_was_delivered_beside_what_was_expected(show):
    page = show.open("accuracy")
    text = main(page)
    assert "Version 2 (ridge)" in text
    assert re.search(r"points against expected", text)
    assert "nominal 90 %" in text
    for name in ("accuracy-by-week", "accuracy-by-lead", "accuracy-calibration", "accuracy-by-group", "accuracy-store"):
        expect(page.locator(f".st-key-{name} .main-svg").first).to_be_visible()
    expect(page.locator(".st-key-accuracy-by-week .legend")).to_contain_text("Weeks of the backtest")
    expect(page.locator(".st-key-accuracy-store")).to_contain_text("sales per day, EUR")
    page.get_by_role("radio", name="4", exact=True).focus()
    page.keyboard.press("Space")
    page.wait_for_url("**/accuracy?weeks=4")
    show.settled()
    page.reload()
    expect(page.get_by_role("radio", name="4", exact=True)).to_be_checked()
    page.get_by_label("Model", exact=False).first.click()
    page.get_by_role("option", name="version 1 (median)").click()
    expect(page.get_by_text("Version 1 (median),")).to_be_visible()


def test_the_timeline_says_what_was_done_about_an_alarm_and_what_it_changed(show):
    page = show.open("alarms")
    text = main(page)
    assert re.search(r"Retraining promoted, version 2 serves: beats version 1\. WAPE was [\d.]+ % before and is", text)
    assert "Drift alarm: concept_shift" in text
    assert re.search(r"it does not respond\s+.*make up starts again what ended", text), "what a person does"
    expect(page.get_by_text("starts again what ended").locator("code").first).to_have_text("make up")
    assert "rossmann retrain" in text, "one alarm is open"
    expect(page.locator(".st-key-alarms-accuracy .main-svg").first).to_be_visible()
    assert page.locator("iframe").count() == 0, "the report is large: it is read when it is wanted"
    page.get_by_text("Open it here").click()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Drift of the week")).to_be_visible()


def test_models_shows_the_verdict_and_changes_the_champion_only_with_a_key_and_a_confirmation(show, ops):
    page = show.open("models")
    assert "worse than champion v2 in promo=1" in main(page)
    form = page.get_by_test_id("stForm").filter(has_text="Roll back from version 2")
    form.get_by_label("Why, for the ledger").fill("sells too little")
    form.get_by_label("API key").fill("another key")
    form.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Confirm what will happen.")).to_be_visible()
    form.get_by_text("The champion before serves").click()
    form.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("This is none of the API keys")).to_be_visible()
    assert registry.champion(registry_of(ops.settings.data_dir)).version == 2


def test_system_says_that_the_endpoint_is_not_running_and_what_to_type(show):
    page = show.open("system")
    expect(page.get_by_test_id("stMain")).to_contain_text("version 2")  # drawn after the script has run
    text = main(page)
    assert "It is not running" in text
    assert "starts it again within two minutes" in text, "a second make up would meet the first one"
    assert "Requests of the last 24 hours" in text


def test_one_request_has_a_day_of_hours_whole_numbers_and_a_latency_without_prefixes():
    end = datetime(2026, 11, 29, 13, 5)
    one = pd.DataFrame(
        [{"hour": end - timedelta(hours=3), "source": "http", "requests": 1, "p50_ms": 0.4, "p99_ms": 0.4}]
    )
    requests, latency = operation_charts.traffic_charts(one, "hour", end - timedelta(hours=24), end)
    assert requests.layout.yaxis.dtick == 1
    assert requests.data[0].width == pytest.approx(0.9 * 3_600_000)
    assert latency.layout.yaxis.tickformat == ",~g", "0.4 and not 400m"
    assert latency.layout.yaxis.type == "log", "requests and batches, a thousand times slower, are both readable"
    for chart in (requests, latency):
        assert chart.layout.xaxis.range == ("2026-11-28 13:05:00", "2026-11-29 13:05:00")
    many = operation_charts.traffic_charts(one.assign(requests=600), "hour", end - timedelta(hours=24), end)[0]
    assert many.layout.yaxis.dtick is None


def test_a_card_of_the_timeline_has_the_statistic_once_what_to_do_and_the_first_reason_of_an_outcome():
    wrong = DataRejected(reason="other_unit: sales per customer changed", raw="snapshot s", name="other_unit")
    worse = DriftDetected(reason="r", snapshot="s", kind="concept", name="concept_shift", subject="all", effect=2,
                          limit=1, reference="r", report="p")  # fmt: skip
    outcome = RetrainingOutcome(alarm_id=worse.id, started=worse.at, decision="refused", reason="a; b", model_version=1)
    over = CheckOutcome(alarm_id=wrong.id, decision="over", reason="other_unit is within its limit")
    other = worse.model_copy(update={"id": "another"})
    records = [AlarmRecord(worse, outcome), AlarmRecord(wrong, None), AlarmRecord(wrong, over),
               AlarmRecord(other, outcome)]  # fmt: skip
    data, mended, drift, same = sorted(timeline(records, [], pd.DataFrame()), key=lambda each: each.kind)
    assert (data.title, data.reasons) == ("Data alarm: other_unit", ("sales per customer changed",))
    assert "rossmann snapshots restore" in data.answer
    assert (data.is_open, data.is_over, mended.is_open, mended.is_over) == (True, False, False, True)
    assert re.fullmatch(r"Over since .* UTC: other\\_unit is within its limit\.", mended.answer)
    assert drift.answer == "Retraining refused, version 1 serves: a."
    assert same.answer == "Retraining refused: the same as above.", "one retraining has one reason"


def test_the_chart_of_drift_says_which_bars_are_alarms_and_why_a_longer_one_is_none():
    rows = [("other_unit", 1.15, True), ("concept_shift", 5.0, False), ("open_share", 0.5, False)]
    table = pd.DataFrame(rows, columns=["name", "effect", "alarm"]).assign(limit=1.0, subject="all", message="m")
    chart = operation_charts.findings_chart(table)
    bars = {bar.name: list(bar.y) for bar in chart.data}
    assert list(bars.values()) == [["other_unit · all"], ["concept_shift · all"], ["open_share · all"]]
    assert tuple(bars) == operation_charts.FINDING_NAMES
    assert list(chart.layout.yaxis.categoryarray) == ["open_share · all", "other_unit · all", "concept_shift · all"]


def test_a_page_is_readable_in_the_dark_theme(browser, dashboard):
    with screen(browser, dashboard, theme="dark") as dark:
        page = dark.open("accuracy")
        colour = page.get_by_test_id("stApp").evaluate("element => getComputedStyle(element).backgroundColor")
        assert max(map(int, re.findall(r"\d+", colour)[:3])) < 60
        assert dark.problems == []


def test_without_a_key_nothing_can_be_changed_and_an_empty_workspace_says_what_to_type(browser, tmp_path):
    with running_dashboard(tmp_path) as url, screen(browser, url) as empty:
        assert "rossmann ingest" in main(empty.open("accuracy"))
        assert "rossmann train" in main(empty.open("models"))
        system = main(empty.open("system"))
        assert "make up" in system
        assert "rossmann ingest" in system
        assert "Addresses" in system, "what needs no snapshot is there without one"
        assert empty.problems == []


def test_a_rollback_by_hand_is_in_the_ledger_and_is_refused_once_another_version_is_champion(browser, ops):
    with running_dashboard(ops.settings.data_dir, ROSSMANN_API_KEYS=KEY) as url, screen(browser, url) as operator:
        page = operator.open("models")
        late = page.context.new_page()
        late.goto(f"{url}/models")
        roll_back(late, submit=False)
        roll_back(page, submit=True)
        expect(page.get_by_text("version 1 is champion again")).to_be_visible(timeout=COMMAND_TIMEOUT_MS)
        newest = registry.ledger(registry_of(ops.settings.data_dir))[0]
        assert (newest.action, newest.version, newest.previous) == ("rollback", 1, 2)
        assert newest.reasons == ("rolled back from version 2: sells too little",)
        late.get_by_role("button", name="Roll back").click()
        refusal = late.get_by_text("version 1 is champion by now, not version 2")
        expect(refusal).to_be_visible(timeout=COMMAND_TIMEOUT_MS)
        assert registry.ledger(registry_of(ops.settings.data_dir))[0] == newest
        assert operator.problems == []


def test_a_double_click_promotes_once_says_so_and_leaves_the_form_empty(browser, ops):
    with running_dashboard(ops.settings.data_dir, ROSSMANN_API_KEYS=KEY) as url, screen(browser, url) as operator:
        page = operator.open("models")
        before = registry.champion(registry_of(ops.settings.data_dir)).version
        form = page.get_by_test_id("stForm").filter(has_text="Promote another version")
        form.get_by_label("Why, for the ledger").fill("a double click")
        form.get_by_text("It serves whatever its verdict").click()
        form.get_by_label("API key").fill(KEY)
        form.get_by_role("button", name="Promote").dblclick()
        expect(page.get_by_text("is champion", exact=False).last).to_be_visible(timeout=COMMAND_TIMEOUT_MS)
        expect(page.get_by_test_id("stAlertContentSuccess")).to_have_count(1, timeout=COMMAND_TIMEOUT_MS)
        assert page.get_by_test_id("stAlertContentError").count() == 0
        expect(form.get_by_label("Why, for the ledger")).to_have_value("")
        expect(form.get_by_label("API key")).to_have_value("")
        entries = registry.ledger(registry_of(ops.settings.data_dir))
        assert [each.reasons for each in entries].count(("a double click",)) == 1
        assert entries[0].previous == before


def roll_back(page: Page, submit: bool) -> None:
    """Fill in the form for a rollback from version 2."""
    form = page.get_by_test_id("stForm").filter(has_text="Roll back from version 2")
    form.get_by_label("Why, for the ledger").fill("sells too little")
    form.get_by_text("The champion before serves").click()
    form.get_by_label("API key").fill(KEY)
    if submit:
        form.get_by_role("button", name="Roll back").click()
