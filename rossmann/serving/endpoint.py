"""The champion as a Ray Serve deployment; how many and how patient its replicas are says deployments/serve.yaml."""

from fastapi import FastAPI
from ray import serve

from rossmann.journal import Journal
from rossmann.registry import Registry
from rossmann.serving.app import application
from rossmann.serving.desk import Desk, Wanted
from rossmann.serving.guard import Limits
from rossmann.serving.holding import hold
from rossmann.serving.metering import Meter
from rossmann.settings import Settings
from rossmann.storage import Storage


def furnished(settings: Settings) -> tuple[Desk, Limits]:
    """A desk that loads from the settings' world, and its limits."""
    known, snapshots = Registry(settings.tracking_uri, settings.place("models")), settings.place("snapshots")
    journal = Journal(settings.journal, Storage(settings.place("journal-unwritten")))
    desk = Desk(lambda wanted: hold(known, snapshots, wanted.model, wanted.snapshot), journal, Meter())
    keys = [key.get_secret_value() for key in settings.api_keys]
    return desk, Limits.of(settings.body_limit_bytes, settings.row_limit, keys)


@serve.deployment
@serve.ingress()
class Endpoint:
    """One replica. Its user_config names the model version and the snapshot; null: the champion, the current one."""

    def __init__(self):
        self.desk, self.limits = furnished(Settings())

    def __serve_build_asgi_app__(self) -> FastAPI:
        return application(self.desk, self.limits)

    async def reconfigure(self, config: dict[str, object]) -> None:
        """Swap to what the config names."""
        await self.desk.hold(Wanted(**config))


endpoint = Endpoint.bind()
