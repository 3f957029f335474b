"""The environment in which commands run flows: telemetry off, and Prefect's own server unless another is named."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rossmann.settings import Settings

T = TypeVar("T")
PREFECT_SERVER = "PREFECT_API_URL"


def prepare_environment() -> "Settings":
    """Set the environment and make the workspace's folders. Call it before anything of Prefect or MLflow is imported.

    Variables that are set already win. Raises pydantic.ValidationError for wrong settings.
    """
    from rossmann.settings import AWS_RETRIES, TELEMETRY_OFF, Settings

    settings = Settings()
    for variable, similar_name in Settings.unknown_variables(os.environ).items():
        question = f": did you mean {similar_name}?" if similar_name else "; docs/operations.md lists the settings"
        sys.stderr.write(f"warning: {variable} is not a setting and has no effect{question}\n")
    log_levels = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "MLFLOW_LOGGING_LEVEL": "WARNING"}
    prefect_variables = {} if has_prefect_server() else _embedded_prefect(settings)
    for name, value in (AWS_RETRIES | TELEMETRY_OFF | log_levels | prefect_variables).items():
        os.environ.setdefault(name, value)
    for folder in {settings.workspace.root, settings.local_folder}:
        if "://" not in folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
    return settings


def has_prefect_server() -> bool:
    """Whether the environment names a Prefect server; without one Prefect starts its own for the run."""
    return PREFECT_SERVER in os.environ


def run_flow(flow: Callable[..., T], *args: object, **options: object) -> T:
    """Run a flow in this process, with its progress on stderr.

    DataError if the named server is not reachable; OSError if the workspace cannot be written.
    """
    from rich.console import Console

    from flows import progress, workspace
    from rossmann.settings import Settings
    from rossmann.validation import DataError

    if has_prefect_server() and not _is_reachable(os.environ[PREFECT_SERVER]):
        raise DataError(
            f"there is no Prefect server at {os.environ[PREFECT_SERVER]}: start it (make up), "
            f"or run without one (unset {PREFECT_SERVER})"
        )
    workspace.check_disk(Settings())
    gc.enable()  # main() disables it; a flow runs for minutes
    progress.console = Console(file=sys.stderr)
    try:
        return flow(*args, **options)
    finally:
        progress.console = None


def _embedded_prefect(settings: "Settings") -> dict[str, str]:
    return {
        # Not the folder of a running stack: a SQLite database has one writer.
        "PREFECT_HOME": f"{settings.local_folder}/prefect-embedded",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
    }


def _is_reachable(api: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{api}/health", timeout=10).is_success
    except httpx.HTTPError:
        return False
