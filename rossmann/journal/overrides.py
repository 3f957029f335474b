"""The table of overrides: what planners write over forecasts, with reason, planner and time.

Rows are only added. Of a store and a day the last row counts; one without an amount withdraws what was there before.
The forecasts themselves are never changed: each row has the one that it is about.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from rossmann.journal.read_only import read_only_connection
from rossmann.journal.tables import as_records, connect, metadata, migrate, naive_utc, read_table

overrides = sa.Table(
    "overrides", metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # ascending in the order of writing
    sa.Column("store", sa.Integer, nullable=False),
    sa.Column("label", sa.Text),  # of the store in the chain's files; NULL: its number
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("forecast", sa.Float, nullable=False),  # the one that the planner saw
    sa.Column("model_version", sa.Integer, nullable=False),  # of this forecast
    sa.Column("origin", sa.Date, nullable=False),  # of this forecast
    sa.Column("amount", sa.Float),  # the planner's; NULL withdraws the one before
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("planner", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime, nullable=False, index=True),  # UTC
    sa.Index("overrides_by_day", "date", "store"),
)  # fmt: skip
OVERRIDE_COLUMNS = tuple(column.name for column in overrides.columns if column.name != "id")
DAYS = {"date": "datetime64[s]", "origin": "datetime64[s]", "at": "datetime64[s]"}
NUMBERS: dict[str, Any] = {"store": "int32", "forecast": float, "amount": float}


def add_overrides(url: str, rows: pd.DataFrame) -> None:
    """Add rows with OVERRIDE_COLUMNS, in one transaction; `at` has a time zone. Raises what the database raises."""
    records = as_records(rows[list(OVERRIDE_COLUMNS)])
    for record in records:
        record["at"] = naive_utc(record["at"])
    engine = connect(url)
    try:
        migrate(url)
        with engine.begin() as connection:
            connection.execute(sa.insert(overrides), records)
    finally:
        engine.dispose()


def read_overrides(url: str, first: date, last: date, stores: Sequence[int] = ()) -> pd.DataFrame:
    """All rows of the days first … last in the order of writing: id and OVERRIDE_COLUMNS, `at` in UTC.

    stores: only those of these numbers; default: of all.
    """
    query = sa.select(overrides).where(overrides.c.date.between(first, last)).order_by(overrides.c.id)
    if stores:
        query = query.where(overrides.c.store.in_(list(stores)))
    with read_only_connection(url) as connection:
        has_table = connection is not None and sa.inspect(connection).has_table(overrides.name)
        rows = connection.execute(query).fetchall() if connection is not None and has_table else []
    return pd.DataFrame(rows, columns=["id", *OVERRIDE_COLUMNS]).astype(DAYS | NUMBERS)


def count_old_overrides(url: str, cutoff: datetime) -> int:
    """The number of rows that `prune_overrides` would delete."""
    old = sa.select(sa.func.count()).select_from(overrides).where(_is_old(cutoff))
    return int(read_table(url, old).to_numpy()[0, 0])


def prune_overrides(url: str, cutoff: datetime) -> int:
    """Delete the rows from before a moment whose day is over by then. Returns their number."""
    engine = connect(url)
    try:
        migrate(url)
        with engine.begin() as connection:
            return connection.execute(sa.delete(overrides).where(_is_old(cutoff))).rowcount
    finally:
        engine.dispose()


def _is_old(cutoff: datetime) -> sa.ColumnElement[bool]:
    cutoff_utc = naive_utc(cutoff)
    return sa.and_(overrides.c.at < cutoff_utc, overrides.c.date < cutoff_utc.date())
