"""The monitoring tables: accuracy, traffic and drift findings by day.

The rows of a day are added once. Accuracy and findings are replaced, by whole days, when the day is computed again from
other data.
"""

from collections.abc import Sequence
from datetime import date

import pandas as pd
import sqlalchemy as sa

from rossmann.journal.tables import (
    ROWS_PER_STATEMENT,
    as_records,
    connect,
    insert_or_ignore,
    metadata,
    migrate,
    read_table,
)

accuracy = sa.Table(
    "accuracy", metadata,
    sa.Column("date", sa.Date, primary_key=True),  # of the forecast day
    sa.Column("source", sa.String(8), primary_key=True),  # batch, or baseline: the median
    sa.Column("model_version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("slice", sa.String(16), primary_key=True),  # all, lead_week, attribute, promotion or store
    sa.Column("value", sa.Text, primary_key=True),  # of the slice
    sa.Column("rows", sa.Integer, nullable=False),  # number of forecasts of days with sales
    sa.Column("squared_relative_error", sa.Float, nullable=False),  # sum of ((forecast − sales) / sales)²
    sa.Column("absolute_error", sa.Float, nullable=False),  # sum
    sa.Column("error", sa.Float, nullable=False),  # sum of forecast − sales
    sa.Column("sales", sa.Float, nullable=False),  # sum
    sa.Column("interval_rows", sa.Integer, nullable=False),  # rows that have lower and upper bounds
    sa.Column("covered_rows", sa.Integer, nullable=False),  # of these, rows whose sales are within the bounds
)  # fmt: skip
traffic = sa.Table(
    "traffic", metadata,
    sa.Column("date", sa.Date, primary_key=True),  # UTC
    sa.Column("source", sa.String(8), primary_key=True),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("p50_ms", sa.Float, nullable=False),
    sa.Column("p99_ms", sa.Float, nullable=False),
)  # fmt: skip
drift_findings = sa.Table(
    "drift_findings", metadata,
    sa.Column("date", sa.Date, primary_key=True),  # last day of the window
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),  # a column, an attribute or a group of stores
    sa.Column("effect", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("alarm", sa.Boolean, nullable=False),
    sa.Column("since", sa.Date),
    sa.Column("reference", sa.String(64), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)  # fmt: skip


def append_rows(url: str, table: sa.Table, rows: pd.DataFrame) -> None:
    """Add rows to a monitoring table; rows whose key exists are ignored. Raises what the database raises."""
    replace_days(url, table, (), rows)


def replace_days(url: str, table: sa.Table, days: Sequence[date], rows: pd.DataFrame) -> None:
    """Delete all rows of some days from a monitoring table and add others, in one transaction.

    Rows whose key still exists are ignored. Raises what the database raises.
    """
    engine = connect(url)
    records = as_records(rows[[column.name for column in table.columns]])
    try:
        migrate(url)
        with engine.begin() as connection:
            insert_into = insert_or_ignore(connection)
            connection.execute(sa.delete(table).where(table.c.date.in_(days)))
            for first in range(0, len(records), ROWS_PER_STATEMENT):
                batch = records[first : first + ROWS_PER_STATEMENT]
                connection.execute(insert_into(table), batch)
    finally:
        engine.dispose()


def read_rows(url: str, table: sa.Table, since: date) -> pd.DataFrame:
    """The rows of a monitoring table from the day `since` on, ordered by date."""
    rows = read_table(url, sa.select(table).where(table.c.date >= since).order_by(table.c.date))
    return rows.astype({"date": "datetime64[s]"})
