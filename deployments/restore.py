"""Make a workspace from a backup, at the old path or at another one: python deployments/restore.py BACKUP WORKSPACE

MLflow stores the addresses of its files as absolute paths, so they are changed to the new path.
"""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

ADDRESSES = {  # columns of MLflow's database, by table
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
EXPERIMENT = "rossmann-backtests"  # its files are in models/ of the workspace, under its name


def restore(backup: Path, workspace: Path) -> None:
    """Copy a backup to a new folder. FileExistsError if the folder exists."""
    shutil.copytree(backup, workspace)
    if (workspace / "mlflow.db").exists():
        with closing(sqlite3.connect(workspace / "mlflow.db")) as database, database:
            _move_addresses(database, str(workspace.resolve()))


def _move_addresses(database: sqlite3.Connection, root: str) -> None:
    """Replace the path of the workspace that was copied by a new one in every address."""
    row = database.execute("SELECT artifact_location FROM experiments WHERE name = ?", [EXPERIMENT]).fetchone()
    if row is None:
        return  # no model has been trained
    old = row[0].removesuffix(f"/models/{EXPERIMENT}")
    for table, columns in ADDRESSES.items():
        for column in columns:
            database.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, :length + 1) "
                f"WHERE substr({column}, 1, :length + 1) = :old || '/'",
                {"new": root, "old": old, "length": len(old)},
            )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    restore(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(f"{sys.argv[2]} is made from {sys.argv[1]}\n")
