"""Champion → the next horizon for all stores, or for the rows of a plan.

After release, and daily. Needs a snapshot and a champion; made anew each time, since it takes seconds.
"""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import pages, world
from rossmann import data, figures, forecasting, registry
from rossmann.forecasting import Delivered
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
    champion = registry.champion(world.models(settings))
    delivered = deliver(champion, data.current_snapshot(world.snapshots(settings)), plan, out, kaggle)
    create_markdown_artifact(pages.forecast(delivered), key="forecast")
    return delivered


@task(cache_policy=NO_CACHE)
def deliver(champion: Registered, snapshot: str, plan: str | None, out: str | None, kaggle: bool) -> Delivered:
    """Forecast, check, and write the table and its picture."""
    settings = Settings()
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
    return Delivered(forecasting.summarise(table, history), champion.version, file, folder.write(f"{name}.png", png))
