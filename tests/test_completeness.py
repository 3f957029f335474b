"""Raw files that lack stores or days of the current snapshot are refused, unless that is allowed."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from flows.ingest import ingest, read_and_validate
from flows.retrain import retrain
from rossmann.alarms import DataRejected, list_alarms
from rossmann.data import (
    SalesHistory,
    check_newer,
    current_snapshot,
    find_missing_data,
    load_snapshot,
    read_history,
    save_snapshot,
)
from rossmann.schema import CLOSURE_DAYS
from rossmann.settings import Settings
from rossmann.validation import DataError
from tests.support.raw_files import PAST_DAYS, RawFiles, raw_files

ORIGIN = date(2014, 3, 16)
NOW = datetime(2014, 3, 17, tzinfo=UTC)


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> SalesHistory:
    return read_history(raw_files().write(tmp_path_factory.mktemp("raw"))).history


def reduced(history: SalesHistory, stores: slice = slice(None), first: int = 0, last: int = PAST_DAYS) -> SalesHistory:
    """The history of some of its stores and days."""
    calendar = history.calendar.between(history.calendar.dates[first], history.calendar.dates[-1])
    panels = {name: values[stores] for name, values in vars(calendar).items() if name != "dates"}
    sales, customers = (values[stores, first:] for values in (history.sales, history.traffic))
    whole = SalesHistory(history.stores.at(stores), replace(calendar, **panels), sales, customers)
    return whole.until(history.dates[last - 1])


def without_rows(history: SalesHistory, store: int | slice, days: slice) -> SalesHistory:
    sales = history.sales.copy()
    sales[store, days] = np.nan
    return replace(history, sales=sales, traffic=np.where(np.isnan(sales), np.nan, history.traffic))


def test_the_same_history_or_a_longer_one_has_lost_nothing(history):
    assert find_missing_data(history, history) is None
    assert find_missing_data(reduced(history, slice(1, 3), 10, 50), history) is None


def test_a_store_that_lost_all_its_rows_is_lost_even_if_it_is_still_planned(history):
    missing = find_missing_data(history, without_rows(history, 1, slice(None)))
    assert str(missing) == "1 store (2)"


def test_lost_stores_are_named(history):
    missing = find_missing_data(history, reduced(history, slice(None, None, 2)))
    assert missing.stores.tolist() == [2, 8]
    assert str(missing) == "2 stores (2, 8)"


def test_days_lost_at_the_end_are_named(history):
    missing = find_missing_data(history, reduced(history, last=PAST_DAYS - 15))
    assert (len(missing.dates), len(missing.shortened_stores)) == (14, 0)  # no store is open on the holiday
    assert str(missing) == "14 days (2014-03-02 to 2014-03-16)"


def test_days_lost_at_the_start_are_named_unless_as_many_are_new_at_the_end(history):
    missing = find_missing_data(history, reduced(history, first=7))
    assert str(missing) == "7 days (2014-01-06 to 2014-01-12)"
    assert find_missing_data(reduced(history, last=PAST_DAYS - 7), reduced(history, first=7)) is None
    assert find_missing_data(reduced(history, last=PAST_DAYS - 6), reduced(history, first=7)) is not None


def test_a_store_that_has_lost_its_last_day_or_as_many_days_as_a_closure_is_named(history):
    last_day = without_rows(history, 2, slice(PAST_DAYS - 1, None))
    assert str(find_missing_data(history, last_day)) == "1 day of 1 store (3)"
    closure = without_rows(history, 2, slice(20, 20 + CLOSURE_DAYS))
    assert str(find_missing_data(history, closure)) == "14 days of 1 store (3)"
    assert find_missing_data(history, without_rows(history, 2, slice(20, 20 + CLOSURE_DAYS - 1))) is None


def with_zeros(history: SalesHistory, stores: slice, days: slice) -> SalesHistory:
    sales = history.sales.copy()
    sales[stores, days] = np.where(np.isnan(sales[stores, days]), np.nan, 0)
    return replace(history, sales=sales)


def test_sales_that_became_zero_are_lost_like_those_that_are_missing(history):
    last_day = with_zeros(history, slice(2, 3), slice(PAST_DAYS - 1, None))
    assert str(find_missing_data(history, last_day)) == "1 day of 1 store (3), of which 1 have sales of 0 now"
    closure = with_zeros(history, slice(2, 3), slice(20, 20 + CLOSURE_DAYS))
    assert find_missing_data(history, closure).zero_days == CLOSURE_DAYS
    assert find_missing_data(history, with_zeros(history, slice(2, 3), slice(20, 20 + CLOSURE_DAYS - 1))) is None


@pytest.mark.parametrize("lose", [with_zeros, lambda history, stores, days: without_rows(history, stores, days)])
def test_sales_of_several_stores_on_one_day_are_lost_and_those_of_one_store_are_corrected(history, lose):
    missing = find_missing_data(history, lose(history, slice(1, 3), slice(22, 23)))
    assert (missing.shortened_stores.tolist(), missing.store_days) == ([2, 3], 2)
    assert find_missing_data(history, lose(history, slice(1, 2), slice(22, 23))) is None


def test_days_after_as_of_are_not_lost_but_stores_are(history):
    day = history.dates[PAST_DAYS - 16].item()
    earlier = reduced(history, last=PAST_DAYS - 15)
    assert find_missing_data(history, earlier, day) is None
    assert find_missing_data(history, earlier, day + timedelta(days=1)).dates.astype(str).tolist() == ["2014-03-02"]
    assert find_missing_data(history, reduced(history, slice(0, 3), last=PAST_DAYS - 15), day).stores.tolist() == [8]


def test_closed_days_that_an_export_leaves_out_are_not_lost_when_it_is_cut_on_such_a_day(tmp_path):
    files = raw_files()
    is_closed_sunday = (files.train["DayOfWeek"] == 7) & (files.train["Open"] == 0)
    files.train = files.train[~is_closed_sunday]
    raw, sunday = files.write(tmp_path), date(2014, 3, 2)
    whole, earlier = read_history(raw).history, read_history(raw, sunday).history
    assert np.isnan(earlier.sales[:, -1]).sum() > np.isnan(whole.until(earlier.origin).sales[:, -1]).sum()
    assert find_missing_data(whole, earlier, sunday) is None


@pytest.fixture
def workspace(tmp_path, prefect_server, monkeypatch):
    """A workspace with a snapshot of all raw files."""
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
    ingest(raw_files().write(tmp_path / "raw"))
    return tmp_path


def half_of(files: RawFiles) -> RawFiles:
    files.train = files.train[files.train["Store"] < 3]
    files.test = files.test[files.test["Store"] < 3]
    return files


def test_smaller_raw_files_are_refused_and_leave_the_snapshot_until_they_are_allowed(workspace):
    snapshots = Settings().workspace.snapshots
    before = current_snapshot(snapshots)
    raw = half_of(raw_files()).write(workspace / "half")
    with pytest.raises(DataError, match=r"2 stores \(3, 8\)\. .*--allow-shrink") as refusal:
        ingest(raw)
    assert before in str(refusal.value)
    with pytest.raises(DataError, match=r"--allow-shrink"):
        retrain(raw, candidates=["ridge"])
    assert current_snapshot(snapshots) == before
    assert [alarm.alarm.event for alarm in list_alarms(Settings().workspace.alarms)] == [DataRejected.event] * 2
    assert load_snapshot(snapshots, ingest(raw, allow_shrink=True)).stores.number.tolist() == [1, 2]
    assert [alarm.is_over for alarm in list_alarms(Settings().workspace.alarms)] == [True] * 2


def test_an_open_day_without_sales_in_all_stores_is_refused_until_it_is_allowed(workspace):
    files = raw_files()
    files.train.loc[files.train["Date"] == "2014-03-13", ["Sales", "Customers"]] = 0
    raw = files.write(workspace / "zeros")
    with pytest.raises(DataError, match=r"4 days of 4 stores \(1, 2, 3, 8\), of which 4 have sales of 0 now"):
        ingest(raw)
    assert (load_snapshot(Settings().workspace.snapshots, ingest(raw, allow_shrink=True)).sales[:, 66] == 0).all()


@pytest.mark.parametrize("options", [{}, {"as_of": ORIGIN - timedelta(days=20)}, {"allow_shrink": True}])
def test_an_ingest_that_another_with_newer_files_overtook_is_refused(workspace, monkeypatch, options):
    """The other one becomes current while the slower one reads its files; the same days with other sales are older."""
    files, snapshots = raw_files(), Settings().workspace.snapshots
    open_day = (files.train["Sales"] > 0).idxmax()
    files.train.loc[open_day, "Sales"] += 1
    newer = read_history(files.write(workspace / "newer"))

    def read_slowly(*arguments):
        result = read_and_validate(*arguments)
        save_snapshot(newer.history, snapshots, NOW, newer.source)
        return result

    monkeypatch.setattr("flows.ingest.read_and_validate", read_slowly)
    files.train.loc[open_day, "Sales"] += 1
    older = files.write(workspace / "older")
    with pytest.raises(DataError, match=r"became current while these raw files, which end on .* ingest them again"):
        ingest(older, **options)
    assert current_snapshot(snapshots) == newer.history.fingerprint


def test_an_ingest_that_overtook_another_is_compared_with_it_even_if_it_may_shrink(history, tmp_path):
    snapshots = str(tmp_path)
    base = save_snapshot(reduced(history, last=PAST_DAYS - 15), snapshots, NOW, "raw")
    assert not check_newer(history, base, snapshots)
    other = save_snapshot(reduced(history, last=PAST_DAYS - 7), snapshots, NOW, "raw")
    assert check_newer(history, base, snapshots)
    assert not check_newer(history, other, snapshots)
    assert not check_newer(reduced(history, last=PAST_DAYS - 7), base, snapshots), "both read the same files"


def test_as_of_an_earlier_day_is_no_loss_and_neither_is_the_whole_history_after_it(workspace):
    snapshots = Settings().workspace.snapshots
    before = current_snapshot(snapshots)
    assert ingest(as_of=ORIGIN - timedelta(days=20)) != before
    assert ingest() == before


def test_raw_files_with_the_content_of_a_damaged_snapshot_restore_it(workspace):
    snapshots = Settings().workspace.snapshots
    fingerprint = current_snapshot(snapshots)
    (workspace / "snapshots" / fingerprint / "days.parquet").write_bytes(b"damaged")
    with pytest.raises(DataError, match="snapshot is damaged"):
        ingest(half_of(raw_files()).write(workspace / "half"))
    assert ingest() == fingerprint
    assert load_snapshot(snapshots).fingerprint == fingerprint


def test_a_newest_day_that_is_set_aside_is_not_lost(workspace):
    files = raw_files()
    last = files.train["Date"] == files.train["Date"].max()
    row = files.train[last & (files.train["Sales"].astype(float) > 0)].index[0]
    files.train.loc[row, "Sales"] = -5
    ingest(files.write(workspace / "negative"))
    assert np.isnan(load_snapshot(Settings().workspace.snapshots).sales[:, -1]).sum() == 1
