"""Raw CSVs → snapshot: validate raw → clean → validate → features → validate → compare → save → sync endpoint.

Whenever new files are there. Needs train.csv and store.csv. The same content again is the same snapshot, written once.
The State, from which the features are built, is stored beside the snapshot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import alarms, endpoint, workspace
from flows.adaptation import update_quantiles
from flows.alarms import DataIngested
from flows.progress import warn
from rossmann import data, features, validation
from rossmann.alarms import REASON_LENGTH, DataRejected, list_alarms
from rossmann.data import IngestResult, Plan, SalesHistory
from rossmann.features import State
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError, StageReport, ValidationError

read_history = task(cache_policy=NO_CACHE)(data.read_history)
check_completeness = task(cache_policy=NO_CACHE)(data.check_completeness)
check_newer = task(cache_policy=NO_CACHE)(data.check_newer)
fit_state: Task[[SalesHistory], State] = task(cache_policy=NO_CACHE)(features.fit_state)
save_snapshot = task(cache_policy=NO_CACHE)(data.save_snapshot)
save_state = task(cache_policy=NO_CACHE)(features.save_state)


@flow
def ingest(raw: str | None = None, as_of: date | None = None, allow_shrink: bool = False) -> str:
    """Validate, clean and version the raw files. Returns the snapshot's fingerprint.

    raw: folder with train.csv, store.csv and, optionally, test.csv. Default: the workspace's raw folder.
    as_of: read the files as they were at the end of this day.
    allow_shrink: accept files that lack stores, days or sales of the snapshot that is current at the start.
    """
    settings, now = Settings(), datetime.now(UTC)
    workspace.check_disk(settings)
    raw, snapshots = raw or settings.workspace.raw, settings.workspace.snapshots
    base = data.find_current(snapshots)
    with alarm_if_rejected(settings, raw):
        result, state = read_and_validate(settings, raw, as_of, now)
    with workspace.lock(settings, "ingest"):
        with alarm_if_rejected(settings, raw):
            base_changed = check_newer(result.history, base, snapshots)
            if base_changed or not allow_shrink:
                check_completeness(result.history, result.unusable_days, snapshots, as_of)
        update_quantiles(settings, result.history, base)
        fingerprint = save_snapshot(result.history, snapshots, now, result.source, as_of)
        save_state(snapshots, fingerprint, state)
        end_alarms(settings, raw, fingerprint != base)
        alarms.publish(settings, DataIngested(snapshot=fingerprint))
        try:
            endpoint.sync_endpoint()
        except DataError as error:  # the snapshot is valid and stays current; sync_endpoint has published the alarm
            get_run_logger().error("the endpoint keeps the previous snapshot: %s", error)
    return fingerprint


@contextmanager
def alarm_if_rejected(settings: Settings, raw: str) -> Iterator[None]:
    """Publish an alarm for a DataError of the block, which is raised again."""
    try:
        yield
    except DataError as error:
        alarms.publish(settings, DataRejected(reason=_reason(error), raw=raw))
        raise


def end_alarms(settings: Settings, raw: str, is_new: bool) -> None:
    """Publish that alarms about refused files are over: those about this folder, and all if the days are new."""
    records = list_alarms(settings.workspace.alarms)
    refused = [each.alarm for each in records if isinstance(each.alarm, DataRejected) and each.alarm.name is None]
    alarms.end(settings, {each.cause: f"{raw} was ingested" for each in refused if is_new or each.raw == raw})


def read_and_validate(settings: Settings, raw: str, as_of: date | None, now: datetime) -> tuple[IngestResult, State]:
    """Read and validate everything, and write one report. ValidationErrors name the files with the failing rows."""
    folder = Storage(f"{settings.workspace.validation_reports}/{now:%Y-%m-%dT%H-%M-%S}")
    stages: list[StageReport] = []
    try:
        result = read_history(raw, as_of, settings.horizon_days, settings.max_set_aside_share)
        stages += [result.raw_report, result.clean_report]
        state = fit_state(result.history)
        stages.append(check_features(state, result.history.plan(state.origin, state.horizon_days)))
    except ValidationError as error:
        rows = folder.write("failing_rows.csv", error.table.to_csv(index=False).encode())
        report = write_report(folder, [*stages, error.report])
        error.add_note(f"All failing rows: {rows}\nReport: {report}")
        raise
    report = write_report(folder, stages)
    for note in () if result.history.chain.is_kaggle else result.raw_report.notes:
        warn(note)
    if len(result.set_aside):
        rows = folder.write("set_aside_rows.csv", result.set_aside.to_csv(index=False).encode())
        warn(f"{result.clean_report.notes[0]} They are in {rows}; report: {report}")
    return result, state


@task(cache_policy=NO_CACHE)
def check_features(state: State, plan: Plan) -> StageReport:
    """Validate the features of the coming days, as the champion will get them."""
    spec = features.FeatureSpec()
    return validation.check_features(features.build(state, plan, spec), features.column_names(state, spec))


def write_report(folder: Storage, stages: list[StageReport]) -> str:
    """One report of all validations, as an artifact of the run and as a file. Returns the file's address."""
    title = validation.report_title(stages)
    create_markdown_artifact(validation.report_markdown(stages), key="validation", description=title)
    return folder.write("report.html", validation.report_html(stages).encode())


def _reason(error: DataError) -> str:
    """The error and the addresses in its notes, on one line."""
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    return "; ".join(text.splitlines())[:REASON_LENGTH]
