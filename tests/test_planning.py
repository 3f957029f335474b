"""Overrides stand beside the forecasts, are refused with a reason, and are compared with sales later."""

import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from flows.cli.main import main
from rossmann import journal
from rossmann.data import Plan, save_snapshot
from rossmann.journal import OPERATIONAL, ForecastRows, JournalEntry
from rossmann.models import Forecast
from rossmann.planning.overrides import (
    Signature,
    days_in_force,
    open_days,
    override_rows,
    overrides_in_force,
    with_overrides,
    withdrawal_rows,
)
from rossmann.planning.value_added import scored_overrides, value_added
from rossmann.settings import Settings
from rossmann.validation import DataError
from tests.support.chains import chain_history

NOW = datetime(2015, 2, 10, 12, tzinfo=UTC)
HORIZON = 48


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/journal.db"


def signed(minutes: int = 0, planner: str = "Ana", reason: str = "road works") -> Signature:
    return Signature(planner, reason, NOW + timedelta(minutes=minutes))


def record_forecasts(url: str, history, sales: float = 1000.0, version: int = 3) -> pd.DataFrame:
    """A forecast of the same sales for every open day of the plan, in the journal; as the journal reads it."""
    plan: Plan = history.plan(history.origin, HORIZON)
    values = np.where(plan.open == 1, sales, 0.0)
    answer = ForecastRows(plan, Forecast(values, values * 0.8, values * 1.2, np.full(len(plan), 0.1)), None)
    entry = JournalEntry(f"v{version}", NOW, "batch", OPERATIONAL, version, "f" * 16, history.origin, 1.0, answer)
    journal.write_entries(url, [entry])
    return newest(url, history)


def days_of(history) -> tuple[date, date]:
    return (history.origin + 1).item(), (history.origin + HORIZON).item()


def newest(url: str, history) -> pd.DataFrame:
    return journal.read_newest_forecasts(url, *days_of(history))


def amounts(history, *rows: tuple[object, int, float]) -> pd.DataFrame:
    """Rows of store, days after the origin, and amount."""
    store, lead, amount = zip(*rows, strict=True)
    dates = (history.origin + np.array(lead)).astype("datetime64[s]")
    return pd.DataFrame({"store": store, "date": dates, "amount": amount})


def test_an_override_stands_beside_the_forecast_and_changes_nothing_in_the_journal(url, toy):
    forecasts = record_forecasts(url, toy)
    rows = override_rows(toy, forecasts, amounts(toy, (1, 2, 800.0), ("3", 2, 0.0)), signed())
    journal.add_overrides(url, rows)
    pd.testing.assert_frame_equal(newest(url, toy), forecasts)
    stored = journal.read_overrides(url, *days_of(toy))
    assert stored.drop(columns="id").to_dict("records") == [
        {
            "store": store, "label": None, "date": pd.Timestamp(toy.origin + 2), "forecast": 1000.0,
            "model_version": 3, "origin": pd.Timestamp(toy.origin), "amount": amount, "reason": "road works",
            "planner": "Ana", "at": pd.Timestamp(NOW.replace(tzinfo=None)),
        }
        for store, amount in ((1, 800.0), (3, 0.0))
    ]  # fmt: skip
    table = with_overrides(forecasts, stored).set_index(["store", "date"])
    assert table.override.notna().sum() == 2
    assert table.loc[(1, pd.Timestamp(toy.origin + 2)), ["forecast", "override", "final"]].tolist() == [1000, 800, 800]
    assert table.loc[(3, pd.Timestamp(toy.origin + 2)), "final"] == 0, "an override of 0 is an override"
    assert (table.final[table.override.isna()] == table.forecast[table.override.isna()]).all()


def test_the_newest_forecasts_of_one_store_are_those_of_all_stores_that_are_its_own(url, toy):
    record_forecasts(url, toy.until(toy.origin - 7), sales=900.0, version=2)
    both = record_forecasts(url, toy)
    of_store = journal.read_newest_forecasts(url, *days_of(toy), stores=[2])
    assert of_store.forecast.max() == 1000.0
    pd.testing.assert_frame_equal(of_store, both[both.store == 2].reset_index(drop=True))


def test_without_a_journal_there_are_no_overrides_and_none_is_created(url, toy, tmp_path):
    assert journal.read_overrides(url, *days_of(toy)).empty
    assert list(tmp_path.iterdir()) == []


def test_a_correction_and_a_withdrawal_are_new_rows_and_the_last_one_counts(url, toy):
    forecasts, day = record_forecasts(url, toy), amounts(toy, (1, 2, 800.0))
    for minutes, amount in enumerate((800.0, 900.0)):
        journal.add_overrides(url, override_rows(toy, forecasts, day.assign(amount=amount), signed(minutes)))
    both = journal.read_overrides(url, *days_of(toy), stores=[1])
    assert overrides_in_force(both).amount.tolist() == [900.0]
    journal.add_overrides(url, withdrawal_rows(toy, both, day, signed(3, "Ben", "the works are put off")))
    all_rows = journal.read_overrides(url, *days_of(toy))
    assert all_rows.amount.isna().tolist() == [False, False, True]
    assert all_rows.planner.tolist() == ["Ana", "Ana", "Ben"]
    assert with_overrides(forecasts, all_rows).override.isna().all()
    with pytest.raises(DataError, match="store 1 has no override on 2015-02-11 that could be withdrawn"):
        withdrawal_rows(toy, all_rows, day, signed())
    with pytest.raises(DataError, match="store 99 has no history; there are"):
        days_in_force(toy, all_rows, 99, date(2015, 2, 11), date(2015, 2, 11))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((9, 2, 800.0), "the store has no history"),
        (("abc", 2, 800.0), "the store has no history"),
        ((1, 0, 800.0), "sales of the day are known already"),
        ((1, 49, 800.0), "more than 48 days after 2015-02-09"),
        ((1, 6, 800.0), "the store is closed on this day"),
        ((1, 2, -1.0), "the amount is negative, or no number"),
        ((1, 2, np.nan), "the amount is negative, or no number"),
        ((1, 2, np.inf), "the amount is negative, or no number"),
    ],
)
def test_an_impossible_override_is_refused_with_the_reason(url, toy, row, message):
    with pytest.raises(DataError) as error:
        override_rows(toy, record_forecasts(url, toy), amounts(toy, row), signed())
    assert message in str(error.value)
    assert str(error.value).count("→") == 1, "one mistake is one finding"


def test_a_day_without_a_forecast_and_a_repeated_day_are_refused(url, toy):
    forecasts = record_forecasts(url, toy)
    with pytest.raises(DataError, match="the journal has no forecast of the day"):
        override_rows(toy, forecasts.iloc[:0], amounts(toy, (1, 2, 800.0)), signed())
    with pytest.raises(DataError, match="more than one row for the same store and day"):
        override_rows(toy, forecasts, amounts(toy, (1, 2, 800.0), (1, 2, 900.0)), signed())


@pytest.mark.parametrize(("planner", "reason", "message"), [(" ", "x", "no planner"), ("Ana", "\n", "no reason")])
def test_an_override_without_a_planner_or_a_reason_is_refused(planner, reason, message):
    with pytest.raises(DataError, match=message):
        Signature(planner, reason, NOW)


def test_a_range_of_days_leaves_out_those_on_which_the_store_is_closed(toy):
    first = (toy.origin + 1).item()  # a Tuesday; the toy chain is closed on Sundays
    assert len(open_days(toy, 1, first, first + timedelta(days=6))) == 6
    closed = replace(toy, calendar=replace(toy.calendar, open=np.zeros_like(toy.calendar.open)))
    with pytest.raises(DataError, match="store 1 is closed on all days"):
        open_days(closed, 1, first, first + timedelta(days=6))


def test_stores_of_a_chain_are_known_by_their_labels(url):
    history = chain_history(100, 2)
    history = replace(history, stores=replace(history.stores, label=np.array(["Cuenca", "Quito"])))
    forecasts = record_forecasts(url, history)
    journal.add_overrides(url, override_rows(history, forecasts, amounts(history, ("Quito", 2, 5.0)), signed()))
    assert journal.read_overrides(url, *days_of(history))[["store", "label", "amount"]].values.tolist() == [
        [2, "Quito", 5.0]
    ]
    with pytest.raises(DataError, match="store Lima, date"):
        override_rows(history, forecasts, amounts(history, ("Lima", 2, 5.0)), signed())


def test_old_overrides_are_pruned_when_their_day_is_over_too(url, toy):
    journal.add_overrides(url, override_rows(toy, record_forecasts(url, toy), amounts(toy, (1, 2, 8.0)), signed()))
    day_over = datetime(2015, 2, 12, tzinfo=UTC)
    assert journal.count_old_overrides(url, NOW + timedelta(hours=1)) == 0, "its day is still to come"
    assert journal.count_old_overrides(url, day_over) == 1
    assert journal.prune_overrides(url, day_over) == 1
    assert journal.read_overrides(url, *days_of(toy)).empty


def slow_value_added(rows: list[dict], sales: dict) -> dict[tuple[str, str, str], dict]:
    """An independent slow version: one row at a time, every group by comparing its values."""
    groups: dict[tuple[str, str, str], list] = {}
    for row in rows:
        sold = sales[row["store"], row["date"]]
        if np.isnan(sold):
            continue
        change = (row["amount"] - row["forecast"]) / row["forecast"]
        direction = "up" if change > 0 else "down" if change < 0 else "equal"
        size = "below 5 %" if abs(change) < 0.05 else "5 to 15 %" if abs(change) < 0.15 else "above 15 %"
        errors = abs(row["forecast"] - sold), abs(row["amount"] - sold), sold, (row["planner"], row["at"])
        planner = row["planner"]
        for key in (
            ("all", "all", "all"), (planner, "all", "all"), ("all", direction, "all"), ("all", "all", size),
            ("all", direction, size), (planner, direction, size),
        ):  # fmt: skip
            groups.setdefault(key, []).append(errors)
    return {
        key: {
            "days": len(errors),
            "decisions": len({decision for *_, decision in errors}),
            "mae_forecast": sum(each[0] for each in errors) / len(errors),
            "mae_override": sum(each[1] for each in errors) / len(errors),
            "wape_forecast": sum(each[0] for each in errors) / sum(each[2] for each in errors),
            "wape_override": sum(each[1] for each in errors) / sum(each[2] for each in errors),
            "closer": sum(each[0] - each[1] for each in errors),
            "days_closer": sum(each[1] < each[0] for each in errors),
        }
        for key, errors in groups.items()
    }


def test_value_added_is_what_a_slow_loop_computes(noisy):
    random = np.random.default_rng(3)
    past = noisy.dates[-90:]
    pairs = [(store, day) for store in noisy.stores.number.tolist() for day in past.tolist()]
    at, changes = pd.Timestamp(NOW.replace(tzinfo=None)), [0.5, 0.9, 0.97, 1, 1.02, 1.1, 1.4]
    rows = []
    for k, position in enumerate(random.choice(len(pairs), 300, replace=False)):
        (store, day), forecast = pairs[position], random.uniform(2000, 9000)
        row = {"store": store, "date": pd.Timestamp(day), "planner": ("Ana", "Ben", "Cleo")[k % 3]}
        amount = forecast * random.choice(changes)
        rows.append(row | {"forecast": forecast, "amount": amount, "at": at + pd.Timedelta(k // 9, "h")})
    frame = pd.DataFrame(rows)
    store_days = frame.store.to_numpy(), frame.date.to_numpy()
    keys = zip(frame.store, frame.date, strict=True)
    truth = slow_value_added(rows, dict(zip(keys, noisy.take("sales", *store_days), strict=True)))
    table = value_added(scored_overrides(frame, noisy)).set_index(["planner", "direction", "size"])
    assert set(table.index) == set(truth)
    of_all = table.loc["all"].index
    assert [size for direction, size in of_all if direction == "up"][1:] == ["below 5 %", "5 to 15 %", "above 15 %"]
    for key, expected in truth.items():
        for name, value in expected.items():
            assert table.loc[key, name] == pytest.approx(value), (key, name)


def overrides_of(history, factor: float, decisions: int) -> pd.DataFrame:
    """Overrides of the last days of store 1, one decision each, that are `factor` times sales; forecasts 20 % above."""
    dates = [day for day in history.dates[-60:] if history.take("sales", np.array([1]), np.array([day]))[0] > 0]
    sales = history.take("sales", np.ones(decisions, int), np.array(dates[:decisions]))
    at = pd.Timestamp(2015, 1, 1) + pd.to_timedelta(np.arange(decisions), "h")
    amounts = {"forecast": sales * 1.2, "amount": sales * factor}
    return pd.DataFrame({"store": 1, "date": dates[:decisions], "planner": "Ana", "at": at, **amounts})


def test_few_decisions_have_no_probability_and_many_clear_ones_have_a_large_one(toy):
    few, good, bad = (
        value_added(scored_overrides(overrides_of(toy, *each), toy)).iloc[0]
        for each in ((1.0, 4), (1.0, 25), (1.6, 25))
    )
    assert np.isnan(few.p_closer)
    assert few.note == "too few to tell from chance"
    assert (good.p_closer, bad.p_closer) == (1.0, 0.0)
    assert good.note == ""
    assert good.closer > 0 > bad.closer
    assert value_added(scored_overrides(overrides_of(toy, 1.0, 4).iloc[:0], toy)).empty


def command(monkeypatch, capsys, *words: str) -> str:
    """What `rossmann overrides` prints to stdout."""
    monkeypatch.setattr(sys, "argv", ["rossmann", "overrides", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    assert not end.value.code, shown.err
    return shown.out


def test_the_commands_add_list_and_withdraw_and_say_what_overrides_were_worth(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    past = toy.until(toy.origin - 7)
    settings = Settings()
    save_snapshot(past, settings.workspace.snapshots, NOW, "test")
    forecasts = record_forecasts(settings.journal_address, past)
    assert "no override yet" in command(monkeypatch, capsys)
    first, last = str(past.origin + 1), str(past.origin + 7)
    signature = ("--because", "fair", "--by", "Ana")
    shown = command(
        monkeypatch, capsys, "add", "--store", "1", "--date", first, "--until", last, "--factor", "1.1", *signature
    )
    assert "6 days: 6,600.00 beside the forecast of 6,000.00" in shown, "Sunday is closed"
    command(monkeypatch, capsys, "withdraw", "--store", "1", "--date", first, *signature)
    listed = json.loads(command(monkeypatch, capsys, "--json"))
    assert [each["override"] for each in listed] == [pytest.approx(1100.0)] * 6 + [None]
    assert "no day with an override is over yet" in command(monkeypatch, capsys, "value-added")
    save_snapshot(toy, settings.workspace.snapshots, NOW + timedelta(days=7), "test")
    everything, *_ = json.loads(command(monkeypatch, capsys, "value-added", "--json"))
    sales = toy.take("sales", np.ones(6, int), past.origin + np.array([2, 3, 4, 5, 7, 7]))[:5]
    assert everything["days"] == 5
    assert everything["mae_forecast"] == pytest.approx(np.abs(sales - 1000).mean())
    assert everything["mae_override"] == pytest.approx(np.abs(sales - 1100).mean())
    assert everything["p_closer"] is None
    pd.testing.assert_frame_equal(newest(settings.journal_address, past), forecasts)
