"""Sums that the database adds up for the dashboard, and the newest entry, by which its pages are cached.

Everything is read without writing; a journal that does not exist yet is an empty one.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

import pandas as pd
import sqlalchemy as sa

from rossmann.journal.entries import BATCH_PREFIX
from rossmann.journal.monitoring_tables import accuracy, traffic
from rossmann.journal.queries import ONE_DAY, traffic_between
from rossmann.journal.read_only import read_only_connection, read_only_frame, read_only_table
from rossmann.journal.tables import forecasts, requests
from rossmann.models import Quantiles

SUM_COLUMNS = [column for column in accuracy.columns if not column.primary_key]
ONE_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class NewestRequest:
    """The request that was written last."""

    id: str
    at: datetime  # UTC, without a time zone


def newest_request(url: str) -> NewestRequest | None:
    """The newest entry of the journal; None for an empty one."""
    rows = read_only_table(url, sa.select(requests.c.id, requests.c.at).order_by(requests.c.at.desc()).limit(1))
    return NewestRequest(rows.id[0], pd.Timestamp(rows["at"][0]).to_pydatetime()) if len(rows) else None


def newest_scored_day(url: str) -> date | None:
    """The newest day of the table `accuracy`; None for an empty one."""
    with read_only_connection(url) as connection:
        return None if connection is None else connection.scalar(sa.select(sa.func.max(accuracy.c.date)))


def sum_accuracy(url: str, slices: tuple[str, ...], first: date, last: date) -> pd.DataFrame:
    """The daily sums of whole slices, first … last: date, source, model_version, slice, value and the sums."""
    of_slices = sa.and_(accuracy.c.slice.in_(slices), accuracy.c.date.between(first, last))
    return read_only_table(url, sa.select(accuracy).where(of_slices)).astype({"date": "datetime64[s]"})


def sum_store_accuracy(url: str, model_version: int, first: date, last: date) -> pd.DataFrame:
    """The sums of each store over the days first … last, of one model version's forecasts: store and the sums."""
    sums = [sa.func.sum(column).label(column.name) for column in SUM_COLUMNS]
    of_stores = sa.and_(
        accuracy.c.slice == "store", accuracy.c.date.between(first, last), accuracy.c.model_version == model_version
    )
    query = sa.select(accuracy.c.value.label("store"), *sums).where(of_stores).group_by(accuracy.c.value)
    return read_only_table(url, query).astype({"store": int})


def read_since(url: str, table: sa.Table, since: date) -> pd.DataFrame:
    """The rows of a monitoring table from a day on, ordered by date."""
    rows = read_only_table(url, sa.select(table).where(table.c.date >= since).order_by(table.c.date))
    return rows.astype({"date": "datetime64[s]"})


def hourly_traffic(url: str, end: datetime, hours: int) -> pd.DataFrame:
    """Traffic of the hours before `end`, a moment in UTC without a time zone, by source: `hour` is when one begins."""
    starts = [end - back * ONE_HOUR for back in range(hours, 0, -1)]
    with read_only_connection(url) as connection:
        rows = [
            {"hour": start, **row}
            for start in starts
            if connection is not None
            for row in traffic_between(connection, start, start + ONE_HOUR)
        ]
    return pd.DataFrame(rows, columns=["hour", *(column.name for column in traffic.columns if column.name != "date")])


def read_newest_batches(url: str, model_version: int, first: date, last: date) -> list[tuple[pd.DataFrame, Quantiles]]:
    """Of the days first … last, the newest forecasts of a model version in stored batches, with their quantiles.

    The newest batch of an origin forecasts the days after it up to the next origin. A table per batch: store, date,
    forecast, standard_deviation.
    """
    parts = []
    with read_only_connection(url) as connection:
        if connection is None:
            return []
        batches = _batches(connection, model_version, last)
        starts = [*(origin + ONE_DAY for _, origin, _ in batches), last + ONE_DAY]
        for (batch, _, quantiles), (start, end) in zip(batches, pairwise(starts), strict=True):
            if end > first and quantiles:
                rows = _batch_rows(connection, batch, max(start, first), end - ONE_DAY)
                parts.append((rows, Quantiles.of_document(quantiles)))
    return [(rows, quantiles) for rows, quantiles in parts if len(rows)]


def _batches(connection: sa.Connection, model_version: int, last: date) -> list[tuple[str, date, dict | None]]:
    """Id, origin and quantiles of the newest stored batch of each origin before `last`, oldest first."""
    is_batch = requests.c.id.startswith(f"{BATCH_PREFIX}{model_version}-", autoescape=True)
    query = sa.select(requests.c.id, requests.c.origin, requests.c.quantiles).where(is_batch, requests.c.origin < last)
    rows = connection.execute(query.order_by(requests.c.origin, requests.c.at)).all()
    return [(row.id, row.origin, row.quantiles) for row in {row.origin: row for row in rows}.values()]


def _batch_rows(connection: sa.Connection | None, batch: str, first: date, last: date) -> pd.DataFrame:
    columns = (forecasts.c.store, forecasts.c.date, forecasts.c.forecast, forecasts.c.standard_deviation)
    of_days = sa.and_(forecasts.c.request_id == batch, forecasts.c.date.between(first, last))
    return read_only_frame(connection, sa.select(*columns).where(of_days)).astype({"date": "datetime64[s]"})
