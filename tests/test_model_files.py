"""A damaged or missing file of a model version is one sentence, found before anything parses the file."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from flows.retrain import decide_retraining
from rossmann import models, registry
from rossmann.registry import RegisteredModel, Registry
from rossmann.validation import DataError
from tests.support import endpoint as at

pytestmark = pytest.mark.slow

MEMBERS = ("lightgbm", "xgboost", "hist_gradient_boosting")
KINDS = (
    "candidate.json",
    "card.json",
    "quantiles.npz",
    "interval_quantiles.npz",
    "variance_components.json",
    "member-0/model.txt",
    "member-1/model.ubj",
    "member-2/model.skops",
)
BACKTEST_RUN = "run1"


@pytest.fixture(scope="module")
def forecaster(noisy):
    """A blend that has a file of every format, with few rounds."""
    by_name = {candidate.name: candidate for candidate in models.candidates(MEMBERS)}
    members = tuple(
        replace(by_name[name], params=tuple(sorted((dict(by_name[name].params) | {"max_rounds": 3}).items())))
        for name in MEMBERS
    )
    windows = [models.training_window(noisy, o) for o in models.window_origins(noisy.dates[0], noisy.origin)]
    quantiles = models.calibrate(np.ones(3), [0.1, -0.2, 0.05], coverage=0.9)
    blend = replace(models.candidates(("blend",))[-1], members=members)
    intervals = models.calibrate(np.ones(3), [0.1, -0.2, 0.05], 0.95, models.interval_levels())
    return (
        models.fit(blend, windows, noisy.origin, seed=7)
        .with_quantiles(quantiles)
        .with_interval_quantiles(intervals)
        .with_variance_components(at.VARIANCE_COMPONENTS)
    )


@pytest.fixture
def connection(tmp_path, new_mlflow_database) -> Registry:
    new_mlflow_database(tmp_path)
    return at.registry_of(tmp_path)


@pytest.fixture
def registered(connection, forecaster, noisy) -> RegisteredModel:
    at.register(connection, forecaster, noisy, "feedfacefeedface", BACKTEST_RUN)
    (model,) = registry.list_models(connection)
    return model


def folder(model: RegisteredModel) -> Path:
    return Path(urlsplit(model.source).path)


def flip_byte(file: Path) -> None:
    """Change one bit in the middle of a file: the size stays the same, and text stays text."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_byte_in_any_file_raises_an_error_of_one_line(connection, registered, name):
    flip_byte(folder(registered) / name)
    with pytest.raises(DataError, match=f"{name} of model version 1 was changed") as caught:
        registry.load_forecaster(connection, registered)
    message = str(caught.value)
    assert str(folder(registered)) in message
    assert "rossmann models rollback" in message
    assert "rossmann retrain" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_file_raises_an_error_of_one_line(connection, registered, name):
    (folder(registered) / name).unlink()
    with pytest.raises(DataError, match=f"{name} of model version 1 is missing"):
        registry.load_forecaster(connection, registered)


def test_a_file_that_was_added_is_not_read(connection, registered):
    other = folder(registered) / "member-0" / "quantiles.npz"
    other.write_bytes((folder(registered) / "quantiles.npz").read_bytes())
    with pytest.raises(DataError, match=r"member-0/quantiles\.npz of model version 1 does not belong there"):
        registry.load_forecaster(connection, registered)


def test_a_changed_leaf_is_found_before_lightgbm_reads_it(connection, registered):
    """The drill: one digit of a leaf changed a store's forecast by a third, without a word."""
    file = folder(registered) / "member-0" / "model.txt"
    before, after = file.read_text().split("leaf_value=", 1)
    file.write_text(f"{before}leaf_value=9{after[1:]}")
    with pytest.raises(DataError, match="was changed"):
        registry.load_forecaster(connection, registered)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_version_does_not_count_as_registered(connection, registered, forecaster, noisy, name):
    assert registry.find_registered(connection, BACKTEST_RUN, "blend") == 1
    flip_byte(folder(registered) / name)
    assert registry.find_registered(connection, BACKTEST_RUN, "blend") is None
    version = at.register(connection, forecaster, noisy, "feedfacefeedface", BACKTEST_RUN)
    assert version == 2
    assert registry.find_registered(connection, BACKTEST_RUN, "blend") == 2
    assert registry.load_forecaster(connection, registry.list_models(connection)[0]).candidate == forecaster.candidate


def test_the_same_fit_registered_again_repairs_the_damaged_version(connection, forecaster, noisy):
    """So a damaged champion is repaired by a retraining on the same data. skops' files have the time in them."""
    booster = forecaster.members[1].with_quantiles(forecaster.quantiles)
    at.register(connection, booster, noisy, "feedfacefeedface", BACKTEST_RUN)
    (damaged,) = registry.list_models(connection)
    flip_byte(folder(damaged) / "model.ubj")
    assert not registry.is_readable(connection, damaged)
    assert registry.register_model(connection, booster, damaged.card, BACKTEST_RUN) == damaged.version
    assert registry.is_readable(connection, damaged)


def test_a_damaged_champion_is_a_reason_to_retrain(connection, registered, monkeypatch):
    """Though there are no new data since it was trained."""
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(Path(connection.artifacts).parent))
    at.promote(connection, registered.version)
    assert not decide_retraining.fn(registered.card.snapshot).train
    flip_byte(folder(registered) / "member-0" / "model.txt")
    assert decide_retraining.fn(registered.card.snapshot).train


def test_two_registrations_of_one_run_do_not_share_files(connection, registered, forecaster):
    """The same run fitted again on another machine may differ in its last bits: the first version stays readable."""
    other = forecaster.with_quantiles(models.calibrate([1.0], [0.3], coverage=0.9))
    registry.register_model(connection, other, registered.card, BACKTEST_RUN)
    assert registry.find_registered(connection, BACKTEST_RUN, "blend") == 1


def test_the_card_lists_every_file_of_the_version(registered):
    files = {str(file.relative_to(folder(registered))) for file in folder(registered).rglob("*") if file.is_file()}
    assert set(registered.card.files) == files - {"card.json"}
    assert json.loads((folder(registered) / "card.json").read_text())["files"] == registered.card.files
