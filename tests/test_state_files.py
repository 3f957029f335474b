"""The State of a snapshot is fitted once and stored beside it, for every process that forecasts from the snapshot."""

import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from rossmann import features
from rossmann.data import save_snapshot
from rossmann.features import State
from rossmann.features.state_files import file_name
from rossmann.schema import HORIZON_DAYS
from rossmann.serving.server.cores import Cores
from rossmann.serving.server.loaded_model import load_model
from rossmann.serving.target import ServingTarget
from rossmann.validation import DataError
from tests.support import endpoint as at

NOW = datetime(2015, 8, 1, tzinfo=UTC)


@pytest.fixture
def snapshots(tmp_path) -> str:
    return str(tmp_path / "snapshots")


@pytest.fixture
def fingerprint(noisy, snapshots) -> str:
    return save_snapshot(noisy, snapshots, NOW, "test")


def state_file(snapshots: str, fingerprint: str) -> Path:
    return Path(snapshots, fingerprint, file_name())


def content(state: State) -> dict[str, bytes]:
    """The bytes of every array of a State."""
    parts = (state.stores, state.stores.kaggle, state.calendar, state.levels, state.ridge)
    arrays = {f"{type(part).__name__}.{name}": values for part in parts for name, values in vars(part).items()}
    del arrays["Stores.kaggle"]  # a part
    return {name: f"{values.dtype}{values.shape}".encode() + values.tobytes() for name, values in arrays.items()}


def without_days(snapshots: str, fingerprint: str) -> None:
    """Delete the history, so that no State can be fitted."""
    Path(snapshots, fingerprint, "days.parquet").unlink()


def test_a_stored_state_is_the_fitted_one_to_the_last_bit(noisy, snapshots, fingerprint):
    fitted = features.fit_state(noisy)
    for state in (features.load_state(snapshots, fingerprint), features.load_state(snapshots, fingerprint)):
        assert state.origin == fitted.origin
        assert content(state) == content(fitted)
        plan = noisy.plan(noisy.origin, HORIZON_DAYS)
        spec = features.FeatureSpec()
        assert features.build(state, plan, spec).tobytes() == features.build(fitted, plan, spec).tobytes()


def test_a_stored_state_is_not_fitted_again(snapshots, fingerprint):
    fitted = features.load_state(snapshots, fingerprint)
    without_days(snapshots, fingerprint)
    assert content(features.load_state(snapshots, fingerprint)) == content(fitted)


@pytest.mark.parametrize("position", [0, 70, 5_000, -1], ids=["digest", "zip", "array", "last byte"])
def test_a_damaged_state_is_fitted_and_written_again(snapshots, fingerprint, position):
    fitted = features.load_state(snapshots, fingerprint)
    file = state_file(snapshots, fingerprint)
    damaged = bytearray(file.read_bytes())
    damaged[position] ^= 1
    file.write_bytes(damaged)
    assert content(features.load_state(snapshots, fingerprint)) == content(fitted)
    without_days(snapshots, fingerprint)
    assert content(features.load_state(snapshots, fingerprint)) == content(fitted)


@pytest.mark.parametrize("size", [0, 65, 10_000])
def test_a_truncated_state_is_fitted_again(snapshots, fingerprint, size):
    fitted = features.load_state(snapshots, fingerprint)
    file = state_file(snapshots, fingerprint)
    file.write_bytes(file.read_bytes()[:size])
    assert content(features.load_state(snapshots, fingerprint)) == content(fitted)


def test_a_storage_that_cannot_be_written_costs_a_fit_and_no_forecast(noisy, snapshots, fingerprint, caplog):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))  # no file may be longer, as if the disk were full
    try:
        state = features.load_state(snapshots, fingerprint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(state) == content(features.fit_state(noisy))
    assert "is not stored" in caplog.text
    assert not state_file(snapshots, fingerprint).exists()


def test_without_the_history_and_the_state_the_error_names_the_damage(snapshots, fingerprint):
    without_days(snapshots, fingerprint)
    with pytest.raises(DataError, match=r"days\.parquet is missing"):
        features.load_state(snapshots, fingerprint)


@pytest.mark.slow
def test_a_replica_forecasts_from_the_state_that_the_driver_stored(noisy, snapshots, fingerprint, tmp_path):
    """Whatever its processor: it fits nothing, so the smoke test compares the same State."""
    models = at.registry_of(tmp_path)
    forecaster = at.fit_on_whole_history(noisy, "ridge", 7)
    version = at.register(models, forecaster, noisy, fingerprint, "first")
    state = features.load_state(snapshots, fingerprint)
    without_days(snapshots, fingerprint)
    model = load_model(models, snapshots, Cores(tmp_path / "cores"), ServingTarget(version, fingerprint))
    assert content(model.state) == content(state)
    assert model.plan_forecast.sales.tobytes() == forecaster.predict(state, model.plan).sales.tobytes()


@pytest.mark.slow
def test_processes_that_store_the_same_state_at_once_do_not_disturb_each_other(snapshots, fingerprint):
    code = f"from rossmann import features; print(features.load_state({snapshots!r}, {fingerprint!r}).origin)"
    environment = os.environ | {"PYTHONPATH": str(at.REPOSITORY)}
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    origins = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert len(origins) == 1
    assert all(process.returncode == 0 for process in processes)
    assert [file.name for file in Path(snapshots, fingerprint).glob("state-*")] == [file_name()]
    without_days(snapshots, fingerprint)
    assert np.datetime_as_string(features.load_state(snapshots, fingerprint).origin) in origins
