"""The endpoint under load, on Ray Serve and, the same application, on plain uvicorn: speed and CPU of each part.

Usage: python -m benchmarks.endpoint [WORLD]   a data folder with a champion; default: a sample world of 1,115 stores
       ends with SOAK single rows on uvicorn, to see whether memory stays
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import yaml
from fastapi import FastAPI
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.cluster import cluster, free_ports, listens, named, wait
from benchmarks.load import Told, ask_for
from rossmann import data, models, registry
from rossmann.data import Plan, SalesHistory
from rossmann.evaluation import Verdict
from rossmann.registry import ModelCard, Registry
from rossmann.sample import write_world
from rossmann.serving import deploying
from rossmann.serving.app import application
from rossmann.serving.deploying import Serve
from rossmann.serving.desk import Wanted
from rossmann.serving.endpoint import furnished
from rossmann.serving.holding import TOLD
from rossmann.settings import Settings, code_version

SERVE_YAML = Path(__file__).parents[1] / "deployments" / "serve.yaml"
LESSONS = 6
SECONDS = 6.0  # of load per line
SOAK = 100_000  # requests
REPLICAS = 2  # so that none starts or goes while another is measured
SINGLE = "1 row"


@dataclass(frozen=True)
class Server:
    """Where to ask, and whose CPU seconds to count."""

    name: str
    url: str
    parts: dict[str, Callable[[], list[psutil.Process]]]


def main() -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory() as folder:
        world = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else sample_world(Path(folder))
        history = data.load_snapshot(f"{world}/snapshots")
        console = Console(width=None if sys.stdout.isatty() else 150)
        table = Table(
            title=f"The endpoint, {len(history.stores.number):,} stores", title_justify="left", box=box.SIMPLE_HEAD
        )
        for column in ("request", "conn", "server", "req/s", "rows/s", "p50 ms", "p99 ms", "CPU ms per request", "MB"):
            table.add_column(column, justify="left" if column in ("request", "server") else "right", no_wrap=True)
        asked = requests(history.plan(history.origin, 48))
        lines: dict[tuple, list] = {}
        for serving in (on_uvicorn, on_serve):
            with serving(world) as server:
                for title, rows, bodies, connections in asked:
                    lines.setdefault((title, connections), []).append(line(server, rows, bodies, connections))
        with on_uvicorn(world) as server:
            memory = soak(server, [body for _, rows, bodies, _ in asked if rows == 1 for body in bodies])
        for (title, connections), both in lines.items():
            for cells in both:
                table.add_row(title, str(connections), *cells)
            table.add_section()
        console.print(table)
        console.print(f"{SOAK:,} single rows: " + ", ".join(f"{mb:,.0f} MB after {done:,}" for done, mb in memory))


def requests(plan: Plan) -> list[tuple[str, int, list[bytes], int]]:
    """(what, rows, bodies, connections): what differs from the published plan goes to the model."""
    count = len(plan)
    single = range(0, count, count // 500)
    turned = [body(plan, [k], turn=True) for k in single]
    stores = np.unique(plan.store)
    of_store = [np.flatnonzero(plan.store == store) for store in stores[:20]]
    next_day = np.flatnonzero(plan.date == plan.date.min())
    everything = np.arange(count)
    return [
        (f"{SINGLE}, as published", 1, [body(plan, [k]) for k in single], 1),
        *((f"{SINGLE}, promotion turned", 1, turned, connections) for connections in (1, 8, 32)),
        ("48 rows, as published", 48, [body(plan, rows) for rows in of_store], 1),
        ("48 rows, promotion turned", 48, [body(plan, rows, turn=True) for rows in of_store], 1),
        (f"{len(next_day):,} rows, promotion turned", len(next_day), [body(plan, next_day, turn=True)], 1),
        (f"{count:,} rows, as published", count, [body(plan, everything)], 1),
        (f"{count:,} rows, promotion turned", count, [body(plan, everything, turn=True)], 1),
    ]


def body(plan: Plan, rows: Sequence[int], turn: bool = False) -> bytes:
    """A request for rows of a plan, every field said."""
    said = [
        {"store": int(plan.store[k]), "date": str(plan.date[k]), "state_holiday": "0abc"[plan.state_holiday[k]]}
        | {name: bool(getattr(plan, name)[k]) ^ (turn and name == "promo") for name in TOLD if name != "state_holiday"}
        for k in rows
    ]
    return json.dumps(said[0] if len(said) == 1 else {"plan": said}).encode()


def line(server: Server, rows: int, bodies: list[bytes], connections: int) -> list[str]:
    """Load for SECONDS, after a warm-up."""
    asyncio.run(loaded(server.url, bodies, connections, 1))
    before = {part: cpu(processes()) for part, processes in server.parts.items()}
    started = time.perf_counter()
    told = asyncio.run(loaded(server.url, bodies, connections, SECONDS))
    seconds, done = time.perf_counter() - started, told.statuses[200]
    spent = {part: (cpu(processes()) - before[part]) / max(done, 1) * 1e3 for part, processes in server.parts.items()}
    p50, p99 = np.percentile(told.seconds, [50, 99]) * 1e3 if told.seconds else (np.nan, np.nan)
    largest = max(p.memory_info().rss for p in list(server.parts.values())[-1]()) / 1e6
    failed = f" ({told.failed} failed)" if told.failed else ""
    shares, rate = ", ".join(f"{part} {ms:,.1f}" for part, ms in spent.items()), done / seconds
    return [server.name, f"{rate:,.1f}{failed}", f"{rate * rows:,.0f}", f"{p50:,.1f}", f"{p99:,.1f}",
            shares, f"{largest:,.0f}"]  # fmt: skip


def soak(server: Server, bodies: list[bytes]) -> list[tuple[int, float]]:
    """(requests so far, MB of the server) at every tenth of SOAK."""
    (process,) = server.parts["server"]()
    seen = []
    for tenth in range(1, 11):
        told = Told()
        asyncio.run(ask_for(server.url, bodies, 8, asyncio.Event(), told, requests=SOAK // 10))
        seen.append((tenth * SOAK // 10, process.memory_info().rss / 1e6))
    return seen


async def loaded(url: str, bodies: list[bytes], connections: int, seconds: float) -> Told:
    """What so many connections are told in so many seconds."""
    told, ended = Told(), asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, ended.set)
    await ask_for(url, bodies, connections, ended, told)
    return told


def cpu(processes: list[psutil.Process]) -> float:
    """CPU seconds they have spent."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def plain() -> FastAPI:
    """The application for uvicorn, in the world of the environment."""
    desk, limits = furnished(Settings())
    loading = threading.Thread(target=asyncio.run, args=(desk.hold(Wanted()),))  # here a loop is running already
    loading.start()
    loading.join()
    return application(desk, limits)


def allocation() -> dict[str, str]:
    """How a replica's memory is allocated, for uvicorn too."""
    return yaml.safe_load(SERVE_YAML.read_text())["applications"][0]["runtime_env"]["env_vars"]


@contextmanager
def on_uvicorn(world: Path) -> Iterator[Server]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.endpoint:plain", "--port", str(port),
               "--no-access-log", "--log-level", "warning"]  # fmt: skip
    with psutil.Popen(
        command, env=os.environ | allocation() | {"ROSSMANN_DATA_DIR": str(world), "OMP_NUM_THREADS": "1"}
    ) as server:
        try:
            wait(lambda: listens(port), 180)
            yield Server("uvicorn", f"http://127.0.0.1:{port}/predict", {"server": lambda: [server]})
        finally:
            server.terminate()


@contextmanager
def on_serve(world: Path) -> Iterator[Server]:
    config = yaml.safe_load(SERVE_YAML.read_text())
    (deployment,) = config["applications"][0]["deployments"]
    del deployment["autoscaling_config"]
    deployment["num_replicas"] = REPLICAS
    with tempfile.TemporaryDirectory() as folder:
        fixed = Path(folder) / "serve.yaml"
        fixed.write_text(yaml.safe_dump(config))
        with cluster(world, fixed) as host:
            yield deployed(world, host)


def deployed(world: Path, host: Serve) -> Server:
    """The champion on Serve."""
    wanted = Wanted(registry.champion(known(world)).version, data.current_snapshot(f"{world}/snapshots"))
    deploying.deploy(host, wanted)
    deploying.settle(host, wanted, 300)
    parts = {"proxy": lambda: named(world, "ProxyActor"), "replicas": lambda: named(world, "ServeReplica:rossmann")}
    return Server("Ray Serve", f"{host.url}/predict", parts)


def sample_world(world: Path) -> Path:
    """1,115 made-up stores, a blend learnt from few lessons, made champion."""
    write_world(f"{world}/raw", 1115)
    history = data.read_history(f"{world}/raw").history
    snapshot = data.save_snapshot(history, f"{world}/snapshots", datetime.now(UTC), "bench")
    crown(known(world), history, snapshot)
    return world


def crown(known: Registry, history: SalesHistory, snapshot: str) -> None:
    """A champion whose scores nobody asks for."""
    (recipe,) = (c for c in models.candidates(("blend",)) if c.name == "blend")
    lessons = [models.lesson(history, o) for o in models.lesson_origins(history.dates[0], history.origin)[-LESSONS:]]
    bounds = models.calibrate(history.stores.number, np.full(len(history.stores.number), 0.1), coverage=0.9)
    forecaster = models.fit(recipe, lessons, history.origin, 7, threads=2).with_intervals(bounds)
    run = known.client.create_run(known.experiment(registry.TRAININGS)).info.run_id
    card = ModelCard(
        "blend", snapshot, str(history.origin), {str(history.origin): np.nan}, 0.9, 7, code_version(), "", run
    )
    registry.promote(known, registry.save(known, forecaster, card, "bench"), Verdict(True, ("bench",), ()))


def known(world: Path) -> Registry:
    return Registry(f"sqlite:///{world}/mlflow.db", f"{world}/models")


if __name__ == "__main__":
    main()
