"""Champion → the next horizon for all stores, or for the rows of a plan → file and journal.

After release, and daily. Needs a snapshot and a champion; made anew each time, since it takes seconds.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows import pages, schedule, world
from rossmann import data, figures, forecasting, journal, registry
from rossmann.forecasting import Delivered
from rossmann.journal import Entry
from rossmann.registry import Registered
from rossmann.settings import Settings


@flow
def forecast(plan: str | None = None, out: str | None = None, kaggle: bool = False) -> Delivered:
    """Forecast every row of the plan with the champion.

    plan: a CSV with Store, Date and, where known, Id, Open, Promo, StateHoliday, SchoolHoliday;
    default: the published plan. out: the CSV to write; default: a file in the world's forecasts. kaggle: write Id and
    Sales only.
    """
    settings = Settings()
    schedule.only_this_one()
    champion = registry.champion(world.models(settings))
    delivered, entry = deliver(champion, data.current_snapshot(world.snapshots(settings)), plan, out, kaggle)
    create_markdown_artifact(pages.forecast(delivered), key="forecast")
    record(settings.journal, entry)  # after the file is there; a forecast that nobody can check later is a failed run
    prune(settings.journal, datetime.now(UTC) - timedelta(days=settings.journal_days))
    return delivered


record = task(journal.record, retries=3, retry_delay_seconds=[1, 10, 60], cache_policy=NO_CACHE)
prune = task(journal.prune, retries=3, retry_delay_seconds=[1, 10, 60], cache_policy=NO_CACHE)


@task(cache_policy=NO_CACHE)
def deliver(
    champion: Registered, snapshot: str, plan: str | None, out: str | None, kaggle: bool
) -> tuple[Delivered, Entry]:
    """Forecast, check, and write the table and its picture; answers what the journal should know too."""
    settings, started = Settings(), time.perf_counter()
    history = world.history(settings, snapshot)
    rows, ids = data.read_plan(plan, history) if plan else (history.plan(history.origin, settings.horizon_days), None)
    forecaster = registry.load(world.models(settings), champion)
    table = forecasting.forecast(forecaster, history, rows, ids)
    csv = forecasting.csv(forecasting.kaggle(table) if kaggle else table)
    covered = f"{forecaster.intervals.coverage:.0%} intervals"
    png = figures.forecast_figure(history, table, f"From {history.origin}, model version {champion.version}, {covered}")
    folder, name = world.forecast_place(settings, history, champion, plan, out)
    if out is None:
        folder.write(f"{name}.parquet", forecasting.parquet(table))
    file = folder.write(Path(out).name if out else f"{name}.csv", csv)
    entry = Entry(
        request=f"batch-{flow_run.id}",
        at=datetime.now(UTC),
        source="batch",
        model_version=champion.version,
        snapshot=snapshot,
        origin=history.origin,
        latency_ms=(time.perf_counter() - started) * 1e3,
        plan=rows,
        forecast=forecasting.made(table),
    )
    picture = folder.write(f"{name}.png", png)
    return Delivered(forecasting.summarise(table, history), champion.version, file, picture), entry
