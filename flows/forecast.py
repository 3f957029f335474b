"""Champion → sales of the next horizon for all stores, or for the rows of a plan → files and journal.

After release, and daily. Needs a snapshot and a champion. Never cached: it takes seconds.
"""

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows import artifacts, delivery, links, retries, run_checks, workspace
from rossmann import data, journal, registry
from rossmann.forecasting import DeliveredForecast
from rossmann.settings import Settings


@flow
def forecast(
    plan: str | None = None, out: str | None = None, kaggle: bool = False, snapshot: str | None = None
) -> DeliveredForecast:
    """Forecast every row of the plan with the champion.

    plan: a CSV with store, date and, where they differ from the published plan, open, promo, state_holiday,
    school_holiday; id is copied. Kaggle's names of these columns work, too. Of a chain with a chain.toml, stores have
    labels, and the entries of its [known] and its own column names are allowed. Default: the whole published plan.
    out: the CSV to write. Default: a file in the workspace's forecasts folder.
    kaggle: write only the columns Id and Sales.
    snapshot: the fingerprint of the history to forecast from. Default: the current snapshot.
    """
    settings = Settings()
    workspace.check_disk(settings)
    run_checks.cancel_duplicate_runs()
    champion = registry.champion(workspace.registry(settings))
    snapshot = data.resolve_snapshot(settings.workspace.snapshots, snapshot)
    delivered, entries = deliver(settings, flow_run.id, champion, snapshot, plan, out, kaggle)
    page = artifacts.forecast(delivered, delivery.picture(delivered), links.services(settings))
    create_markdown_artifact(page, key="forecast", description=artifacts.forecast_title(delivered))
    write_entries(
        settings.journal_address, entries
    )  # if this fails the run fails: nobody could score the forecast later
    return delivered


deliver = task(cache_policy=NO_CACHE)(delivery.deliver)
write_entries = task(journal.write_entries, **retries.OVER_NETWORK)
