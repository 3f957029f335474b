"""The endpoint as the flows see it: which model it should serve, how it is switched, and what is wrong with it."""

from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import alarms, workspace
from rossmann import data, features, models, registry
from rossmann.alarms import Alarm, Check, EndpointFailed, JournalGap
from rossmann.serving import deployment
from rossmann.serving.deployment import ServeCluster, UnauthorizedError, serve_cluster
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings
from rossmann.validation import DataError, UnavailableError

SWITCH_GRACE = timedelta(minutes=30)  # after a new champion or snapshot; a switch that fails takes half of it
READY_TIMEOUT_S = 300  # new code starts new replicas, which takes minutes; another model takes seconds


def champion_target(settings: Settings) -> ServingTarget | None:
    """The champion on the current snapshot; None without a champion, or if other code trained it."""
    champion = registry.find_champion(workspace.registry(settings))
    if champion is None or champion.code_mismatch:
        return None
    return ServingTarget(champion.version, data.current_snapshot(settings.workspace.snapshots))


@task(cache_policy=NO_CACHE)
def sync_endpoint() -> None:
    """`switch_endpoint`; publishes EndpointFailed before it raises DataError. The caller holds the workspace's lock.

    An endpoint or files that cannot be reached raise nothing: it is not the model's fault, and the next call switches.
    """
    settings = Settings()
    cluster = serve_cluster(settings)
    if cluster is None:
        return
    try:
        switch_endpoint(settings)
    except UnavailableError as error:
        alarms.publish(settings, EndpointFailed(reason=f"it was not switched: {error}", url=cluster.url))
    except DataError as error:
        alarms.publish(settings, EndpointFailed(reason=str(error), url=cluster.url))
        raise


def switch_endpoint(settings: Settings) -> None:
    """Switch the endpoint, if there is one, to the champion on the current snapshot, and compare it with the batch.

    If they differ, request again what was deployed before, take back the champion's promotion if it is pending, also
    that of a release that was killed, and raise DataError. If they cannot be compared because the endpoint has other
    API keys than this process, it is not the model's fault: the target stays, and EndpointFailed says so. Once they are
    equal, the alarms about the endpoint are over. The caller holds the workspace's lock: so nobody else changes the
    champion, the snapshot or the endpoint meanwhile.
    """
    host = serve_cluster(settings)
    target = champion_target(settings) if host else None
    if host is None or target is None:
        return
    previous = deployment.deployed_target(host)
    try:
        deploy_and_test(settings, host, target)
    except UnauthorizedError as error:
        reason = f"{target} is deployed and ready, but was not compared with the batch: {error}"
        alarms.publish(settings, EndpointFailed(reason=reason, url=host.url))
    except UnavailableError:
        raise
    except DataError as error:
        if previous and previous != target:
            deployment.deploy(host, previous)
        previous = withdraw_pending(settings, host, target, str(error)) or previous
        still = "and stays requested" if previous == target else f"{previous or 'nothing'} still is"
        raise DataError(f"{target} was not deployed, {still}: {error}") from error
    else:
        registry.confirm_deployment(workspace.registry(settings), target.pinned[0])
        alarms.end(settings, {EndpointFailed.event: _serves(host, target)})


def withdraw_pending(
    settings: Settings, host: ServeCluster, target: ServingTarget, reason: str
) -> ServingTarget | None:
    """Take back the promotion of the target's version if it is pending.

    Returns what was requested in place of the target: something only if a release was killed after it had requested
    the version, so that nobody knows any more what was deployed before.
    """
    model_registry, (version, _) = workspace.registry(settings), target.pinned
    if not registry.is_deployment_pending(model_registry, version):
        return None
    registry.withdraw(model_registry, version, reason)
    champion = champion_target(settings)
    deployed = deployment.deployed_target(host)
    if champion is None or deployed is None or deployed.model_version != version:
        return None
    deployment.deploy(host, champion)
    return champion


def deploy_and_test(settings: Settings, host: ServeCluster, target: ServingTarget) -> None:
    """Deploy, wait until it is ready, and compare forecasts over HTTP with the batch's. Raises DataError."""
    model_registry, (version, snapshot) = workspace.registry(settings), target.pinned
    fitted = registry.load_forecaster(model_registry, registry.find_version(model_registry, version))
    forecaster = models.adapt(fitted, settings.workspace.snapshots, snapshot)
    state = features.load_state(settings.workspace.snapshots, snapshot)
    forecaster.require_features(state)  # before the endpoint tries for minutes to load what it cannot use
    deployment.deploy(host, target)
    deployment.wait_until_ready(host, target, READY_TIMEOUT_S)
    deployment.smoke_test(host, target, forecaster, state)


def deployed_snapshots(settings: Settings) -> set[str]:
    """The snapshot that the endpoint serves; empty without an endpoint. DataError if the endpoint cannot be asked."""
    host = serve_cluster(settings)
    target = deployment.deployed_target(host) if host else None
    return {target.snapshot} if target and target.snapshot else set()


def request_counts(settings: Settings) -> dict[str, float] | None:
    """Serve's own counters; None for a workspace without an endpoint, and while the endpoint is not reachable."""
    host = serve_cluster(settings)
    try:
        return deployment.request_counts(host) if host else None
    except DataError:
        return None  # `check_endpoint` reports it


def check_endpoint(settings: Settings) -> Check:
    """What is wrong and right with the endpoint and its journal now; neither without an endpoint or a champion.

    An endpoint that is still being switched is neither wrong nor right.
    """
    host = serve_cluster(settings)
    if host is None or registry.find_champion(workspace.registry(settings)) is None:
        return Check()
    try:
        state = deployment.readiness(host)
        if state["ready"]:
            deployment.check_key(host)
    except DataError as error:
        return Check((EndpointFailed(reason=str(error), url=host.url),))
    problems: list[Alarm] = []
    passed: dict[str, str] = {}
    served = ServingTarget(state["model_version"], state["snapshot"])
    if not state["ready"] or state["load_error"]:
        problems.append(EndpointFailed(reason=f"{host.url}: {state['load_error']}", url=host.url))
    elif reason := find_other_target(settings, served):
        problems.append(EndpointFailed(reason=f"{host.url} {reason}", url=host.url))
    elif served == champion_target(settings):
        passed[EndpointFailed.event] = _serves(host, served)
    health = state["journal"]
    if health["lost_rows"] or health["problem"]:
        reason = health["problem"] or f"{health['lost_rows']} forecasts are not in the journal"
        problems.append(JournalGap(reason=reason, lost_rows=health["lost_rows"], failures=health["failures"]))
    else:
        passed[JournalGap.event] = f"{host.url} loses no forecast and can write the journal"
    return Check(tuple(problems), passed)


def _serves(host: ServeCluster, target: ServingTarget) -> str:
    return f"{host.url} serves {target}"


def find_other_target(settings: Settings, served: ServingTarget) -> str | None:
    """What is wrong if the endpoint serves anything but the champion on the current snapshot after SWITCH_GRACE."""
    target = champion_target(settings)
    if target in (None, served):
        return None
    decision = registry.champion_since(workspace.registry(settings))
    changes = [data.current_since(settings.workspace.snapshots), *([decision] if decision else [])]
    if datetime.now(UTC) - max(changes) < SWITCH_GRACE:
        return None
    return f"serves {served}, not {target}, which is current since {max(changes):%Y-%m-%d %H:%M} UTC: rossmann serve"
