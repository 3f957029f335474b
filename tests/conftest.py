"""Two small chains, `toy` with sales by a formula and `noisy` with random ones, an S3 server and an endpoint."""

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from rossmann.settings import TELEMETRY_OFF

os.environ.update(TELEMETRY_OFF, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # before ray is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: sums of several threads differ in their last bits

import numpy as np
import pytest
import ray
from prefect.testing.utilities import prefect_test_harness

from rossmann import training
from rossmann.data import Calendar, SalesHistory, StoreAttributes, Stores
from rossmann.registry import Registry
from rossmann.schema import FRIDAY, HORIZON_DAYS, SUNDAY, WEEK_DAYS
from rossmann.serving import deployment
from rossmann.serving.target import ServingTarget
from tests.support.endpoint import running_endpoint
from tests.support.stores import BUCKET, ObjectStore

TOY_DAYS, NOISY_DAYS, PLAN_DAYS = 400, 500, HORIZON_DAYS
TOY_LEVEL = np.array([1000.0, 2000.0, 4000.0])
TOY_WEEKDAY = np.array([1.2, 1.0, 0.9, 1.0, 1.1, 0.8, 0.0])
TOY_PROMO = 1.5


def toy_sales(store: np.ndarray, weekday: np.ndarray, promo: np.ndarray) -> np.ndarray:
    """The formula: level of the store (1, 2, 3) × weekday (0 Monday, closed on Sundays) × promo."""
    return TOY_LEVEL[store - 1] * TOY_WEEKDAY[weekday] * np.where(promo == 1, TOY_PROMO, 1.0)


@pytest.fixture(autouse=True)
def main_module(monkeypatch):
    """Streamlit's AppTest puts its script in the place of the main module, from which new processes would start."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="session")
def object_store():
    """A real S3 server with a bucket BUCKET. The environment has its address, since a process creates one S3 client."""
    with ObjectStore() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.client().create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture(scope="session")
def toy() -> SalesHistory:
    """3 stores × 400 days from Monday, 6 January 2014; promo from Monday to Friday of every second week; no noise."""
    dates = np.datetime64("2014-01-06", "D") + np.arange(TOY_DAYS + PLAN_DAYS)
    day = np.arange(len(dates))
    weekday = day % WEEK_DAYS
    promo = np.tile((day // WEEK_DAYS % 2 == 0) & (weekday <= FRIDAY), (3, 1)).astype(np.int8)
    no_holiday = np.zeros_like(promo)
    number = np.array([1, 2, 3], np.int32)
    sales = toy_sales(number[:, None], weekday, promo)[:, :TOY_DAYS]
    stores = Stores(
        number=number,
        attribute_codes=np.array([[0, 0], [1, 0], [2, 1]], np.int8),
        kaggle=StoreAttributes(
            competition_distance_m=np.array([100.0, 1000.0, np.nan]),
            competition_since=np.array(["2010-01", "2014-06", "NaT"], "datetime64[M]"),
            promo2=np.array([False, True, False]),
            promo2_since=np.array(["NaT", "2014-03-03", "NaT"], "datetime64[D]"),
            promo2_months=np.stack([np.zeros(12, bool), np.arange(12) % 3 == 0, np.zeros(12, bool)]),
        ),
    )
    calendar = Calendar(dates, np.tile(weekday != SUNDAY, (3, 1)).astype(np.int8), promo, no_holiday, no_holiday)
    return SalesHistory(stores, calendar, sales, sales / 10)


@pytest.fixture(scope="session")
def noisy() -> SalesHistory:
    """12 stores × 500 days of random sales: holidays, whole closures, an open day without sales, a new store."""
    random = np.random.default_rng(11)
    stores, days = 12, NOISY_DAYS + PLAN_DAYS
    dates = np.datetime64("2013-06-03", "D") + np.arange(days)  # a Monday
    weekday = np.arange(days) % WEEK_DAYS
    holiday = (random.random((stores, days)) < 0.02) & (weekday != SUNDAY)
    closed = (weekday == SUNDAY) | (holiday & (random.random((stores, days)) < 0.7))
    closed[4] &= weekday != SUNDAY  # open on Sundays
    closed[2, 200:230] = True  # refurbishment
    closed[5, 505:522] = True  # refurbishment in the plan
    promo = (np.arange(days) // WEEK_DAYS % 2 == 0) & (weekday <= FRIDAY) & (random.random((stores, days)) < 0.95)
    school = np.repeat(random.random((stores, days // 7 + 1)) < 0.2, 7, axis=1)[:, :days]
    log_sales = (
        random.normal(8.5, 0.4, (stores, 1))
        + random.normal(0, 0.1, (stores, 7))[:, weekday]
        + 0.3 * promo
        + 0.1 * np.sin(np.arange(days) / 58)
        + random.normal(0, 0.12, (stores, days))
    )
    sales = np.where(closed, 0.0, np.round(np.exp(log_sales)))[:, :NOISY_DAYS]
    sales[3, 100] = 0.0  # open, but no sales
    sales[2, 200:230] = np.nan
    sales[7, :150] = np.nan
    customers = np.round(sales / random.uniform(7, 12, sales.shape))
    closed[7, :150] = True
    attributes = Stores(
        number=np.sort(random.choice(np.arange(1, 100), stores, replace=False)).astype(np.int32),
        attribute_codes=np.stack([random.integers(0, count, stores) for count in (4, 3)], axis=1).astype(np.int8),
        kaggle=StoreAttributes(
            competition_distance_m=np.where(np.arange(stores) == 1, np.nan, random.uniform(50, 20_000, stores)),
            competition_since=np.where(
                np.arange(stores) % 4 == 0,
                np.datetime64("NaT", "M"),
                np.datetime64("2013-09", "M") + random.integers(0, 12, stores),
            ),
            promo2=np.arange(stores) % 2 == 0,
            promo2_since=np.where(
                np.arange(stores) % 2 == 0, np.datetime64("2013-08-05", "D"), np.datetime64("NaT", "D")
            ),
            promo2_months=(np.arange(stores) % 2 == 0)[:, None] & (np.arange(12) % 3 == 1),
        ),
    )
    calendar = Calendar(
        dates,
        *(flags.astype(np.int8) for flags in (~closed, promo, holiday * random.integers(1, 4, holiday.shape), school)),
    )
    return SalesHistory(attributes, calendar, sales, customers)


@pytest.fixture(scope="session")
def endpoint(noisy, tmp_path_factory):
    """A real endpoint on Ray Serve with the `noisy` chain's blend as champion, which scales up and down quickly.

    Two replicas are enough for four connections: only more connections, or a kill, change the number of replicas.
    """
    replicas = {"min_replicas": 2, "max_replicas": 4, "target_ongoing_requests": 3}
    delays = {"upscale_delay_s": 1, "downscale_delay_s": 5, "metrics_interval_s": 1, "look_back_period_s": 3}
    with running_endpoint(
        tmp_path_factory.mktemp("endpoint"), noisy, autoscaling_config=replicas | delays, max_queued_requests=32
    ) as running:
        target = ServingTarget(1, running.snapshot)
        deployment.deploy(running.serve, target)
        deployment.wait_until_ready(running.serve, target, 180)
        yield running


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One Prefect server for all tests that run flows in this process; their workspaces share nothing else."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def local_ray() -> Iterator[ExitStack]:
    """One local Ray for all tests that fit models in this process."""
    with ExitStack() as cluster:
        cluster.enter_context(training.ray_cluster(None))
        yield cluster


@pytest.fixture
def without_ray(local_ray: ExitStack) -> Iterator[str]:
    """No Ray runs in this process; the address of one that cannot be reached, so that whatever needs Ray fails."""
    local_ray.close()
    assert not ray.is_initialized()
    yield "127.0.0.1:1"
    local_ray.enter_context(training.ray_cluster(None))


@pytest.fixture(scope="session")
def new_mlflow_database(tmp_path_factory) -> Callable[[Path], None]:
    """Copies an empty MLflow database into a folder; to create its tables there takes seconds."""
    template = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Registry(f"sqlite:///{template}", f"{template.parent}/models").ensure_model()
    return lambda folder: shutil.copy(template, folder / "mlflow.db")
