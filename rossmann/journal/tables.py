"""The journal's two tables, and how an entry gets into them once, whoever tries how often."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql, sqlite

from rossmann.data import STATE_HOLIDAYS, Plan
from rossmann.models import Forecast

BUSY_S = 10  # that a connection waits for another writer of the same SQLite file
LOCK = 7_034_115  # any number of our own: who migrates PostgreSQL holds it
ROWS_AT_ONCE = 5_000  # rows of one statement

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
    sa.Index("forecasts_by_day", "date", "store"),
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One answered request, or one batch."""

    request: str  # its id, unique
    at: datetime  # when it was answered, with its time zone
    source: str  # http or batch
    model_version: int
    snapshot: str
    origin: np.datetime64
    latency_ms: float
    plan: Plan  # as asked, arrays [rows]
    forecast: Forecast


def record(url: str, entry: Entry) -> None:
    """Write one entry now. The same request id again changes nothing. Raises what the database raises."""
    engine = connect(url)
    try:
        migrate(url)
        insert(engine, [entry])
    finally:
        engine.dispose()


def prune(url: str, before: datetime) -> int:
    """Delete the requests that are older, with their forecasts; answers how many."""
    engine = connect(url)
    old = sa.select(requests.c.id).where(requests.c.at < _utc(before))
    try:
        migrate(url)
        with engine.begin() as connection:
            connection.execute(sa.delete(forecasts).where(forecasts.c.request_id.in_(old)))
            return connection.execute(sa.delete(requests).where(requests.c.at < _utc(before))).rowcount
    finally:
        engine.dispose()


def connect(url: str) -> sa.Engine:
    """An engine that is kind to other writers; touches nothing yet."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})
    sa.event.listen(engine, "connect", _concurrent)
    return engine


def insert(engine: sa.Engine, entries: Sequence[Entry]) -> None:
    """Write the entries in one transaction; those that are there already are left as they are."""
    with engine.begin() as connection:
        add = or_ignore(connection)
        connection.execute(add(requests), [_request(entry) for entry in entries])
        rows = [row for entry in entries for row in _rows(entry)]
        for first in range(0, len(rows), ROWS_AT_ONCE):
            connection.execute(add(forecasts), rows[first : first + ROWS_AT_ONCE])


def migrate(url: str) -> None:
    """Bring the schema to this code's version; of several processes at once one does it and the others wait."""
    engine = connect(url)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()


def _concurrent(connection, _) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy or `migrate` says so, DDL included
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def or_ignore(connection: sa.Connection):
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    return lambda table: dialect.insert(table).on_conflict_do_nothing()


def _request(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.request,
        "at": _utc(entry.at),
        "source": entry.source,
        "model_version": entry.model_version,
        "snapshot": entry.snapshot,
        "origin": entry.origin.astype("datetime64[D]").item(),
        "rows": len(entry.plan),
        "latency_ms": entry.latency_ms,
    }


def _rows(entry: Entry) -> list[dict[str, object]]:
    plan, made, count = entry.plan, entry.forecast, len(entry.plan)
    columns = {
        "request_id": [entry.request] * count,
        "position": range(count),
        "store": plan.store.tolist(),
        "date": plan.date.astype("datetime64[D]").tolist(),
        "lead_days": (plan.date - entry.origin).astype(int).tolist(),
        "forecast": made.sales.tolist(),
        "lower": _known(made.lower),
        "upper": _known(made.upper),
        "open": plan.open.astype(bool).tolist(),
        "promo": plan.promo.astype(bool).tolist(),
        "state_holiday": [STATE_HOLIDAYS[code] for code in plan.state_holiday.tolist()],
        "school_holiday": plan.school_holiday.astype(bool).tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _known(values: np.ndarray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]  # NaN, which PostgreSQL would keep


def _utc(moment: datetime) -> datetime:
    """In UTC, without saying so: SQLite knows no time zones."""
    return moment.astimezone(UTC).replace(tzinfo=None)
