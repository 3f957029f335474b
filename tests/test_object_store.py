"""A workspace in a bucket gives the same numbers as in a folder, although every tenth request to the store fails."""

import asyncio
import html
import io
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from boto3.exceptions import S3UploadFailedError
from streamlit.testing.v1 import AppTest
from test_journal import counts, entry

from flows import workspace
from flows.monitor import monitor
from flows.release import rival_entries
from flows.retrain import retrain
from rossmann import registry
from rossmann.data import current_snapshot, list_snapshots, load_snapshot, save_snapshot
from rossmann.journal import Journal
from rossmann.serving.server.replica import build_host
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings
from rossmann.simulation import write_sample
from rossmann.storage import Storage, split_path
from rossmann.validation import DataError, UnavailableError
from tests.support.endpoint import fit_on_whole_history, promote, register
from tests.support.stores import ACCESS_DENIED, BUCKET, no_fault, slow_down_every, writes_denied_after

NOON = datetime(2015, 4, 1, 12)
# With so few stores ridge is hardly better than the median; nevertheless it should become champion.
LENIENT_RELEASE = {"ROSSMANN_PROMOTION_PROBABILITY": "0.01", "ROSSMANN_SLICE_MARGIN": "9"}
SNAPSHOT_WRITES = 5  # days, plan, stores, manifest, current
ADDRESS = f"s3://{BUCKET}"


@pytest.fixture
def store(object_store):
    yield object_store
    object_store.fault = no_fault


def test_a_bucket_lists_folders_and_files(store):
    files = Storage(f"{ADDRESS}/listing")
    assert (files.folders(), files.file_names()) == ([], [])
    for name in ("b", "a", "deep/c", "deep/er/d"):
        assert files.write(name, name.encode()) == f"{ADDRESS}/listing/{name}"
    store.client().put_object(Bucket=BUCKET, Key="listing/", Body=b"")  # some tools mark a folder like this
    assert (files.folders(), files.file_names()) == (["deep"], ["a", "b"])
    assert (files.subfolder("deep").folders(), files.subfolder("deep").file_names()) == (["er"], ["c"])
    assert files.read("deep/er/d") == b"deep/er/d"
    assert (files.read_start("deep/er/d", 4), files.read_start("deep/er/d", 99)) == (b"deep", b"deep/er/d")
    assert (files.read_end("deep/er/d", 4), files.read_end("deep/er/d", 99)) == (b"er/d", b"deep/er/d")
    assert files.exists("deep/c")
    assert not files.exists("dee")
    with pytest.raises(FileNotFoundError, match=f"{ADDRESS}/listing/none"):
        files.read("none")
    with pytest.raises(FileNotFoundError, match=f"{ADDRESS}/listing/none"):
        files.read_start("none", 4)


def test_all_files_are_listed_if_there_are_more_than_a_page(store, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    files = Storage(f"{ADDRESS}/many")
    names = [files.write(f"{number:02}", b"")[-2:] for number in range(12)]
    assert files.file_names() == names


def test_removing_a_file_that_is_gone_is_no_error(store):
    files = Storage(f"{ADDRESS}/removing")
    files.write("a", b"content")
    files.delete_if_exists("a")
    files.delete_if_exists("a")
    assert files.file_names() == []


def test_the_error_names_a_bucket_that_does_not_exist(store):
    with pytest.raises(OSError, match=r"s3://nowhere/a: .*NoSuchBucket"):
        Storage("s3://nowhere").write("a", b"")


@pytest.mark.parametrize("writes", range(SNAPSHOT_WRITES))
def test_a_failure_at_any_write_leaves_the_old_snapshot_and_no_incomplete_one(writes, store, toy):
    root = f"{ADDRESS}/incomplete-{writes}"
    old = save_snapshot(toy.until(toy.origin - 7), root, NOON, "raw")
    store.fault = writes_denied_after(writes)
    with pytest.raises(OSError, match="AccessDenied"):
        save_snapshot(toy, root, NOON, "raw")
    store.fault = no_fault
    assert current_snapshot(root) == old
    for snapshot in list_snapshots(root):
        assert load_snapshot(root, snapshot.fingerprint).fingerprint == snapshot.fingerprint
    assert save_snapshot(toy, root, NOON, "raw") == current_snapshot(root) != old


def test_the_journal_writes_to_its_database_while_the_store_fails(store, tmp_path):
    url, leftovers = f"sqlite:///{tmp_path}/journal.db", Storage(f"{ADDRESS}/leftovers")
    store.fault = lambda _: ACCESS_DENIED
    journal = Journal(url, tmp_path / "log", leftovers)
    journal.write(entry("a"))
    journal.close(30)
    assert journal.health().written_rows == 1


def test_entries_that_two_replicas_read_at_once_are_in_the_journal_once(store, tmp_path):
    leftovers = Storage(f"{ADDRESS}/leftovers-twice")
    unwritable = Journal(f"sqlite:///{tmp_path}/none/journal.db", tmp_path / "log", leftovers)
    unwritable.write(entry("a", rows=3))
    unwritable.close(5)
    (name,) = leftovers.file_names()
    assert not list((tmp_path / "log").iterdir())
    content = leftovers.read(name)
    url = f"sqlite:///{tmp_path}/journal.db"
    for replica in range(2):  # each on a machine of its own
        leftovers.write(name, content)
        Journal(url, tmp_path / f"log-{replica}", leftovers).close(30)
    assert leftovers.file_names() == []
    assert counts(url) == (1, 3)


def test_entries_stay_on_the_machine_while_the_store_fails(store, tmp_path):
    leftovers, folder = Storage(f"{ADDRESS}/leftovers-later"), tmp_path / "log"
    unwritable = Journal(f"sqlite:///{tmp_path}/none/journal.db", folder, leftovers)
    unwritable.write(entry("a", rows=3))
    store.fault = lambda _: ACCESS_DENIED
    unwritable.close(5)
    assert len(list(folder.iterdir())) == 1
    url = f"sqlite:///{tmp_path}/journal.db"
    Journal(url, folder, leftovers).close(30)
    assert counts(url) == (1, 3)


def test_a_model_in_a_store_that_fails_is_not_a_damaged_one(store, noisy, tmp_path, new_mlflow_database, monkeypatch):
    """A challenger is not compared with the median only, and no version is registered again, because of that."""
    new_mlflow_database(tmp_path)
    monkeypatch.setenv("ROSSMANN_DATA_DIR", f"{ADDRESS}/away")
    monkeypatch.setenv("ROSSMANN_MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("ROSSMANN_JOURNAL_URL", f"sqlite:///{tmp_path}/journal.db")
    models = workspace.registry(Settings())
    register(models, fit_on_whole_history(noisy, "median", 7), noisy, "f" * 16, "away")
    promote(models, 1)
    champion = registry.champion(models)
    store.fault = lambda _: ACCESS_DENIED
    for call in (
        lambda: registry.is_readable(models, champion),
        lambda: registry.load_forecaster(models, champion),
        lambda: registry.find_registered(models, "away", "median"),
        lambda: rival_entries(Settings(), noisy, champion, champion),
    ):
        with pytest.raises(UnavailableError, match=f"cannot be read from {ADDRESS}/away/models/.* again"):
            call()
    store.fault = no_fault
    assert registry.is_readable(models, champion)
    store.client().delete_object(Bucket=BUCKET, Key=f"{champion.source.removeprefix(f'{ADDRESS}/')}/candidate.json")
    assert not registry.is_readable(models, champion)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_sample(tmp_path_factory.mktemp("raw"), 8, 450, seed=3)


@pytest.fixture(scope="module")
def results(raw, prefect_server, local_ray, new_mlflow_database, object_store, tmp_path_factory):
    """Results of `retrain` in a folder and in a bucket that fails; the settings of the latter stay in force."""
    results, local = {}, tmp_path_factory.mktemp("local")
    for folder in (raw.parent, local):
        new_mlflow_database(folder)
    for file in raw.iterdir():
        object_store.client().upload_file(str(file), BUCKET, f"whole/raw/{file.name}")
    common = {"ROSSMANN_FOLDS": "2", "ROSSMANN_CANDIDATES": "ridge", **LENIENT_RELEASE}
    workspaces = {
        "folder": {"ROSSMANN_DATA_DIR": str(raw.parent)},
        "bucket": {
            "ROSSMANN_DATA_DIR": f"{ADDRESS}/whole",
            "ROSSMANN_MLFLOW_TRACKING_URI": f"sqlite:///{local}/mlflow.db",
            "ROSSMANN_JOURNAL_URL": f"sqlite:///{local}/journal.db",
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)  # set by the endpoint that other tests share
        for name, settings in workspaces.items():
            for variable, value in (common | settings).items():
                patch.setenv(variable, value)
            object_store.fault = slow_down_every(10) if name == "bucket" else no_fault
            results[name] = retrain(str(raw) if name == "folder" else None)
        yield results
    object_store.fault = no_fault


@pytest.mark.slow
def test_a_failing_bucket_gives_the_same_forecast_as_a_folder(results, object_store):
    folder, bucket = results["folder"], results["bucket"]
    assert bucket.verdict.promote, bucket.verdict.reasons
    assert bucket.snapshot == folder.snapshot
    assert bucket.forecast.file.startswith(f"{ADDRESS}/whole/forecasts/")
    assert _read(bucket.forecast.file) == Path(folder.forecast.file).read_bytes()
    assert object_store.failed > 5


@pytest.mark.slow
def test_all_files_of_the_workspace_are_in_the_bucket(results, object_store):
    folders = {key.split("/")[1] for key in object_store.keys("whole/")}
    assert folders == {"raw", "snapshots", "backtests", "models", "forecasts", "reports"}
    assert not Path("s3:").exists()


@pytest.mark.slow
def test_the_report_of_the_training_is_in_the_bucket_and_has_the_verdict(results, object_store):
    (report,) = object_store.keys("whole/reports/training/")
    page = _read(f"s3://{BUCKET}/{report}").decode()
    assert "promoted" in page
    assert html.escape(results["bucket"].verdict.reasons[0]) in page


@pytest.mark.slow
def test_the_dashboard_draws_the_forecast_from_the_bucket(results):
    st.cache_resource.clear()
    st.cache_data.clear()
    page = AppTest.from_function(forecast_page, default_timeout=60).run()
    assert not page.exception
    total = pd.read_csv(io.BytesIO(_read(results["bucket"].forecast.file))).forecast.sum()
    assert [each.value for each in page.metric][2] == f"{total:,.0f}"


@pytest.mark.slow
def test_the_endpoint_forecasts_from_the_bucket_the_same_as_the_batch(results, object_store):
    failed_before = object_store.failed
    host, _ = build_host(Settings())
    asyncio.run(host.switch_to(ServingTarget()))
    assert host.load_error is None
    assert object_store.failed > failed_before
    table = pd.read_csv(io.BytesIO(_read(results["bucket"].forecast.file)))
    published = host.model.plan
    np.testing.assert_array_equal(table.store, published.store)
    cents = 0.005  # the file has two decimals
    np.testing.assert_allclose(table.forecast, host.model.answer(published).forecast.sales, atol=cents)
    host.journal.close(10)


@pytest.mark.slow
def test_monitoring_writes_its_report_into_the_bucket(results, object_store):
    failed_before = object_store.failed
    result = monitor()
    assert object_store.failed > failed_before
    assert result.report.startswith(f"{ADDRESS}/whole/reports/monitoring/")
    assert b"Evidently" in _read(result.report)


@pytest.mark.slow
def test_an_upload_in_parts_that_fails_in_the_middle_leaves_no_file(results, store, tmp_path):
    (tmp_path / "large.bin").write_bytes(bytes(20_000_000))
    models = workspace.registry(Settings())
    run = models.client.create_run(models.experiment(registry.BACKTESTS))
    prefix = run.info.artifact_uri.removeprefix(f"{ADDRESS}/")
    store.fault = lambda request: ACCESS_DENIED if request.args.get("partNumber") == "2" else None
    with pytest.raises(S3UploadFailedError):
        models.client.log_artifact(run.info.run_id, str(tmp_path / "large.bin"))
    store.fault = no_fault
    assert store.keys(prefix) == []
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket=BUCKET)
    models.client.log_artifact(run.info.run_id, str(tmp_path / "large.bin"))
    assert store.keys(prefix) == [f"{prefix}/large.bin"]


@pytest.mark.slow
def test_a_model_without_its_files_does_not_count_as_registered(results, store):
    models, backtest_run = workspace.registry(Settings()), results["bucket"].training.backtest_run
    version = registry.champion(models)
    assert registry.find_registered(models, backtest_run, version.card.candidate) == version.version
    for key in store.keys(version.source.removeprefix(f"{ADDRESS}/")):
        store.client().delete_object(Bucket=BUCKET, Key=key)
    assert registry.find_registered(models, backtest_run, version.card.candidate) is None
    with pytest.raises(DataError, match=f"cannot be read from {ADDRESS}/whole/models/.*rollback"):
        registry.load_forecaster(models, version)


def forecast_page() -> None:
    """The script of AppTest, which imports what it needs."""
    from rossmann.dashboard.pages import forecast

    forecast.page()


def _read(address: str) -> bytes:
    folder, name = split_path(address)
    return folder.read(name)
