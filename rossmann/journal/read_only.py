"""Reading the journal without writing to it and without waiting for a writer: for pages that people look at."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from rossmann.journal.entries import OPERATIONAL
from rossmann.journal.tables import connect, forecasts, requests

EARLIER_FORECAST_COLUMNS = ("origin", "model_version", "date", "forecast", "rows")


@contextmanager
def read_only_connection(url: str) -> Iterator[sa.Connection | None]:
    """A connection that cannot write; None if there is no journal yet, which the first writer creates."""
    address = sa.make_url(url)
    if address.get_backend_name() == "sqlite":
        if not Path(address.database or "").exists():
            yield None
            return
        file = f"file:{address.database}?mode=ro"
        engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(file, uri=True), poolclass=sa.NullPool)
    else:
        engine = connect(url).execution_options(postgresql_readonly=True)
    try:
        with engine.connect() as connection:
            yield connection if sa.inspect(connection).has_table(forecasts.name) else None
    finally:
        engine.dispose()


def read_only_table(url: str, query: sa.Select) -> pd.DataFrame:
    """The result of a query; without rows if there is no journal yet."""
    with read_only_connection(url) as connection:
        return read_only_frame(connection, query)


def read_only_frame(connection: sa.Connection | None, query: sa.Select) -> pd.DataFrame:
    """The result of a query on a connection of `read_only_connection`."""
    rows = [] if connection is None else connection.execute(query).fetchall()
    return pd.DataFrame(rows, columns=[column.name for column in query.selected_columns])


def read_earlier_forecasts(
    url: str, stores: Sequence[int] | None, first: date, last: date, before_origin: date, most: int
) -> pd.DataFrame:
    """What the `most` newest forecasts of the published plan said of the days first … last, the newest origin first.

    before_origin: only forecasts from earlier origins count.

    Columns EARLIER_FORECAST_COLUMNS, a row per forecast and day: `forecast` is the sum of these stores, None for all,
    and `rows` is how many of them it has.
    """
    empty = pd.DataFrame(columns=list(EARLIER_FORECAST_COLUMNS))
    with read_only_connection(url) as connection:
        if connection is None:
            return empty
        rows = connection.execute(_select_earlier_forecasts(stores, first, last, before_origin, most)).fetchall()
    table = pd.DataFrame(rows, columns=list(EARLIER_FORECAST_COLUMNS)) if rows else empty
    return table.astype({"origin": "datetime64[s]", "date": "datetime64[s]", "forecast": float, "rows": int})


def _select_earlier_forecasts(
    stores: Sequence[int] | None, first: date, last: date, before_origin: date, most: int
) -> sa.Select:
    is_batch = sa.and_(requests.c.batch == requests.c.id, requests.c.purpose == OPERATIONAL)
    newest_first = (requests.c.origin.desc(), requests.c.at.desc())
    newest = (
        sa.select(requests).where(is_batch, requests.c.origin < before_origin).order_by(*newest_first).limit(most).cte()
    )
    sums = (sa.func.sum(forecasts.c.forecast), sa.func.count())
    query = sa.select(newest.c.origin, newest.c.model_version, forecasts.c.date, *sums)
    query = query.join(forecasts, forecasts.c.request_id == newest.c.id).where(forecasts.c.date.between(first, last))
    if stores is not None:
        query = query.where(forecasts.c.store.in_(stores))
    groups = (newest.c.id, newest.c.origin, newest.c.at, newest.c.model_version, forecasts.c.date)
    return query.group_by(*groups).order_by(newest.c.origin.desc(), newest.c.at.desc(), forecasts.c.date)
