"""Deploy a model version to Ray Serve, wait until it serves, and compare its forecasts with the batch.

Uses the REST interface of Ray's dashboard and the endpoint itself; this process does not join the Ray cluster.
"""

import ipaddress
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import yaml
from prometheus_client.parser import text_string_to_metric_families
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
from ray.exceptions import AuthenticationError

from rossmann.data import Plan, store_names
from rossmann.features import State, published_plan
from rossmann.models import Forecast, Forecaster, Quantiles
from rossmann.provenance import code_version
from rossmann.serving.target import SMOKE_HEADERS, ServingTarget
from rossmann.settings import Settings
from rossmann.validation import DataError, UnavailableError

T = TypeVar("T")
SMOKE_STORES = 3
SMOKE_REQUESTS = 20  # Serve chooses a replica at random, so this many reach each of a few replicas
RELATIVE_TOLERANCE = 1e-9  # sums in another order may differ in their last bits
POLL_INTERVAL_S = 0.5
REQUEST_TIMEOUT_S = 60


class UnreachableError(UnavailableError):
    """Ray's dashboard does not accept requests, so the endpoint stays as it is."""


class UnauthorizedError(DataError):
    """The endpoint responds, but this process has none of its API keys."""


@dataclass(frozen=True)
class ServeCluster:
    """A Ray cluster that hosts the endpoint, and how to reach both."""

    dashboard_url: str
    config: Path  # of Ray Serve, deployments/serve.yaml
    host: str  # address that the endpoint listens on
    port: int
    api_key: str | None
    timeout_s: float = REQUEST_TIMEOUT_S  # of a request to the endpoint

    @property
    def url(self) -> str:
        """The endpoint's URL. If it listens on all addresses, Ray's head is used, which runs a proxy too."""
        host = httpx.URL(self.dashboard_url).host if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def serve_cluster(settings: Settings) -> ServeCluster | None:
    """The Ray cluster that hosts the endpoint; None for a workspace without an endpoint."""
    if settings.serve_address is None:
        return None
    key = settings.api_keys[0].get_secret_value() if settings.api_keys else None
    return ServeCluster(
        settings.serve_address, Path(settings.serve_config), settings.http_host, settings.http_port, key
    )


def deploy(cluster: ServeCluster, target: ServingTarget) -> None:
    """Request a target from Serve; returns before it is loaded. Replicas of other code are replaced one by one."""
    if not cluster.api_key and not _is_loopback(cluster.host):
        raise DataError(
            f"the endpoint would listen on {cluster.host} without API keys: "
            "set ROSSMANN_API_KEYS, or ROSSMANN_HTTP_HOST=127.0.0.1"
        )
    config = yaml.safe_load(cluster.config.read_text())
    config["http_options"] |= {"host": cluster.host, "port": cluster.port}
    (application,) = config["applications"]
    # A changed environment makes Serve start new processes, which import the new code.
    application["runtime_env"]["env_vars"]["ROSSMANN_CODE"] = code_version()
    (deployment,) = application["deployments"]
    deployment["user_config"] = asdict(target)
    _call_dashboard(cluster, lambda client: client.deploy_applications(config))


def deployed_target(cluster: ServeCluster) -> ServingTarget | None:
    """The target that was last requested from Serve; None if nothing is deployed."""
    _, deployment = _serve_status(cluster)
    return ServingTarget(**deployment["deployment_config"]["user_config"]) if deployment else None


def replica_states(cluster: ServeCluster) -> Counter[str]:
    """How many replicas are in each of Serve's states, RUNNING or another; empty if nothing is deployed."""
    _, deployment = _serve_status(cluster)
    return Counter(replica["state"] for replica in deployment["replicas"]) if deployment else Counter()


def wait_until_ready(cluster: ServeCluster, target: ServingTarget, timeout_s: float) -> None:
    """Wait until all replicas run with the target, behind a proxy. DataError with Serve's message if not in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        application, deployment = _serve_status(cluster)
        status = application.get("status")
        if deployment and status == "RUNNING" and _runs(deployment, target) and _has_proxy(cluster):
            return
        if status == "DEPLOY_FAILED" or time.monotonic() > deadline:
            message = (deployment or {}).get("message") or application.get("message") or "Serve gives no reason"
            raise DataError(f"the endpoint does not start with {target} ({status}): {_last_line(message)}")
        time.sleep(POLL_INTERVAL_S)


def smoke_test(cluster: ServeCluster, target: ServingTarget, forecaster: Forecaster, state: State) -> None:
    """Compare forecasts over HTTP with those of `forecaster` and `state`. DataError if one replica differs."""
    plan = _smoke_plan(state)
    expected = forecaster.predict(state, plan)
    body = {"plan": _json_rows(plan, state), "quantiles": True}
    for _ in range(SMOKE_REQUESTS):
        response = request_forecast(cluster, body, SMOKE_HEADERS)
        endpoint_target = ServingTarget(response["model_version"], response["snapshot"])
        if endpoint_target != target:
            reason = readiness(cluster).get("load_error") or "an old replica still serves"
            raise DataError(f"the endpoint serves {endpoint_target}, not {target}: {reason}")
        rows = [{**row, **(row["quantiles"] or {})} for row in response["forecasts"]]
        for name, batch in _forecast_columns(expected, forecaster.quantiles).items():
            _compare(name, rows, batch)


def request_forecast(cluster: ServeCluster, body: dict, headers: Mapping[str, str] | None = None) -> dict:
    """The response of /predict. DataError if it is an error, or if nothing responds."""
    return _json(_require_success(_send(cluster, "POST", "/predict", body, headers)))


def check_key(cluster: ServeCluster) -> None:
    """Raise UnauthorizedError if the endpoint serves, but not this process. Nothing else is checked."""
    _require_success(_send(cluster, "GET", "/model"))


def readiness(cluster: ServeCluster) -> dict:
    """The response of /ready, whether ready or not. DataError if nothing responds."""
    return _json(_send(cluster, "GET", "/ready"))


def request_counts(cluster: ServeCluster) -> dict[str, float]:
    """Counters of Serve's proxies since they started: requests, errors, mean_ms. DataError if nothing responds."""
    text = _require_success(_send(cluster, "GET", "/metrics")).text
    totals: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            totals[sample.name.removeprefix("ray_serve_").removesuffix("_total")] += sample.value
    count = totals["http_request_latency_ms_count"]
    mean_ms = totals["http_request_latency_ms_sum"] / count if count else 0.0
    return {"requests": totals["num_http_requests"], "errors": totals["num_http_error_requests"], "mean_ms": mean_ms}


def _send(
    cluster: ServeCluster, method: str, path: str, json: dict | None = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    key = {"X-API-Key": cluster.api_key} if cluster.api_key else {}
    try:
        with httpx.Client(base_url=cluster.url, headers=key, timeout=cluster.timeout_s, trust_env=False) as client:
            return client.request(method, path, json=json, headers=headers)
    except httpx.HTTPError as error:
        raise DataError(f"the endpoint at {cluster.url} does not respond ({type(error).__name__}: {error})") from error


def _require_success(response: httpx.Response) -> httpx.Response:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise UnauthorizedError(
            f"the endpoint at {response.url} responds, but it requires one of its API keys: "
            "set ROSSMANN_API_KEYS here as it is set for the endpoint"
        )
    if not response.is_success:
        raise DataError(f"{response.url} returned {response.status_code}: {response.text[:300]}")
    return response


def _json(response: httpx.Response) -> dict:
    try:
        return response.json()
    except ValueError as error:
        raise DataError(
            f"{response.url} returned {response.status_code} without JSON: {response.text[:300]}"
        ) from error


def _forecast_columns(forecast: Forecast, quantiles: Quantiles | None) -> dict[str, np.ndarray]:
    """The numbers of a forecast by their names in a response. [rows] each"""
    columns = {"forecast": forecast.sales, "lower": forecast.lower, "upper": forecast.upper}
    return columns | (quantiles.by_name(forecast.standard_deviation, forecast.sales) if quantiles else {})


def _smoke_plan(state: State) -> Plan:
    """The published plan of a few stores; for one of them with a flag inverted on every other day."""
    published_rows = published_plan(state)
    sample = np.linspace(0, len(state.store_numbers) - 1, min(SMOKE_STORES, len(state.store_numbers))).astype(int)
    rows = np.isin(published_rows.store, state.store_numbers[sample])
    plan = Plan(**{name: values[rows] for name, values in vars(published_rows).items()})
    is_inverted = (plan.store == state.store_numbers[sample[-1]]) & (np.arange(len(plan)) % 2 == 0)
    name = _smoke_flags(state)[-1]
    flag = getattr(plan, name)
    return replace(plan, **{name: np.where(is_inverted, 1 - flag, flag).astype(np.int8)})


def _smoke_flags(state: State) -> list[str]:
    """The flags that a row of a smoke test has: the promotion, too, unless the chain has it as a number or a text."""
    covariates = dict(state.chain.covariate_columns)
    return [column for column in ("open", "promotion") if state.chain.name_of(column) not in covariates]


def _json_rows(plan: Plan, state: State) -> list[dict[str, object]]:
    """The rows as JSON, without holidays: the endpoint takes these from the published plan."""
    columns = {"store": store_names(state, plan.store).tolist(), "date": np.datetime_as_string(plan.date).tolist()}
    flags = {state.chain.name_of(column): getattr(plan, column) for column in _smoke_flags(state)}
    columns |= {name: flag.astype(bool).tolist() for name, flag in flags.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _compare(name: str, rows: Sequence[dict], batch: np.ndarray) -> None:
    """Raise DataError with the largest difference if a column of the endpoint's rows is not that of the batch."""
    endpoint_values = np.array([row[name] for row in rows])
    if not np.allclose(endpoint_values, batch, rtol=RELATIVE_TOLERANCE, atol=0):
        worst = int(np.argmax(np.abs(endpoint_values - batch)))
        raise DataError(
            f"the endpoint returns {name} {endpoint_values[worst]} for store {rows[worst]['store']} on "
            f"{rows[worst]['date']}, the batch {batch[worst]}"
        )


def _serve_status(cluster: ServeCluster) -> tuple[dict, dict | None]:
    """Serve's details of the application and of its one deployment; empty and None if nothing is deployed."""
    details = _call_dashboard(cluster, lambda client: client.get_serve_details())
    application: dict = next(iter(details["applications"].values()), {})
    return application, next(iter(application.get("deployments", {}).values()), None)


def _runs(deployment: dict, target: ServingTarget) -> bool:
    """Whether a deployment is healthy and all of its replicas have loaded the target."""
    has_target = deployment["deployment_config"]["user_config"] == asdict(target)
    all_running = all(replica["state"] == "RUNNING" for replica in deployment["replicas"])
    return deployment["status"] == "HEALTHY" and has_target and all_running


def _has_proxy(cluster: ServeCluster) -> bool:
    """Whether the proxy answers and has a replica. It starts, and learns of replicas, a moment after Serve has them."""
    try:
        return _send(cluster, "GET", "/-/healthz").is_success
    except DataError:
        return False


def _call_dashboard(cluster: ServeCluster, call: Callable[[ServeSubmissionClient], T]) -> T:
    try:
        return call(ServeSubmissionClient(cluster.dashboard_url))
    except AuthenticationError as error:
        raise DataError(
            f'Ray\'s dashboard at {cluster.dashboard_url} requires its token: run eval "$(make -s env)" here, '
            "or set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        ) from error
    except (ConnectionError, RuntimeError, OSError) as error:
        raise UnreachableError(
            f"Ray's dashboard at {cluster.dashboard_url} does not accept the request ({_last_line(str(error))}): "
            "start it (make up), or work without an endpoint (unset ROSSMANN_SERVE_ADDRESS)"
        ) from error


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
