"""Servers for tests: moto's S3 server, whose requests can be made to fail, and Debian's PostgreSQL."""

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

from tests.support.cluster import free_ports

BUCKET = "workspaces"  # of the fixture object_store
SLOW_DOWN, ACCESS_DENIED = (503, "SlowDown"), (403, "AccessDenied")
Fault = Callable[[Request], tuple[int, str] | None]  # HTTP status and error code; None: the request succeeds


def no_fault(_: Request) -> None:
    """Every request succeeds."""


class ObjectStore:
    """An S3 server on a free loopback port. `fault` decides for every request; `failed` counts the failed ones."""

    def __init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._respond, threaded=True, request_handler=_SilentHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._lock = threading.Lock()
        self.fault: Fault = no_fault
        self.failed = 0

    def __enter__(self) -> "ObjectStore":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which S3 clients find the server. The region has a default."""
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}"}

    def client(self) -> Any:
        """An S3 client; the environment must have `environment`."""
        return boto3.client("s3")

    def keys(self, prefix: str) -> list[str]:
        """The keys of all objects in BUCKET with a prefix."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def _respond(self, environment: dict, start: Callable) -> Any:
        request = Request(environment)
        with self._lock:
            error = self.fault(request)
            self.failed += error is not None
        if error is None:
            return self._application(environment, start)
        request.get_data()  # otherwise a client that is still sending sees a broken connection
        status, code = error
        body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}.</Message></Error>'
        return Response(body, status, content_type="application/xml")(environment, start)


def slow_down_every(number: int) -> Fault:
    """Every `number`-th request fails, and the client should retry it."""
    count = iter(range(1, 10**9))
    return lambda _: SLOW_DOWN if next(count) % number == 0 else None


def writes_denied_after(number: int) -> Fault:
    """The first `number` writes succeed, all others are denied."""
    count = iter(range(10**9))
    return lambda request: ACCESS_DENIED if request.method in ("PUT", "POST") and next(count) >= number else None


class _SilentHandler(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


class Postgres:
    """Debian's PostgreSQL on a free loopback port, in a temporary folder, with the named databases.

    PostgreSQL refuses to run as root; then it runs as the user postgres, which its package creates.
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
        options = [f"--username={self.USER}", f"--pwfile={self._folder}/password", "--auth=scram-sha-256", "--no-sync"]
        self._run("initdb", *options, "--encoding=UTF8")
        self.start()
        with psycopg.connect(self.url("postgres", ""), autocommit=True) as connection:
            for name in self._databases:
                connection.execute(f"CREATE DATABASE {name}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str, driver: str = "+psycopg") -> str:
        """The address of a database for SQLAlchemy; with an empty driver, for psycopg."""
        return f"postgresql{driver}://{self.USER}:{quote(self.PASSWORD)}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder}/log", f"--options={options}")

    def stop(self) -> None:
        """Stop the server without a shutdown of its connections and files, as after a power failure."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def read(self, database: str, query: str) -> list[tuple]:
        """The rows of a query."""
        with psycopg.connect(self.url(database, "")) as connection:
            return connection.execute(query).fetchall()

    @property
    def _user(self) -> str | None:
        return "postgres" if os.getuid() == 0 else None

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, f"--pgdata={self._folder}/data", *arguments]
        log_file = self._folder / "output"
        with log_file.open("w") as log:
            process = subprocess.run(command, cwd=self._folder, user=self._user, stdout=log, stderr=log)
        assert process.returncode == 0, log_file.read_text()
