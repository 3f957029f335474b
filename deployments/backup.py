"""Copy a workspace in a folder to a new folder, while it is in use: python deployments/backup.py WORKSPACE BACKUP

Each SQLite database is copied by SQLite itself, so that the copy is complete whoever writes meanwhile. A workspace in a
bucket, and databases in PostgreSQL, are copied with their own tools.
"""

import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

DATABASES = ("mlflow.db", "journal.db", "prefect/prefect.db")
LEFT_OUT = ("*.db", "*.db-wal", "*.db-shm", "*.lock", "*.pid", "prefect-embedded", "replays", "fev", "ray-token")


def back_up(workspace: Path, backup: Path) -> None:
    """Copy a workspace. FileExistsError if the folder of the copy exists."""
    databases = [workspace / name for name in DATABASES if (workspace / name).exists()]
    if not databases:
        raise FileNotFoundError(f"{workspace} has none of {', '.join(DATABASES)}: it is no workspace of this project")
    if backup.exists():
        raise FileExistsError(f"{backup} exists: name another folder, so that no copy is mixed with an older one")
    backup.mkdir(parents=True)
    for database in databases:  # first, so that every file that they name is there when it is copied
        target = backup / database.relative_to(workspace)
        target.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    shutil.copytree(
        workspace, backup, ignore=shutil.ignore_patterns(*LEFT_OUT), copy_function=_copy, dirs_exist_ok=True
    )


def _copy(source: str, target: str) -> None:
    """Copy a file, unless it is gone: files are written under another name first, and journal entries are moved."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        back_up(Path(sys.argv[1]), Path(sys.argv[2]))
    except (FileExistsError, FileNotFoundError) as error:
        sys.exit(str(error))
    sys.stdout.write(f"{sys.argv[1]} is copied to {sys.argv[2]}\n")
