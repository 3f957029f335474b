"""Files under one address, a local folder or s3://…: every write is there whole, or not at all."""

import os
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyarrow import fs


@dataclass(frozen=True)
class Storage:
    """`root` is created with the first write. On s3://, credentials and AWS_ENDPOINT_URL come from the environment."""

    root: str

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        if "://" not in self.root:
            return fs.LocalFileSystem(), str(Path(self.root).resolve())
        return fs.FileSystem.from_uri(self.root)

    @property
    def local(self) -> bool:
        return isinstance(self._opened[0], fs.LocalFileSystem)

    def address(self, name: str) -> str:
        """Where a person finds `name`."""
        return f"{self.root.rstrip('/')}/{name}" if not self.local else os.path.join(self._opened[1], name)

    def within(self, folder: str) -> "Storage":
        """The same storage, one folder down."""
        return Storage(f"{self.root.rstrip('/')}/{folder}")

    def exists(self, name: str) -> bool:
        files, root = self._opened
        return files.get_file_info(f"{root}/{name}").type != fs.FileType.NotFound

    def folders(self) -> list[str]:
        """Names of the folders directly below the root."""
        files, root = self._opened
        below = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
        return sorted(info.base_name for info in below if info.type == fs.FileType.Directory)

    def names(self) -> list[str]:
        """Names of the whole files directly in the root."""
        files, root = self._opened
        there = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
        found = sorted(info.base_name for info in there if info.type == fs.FileType.File)
        return [name for name in found if not name.endswith(".unfinished")]

    def take(self, name: str) -> bytes | None:
        """Read a file and remove it; None if somebody else was quicker."""
        files, root = self._opened
        try:
            content = self.read(name)
            files.delete_file(f"{root}/{name}")
        except FileNotFoundError:
            return None
        return content

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        files, root = self._opened
        with files.open_input_file(f"{root}/{name}") as file:
            return file.read()

    def write(self, name: str, content: bytes) -> str:
        """Write or replace `name`; answers its address. A local file appears under its name only when it is whole."""
        files, root = self._opened
        target = f"{root}/{name}"
        if not self.local:  # an object store shows an object only when its upload is complete
            with files.open_output_stream(target) as file:
                file.write(content)
            return self.address(name)
        unfinished = Path(f"{target}.{uuid.uuid4().hex}.unfinished")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return self.address(name)


def locate(path: str) -> tuple[Storage, str]:
    """Folder and name of a file, given by its path or s3:// address."""
    folder, _, name = path.rpartition("/")
    return Storage(folder or ("/" if path.startswith("/") else ".")), name
