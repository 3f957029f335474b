"""The lock of a workspace: one holder at a time, across processes, whatever ends the holder."""

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from rossmann import registry
from rossmann.evaluation import Verdict
from rossmann.journal import workspace_lock
from rossmann.registry import Registry
from rossmann.validation import DataError
from tests.support.endpoint import registry_of
from tests.support.stores import Postgres

pytestmark = pytest.mark.slow

PROMOTIONS = 8  # of each process
HOLDER = """
import sys
from rossmann.journal import workspace_lock
with workspace_lock(sys.argv[1], "release of version 7", 30):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres("journal") as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """The address of a journal; its database need not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/workspace/journal.db"
    return request.getfixturevalue("postgres").url("journal")


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock until it is killed or its input ends."""
    command = [sys.executable, "-c", HOLDER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_who_waits_too_long_is_told_who_holds_the_lock(url, caplog):
    with holder(url) as process, caplog.at_level(logging.WARNING):
        expected = rf"ingest .*held by release of version 7 \(process {process.pid} on .+\)"
        with pytest.raises(DataError, match=expected), workspace_lock(url, "ingest", 1.5):
            pytest.fail("two processes hold the lock")
    assert f"release of version 7 (process {process.pid} on" in caplog.text


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_holder_that_dies_frees_the_lock(url, end):
    with holder(url) as process:
        getattr(process, end)()
        process.wait(10)
        started = time.monotonic()
        with workspace_lock(url, "ingest", 10):
            assert time.monotonic() - started < 5


def test_a_waiter_gets_the_lock_when_the_holder_is_done(url):
    with holder(url) as process:
        end = threading.Timer(1, process.stdin.close)  # the holder goes on to its end
        end.start()
        started = time.monotonic()
        with workspace_lock(url, "ingest", 20):
            assert time.monotonic() - started > 0.9
    with workspace_lock(url, "ingest", 1):
        pass


def test_an_error_of_the_holder_frees_the_lock(url):
    with pytest.raises(ValueError, match="broken"), workspace_lock(url, "ingest", 1):
        raise ValueError("broken")
    with workspace_lock(url, "ingest", 1):
        pass


def test_a_database_that_restarts_meanwhile_is_waited_for(postgres):
    url = postgres.url("journal")
    postgres.stop()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        waiter = pool.submit(take_lock, url)
        time.sleep(3)
        assert not waiter.done()
        postgres.start()
        assert waiter.result(60) != os.getpid()


def take_lock(url: str) -> int:
    """Take the lock and return this process's id."""
    with workspace_lock(url, "ingest", 60):
        return os.getpid()


@pytest.mark.proof
def test_promotions_of_two_processes_make_one_chain(tmp_path, new_mlflow_database):
    """Each process reads the champion and promotes the other version in its place, again and again."""
    new_mlflow_database(tmp_path)
    models = registry_of(tmp_path)
    for version in (1, 2):
        register_empty_version(models, version)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=promote_in_turn, args=(str(tmp_path), start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    entries = registry.ledger(models)[::-1]
    assert [entry.version for entry in entries] == [1, 2] * PROMOTIONS
    assert [entry.previous for entry in entries] == [None, *(entry.version for entry in entries[:-1])]
    assert registry.champion(models).version == 2


def register_empty_version(models: Registry, version: int) -> None:
    """A model version without files."""
    models.ensure_model()
    card = (
        '{"candidate": "ridge", "snapshot": "s", "train_end": "2014-01-01", "rmspe": {}, "coverage": 0.9, "seed": 7, '
        '"code_version": "c", "environment": "e", "run_id": "r"}'
    )
    tags = {"backtest_run": f"run{version}", "card": card}
    models.client.create_model_version(registry.MODEL, "nowhere", tags=tags)


def promote_in_turn(workspace: str, start: Barrier) -> None:
    """Promotions of the version that is not champion, each in place of the champion of that moment."""
    models = registry_of(Path(workspace))
    models.ensure_model()  # connects
    start.wait(60)
    for _ in range(PROMOTIONS):
        with workspace_lock(f"sqlite:///{workspace}/journal.db", "promotion", 60):
            champion = registry.find_champion(models)
            current = champion.version if champion else None
            registry.promote(models, 2 if current == 1 else 1, Verdict(True, ("test",), ()), current)
