"""The Ray Serve deployment; deployments/serve.yaml says how many replicas it has and how they are scaled."""

import platform
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve

from rossmann.journal import Journal
from rossmann.registry import Registry
from rossmann.serving.server.app import create_app
from rossmann.serving.server.auth import Limits
from rossmann.serving.server.cores import Cores
from rossmann.serving.server.explanations import earlier_input_loaders
from rossmann.serving.server.loaded_model import load_model
from rossmann.serving.server.metrics import Metrics
from rossmann.serving.server.model_host import ModelHost
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.workspace import Workspace


def build_host(settings: Settings) -> tuple[ModelHost, Limits]:
    """A host that loads models and snapshots from the workspace of the settings, and the limits of its requests."""
    workspace = settings.workspace
    local = Workspace(settings.local_folder)
    registry = Registry(settings.mlflow_address, workspace.models)
    load = partial(load_model, registry, workspace.snapshots, Cores(Path(local.cores, platform.node())))
    leftovers = Storage(workspace.journal_log) if workspace.root != settings.local_folder else None
    journal = Journal(settings.journal_address, Path(local.journal_log), leftovers)
    host = ModelHost(load, earlier_input_loaders(registry, workspace.snapshots), journal, Metrics())
    api_keys = [key.get_secret_value() for key in settings.api_keys]
    return host, Limits.with_keys(settings.max_body_bytes, settings.max_rows, api_keys, settings.allowed_hosts)


@serve.deployment
@serve.ingress()
class Endpoint:
    """One replica. Its `user_config` has the fields of a ServingTarget."""

    def __init__(self):
        self.host, self.limits = build_host(Settings())

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self.host, self.limits)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve calls this after the start and after each change of `user_config`; running requests are not stopped."""
        await self.host.switch_to(ServingTarget(**user_config))


endpoint = Endpoint.bind()  # type: ignore[attr-defined]  # serve.deployment makes the class a Deployment
