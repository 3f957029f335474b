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
from rossmann.storage import Storage


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
    table = forecasting.forecast(registry.load(world.models(settings), champion), history, rows, ids)
    written = forecasting.kaggle(table) if kaggle else table
    name = f"{history.origin}_v{champion.version}" + (f"_{Path(plan).stem}" if plan else "")
    forecasts = world.forecasts(settings)
    forecasts.write(f"{name}.parquet", forecasting.parquet(table))
    folder, file_name = (Storage(str(Path(out).parent)), Path(out).name) if out else (forecasts, f"{name}.csv")
    file = folder.write(file_name, forecasting.csv(written))
    title = f"Forecast from {history.origin}, model version {champion.version}"
    picture = forecasts.write(f"{name}.png", figures.forecast_figure(history, table, title))
    return Delivered(forecasting.summarise(table, history), champion.version, file, picture)
