"""Quantiles that follow the outcomes, and the file beside a snapshot that fixes them for the batch and the endpoint."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from flows.adaptation import adapt_quantiles
from rossmann import features, journal, models, registry
from rossmann.journal import OPERATIONAL, QUESTION, ForecastRows, JournalEntry
from rossmann.models import AdaptiveQuantiles, Quantiles
from rossmann.models.adaptive_quantiles import STEP, file_name
from rossmann.schema import DAY
from rossmann.settings import Settings
from tests.support import endpoint as at

FINGERPRINT = "f" * 16
MODEL = Quantiles((0.05, 0.5, 0.95), (-2.0, 0.0, 2.0), 0.9)
INTERVALS = Quantiles((0.025, 0.5, 0.975), (-2.5, 0.0, 2.5), 0.95)


def coverage(quantiles: Quantiles, errors: np.ndarray) -> float:
    lower, upper = quantiles.offsets[0], quantiles.offsets[-1]
    return float(((lower <= errors) & (errors <= upper)).mean())


def test_each_offset_moves_by_what_is_missing_of_its_level():
    """A quarter of the day's sales is below the first quantile, half below the second, all below the third."""
    errors = np.array([-3.0, -1.0, 1.0, 1.5])
    quantiles = models.follow_outcomes(MODEL, [errors])
    expected = [-2 + STEP / 0.1 * (0.05 - 0.25), 0, 2 + STEP / 0.1 * (0.95 - 1)]
    assert quantiles.offsets == pytest.approx(expected)
    assert (quantiles.levels, quantiles.coverage) == (MODEL.levels, MODEL.coverage)


def test_one_day_moves_no_quantile_by_more_than_half_a_standard_deviation():
    outer = Quantiles((0.001, 0.5, 0.999), (-3.1, 0.0, 3.1), 0.998)
    moved = np.array(models.follow_outcomes(outer, [np.full(9, -10.0)]).offsets) - outer.offsets
    assert -0.5 < moved.min() < -0.4


def test_without_outcomes_the_quantiles_stay():
    assert models.follow_outcomes(MODEL, []) == MODEL


@pytest.mark.parametrize("scale", [0.6, 1.5])
def test_the_coverage_of_a_year_is_nominal_although_the_errors_change(scale):
    """Days share a part of their errors. The quantiles of each week follow the outcomes up to it."""
    random = np.random.default_rng(8)
    quantiles = models.calibrate(np.ones(20_000), random.normal(0, 1, 20_000), coverage=0.9)
    shared = random.normal(0, 0.3, (365, 1))
    errors = scale * (shared + random.normal(0, 0.95, (365, 400)))
    static, current, shares = coverage(quantiles, errors), quantiles, []
    for week in np.split(errors[: 52 * 7], 52):
        shares.append(coverage(current, week))
        current = models.follow_outcomes(current, week)
    assert abs(static - 0.9) > 0.05
    assert np.mean(shares[8:]) == pytest.approx(0.9, abs=0.01)


def test_quantiles_that_followed_ascend_around_the_forecast():
    random = np.random.default_rng(9)
    quantiles = models.calibrate(np.ones(500), random.normal(0, 1, 500), coverage=0.9)
    after = models.follow_outcomes(quantiles, random.normal(5, 0.1, (300, 30)))
    assert np.all(np.diff(after.offsets) >= 0)
    assert after.offsets[0] <= 0 <= after.offsets[-1]
    assert after.offsets[5] > 4  # the median is where the sales are


def test_a_forecaster_has_the_quantiles_that_the_snapshot_has_for_it(toy, tmp_path):
    forecaster = models.fit(models.default_candidate("ridge"), (), toy.origin, 7).with_quantiles(MODEL)
    current = replace(MODEL, offsets=(-1.0, 0.1 + 0.2, 3.0))
    snapshots = str(tmp_path)
    assert models.adapt(forecaster, snapshots, FINGERPRINT).quantiles == MODEL
    AdaptiveQuantiles(MODEL, current, date(2015, 2, 9)).save(snapshots, FINGERPRINT)
    assert models.adapt(forecaster, snapshots, FINGERPRINT).quantiles == current
    assert models.adapt(forecaster, snapshots, "e" * 16).quantiles == MODEL
    assert (
        models.adapt(forecaster.with_interval_quantiles(INTERVALS), snapshots, FINGERPRINT).interval_quantiles
        == INTERVALS
    ), "the file has none"
    other = replace(MODEL, offsets=(-2.0, 0.0, 2.1))
    assert models.adapt(forecaster.with_quantiles(other), snapshots, FINGERPRINT).quantiles == other
    stored = models.load_adaptive_quantiles(snapshots, FINGERPRINT, MODEL)
    assert stored == AdaptiveQuantiles(MODEL, current, date(2015, 2, 9))


def test_the_interval_quantiles_of_a_snapshot_follow_the_outcomes_like_the_other_quantiles(toy, tmp_path):
    """In the file of a model that had none when the snapshot was made, the quantiles are the same to the last bit."""
    random, snapshots = np.random.default_rng(6), str(tmp_path)
    days, until = list(random.normal(1, 1, (20, 30))), date(2015, 2, 9)
    start = AdaptiveQuantiles(MODEL, MODEL, date(2015, 1, 1))
    after = replace(start, interval_quantiles=INTERVALS).after(iter(days), until)
    assert after.current == start.after(days, until).current == models.follow_outcomes(MODEL, days)
    assert after.interval_quantiles == models.follow_outcomes(INTERVALS, days) != INTERVALS
    after.save(snapshots, FINGERPRINT)
    assert models.load_adaptive_quantiles(snapshots, FINGERPRINT, MODEL) == after
    forecaster = (
        models.fit(models.default_candidate("ridge"), (), toy.origin, 7)
        .with_quantiles(MODEL)
        .with_interval_quantiles(INTERVALS)
    )
    assert models.adapt(forecaster, snapshots, FINGERPRINT).interval_quantiles == after.interval_quantiles


def test_a_damaged_file_leaves_the_quantiles_of_the_training(tmp_path, caplog):
    AdaptiveQuantiles(MODEL, MODEL, date(2015, 2, 9)).save(str(tmp_path), FINGERPRINT)
    file = tmp_path / FINGERPRINT / file_name(MODEL)
    file.write_bytes(file.read_bytes().replace(b"2.0", b"9.0", 1))
    assert models.load_adaptive_quantiles(str(tmp_path), FINGERPRINT, MODEL) is None
    assert "was changed" in caplog.text


def test_the_journal_has_the_errors_of_each_day_in_standard_deviations(toy, tmp_path):
    """Of two origins; not those of questions, of another version, of closed days and of days without sales."""
    url, origin = f"sqlite:///{tmp_path}/journal.db", toy.origin - 14 * DAY
    entries, expected = [], {}
    for number, (start, purpose, version) in enumerate(
        [(origin, OPERATIONAL, 1), (origin + 7, OPERATIONAL, 1), (origin, QUESTION, 1), (origin, OPERATIONAL, 2)]
    ):
        plan = toy.plan(start, 14)
        sales = np.where(plan.open == 1, 500.0 + number, 0.0)
        deviation = np.linspace(0.1, 0.2, len(plan))
        rows = ForecastRows(plan, models.Forecast(sales, sales, sales, deviation), MODEL)
        at = datetime(2015, 3, 1, tzinfo=UTC)
        entries.append(JournalEntry(f"r{number}", at, "batch", purpose, version, "f" * 16, start, 1.0, rows))
        if (purpose, version) == (OPERATIONAL, 1):
            actual = toy.take("sales", plan.store, plan.date)
            sold = (actual > 0) & (sales > 0)
            for day, error in zip(plan.date[sold], np.log(actual[sold] / sales[sold]) / deviation[sold], strict=True):
                expected.setdefault(day, []).append(error)
    journal.write_entries(url, entries)
    last = toy.origin
    days = list(journal.read_scaled_errors(url, 1, toy, origin.item(), last.item()))
    assert len(days) == len(expected) > 8
    for errors, day in zip(days, sorted(expected), strict=True):
        np.testing.assert_allclose(np.sort(errors), np.sort(expected[day]))
    assert len(list(journal.read_scaled_errors(url, 1, toy, (last - 1).item(), last.item()))) <= 1
    assert not list(journal.read_scaled_errors(url, 1, toy, last.item(), last.item()))


def test_each_snapshot_goes_on_from_the_quantiles_of_the_one_before(noisy, tmp_path, new_mlflow_database, monkeypatch):
    """Two weeks one after the other have the quantiles of both at once; the first is not read again."""
    new_mlflow_database(tmp_path)
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    settings, model_registry = Settings(), at.registry_of(tmp_path)
    weeks = [noisy.until(noisy.origin - days) for days in (14, 7, 0)]
    first = at.save_with_champion(tmp_path, weeks[0], "ridge")
    champion = registry.champion(model_registry)
    forecaster = registry.load_forecaster(model_registry, champion)
    plan = weeks[0].plan(weeks[0].origin, 14)
    forecast = forecaster.predict(features.fit_state(weeks[0]), plan)
    rows = ForecastRows(plan, forecast, forecaster.quantiles)
    at_noon = datetime(2015, 3, 1, 12, tzinfo=UTC)
    origin = weeks[0].origin
    entry = JournalEntry("r", at_noon, "batch", OPERATIONAL, champion.version, first, origin, 1.0, rows)
    journal.write_entries(settings.journal_address, [entry])

    adapt_quantiles.fn(settings, weeks[1], first)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.execute("delete from forecasts where date <= ?", (str(weeks[1].origin),))
        database.commit()
    adapt_quantiles.fn(settings, weeks[2], weeks[1].fingerprint)
    sales = noisy.take("sales", plan.store, plan.date)
    sold = (sales > 0) & (forecast.sales > 0)
    errors = np.log(sales[sold] / forecast.sales[sold]) / forecast.standard_deviation[sold]
    days = [errors[plan.date[sold] == day] for day in np.unique(plan.date[sold])]
    for week, count in ((weeks[1], np.sum(np.unique(plan.date[sold]) <= weeks[1].origin)), (weeks[2], len(days))):
        stored = models.load_adaptive_quantiles(settings.workspace.snapshots, week.fingerprint, forecaster.quantiles)
        assert stored.until == week.origin.item()
        expected = models.follow_outcomes(forecaster.quantiles, days[:count])
        assert stored.current.offsets == pytest.approx(expected.offsets)
        expected = models.follow_outcomes(forecaster.require_interval_quantiles(), days[:count])
        assert stored.interval_quantiles.offsets == pytest.approx(expected.offsets)
        assert stored.interval_quantiles.levels == models.interval_levels()

    corrected = replace(weeks[2], sales=np.where(weeks[2].sales > 0, weeks[2].sales + 1, weeks[2].sales))
    assert corrected.fingerprint != weeks[2].fingerprint
    adapt_quantiles.fn(settings, corrected, weeks[2].fingerprint)
    after = models.load_adaptive_quantiles(settings.workspace.snapshots, corrected.fingerprint, forecaster.quantiles)
    assert after == stored
