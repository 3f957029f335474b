"""The planners' pages in a real browser: an override is kept beside the forecast, a bad upload is explained."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from rossmann import features, journal, models, registry
from rossmann.dashboard import formats
from rossmann.dashboard.override_table import amounts_as_texts, read_edits, to_editor_table, unsaved_texts
from rossmann.dashboard.pages import overrides
from rossmann.data import SalesHistory
from rossmann.journal import ForecastRows
from rossmann.planning.overrides import Signature, override_rows, withdrawal_rows
from rossmann.settings import Settings
from rossmann.validation import DataError
from tests.support.browser import Screen, headless_chromium, running_dashboard, screen
from tests.support.endpoint import registry_of, save_with_champion

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC)
OVERRIDE_COLUMN = 5  # of the table, counted from 0
KEY_DELAY_MS = 60  # of a person who types fast
FIRST_ROW_PX = (60, 52)  # a point within the first row of the table


def planning_workspace(home: Path, history: SalesHistory) -> Settings:
    """A champion, its forecast in the journal, and overrides of two planners on days that are over."""
    settings = Settings(data_dir=str(home))
    snapshot = save_with_champion(home, history, "ridge")
    _, fitted = registry.fetch_forecaster(registry_of(home), 1)
    forecaster = models.adapt(fitted, settings.workspace.snapshots, snapshot)
    for past in (history.until(history.origin - 21), history):
        plan = past.plan(past.origin, past.horizon_days)
        rows = ForecastRows(plan, forecaster.predict(features.fit_state(past), plan), forecaster.quantiles)
        journal.write_entries(
            settings.journal_address, [journal.published_batch(1, snapshot, past.origin, rows, NOW - timedelta(1))]
        )
        if past is not history:
            _decide(settings, past)
    return settings


def _decide(settings: Settings, past: SalesHistory) -> None:
    """Twelve decisions on the week after a past: Ana's lower the forecasts, Ben's raise them."""
    first, days = past.origin + 1, np.arange(7)
    forecasts = journal.read_newest_forecasts(settings.journal_address, first.item(), (first + 6).item())
    for number, store in enumerate(past.stores.number.tolist()):
        store_forecasts = forecasts[(forecasts.store == store) & (forecasts.open == 1)].iloc[days[:4]]
        planner, factor = ("Ana", 0.97 - 0.02 * number) if number % 2 else ("Ben", 1.03 + 0.03 * number)
        amounts = store_forecasts[["store", "date"]].assign(amount=store_forecasts.forecast * factor)
        signature = Signature(planner, "a street fair", NOW - timedelta(days=20, minutes=number))
        journal.add_overrides(settings.journal_address, override_rows(past, forecasts, amounts, signature))


@pytest.fixture(scope="module")
def settings(noisy, tmp_path_factory, new_mlflow_database):
    home = tmp_path_factory.mktemp("planning")
    new_mlflow_database(home)
    return planning_workspace(home, noisy)


@pytest.fixture(scope="module")
def dashboard(settings):
    with running_dashboard(settings.data_dir) as url, headless_chromium() as chromium:
        yield url, chromium


@pytest.fixture
def show(dashboard):
    url, chromium = dashboard
    with screen(chromium, url, height=1400) as result:
        yield result
        assert result.problems == []


def newest(settings: Settings, history: SalesHistory) -> pd.DataFrame:
    return journal.read_newest_forecasts(
        settings.journal_address, (history.origin + 1).item(), history.calendar.dates[-1].item()
    )


def type_override(page: Page, text: str) -> None:
    """Type an amount into the first row of the table."""
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.click(box["x"] + FIRST_ROW_PX[0], box["y"] + FIRST_ROW_PX[1])
    selected = page.locator("[role=gridcell][aria-selected=true]")
    for column in range(OVERRIDE_COLUMN):
        expect(selected).to_have_attribute("aria-colindex", str(column + 1))
        page.keyboard.press("ArrowRight")
    page.keyboard.type(text[0])  # opens the cell's editor, and belongs to the text
    expect(page.locator("#portal textarea")).to_have_value(text[0])
    page.keyboard.type(text[1:], delay=KEY_DELAY_MS)
    page.keyboard.press("Enter")


def sign(show: Screen, planner: str, reason: str) -> None:
    """Say who and why."""
    show.page.get_by_label("Who").fill(planner)
    show.page.get_by_label("Why").fill(reason)
    show.page.get_by_label("Why").press("Enter")
    show.settled()


def test_an_override_is_kept_with_who_and_why_survives_a_reload_and_changes_no_forecast(show, settings, noisy):
    store, before = int(noisy.stores.number[0]), newest(settings, noisy)
    page = show.open(f"overrides?store={store}")
    type_override(page, "+10%")
    expect(page.get_by_test_id("stMetric").nth(2)).to_contain_text("1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("stAlert")).to_contain_text("An override has no planner: say who")
    sign(show, "Cleo", "road works")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(f"1 day of store {store} saved")).to_be_visible()
    expect(page.get_by_text("The entry of these days")).to_be_visible()
    page.reload()
    expect(page.get_by_text("The entry of these days")).to_be_visible()
    (row,) = journal.read_overrides(settings.journal_address, NOW.date().min, date.max, [store]).tail(1).itertuples()
    assert (row.planner, row.reason, row.model_version) == ("Cleo", "road works", 1)
    assert row.amount == pytest.approx(1.1 * row.forecast)
    assert row.forecast == before[(before.store == store) & (before.date == row.date)].forecast.item()
    pd.testing.assert_frame_equal(newest(settings, noisy), before)


def test_an_amount_that_is_hardly_meant_and_one_of_another_planner_are_asked_about(show, settings, noisy):
    store = int(noisy.stores.number[9])
    page = show.open(f"overrides?store={store}")
    type_override(page, "12.345,67")
    expect(page.get_by_test_id("stAlert")).to_contain_text('"12.345,67" is no amount: write it like 8500')
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    type_override(page, "12")
    expect(page.get_by_test_id("stAlert")).to_contain_text("12.00 instead of a forecast of")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    page.get_by_text("1 of the amounts are far from the forecast, and meant").click()
    sign(show, "Ana", "a fair")
    forecasts = newest(settings, noisy)
    day = forecasts[(forecasts.store == store) & (forecasts.open == 1)].head(1)
    other = Signature("Ben", "road works", datetime.now(UTC))
    amounts = pd.DataFrame({"store": noisy.stores.label[9], "date": day.date, "amount": 4444.0})
    journal.add_overrides(settings.journal_address, override_rows(noisy, forecasts, amounts, other))
    page.get_by_role("button", name="Save").click()
    warning = re.compile("Ben has set .* to 4,444 since this table was opened: road works")
    expect(page.get_by_text(warning)).to_be_visible()
    overrides = journal.read_overrides(settings.journal_address, NOW.date().min, date.max, [store])
    other = Signature("Ben", "it was closed", datetime.now(UTC))
    days = pd.DataFrame({"store": noisy.stores.label[9], "date": day.date})
    journal.add_overrides(settings.journal_address, withdrawal_rows(noisy, overrides, days, other))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(re.compile("Ben has withdrawn the override of .*: it was closed"))).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(f"1 day of store {store} saved")).to_be_visible()
    saved = journal.read_overrides(settings.journal_address, NOW.date().min, date.max, [store])
    assert saved.amount.tolist()[-3::2] == [4444.0, 12.0]
    assert np.isnan(saved.amount.tolist()[-2])


def test_the_store_of_another_page_is_the_one_to_override(show, noisy):
    label = str(noisy.stores.label[8])
    page = show.open(f"?stores={label}&stores={noisy.stores.label[9]}")
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Overrides").click()
    expect(page.get_by_role("combobox", name="Store")).to_have_value(label)
    for path in (f"overrides?stores={label}", f"overrides?store={label}"):
        expect(show.open(path).get_by_role("combobox", name="Store")).to_have_value(label)


def test_what_is_typed_stays_while_another_store_is_shown(show, noisy):
    page = show.open(f"overrides?store={noisy.stores.number[11]}")
    page.get_by_label("Per cent or amount").fill("10")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_test_id("stMetricValue").nth(2)).not_to_have_text("0")
    count = page.get_by_test_id("stMetricValue").nth(2).inner_text()
    for label, typed in ((noisy.stores.label[10], "0"), (noisy.stores.label[11], count)):
        page.get_by_label("Store", exact=True).click()
        page.get_by_role("option", name=str(label), exact=True).click()
        expect(page.get_by_test_id("stMetricValue").nth(2)).to_have_text(typed)
    for title in ("What-if", "Overrides"):
        page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        show.settled()
    expect(page.get_by_test_id("stMetricValue").nth(2)).to_have_text(count)


def test_all_days_are_overridden_by_a_percentage_and_closed_ones_stay_untouched(show, settings, noisy):
    store = int(noisy.stores.number[5])  # closed for a refurbishment in the plan
    page = show.open(f"overrides?store={store}")
    page.get_by_label("Per cent or amount").fill("10")
    page.get_by_role("button", name="Fill in").click()
    forecasts = newest(settings, noisy)
    open_days = forecasts[(forecasts.store == store) & (forecasts.open == 1)]
    expect(page.get_by_test_id("stMetric").nth(2)).to_contain_text(str(len(open_days)))
    sign(show, "Cleo", "a new bus line")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(f"{len(open_days)} days of store {store} saved")).to_be_visible()
    overrides = journal.read_overrides(settings.journal_address, NOW.date().min, date.max, [store])
    saved = overrides[overrides.reason == "a new bus line"]
    assert set(saved.date) == set(open_days.date)
    assert len(open_days) < noisy.horizon_days - 14
    np.testing.assert_allclose(saved.amount, 1.1 * saved.forecast, atol=0.006)  # to the cent


def save_override(settings: Settings, history: SalesHistory, day: pd.DataFrame, amount: float, reason: str) -> None:
    """Ana's override of one day. day: its row of the newest forecasts."""
    label = history.stores.label[history.stores.number == day.store.item()].item()
    amounts = pd.DataFrame({"store": label, "date": day.date, "amount": amount})
    rows = override_rows(history, newest(settings, history), amounts, Signature("Ana", reason, datetime.now(UTC)))
    journal.add_overrides(settings.journal_address, rows)


def test_the_forecast_page_and_its_csv_show_the_sum_with_overrides_beside_the_unchanged_forecast(show, settings, noisy):
    numbers, labels = noisy.stores.number[[2, 4]], noisy.stores.label[[2, 4]]
    forecasts = newest(settings, noisy)
    of_both = forecasts[forecasts.store.isin(numbers)].sort_values(["store", "date"], ignore_index=True)
    first, second = (of_both[(of_both.store == store) & (of_both.open == 1)] for store in numbers)
    same_day = second[second.date == first.date.iloc[2]]
    for day, amount, reason in (
        (first.iloc[[0]], 111.0, "a <b>fair</b>"), (first.iloc[[2]], 5.0, "a slip"), (first.iloc[[2]], 222.0, "a fair"),
        (same_day, 333.0, "a fair"), (second.iloc[[9]], 444.0, "works"),
    ):  # fmt: skip
        save_override(settings, noisy, day, amount, reason)
    overrides = journal.read_overrides(settings.journal_address, date.min, date.max, [int(numbers[1])])
    days = pd.DataFrame({"store": labels[1], "date": second.date.iloc[[9]]})
    journal.add_overrides(
        settings.journal_address, withdrawal_rows(noisy, overrides, days, Signature("Ben", "no works", NOW))
    )
    expected = of_both.assign(override=np.nan)
    for row, amount in ((first.index[0], 111.0), (first.index[2], 222.0), (same_day.index[0], 333.0)):
        expected.loc[row, "override"] = amount
    expected["final"] = expected["override"].fillna(expected["forecast"])
    page = show.open(f"?stores={labels[0]}&stores={labels[1]}")
    chart = page.get_by_test_id("stPlotlyChart").first.locator(".js-plotly-plot")
    expect(chart.locator(".legendtext", has_text="with overrides")).to_be_visible()
    drawn = chart.evaluate("""chart => {
        const line = chart.data.find(trace => trace.name === 'with overrides');
        return [line.x.map(day => day.slice(0, 10)), Array.from(line.y), line.customdata];
    }""")
    sums = expected.groupby("date").final.sum()[first.date.iloc[[0, 2]]]
    assert drawn[0] == [str(day.date()) for day in sums.index]
    assert drawn[1] == pytest.approx(sums.to_list())
    assert drawn[2] == ["Ana: a &lt;b&gt;fair&lt;/b&gt;", "2 stores"]
    total = f"with overrides: {formats.amount(expected.final.sum())}"
    expect(page.get_by_test_id("stMain")).to_contain_text(total)
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    table = pd.read_csv(download.value.path())
    assert table.columns[:5].tolist() == ["store", "date", "forecast", "override", "final"]
    for name in ("forecast", "override", "final"):
        np.testing.assert_allclose(table[name], expected[name], atol=0.006)
    page.get_by_test_id("stButtonGroup").get_by_text("overrides").click()
    page.wait_for_url("**show=*")
    expect(chart.locator(".legendtext", has_text="with overrides")).to_have_count(0)


TABLE = pd.DataFrame({
    "date": pd.to_datetime(["2015-08-03", "2015-08-05", "2015-08-07"]), "promotion": False, "last_year": np.nan,
    "earlier": np.nan, "forecast": [1000.4, 2000.0, 3000.0], "override": [np.nan, 2100.25, 12.3456],
    "planner": "", "reason": "",
})  # fmt: skip


def test_only_days_between_first_and_last_are_filled():
    texts = amounts_as_texts(TABLE, date(2015, 8, 4), date(2015, 8, 6), pd.Series([7.0, 8125.125, 9]))
    assert texts == {TABLE["date"][1]: "8,125.12"}
    with pytest.raises(
        DataError, match="no day from 2015-08-06 to 2015-08-04 is in the table: the last day is before the first"
    ):
        amounts_as_texts(TABLE, date(2015, 8, 6), date(2015, 8, 4), TABLE["forecast"])


def test_what_is_typed_is_read_as_a_whole_or_named_and_nothing_else_changes():
    edited = to_editor_table(TABLE, {}).assign(override=["+10%", None, "12.35"])
    texts = unsaved_texts(TABLE, edited)
    edits = read_edits(TABLE, texts)
    assert set(texts) == {TABLE["date"][0], TABLE["date"][1]}, "the third one is the saved amount as it is shown"
    assert edits.changed["amount"].tolist() == [pytest.approx(1100.44)]
    assert edits.removed["date"].tolist() == [TABLE["date"][1]]
    assert edits.override[2] == 12.3456
    assert (edits.problems, edits.unlikely) == ((), ())
    edits = read_edits(TABLE, {TABLE["date"][0]: "8.100,50", TABLE["date"][1]: "12"})
    assert edits.problems == ('Mon 3 Aug 2015: "8.100,50" is no amount: write it like 8500 or 8500.50, or as a change '
                              "like +10%",)  # fmt: skip
    assert edits.unlikely == ("Wed 5 Aug 2015: 12.00 instead of a forecast of 2,000",)
    assert edits.changed["date"].tolist() == [TABLE["date"][1]]
    assert edits.count == 1


def test_the_keyboard_alone_chooses_a_store_and_a_day_and_saves_an_override(show, settings, noisy):
    label, day = noisy.stores.label[7], noisy.origin + 2
    page = show.open("")
    show.tab_to("Stores")
    page.keyboard.type(label)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**stores={label}*")
    expect(page.get_by_text("Why it moved since an earlier origin")).to_be_visible()  # of one store only
    show.settled()
    show.tab_to("day, Day, also by a click")
    page.keyboard.press("ArrowUp")
    show.tab_to("Why it moved")  # a day counts when its field is left
    page.keyboard.press("Space")
    page.wait_for_url(f"**day={day}&movement=true*")
    expect(page.get_by_text(f"Forecast of {formats.day(day)}")).to_be_visible()
    show.tab_to("Overrides")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overrides", exact=True)).to_be_visible()
    show.settled()
    show.tab_to("Per cent or amount")
    page.keyboard.press("Control+A")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stMetricValue").nth(2)).not_to_have_text("0")
    for field, text in (("Who", "Dora"), ("Why", "a concert")):
        show.tab_to(field)
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    show.settled()
    show.tab_to("Save")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"\d+ days of store \d+ saved"))).to_be_visible()


def test_a_forecast_moved_since_the_newest_earlier_one_in_the_journal(show, noisy):
    store, last = noisy.stores.number[0], noisy.calendar.dates[-1]
    not_in_journal = (last, last - noisy.horizon_days)
    for day, since in ((noisy.origin + 2, noisy.origin - 21), not_in_journal):
        page = show.open(f"?stores={store}&movement=true&day={day}")
        expect(page.get_by_text(f"Before, from sales up to {formats.day(since)}")).to_be_visible()


def test_what_overrides_were_worth_is_said_by_planner(show, noisy):
    page = show.open(f"overrides?store={noisy.stores.number[1]}")
    text = page.get_by_test_id("stMain").inner_text()
    assert "On 48 days that are over, overrides were in sum" in text
    assert "They come from 12 decisions (few: may change)." in text


def test_overrides_that_were_as_close_as_the_forecasts_are_neither_closer_nor_further():
    assert overrides._closeness(0.0, "EUR") == "as close to the sales as"
    assert overrides._closeness(1200.0, "EUR") == "1,200 EUR closer to the sales than"
    assert overrides._closeness(-1200.0, "EUR") == "1,200 EUR further from the sales than"


def upload(page: Page, name: str, text: str) -> None:
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": text.encode()})


def test_a_bad_upload_is_explained_and_a_good_one_is_forecast(show, noisy):
    store, day = noisy.stores.number[0], noisy.origin + 1
    page = show.open("upload")
    assert "Choose a file" in page.get_by_test_id("stAlert").inner_text()
    upload(page, "bad.csv", f"store,date,open\n{store},{day},1\n999,{day},1\n{store},{day - 3},yes\n")
    expect(page.get_by_test_id("stAlert")).to_contain_text("3 findings in 2 rows of bad.csv: nothing is forecast")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the findings").click()
    findings = pd.read_csv(download.value.path())
    assert list(findings["line"]) == [3, 4, 4]
    upload(page, "plan.xlsx", "PK\x03\x04\x14\x00")
    expect(page.get_by_test_id("stAlert")).to_contain_text("plan.xlsx is an Excel file or an archive. Save it as CSV")
    expect(page.get_by_test_id("stDataFrame")).to_have_count(0)
    upload(page, "good.csv", f"store,date\n{store},{day + 1}\n{store},{day}\n")
    expect(page.get_by_test_id("stAlert")).to_contain_text("All 2 rows of good.csv are good")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the forecasts").click()
    table = pd.read_csv(download.value.path())
    assert table["date"].tolist() == [str(day + 1), str(day)]
    total, as_published, _ = page.get_by_test_id("stMetricValue").all_inner_texts()
    assert total == as_published == formats.amount(table["forecast"].sum()), "the plan changes nothing"
    assert (table["forecast"] >= 0).all()
