"""Files under one address, a local folder or s3://…: every write is there whole, or not at all."""

import errno
import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

S3 = "s3://"
UNFINISHED = ".unfinished"


class Files(Protocol):
    """What a place can do; names are relative to it, with / between folders. Raises OSError."""

    def exists(self, name: str) -> bool: ...
    def below(self) -> tuple[list[str], list[str]]: ...  # names of the folders and of the files directly in it
    def read(self, name: str) -> bytes: ...
    def write(self, name: str, content: bytes) -> None: ...
    def delete(self, name: str) -> None: ...


@dataclass(frozen=True)
class Folder:
    """On this machine."""

    root: Path

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def below(self) -> tuple[list[str], list[str]]:
        found = list(self.root.iterdir()) if self.root.exists() else []
        return [each.name for each in found if each.is_dir()], [each.name for each in found if each.is_file()]

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Appears under its name only when it is whole, and on the disk."""
        target = self.root / name
        unfinished = target.with_name(f"{target.name}.{uuid.uuid4().hex}{UNFINISHED}")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        (self.root / name).unlink()


@dataclass(frozen=True)
class Bucket:
    """In an object store. Keys, region, AWS_ENDPOINT_URL and how often a request is tried come from the environment."""

    bucket: str
    prefix: str  # empty, or ends with /

    def exists(self, name: str) -> bool:
        try:
            with self._told(name):
                _s3().head_object(Bucket=self.bucket, Key=self.prefix + name)
        except FileNotFoundError:
            return False
        return True

    def below(self) -> tuple[list[str], list[str]]:
        pages = _s3().get_paginator("list_objects_v2")
        folders, files = [], []
        with self._told(""):
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix, Delimiter="/"):
                folders += [each["Prefix"][len(self.prefix) : -1] for each in page.get("CommonPrefixes", ())]
                files += [each["Key"][len(self.prefix) :] for each in page.get("Contents", ())]
        return folders, [name for name in files if name]  # some tools mark a folder by an object without a name

    def read(self, name: str) -> bytes:
        buffer = io.BytesIO()
        with self._told(name):  # goes on where a broken connection ended
            _s3().download_fileobj(self.bucket, self.prefix + name, buffer)
        return buffer.getvalue()

    def write(self, name: str, content: bytes) -> None:
        """In one request, so that there is never a part of it."""
        with self._told(name):
            _s3().put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content)

    def delete(self, name: str) -> None:
        with self._told(name):
            _s3().delete_object(Bucket=self.bucket, Key=self.prefix + name)

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """What goes wrong is told as of any other file."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        address = f"{S3}{self.bucket}/{self.prefix}{name}"
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                raise FileNotFoundError(errno.ENOENT, "there is no such object", address) from error
            raise OSError(f"{address}: {error}") from error
        except (BotoCoreError, Boto3Error) as error:
            raise OSError(f"{address}: {error}") from error


@cache
def _s3() -> Any:
    """One client per process; threads may share it."""
    import boto3  # takes a second, and a local world needs none

    return boto3.client("s3")


@dataclass(frozen=True)
class Storage:
    """`root` is a folder, made with the first write, or s3://bucket/…, whose bucket must be there."""

    root: str

    @cached_property
    def _files(self) -> Files:
        scheme, _, place = self.root.rpartition("://")
        if not scheme:
            return Folder(Path(self.root).resolve())
        if f"{scheme}://" != S3:
            raise OSError(f"{self.root}: files lie in a folder or in {S3}bucket/…, nowhere else")
        bucket, _, prefix = place.partition("/")
        return Bucket(bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else "")

    def address(self, name: str) -> str:
        """Where a person finds `name`."""
        return os.path.join(self._files.root if isinstance(self._files, Folder) else self.root.rstrip("/"), name)

    def within(self, folder: str) -> "Storage":
        """The same storage, one folder down."""
        return Storage(f"{self.root.rstrip('/')}/{folder}")

    def exists(self, name: str) -> bool:
        return self._files.exists(name)

    def folders(self) -> list[str]:
        """Names of the folders directly below the root."""
        return sorted(self._files.below()[0])

    def names(self) -> list[str]:
        """Names of the whole files directly in the root."""
        return sorted(name for name in self._files.below()[1] if not name.endswith(UNFINISHED))

    def remove(self, name: str) -> None:
        """Nothing happens if somebody else was quicker."""
        with suppress(FileNotFoundError):
            self._files.delete(name)

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        return self._files.read(name)

    def write(self, name: str, content: bytes) -> str:
        """Write or replace `name`; answers its address."""
        self._files.write(name, content)
        return self.address(name)


def locate(path: str) -> tuple[Storage, str]:
    """Folder and name of a file, given by its path or s3:// address."""
    folder, _, name = path.rpartition("/")
    return Storage(folder or ("/" if path.startswith("/") else ".")), name
