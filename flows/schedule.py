"""What an unwatched server needs: no pile of late runs after an outage, and failures and silence that are told."""

from datetime import UTC, datetime, timedelta

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled

from flows import world
from flows.alarms import Alarm, FlowFailed, Silence
from rossmann import data
from rossmann.settings import Settings

WAITING = ["Scheduled", "Late", "AwaitingConcurrencySlot", "Pending"]
RECENT = timedelta(hours=24)


@task(cache_policy=NO_CACHE)
def only_this_one() -> None:
    """Cancel the runs that should have started before now and would do what this one does: with its parameters."""
    if flow_run.parent_flow_run_id or not deployment.id:
        return
    late = FlowRunFilter.model_validate(
        {
            "id": {"not_any_": [flow_run.id]},
            "deployment_id": {"any_": [deployment.id]},
            "state": {"name": {"any_": WAITING}},
            "expected_start_time": {"before_": datetime.now(UTC)},
        }
    )
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(flow_run.id).parameters
        for other in client.read_flow_runs(flow_run_filter=late):
            if other.parameters != own:
                continue
            client.set_flow_run_state(other.id, Cancelled(message="a later run does the same"), force=True)
            get_run_logger().info("cancelled %s, late since %s", other.name, other.expected_start_time)


def complaints(settings: Settings, snapshot: str) -> list[Alarm]:
    """Runs of deployments that failed in the last day, and days without new data. Who runs by hand sees it himself."""
    failed = FlowRunFilter.model_validate(
        {
            "state": {"type": {"any_": [StateType.FAILED, StateType.CRASHED]}},
            "end_time": {"after_": datetime.now(UTC) - RECENT},
            "deployment_id": {"is_null_": False},
        }
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=failed)
        names = {run.flow_id: client.read_flow(run.flow_id).name for run in runs}
    raised: list[Alarm] = [
        FlowFailed(
            reason=f"{names[run.flow_id]} ({run.name}) {run.state_name.lower()}: {in_short(run.state.message)}",
            run=str(run.id),
        )
        for run in runs
    ]
    (newest,) = (each for each in data.list_snapshots(world.snapshots(settings)) if each.fingerprint == snapshot)
    days = (datetime.now(UTC) - datetime.fromisoformat(newest.created)).days
    if days >= settings.silence_days:
        raised.append(Silence(reason=f"no new data since {newest.created[:10]}, {days} days ago", days=days))
    return raised


def in_short(text: str | None) -> str:
    """What a failure says, on one line."""
    return " ".join((text or "").split())[:400]
