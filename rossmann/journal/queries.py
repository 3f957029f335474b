"""What monitoring and the adaptation of quantiles ask the journal.

Forecasts are queried a day at a time, which bounds what the database sorts.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa

from rossmann.data import SalesHistory
from rossmann.journal.entries import OPERATIONAL, from_ranges
from rossmann.journal.monitoring_tables import traffic
from rossmann.journal.tables import forecasts, open_connection, read_table, requests
from rossmann.models import Quantiles
from rossmann.schema import FORECAST_COLUMNS
from rossmann.validation import DataError

JOURNAL_FORECAST_COLUMNS = (
    "request_id", "source", "model_version", "origin", "store", "date", "lead_days", "forecast", "lower", "upper",
    "open", "promotion",
)  # fmt: skip
COUNT_KEY = ("date", "source", "model_version", "store")
QUANTILES = {"p50_ms": 0.5, "p99_ms": 0.99}
ONE_DAY = timedelta(days=1)


def read_forecasts(url: str, first: date, last: date) -> Iterator[pd.DataFrame]:
    """The operational forecasts of each day of first … last that has any: a row each, JOURNAL_FORECAST_COLUMNS."""
    with open_connection(url) as connection:
        for day in _days(first, last):
            if rows := connection.execute(_operational_forecasts(day)).fetchall():
                yield _frame(rows)


def read_newest_forecasts(url: str, first: date, last: date, stores: Sequence[int] = ()) -> pd.DataFrame:
    """Of each store and day, first … last, the operational forecast of the latest origin; columns as above.

    stores: only those of these numbers; default: of all.
    """
    days = list(_days(first, last))
    queries = [_newest_forecasts(days, stores)] if stores else [_newest_forecasts([day]) for day in days]
    with open_connection(url) as connection:
        return _frame([row for query in queries for row in connection.execute(query)])


def count_forecasts(url: str, first: date, last: date) -> pd.DataFrame:
    """Of how many origins there are operational forecasts of each day, first … last: columns COUNT_KEY and rows."""
    with open_connection(url) as connection:
        rows = [row for day in _days(first, last) for row in connection.execute(_counts(day))]
    return pd.DataFrame(rows, columns=[*COUNT_KEY, "rows"]).astype({"date": "datetime64[s]"})


def read_scaled_errors(
    url: str, model_version: int, history: SalesHistory, until: date, last: date
) -> Iterator[np.ndarray]:
    """The errors of a model version's operational forecasts, of each day after `until` up to `last` that has any.

    log(sales / forecast) in standard deviations of each row, of all origins; closed days are left out. [rows of a day]
    """
    columns = (forecasts.c.store, forecasts.c.date, forecasts.c.forecast, forecasts.c.standard_deviation)
    of_model = sa.select(*columns).join_from(forecasts, requests).where(
        requests.c.purpose == OPERATIONAL, requests.c.model_version == model_version,
        forecasts.c.forecast > 0, forecasts.c.standard_deviation > 0,
    )  # fmt: skip
    with open_connection(url) as connection:
        for day in _days(until + ONE_DAY, last):
            if not (rows := connection.execute(of_model.where(forecasts.c.date == day)).fetchall()):
                continue
            store, dates, forecast, deviation = (np.array(column) for column in zip(*rows, strict=True))
            sales = history.take("sales", store, dates.astype("datetime64[D]"))
            sold = sales > 0
            if sold.any():
                yield np.log(sales[sold] / forecast[sold]) / deviation[sold]


def read_answer(url: str, request_id: str) -> pd.DataFrame:
    """The rows that a request got, in their order: the columns of the table `forecasts`, and the quantiles q05, q10, ….

    Requests of versions before 0.5.0 have no quantiles.

    DataError for a request that the journal does not have, and for one whose rows are of a batch that is lost.
    """
    request = read_table(url, sa.select(requests).where(requests.c.id == request_id))
    if request.empty:
        raise DataError(
            f"the journal has no request {request_id}: it was never answered, was lost, or is deleted by now"
        )
    batch = request.batch[0]
    is_of_request = forecasts.c.request_id == (batch or request_id)
    table = read_table(url, sa.select(forecasts).where(is_of_request).order_by(forecasts.c.position))
    if batch is None or batch == request_id:
        return _with_quantiles(table, request.quantiles[0])
    if table.empty:
        raise DataError(f"the forecasts of request {request_id} are lost: the journal does not have {batch}")
    batch_quantiles = read_table(url, sa.select(requests.c.quantiles).where(requests.c.id == batch))
    rows = table.iloc[from_ranges(request.positions[0])].reset_index(drop=True)
    return _with_quantiles(rows, batch_quantiles.quantiles[0])


def daily_traffic(url: str, first: date, last: date) -> pd.DataFrame:
    """Traffic of the UTC days first … last by source, without days that are in the table `traffic` already."""
    with open_connection(url) as connection:
        stored_days = set(connection.scalars(sa.select(traffic.c.date).distinct()))
        rows = [
            {"date": day, **row}
            for day in _days(first, last)
            if day not in stored_days
            for row in traffic_between(connection, day, day + ONE_DAY)
        ]
    return pd.DataFrame(rows, columns=[column.name for column in traffic.columns])


def _with_quantiles(table: pd.DataFrame, document: dict | None) -> pd.DataFrame:
    """The rows with a column per quantile, the same values that were returned."""
    if document is None:
        return table
    quantiles = Quantiles.of_document(document)
    return table.assign(**quantiles.by_name(table.standard_deviation.to_numpy(), table.forecast.to_numpy()))


def _operational_forecasts(*days: date) -> sa.Select:
    columns: dict[str, sa.ColumnElement] = {
        column.name: column for table in (requests, forecasts) for column in table.columns
    }
    columns["promotion"] = forecasts.c.promo.label("promotion")
    query = sa.select(*(columns[name] for name in JOURNAL_FORECAST_COLUMNS)).join_from(forecasts, requests)
    return query.where(forecasts.c.date.in_(days), requests.c.purpose == OPERATIONAL)


def _counts(day: date) -> sa.Select:
    rows = _operational_forecasts(day).subquery()
    key = [rows.c[name] for name in COUNT_KEY]
    return sa.select(*key, sa.func.count(rows.c.origin.distinct())).group_by(*key)


def _newest_forecasts(days: Sequence[date], stores: Sequence[int] = ()) -> sa.Select:
    """A batch is as new as the newest request for its rows: after a rollback, an older one is forecast again."""
    references = requests.alias()
    batches = sa.select(references.c.batch, sa.func.max(references.c.at).label("at")).group_by(references.c.batch).cte()
    at = sa.func.coalesce(
        sa.select(batches.c.at).where(batches.c.batch == requests.c.id).scalar_subquery(), requests.c.at
    )
    newest_first = (requests.c.origin.desc(), at.desc())
    rank = (
        sa.func.row_number()
        .over(partition_by=(forecasts.c.date, forecasts.c.store), order_by=newest_first)
        .label("rank")
    )
    of_stores = [forecasts.c.store.in_(list(stores))] if stores else []
    with_rank = _operational_forecasts(*days).where(*of_stores).add_columns(rank).subquery()
    query = sa.select(*(with_rank.c[name] for name in JOURNAL_FORECAST_COLUMNS)).where(with_rank.c.rank == 1)
    return query.order_by(with_rank.c.date, with_rank.c.store)


def _frame(rows: Sequence[sa.Row]) -> pd.DataFrame:
    numbers = dict.fromkeys(FORECAST_COLUMNS, float)  # without rows, or with NULL only, pandas infers object
    table = pd.DataFrame(rows, columns=list(JOURNAL_FORECAST_COLUMNS))
    return table.astype({"origin": "datetime64[s]", "date": "datetime64[s]", **numbers})


def traffic_between(connection: sa.Connection, start: date, end: date) -> Iterator[dict[str, object]]:
    """Traffic of the moments from `start` to before `end`, in UTC, a row per source. A stored batch is no request."""
    is_request = sa.or_(requests.c.batch.is_(None), requests.c.batch != requests.c.id)
    of_time = sa.and_(requests.c.at >= start, requests.c.at < end, is_request)
    totals = sa.select(requests.c.source, sa.func.count(), sa.func.sum(requests.c.rows)).where(of_time)
    for source, count, rows in connection.execute(totals.group_by(requests.c.source)).all():
        latency = sa.select(requests.c.latency_ms).where(of_time, requests.c.source == source)
        quantiles = {name: _quantile(connection, latency, count, share) for name, share in QUANTILES.items()}
        yield {"source": source, "requests": count, "rows": rows, **quantiles}


def _quantile(connection: sa.Connection, values: sa.Select, count: int, share: float) -> float:
    """A quantile of a column, interpolated; the database sorts, and returns the two values around it."""
    position = share * (count - 1)
    (column,) = values.selected_columns
    neighbours = connection.scalars(values.order_by(column).offset(int(position)).limit(2)).all()
    return float(np.interp(position - int(position), range(len(neighbours)), neighbours))


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += ONE_DAY
