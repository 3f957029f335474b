"""The release of a challenger through the real flows: a stale champion, decisions that last, and pinned inputs."""

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from prefect.artifacts import Artifact
from typer.testing import CliRunner

from flows import workspace
from flows.cli.commands import app
from flows.forecast import forecast
from flows.ingest import ingest
from flows.refresh import refresh
from flows.release import register_baseline, release
from flows.retrain import retrain
from flows.train import train
from rossmann import data, evaluation, models, registry, training
from rossmann.data import Snapshot
from rossmann.evaluation import Verdict
from rossmann.registry import Registry
from rossmann.settings import Settings
from rossmann.simulation import write_sample
from rossmann.validation import DataError

pytestmark = pytest.mark.slow

STORES, DAYS, CHAMPION_DAYS = 8, 690, 560
FIRST_DAY = date(2013, 1, 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory, prefect_server, local_ray, new_mlflow_database) -> Iterator[Path]:
    """A workspace with raw files of which boosters are the only serious candidates."""
    folder = tmp_path_factory.mktemp("release")
    write_sample(folder / "raw", STORES, DAYS, seed=3)
    new_mlflow_database(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROSSMANN_DATA_DIR", str(folder))
        patch.setenv("ROSSMANN_CANDIDATES", "xgboost")
        patch.setenv("ROSSMANN_FOLDS", "3")  # more would leave a stale champion no training window before the oldest
        patch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
        yield folder


def model_registry() -> Registry:
    return workspace.registry(Settings())


def snapshots() -> list[Snapshot]:
    """The older snapshot and the newer one."""
    return sorted(data.list_snapshots(Settings().workspace.snapshots), key=lambda snapshot: snapshot.origin)


def test_a_release_without_a_challenger_says_so(home):
    with pytest.raises(DataError, match="no challenger yet"):
        release()
    assert "no challenger yet" in Artifact.get("verdict").data


@pytest.fixture(scope="module")
def stale_verdict(home) -> Verdict:
    """The verdict on a challenger with 130 more days of history than the champion, which has 560."""
    ingest(as_of=FIRST_DAY + timedelta(days=CHAMPION_DAYS - 1))
    train()
    assert release().promote
    ingest()
    train()
    return release()


def test_a_champion_too_stale_to_be_fitted_is_compared_as_stale_as_possible(stale_verdict):
    assert "champion v1 (xgboost) is 130 days stale" in stale_verdict.reasons[0]
    rivals = [each.rival for each in stale_verdict.comparisons]
    assert rivals == ["champion v1 (xgboost)", "median"]
    assert all(each.score != each.rival_score for each in stale_verdict.comparisons), "not compared with itself"


def test_a_candidate_can_be_fitted_at_its_largest_staleness_and_not_much_later(home, stale_verdict):
    challenger = registry.challenger(model_registry())
    history = workspace.history(Settings(), challenger.card.snapshot)
    origins = challenger.card.folds
    xgboost = models.default_candidate("xgboost")
    largest = training.possible_staleness_days(history, xgboost, origins, 10_000)
    assert 48 < largest < 130
    assert training.possible_staleness_days(history, xgboost, origins, 5) == 5
    median = models.default_candidate(evaluation.BASELINE)
    assert training.possible_staleness_days(history, median, origins, 10_000) == 10_000


@pytest.fixture(scope="module")
def second_champion(stale_verdict) -> int:
    """Version 2 is champion in place of version 1."""
    if not stale_verdict.promote:
        registry.override(model_registry(), 2, "a test")
    assert registry.champion(model_registry()).version == 2
    return 2


def test_a_release_of_the_champion_says_that_there_is_nothing_to_judge(second_champion):
    verdict = release()
    assert not verdict.promote
    assert verdict.reasons == ("version 2 is champion already",)
    assert "version 2 is champion already" in Artifact.get("verdict").data


def test_a_rollback_lasts_until_a_person_promotes_the_version_again(second_champion):
    rollback = CliRunner().invoke(app, ["models", "rollback"])
    assert (rollback.exit_code, rollback.stdout) == (0, "version 1 is champion again\n")
    verdict = release()
    assert not verdict.promote
    assert "version 2 was taken back" in verdict.reasons[0]
    assert 'promote 2 --because "…"' in Artifact.get("verdict").data
    again = retrain()
    assert again.training.challenger == 2, "the same data give the same version"
    assert not again.verdict.promote
    assert again.forecast.model_version == 1
    assert registry.champion(model_registry()).version == 1
    promotion = CliRunner().invoke(app, ["models", "promote", "2", "--because", "the holidays are right now"])
    assert (promotion.exit_code, promotion.stdout) == (0, "version 2 is champion\n")
    newest = registry.ledger(model_registry())[0]
    assert (newest.action, newest.version, newest.reasons) == ("override", 2, ("the holidays are right now",))
    assert release().reasons == ("version 2 is champion already",)


@pytest.mark.parametrize(("version", "because"), [("99", "why not"), ("1", " ")])
def test_a_promotion_by_hand_needs_a_version_and_a_reason(second_champion, version, because):
    result = CliRunner().invoke(app, ["models", "promote", version, "--because", because])
    assert isinstance(result.exception, DataError)
    assert registry.champion(model_registry()).version == 2


def test_each_step_uses_the_snapshot_or_challenger_that_it_gets(second_champion):
    older, newer = snapshots()
    assert newer.current
    trained = train(candidates=["ridge"], snapshot=older.fingerprint)
    (model,) = (each for each in registry.list_models(model_registry()) if each.version == trained.challenger)
    assert model.card.snapshot == older.fingerprint
    assert older.origin in forecast(snapshot=older.fingerprint).file
    registry.set_challenger(model_registry(), 1)
    assert release(2).reasons == ("version 2 is champion already",)


def test_a_retraining_works_on_what_it_trained_whatever_becomes_current_meanwhile(second_champion):
    """As soon as the new challenger is there, another one is set, and an older snapshot is restored."""
    older, newer = snapshots()
    before = {model.version for model in registry.list_models(model_registry())}

    def interfere() -> None:
        own_registry = model_registry()
        while registry.challenger(own_registry).version in before:
            time.sleep(0.02)
        registry.set_challenger(own_registry, 1)
        data.restore_snapshot(Settings().workspace.snapshots, older.fingerprint)

    thread = threading.Thread(target=interfere, daemon=True)
    thread.start()
    result = retrain(candidates=["ridge"])
    thread.join(30)
    assert not thread.is_alive()
    assert registry.challenger(model_registry()).version == 1
    assert result.snapshot == newer.fingerprint
    newest = registry.ledger(model_registry())[0]
    assert (newest.version, newest.action) == (
        result.training.challenger,
        "promote" if result.verdict.promote else "refuse",
    )
    assert newer.origin in result.forecast.file


def test_a_champion_whose_files_are_lost_does_not_stop_the_challenger(second_champion):
    champion = registry.champion(model_registry())
    shutil.rmtree(champion.source.removeprefix("file://"))
    verdict = release(1)
    assert "the challenger is compared with the median only" in verdict.reasons[0]
    assert f"the files of model version {champion.version} cannot be read" in verdict.reasons[0]
    assert [each.rival for each in verdict.comparisons] == ["median"]


@pytest.fixture
def new_home(tmp_path, prefect_server, local_ray, new_mlflow_database, monkeypatch) -> Path:
    """A workspace of its own, with raw files and nothing else."""
    write_sample(tmp_path / "raw", STORES, 550, seed=3)
    new_mlflow_database(tmp_path)
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ROSSMANN_FOLDS", "2")
    monkeypatch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
    return tmp_path


def test_the_first_champion_is_the_baseline_if_the_challenger_is_no_better(new_home):
    """A release that is killed after it has registered the baseline is completed by the next one."""
    ingest()
    challenger = train(candidates=["last_week"]).challenger
    interrupted = register_baseline.fn(registry.find_version(model_registry(), challenger))
    assert registry.find_champion(model_registry()) is None
    result = retrain(candidates=["last_week"])
    assert not result.verdict.promote
    assert result.verdict.reasons[0].startswith("does not beat median")
    assert result.verdict.reasons[-1] == "the baseline median, version 2, is the first champion"
    champion = registry.champion(model_registry())
    assert (champion.version, champion.card.candidate) == (interrupted, "median")
    assert result.training.challenger == challenger, "the same run is not registered twice"
    assert result.forecast.model_version == interrupted
    promotion, refusal = registry.ledger(model_registry())
    assert (promotion.action, promotion.version, promotion.done) == ("promote", 2, True)
    assert promotion.reasons == ("the first champion is the baseline median: version 1 is refused",)
    assert (refusal.action, refusal.version) == ("refuse", 1)
    assert "the first champion" in Artifact.get("verdict").data
    better = retrain(candidates=["ridge"])
    assert better.verdict.promote, better.verdict.reasons
    assert better.verdict.reasons[0].startswith("beats champion v2 (median)")


def test_a_model_keeps_its_loss_and_is_compared_by_the_current_one(new_home, monkeypatch):
    first = retrain(candidates=["ridge"])
    monkeypatch.setenv("ROSSMANN_LOSS", "total")
    trained = train(candidates=["ridge"])
    verdict = release()
    assert verdict.reasons[0] == (
        "champion v1 (ridge) was trained for RMSPE; the comparison is by error of store totals "
        "(ROSSMANN_LOSS, else chain.toml)"
    )
    assert "capped error of store totals" in verdict.reasons[1]
    models_by_version = {each.version: each for each in registry.list_models(model_registry())}
    assert models_by_version[trained.challenger].card.loss == "total"
    forecasters = [registry.load_forecaster(model_registry(), model) for _, model in sorted(models_by_version.items())]
    assert [each.candidate.variance_factor for each in forecasters] == [-1.5, 0.5]
    scores = {name: workspace.backtest_run(Settings(), key).backtest.score() for name, key in
              (("rmspe", first.training.backtest_run), ("total", trained.backtest_run))}  # fmt: skip
    assert scores["total"].bias["ridge"] > scores["rmspe"].bias["ridge"]
    assert scores["total"].bias["median"] == scores["rmspe"].bias["median"], "a baseline forecasts the same"


def test_a_refresh_with_a_champion_of_other_code_reads_nothing(new_home, monkeypatch):
    retrain(candidates=["median"])
    monkeypatch.setattr("rossmann.registry.cards.code_version", lambda: "f" * 16)
    with pytest.raises(DataError, match="fitted by another code version"):
        refresh("no folder")
