"""Tables that grow: how each day was forecast, how the endpoint was asked, what was found to drift.

A row, once written, is never written differently: what was told of a day stays what was told.
"""

from datetime import date

import pandas as pd
import sqlalchemy as sa

from rossmann.journal.tables import ROWS_AT_ONCE, connect, forecasts, metadata, migrate, or_ignore, requests

accuracy = sa.Table(
    "accuracy", metadata,
    sa.Column("date", sa.Date, primary_key=True),  # that was forecast
    sa.Column("source", sa.String(8), primary_key=True),  # batch, http, or baseline: the median, on the same rows
    sa.Column("model_version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("slice", sa.String(16), primary_key=True),  # all, lead_week, store_type, promo or store
    sa.Column("value", sa.String(16), primary_key=True),  # of the slice
    sa.Column("rows", sa.Integer, nullable=False),  # with sales
    sa.Column("squared", sa.Float, nullable=False),  # sum of squared relative errors
    sa.Column("absolute", sa.Float, nullable=False),  # sum of absolute errors
    sa.Column("error", sa.Float, nullable=False),  # sum of forecast − sales
    sa.Column("sales", sa.Float, nullable=False),  # sum
    sa.Column("bounded", sa.Integer, nullable=False),  # rows that have an interval
    sa.Column("covered", sa.Integer, nullable=False),  # of these, rows inside it
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
findings = sa.Table(
    "findings", metadata,
    sa.Column("date", sa.Date, primary_key=True),  # the last day that was looked at
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("of", sa.String(64), primary_key=True),  # column, store type, stores
    sa.Column("effect", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("alarm", sa.Boolean, nullable=False),
    sa.Column("since", sa.Date),
    sa.Column("reference", sa.String(64), nullable=False),
    sa.Column("story", sa.Text, nullable=False),
)  # fmt: skip
GIVEN = ("request_id", "source", "model_version", "origin", "store", "date", "lead_days", "forecast", "lower", "upper",
         "open", "promo")  # fmt: skip


def given(url: str, first: date, last: date) -> pd.DataFrame:
    """Every forecast that was given for the days first … last, both included: a row each, columns GIVEN."""
    named = {column.name: column for table in (requests, forecasts) for column in table.columns}
    asked = sa.select(*(named[name] for name in GIVEN)).join_from(forecasts, requests)
    rows = _read(url, asked.where(forecasts.c.date.between(first, last)))
    numbers = dict.fromkeys(("forecast", "lower", "upper"), float)  # also where there are no rows to tell
    return rows.astype({"origin": "datetime64[s]", "date": "datetime64[s]", **numbers})


def keep(url: str, table: sa.Table, rows: pd.DataFrame) -> None:
    """Add rows; those whose key is there already stay as they are. Raises what the database raises."""
    engine = connect(url)
    records = rows[[column.name for column in table.columns]].astype(object).where(lambda cells: cells.notna(), None)
    try:
        migrate(url)
        with engine.begin() as connection:
            add = or_ignore(connection)(table)
            for first in range(0, len(records), ROWS_AT_ONCE):
                connection.execute(add, records[first : first + ROWS_AT_ONCE].to_dict("records"))
    finally:
        engine.dispose()


def kept(url: str, table: sa.Table, since: date) -> pd.DataFrame:
    """The rows from `since` on."""
    rows = _read(url, sa.select(table).where(table.c.date >= since).order_by(table.c.date))
    return rows.astype({"date": "datetime64[s]"})


def asked_between(url: str, first: date, last: date) -> pd.DataFrame:
    """Traffic of the (UTC) days first … last: requests, rows, and percentiles of the latency in ms, by source."""
    rows = _read(url, sa.select(requests.c.at, requests.c.source, requests.c.rows, requests.c.latency_ms).where(
        requests.c.at >= first, requests.c.at < pd.Timestamp(last) + pd.Timedelta(days=1)))  # fmt: skip
    rows = rows.assign(date=pd.to_datetime(rows["at"]).dt.date)
    groups = rows.groupby(["date", "source"])
    return groups.agg(
        requests=("rows", "size"), rows=("rows", "sum"), p50_ms=("latency_ms", "median"),
        p99_ms=("latency_ms", lambda ms: ms.quantile(0.99)),
    ).reset_index()  # fmt: skip


def _read(url: str, query: sa.Select) -> pd.DataFrame:
    engine = connect(url)
    try:
        migrate(url)
        with engine.connect() as connection:
            found = connection.execute(query)
            return pd.DataFrame(found.fetchall(), columns=list(found.keys()))
    finally:
        engine.dispose()
