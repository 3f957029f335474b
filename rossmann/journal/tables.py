"""The tables of requests and forecasts. Writes are idempotent: an existing request id is ignored."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql, sqlite

from rossmann.journal.entries import OPERATIONAL, BatchRows, JournalEntry, to_ranges
from rossmann.models import Quantiles
from rossmann.schema import HOLIDAY_KINDS, to_date

BUSY_TIMEOUT_S = 10  # for which a connection waits for another writer of the same SQLite file
MIGRATION_LOCK = 7_034_115  # an arbitrary number: the advisory lock of the process that migrates PostgreSQL
ROWS_PER_STATEMENT = 5_000
REQUESTS_PER_DELETION, ROWS_PER_DELETION = 5_000, 100_000  # in one transaction, which takes a second

metadata = sa.MetaData()
requests = sa.Table(
    "requests", metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("at", sa.DateTime, nullable=False, index=True),  # UTC
    sa.Column("source", sa.String(8), nullable=False),  # http or batch
    sa.Column("model_version", sa.Integer, nullable=False),
    sa.Column("snapshot", sa.String(16), nullable=False),
    sa.Column("origin", sa.Date, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("latency_ms", sa.Float, nullable=False),
    sa.Column("purpose", sa.String(16), nullable=False, server_default=OPERATIONAL),
    sa.Column("batch", sa.String(64), index=True),  # id of the batch whose rows were returned; of a batch, its own
    sa.Column("positions", sa.Text),  # of these rows in the batch: 0-2,9; of other requests NULL
    sa.Column("quantiles", sa.JSON(none_as_null=True)),  # `Quantiles` of the rows; NULL where they are of a batch
)  # fmt: skip
forecasts = sa.Table(
    "forecasts", metadata,
    sa.Column("request_id", sa.ForeignKey("requests.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),  # of the row in its request
    sa.Column("store", sa.Integer, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("lead_days", sa.Integer, nullable=False),
    sa.Column("forecast", sa.Float, nullable=False),
    sa.Column("lower", sa.Float),
    sa.Column("upper", sa.Float),
    sa.Column("open", sa.Boolean, nullable=False),
    sa.Column("promo", sa.Boolean, nullable=False),
    sa.Column("state_holiday", sa.String(1), nullable=False),
    sa.Column("school_holiday", sa.Boolean, nullable=False),
    sa.Column("standard_deviation", sa.Float),  # of the error of log sales
    sa.Column("label", sa.Text),  # of the store in the chain's files; NULL: its number
    sa.Index("forecasts_by_day", "date", "store"),
)  # fmt: skip


def write_entries(url: str, entries: Sequence[JournalEntry]) -> None:
    """Write entries now. Those whose request id exists are ignored. Raises what the database raises."""
    engine = connect(url)
    try:
        migrate(url)
        insert(engine, entries)
    finally:
        engine.dispose()


def prune(url: str, cutoff: datetime) -> int:
    """Delete the requests from before a moment, with their forecasts. Returns the number of requests.

    A batch stays as long as a younger request refers to it. Many short transactions let others write in between.
    """
    engine, deleted = connect(url), 0
    try:
        migrate(url)
        while True:
            with engine.begin() as connection:
                _begin(connection)
                ids = _oldest(connection, cutoff)
                connection.execute(sa.delete(forecasts).where(forecasts.c.request_id.in_(ids)))
                connection.execute(sa.delete(requests).where(requests.c.id.in_(ids)))
            if not ids:
                return deleted
            deleted += len(ids)
    finally:
        engine.dispose()


def count_old(url: str, cutoff: datetime) -> tuple[int, int]:
    """The numbers of requests and of forecasts that `prune` would delete."""
    engine = connect(url)
    old = sa.select(requests.c.id).where(_is_old(cutoff))
    try:
        migrate(url)
        with engine.connect() as connection:
            request_count = connection.scalar(sa.select(sa.func.count()).select_from(old.subquery()))
            rows = sa.select(sa.func.count()).select_from(forecasts).where(forecasts.c.request_id.in_(old))
            return request_count or 0, connection.scalar(rows) or 0
    finally:
        engine.dispose()


def connect(url: str) -> sa.Engine:
    """An engine for several concurrent writers; it does not connect yet."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    # An open connection would write on into a file that was deleted or replaced, and nobody would notice.
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, poolclass=sa.NullPool)
    sa.event.listen(engine, "connect", _configure_sqlite)
    return engine


def insert(engine: sa.Engine, entries: Sequence[JournalEntry]) -> None:
    """Write the entries in one transaction; those whose request id exists are ignored."""
    if not entries:
        return
    with engine.begin() as connection:
        insert_into = insert_or_ignore(connection)
        new = _without_stored_batches(connection, entries)
        connection.execute(insert_into(requests), [_request_row(entry) for entry in entries])
        rows = (row for entry in new for row in _forecast_rows(entry))
        while some := list(islice(rows, ROWS_PER_STATEMENT)):
            connection.execute(insert_into(forecasts), some)


def find_missing_batches(engine: sa.Engine, entries: Sequence[JournalEntry]) -> set[str]:
    """The ids of batches that the entries refer to, and that are neither stored nor among the entries."""
    ids = {entry.batch for entry in entries if entry.batch} - {entry.request_id for entry in entries}
    if not ids:
        return set()
    with engine.connect() as connection:
        return ids - set(connection.scalars(sa.select(requests.c.id).where(requests.c.id.in_(ids))))


def migrate(url: str) -> None:
    """Bring the schema to this code's version; if several processes try at once, one does it and the others wait."""
    engine = connect(url)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            command.upgrade(alembic_config(connection), "head")
            connection.commit()
    finally:
        engine.dispose()


@contextmanager
def open_connection(url: str) -> Iterator[sa.Connection]:
    """A connection for reading, to a database with this code's schema. Raises what the database raises."""
    engine = connect(url)
    try:
        migrate(url)
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def read_table(url: str, query: sa.Select) -> pd.DataFrame:
    """The result of a query. Raises what the database raises."""
    with open_connection(url) as connection:
        return read_frame(connection, query)


def read_frame(connection: sa.Connection, query: sa.Select) -> pd.DataFrame:
    """The result of a query on an open connection."""
    result = connection.execute(query)
    return pd.DataFrame(result.fetchall(), columns=list(result.keys()))


def alembic_config(connection: sa.Connection) -> Config:
    """Alembic's configuration for this package's migrations on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def insert_or_ignore(connection: sa.Connection) -> Callable[[sa.Table], sa.Insert]:
    """A function that makes an INSERT for a table which ignores rows whose key exists; starts SQLite's transaction."""
    _begin(connection)
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return lambda table: dialect.insert(table).on_conflict_do_nothing()


def _begin(connection: sa.Connection) -> None:
    """Begin SQLite's transaction as a writer; PostgreSQL's has begun."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _oldest(connection: sa.Connection, cutoff: datetime) -> list[str]:
    """Ids of the oldest requests from before a moment: at least one, then as many as fit into one transaction."""
    oldest = sa.select(requests.c.id, requests.c.rows).where(_is_old(cutoff)).order_by(requests.c.at)
    candidates = connection.execute(oldest.limit(REQUESTS_PER_DELETION)).all()
    rows_before = accumulate((row.rows for row in candidates), initial=0)
    return [row.id for row, rows in zip(candidates, rows_before, strict=False) if rows < ROWS_PER_DELETION]


def _is_old(cutoff: datetime) -> sa.ColumnElement[bool]:
    """Whether a request is from before a moment, and none from after it refers to its rows."""
    cutoff_utc, younger = naive_utc(cutoff), requests.alias()
    later_reference = sa.select(younger.c.id).where(younger.c.batch == requests.c.id, younger.c.at >= cutoff_utc)
    return sa.and_(requests.c.at < cutoff_utc, ~later_reference.exists())


def _without_stored_batches(connection: sa.Connection, entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """The entries, but no batch that is stored already: its many rows need not be sent to be ignored."""
    ids = [entry.request_id for entry in entries if entry.is_batch]
    stored_ids = set(connection.scalars(sa.select(requests.c.id).where(requests.c.id.in_(ids)))) if ids else set()
    return [entry for entry in entries if entry.request_id not in stored_ids]


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy or `migrate` begins them, also for DDL
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _request_row(entry: JournalEntry) -> dict[str, object]:
    answer = entry.answer
    return {
        "id": entry.request_id,
        "at": naive_utc(entry.at),
        "source": entry.source,
        "model_version": entry.model_version,
        "snapshot": entry.snapshot,
        "origin": to_date(entry.origin),
        "rows": len(entry.answer),
        "latency_ms": entry.latency_ms,
        "purpose": entry.purpose,
        "batch": entry.request_id if entry.is_batch else entry.batch,
        "positions": to_ranges(answer.positions) if isinstance(answer, BatchRows) else None,
        "quantiles": None if isinstance(answer, BatchRows) else _document(answer.quantiles),
    }


def _forecast_rows(entry: JournalEntry) -> Iterator[dict[str, object]]:
    """The rows one by one: those of a whole published plan would take 50 MB."""
    if isinstance(entry.answer, BatchRows):
        return
    plan, forecast, count = entry.answer.plan, entry.answer.forecast, len(entry.answer)
    columns = {
        "request_id": [entry.request_id] * count,
        "position": range(count),
        "store": plan.store.tolist(),
        "label": [None] * count if entry.answer.label is None else entry.answer.label.tolist(),
        "date": plan.date.astype("datetime64[D]").tolist(),
        "lead_days": (plan.date - entry.origin).astype(int).tolist(),
        "forecast": forecast.sales.tolist(),
        "lower": _none_for_nan(forecast.lower),
        "upper": _none_for_nan(forecast.upper),
        "standard_deviation": _none_for_nan(forecast.standard_deviation),
        "open": plan.open.astype(bool).tolist(),
        "promo": plan.promotion.astype(bool).tolist(),
        "state_holiday": [HOLIDAY_KINDS[code] for code in plan.holiday_kind.tolist()],
        "school_holiday": plan.school_break.astype(bool).tolist(),
    }
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _document(quantiles: Quantiles | None) -> dict[str, object] | None:
    return vars(quantiles) if quantiles else None


def as_records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries of Python's objects, None in place of NaN and NaT."""
    cells = rows.astype(object)
    cells = cells.where(cells.notna(), None)  # type: ignore[call-overload]  # pandas-stubs lack None
    return cells.to_dict("records")


def _none_for_nan(values: np.ndarray) -> list[float | None]:
    """None becomes NULL; PostgreSQL would store NaN as a number."""
    return [None if value != value else value for value in values.tolist()]


def naive_utc(moment: datetime) -> datetime:
    """In UTC without a time zone, which SQLite does not store."""
    return moment.astimezone(UTC).replace(tzinfo=None)
