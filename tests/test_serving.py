"""The endpoint's application over ASGI: what it answers, and in which words it refuses."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydantic import TypeAdapter

from benchmarks.cluster import wait
from rossmann import features, journal, models
from rossmann.data import Plan, Snapshot
from rossmann.journal import Journal
from rossmann.registry import ModelCard, Registered
from rossmann.serving import asking
from rossmann.serving.app import application
from rossmann.serving.deploying import Serve
from rossmann.serving.desk import Desk, Wanted
from rossmann.serving.guard import Limits
from rossmann.serving.holding import Held, publish
from rossmann.serving.metering import Meter
from rossmann.settings import code_version
from rossmann.storage import Storage
from rossmann.validation import DataError

KEY = "a key that is long enough"
TOY_STORES = [1, 2, 3]
FIRST, LAST = "2015-02-10", "2015-03-29"  # of toy's 48 days after its origin


def held_of(history, version: int = 1, name: str = "median") -> Held:
    """A baseline that needs no learning, on a history."""
    (candidate,) = (c for c in models.candidates((name,)) if c.name == name)
    bounds = models.calibrate(np.array([1, 1, 2]), np.array([0.1, -0.2, 0.05]), coverage=0.9)
    forecaster = models.fit(candidate, [], history.origin, 7).with_intervals(bounds)
    state = features.summarise(history)
    published = publish(state)
    card = ModelCard(name, "s", str(history.origin), {"2014-01-01": 0.1}, 0.9, 7, code_version(), "e", "t")
    created = datetime(2015, 2, 10, tzinfo=UTC).isoformat()
    snapshot = Snapshot("f" * 16, created, 1, 3, "2014-01-06", str(history.origin), "2015-03-29", None, "", None, True)
    return Held(Registered(version, (), card, "", "race"), snapshot, state, forecaster, published,
                forecaster.predict(state, published))  # fmt: skip


class Asked:
    """The application, asked in this process."""

    def __init__(self, desk: Desk, limits: Limits, client: str = "127.0.0.1"):
        self.app, self.client = application(desk, limits), client

    def __call__(self, method: str, path: str, **more: object) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.client, 1), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    def predict(self, body: object) -> httpx.Response:
        return self("POST", "/predict", json=body)


@pytest.fixture
def desk(toy, tmp_path):
    made = Desk(lambda wanted: held_of(toy, wanted.model or 1), Journal(f"sqlite:///{tmp_path}/journal.db",
                Storage(str(tmp_path / "spill"))), Meter())  # fmt: skip
    asyncio.run(made.hold(Wanted()))
    yield made
    made.journal.close(5)


@pytest.fixture
def ask(desk):
    return Asked(desk, Limits(1_000_000, 1_000))


def rows_of(plan: Plan, which: object) -> list[dict]:
    """Rows as a request says them."""
    flags = ("open", "promo", "school_holiday")
    return [
        {"store": int(plan.store[k]), "date": str(plan.date[k]), "state_holiday": "0abc"[plan.state_holiday[k]]}
        | {name: bool(getattr(plan, name)[k]) for name in flags}
        for k in which
    ]


def test_a_day_is_forecast_by_the_closed_form(ask):
    """Tuesday, 10 February 2015, in a week with promotion: 1,000 × 1.0 × 1.5."""
    answer = ask.predict({"store": 1, "date": FIRST, "promo": True}).json()
    assert answer["model_version"] == 1
    assert answer["origin"] == "2015-02-09"
    (row,) = answer["forecasts"]
    assert row["forecast"] == pytest.approx(1500)
    assert row["lead_days"] == 1
    assert row["lower"] < row["forecast"] < row["upper"]


def test_what_is_left_out_is_as_published_and_what_is_given_counts(ask, desk):
    published = ask.predict({"store": 2, "date": FIRST}).json()["forecasts"][0]["forecast"]
    told = bool(desk.held.published.promo[48])
    assert ask.predict({"store": 2, "date": FIRST, "promo": told}).json()["forecasts"][0]["forecast"] == published
    assert ask.predict({"store": 2, "date": FIRST, "promo": not told}).json()["forecasts"][0]["forecast"] != published
    assert ask.predict({"store": 2, "date": FIRST, "open": False}).json()["forecasts"][0]["forecast"] == 0


def test_kaggles_names_say_the_same(ask):
    ours = {"store": 3, "date": FIRST, "open": True, "promo": False, "state_holiday": "a", "school_holiday": True}
    theirs = {"Id": 9, "Store": 3, "DayOfWeek": 2, "Date": FIRST}
    theirs |= {"Open": 1, "Promo": 0, "StateHoliday": "a", "SchoolHoliday": 1}
    assert ask.predict(ours).json()["forecasts"] == ask.predict(theirs).json()["forecasts"]


def test_a_plan_is_answered_in_its_order(ask):
    days = [{"store": s, "date": d} for s, d in [(3, LAST), (1, FIRST), (2, "2015-03-01")]]
    rows = ask.predict({"plan": days}).json()["forecasts"]
    assert [(row["store"], row["date"]) for row in rows] == [(day["store"], day["date"]) for day in days]


def test_the_stored_days_of_a_store_are_what_a_request_for_them_gets(ask, desk):
    stored = ask("GET", "/forecasts/2").json()["forecasts"]
    asked = ask.predict({"plan": rows_of(desk.held.published, range(48, 96))}).json()["forecasts"]
    assert stored == asked
    assert len(stored) == 48


def test_every_answer_is_in_the_journal_a_stored_one_too(ask, desk, tmp_path):
    ids = [
        ask("GET", "/forecasts/2").json()["request_id"],
        ask.predict({"store": 1, "date": FIRST}).json()["request_id"],
    ]
    ask("GET", "/forecasts/99")
    desk.journal.close(5)
    told = journal.given(f"sqlite:///{tmp_path}/journal.db", date.fromisoformat(FIRST), date.fromisoformat(LAST))
    assert told.groupby("request_id").size().to_dict() == dict(zip(ids, (48, 1), strict=True))


def test_a_look_up_says_what_the_model_says(noisy):
    """Rows as published, rows that differ, and stores of both kinds in one request."""
    held = held_of(noisy, name="ridge")
    random = np.random.default_rng(2)
    for share in (0, 0.01, 0.2, 1):
        which = random.permutation(len(held.published))[:200]
        plan = Plan(**{name: values[which] for name, values in vars(held.published).items()})
        turned = random.random(len(which)) < share
        plan = replace(plan, promo=np.where(turned, 1 - plan.promo, plan.promo).astype(np.int8))
        made, slow = held.forecast(plan), held.forecaster.predict(held.state, plan)
        for part in ("sales", "lower", "upper"):
            np.testing.assert_allclose(getattr(made, part), getattr(slow, part), rtol=1e-12)


BAD = [
    ({"store": 99, "date": FIRST}, "store", "store 99 has no history; known are 3 stores from 1 to 3"),
    ({"store": 1, "date": "2015-02-09"}, "date", "sales are known until 2015-02-09; ask from 2015-02-10"),
    ({"store": 1, "date": "2015-03-30"}, "date", "ask up to 2015-03-29"),
    ({"store": 1, "date": "2015-02-30"}, "date", '"2015-02-30" is not possible; expected a day, like "2015-08-01"'),
    ({"store": 1, "date": 20150210}, "date", "expected a day"),
    ({"store": "1", "date": FIRST}, "store", 'is not possible; expected a store\'s number, like 1'),
    ({"store": 1.5, "date": FIRST}, "store", "1.5 is not possible"),
    ({"store": True, "date": FIRST}, "store", "expected a store's number"),
    ({"store": 1, "date": FIRST, "open": 2}, "open", "2 is not possible; expected true or false, or 1 or 0"),
    ({"store": 1, "date": FIRST, "promo": "yes"}, "promo", "expected true or false"),
    ({"store": 1, "date": FIRST, "state_holiday": "d"}, "state_holiday", '"d" is not possible; expected "0", "a"'),
    ({"store": 1, "date": FIRST, "DayOfWeek": 5}, "day_of_week", "2015-02-10 is day 2, not 5"),
    ({"store": 1, "date": FIRST, "Store": 2}, "store", "is given twice"),
    ({"plan": [{"store": 1, "date": FIRST}], "store": 2}, "store", "stands beside the plan"),
    ({"store": 1, "date": "1423526400"}, "date", '"1423526400" is not possible; expected a day'),
    ({"store": 1, "date": "2015-W07-2"}, "date", "expected a day"),
    ({"store": 1, "date": FIRST, "sales": 5}, "sales", "there is no such field; known are store, date, open"),
    ({"date": FIRST}, "store", "is missing; expected a store's number"),
    ({"plan": []}, "plan", "expected a list of at least one row"),
    ({"plan": [{"store": 1, "date": FIRST}] * 2}, None, "is asked for already, in row 0"),
    ([{"store": True}], None, '[{"store": true}] is no row; expected'),
    ({"plan": [{"store": 1, "date": FIRST}] * 1001}, "plan", "1,001 rows; at most 1,000 in one request"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field", "told"), BAD, ids=[told[:30] for _, _, told in BAD])
def test_a_wrong_request_is_refused_in_words(ask, body, field, told):
    answer = ask.predict(body)
    assert answer.status_code == 422
    refusal = answer.json()
    assert told in refusal["error"]
    assert field in [problem["field"] for problem in refusal["problems"]]
    assert refusal["request_id"] == answer.headers["X-Request-ID"]


def test_a_refusal_names_the_row_and_answers_nothing_of_the_others(ask, desk):
    answer = ask.predict({"plan": [{"store": 1, "date": FIRST}, {"store": 1, "date": "x"}, {"store": 1, "date": LAST}]})
    assert answer.status_code == 422
    assert answer.json()["problems"] == [
        {"row": 1, "field": "date", "problem": '"x" is not possible; expected a day, like "2015-08-01"'}
    ]
    assert "forecasts" not in answer.json()
    assert desk.journal.health().pending == desk.journal.health().written == 0


def test_many_mistakes_are_counted_and_the_first_are_told(ask):
    answer = ask.predict({"plan": [{"store": 7, "date": FIRST, "id": k} for k in range(900)]}).json()
    assert len(answer["problems"]) == asking.MOST_TOLD
    assert "more" in answer["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"store": NaN, "date": Infinity}', b"[" * 100_000, b'"\\ud800"']
)
def test_what_is_not_json_is_refused(ask, body):
    answer = ask("POST", "/predict", content=body)
    assert answer.status_code == 422


def test_kaggles_file_as_json_is_read_as_the_library_reads_it(ask, desk):
    """`asking` against pydantic's slower way, dict by dict."""
    rows = rows_of(desk.held.published, range(0, 144, 5))
    slow = TypeAdapter(list[asking.Row]).validate_json(json.dumps(rows))
    plan = asking.lay(asking.read(json.dumps({"plan": rows}).encode(), 1000), desk.held.state)
    assert plan.store.tolist() == [row.store for row in slow]
    assert plan.date.tolist() == [row.date for row in slow]
    assert plan.promo.tolist() == [int(row.promo) for row in slow]


def test_large_bodies_are_refused_before_they_are_read(desk):
    small = Asked(desk, Limits(100, 1_000))
    assert small.predict({"plan": [{"store": 1, "date": FIRST}] * 10}).status_code == 413

    async def unannounced():
        for _ in range(50):
            yield b"x" * 10

    assert small("POST", "/predict", content=unannounced()).status_code == 413


def test_without_a_key_nobody_is_answered_where_keys_are_set(desk):
    ask = Asked(desk, Limits.of(1_000_000, 1_000, [KEY, "another key"]))
    body = {"store": 1, "date": FIRST}
    assert ask("POST", "/predict", json=body).status_code == 401
    assert ask("POST", "/predict", json=body, headers={"X-API-Key": KEY[:-1]}).status_code == 401
    assert ask("POST", "/predict", json=body, headers={"X-API-Key": KEY}).status_code == 200
    assert ask("POST", "/predict", json=body, headers={"Authorization": "Bearer another key"}).status_code == 200
    assert ask("POST", "/predict", json=body, headers={"Authorization": "bearer  another key"}).status_code == 200
    assert ask("POST", "/predict", json=body, headers={"Authorization": "another key"}).status_code == 401
    assert ask("GET", "/health").status_code == ask("GET", "/ready").status_code == 200
    assert ask("GET", "/model").status_code == 401


def test_a_probe_without_a_key_is_told_that_something_is_wrong_and_no_address(toy, tmp_path):
    desk = Desk(lambda _: held_of(toy), Journal("postgresql+psycopg://me@nowhere/x", Storage(str(tmp_path))), Meter())
    asyncio.run(desk.hold(Wanted()))
    ask = Asked(desk, Limits.of(1_000_000, 1_000, [KEY]))
    ask("POST", "/predict", json={"store": 1, "date": FIRST}, headers={"X-API-Key": KEY})
    wait(lambda: ask("GET", "/ready").json()["journal"]["problem"] is not None, 60)
    assert "nowhere" not in ask("GET", "/ready").text
    assert "nowhere" in ask("GET", "/ready", headers={"X-API-Key": KEY}).json()["journal"]["problem"]
    desk.journal.close(5)


def test_without_keys_only_this_machine_is_answered(desk):
    limits = Limits(1_000_000, 1_000)
    answer = Asked(desk, limits, client="10.1.2.3").predict({"store": 1, "date": FIRST})
    assert answer.status_code == 401
    assert "ROSSMANN_API_KEYS" in answer.json()["error"]
    assert Asked(desk, limits, client="::1").predict({"store": 1, "date": FIRST}).status_code == 200


def test_before_anything_is_loaded_the_answer_is_503_and_says_why(tmp_path):
    def nothing(wanted: Wanted) -> Held:
        raise DataError("no champion yet: train one")

    desk = Desk(nothing, Journal(f"sqlite:///{tmp_path}/j.db", Storage(str(tmp_path))), Meter())
    asyncio.run(desk.hold(Wanted()))
    ask = Asked(desk, Limits(1_000_000, 1_000))
    for answer in (ask.predict({"store": 1, "date": FIRST}), ask("GET", "/model"), ask("GET", "/ready")):
        assert answer.status_code == 503
        assert "no champion yet: train one" in answer.text
    assert ask("GET", "/health").status_code == 200
    desk.journal.close(5)


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_told(toy, tmp_path):
    def load(wanted: Wanted) -> Held:
        if wanted.model == 2:
            raise OSError("/secret/path is gone")
        return held_of(toy, wanted.model)

    desk = Desk(load, Journal(f"sqlite:///{tmp_path}/j.db", Storage(str(tmp_path))), Meter())
    ask = Asked(desk, Limits(1_000_000, 1_000))
    asyncio.run(desk.hold(Wanted(1)))
    asyncio.run(desk.hold(Wanted(2)))
    assert ask.predict({"store": 1, "date": FIRST}).json()["model_version"] == 1
    ready = ask("GET", "/ready").json()
    assert ready["ready"]
    assert "OSError" in ready["refused"]
    assert "secret" not in ready["refused"]
    asyncio.run(desk.hold(Wanted(3)))
    assert ask("GET", "/ready").json()["refused"] is None
    desk.journal.close(5)


def test_the_examples_of_the_document_work_as_they_stand(ask):
    document = ask("GET", "/openapi.json").json()
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) >= 4
    for example in examples.values():
        assert ask.predict(example["value"]).status_code == 200


def test_what_is_not_there_is_told_kindly(ask):
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/predict", 405), ("GET", "/forecasts/99", 404),
                                 ("GET", "/forecasts/x", 422), ("GET", f"/forecasts/{10**30}", 422)):  # fmt: skip
        answer = ask(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]


def test_the_card_says_who_answers(ask):
    card = ask("GET", "/model").json()
    assert (card["candidate"], card["stores"], card["snapshot"]) == ("median", 3, "f" * 16)


@pytest.mark.parametrize(
    ("listens", "asked"),
    [("0.0.0.0", "http://head:8000"), ("::", "http://head:8000"), ("::1", "http://[::1]:8000"), ("a", "http://a:8000")],
)
def test_an_endpoint_that_listens_everywhere_is_asked_on_rays_head(listens, asked):
    assert Serve("http://head:8265", Path("serve.yaml"), listens, 8000, "key").url == asked
