"""Ports of the local stack, and the addresses that the environment names."""

from __future__ import annotations

import http.client
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from flows.cli.doctor.findings import OK, TIMEOUT_S, WARNING, WRONG, Finding, Surroundings
from flows.cli.doctor.machine import MAX_SKEW_S, judge_skew

LOOPBACK = "127.0.0.1"
LISTENING = "0A"  # state of a socket in /proc/net/tcp
DEFAULT_PORTS = {
    "http": 80, "https": 443, "postgresql": 5432, "postgres": 5432, "mysql": 3306, "ray": 10001, "redis": 6379,
}  # fmt: skip
EXAMPLES = {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}
ENDPOINT_PORT, SERVE_ADDRESS, ALIVE = "ROSSMANN_HTTP_PORT", "ROSSMANN_SERVE_ADDRESS", '"alive":true'
AWS_ADDRESS = "https://s3.amazonaws.com"


@dataclass(frozen=True)
class Port:
    """A port of `make up`: who listens, which variable changes it, and how its owner is recognised.

    `path` is asked by HTTP and its answer contains `answer`; without a path, the command line of the process is enough.
    """

    owner: str
    variable: str
    default: int
    answer: str = ""
    path: str = ""
    command: str = ""  # part of the command line of its process; {user} and {port} are replaced
    address: str = ""  # the variable that is set where other programs need it


PORTS = (
    Port("Prefect's server", "PREFECT_PORT", 4200, "true", "/api/health", address="PREFECT_API_URL"),
    Port("MLflow", "MLFLOW_PORT", 5000, "OK", "/health"),
    # Its proxy is the HAProxy whose command line has this folder.
    Port("the endpoint", ENDPOINT_PORT, 8000, ALIVE, "/health", "/serve-{user}-{port}/", address=SERVE_ADDRESS),
    Port("Ray's dashboard", "RAY_DASHBOARD_PORT", 8265, "Ray", "/", address=SERVE_ADDRESS),
    Port("Ray's client server", "RAY_CLIENT_PORT", 10001, command="ray.util.client.server"),
    Port("the dashboard", "DASHBOARD_PORT", 8501, "ok", "/_stcore/health"),
)


def ports(surroundings: Surroundings, table: tuple[Port, ...] = PORTS) -> Iterator[Finding]:
    """Each port of the local stack is free, or its own program listens there already.

    Where a part of the stack answers, a free port is that of a part which has ended, or was not started.
    """
    free: list[tuple[Port, str]] = []
    occupied: list[Finding] = []
    for port in table:
        text = surroundings.environment.get(port.variable) or str(port.default)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            yield Finding(
                "ports", WRONG, f"{port.variable} is no port number", f"set it like {port.variable}={port.default}"
            )
        elif is_free(int(text)):
            free.append((port, text))
        else:
            occupied.append(_occupied(port, int(text)))
    yield from occupied
    if any(each.status == OK for each in occupied):
        yield from (_absent(port, text, surroundings.environment) for port, text in free)
    elif free:
        yield Finding("ports", OK, f"free: {', '.join(text for _, text in free)}")


def is_free(number: int) -> bool:
    """Whether a server could listen on this port of the loopback address."""
    with socket.socket() as listener:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # ports that wait for their last packets are free
        try:
            listener.bind((LOOPBACK, number))
        except OSError:
            return False
    return True


def _occupied(port: Port, number: int) -> Finding:
    process = listening_process(number)
    is_own = process is not None and _is_command_of(port, number, process)
    if _answers(port, number) if port.path else is_own:
        return Finding("ports", OK, f"{number}: {port.owner} answers there")
    if is_own:
        text = f"{number}: the proxy of {port.owner} listens there, and no replica answers {port.path}"
        return Finding("ports", WRONG, text, "wait a minute while it starts, or deploy it again: rossmann serve")
    owner = (
        f"by {process.name} (process {process.number})" if process else "by a program of another user or in a container"
    )
    advice = f"end it, or give another port to both make up and make env: {port.variable}={number + 100}"
    return Finding("ports", WRONG, f"{number}, for {port.owner}, is in use {owner}", advice)


def _absent(port: Port, number: str, environment: Mapping[str, str]) -> Finding:
    """The finding about a port on which nothing listens while other parts of the stack answer."""
    text = f"{number}: nothing listens there, although the stack runs: {port.owner} is down, starting, or not started"
    advice = "make up starts it again within two minutes; if not, read its output, and stop and start it"
    is_needed = port.address in environment  # make env names the address of what the stack was told to start
    return Finding("ports", WRONG if is_needed else WARNING, text, advice)


def _answers(port: Port, number: int) -> bool:
    answer = ask(urlsplit(f"http://{LOOPBACK}:{number}"), port.path)
    return answer is not None and port.answer in answer.text


def _is_command_of(port: Port, number: int, process: Process) -> bool:
    part = port.command.format(user=os.getuid(), port=number)
    return bool(part) and part in process.command_line


@dataclass(frozen=True)
class Process:
    """A process of this machine. Its command line may contain secrets: it is no part of a finding."""

    number: str
    name: str
    command_line: str  # the arguments with spaces between them


def listening_process(number: int) -> Process | None:
    """The process that listens on a port; None if it cannot be seen."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
            inodes |= {row[9] for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == number}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(
                os.readlink(file) in {f"socket:[{inode}]" for inode in inodes} for file in (process / "fd").iterdir()
            ):
                name, arguments = ((process / file).read_text("utf-8", "replace") for file in ("comm", "cmdline"))
                return Process(process.name, name.strip(), arguments.replace("\0", " ").strip())
        except OSError:  # it has ended, or belongs to another user
            continue
    return None


def addresses(surroundings: Surroundings) -> Iterator[Finding]:
    """Whatever the environment names answers: databases, servers, object storage, Ray clusters."""
    if surroundings.settings is None:
        yield Finding(
            "addresses", WARNING, "not looked at, because the settings cannot be read", "correct the settings first"
        )
        return
    by_variable = named_addresses(surroundings)
    for variable, address in by_variable.items():
        yield from _reach(variable, address)
    if not by_variable:
        yield Finding("addresses", OK, "none is set: everything is in the workspace, on this machine")


def named_addresses(surroundings: Surroundings) -> Mapping[str, str]:
    """Address by variable, of those that are set and not files of this machine."""
    settings, environment = surroundings.settings, surroundings.environment
    assert settings is not None
    variables = {
        "ROSSMANN_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "ROSSMANN_JOURNAL_URL": settings.journal_url,
        "ROSSMANN_RAY_ADDRESS": settings.ray_address,
        "ROSSMANN_SERVE_ADDRESS": settings.serve_address,
        "PREFECT_API_URL": environment.get("PREFECT_API_URL"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": environment.get("PREFECT_SERVER_DATABASE_CONNECTION_URL"),
    }
    if settings.data_dir.startswith("s3://"):
        variables["AWS_ENDPOINT_URL"] = (
            environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or AWS_ADDRESS
        )
    files = ("sqlite", "file:")
    return {
        name: address
        for name, address in variables.items()
        if address and address not in ("local", "auto") and not address.startswith(files)
    }


def _reach(variable: str, address: str) -> Iterator[Finding]:
    from rossmann.settings import without_password

    if "://" not in address and variable != "ROSSMANN_RAY_ADDRESS":
        advice = f"write its scheme, too, like {variable}={EXAMPLES.get(variable, 'http://HOST:PORT')}"
        yield Finding("addresses", WRONG, f"{variable} is not an address with a scheme", advice)
        return
    try:
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:  # its message would show a part of the password
        port, parts = None, urlsplit("")
    if port is None or not parts.hostname:
        advice = "correct it; write /, ? and # of a password as %2F, %3F and %23"
        yield Finding("addresses", WRONG, f"{variable} is not an address with a host and a port", advice)
        return
    public_address = without_password(address)
    try:
        with socket.create_connection((parts.hostname, port), TIMEOUT_S):
            pass
    except OSError as error:
        advice = f"start it, open the network's way to it, or change {variable}"
        yield Finding(
            "addresses", WRONG, f"{variable}: {public_address} does not respond ({error.strerror or error})", advice
        )
        return
    yield Finding("addresses", OK, f"{variable}: {public_address} responds")
    if parts.scheme in ("http", "https"):
        yield from _skew(variable, parts)


def _skew(variable: str, parts: SplitResult) -> Iterator[Finding]:
    answer = ask(parts, "/")
    if answer is not None and answer.date is not None and abs(answer.date - time.time()) > MAX_SKEW_S:
        yield judge_skew(f"the server of {variable}", answer.date, time.time())


@dataclass(frozen=True)
class Answer:
    """Status, the first kilobytes of an answer, and its date in seconds since 1970, if the server names it."""

    status: int
    text: str
    date: float | None


def ask(parts: SplitResult, path: str, headers: Mapping[str, str] | None = None) -> Answer | None:
    """GET a path of a server, whatever its status. None if it does not answer by HTTP in time."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or LOOPBACK, parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        date = response.getheader("Date")
        text = response.read(4096).decode("utf-8", "replace")
        return Answer(response.status, text, parse_date(date) if date else None)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def parse_date(text: str) -> float | None:
    """Seconds since 1970 of the Date header of HTTP; None if it is none."""
    return parsedate_to_datetime(text).timestamp() if re.match(r"\w{3}, \d\d \w{3} \d{4} ", text) else None
