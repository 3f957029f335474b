"""Put a version on Ray Serve, wait for it, and try what it answers. Talks to Ray's dashboard and to the endpoint."""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import yaml
from prometheus_client.parser import text_string_to_metric_families
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
from ray.exceptions import AuthenticationError

from rossmann.data import Plan
from rossmann.features import State
from rossmann.models import Forecaster
from rossmann.serving.desk import Wanted
from rossmann.serving.holding import publish
from rossmann.settings import code_version
from rossmann.validation import DataError

T = TypeVar("T")
SMOKE_STORES = 3
SMOKE_REQUESTS = 20  # each goes to a replica by chance: so many meet all of a few
AGREES = 1e-9  # relative: sums in another order may differ in their last bits
LOOK_S = 0.5


@dataclass(frozen=True)
class Serve:
    """A Ray cluster that hosts the endpoint: Ray's dashboard, and where and with which key the endpoint is asked."""

    address: str
    config: Path
    host: str
    port: int
    key: str | None

    @property
    def url(self) -> str:
        """Of the endpoint; one that listens everywhere is asked where the dashboard is: Ray's head has a proxy, too."""
        host = httpx.URL(self.address).host if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def deploy(serve: Serve, wanted: Wanted) -> None:
    """Ask Serve for what is wanted; answers before it is there. Replicas of other code are replaced one by one."""
    if not serve.key and not _loopback(serve.host):
        raise DataError(
            f"the endpoint would listen on {serve.host} for anybody: "
            "set ROSSMANN_API_KEYS, or ROSSMANN_HTTP_HOST=127.0.0.1"
        )
    config = yaml.safe_load(serve.config.read_text())
    config["http_options"] |= {"host": serve.host, "port": serve.port}
    (application,) = config["applications"]
    application["runtime_env"]["env_vars"]["ROSSMANN_CODE"] = code_version()  # other code: other processes
    (deployment,) = application["deployments"]
    deployment["user_config"] = asdict(wanted)
    _asked(serve, lambda client: client.deploy_applications(config))


def deployed(serve: Serve) -> Wanted | None:
    """What Serve was asked for last; None if nothing."""
    _, deployment = _details(serve)
    return Wanted(**deployment["deployment_config"]["user_config"]) if deployment else None


def settle(serve: Serve, wanted: Wanted, seconds: float) -> None:
    """Wait until all replicas have taken over what is wanted. DataError if they do not, with Serve's reason."""
    until = time.monotonic() + seconds
    while True:
        application, deployment = _details(serve)
        status = application.get("status")
        if deployment and status == "RUNNING" and deployment["status"] == "HEALTHY":
            config = deployment["deployment_config"]["user_config"]
            if config == asdict(wanted) and all(each["state"] == "RUNNING" for each in deployment["replicas"]):
                return
        if status == "DEPLOY_FAILED" or time.monotonic() > until:
            said = (deployment or {}).get("message") or application.get("message") or "it says nothing"
            raise DataError(f"the endpoint does not come up with {wanted} ({status}): {_last_line(said)}")
        time.sleep(LOOK_S)


def smoke(serve: Serve, wanted: Wanted, forecaster: Forecaster, state: State) -> None:
    """Ask the endpoint and compare with the batch. DataError if a replica answers anything else."""
    plan = _some(state)
    expected = forecaster.predict(state, plan)
    body = {"plan": [_row(plan, k) for k in range(len(plan))]}
    for _ in range(SMOKE_REQUESTS):
        answer = ask(serve, body)
        came = Wanted(answer["model_version"], answer["snapshot"])
        if came != wanted:
            why = ready(serve).get("refused") or "an old replica still answers"
            raise DataError(f"the endpoint answers with {came}, not {wanted}: {why}")
        for name, batch in (("forecast", expected.sales), ("lower", expected.lower), ("upper", expected.upper)):
            served = np.array([row[name] for row in answer["forecasts"]])
            if not np.allclose(served, batch, rtol=AGREES, atol=0):
                worst = int(np.argmax(np.abs(served - batch)))
                raise DataError(
                    f"the endpoint says {name} {served[worst]} for store {plan.store[worst]} on {plan.date[worst]}, "
                    f"the batch {batch[worst]}"
                )


def ask(serve: Serve, body: dict) -> dict:
    """One forecast over HTTP. DataError where there is none."""
    return _said(serve, lambda client: client.post("/predict", json=body), needed=True)


def ready(serve: Serve) -> dict:
    """What /ready says, ready or not. DataError if nobody answers."""
    return _said(serve, lambda client: client.get("/ready"), needed=False)


def counted(serve: Serve) -> dict[str, float]:
    """What Serve's proxies counted since they started: requests, errors, mean ms. DataError if nobody answers."""
    text = _said(serve, lambda client: client.get("/metrics"), needed=True, read=lambda response: response.text)
    totals = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            totals[sample.name.removeprefix("ray_serve_").removesuffix("_total")] += sample.value
    answered = totals["http_request_latency_ms_count"]
    mean_ms = totals["http_request_latency_ms_sum"] / answered if answered else 0.0
    return {"requests": totals["num_http_requests"], "errors": totals["num_http_error_requests"], "mean_ms": mean_ms}


def _said(
    serve: Serve, request: Callable[[httpx.Client], httpx.Response], needed: bool, read: Callable = httpx.Response.json
) -> Any:
    keyed = {"X-API-Key": serve.key} if serve.key else {}
    try:
        with httpx.Client(base_url=serve.url, headers=keyed, timeout=60, trust_env=False) as client:
            response = request(client)
            if needed and not response.is_success:
                raise DataError(f"the endpoint answers {response.status_code}: {response.text[:300]}")
            return read(response)
    except (httpx.HTTPError, ValueError) as error:
        raise DataError(f"the endpoint at {serve.url} does not answer ({type(error).__name__}: {error})") from error


def _some(state: State) -> Plan:
    """The published days of a few stores, and one of them with its promotion turned round on every other day."""
    published = publish(state)
    chosen = state.stores[np.linspace(0, len(state.stores) - 1, min(SMOKE_STORES, len(state.stores))).astype(int)]
    rows = np.flatnonzero(np.isin(published.store, chosen))
    plan = Plan(**{name: values[rows] for name, values in vars(published).items()})
    turned = (plan.store == chosen[-1]) & (np.arange(len(rows)) % 2 == 0)
    return replace(plan, promo=np.where(turned, 1 - plan.promo, plan.promo).astype(np.int8))


def _row(plan: Plan, k: int) -> dict[str, object]:
    """A row as a request says it; holidays are left to the published plan."""
    return {
        "store": int(plan.store[k]), "date": str(plan.date[k]), "open": bool(plan.open[k]), "promo": bool(plan.promo[k])
    }  # fmt: skip


def _details(serve: Serve) -> tuple[dict, dict | None]:
    """Of the application and of its one deployment, as Serve tells them; empty where there is none yet."""
    details = _asked(serve, lambda client: client.get_serve_details())
    application = next(iter(details["applications"].values()), {})
    return application, next(iter(application.get("deployments", {}).values()), None)


def _asked(serve: Serve, request: Callable[[ServeSubmissionClient], T]) -> T:
    try:
        return request(ServeSubmissionClient(serve.address))
    except AuthenticationError as error:
        raise DataError(
            f'Ray\'s dashboard at {serve.address} wants its token: eval "$(make -s env)" in this terminal, or set '
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        ) from error
    except (ConnectionError, RuntimeError, OSError) as error:
        raise DataError(
            f"Ray's dashboard at {serve.address} does not take it ({_last_line(str(error))}): start it (make up), "
            "or work without an endpoint (unset ROSSMANN_SERVE_ADDRESS)"
        ) from error


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else text


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
