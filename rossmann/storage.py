"""Files in a local folder or under an s3:// address. A write is atomic: readers see the whole file or none."""

import errno
import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

S3 = "s3://"
UNFINISHED = ".unfinished"  # ending of a file that is being written


@dataclass(frozen=True)
class StoredFile:
    """A file of a storage."""

    name: str
    size: int  # bytes
    modified: datetime  # with its time zone, by the clock of the disk or the object store


class Files(Protocol):
    """Operations on one directory. Names are relative to it, with / between folders. All raise OSError."""

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        ...

    def list_names(self) -> tuple[list[str], list[str]]:
        """Names of the folders and of the files directly in this folder, in any order."""
        ...

    def list_files(self) -> list[StoredFile]:
        """The files directly in this folder, in any order."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file."""
        ...

    def read_start(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a file, or all of a shorter one."""
        ...

    def read_end(self, name: str, size: int) -> bytes:
        """The last `size` bytes of a file, or all of a shorter one."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Create or replace a file."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file."""
        ...

    def delete_folder(self, name: str) -> None:
        """Delete a folder without files, where folders exist at all."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder on this machine."""

    root: Path

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def list_names(self) -> tuple[list[str], list[str]]:
        paths = list(self.root.iterdir()) if self.root.exists() else []
        return [path.name for path in paths if path.is_dir()], [path.name for path in paths if path.is_file()]

    def list_files(self) -> list[StoredFile]:
        files = []
        for path in self.root.iterdir() if self.root.exists() else ():
            with suppress(FileNotFoundError):  # deleted meanwhile
                status = path.stat()
                if path.is_file():
                    files.append(StoredFile(path.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
        return files

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def read_start(self, name: str, size: int) -> bytes:
        with (self.root / name).open("rb") as file:
            return file.read(size)

    def read_end(self, name: str, size: int) -> bytes:
        path = self.root / name
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - size, 0))
            return file.read(size)

    def write(self, name: str, content: bytes) -> None:
        """Write to a temporary name and rename it once the content is on the disk."""
        target = self.root / name
        unfinished = target.with_name(f"{target.name}.{uuid.uuid4().hex}{UNFINISHED}")
        with errors_with_path(target):
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

    def delete_folder(self, name: str) -> None:
        (self.root / name).rmdir()


@dataclass(frozen=True)
class Bucket:
    """A bucket of an object store. The environment has its keys, region, AWS_ENDPOINT_URL and number of retries."""

    bucket: str
    prefix: str  # empty, or ends with /

    def exists(self, name: str) -> bool:
        try:
            with self._os_errors(name):
                _s3().head_object(Bucket=self.bucket, Key=self.prefix + name)
        except FileNotFoundError:
            return False
        return True

    def list_names(self) -> tuple[list[str], list[str]]:
        pages = _s3().get_paginator("list_objects_v2")
        folders, files = [], []
        with self._os_errors(""):
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix, Delimiter="/"):
                folders += [entry["Prefix"][len(self.prefix) : -1] for entry in page.get("CommonPrefixes", ())]
                files += [entry["Key"][len(self.prefix) :] for entry in page.get("Contents", ())]
        return folders, [name for name in files if name]  # some tools mark a folder by an object with an empty name

    def list_files(self) -> list[StoredFile]:
        pages = _s3().get_paginator("list_objects_v2")
        with self._os_errors(""):
            entries = [
                entry
                for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix, Delimiter="/")
                for entry in page.get("Contents", ())
            ]
        files = [StoredFile(each["Key"][len(self.prefix) :], each["Size"], each["LastModified"]) for each in entries]
        return [file for file in files if file.name]

    def read(self, name: str) -> bytes:
        buffer = io.BytesIO()
        with self._os_errors(name):  # unlike get_object, this resumes after a broken connection
            _s3().download_fileobj(self.bucket, self.prefix + name, buffer)
        return buffer.getvalue()

    def read_start(self, name: str, size: int) -> bytes:
        with self._os_errors(name):
            return _s3().get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].read(size)

    def read_end(self, name: str, size: int) -> bytes:
        with self._os_errors(name):
            return _s3().get_object(Bucket=self.bucket, Key=self.prefix + name, Range=f"bytes=-{size}")["Body"].read()

    def write(self, name: str, content: bytes) -> None:
        """Write in one request, so that there is never a part of a file."""
        with self._os_errors(name):
            _s3().put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content)

    def delete(self, name: str) -> None:
        with self._os_errors(name):
            _s3().delete_object(Bucket=self.bucket, Key=self.prefix + name)

    def delete_folder(self, name: str) -> None:
        """A bucket has no folders."""

    @contextmanager
    def _os_errors(self, name: str) -> Iterator[None]:
        """Turn the client's exceptions into OSError with the address, as local files raise it."""
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


@contextmanager
def errors_with_path(path: Path) -> Iterator[None]:
    """Put the path of a file into the OSErrors of its writing.

    The system's own errors have the name of a temporary file, or none if the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@cache
def _s3() -> Any:
    """The S3 client of this process; threads may share it."""
    import boto3  # takes a second, and a workspace in a folder does not need it

    return boto3.client("s3")


@dataclass(frozen=True)
class Storage:
    """The files of one folder or s3:// address.

    `root` is a folder, which the first write creates, or s3://bucket/…, whose bucket must exist.
    """

    root: str

    @cached_property
    def _files(self) -> Files:
        scheme, _, place = self.root.rpartition("://")
        if not scheme:
            return Folder(Path(self.root).resolve())
        if f"{scheme}://" != S3:
            raise OSError(f"{self.root} is not supported; use a folder or an address {S3}bucket/…")
        bucket, _, prefix = place.partition("/")
        return Bucket(bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else "")

    def address(self, name: str) -> str:
        """The absolute path or s3:// address of `name`."""
        return os.path.join(self._files.root if isinstance(self._files, Folder) else self.root.rstrip("/"), name)

    def subfolder(self, name: str) -> "Storage":
        """The storage of a folder in this one."""
        return Storage(f"{self.root.rstrip('/')}/{name}")

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name. Raises OSError if the storage cannot be reached."""
        return self._files.exists(name)

    def folders(self) -> list[str]:
        """Sorted names of the folders directly in this folder."""
        return sorted(self._files.list_names()[0])

    def file_names(self) -> list[str]:
        """Sorted names of the files directly in this folder, without those that are being written."""
        return sorted(name for name in self._files.list_names()[1] if not name.endswith(UNFINISHED))

    def files(self) -> list[StoredFile]:
        """The files directly in this folder by name, with size and time, without those that are being written."""
        files = (file for file in self._files.list_files() if not file.name.endswith(UNFINISHED))
        return sorted(files, key=lambda file: file.name)

    def delete_folder(self, name: str, first: str) -> None:
        """Delete a folder with the files directly in it; the file `first` goes first, so the rest is incomplete."""
        folder = self.subfolder(name)
        for file in sorted(folder.file_names(), key=lambda file: file != first):
            folder.delete_if_exists(file)
        with suppress(OSError):  # a file in it is being written
            self._files.delete_folder(name)

    def delete_if_exists(self, name: str) -> None:
        """Delete a file; no error if it does not exist, since another process may have deleted it."""
        with suppress(FileNotFoundError):
            self._files.delete(name)

    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError, or another OSError."""
        return self._files.read(name)

    def read_start(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a file, or all of a shorter one. Raises as `read`."""
        return self._files.read_start(name, size)

    def read_end(self, name: str, size: int) -> bytes:
        """The last `size` bytes of a file, or all of a shorter one. Raises as `read`."""
        return self._files.read_end(name, size)

    def write(self, name: str, content: bytes) -> str:
        """Create or replace a file. Returns its address."""
        self._files.write(name, content)
        return self.address(name)


def split_path(path: str) -> tuple[Storage, str]:
    """Storage and name of a file from its path or s3:// address."""
    folder, _, name = path.rpartition("/")
    return Storage(folder or ("/" if path.startswith("/") else ".")), name
