"""Models, aliases and the ledger in a real MLflow: after any interruption the old champion still serves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from rossmann import evaluation, features, models, registry, training
from rossmann.evaluation import Verdict
from rossmann.provenance import code_version
from rossmann.registry import ModelCard, Registry, records
from rossmann.storage import Storage
from rossmann.validation import DataError

pytestmark = pytest.mark.slow

YES = Verdict(True, ("beats median",), ())
NO = Verdict(False, ("does not beat champion",), ())
SNAPSHOT = "feedfacefeedface"


@pytest.fixture(scope="module")
def connection(tmp_path_factory, new_mlflow_database) -> Registry:
    home = tmp_path_factory.mktemp("registry")
    new_mlflow_database(home)
    return Registry(f"sqlite:///{home}/mlflow.db", f"{home}/models")


@pytest.fixture(scope="module")
def candidates():
    return models.candidates(("ridge", "xgboost"))


@pytest.fixture(scope="module")
def backtest_run(noisy, candidates, local_ray, tmp_path_factory):
    return training.run_backtests(
        noisy,
        [training.BacktestEntry(candidate.name, candidate) for candidate in candidates],
        evaluation.fold_origins(noisy, 2, 48, 48),
        horizon_days=48,
        coverage=0.9,
        seed=7,
        ray_address=None,
        storage=Storage(str(tmp_path_factory.mktemp("backtests"))),
        progress=lambda done, total, what: None,
    )


@pytest.fixture(scope="module")
def run_id(connection, backtest_run, candidates):
    return registry.record_backtests(connection, backtest_run, candidates, SNAPSHOT, "somewhere")


@pytest.fixture(scope="module")
def forecaster(noisy, backtest_run, candidates):
    ridge = next(candidate for candidate in candidates if candidate.name == "ridge")
    quantiles = training.backtest_quantiles(backtest_run.backtest, "ridge", 0.9)
    return models.fit(ridge, (), noisy.origin, 7).with_quantiles(quantiles)


def card(run_id: str, **changes) -> ModelCard:
    default = ModelCard(
        "ridge", SNAPSHOT, "2014-10-15", {"2014-08-28": 0.1}, 0.9, 7, code_version(), "environment", run_id
    )
    return replace(default, **changes)


@pytest.fixture
def new_connection(tmp_path, forecaster, new_mlflow_database):
    """A registry of its own with two versions and no champion."""
    new_mlflow_database(tmp_path)
    new_registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/models")
    run_id = new_registry.client.create_run(new_registry.experiment(registry.BACKTESTS)).info.run_id
    for number in (1, 2):
        assert registry.register_model(new_registry, forecaster, card(run_id), f"run{number}") == number
    return new_registry


def test_a_backtest_run_is_a_parent_run_with_a_child_per_candidate(connection, run_id, backtest_run):
    client = connection.client
    experiment = client.get_experiment_by_name(registry.BACKTESTS).experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert {child.info.run_name for child in children} == set(backtest_run.backtest.candidates)
    board = backtest_run.leaderboard()
    for child in children:
        for score in ("rmspe", "wql"):
            assert child.data.metrics[score] == pytest.approx(board[score][child.info.run_name])
        folds = [point.value for point in client.get_metric_history(child.info.run_id, "fold_rmspe")]
        assert folds == pytest.approx(list(backtest_run.rmspe_by_fold(child.info.run_name).values()))
        figures = {file.path for file in client.list_artifacts(child.info.run_id, "figures")}
        pictures = {"forecast_vs_actual.png", "error_by_lead_day.png"}
        is_booster = child.info.run_name == "xgboost"
        assert figures == {f"figures/{name}" for name in pictures | ({"importance.png"} if is_booster else set())}


def test_the_parent_run_shows_the_scores_of_the_best_candidate_and_what_it_is(connection, run_id, backtest_run):
    client, best = connection.client, backtest_run.backtest.best()
    parent = client.get_run(run_id)
    assert parent.data.metrics["rmspe_capped"] == pytest.approx(backtest_run.leaderboard().rmspe_capped[best])
    assert parent.data.tags["best"] == best
    assert f"Best: **{best}**" in parent.data.tags["mlflow.note.content"]


def test_the_list_of_trainings_is_a_view_with_the_scores(connection, run_id):
    experiment = connection.client.get_experiment_by_name(registry.BACKTESTS)
    address = registry.run_pages(connection, run_id)["all trainings"]
    assert address.startswith(f"/#/experiments/{experiment.experiment_id}/runs?")
    view = experiment.tags[f"mlflow.sharedViewState.{address.rpartition('=')[2]}"]
    assert json.loads(view)["selectedColumns"][:2] == ["metrics.`rmspe_capped`", "metrics.`bias`"]


def test_the_report_of_a_run_is_replaced(connection, run_id, tmp_path):
    for page in (b"not judged", b"promoted"):
        registry.log_report(connection, run_id, page)
    file = connection.client.download_artifacts(run_id, registry.REPORT_FILE, str(tmp_path))
    assert Path(file).read_bytes() == b"promoted"


def test_a_recorded_run_has_its_snapshot_and_every_forecast_row(connection, run_id, backtest_run, tmp_path):
    (dataset,) = connection.client.get_run(run_id).inputs.dataset_inputs
    assert dataset.dataset.digest == SNAPSHOT
    files = Path(connection.client.download_artifacts(run_id, "", str(tmp_path)))
    assert {"backtest.parquet", "leaderboard.csv", "environment.txt"} <= {file.name for file in files.iterdir()}


def test_the_same_backtest_run_is_recorded_once(connection, run_id, backtest_run, candidates):
    assert registry.record_backtests(connection, backtest_run, candidates, SNAPSHOT, "somewhere") == run_id


def test_a_loaded_model_forecasts_to_the_last_bit_as_before(connection, run_id, forecaster, noisy):
    version = registry.register_model(connection, forecaster, card(run_id), "run-a")
    assert registry.find_registered(connection, "run-a", "ridge") == version
    registered = next(v for v in registry.list_models(connection) if v.version == version)
    assert replace(registered.card, files={}) == card(run_id)
    state, plan = features.fit_state(noisy), noisy.plan(noisy.origin, 48)
    before, after = (
        forecaster.predict(state, plan),
        registry.load_forecaster(connection, registered).predict(state, plan),
    )
    for name in ("sales", "lower", "upper"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_nothing_in_a_stored_model_is_pickled(connection, run_id, forecaster, tmp_path):
    version = registry.register_model(connection, forecaster, card(run_id), "run-b")
    (registered,) = (model for model in registry.list_models(connection) if model.version == version)
    name = registered.source.rsplit("/", 1)[-1]
    files = Path(connection.client.download_artifacts(run_id, name, str(tmp_path)))
    assert json.loads((files / "card.json").read_text())["snapshot"] == SNAPSHOT
    assert {file.suffix for file in files.rglob("*") if file.is_file()} <= {".json", ".npz", ".txt", ".ubj", ".png"}


def test_without_a_champion_the_error_names_the_command(new_connection):
    with pytest.raises(DataError, match="rossmann release"):
        registry.champion(new_connection)


def test_promotions_move_the_alias_and_rollbacks_undo_them_one_by_one(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    assert registry.champion(new_connection).version == 2
    assert registry.rollback(new_connection) == 1
    assert registry.champion(new_connection).version == 1
    with pytest.raises(DataError, match="nothing to roll back to"):
        registry.rollback(new_connection)
    entries = [(entry.action, entry.version, entry.previous, entry.done) for entry in registry.ledger(new_connection)]
    assert entries == [("rollback", 1, 2, True), ("promote", 2, 1, True), ("promote", 1, None, True)]


def test_a_challenger_that_was_compared_with_another_champion_is_not_promoted(new_connection, forecaster):
    registry.promote(new_connection, 1, YES, None)
    other = registry.register_model(
        new_connection, forecaster, card(registry.champion(new_connection).card.run_id), "3"
    )
    registry.promote(new_connection, other, YES, 1)
    with pytest.raises(
        DataError, match=f"version {other} became champion while version 2 was compared with 1: release"
    ):
        registry.promote(new_connection, 2, YES, 1)
    with pytest.raises(DataError, match="version 3 became champion while version 2 was compared with the median"):
        registry.promote(new_connection, 2, YES, None)
    assert registry.champion(new_connection).version == other
    assert [entry.version for entry in registry.ledger(new_connection)] == [other, 1]


def test_a_version_promoted_twice_has_one_entry_and_a_rollback_finds_the_champion_before(new_connection):
    """Two releases of one challenger that were decided at the same time."""
    registry.promote(new_connection, 1, YES, None)
    for _ in range(2):
        registry.promote(new_connection, 2, YES, 1)
    assert [(entry.version, entry.previous) for entry in registry.ledger(new_connection)] == [(2, 1), (1, None)]
    assert registry.rollback(new_connection) == 1


def test_a_rollback_of_a_ledger_with_a_version_before_itself_reaches_another_version(new_connection):
    """Earlier releases wrote such entries."""
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    tags = {"action": "promote", "version": "2", "previous": "2", "reasons": "[]"}
    run = new_connection.client.create_run(new_connection.experiment(registry.LEDGER), tags=tags)
    new_connection.client.set_terminated(run.info.run_id)
    assert registry.rollback(new_connection) == 1


def test_a_version_that_was_rolled_back_is_vetoed_until_a_person_promotes_it(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    assert registry.find_veto(new_connection, 2) is None
    registry.rollback(new_connection, "sells too little")
    assert registry.find_veto(new_connection, 1) is None
    with pytest.raises(DataError, match=r"version 2 was taken back .*sells too little.*promote 2 --because"):
        registry.promote(new_connection, 2, YES, 1)
    assert registry.champion(new_connection).version == 1
    registry.override(new_connection, 2, "the data were wrong")
    assert registry.champion(new_connection).version == 2
    assert registry.find_veto(new_connection, 2) is None
    newest = registry.ledger(new_connection)[0]
    assert (newest.action, newest.version, newest.previous) == ("override", 2, 1)
    assert newest.reasons == ("the data were wrong",)
    assert registry.rollback(new_connection) == 1


def test_a_first_champion_that_was_withdrawn_is_vetoed(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.withdraw(new_connection, 1, "other numbers")
    with pytest.raises(DataError, match="other numbers"):
        registry.promote(new_connection, 1, YES, None)


def test_a_rollback_does_not_reach_a_vetoed_version(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    registry.override(new_connection, 1, "1 is better")
    registry.override(new_connection, 2, "no, 2 is")
    assert registry.rollback(new_connection) == 1
    with pytest.raises(DataError, match="without a veto"):
        registry.rollback(new_connection)
    assert registry.champion(new_connection).version == 1


def test_a_rollback_onto_a_version_that_cannot_forecast_is_refused(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    first = registry.find_version(new_connection, 1)
    candidate = Path(first.source.removeprefix("file://"), "candidate.json")
    candidate.write_text(candidate.read_text() + " ")
    with pytest.raises(DataError, match=r"candidate\.json of model version 1 was changed"):
        registry.rollback(new_connection)
    assert registry.champion(new_connection).version == 2
    assert registry.find_veto(new_connection, 2) is None
    registry.withdraw(new_connection, 2, "other numbers")
    assert registry.find_champion(new_connection) is None


def test_a_promotion_by_hand_that_is_killed_before_the_alias_moves_ends_no_veto(new_connection, monkeypatch):
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    registry.rollback(new_connection)
    with monkeypatch.context() as broken:
        broken.setattr(type(new_connection.client), "set_registered_model_alias", crash)
        with pytest.raises(MlflowException):
            registry.override(new_connection, 2, "the data were wrong")
    assert registry.find_veto(new_connection, 2) is not None
    assert registry.override(new_connection, 2, "the data were wrong")
    assert registry.find_veto(new_connection, 2) is None
    assert not registry.override(new_connection, 2, "again")


def test_an_interrupted_rollback_is_completed_and_not_followed_by_another(new_connection, monkeypatch):
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    with monkeypatch.context() as broken:
        broken.setattr(type(new_connection.client), "set_terminated", crash)
        with pytest.raises(MlflowException):
            registry.rollback(new_connection)
    assert registry.rollback(new_connection) == 1
    assert [entry.done for entry in registry.ledger(new_connection)] == [True] * 3


def test_an_open_entry_of_an_earlier_attempt_is_not_used_for_a_later_promotion(new_connection, monkeypatch):
    """Promotion of 2 fails; 1 is champion meanwhile; then 2 again: its entry names the champion of that moment."""
    with monkeypatch.context() as broken:
        broken.setattr(type(new_connection.client), "set_registered_model_alias", crash)
        with pytest.raises(MlflowException):
            registry.promote(new_connection, 2, YES, None)
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    entries = [(entry.version, entry.previous, entry.done) for entry in registry.ledger(new_connection)]
    assert entries == [(2, 1, True), (1, None, True), (2, None, False)]
    assert registry.rollback(new_connection) == 1


def test_a_promotion_that_could_not_be_deployed_is_taken_back(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    registry.withdraw(new_connection, 2, "other numbers")
    assert registry.champion(new_connection).version == 1
    assert "other numbers" in registry.ledger(new_connection)[0].reasons[0]
    registry.withdraw(new_connection, 2, "again")  # a retry: there is nothing left to take back
    assert registry.champion(new_connection).version == 1


def test_a_promotion_is_pending_until_the_endpoint_is_switched_or_another_decision_follows(new_connection):
    registry.promote(new_connection, 1, YES, None)
    assert not registry.is_deployment_pending(new_connection, 1), "there is no endpoint"
    registry.promote(new_connection, 2, YES, 1, awaits_endpoint=True)
    registry.record_refusal(new_connection, 1, NO)
    assert [registry.is_deployment_pending(new_connection, version) for version in (1, 2)] == [False, True]
    registry.confirm_deployment(new_connection, 2)
    assert not registry.is_deployment_pending(new_connection, 2)
    registry.rollback(new_connection)
    registry.override(new_connection, 2, "it is better", awaits_endpoint=True)
    assert registry.is_deployment_pending(new_connection, 2)
    registry.rollback(new_connection)
    assert not registry.is_deployment_pending(new_connection, 2)


def test_the_first_promotion_of_all_taken_back_leaves_no_champion(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.withdraw(new_connection, 1, "other numbers")
    assert registry.find_champion(new_connection) is None
    assert [entry.action for entry in registry.ledger(new_connection)] == ["withdraw", "promote"]


def test_a_refusal_is_in_the_ledger_and_changes_nothing(new_connection):
    registry.promote(new_connection, 1, YES, None)
    registry.record_refusal(new_connection, 2, NO)
    assert registry.champion(new_connection).version == 1
    assert registry.ledger(new_connection)[0].reasons == NO.reasons


def test_a_crash_before_the_alias_moves_leaves_the_old_champion(new_connection, monkeypatch):
    registry.promote(new_connection, 1, YES, None)
    with monkeypatch.context() as broken:
        broken.setattr(type(new_connection.client), "set_registered_model_alias", crash)
        with pytest.raises(MlflowException):
            registry.promote(new_connection, 2, YES, 1)
    assert registry.champion(new_connection).version == 1
    assert [entry.done for entry in registry.ledger(new_connection)] == [False, True]
    registry.promote(new_connection, 2, YES, 1)  # the same command again
    assert registry.champion(new_connection).version == 2
    assert registry.rollback(new_connection) == 1


def crash(*_, **__):
    raise MlflowException("the network is gone")


def test_a_promotion_that_is_retried_has_one_entry(new_connection, monkeypatch):
    """The alias has moved and the entry could not be closed: the second attempt closes it."""
    registry.promote(new_connection, 1, YES, None)
    with monkeypatch.context() as broken:
        broken.setattr(type(new_connection.client), "set_terminated", crash)
        with pytest.raises(MlflowException):
            registry.promote(new_connection, 2, YES, 1)
    registry.promote(new_connection, 2, YES, 1)
    entries = [(entry.version, entry.previous, entry.done) for entry in registry.ledger(new_connection)]
    assert entries == [(2, 1, True), (1, None, True)]
    assert registry.rollback(new_connection) == 1


def test_the_same_refusal_has_one_entry(new_connection):
    """Also if another version was refused in between: a veto refuses with the same words at each call."""
    for version in (2, 1, 2, 2):
        registry.record_refusal(new_connection, version, NO)
    assert [entry.version for entry in registry.ledger(new_connection)] == [1, 2]


def test_a_model_whose_files_are_gone_does_not_count_as_registered(new_connection):
    assert registry.find_registered(new_connection, "run2", "ridge") == 2
    shutil.rmtree(registry.list_models(new_connection)[0].source)
    assert registry.find_registered(new_connection, "run2", "ridge") is None
    with pytest.raises(DataError, match=r"version 2 cannot be read.*rollback"):
        registry.load_forecaster(new_connection, registry.list_models(new_connection)[0])


def test_an_interrupted_recording_is_marked_with_its_children_and_repeated(new_connection, backtest_run, candidates):
    interrupted = registry.record_backtests(new_connection, backtest_run, candidates, SNAPSHOT, "somewhere")
    for run in new_connection.client.search_runs([new_connection.experiment(registry.BACKTESTS)]):
        new_connection.client.update_run(run.info.run_id, "RUNNING")
    again = registry.record_backtests(new_connection, backtest_run, candidates, SNAPSHOT, "somewhere")
    assert again != interrupted
    assert new_connection.client.get_run(interrupted).info.status == "KILLED"
    assert statuses(new_connection).count("KILLED") == 1 + len(candidates)
    assert statuses(new_connection).count("FINISHED") == 1 + len(candidates)


def test_a_recording_that_fails_leaves_no_run_running(tmp_path, noisy, backtest_run, candidates, new_mlflow_database):
    """The files cannot be written, as on a full disk; afterwards the same command records the run."""
    new_mlflow_database(tmp_path)
    new_registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/models")
    new_registry.experiment(registry.BACKTESTS)
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="models"):
        registry.record_backtests(new_registry, backtest_run, candidates, SNAPSHOT, "somewhere")
    assert set(statuses(new_registry)) == {"FAILED"}
    (tmp_path / "models").unlink()
    registry.record_backtests(new_registry, backtest_run, candidates, SNAPSHOT, "somewhere")
    assert statuses(new_registry).count("FINISHED") == 1 + len(candidates)
    assert "RUNNING" not in statuses(new_registry)


def statuses(connection: Registry) -> list[str]:
    """The statuses of all backtest runs and their children."""
    runs = connection.client.search_runs([connection.experiment(registry.BACKTESTS)])
    return [run.info.status for run in runs]


def test_staleness_is_counted_between_the_ends_of_training(new_connection):
    newer, older = registry.list_models(new_connection)
    newer = replace(newer, card=replace(newer.card, train_end="2014-11-14"))
    assert older.staleness_days(newer) == 30
    assert newer.staleness_days(older) == 0


def test_a_model_fitted_by_other_code_does_not_forecast(connection, run_id, forecaster):
    version = registry.register_model(connection, forecaster, card(run_id, code_version="0123456789abcdef"), "run-c")
    registered = next(v for v in registry.list_models(connection) if v.version == version)
    with pytest.raises(DataError, match=r"fitted by another code version \(0123456789abcdef"):
        registry.load_forecaster(connection, registered)


def test_a_sqlite_database_is_read_like_mlflow_reads_it(new_connection):
    """Aliases, tags, order, the statuses of runs; a deleted version and a deleted entry are gone for both."""
    registry.set_challenger(new_connection, 2)
    registry.promote(new_connection, 1, YES, None)
    registry.promote(new_connection, 2, YES, 1)
    registry.rollback(new_connection)
    registry.record_refusal(new_connection, 2, NO)
    deleted = new_connection.client.create_run(new_connection.experiment(registry.LEDGER)).info.run_id
    new_connection.client.delete_run(deleted)
    new_connection.client.create_model_version(registry.MODEL, "nowhere")
    new_connection.client.delete_model_version(registry.MODEL, "3")
    versions, entries = records.read_versions(new_connection), records.read_runs(new_connection, registry.LEDGER)
    assert [(version.version, version.aliases) for version in versions] == [(2, ("challenger",)), (1, ("champion",))]
    assert [entry.tags["action"] for entry in entries] == ["refuse", "rollback", "promote", "promote"]
    assert versions == records._versions_of_client(new_connection)
    assert entries == records._runs_of_client(new_connection, registry.LEDGER)


def test_a_registry_that_nothing_was_written_to_is_empty_and_stays_so(tmp_path):
    empty = Registry(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/models")
    assert (registry.list_models(empty), registry.ledger(empty)) == ((), ())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlflow.db").touch()  # as while MLflow creates its tables
    assert (registry.list_models(empty), registry.ledger(empty)) == ((), ())
