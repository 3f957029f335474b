"""A flow that sleeps in a local Ray, deployed as the project's flows are, to be interrupted."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
NAPPING = "ray::napping"  # the title of the process that sleeps
NAP_FLOW = """
import time
import ray
from prefect import flow

@flow
def nap():
    ray.init("local", num_cpus=1, include_dashboard=False)
    ray.get(ray.remote(lambda: time.sleep(600)).options(name="napping").remote())
"""


def deploy_nap(run: Callable[[str], object], checkout: Path) -> None:
    """Write the flow into a new folder and deploy it from there as nap/nap; `run` is a terminal of the stack."""
    prefect = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    deployment = prefect["deployments"][0] | {"name": "nap", "entrypoint": "nap.py:nap"}
    checkout.mkdir()
    (checkout / "nap.py").write_text(NAP_FLOW)
    (checkout / "prefect.yaml").write_text(yaml.safe_dump(prefect | {"deployments": [deployment]}))
    run(f"cd {checkout} && prefect --no-prompt deploy --all")


def query_prefect(workspace: Path, query: str) -> list[str]:
    """The first column of a query on the database of the stack's Prefect server."""
    with closing(sqlite3.connect(workspace / "prefect/prefect.db")) as database:
        return [row[0] for row in database.execute(query)]
