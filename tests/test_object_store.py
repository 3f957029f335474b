"""A world in a bucket: the same numbers as in a folder, though the store fails every tenth request."""

import asyncio
import io
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prefect.testing.utilities import prefect_test_harness
from stores import every, never, writes_after

from flows.monitor import monitor
from flows.retrain import retrain
from rossmann import training
from rossmann.data import current_snapshot, list_snapshots, load_snapshot, save_snapshot
from rossmann.sample import write_world
from rossmann.serving.desk import Wanted
from rossmann.serving.endpoint import furnished
from rossmann.settings import Settings
from rossmann.storage import Storage, locate

NOON = datetime(2015, 4, 1, 12)
LENIENT = {"ROSSMANN_PROMOTE_PROBABILITY": "0.01", "ROSSMANN_SLICE_MARGIN": "9"}  # so few stores teach ridge little
SNAPSHOT_WRITES = 5  # days, plan, stores, manifest, current


@pytest.fixture
def store(object_store):
    yield object_store
    object_store.fault = never


def test_a_bucket_tells_folders_from_files(store):
    files = Storage("s3://world/listing")
    assert (files.folders(), files.names()) == ([], [])
    for name in ("b", "a", "deep/c", "deep/er/d"):
        assert files.write(name, name.encode()) == f"s3://world/listing/{name}"
    store.client().put_object(Bucket="world", Key="listing/", Body=b"")  # as consoles mark a folder
    assert (files.folders(), files.names()) == (["deep"], ["a", "b"])
    assert (files.within("deep").folders(), files.within("deep").names()) == (["er"], ["c"])
    assert files.read("deep/er/d") == b"deep/er/d"
    assert files.exists("deep/c")
    assert not files.exists("dee")
    with pytest.raises(FileNotFoundError, match="s3://world/listing/none"):
        files.read("none")


def test_more_files_than_a_page_lists_are_all_named(store, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    files = Storage("s3://world/many")
    names = [files.write(f"{number:02}", b"")[-2:] for number in range(12)]
    assert files.names() == names


def test_a_file_is_taken_once(store):
    files = Storage("s3://world/taking")
    files.write("a", b"mine")
    assert files.take("a") == b"mine"
    assert files.take("a") is None
    assert files.names() == []


def test_a_bucket_that_is_not_there_is_named(store):
    with pytest.raises(OSError, match=r"s3://nowhere/a: .*NoSuchBucket"):
        Storage("s3://nowhere").write("a", b"")


@pytest.mark.parametrize("written", range(SNAPSHOT_WRITES))
def test_a_store_that_fails_at_any_write_leaves_the_old_snapshot_and_no_half_one(written, store, toy):
    root = f"s3://world/half-{written}"
    old = save_snapshot(toy.until(toy.origin - 7), root, NOON, "raw")
    store.fault = writes_after(written)
    with pytest.raises(OSError, match="AccessDenied"):
        save_snapshot(toy, root, NOON, "raw")
    store.fault = never
    assert current_snapshot(root) == old
    for snapshot in list_snapshots(root):
        assert load_snapshot(root, snapshot.fingerprint).fingerprint == snapshot.fingerprint
    assert save_snapshot(toy, root, NOON, "raw") == current_snapshot(root) != old


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("raw"), 8, 450, seed=3)


@pytest.fixture(scope="module")
def prefect():
    with prefect_test_harness(server_startup_timeout=120), training.cluster(None):
        yield


@pytest.fixture(scope="module")
def lived(raw, prefect, object_store, tmp_path_factory):
    """The forecast of a world in a folder, and of one in a bucket that fails; the latter is left standing."""
    made, here = {}, tmp_path_factory.mktemp("here")
    for file in raw.iterdir():
        object_store.client().upload_file(str(file), "world", f"whole/raw/{file.name}")
    terms = {"ROSSMANN_FOLDS": "2", "ROSSMANN_CANDIDATES": "ridge", **LENIENT}
    worlds = {
        "folder": {"ROSSMANN_DATA_DIR": str(raw.parent)},
        "bucket": {
            "ROSSMANN_DATA_DIR": "s3://world/whole",
            "ROSSMANN_MLFLOW_TRACKING_URI": f"sqlite:///{here}/mlflow.db",
            "ROSSMANN_JOURNAL_URL": f"sqlite:///{here}/journal.db",
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, settings in worlds.items():
            for variable, value in (terms | settings).items():
                patch.setenv(variable, value)
            object_store.fault = every(10) if name == "bucket" else never
            made[name] = retrain(str(raw) if name == "folder" else None)
        yield made
    object_store.fault = never


@pytest.mark.slow
def test_a_world_in_a_failing_bucket_forecasts_what_one_in_a_folder_does(lived, object_store):
    folder, bucket = lived["folder"], lived["bucket"]
    assert bucket.verdict.promote, bucket.verdict.reasons
    assert bucket.snapshot == folder.snapshot
    assert bucket.delivered.file.startswith("s3://world/whole/forecasts/")
    assert _read(bucket.delivered.file) == Path(folder.delivered.file).read_bytes()
    assert object_store.failed > 5


@pytest.mark.slow
def test_everything_of_the_world_lies_in_the_bucket(lived, object_store):
    folders = {key.split("/")[1] for key in object_store.keys("whole/")}
    assert folders == {"raw", "snapshots", "backtests", "models", "forecasts", "reports"}
    assert not Path("s3:").exists()


@pytest.mark.slow
def test_the_desk_answers_from_the_bucket_what_the_batch_said(lived):
    desk, _ = furnished(Settings())
    asyncio.run(desk.hold(Wanted()))
    assert desk.refusal is None
    table = pd.read_csv(io.BytesIO(_read(lived["bucket"].delivered.file)))
    published = desk.held.published
    np.testing.assert_array_equal(table.Store, published.store)
    np.testing.assert_allclose(table.Sales, desk.held.forecast(published).sales, atol=0.005)  # the file has cents
    desk.journal.close(10)


@pytest.mark.slow
def test_the_monitor_reports_into_the_bucket(lived):
    seen = monitor()
    assert seen.report.startswith("s3://world/whole/reports/monitoring/")
    assert b"Evidently" in _read(seen.report)


def _read(address: str) -> bytes:
    folder, name = locate(address)
    return folder.read(name)
