"""Stores of more than one machine, for tests: moto's S3 server, which can be told to fail, and Debian's PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import psycopg
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from benchmarks.cluster import free_ports

SLOW_DOWN, DENIED = (503, "SlowDown"), (403, "AccessDenied")
Fault = Callable[[Request], tuple[int, str] | None]  # status and code of the error; None: the request is served


def never(_: Request) -> None:
    return None


class ObjectStore:
    """On a free port of the loopback. `fault` is asked about every request; `failed` counts those that it failed."""

    def __init__(self) -> None:
        self._served = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._lock = threading.Lock()
        self.fault: Fault = never
        self.failed = 0

    def __enter__(self) -> "ObjectStore":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """How it is found. No region: it has a default."""
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}"}

    def client(self) -> Any:
        return boto3.client("s3")

    def keys(self, prefix: str) -> list[str]:
        """All objects below a prefix."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket="world", Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def _answer(self, environment: dict, start: Callable) -> Any:
        request = Request(environment)
        with self._lock:
            wrong = self.fault(request)
            self.failed += wrong is not None
        if wrong is None:
            return self._served(environment, start)
        request.get_data()  # a client that is cut off in the middle of its sending sees another error
        status, code = wrong
        body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}.</Message></Error>'
        return Response(body, status, content_type="application/xml")(environment, start)


def every(number: int) -> Fault:
    """Each so-manieth request is asked to come again."""
    count = iter(range(1, 10**9))
    return lambda _: SLOW_DOWN if next(count) % number == 0 else None


def writes_after(number: int) -> Fault:
    """So many objects can be written, then none."""
    count = iter(range(10**9))
    return lambda request: DENIED if request.method in ("PUT", "POST") and next(count) >= number else None


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


class Postgres:
    """Debian's PostgreSQL on a free port of the loopback, in a folder of its own, with databases of the given names.

    It refuses to run as root; there it runs as the user that its package made.
    """

    USER, PASSWORD = "rossmann", "a secret"

    def __init__(self, *databases: str) -> None:
        self._databases = databases
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
        if self._programs is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        (self.port,) = free_ports(1)

    def __enter__(self) -> "Postgres":
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        (self._folder / "password").write_text(self.PASSWORD)
        for path in (self._folder, *self._folder.iterdir()):
            if self._user:
                shutil.chown(path, self._user, self._user)
        told = [f"--username={self.USER}", f"--pwfile={self._folder}/password", "--auth=scram-sha-256", "--no-sync"]
        self._run("initdb", *told, "--encoding=UTF8")
        self.start()
        with psycopg.connect(self.url("postgres", ""), autocommit=True) as connection:
            for name in self._databases:
                connection.execute(f"CREATE DATABASE {name}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str, driver: str = "+psycopg") -> str:
        return f"postgresql{driver}://{self.USER}:{quote(self.PASSWORD)}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Ready when it returns."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder}/log", f"--options={options}")

    def stop(self) -> None:
        """As a loss of power does it: every connection breaks, and nothing is put in order."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def read(self, database: str, query: str) -> list[tuple]:
        with psycopg.connect(self.url(database, "")) as connection:
            return connection.execute(query).fetchall()

    @property
    def _user(self) -> str | None:
        return "postgres" if os.getuid() == 0 else None

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, f"--pgdata={self._folder}/data", *arguments]
        with (self._folder / "told").open("w") as told:
            done = subprocess.run(command, cwd=self._folder, user=self._user, stdout=told, stderr=told)
        assert done.returncode == 0, (self._folder / "told").read_text()
