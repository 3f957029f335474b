"""The records of MLflow that this project reads: model versions with their aliases, and runs with their tags.

MLflow's client and its store take two seconds to import, for which every listing and every forecast in a terminal would
wait. So the SQLite database of a workspace is read by `sqlite3`; a server, and any other database, by the client.
Whatever writes goes through the client.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rossmann.registry.connection import MODEL, Registry
from rossmann.validation import DataError

BUSY_TIMEOUT_S = 60  # how long a writer may hold the database

HAS_TABLES = "select 1 from sqlite_master where name = 'registered_model_aliases'"
VERSIONS = """
select version, source from model_versions
where name = ? and workspace = 'default' and current_stage <> 'Deleted_Internal' order by version desc
"""
VERSION_TAGS = "select version, key, value from model_version_tags where name = ? and workspace = 'default'"
ALIASES = "select version, alias from registered_model_aliases where name = ? and workspace = 'default' order by alias"
RUNS = """
select run_uuid, start_time, status from runs join experiments using (experiment_id)
where experiments.name = ? and workspace = 'default' and runs.lifecycle_stage = 'active'
order by start_time desc, run_uuid
"""
RUN_TAGS = """
select run_uuid, key, value from tags join runs using (run_uuid) join experiments using (experiment_id)
where experiments.name = ? and workspace = 'default'
"""


@dataclass(frozen=True)
class VersionRecord:
    """A version of the registered model."""

    version: int
    source: str  # address of its files
    aliases: tuple[str, ...]  # sorted
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RunRecord:
    """A run of an experiment."""

    run_id: str
    start_ms: int  # since 1970, UTC
    status: str
    tags: Mapping[str, str]


def read_versions(registry: Registry) -> list[VersionRecord]:
    """All versions of the model, newest first."""
    if registry.sqlite_file is None:
        return _versions_of_client(registry)
    versions, tags, aliases = _query(registry.sqlite_file, (VERSIONS, VERSION_TAGS, ALIASES), MODEL)
    return [
        VersionRecord(
            version,
            source,
            tuple(alias for number, alias in aliases if number == version),
            {key: value for number, key, value in tags if number == version},
        )
        for version, source in versions
    ]


def read_runs(registry: Registry, experiment: str) -> list[RunRecord]:
    """The runs of an experiment, given by its name, newest first."""
    if registry.sqlite_file is None:
        return _runs_of_client(registry, experiment)
    runs, tags = _query(registry.sqlite_file, (RUNS, RUN_TAGS), experiment)
    by_run: dict[str, dict[str, str]] = {run_id: {} for run_id, _, _ in runs}
    for run_id, key, value in tags:
        by_run.get(run_id, {})[key] = value
    return [RunRecord(run_id, start_ms, status, by_run[run_id]) for run_id, start_ms, status in runs]


def _query(file: Path, queries: Iterable[str], name: str) -> list[list[tuple[Any, ...]]]:
    """The rows of each query at one moment; none before MLflow has created its tables with the first write."""
    queries = tuple(queries)
    try:
        file.stat()
    except FileNotFoundError:
        return [[] for _ in queries]
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", BUSY_TIMEOUT_S, uri=True)) as database:
            database.execute("begin")
            if database.execute(HAS_TABLES).fetchone() is None:
                return [[] for _ in queries]
            return [database.execute(query, (name,)).fetchall() for query in queries]
    except sqlite3.OperationalError as error:
        if "no such" not in str(error):
            raise
        raise DataError(
            f"another version of MLflow wrote {file} ({error}): run mlflow db upgrade sqlite:///{file}"
        ) from error


def _versions_of_client(registry: Registry) -> list[VersionRecord]:
    from mlflow.exceptions import MlflowException

    try:
        model = registry.client.get_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    aliases: dict[int, list[str]] = {}
    for alias, version in model.aliases.items():
        aliases.setdefault(int(version), []).append(alias)
    records = (
        VersionRecord(
            int(each.version), each.source or "", tuple(sorted(aliases.get(int(each.version), ()))), dict(each.tags)
        )
        for each in registry.client.search_model_versions(f"name = '{MODEL}'")
    )
    return sorted(records, key=lambda record: -record.version)


def _runs_of_client(registry: Registry, experiment: str) -> list[RunRecord]:
    records, token = [], None
    while True:
        page = registry.client.search_runs(
            [registry.experiment(experiment)], order_by=["attributes.start_time DESC"], page_token=token
        )
        records += [RunRecord(run.info.run_id, run.info.start_time, run.info.status, run.data.tags) for run in page]
        if (token := page.token) is None:
            return records
