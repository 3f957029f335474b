"""A world in a bucket: the same numbers as in a folder, though the store fails every tenth request."""

import asyncio
import io
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from boto3.exceptions import S3UploadFailedError
from prefect.testing.utilities import prefect_test_harness
from stores import DENIED, every, never, writes_after
from test_journal import counts, entry

from flows import world
from flows.monitor import monitor
from flows.retrain import retrain
from rossmann import registry, training
from rossmann.data import current_snapshot, list_snapshots, load_snapshot, save_snapshot
from rossmann.journal import Journal
from rossmann.sample import write_world
from rossmann.serving.desk import Wanted
from rossmann.serving.endpoint import furnished
from rossmann.settings import Settings
from rossmann.storage import Storage, locate
from rossmann.validation import DataError

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


def test_a_file_may_be_removed_by_several(store):
    files = Storage("s3://world/removing")
    files.write("a", b"mine")
    files.remove("a")
    files.remove("a")
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


def test_a_store_that_is_away_does_not_keep_the_journal_from_writing(store, tmp_path):
    url, spill = f"sqlite:///{tmp_path}/journal.db", Storage("s3://world/spill")
    store.fault = lambda _: DENIED
    journal = Journal(url, spill)
    journal.write(entry("a"))
    journal.close(30)
    assert journal.health().written == 1


def test_what_two_replicas_read_at_once_is_in_the_journal_once(store, tmp_path):
    spill = Storage("s3://world/spill-twice")
    away = Journal(f"sqlite:///{tmp_path}/none/journal.db", spill)
    away.write(entry("a", rows=3))
    away.close(5)
    (left,) = spill.names()
    content = spill.read(left)
    url = f"sqlite:///{tmp_path}/journal.db"
    for _ in range(2):
        spill.write(left, content)
        Journal(url, spill).close(30)
    assert spill.names() == []
    assert counts(url) == (1, 3)


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
        patch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)  # of the endpoint that other tests share
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
def test_the_desk_answers_from_the_bucket_what_the_batch_said(lived, object_store):
    before = object_store.failed
    desk, _ = furnished(Settings())
    asyncio.run(desk.hold(Wanted()))
    assert desk.refusal is None
    assert object_store.failed > before
    table = pd.read_csv(io.BytesIO(_read(lived["bucket"].delivered.file)))
    published = desk.held.published
    np.testing.assert_array_equal(table.Store, published.store)
    np.testing.assert_allclose(table.Sales, desk.held.forecast(published).sales, atol=0.005)  # the file has cents
    desk.journal.close(10)


@pytest.mark.slow
def test_the_monitor_reports_into_the_bucket(lived, object_store):
    before = object_store.failed
    seen = monitor()
    assert object_store.failed > before
    assert seen.report.startswith("s3://world/whole/reports/monitoring/")
    assert b"Evidently" in _read(seen.report)


@pytest.mark.slow
def test_an_upload_in_parts_that_fails_in_the_middle_leaves_nothing(lived, store, tmp_path):
    (tmp_path / "large.bin").write_bytes(bytes(20_000_000))
    known = world.models(Settings())
    run = known.client.create_run(known.experiment(registry.TRAININGS))
    where = run.info.artifact_uri.removeprefix("s3://world/")
    store.fault = lambda request: DENIED if request.args.get("partNumber") == "2" else None
    with pytest.raises(S3UploadFailedError):
        known.client.log_artifact(run.info.run_id, str(tmp_path / "large.bin"))
    store.fault = never
    assert store.keys(where) == []
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket="world")
    known.client.log_artifact(run.info.run_id, str(tmp_path / "large.bin"))
    assert store.keys(where) == [f"{where}/large.bin"]


@pytest.mark.slow
def test_a_model_whose_objects_are_gone_is_not_taken_for_saved(lived, store):
    known, race = world.models(Settings()), lived["bucket"].trained.race
    version = registry.champion(known)
    assert registry.saved(known, race) == version.version
    for key in store.keys(version.source.removeprefix("s3://world/")):
        store.client().delete_object(Bucket="world", Key=key)
    assert registry.saved(known, race) is None
    with pytest.raises(DataError, match=r"cannot be read from s3://world/whole/models/.*rollback"):
        registry.load(known, version)


def _read(address: str) -> bytes:
    folder, name = locate(address)
    return folder.read(name)
