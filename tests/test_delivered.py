"""Delivered accuracy beside the expected one, against plain loops over the rows of the journal."""

from datetime import UTC, timedelta

import numpy as np
import pandas as pd
import pytest

from rossmann import journal, monitoring
from rossmann.journal import open_connection
from rossmann.monitoring import delivered
from rossmann.storage import Storage
from rossmann.training.files import load_backtest_run
from tests.support.operations import NOW, RUN_KEY, WEEKS, Operations, operations


@pytest.fixture(scope="module")
def ops(noisy, tmp_path_factory, new_mlflow_database) -> Operations:
    folder = tmp_path_factory.mktemp("delivered")
    new_mlflow_database(folder)
    return operations(folder, noisy)


@pytest.fixture(scope="module")
def rows(ops) -> pd.DataFrame:
    """Every operational forecast with sales, one row each, read without our queries."""
    text = """select f.store, f.date, f.forecast, f.lower, f.upper, f.lead_days, r.model_version, r.origin
              from forecasts f join requests r on r.id = f.request_id"""
    with open_connection(ops.settings.journal_address) as connection:
        table = pd.DataFrame(connection.exec_driver_sql(text).mappings().all())
    table["date"] = pd.to_datetime(table["date"])
    position = {number: k for k, number in enumerate(ops.history.stores.number.tolist())}
    first = pd.Timestamp(ops.history.dates[0])
    table["sales"] = [ops.history.sales[position[each.store], (each.date - first).days] for each in table.itertuples()]
    return table[table.sales > 0]


@pytest.fixture(scope="module")
def reference(ops) -> monitoring.BacktestReference:
    run = load_backtest_run(Storage(ops.settings.workspace.backtests), RUN_KEY)
    return monitoring.backtest_reference(run.backtest.of("ridge"), 2)


def window(ops: Operations) -> tuple:
    last = ops.history.origin.item()
    return last - timedelta(days=7 * WEEKS - 1), last


def wape(rows: pd.DataFrame) -> float:
    return (rows.forecast - rows.sales).abs().sum() / rows.sales.sum()


def test_weekly_scores_are_those_of_the_rows_of_each_week(ops, rows):
    sums = journal.sum_accuracy(ops.settings.journal_address, ("all",), *window(ops))
    table = delivered.weekly_scores(sums, ops.history.origin)
    weeks = {(version, week) for version, week in table.index if version}
    assert len(weeks) == 2 + 2 + 3, "version 1 forecasts three weeks from each of its two origins"
    for version, week in weeks:
        of_week = rows[(rows.model_version == version) & (rows.date <= week) & (rows.date > week - timedelta(days=7))]
        assert table.wape[version, week] == pytest.approx(wape(of_week))
        assert table["rows"][version, week] == len(of_week)
    assert table.loc[0].index.nunique() == WEEKS, "the median on the same days"


def test_scores_by_lead_week_and_by_store_are_those_of_their_rows(ops, rows, reference):
    version_rows = rows[rows.model_version == 2]
    sums = journal.sum_accuracy(ops.settings.journal_address, ("lead_week",), *window(ops))
    by_lead = delivered.lead_week_scores(sums, reference, 2)
    assert by_lead.index.tolist() == [1, 2, 3, 4], "the fourth week is only in the backtest"
    for week in (1, 2, 3):
        assert by_lead.wape[week] == pytest.approx(wape(version_rows[(version_rows.lead_days - 1) // 7 + 1 == week]))
    assert np.isnan(by_lead.wape[4])
    assert by_lead.expected_wape.notna().all()
    by_store = delivered.store_scores(
        journal.sum_store_accuracy(ops.settings.journal_address, 2, *window(ops)), reference
    )
    assert by_store.wape.is_monotonic_decreasing
    for store, score in by_store.wape.items():
        assert score == pytest.approx(wape(version_rows[version_rows.store == store]))


def test_every_group_of_stores_has_the_scores_of_its_rows(ops, rows, reference):
    sums = journal.sum_store_accuracy(ops.settings.journal_address, 2, *window(ops))
    table = delivered.group_scores(sums, reference, ops.history).set_index("group")
    stores, own = ops.history.stores, rows[rows.model_version == 2]
    for name in np.unique(stores.first_attribute):
        numbers = stores.number[stores.first_attribute == name]
        (group,) = (each for each in table.index if "type" in each and each.endswith(f" {name}"))
        assert table.wape[group] == pytest.approx(wape(own[own.store.isin(numbers)]))
        assert table.stores[group] == len(numbers)


def test_calibration_counts_the_sales_below_every_quantile_of_the_newest_forecast(ops):
    first, last = window(ops)
    batches = journal.read_newest_batches(ops.settings.journal_address, 2, first, last)
    newest = pd.concat([rows for rows, _ in batches])
    assert not newest.duplicated(["store", "date"]).any()
    table = delivered.calibration(batches, ops.history).set_index("level")
    hits = {level: [] for level in table.index}
    for rows, quantiles in batches:
        for row in delivered.with_sales(rows, ops.history).itertuples():
            if row.sales > 0 and row.forecast > 0:
                for level, offset in zip(quantiles.levels, quantiles.offsets, strict=True):
                    hits[level].append(row.sales <= row.forecast * np.exp(offset * row.standard_deviation))
    assert len(hits) >= 3
    for level, below in hits.items():
        assert table.share_below[level] == pytest.approx(np.mean(below))
        assert table["rows"][level] == len(below)


def test_hourly_traffic_counts_the_requests_of_each_hour_and_no_stored_batch(ops):
    end = NOW.astimezone(UTC).replace(tzinfo=None) + timedelta(minutes=30)
    table = journal.hourly_traffic(ops.settings.journal_address, end, 24)
    assert table.requests.tolist() == [1] * 6
    assert table["rows"].tolist() == [6, 5, 4, 3, 2, 1]
    assert table.p50_ms.tolist() == [10, 9, 8, 7, 6, 5]


def test_the_newest_request_and_the_newest_scored_day_say_what_the_journal_has(ops, tmp_path):
    url = ops.settings.journal_address
    assert journal.newest_request(url).id == f"{WEEKS - 1}-0"
    assert journal.newest_scored_day(url) == ops.history.origin.item()
    empty = f"sqlite:///{tmp_path}/empty.db"
    assert (journal.newest_request(empty), journal.newest_scored_day(empty)) == (None, None)
