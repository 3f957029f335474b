"""What an unwatched server needs: no pile of late runs after an outage, and failures and silence that are told."""

from datetime import UTC, datetime, timedelta

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows import world
from flows.alarms import Alarm, FlowFailed, Silence
from rossmann import data
from rossmann.settings import Settings

WAITING = ["Late", "AwaitingConcurrencySlot", "Pending"]
RECENT = timedelta(hours=24)


@task(cache_policy=NO_CACHE)
def only_this_one() -> None:
    """Cancel the runs of this deployment that should have started before now: they would do what this one does."""
    if flow_run.parent_flow_run_id or not flow_run.deployment_id:
        return
    late = FlowRunFilter.model_validate(
        {
            "id": {"not_any_": [flow_run.id]},
            "deployment_id": {"any_": [flow_run.deployment_id]},
            "state": {"name": {"any_": WAITING}},
            "expected_start_time": {"before_": datetime.now(UTC)},
        }
    )
    with get_client(sync_client=True) as client:
        for other in client.read_flow_runs(flow_run_filter=late):
            client.set_flow_run_state(other.id, Cancelled(message="a later run does the same"), force=True)
            get_run_logger().info("cancelled %s, late since %s", other.name, other.expected_start_time)


def complaints(settings: Settings, snapshot: str) -> list[Alarm]:
    """Flow runs that failed in the last day, and days without new data."""
    failed = FlowRunFilter.model_validate(
        {
            "state": {"type": {"any_": [StateType.FAILED, StateType.CRASHED]}},
            "end_time": {"after_": datetime.now(UTC) - RECENT},
            "parent_flow_run_id": {"is_null_": True},
        }
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=failed)
    raised: list[Alarm] = [
        FlowFailed(reason=f"{run.name} {run.state_name.lower()}: {run.state.message}"[:500], run=str(run.id)) for run in runs
    ]
    (newest,) = (each for each in data.list_snapshots(world.snapshots(settings)) if each.fingerprint == snapshot)
    days = (datetime.now(UTC) - datetime.fromisoformat(newest.created)).days
    if days >= settings.silence_days:
        raised.append(Silence(reason=f"no new data since {newest.created[:10]}, {days} days ago", days=days))
    return raised
