"""The endpoint from the flows: what it should hold, and what happens when it cannot."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import alarms, world
from flows.alarms import Alarm, JournalGap
from flows.alarms import Endpoint as EndpointDown
from rossmann import data, features, registry
from rossmann.registry import CHAMPION
from rossmann.serving import deploying
from rossmann.serving.deploying import Serve
from rossmann.serving.desk import Wanted
from rossmann.settings import Settings
from rossmann.validation import DataError

PATIENCE_S = 300  # for replicas of new code to start; a swap takes seconds


def serving(settings: Settings) -> Serve | None:
    """Where the endpoint is hosted; None in a world without one."""
    if settings.serve_address is None:
        return None
    key = settings.api_keys[0].get_secret_value() if settings.api_keys else None
    return Serve(settings.serve_address, Path(settings.serve_config), settings.http_host, settings.http_port, key)


def wanted(settings: Settings) -> Wanted | None:
    """The champion on the current snapshot; None while there is no champion that can be loaded."""
    champion = registry.find(world.models(settings), CHAMPION)
    if champion is None or champion.made_by_other_code:
        return None
    return Wanted(champion.version, data.current_snapshot(world.snapshots(settings)))


@task(cache_policy=NO_CACHE)
def align() -> None:
    """Swap the endpoint, if there is one, to the champion on the current snapshot, and try it against the batch.

    If it answers anything else, put back what it held, tell it as an event, and raise DataError.
    """
    settings = Settings()
    host, target = serving(settings), wanted(settings)
    if host is None or target is None:
        return
    before = deploying.deployed(host)
    try:
        swap(settings, host, target)
    except DataError as error:
        alarms.tell(settings, EndpointDown(reason=f"not {target}, still {before}: {error}", url=host.url))
        if before and before != target:
            deploying.deploy(host, before)
        raise


def swap(settings: Settings, host: Serve, target: Wanted) -> None:
    """Deploy, wait, and compare what comes over HTTP with the batch. Raises DataError."""
    deploying.deploy(host, target)
    deploying.settle(host, target, PATIENCE_S)
    known = world.models(settings)
    (version,) = (v for v in registry.versions(known) if v.version == target.model)
    state = features.summarise(world.history(settings, target.snapshot))
    deploying.smoke(host, target, registry.load(known, version), state)


def counted(settings: Settings) -> dict[str, float] | None:
    """Serve's own counters; None in a world without an endpoint, or while it does not answer."""
    host = serving(settings)
    try:
        return deploying.counted(host) if host else None
    except DataError:
        return None  # the complaint says so


def complaints(settings: Settings) -> list[Alarm]:
    """What is wrong with the endpoint and its journal now; nothing in a world without one, or without a champion."""
    host = serving(settings)
    if host is None or registry.find(world.models(settings), CHAMPION) is None:
        return []
    try:
        state = deploying.ready(host)
    except DataError as error:
        return [EndpointDown(reason=str(error), url=host.url)]
    raised: list[Alarm] = []
    if not state["ready"] or state["refused"]:
        raised.append(EndpointDown(reason=f"{host.url}: {state['refused']}", url=host.url))
    kept = state["journal"]
    if kept["lost"] or kept["problem"]:
        why = kept["problem"] or f"{kept['lost']} forecasts are not in the journal"
        raised.append(JournalGap(reason=why, lost=kept["lost"], failures=kept["failures"]))
    return raised
