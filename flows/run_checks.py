"""Checks for unattended operation: duplicate runs after an outage, failed runs, and missing new data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled
from prefect.utilities.urls import url_for

from rossmann import data
from rossmann.alarms import Check, FlowFailed, StaleData, list_alarms
from rossmann.settings import Settings

WAITING_STATES = ["Scheduled", "Late", "AwaitingConcurrencySlot", "Pending"]
FAILED_WITHIN = timedelta(hours=24)
RETRAIN = "retrain"  # the flow that answers alarms
MESSAGE_LENGTH = 400  # characters


@task(cache_policy=NO_CACHE)
def cancel_duplicate_runs() -> None:
    """Cancel runs of this deployment that are overdue and have the same parameters: this run does their work."""
    if flow_run.parent_flow_run_id or not deployment.id:
        return
    overdue = FlowRunFilter.model_validate(
        {
            "id": {"not_any_": [flow_run.id]},
            "deployment_id": {"any_": [deployment.id]},
            "state": {"name": {"any_": WAITING_STATES}},
            "expected_start_time": {"before_": datetime.now(UTC)},
        }
    )
    with get_client(sync_client=True) as client:
        parameters = client.read_flow_run(flow_run.id).parameters
        for other in client.read_flow_runs(flow_run_filter=overdue):
            if other.parameters != parameters:
                continue
            client.set_flow_run_state(other.id, Cancelled(message="superseded by a later run"), force=True)
            get_run_logger().info("cancelled %s, late since %s", other.name, other.expected_start_time)


@dataclass(frozen=True)
class ActiveRun:
    """A run of a deployment that is due or running."""

    name: str
    since: datetime | None  # of its start; None: it waits
    page: str | None  # in Prefect's UI

    @property
    def sentence(self) -> str:
        """What it is, since when, and where to look."""
        state = f"runs since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.since else "waits for a worker"
        return f"a retraining, {self.name}, {state} and answers the alarms that wait for it" + (
            f": {self.page}" if self.page else ""
        )


def active_retraining(settings: Settings) -> ActiveRun | None:
    """The run of the deployed `retrain` that is due or running, and will answer the alarms; None if none is."""
    unfinished = FlowRunFilter.model_validate(
        {
            "state": {"type": {"any_": sorted(set(StateType) - TERMINAL_STATES)}},
            "tags": {"all_": [settings.workspace.tag]},
            "expected_start_time": {"before_": datetime.now(UTC)},
        }
    )
    flow = FlowFilter.model_validate({"name": {"any_": [RETRAIN]}})
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_filter=flow, flow_run_filter=unfinished, limit=1)
    return next((ActiveRun(each.name, each.start_time, url_for(each)) for each in runs), None)


def failed_runs(settings: Settings) -> Check:
    """Runs of this workspace's deployments that failed in the last day, and those of open alarms that were repeated.

    Runs started by hand are not reported: whoever started one sees its failure.
    """
    failed = FlowRunFilter.model_validate(
        {
            "state": {"type": {"any_": [StateType.FAILED, StateType.CRASHED]}},
            "end_time": {"after_": datetime.now(UTC) - FAILED_WITHIN},
            "deployment_id": {"is_null_": False},
            "tags": {"all_": [settings.workspace.tag]},
        }
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=failed)
        names = {run.flow_id: client.read_flow(run.flow_id).name for run in runs}
    records = list_alarms(settings.workspace.alarms)
    open_alarms = [each.alarm for each in records if each.is_open and isinstance(each.alarm, FlowFailed)]
    return Check(tuple(_flow_failed(names[run.flow_id], run) for run in runs), _completed_since(open_alarms))


def _flow_failed(flow: str, run: FlowRun) -> FlowFailed:
    message = " ".join(((run.state and run.state.message) or "").split())[:MESSAGE_LENGTH]
    return FlowFailed(reason=f"{flow} ({run.name}) {(run.state_name or '').lower()}: {message}", run=str(run.id))


def _completed_since(alarms: Sequence[FlowFailed]) -> dict[str, str]:
    """The next completed run of the deployment of each failed one, by the cause of the alarm: itself, if repeated."""
    if not alarms:
        return {}
    completed = {}
    with get_client(sync_client=True) as client:
        failed = FlowRunFilter.model_validate({"id": {"any_": [each.run for each in alarms]}})
        ended = (run for run in client.read_flow_runs(flow_run_filter=failed) if run.end_time)
        for run in ended:
            later = FlowRunFilter.model_validate(
                {
                    "state": {"type": {"any_": [StateType.COMPLETED]}},
                    "deployment_id": {"any_": [run.deployment_id]},
                    "end_time": {"after_": run.end_time},
                }
            )
            completed[str(run.id)] = client.read_flow_runs(flow_run_filter=later, limit=1)
    return {each.cause: f"{run.name} has completed" for each in alarms for run in completed.get(each.run, ())}


def stale_data(settings: Settings, snapshot: str) -> Check:
    """The current snapshot, if it is too old."""
    current = data.describe_snapshot(settings.workspace.snapshots, snapshot)
    days = (datetime.now(UTC) - datetime.fromisoformat(current.created)).days
    if days < settings.stale_data_days:
        return Check(passed={StaleData.event: f"there are new data since {current.created[:10]}"})
    return Check((StaleData(reason=f"no new data since {current.created[:10]}, {days} days ago", days=days),))
