"""Models, aliases and the ledger in a real MLflow: whatever is interrupted, the old champion stays."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from rossmann import evaluation, features, models, registry, training
from rossmann.evaluation import Verdict
from rossmann.registry import ModelCard, Registry
from rossmann.settings import code_version
from rossmann.storage import Storage
from rossmann.validation import DataError

pytestmark = pytest.mark.slow

YES = Verdict(True, ("beats median",), ())
NO = Verdict(False, ("does not beat champion",), ())
SNAPSHOT = "feedfacefeedface"


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Registry:
    home = tmp_path_factory.mktemp("registry")
    return Registry(f"sqlite:///{home}/mlflow.db", f"{home}/models")


@pytest.fixture(scope="module")
def candidates():
    return models.candidates(("ridge", "xgboost"))


@pytest.fixture(scope="module")
def race(noisy, candidates, tmp_path_factory):
    return training.race(
        noisy,
        [training.Entrant(candidate.name, candidate) for candidate in candidates],
        evaluation.fold_origins(noisy, 2, 48, 48),
        horizon_days=48,
        coverage=0.9,
        seed=7,
        ray_address=None,
        kept=Storage(str(tmp_path_factory.mktemp("kept"))),
        progress=lambda done, total, what: None,
    )


@pytest.fixture(scope="module")
def run(known, race, candidates):
    return registry.record(known, race, candidates, SNAPSHOT, "somewhere")


@pytest.fixture(scope="module")
def forecaster(noisy, race, candidates):
    ridge = next(candidate for candidate in candidates if candidate.name == "ridge")
    bounds = training.intervals(race.backtest, "ridge", 0.9)
    return models.fit(ridge, (), noisy.origin, 7).with_intervals(bounds)


def card(run: str, **changes) -> ModelCard:
    whole = ModelCard("ridge", SNAPSHOT, "2014-10-15", {"2014-08-28": 0.1}, 0.9, 7, code_version(), "environment", run)
    return replace(whole, **changes)


@pytest.fixture
def fresh(tmp_path, noisy, forecaster, race, candidates):
    """A registry of its own with two versions and no champion."""
    own = Registry(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/models")
    run = registry.record(own, race, candidates, SNAPSHOT, "somewhere")
    for number in (1, 2):
        assert registry.save(own, forecaster, card(run), f"race{number}") == number
    return own


def test_a_race_is_a_parent_run_with_a_child_per_candidate(known, run, race):
    client = known.client
    experiment = client.get_experiment_by_name(registry.TRAININGS).experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'")
    assert {child.info.run_name for child in children} == set(race.backtest.candidates)
    board = race.leaderboard()
    for child in children:
        assert child.data.metrics["rmspe"] == pytest.approx(board.rmspe[child.info.run_name])
        folds = [point.value for point in client.get_metric_history(child.info.run_id, "fold_rmspe")]
        assert folds == pytest.approx(list(race.rmspe_by_fold(child.info.run_name).values()))
        figures = {file.path for file in client.list_artifacts(child.info.run_id, "figures")}
        pictures = {"forecast_vs_actual.png", "error_by_lead_day.png"}
        learns = child.info.run_name == "xgboost"
        assert figures == {f"figures/{name}" for name in pictures | ({"importance.png"} if learns else set())}


def test_the_run_carries_its_snapshot_and_every_forecast_row(known, run, race, tmp_path):
    (used,) = known.client.get_run(run).inputs.dataset_inputs
    assert used.dataset.digest == SNAPSHOT
    files = Path(known.client.download_artifacts(run, "", str(tmp_path)))
    assert {"backtest.parquet", "leaderboard.csv", "environment.txt"} <= {file.name for file in files.iterdir()}


def test_the_same_race_is_recorded_once(known, run, race, candidates):
    assert registry.record(known, race, candidates, SNAPSHOT, "somewhere") == run


def test_a_loaded_model_forecasts_to_the_last_bit_as_before(known, run, forecaster, noisy):
    version = registry.save(known, forecaster, card(run), "race-a")
    assert registry.saved(known, "race-a") == version
    found = next(v for v in registry.versions(known) if v.version == version)
    assert found.card == card(run)
    state, plan = features.summarise(noisy), noisy.plan(noisy.origin, 48)
    before, after = forecaster.predict(state, plan), registry.load(known, found).predict(state, plan)
    for name in ("sales", "lower", "upper"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_nothing_in_a_stored_model_is_pickled(known, run, forecaster, tmp_path):
    version = registry.save(known, forecaster, card(run), "race-b")
    files = Path(known.client.download_artifacts(run, "model-race-b", str(tmp_path)))
    assert json.loads((files / "card.json").read_text())["snapshot"] == SNAPSHOT
    assert {file.suffix for file in files.rglob("*") if file.is_file()} <= {".json", ".npz", ".txt", ".ubj", ".png"}
    assert version in {v.version for v in registry.versions(known)}


def test_no_champion_says_what_to_type(fresh):
    with pytest.raises(DataError, match="rossmann release"):
        registry.champion(fresh)


def test_promotions_move_the_alias_and_rollbacks_undo_them_one_by_one(fresh):
    registry.promote(fresh, 1, YES)
    registry.promote(fresh, 2, YES)
    assert registry.champion(fresh).version == 2
    assert registry.rollback(fresh) == 1
    assert registry.champion(fresh).version == 1
    with pytest.raises(DataError, match="nothing to roll back to"):
        registry.rollback(fresh)
    told = [(entry.action, entry.version, entry.previous, entry.done) for entry in registry.ledger(fresh)]
    assert told == [("rollback", 1, 2, True), ("promote", 2, 1, True), ("promote", 1, None, True)]


def test_a_promotion_that_does_not_come_into_service_is_taken_back(fresh):
    registry.promote(fresh, 1, YES)
    registry.promote(fresh, 2, YES)
    registry.withdraw(fresh, 2, "other numbers")
    assert registry.champion(fresh).version == 1
    assert "other numbers" in registry.ledger(fresh)[0].reasons[0]
    registry.withdraw(fresh, 2, "again")  # of a retry: nothing is left to take back
    assert registry.champion(fresh).version == 1


def test_the_first_promotion_of_all_taken_back_leaves_no_champion(fresh):
    registry.promote(fresh, 1, YES)
    registry.withdraw(fresh, 1, "other numbers")
    assert registry.find(fresh, registry.CHAMPION) is None
    assert [entry.action for entry in registry.ledger(fresh)] == ["withdraw", "promote"]


def test_a_refusal_is_in_the_ledger_and_changes_nothing(fresh):
    registry.promote(fresh, 1, YES)
    registry.refuse(fresh, 2, NO)
    assert registry.champion(fresh).version == 1
    assert registry.ledger(fresh)[0].reasons == NO.reasons


def test_a_crash_before_the_alias_moves_leaves_the_old_champion(fresh, monkeypatch):
    registry.promote(fresh, 1, YES)
    with monkeypatch.context() as broken:
        broken.setattr(type(fresh.client), "set_registered_model_alias", crash)
        with pytest.raises(MlflowException):
            registry.promote(fresh, 2, YES)
    assert registry.champion(fresh).version == 1
    assert [entry.done for entry in registry.ledger(fresh)] == [False, True]
    registry.promote(fresh, 2, YES)  # the same command again
    assert registry.champion(fresh).version == 2
    assert registry.rollback(fresh) == 1


def crash(*_, **__):
    raise MlflowException("the network is gone")


def test_a_promotion_that_is_retried_is_entered_once(fresh, monkeypatch):
    """The alias has moved, the entry could not be closed: the second try closes it."""
    registry.promote(fresh, 1, YES)
    with monkeypatch.context() as broken:
        broken.setattr(type(fresh.client), "set_terminated", crash)
        with pytest.raises(MlflowException):
            registry.promote(fresh, 2, YES)
    registry.promote(fresh, 2, YES)
    told = [(entry.version, entry.previous, entry.done) for entry in registry.ledger(fresh)]
    assert told == [(2, 1, True), (1, None, True)]
    assert registry.rollback(fresh) == 1


def test_the_same_refusal_is_entered_once(fresh):
    registry.refuse(fresh, 2, NO)
    registry.refuse(fresh, 2, NO)
    assert len(registry.ledger(fresh)) == 1


def test_a_model_whose_files_are_gone_is_not_taken_for_saved(fresh):
    assert registry.saved(fresh, "race2") == 2
    shutil.rmtree(registry.versions(fresh)[0].source)
    assert registry.saved(fresh, "race2") is None
    with pytest.raises(DataError, match=r"version 2 cannot be read.*rollback"):
        registry.load(fresh, registry.versions(fresh)[0])


def test_a_recording_that_was_killed_is_marked_and_made_again(fresh, race, candidates):
    experiment = fresh.experiment(registry.TRAININGS)
    (done,) = fresh.client.search_runs([experiment], f"tags.race = '{race.key}'")
    fresh.client.update_run(done.info.run_id, "RUNNING")
    again = registry.record(fresh, race, candidates, SNAPSHOT, "somewhere")
    assert again != done.info.run_id
    assert fresh.client.get_run(done.info.run_id).info.status == "KILLED"


def test_days_behind_are_counted_from_the_last_day_learnt(fresh):
    newer, older = registry.versions(fresh)
    newer = replace(newer, card=replace(newer.card, origin="2014-11-14"))
    assert older.days_behind(newer) == 30
    assert newer.days_behind(older) == 0


def test_a_model_made_by_other_code_does_not_forecast(known, run, forecaster):
    version = registry.save(known, forecaster, card(run, code_version="0123456789abcdef"), "race-c")
    found = next(v for v in registry.versions(known) if v.version == version)
    with pytest.raises(DataError, match=r"made by other code \(0123456789abcdef"):
        registry.load(known, found)
    assert registry.recipe(known, found).name == "ridge"
