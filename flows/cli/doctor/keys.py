"""API keys, and files with secrets that others may read. No secret is part of a finding."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from flows.cli.doctor.findings import OK, REPOSITORY, WARNING, WRONG, Finding, Surroundings

MIN_KEY_LENGTH = 20  # characters; shorter keys can be guessed
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
NEW_KEY = "openssl rand -hex 32"
OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH


def keys(surroundings: Surroundings) -> Iterator[Finding]:
    """An endpoint that others reach has keys, and they are long."""
    yield from api_keys(surroundings)
    yield from aws_keys(surroundings)
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


def aws_keys(surroundings: Surroundings) -> Iterator[Finding]:
    """Both halves of the key of the object storage, or none: then boto3 looks elsewhere for them."""
    present = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if surroundings.environment.get(name)]
    if len(present) == 1:
        yield Finding(
            "keys", WRONG, f"only {present[0]} is set", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or none"
        )


def token_files(surroundings: Surroundings) -> set[Path]:
    """Where `make up` writes Ray's token, and where the environment says that it is."""
    other = surroundings.environment.get("RAY_AUTH_TOKEN_PATH")
    return {Path(surroundings.workspace) / "ray-token"} | ({Path(other)} if other else set())


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
