"""API keys, and files with secrets that others may read. No secret is part of a finding."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from flows.cli.doctor.findings import OK, REPOSITORY, WARNING, WRONG, Finding, Surroundings
from flows.cli.doctor.network import ALIVE, LOOPBACK, ask

MIN_KEY_LENGTH = 20  # characters; shorter keys can be guessed
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
PRIVATE_PATH, UNAUTHORIZED = "/model", 401  # a path of the endpoint that needs a key
TOKEN = "ray-token"  # in the workspace
NEW_KEY = "openssl rand -hex 32"
OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH


def keys(surroundings: Surroundings) -> Iterator[Finding]:
    """API keys of the settings and of the running endpoint, AWS keys, Ray's token, and readers of secret files."""
    yield from api_keys(surroundings)
    yield from endpoint_keys(surroundings)
    yield from aws_keys(surroundings)
    yield from missing_token(surroundings)
    tokens = token_files(surroundings)
    for file in secret_files(surroundings):
        yield from file_mode(file, is_token=file in tokens)


def api_keys(surroundings: Surroundings) -> Iterator[Finding]:
    """ROSSMANN_API_KEYS, and whether the endpoint needs them."""
    settings = surroundings.settings
    if settings is None:
        return
    lengths = [len(key.get_secret_value()) for key in settings.api_keys]
    short = sum(length < MIN_KEY_LENGTH for length in lengths)
    if not lengths and settings.http_host not in LOOPBACK_HOSTS:
        text = f"the endpoint listens on {settings.http_host}, which others reach, and there are no API keys"
        yield Finding("keys", WRONG, text, f"set ROSSMANN_API_KEYS; a new key: {NEW_KEY}")
    elif short:
        text = f"{short} of {len(lengths)} API keys have fewer than {MIN_KEY_LENGTH} characters"
        yield Finding("keys", WARNING, text, f"replace them in ROSSMANN_API_KEYS; a new key: {NEW_KEY}")
    elif lengths:
        yield Finding("keys", OK, f"{len(lengths)} API keys are set and long enough")
    else:
        yield Finding("keys", OK, "no API keys are set: the endpoint answers callers on this machine only")


def endpoint_keys(surroundings: Surroundings) -> Iterator[Finding]:
    """The endpoint that runs on this machine has the keys of these settings. Nobody else gets to see a key."""
    settings = surroundings.settings
    endpoint = urlsplit(f"http://{LOOPBACK}:{settings.http_port}") if settings else None
    health = ask(endpoint, "/health") if endpoint else None
    if settings is None or endpoint is None or health is None or ALIVE not in health.text:
        return
    without_key = ask(endpoint, PRIVATE_PATH)
    requires_key = without_key is not None and without_key.status == UNAUTHORIZED
    if requires_key and not settings.api_keys:
        text = "the running endpoint requires an API key, and none is set here"
        yield Finding("keys", WRONG, text, "set ROSSMANN_API_KEYS to what it was when the stack was started")
    elif settings.api_keys and not requires_key:
        text = "API keys are set here, but the running endpoint has none"
        yield Finding("keys", WARNING, text, "stop the stack and start it with them, or unset ROSSMANN_API_KEYS here")
    elif requires_key:
        answers = [ask(endpoint, PRIVATE_PATH, {"X-API-Key": key.get_secret_value()}) for key in settings.api_keys]
        refused = sum(each is not None and each.status == UNAUTHORIZED for each in answers)
        if refused:
            text = f"the running endpoint refuses {refused} of {len(answers)} API keys"
            yield Finding("keys", WRONG, text, "set ROSSMANN_API_KEYS to what it was when the stack was started, "
                                               "or stop the stack and start it with these keys")  # fmt: skip


def missing_token(surroundings: Surroundings) -> Iterator[Finding]:
    """The file of RAY_AUTH_TOKEN_PATH exists. That of the workspace is written by `make up`."""
    name = surroundings.environment.get("RAY_AUTH_TOKEN_PATH")
    if name and not Path(name).exists() and Path(name).absolute() != Path(surroundings.workspace) / TOKEN:
        text = f"RAY_AUTH_TOKEN_PATH: there is no file {name}, so nothing here reaches Ray"
        yield Finding("keys", WRONG, text, 'name the token of the stack: eval "$(make -s env)" does')


def aws_keys(surroundings: Surroundings) -> Iterator[Finding]:
    """Both halves of the key of the object storage, or none: then boto3 looks elsewhere for them."""
    present = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if surroundings.environment.get(name)]
    if len(present) == 1:
        yield Finding(
            "keys", WRONG, f"only {present[0]} is set", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or none"
        )


def token_files(surroundings: Surroundings) -> set[Path]:
    """Where `make up` writes Ray's token, and where the environment says that it is."""
    configured_path = surroundings.environment.get("RAY_AUTH_TOKEN_PATH")
    return {Path(surroundings.workspace) / TOKEN} | ({Path(configured_path)} if configured_path else set())


def secret_files(surroundings: Surroundings, repository: Path = REPOSITORY) -> list[Path]:
    """Files with secrets of this installation that exist."""
    home = Path(os.path.expanduser("~"))
    compose = {repository / "compose.env", repository / "deployments" / "compose.env"}
    files = token_files(surroundings) | compose | {home / ".aws" / "credentials", home / ".pgpass"}
    return sorted(file for file in files if file.is_file())


def file_mode(file: Path, is_token: bool) -> Iterator[Finding]:
    """A file with a secret can be read by its owner only, and is not empty."""
    status = file.stat()
    if status.st_mode & OTHERS_MAY_READ:
        text = f"{file} contains a secret, and others may read it (mode {stat.S_IMODE(status.st_mode):o})"
        yield Finding("keys", WRONG, text, f"chmod 600 {file}; if others use this machine, replace the secret, too")
    elif not os.access(file, os.R_OK):
        yield Finding(
            "keys", WRONG, f"{file} cannot be read by this user", f"chown it to the user that runs the stack: {file}"
        )
    elif status.st_size == 0:
        advice = f"delete it; `make up` writes a new token: rm {file}" if is_token else "fill it in or delete it"
        yield Finding("keys", WRONG, f"{file} is empty", advice)
