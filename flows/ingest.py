"""Raw CSVs → validated snapshot: validate raw → clean → validate → features → validate → version → serve.

When new files have come. Needs train.csv and store.csv; the same content again is the same snapshot, written once.
"""

from datetime import UTC, date, datetime

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import alarms, endpoint, world
from flows.alarms import Arrived, BrokenData
from rossmann import data, features, validation
from rossmann.data import SalesHistory
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError, StageReport, ValidationError

read_history = task(data.read_history, cache_policy=NO_CACHE)
save_snapshot = task(data.save_snapshot, cache_policy=NO_CACHE)


@flow
def ingest(raw: str | None = None, as_of: date | None = None) -> str:
    """Validate, clean and version the raw files; answers the snapshot's fingerprint.

    raw: folder with train.csv, store.csv and, where known, test.csv; default: the world's raw folder.
    as_of: reveal the files only up to this day.
    """
    settings, now = Settings(), datetime.now(UTC)
    page = Storage(settings.place(f"reports/validation/{now:%Y-%m-%dT%H-%M-%S}"))
    stages: list[StageReport] = []
    try:
        read = read_history(raw or settings.place("raw"), as_of)
        stages += [read.raw, read.clean]
        stages.append(check_features(read.history, settings.horizon_days))
    except ValidationError as error:
        where = page.write("failing_rows.csv", error.table.to_csv(index=False).encode())
        report = tell(page, [*stages, error.report])
        error.add_note(f"All failing rows: {where}\nReport: {report}")
        alarms.tell(settings, BrokenData(reason=f"{error}; report: {report}"[:1000], raw=raw or settings.place("raw")))
        raise
    except DataError as error:  # no table at all, say
        alarms.tell(settings, BrokenData(reason=str(error)[:1000], raw=raw or settings.place("raw")))
        raise
    tell(page, stages)
    fingerprint = save_snapshot(read.history, world.snapshots(settings), now, read.source, as_of)
    alarms.tell(settings, Arrived(snapshot=fingerprint))
    try:
        endpoint.align()
    except (
        DataError
    ) as error:  # the history is good and kept; what is wrong with the endpoint is told, and is not its fault
        get_run_logger().error("the endpoint keeps the history before: %s", error)
    return fingerprint


@task(cache_policy=NO_CACHE)
def check_features(history: SalesHistory, horizon_days: int) -> StageReport:
    """The features of the coming days, as the champion will see them."""
    spec = features.FeatureSpec()
    matrix = features.build(features.summarise(history), history.plan(history.origin, horizon_days), spec)
    return validation.check_features(matrix, spec.columns)


def tell(page: Storage, stages: list[StageReport]) -> str:
    """One report of all validations: in the UI, and as a file whose address is answered."""
    create_markdown_artifact(validation.report_markdown(stages), key="validation")
    return page.write("report.html", validation.report_html(stages).encode())
