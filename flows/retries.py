"""The retry policies of tasks that need something outside this process. Everything else runs once."""

from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State, TaskRun

from rossmann.validation import DataError, UnavailableError


def is_transient(_: Task, __: TaskRun, state: State) -> bool:
    """Whether another attempt may succeed. Bad data and wrong settings (DataError) stay wrong."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, UnavailableError) or not isinstance(error, DataError)


# For tasks that need Ray: on a busy machine it may start too slowly, or be unreachable for a moment.
ON_RAY: dict[str, Any] = {
    "retries": 1,
    "retry_delay_seconds": 10,
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
}

# For tasks that read a model's files, which may be on another machine.
READING_MODELS: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [2, 20],
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
}

# For tasks that write to MLflow or to the journal's database, which may be on another machine.
OVER_NETWORK: dict[str, Any] = {"retries": 3, "retry_delay_seconds": [1, 10, 60], "cache_policy": NO_CACHE}
