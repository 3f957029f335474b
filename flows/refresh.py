"""Ingest → endpoint → forecast: new days reach the endpoint and the batch in one run, without a training.

Whenever new files are there. Needs raw files and a champion. The State that `ingest` fits on the new days corrects the
coming days by the last days' errors; the champion's boosters stay as they are.
"""

from datetime import date

from prefect import flow

from flows import workspace
from flows.forecast import forecast
from flows.ingest import ingest
from rossmann import registry
from rossmann.forecasting import DeliveredForecast
from rossmann.settings import Settings


@flow
def refresh(raw: str | None = None, as_of: date | None = None, allow_shrink: bool = False) -> DeliveredForecast:
    """Ingest the raw files, switch the endpoint to them, and forecast from them. The parameters are those of `ingest`.

    DataError without a champion, or if it belongs to another code version, before anything is read.
    """
    registry.require_same_code(registry.champion(workspace.registry(Settings())))
    return forecast(snapshot=ingest(raw, as_of, allow_shrink))
