"""The endpoint's application over ASGI: its responses, and its error messages."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urljoin

import httpx
import numpy as np
import psutil
import pytest
from pydantic import TypeAdapter
from ray.serve._private.http_util import _apply_middlewares

from rossmann import features, journal, models
from rossmann.data import Plan, SalesHistory, Snapshot
from rossmann.journal import Journal
from rossmann.provenance import code_version
from rossmann.registry import ModelCard
from rossmann.schema import FLAG_COLUMNS, HOLIDAY_KINDS, HORIZON_DAYS
from rossmann.serving import proxy_errors
from rossmann.serving.deployment import ServeCluster
from rossmann.serving.proxy.contract import CLIENT_HEADER
from rossmann.serving.server import parsing, requests, responses
from rossmann.serving.server.app import create_app
from rossmann.serving.server.auth import Limits
from rossmann.serving.server.blocks import BlockForecaster
from rossmann.serving.server.cores import Cores
from rossmann.serving.server.errors import MAX_PROBLEMS
from rossmann.serving.server.explanations import earlier_input_loaders
from rossmann.serving.server.loaded_model import LoadedModel
from rossmann.serving.server.metrics import Metrics
from rossmann.serving.server.model_host import ModelHost
from rossmann.serving.server.turns import Turns
from rossmann.serving.target import ServingTarget
from rossmann.validation import DataError
from tests.support.cluster import wait
from tests.support.endpoint import registry_of

KEY = "a key that is long enough"
FIRST, LAST = "2015-02-10", "2015-03-29"  # of toy's 48 days after its origin
DAY = {"store": 1, "date": FIRST}
LIMITS = Limits(1_000_000, 1_000)


def loaded_model(history, version: int = 1, name: str = "median") -> LoadedModel:
    """A model that needs no training windows, on a history."""
    candidate = models.default_candidate(name)
    bounds = models.calibrate(np.ones(3), np.array([1.5, -2.0, 0.5]), coverage=0.9)
    forecaster = models.fit(candidate, [], history.origin, 7).with_quantiles(bounds)
    state = features.fit_state(history)
    plan = features.published_plan(state)
    card = ModelCard(name, "s", str(history.origin), {"2014-01-01": 0.1}, 0.9, 7, code_version(), "e", "t")
    created = datetime(2015, 2, 10, tzinfo=UTC).isoformat()
    snapshot = Snapshot("f" * 16, created, 1, 3, "2014-01-06", str(history.origin), "2015-03-29", None, "", None, True)
    in_blocks = BlockForecaster(forecaster, Cores(Path(tempfile.gettempdir(), "rossmann-test-cores")))
    return LoadedModel(version, card, snapshot, state, in_blocks, plan, forecaster.predict(state, plan))


class Client:
    """A client of the application in this process; `address` is where it seems to come from."""

    def __init__(self, host: ModelHost, limits: Limits = LIMITS, address: str = "127.0.0.1", name: str = "127.0.0.1"):
        self.app, self.address, self.url = create_app(host, limits), address, f"http://{name}:8000"

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.address, 1), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self.url) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.request("GET", path, **options)

    def predict(self, body: object, **options: object) -> httpx.Response:
        return self.request("POST", "/predict", json=body, **options)

    def forecast(self, body: object) -> float:
        """The forecast of the first row."""
        return self.predict(body).json()["forecasts"][0]["forecast"]


@contextmanager
def running_host(load, folder: Path, journal_url: str | None = None) -> Iterator[ModelHost]:
    """A host that has loaded no model yet."""
    loaders = earlier_input_loaders(registry_of(folder), f"{folder}/snapshots")
    host = ModelHost(load, loaders, Journal(journal_url or f"sqlite:///{folder}/journal.db", folder / "log"),
                     Metrics())  # fmt: skip
    yield host
    host.journal.close(5)


@pytest.fixture
def host(toy, tmp_path):
    """A host with the toy chain's median model."""
    with running_host(lambda target: loaded_model(toy, target.model_version or 1), tmp_path) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        yield host


@pytest.fixture
def client(host):
    return Client(host)


def json_rows(plan: Plan, rows: object) -> list[dict]:
    """Rows of a plan as a request contains them, with every field."""
    return [
        {"store": int(plan.store[k]), "date": str(plan.date[k])}
        | {"state_holiday": HOLIDAY_KINDS[plan.holiday_kind[k]]}
        | {requests.field_name(name): bool(getattr(plan, name)[k]) for name in FLAG_COLUMNS}
        for k in rows
    ]


def test_a_forecast_is_that_computed_by_hand(client):
    """Tuesday, 10 February 2015, in a week with promotion: 1,000 × 1.0 × 1.5."""
    response = client.predict(DAY | {"promo": True}).json()
    assert response["model_version"] == 1
    assert response["origin"] == "2015-02-09"
    (row,) = response["forecasts"]
    assert row["forecast"] == pytest.approx(1500)
    assert row["lead_days"] == 1
    assert row["lower"] < row["forecast"] < row["upper"]


def test_fields_in_the_request_replace_those_of_the_published_plan(client, host):
    published = client.forecast({"store": 2, "date": FIRST})
    promo = bool(host.model.plan.promotion[HORIZON_DAYS])  # of the second store's first day
    assert client.forecast({"store": 2, "date": FIRST, "promo": promo}) == published
    assert client.forecast({"store": 2, "date": FIRST, "promo": not promo}) != published
    assert client.forecast({"store": 2, "date": FIRST, "open": False}) == 0


def test_kaggles_column_names_are_aliases(client):
    row = {"store": 3, "date": FIRST, "open": True, "promo": False, "state_holiday": "a", "school_holiday": True}
    kaggle_row = {"Id": 9, "Store": 3, "DayOfWeek": 2, "Date": FIRST}
    kaggle_row |= {"Open": 1, "Promo": 0, "StateHoliday": "a", "SchoolHoliday": 1}
    assert client.predict(row).json()["forecasts"] == client.predict(kaggle_row).json()["forecasts"]


def test_forecasts_come_in_the_order_of_the_rows(client):
    days = [{"store": s, "date": d} for s, d in [(3, LAST), (1, FIRST), (2, "2015-03-01")]]
    rows = client.predict({"plan": days}).json()["forecasts"]
    assert [(row["store"], row["date"]) for row in rows] == [(day["store"], day["date"]) for day in days]


def test_a_stores_forecast_is_that_of_a_request_for_its_published_days(client, host):
    rows = client.get("/forecasts/2").json()["forecasts"]
    body = {"plan": json_rows(host.model.plan, range(HORIZON_DAYS, 2 * HORIZON_DAYS))}
    assert rows == client.predict(body).json()["forecasts"]
    assert len(rows) == HORIZON_DAYS


def test_a_forecast_has_its_quantiles_on_request(client, host):
    """The same numbers as without them."""
    quantiles = host.model.quantiles
    for body in (DAY, DAY | {"promo": True}, {"plan": [DAY, {"Store": 2, "Date": LAST}]}):
        for wanted in (False, True):
            rows = client.predict(body | {"quantiles": wanted}).json()["forecasts"]
            values = [row.pop("quantiles", None) for row in rows]
            assert rows == client.predict(body).json()["forecasts"]
            assert [list(each or ()) for each in values] == [list(quantiles.columns) if wanted else []] * len(rows)
        for row, own in zip(rows, values, strict=True):
            assert (own["q05"], own["q95"]) == (row["lower"], row["upper"])
            assert list(own.values()) == sorted(own.values())


def test_a_stores_forecast_has_its_quantiles_on_request(client, host):
    rows = client.get("/forecasts/2?quantiles=true").json()["forecasts"]
    body = {"plan": json_rows(host.model.plan, range(HORIZON_DAYS, 2 * HORIZON_DAYS)), "quantiles": True}
    assert rows == client.predict(body).json()["forecasts"]
    assert {len(row["quantiles"]) for row in rows} == {len(host.model.quantiles.levels)}
    closed = next(row for row in rows if row["forecast"] == 0)
    assert set(closed["quantiles"].values()) == {0}
    response = client.get("/forecasts/2?quantiles=perhaps")
    assert response.status_code == 422
    assert '"perhaps" is not valid; expected true or false' in response.json()["error"]


def test_a_query_parameter_that_is_repeated_is_refused(client):
    for query in ("quantiles=true&quantiles=false", "quantiles=true&quantiles=true"):
        response = client.get(f"/forecasts/2?{query}")
        assert response.status_code == 422
        (problem,) = response.json()["problems"]
        assert (problem["field"], problem["message"]) == ("quantiles", "is there 2 times; name it once")


def test_every_answer_is_in_the_journal_with_its_purpose(client, host, tmp_path):
    """Rows as published refer to the published forecast, which is stored once; others are stored with the question."""
    smoke = {"X-Rossmann-Purpose": "smoke"}
    promo = not host.model.plan.promotion[0]
    plan = {"plan": [{"store": 3, "date": LAST}, {"store": 2, "date": FIRST}]}
    question = DAY | {"promo": bool(promo)}
    responses = {
        "store": client.get("/forecasts/2?quantiles=true"),
        "rows": client.predict(plan),
        "question": client.predict(question | {"quantiles": True}),
        "smoke": client.predict(question, headers=smoke),
        "smoke as published": client.predict(DAY, headers=smoke),
    }
    client.get("/forecasts/99")
    host.journal.close(5)
    url = f"sqlite:///{tmp_path}/journal.db"
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        purposes = dict(database.execute("select id, purpose from requests").fetchall())
        (row_count,) = database.execute("select count(*) from forecasts").fetchone()
    (batch,) = (request_id for request_id in purposes if request_id.startswith(f"published-1-{'f' * 16}-"))
    assert row_count == 3 * HORIZON_DAYS + 2
    assert purposes == {
        batch: "operational", responses["store"].json()["request_id"]: "operational",
        responses["rows"].json()["request_id"]: "operational", responses["question"].json()["request_id"]: "question",
        responses["smoke"].json()["request_id"]: "smoke", responses["smoke as published"].json()["request_id"]: "smoke",
    }  # fmt: skip
    for response in responses.values():
        rows, returned = journal.read_answer(url, response.json()["request_id"]), response.json()["forecasts"]
        assert rows.forecast.tolist() == [row["forecast"] for row in returned]
        if "quantiles" in returned[0]:
            assert rows[list(returned[0]["quantiles"])].to_dict("records") == [row["quantiles"] for row in returned]
        assert rows.store.tolist() == [row["store"] for row in returned]
        assert [str(day) for day in rows.date] == [row["date"] for row in returned]
    first, last = date.fromisoformat(FIRST), date.fromisoformat(LAST)
    assert {request_id for day in journal.read_forecasts(url, first, last) for request_id in day.request_id} == {batch}


def test_an_unknown_purpose_is_refused(client):
    response = client.predict(DAY, headers={"X-Rossmann-Purpose": "fun"})
    assert response.status_code == 422
    assert response.json()["problems"][0]["field"] == "X-Rossmann-Purpose"


def test_a_row_as_published_costs_the_journal_one_row(client, host, tmp_path):
    for _ in range(200):
        client.predict(DAY)
        client.get("/forecasts/1")
    host.journal.close(10)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        (requests_count,) = database.execute("select count(*) from requests").fetchone()
        (row_count,) = database.execute("select count(*) from forecasts").fetchone()
    assert (requests_count, row_count) == (401, 3 * HORIZON_DAYS)


def test_a_look_up_equals_the_models_forecast(noisy):
    """Rows as published, rows that differ, and stores of both kinds in one request."""
    model = loaded_model(noisy, name="ridge")
    random = np.random.default_rng(2)
    for share in (0, 0.01, 0.2, 1):
        rows = random.permutation(len(model.plan))[:200]
        plan = Plan(**{name: values[rows] for name, values in vars(model.plan).items()})
        inverted = random.random(len(rows)) < share
        plan = replace(plan, promotion=np.where(inverted, 1 - plan.promotion, plan.promotion).astype(np.int8))
        forecast, slow = model.answer(plan).forecast, model.forecaster.predict(model.state, plan)
        for name in ("sales", "lower", "upper", "standard_deviation"):
            np.testing.assert_allclose(getattr(forecast, name), getattr(slow, name), rtol=1e-12)


def test_a_forecast_leaves_the_look_up_table_as_it_is(noisy):
    model = loaded_model(noisy, name="ridge")
    before = model.plan_forecast.sales.copy()
    rows = np.arange(2 * HORIZON_DAYS)
    plan = Plan(**{name: values[rows] for name, values in vars(model.plan).items()})
    first_store = plan.store == plan.store[0]
    model.answer(replace(plan, promotion=np.where(first_store, 1 - plan.promotion, plan.promotion).astype(np.int8)))
    np.testing.assert_array_equal(model.plan_forecast.sales, before)


def test_the_reasons_add_up_to_the_forecast_and_are_not_in_the_journal(noisy, tmp_path):
    model = loaded_model(noisy, name="ridge")
    rows = json_rows(model.plan, range(HORIZON_DAYS))
    rows[0] |= {"promo": not rows[0]["promo"], "open": True}
    with running_host(lambda _: model, tmp_path) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        client = Client(host)
        response = client.request("POST", "/explain", json={"plan": rows})
        forecasts = client.predict({"plan": rows}).json()["forecasts"]
    for each, row in zip(
        responses.Explanations.model_validate_json(response.content).explanations, forecasts, strict=True
    ):
        assert (each.store, str(each.date), each.forecast) == (row["store"], row["date"], row["forecast"])
        assert sum(term.amount for term in each.terms) == pytest.approx(each.forecast, rel=1e-9)
        assert each.closed == (not each.terms) == (each.forecast == 0)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        assert database.execute("select count(*) from requests").fetchone() == (1,)  # that of the forecast


def test_few_rows_are_explained_in_one_request_and_the_errors_are_those_of_a_forecast(client, host):
    rows = json_rows(host.model.plan, range(51))
    assert "51 rows; at most 50" in client.request("POST", "/explain", json={"plan": rows}).json()["error"]
    for body in ({"store": 99, "date": FIRST}, {"store": 1, "date": "2015-01-01"}, {"store": 1}, []):
        explained, predicted = (client.request("POST", path, json=body) for path in ("/explain", "/predict"))
        assert explained.status_code == predicted.status_code == 422
        assert explained.json()["problems"] == predicted.json()["problems"]


def test_few_comparisons_wait_and_further_ones_are_refused():
    async def outcomes() -> list[object]:
        turns, release = Turns(), asyncio.Event()

        async def work() -> None:
            async with turns.turn():
                await release.wait()

        tasks = [asyncio.create_task(work()) for _ in range(5)]
        await asyncio.sleep(0)
        release.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return [*results, await work()]

    results = asyncio.run(outcomes())
    assert [getattr(each, "status", None) for each in results] == [None, None, None, 429, 429, None]


INVALID = [
    ({"store": 99, "date": FIRST}, "store", "store 99 has no history; there are 3 stores from 1 to 3"),
    ({"store": 1, "date": "2015-02-09"}, "date", "sales are known until 2015-02-09; the first day is 2015-02-10"),
    ({"store": 1, "date": "2015-03-30"}, "date", "the last day is 2015-03-29"),
    ({"store": 1, "date": "2015-02-30"}, "date", '"2015-02-30" is not valid; expected a day, like "2015-08-01"'),
    ({"store": 1, "date": 20150210}, "date", "expected a day"),
    ({"store": "1", "date": FIRST}, "store", 'is not valid; expected a store\'s number, like 1'),
    ({"store": 1.5, "date": FIRST}, "store", "1.5 is not valid"),
    ({"store": True, "date": FIRST}, "store", "expected a store's number"),
    ({"store": 1, "date": FIRST, "open": 2}, "open", "2 is not valid; expected true or false, or 1 or 0"),
    ({"store": 1, "date": FIRST, "promo": "yes"}, "promo", "expected true or false"),
    ({"store": 1, "date": FIRST, "state_holiday": "d"}, "state_holiday", '"d" is not valid; expected "0", "a"'),
    ({"store": 1, "date": FIRST, "DayOfWeek": 5}, "day_of_week", "2015-02-10 is day 2 of the week, not 5"),
    ({"store": 1, "date": FIRST, "Store": 2}, "store", "appears twice"),
    ({"plan": [DAY], "store": 2}, "store", "is not allowed beside plan"),
    ({"plan": [DAY], "quantiles": 1}, "quantiles", "1 is not valid; expected true or false"),
    (DAY | {"quantiles": "yes"}, "quantiles", '"yes" is not valid; expected true or false'),
    ({"plan": [DAY | {"quantiles": True}]}, "quantiles", "there is no such field"),
    ({"plan": [DAY | {"promo": "x"}], "quantiles": True}, "promo", "expected true or false"),
    ({"store": 1, "date": "1423526400"}, "date", '"1423526400" is not valid; expected a day'),
    ({"store": 1, "date": "2015-W07-2"}, "date", "expected a day"),
    ({"store": 1, "date": FIRST, "sales": 5}, "sales", "there is no such field; the fields are store, date, open"),
    ({"date": FIRST}, "store", "is missing; expected a store's number"),
    ({"plan": []}, "plan", "expected a list of at least one row"),
    ({"plan": [DAY] * 2}, None, "is already in row 0"),
    ([{"store": True}], None, '[{"store": true}] is not a row; expected'),
    ({"plan": [DAY] * 1001}, "plan", "1,001 rows; at most 1,000 in one request"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field", "message"), INVALID, ids=[message[:30] for _, _, message in INVALID])
def test_an_invalid_request_gets_a_message_that_names_field_and_expectation(client, body, field, message):
    response = client.predict(body)
    assert response.status_code == 422
    error = response.json()
    assert message in error["error"]
    assert field in [problem["field"] for problem in error["problems"]]
    assert error["request_id"] == response.headers["X-Request-ID"]


def test_one_invalid_row_is_named_and_no_row_is_forecast(client, host):
    response = client.predict({"plan": [DAY, DAY | {"date": "x"}, DAY | {"date": LAST}]})
    assert response.status_code == 422
    assert response.json()["problems"] == [
        {"row": 1, "field": "date", "message": '"x" is not valid; expected a day, like "2015-08-01"'}
    ]
    assert "forecasts" not in response.json()
    assert host.journal.health().pending_rows == host.journal.health().written_rows == 0


@pytest.mark.parametrize("row", [{"store": 7, "date": FIRST}, {"store": 1, "date": "x"}], ids=["store", "date"])
def test_of_many_problems_the_first_are_listed_and_that_there_are_more_is_said(client, row):
    error = client.predict({"plan": [row | {"id": k} for k in range(900)]}).json()
    assert len(error["problems"]) == MAX_PROBLEMS
    assert [problem["row"] for problem in error["problems"]] == sorted(problem["row"] for problem in error["problems"])
    assert f"and more; these are the first {MAX_PROBLEMS}" in error["error"]


HOSTILE = {
    "rows": b'{"plan": [' + b",".join([b"{}"] * 1_000_000) + b"]}",
    "rows below the limit": b'{"plan": [' + b",".join([b"{}"] * 100_000) + b"]}",
    "numbers": b'{"plan": [' + b",".join([b"1"] * 1_500_000) + b"]}",
    "lists": b'{"plan": [' + b",".join([b"[]"] * 1_000_000) + b"]}",
    "fields": b"{" + b",".join(b'"%d":1' % number for number in range(300_000)) + b"}",
    "fields of one row": b'{"plan": [{' + b",".join(b'"{%d":1' % number for number in range(99_000)) + b"}]}",
    "no plan": b"[" + b",".join([b"{}"] * 1_000_000) + b"]",
    "no list": b'{"plan": "' + b"x" * 3_000_000 + b'"}',
    "unfinished": b'{"plan": [' + b"{" * 3_000_000,
}


@pytest.fixture(scope="module")
def own_process():
    """A process without the threads of other tests, whose memory would be measured too."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result(120)


@contextmanager
def client_of(history: SalesHistory, folder: Path) -> Iterator[Client]:
    """A client with the default limits, of an application whose model is loaded."""
    with running_host(lambda _: loaded_model(history), folder) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        client = Client(host, Limits(16_000_000, 100_000))
        client.predict(DAY)
        yield client


def cost_of_hostile_body(history: SalesHistory, folder: Path, name: str) -> tuple[httpx.Response, float, int]:
    """The response to one of HOSTILE, CPU seconds and the peak of allocated bytes."""
    with client_of(history, folder) as client:
        tracemalloc.start()
        started = time.process_time()
        response = client.request("POST", "/predict", content=HOSTILE[name])
        seconds, peak_bytes = time.process_time() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return response, seconds, peak_bytes


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_costs_little_time_and_memory(own_process, toy, tmp_path, name):
    """3 MB of {} as rows took 40 s and more than a gigabyte when a problem was built for each."""
    response, seconds, peak_bytes = own_process(cost_of_hostile_body, toy, tmp_path, name)
    assert response.status_code == 422
    assert len(response.content) < 10_000
    assert seconds < 2  # tracemalloc slows every allocation; without it 0.2 s
    assert peak_bytes < 50_000_000


def cost_of_hostile_bodies_at_once(history: SalesHistory, folder: Path) -> tuple[list[int], float, int]:
    """The statuses of four requests, two at a time, their CPU seconds and the growth of the process in bytes."""
    with client_of(history, folder) as client, ThreadPoolExecutor(2) as pool:
        process = psutil.Process()
        before, started = process.memory_info().rss, time.process_time()
        with peak_memory(process) as peak:
            names = ["rows", "rows below the limit"] * 2
            statuses = list(
                pool.map(lambda name: client.request("POST", "/predict", content=HOSTILE[name]).status_code, names)
            )
        return statuses, time.process_time() - started, peak() - before


@pytest.mark.slow
def test_two_hostile_requests_at_once_leave_the_process_small(own_process, toy, tmp_path):
    """Memory by the operating system, which sees what Rust allocates; CPU seconds, since others use the machine."""
    statuses, seconds, growth_bytes = own_process(cost_of_hostile_bodies_at_once, toy, tmp_path)
    assert statuses == [422] * 4
    assert seconds / 4 < 0.5
    assert growth_bytes < 100_000_000


@contextmanager
def peak_memory(process: psutil.Process) -> Iterator[Callable[[], int]]:
    """The largest resident memory of a process so far, looked at every millisecond. bytes"""
    values, done = [process.memory_info().rss], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            values.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    yield lambda: max(values)
    done.set()
    thread.join()


@pytest.mark.parametrize(
    ("body", "row", "field", "key"),
    [
        (f'{{"store": 1, "date": "{FIRST}", "store": 2}}', None, "store", "store"),
        (f'{{"store": 1, "date": "{FIRST}", "sto\\u0072e": 2}}', None, "store", "store"),
        (f'{{"plan": [{{"store": 1, "date": "{FIRST}"}}, {{"Store": 2, "Date": "{FIRST}", "Promo": 1, "Promo": 1}}]}}',
         1, "promo", "Promo"),
        (f'{{"plan": [], "plan": [{{"store": 1, "date": "{FIRST}"}}]}}', None, "plan", "plan"),
    ],
)  # fmt: skip
def test_a_repeated_key_is_refused(client, body, row, field, key):
    response = client.request("POST", "/predict", content=body.encode())
    assert response.status_code == 422
    (problem,) = response.json()["problems"]
    assert (problem["row"], problem["field"]) == (row, field)
    assert f'the key "{key}" appears more than once' in problem["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"store": NaN, "date": Infinity}', b"[" * 100_000, b'"\\ud800"']
)
def test_a_body_that_is_not_json_is_not_valid(client, body):
    assert client.request("POST", "/predict", content=body).status_code == 422


def test_the_rows_of_a_request_are_those_that_pydantic_parses_one_by_one(host):
    rows = json_rows(host.model.plan, range(0, 144, 5))
    slow = TypeAdapter(list[requests.PlanRow]).validate_json(json.dumps(rows))
    plan = requests.to_plan(parsing.parse_body(json.dumps({"plan": rows}).encode(), 1000)[0], host.model.state)
    assert plan.store.tolist() == [row.store for row in slow]
    assert plan.date.tolist() == [row.date for row in slow]
    assert plan.promotion.tolist() == [int(row.promotion) for row in slow]


def test_a_body_that_is_too_large_is_not_read(host):
    client = Client(host, Limits(100, 1_000))
    assert client.predict({"plan": [DAY] * 10}).status_code == 413

    async def chunks_without_content_length():
        for _ in range(50):
            yield b"x" * 10

    assert client.request("POST", "/predict", content=chunks_without_content_length()).status_code == 413


def test_with_api_keys_a_request_needs_one(host):
    client = Client(host, Limits.with_keys(1_000_000, 1_000, [KEY, "another key"]))
    assert client.predict(DAY).status_code == 401
    assert client.predict(DAY, headers={"X-API-Key": KEY[:-1]}).status_code == 401
    assert client.predict(DAY, headers={"X-API-Key": KEY}).status_code == 200
    assert client.predict(DAY, headers={"Authorization": "Bearer another key"}).status_code == 200
    assert client.predict(DAY, headers={"Authorization": "bearer  another key"}).status_code == 200
    assert client.predict(DAY, headers={"Authorization": "another key"}).status_code == 401
    assert client.get("/health").status_code == client.get("/ready").status_code == 200
    assert client.get("/model").status_code == 401


def test_a_probe_without_a_key_learns_of_an_error_but_not_of_addresses(toy, tmp_path):
    with running_host(lambda _: loaded_model(toy), tmp_path, "postgresql+psycopg://me@nowhere/x") as host:
        asyncio.run(host.switch_to(ServingTarget()))
        client = Client(host, Limits.with_keys(1_000_000, 1_000, [KEY]))
        client.predict(DAY, headers={"X-API-Key": KEY})
        wait(lambda: client.get("/ready").json()["journal"]["problem"] is not None, 60)
        assert "nowhere" not in client.get("/ready").text
        assert "nowhere" in client.get("/ready", headers={"X-API-Key": KEY}).json()["journal"]["problem"]


def test_without_api_keys_only_local_callers_are_allowed(host):
    response = Client(host, address="10.1.2.3").predict(DAY)
    assert response.status_code == 401
    assert "ROSSMANN_API_KEYS" in response.json()["error"]
    assert Client(host, address="::1").predict(DAY).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_request_that_a_proxy_forwarded_is_not_from_this_machine(client, host, header):
    """The proxy is on this machine, its caller may be anywhere, and may write what it wants into the header."""
    assert client.predict(DAY, headers={header: "127.0.0.1"}).status_code == 401
    with_keys = Client(host, Limits.with_keys(1_000_000, 1_000, [KEY]))
    assert with_keys.predict(DAY, headers={header: "127.0.0.1", "X-API-Key": KEY}).status_code == 200


@pytest.mark.parametrize(("caller", "status"), [("127.0.0.1", 200), ("10.1.2.3", 401), ("127.0.0.1, 10.1.2.3", 401)])
def test_behind_our_proxy_which_is_local_the_callers_address_counts(client, caller, status):
    assert client.predict(DAY, headers={CLIENT_HEADER: caller}).status_code == status


def test_nobody_becomes_local_by_the_header_of_our_proxy(host):
    assert Client(host, address="10.1.2.3").predict(DAY, headers={CLIENT_HEADER: "127.0.0.1"}).status_code == 401


@pytest.mark.parametrize("path", ["/predict", "/ready", "/docs", "/openapi.json", "/forecasts/1"])
def test_without_keys_a_host_name_that_is_not_this_machines_is_refused(host, path):
    """A page of attacker.example whose name was pointed at 127.0.0.1 would read the answer otherwise."""
    response = Client(host, name="attacker.example").get(path)
    assert response.status_code == 400
    assert response.json()["problems"][0]["field"] == "Host"
    assert "attacker.example" in response.json()["error"]
    assert response.json()["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]", "forecasts"])
def test_without_keys_names_of_this_machine_and_allowed_names_are_served(host, name):
    limits = Limits(1_000_000, 1_000, allowed_hosts=("forecasts",))
    assert Client(host, limits, name=name).predict(DAY).status_code == 200


@pytest.mark.parametrize("value", ["", "127.0.0.1.attacker.example", "localhost.attacker.example", "[::1", "a@b"])
def test_an_odd_host_header_is_refused(client, value):
    assert client.get("/ready", headers={"Host": value}).status_code == 400


def test_with_api_keys_any_host_name_is_served(host):
    client = Client(host, Limits.with_keys(1_000_000, 1_000, [KEY]), name="forecasts.example")
    assert client.predict(DAY, headers={"X-API-Key": KEY}).status_code == 200


@pytest.mark.parametrize("path", ["/ready", "/health", "/model", "/docs", "/openapi.json", "/forecasts/2", "/nowhere"])
def test_head_is_answered_like_get_without_the_body(client, path):
    head, get = client.request("HEAD", path), client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_head_is_not_a_forecast_that_was_returned(client, host):
    client.request("HEAD", "/forecasts/2")
    assert host.journal.health().pending_rows == host.journal.health().written_rows == 0


def test_the_documentation_page_needs_no_other_server(host):
    """Its files come from the endpoint, with and without API keys."""
    for limits in (LIMITS, Limits.with_keys(1_000_000, 1_000, [KEY])):
        client = Client(host, limits)
        page = client.get("/docs").text
        addresses = re.findall(r"""(?:src|href)="([^"]*)"|url: '([^']*)'""", page)
        addresses = [urljoin("/docs", first or second) for first, second in addresses]
        assert len(addresses) == 4
        for address in addresses:
            assert address.startswith("/"), "on another server"
            response = client.get(address)
            assert response.status_code == 200
            assert len(response.content) > 1_000
        assert "https:" not in page
    assert client.get("/docs/files/../../app.py").status_code in (401, 404)


def test_the_document_says_which_paths_need_no_key(host):
    client = Client(host, Limits.with_keys(1_000_000, 1_000, [KEY]))
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            security = operation.get("security", document["security"])
            response = client.request(method, path.replace("{store}", "1"), json=DAY if method == "post" else None)
            assert (response.status_code == 401) == bool(security), path
    assert "security" not in Client(host).get("/openapi.json").json()


def get_through_serve(app: Callable, path: str) -> httpx.Response:
    """GET of an application behind Serve's own middleware and ours, as a replica wraps it."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(_apply_middlewares(app, proxy_errors.middlewares()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.get(path)

    return asyncio.run(get())


def test_an_answer_has_one_request_id_and_it_is_the_one_of_the_journal(client):
    response = get_through_serve(client.app, "/forecasts/1")
    assert response.headers.get_list("X-Request-ID") == [response.json()["request_id"]]


@pytest.mark.parametrize("status", [408, 429, 503])
def test_an_error_of_serves_proxy_has_the_json_of_all_other_errors(status):
    async def proxy(scope: dict, receive: object, send: Callable) -> None:
        headers = [(b"content-type", b"text/plain"), (b"retry-after", b"1"), (b"x-request-id", b"abc")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"Request dropped", "more_body": False})

    response = get_through_serve(proxy, "/predict")
    assert (response.status_code, response.headers["retry-after"]) == (status, "1")
    error = TypeAdapter(responses.Error).validate_python(response.json())
    assert error.request_id == response.headers["x-request-id"] == "abc"
    assert error.problems[0].message in error.error


def test_a_defect_of_the_endpoint_has_the_json_of_all_other_errors(client, host):
    host.model = object()
    response = client.predict(DAY)
    assert response.status_code == 500
    error = TypeAdapter(responses.Error).validate_python(response.json())
    assert error.request_id == response.headers["X-Request-ID"]
    assert "object" not in response.text, "what failed is only in the log"


def test_without_a_model_every_response_is_503_with_the_reason(tmp_path):
    def load(_: ServingTarget) -> LoadedModel:
        raise DataError("no champion yet: train one")

    with running_host(load, tmp_path) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        client = Client(host)
        for response in (client.predict(DAY), client.get("/model"), client.get("/ready")):
            assert response.status_code == 503
            assert "no champion yet: train one" in response.text
        assert client.get("/health").status_code == 200


def test_if_a_version_cannot_be_loaded_the_old_one_serves_and_ready_says_why(toy, tmp_path):
    def load(target: ServingTarget) -> LoadedModel:
        if target.model_version == 2:
            raise OSError("/secret/path is gone")
        return loaded_model(toy, target.model_version)

    with running_host(load, tmp_path) as host:
        client = Client(host)
        asyncio.run(host.switch_to(ServingTarget(1)))
        asyncio.run(host.switch_to(ServingTarget(2)))
        assert client.predict(DAY).json()["model_version"] == 1
        readiness = client.get("/ready").json()
        assert readiness["ready"]
        assert "OSError" in readiness["load_error"]
        assert "secret" not in readiness["load_error"]
        asyncio.run(host.switch_to(ServingTarget(3)))
        assert client.get("/ready").json()["load_error"] is None


def test_a_first_version_that_cannot_be_loaded_is_an_error_of_the_replica(tmp_path):
    """Serve must not send requests to a replica without a model while others have one."""

    def load(_: ServingTarget) -> LoadedModel:
        raise DataError("there is no model version 5")

    with running_host(load, tmp_path) as host, pytest.raises(DataError, match="no model version 5"):
        asyncio.run(host.switch_to(ServingTarget(5)))


def test_the_examples_of_the_openapi_document_are_valid_requests(client):
    document = client.get("/openapi.json").json()
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) >= 4
    for example in examples.values():
        for path in ("/predict", "/explain"):
            assert client.request("POST", path, json=example["value"]).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nowhere", 404, "GET /docs lists all routes"),
        ("/predict", 405, "GET /docs lists all routes"),
        ("/forecasts/99", 404, "store 99 has no history"),
        ("/forecasts/x", 422, '"x" is not valid; expected a store\'s number'),
        (f"/forecasts/{10**30}", 422, "is not valid"),
    ],
)
def test_a_wrong_path_gets_a_message_that_says_what_exists(client, path, status, message):
    response = client.get(path)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_model_describes_the_loaded_model(client):
    model = client.get("/model").json()
    assert (model["candidate"], model["stores"], model["snapshot"]) == ("median", 3, "f" * 16)
    assert (model["train_snapshot"], model["train_end"], model["run_id"]) == ("s", "2015-02-09", "t")


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://head:8000"), ("::", "http://head:8000"), ("::1", "http://[::1]:8000"), ("a", "http://a:8000")],
)
def test_an_endpoint_on_all_addresses_is_reached_on_rays_head(host, url):
    assert ServeCluster("http://head:8265", Path("serve.yaml"), host, 8000, "key").url == url


def modules_after_import(name: str) -> set[str]:
    """All modules that a new process has loaded after importing this one."""
    code = f"import sys, {name}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("rossmann.serving.server.replica", {"prefect", "matplotlib", "evidently", "rossmann.serving.deployment"}),
        ("rossmann.serving.deployment", {"prefect", "matplotlib", "mlflow", "sqlalchemy", "rossmann.serving.server"}),
    ],
)
def test_server_and_deployer_load_nothing_that_only_the_other_needs(module, unwanted):
    modules = modules_after_import(module)
    assert module in modules
    assert not unwanted & modules
