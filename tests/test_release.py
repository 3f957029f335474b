"""The release of a challenger through the real flows: a stale champion, decisions that last, and pinned inputs."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from flows import workspace
from flows.ingest import ingest
from flows.release import release
from flows.train import train
from rossmann import evaluation, models, registry, training
from rossmann.evaluation import Verdict
from rossmann.settings import Settings
from rossmann.simulation import write_sample

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
        yield folder


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
    assert all(each.rmspe != each.rival_rmspe for each in stale_verdict.comparisons), "not compared with itself"


def test_a_candidate_can_be_fitted_at_its_largest_staleness_and_not_much_later(home, stale_verdict):
    settings = Settings()
    challenger = registry.challenger(workspace.registry(settings))
    history = workspace.history(settings, challenger.card.snapshot)
    origins = challenger.card.folds
    (xgboost,) = (each for each in models.candidates(("xgboost",)) if each.name == "xgboost")
    largest = training.possible_staleness_days(history, xgboost, origins, 10_000)
    assert 48 < largest < 130
    assert training.possible_staleness_days(history, xgboost, origins, 5) == 5
    (median,) = (each for each in models.candidates(()) if each.name == evaluation.BASELINE)
    assert training.possible_staleness_days(history, median, origins, 10_000) == 10_000
