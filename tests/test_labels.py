"""The labels of a chain's stores, and its own covariates, at the doors: files, HTTP, journal and plots."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.delivery import deliver_and_record
from rossmann import features, figures, forecasting, journal
from rossmann.chain import parse_chain
from rossmann.data import (
    SalesHistory,
    find_missing_data,
    labels_by_number,
    read_history,
    read_plan,
    row_labels,
    store_numbers,
)
from rossmann.journal import QUESTION, ForecastRows, JournalEntry
from rossmann.journal.encoding import decode_entry, encode_entry
from rossmann.serving import deployment
from rossmann.serving.server.parsing import parse_body
from rossmann.serving.server.requests import to_plan
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings
from rossmann.validation import DataError, ValidationError
from tests.support.endpoint import save_with_champion
from tests.test_serving import Client, loaded_model, running_host

LABELS = ["007", "12", "Café Ü", "shop-b"]
FIRST = "2015-12-07"  # the day after the origin, a Monday
CHAIN = """
[days]
file = "visits.csv"
store = "shop"
date = { column = "day", format = "%d.%m.%Y" }
sales = "amount"
[known]
promo = { column = "deal", kind = "flag" }
temp = { column = "degrees", kind = "number" }
sky = { column = "sky", kind = "category" }
[forecast]
horizon_days = 14
"""


def raw_days(folder: Path, chain: str = CHAIN) -> str:
    """300 days of four shops. A degree more sells 3 % more, and rain halves the sales."""
    random, dates = np.random.default_rng(4), pd.date_range("2015-02-10", periods=300)
    days = pd.DataFrame([(label, date) for label in LABELS for date in dates], columns=["shop", "date"])
    days["deal"] = ((days["date"].dt.dayofweek < 5) & (days["date"].dt.isocalendar().week % 2 == 0)).astype(int)
    days["degrees"] = random.normal(15, 5, len(days)).round(1)
    days["sky"] = random.choice(["clear", "rain"], len(days))
    effects = np.log(1.4) * days["deal"] + 0.03 * days["degrees"] - np.log(2) * (days["sky"] == "rain")
    days["amount"] = np.exp(6 + effects + random.normal(0, 0.05, len(days))).round(2)
    days["day"] = days["date"].dt.strftime("%d.%m.%Y")
    days.drop(columns="date").to_csv(folder / "visits.csv", index=False)
    (folder / "chain.toml").write_text(chain)
    return str(folder)


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> SalesHistory:
    return read_history(raw_days(tmp_path_factory.mktemp("raw"))).history


@pytest.fixture(scope="module")
def model(history):
    return loaded_model(history, name="ridge")


@pytest.fixture
def client(model, tmp_path) -> Iterator[Client]:
    with running_host(lambda _: model, tmp_path) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        client = Client(host)
        client.host = host
        yield client


def write_plan(folder: Path, header: str, *rows: str) -> str:
    path = folder / "plan.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return str(path)


def covariates(history: SalesHistory, plan) -> pd.DataFrame:
    return pd.DataFrame(plan.covariates, columns=history.calendar.covariate_names)


def forecast_of(model, plan) -> np.ndarray:
    return model.forecaster.predict(model.state, plan).sales


def test_a_forecast_file_has_the_labels_of_the_raw_files(history, model):
    plan = history.plan(history.origin, 2)
    table = forecasting.forecast_table(plan, model.forecaster.predict(model.state, plan), model.quantiles)
    content = forecasting.to_csv_bytes(forecasting.with_store_names(table, history)).decode()
    stores = [line.split(",")[0] for line in content.splitlines()]
    assert stores[0] == "store"
    assert sorted(stores[1:]) == sorted(LABELS * 2)


def test_labels_go_from_the_raw_files_through_a_forecast_to_its_files_and_the_journal(
    history, tmp_path, monkeypatch, new_mlflow_database
):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    new_mlflow_database(tmp_path)
    save_with_champion(tmp_path, history, "ridge")
    settings, plan = Settings(), write_plan(tmp_path, "store,date,temp", f"007,{FIRST},21", f"Café Ü,{FIRST},-5")
    whole = deliver_and_record(settings, None, None, kaggle=False)
    assert sorted(pd.read_csv(whole.file, dtype=str)["store"].unique()) == LABELS
    assert sorted(pd.read_parquet(whole.file.replace(".csv", ".parquet"))["store"].unique()) == LABELS
    own = deliver_and_record(settings, plan, str(tmp_path / "own.csv"), kaggle=False)
    assert pd.read_csv(own.file, dtype=str)["store"].tolist() == ["007", "Café Ü"]
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        rows = database.execute("select label, count(*) from forecasts group by label").fetchall()
    assert dict(rows) == {"007": 15, "12": 14, "Café Ü": 15, "shop-b": 14}


def test_without_labels_a_forecast_file_has_numbers(toy):
    table = pd.DataFrame({"store": np.array([3, 1], np.int32), "forecast": 1.0})
    assert forecasting.with_store_names(table, toy).equals(table)


@pytest.mark.parametrize(
    "header", ["store,date,promo,temp,sky", "shop,day,deal,degrees,sky", "shop,date,deal,temp,sky"]
)
def test_a_plan_has_labels_and_covariates_under_our_names_or_the_chains(history, model, tmp_path, header):
    rows = [f"Café Ü,{FIRST},1,21,rain", f"007,{FIRST},0,,", f"12,{FIRST},,1.5,snow"]
    if "day" in header:
        rows = [row.replace(FIRST, "07.12.2015") for row in rows]
    plan, _ = read_plan(write_plan(tmp_path, header, *rows), history)
    assert [labels_by_number(history)[number] for number in plan.store.tolist()] == ["Café Ü", "007", "12"]
    published = history.calendar.promotion[history.positions(plan.store, plan.date)]
    assert plan.promotion.tolist() == [1, 0, published[2]]
    values = covariates(history, plan)
    temperature = history.calendar.covariates[history.calendar.covariate_names.tolist().index("number temp")]
    assert values["number temp"].tolist() == pytest.approx(
        [21, temperature[history.positions(plan.store, plan.date)][1], 1.5]
    )
    assert values.loc[[0, 2], ["flag sky=clear", "flag sky=rain"]].to_numpy().tolist() == [[0, 1], [0, 0]]


def test_covariates_of_a_plan_change_its_forecasts(history, model, tmp_path):
    rows = [f"{label},{FIRST},{temp},{sky}" for label, temp, sky in
            [("007", 10, "clear"), ("12", 20, "clear"), ("shop-b", 20, "rain")]]  # fmt: skip
    plan, _ = read_plan(write_plan(tmp_path, "store,date,temp,sky", *rows), history)
    ten, twenty, rain = forecast_of(model, plan)
    assert twenty / ten == pytest.approx(np.exp(0.3), rel=0.15)
    assert rain / twenty == pytest.approx(0.5, rel=0.15)


def test_a_plan_with_the_published_values_has_the_published_forecasts(history, model, tmp_path):
    published = history.plan(history.origin, history.horizon_days)
    names = labels_by_number(history)
    keys = zip(published.store.tolist(), published.date, strict=True)
    plan, _ = read_plan(write_plan(tmp_path, "store,date,temp", *(f"{names[s]},{d}," for s, d in keys)), history)
    assert forecast_of(model, plan).tobytes() == forecast_of(model, published).tobytes()


def test_a_plan_with_an_unknown_column_or_an_unknown_store_is_refused(history, tmp_path):
    with pytest.raises(DataError, match="a column wind that is not used"):
        read_plan(write_plan(tmp_path, "store,date,wind", f"12,{FIRST},3"), history)
    with pytest.raises(DataError, match="a column twice: store and shop"):
        read_plan(write_plan(tmp_path, "store,shop,date,temp", f"12,12,{FIRST},3"), history)
    with pytest.raises(ValidationError, match="the store has no history"):
        read_plan(write_plan(tmp_path, "store,date", f"7,{FIRST}"), history)
    with pytest.raises(ValidationError, match="plan for store Café Ü starts on 2015-12-06"):
        read_plan(write_plan(tmp_path, "store,date", "Café Ü,2015-12-06"), history)


def test_a_request_may_name_its_store_by_label_or_by_number(client, history):
    number = {label: number for number, label in labels_by_number(history).items()}
    for label in LABELS:
        for store in (label, number[label]):
            (row,) = client.predict({"store": store, "date": FIRST}).json()["forecasts"]
            assert row["store"] == label
        rows = client.get(f"/forecasts/{label}").json()["forecasts"]
        assert {each["store"] for each in rows} == {label}
        assert rows == client.get(f"/forecasts/{number[label]}").json()["forecasts"]


def test_a_request_may_have_the_covariates_of_the_chain(client, history, tmp_path, model):
    """The same forecasts as of a file."""
    rows = [{"store": "Café Ü", "date": FIRST, "temp": 21, "promo": 1, "sky": "rain"}, {"store": 12, "date": FIRST}]
    answer = client.predict({"plan": rows}).json()["forecasts"]
    plan, _ = read_plan(
        write_plan(tmp_path, "store,date,temp,promo,sky", f"Café Ü,{FIRST},21,1,rain", f"12,{FIRST},,,"), history
    )
    assert [row["forecast"] for row in answer] == pytest.approx(forecast_of(model, plan).tolist(), rel=1e-12)
    assert client.forecast(rows[0]) == pytest.approx(answer[0]["forecast"], rel=1e-12)
    assert client.forecast(rows[0] | {"temp": None}) != pytest.approx(answer[0]["forecast"], rel=1e-3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"store": "Cafe U", "date": FIRST}, "store: store Cafe U has no history; of 4 stores the nearest are Café Ü"),
        ({"plan": [{"store": "12", "date": FIRST}, {"store": "13", "date": FIRST}]}, "row 1, store: store 13 has no"),
        ({"plan": [{"store": "13"}, {"store": "14"}]}, 'row 1, store: store "14" has no history'),
        ({"store": 7, "date": FIRST}, "store 7 has no history; of 4 stores the nearest are 007"),
        ({"store": "12", "date": FIRST, "temp": "hot"}, 'temp: "hot" is not valid; expected a number'),
        ({"store": "12", "date": FIRST, "temp": 10**400}, "... is not valid; expected a number, or null"),
        ({"store": "12", "date": FIRST, "sky": 3}, "sky: 3 is not valid; expected a text"),
        ({"store": "12", "date": FIRST, "wind": 3}, "wind: there is no such field; the fields are store, date, open"),
        ({"store": "12", "date": FIRST, "open": 2}, "open: 2 is not valid; expected true or false"),
        ({"plan": [{"store": "12", "date": FIRST}] * 2}, "store 12 on 2015-12-07 is already in row 0"),
        ({"plan": []}, "plan: [] is not valid"),
        ([1], "is not a row"),
    ],
)  # fmt: skip
def test_a_request_that_is_not_valid_is_refused_by_name(client, body, message):
    response = client.predict(body)
    assert response.status_code == 422
    assert message in response.json()["error"]


def test_a_long_unknown_label_costs_little(client):
    started = time.process_time()
    response = client.predict({"plan": [{"store": "x" * 30_000, "date": FIRST}] * 20})
    assert len(response.json()["error"]) < 2_000
    assert time.process_time() - started < 1


def test_an_entry_of_known_has_no_name_of_a_request():
    for name in (
        "store",
        "date",
        "plan",
        "quantiles",
        "id",
        "day_of_week",
        "open",
        "sales",
        "state_holiday",
        "customers",
    ):
        with pytest.raises(DataError, match=f"{name} has another meaning .* another name, as {name}_value"):
            parse_chain(CHAIN.replace("temp =", f"{name} ="))


def test_spaces_around_the_label_of_a_store_do_not_count(history):
    assert store_numbers(history, [" shop-b "]).tolist() == store_numbers(history, ["shop-b"]).tolist() != [0]


def test_a_path_with_an_unknown_label_names_the_nearest(client):
    response = client.get("/forecasts/shop-c")
    assert response.status_code == 404
    assert "the nearest are shop-b" in response.json()["error"]


@pytest.fixture(scope="module")
def amounts_model(tmp_path_factory):
    """Of the chain with its promotion as a number."""
    chain = CHAIN.replace('"deal", kind = "flag"', '"deal", kind = "number"')
    return loaded_model(read_history(raw_days(tmp_path_factory.mktemp("amounts"), chain)).history, name="ridge")


def test_a_promotion_that_is_a_number_is_a_flag_and_a_covariate(amounts_model):
    rows, _ = parse_body(json.dumps({"store": "12", "date": FIRST, "promo": 3.5}).encode(), 10, amounts_model.fields)
    plan = to_plan(rows, amounts_model.state)
    assert plan.promotion.tolist() == [1]
    assert plan.covariates[0, amounts_model.state.calendar.covariate_names.tolist().index("number promo")] == 3.5


@pytest.mark.parametrize("kind", ["model", "amounts_model"])
def test_an_endpoint_that_equals_the_batch_passes_the_smoke_test(kind, request, tmp_path, monkeypatch):
    model = request.getfixturevalue(kind)
    with running_host(lambda _: model, tmp_path) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        client = Client(host)
        monkeypatch.setattr(deployment, "request_forecast", lambda _, body, __: client.predict(body).json())
        target = ServingTarget(model.version, model.snapshot.fingerprint)
        deployment.smoke_test(None, target, model.forecaster, model.state)
        other = loaded_model(request.getfixturevalue("history"))
        with pytest.raises(DataError, match=r"for store (007|12|Café Ü|shop-b) on 2015-12"):
            deployment.smoke_test(None, target, other.forecaster, model.state)


def test_the_openapi_document_has_labels_and_covariates(client):
    """Its examples are valid."""
    document = client.get("/openapi.json").json()
    properties = document["components"]["schemas"]["PlanRow"]["properties"]
    assert {"temp", "sky"} <= properties.keys()
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert client.predict(example["value"]).status_code == 200


def test_the_journal_names_stores_by_their_labels(client, tmp_path):
    """Of the published forecast and of a question, after a restart of the process that logs."""
    url = f"sqlite:///{tmp_path}/journal.db"
    rows = [{"store": "Café Ü", "date": FIRST}, {"store": "007", "date": FIRST}]
    answers = [client.predict({"plan": rows}), client.predict({"plan": [row | {"temp": 30} for row in rows]})]
    client.host.journal.close(5)
    for answer in answers:
        stored = journal.read_answer(url, answer.json()["request_id"])
        assert stored.label.tolist() == ["Café Ü", "007"]
        assert stored.forecast.tolist() == [row["forecast"] for row in answer.json()["forecasts"]]


def test_an_entry_of_the_log_keeps_labels_and_covariates(client, history, model, tmp_path):
    plan, _ = read_plan(write_plan(tmp_path, "store,date,temp", f"Café Ü,{FIRST},21", f"007,{FIRST},3"), history)
    rows = ForecastRows(
        plan, model.forecaster.predict(model.state, plan), model.quantiles, row_labels(history, plan.store)
    )
    entry = JournalEntry("a", datetime.now(UTC), "http", QUESTION, 1, "f" * 16, history.origin, 1.0, rows)
    answer = decode_entry(encode_entry(entry)).answer
    assert answer.label.tolist() == ["Café Ü", "007"]
    assert answer.plan.covariates.tobytes() == plan.covariates.tobytes()
    assert answer.plan.covariates.shape == plan.covariates.shape


def test_the_notes_of_an_ingest_name_stores_by_their_labels(tmp_path):
    raw = Path(raw_days(tmp_path))
    days = pd.read_csv(raw / "visits.csv", dtype=str)
    days[~((days["shop"] == "Café Ü") & (days["day"] == "06.12.2015"))].to_csv(raw / "visits.csv", index=False)
    notes = read_history(str(raw)).clean_report.notes
    assert any("1 of 4 stores have no row on the last day, 2015-12-06: Café Ü" in note for note in notes)


def test_a_store_that_a_delivery_lacks_is_named_by_its_label(history):
    sales = np.where((history.stores.label == "Café Ü")[:, None], np.nan, history.sales)
    assert str(find_missing_data(history, replace(history, sales=sales))) == "1 store (Café Ü)"


@pytest.mark.parametrize(("factor", "label"), [(1, "sales"), (1e4, "sales, millions")])
def test_a_plot_has_the_total_in_millions_only_where_it_reaches_one(factor, label, history, model, monkeypatch):
    plots = []
    monkeypatch.setattr(figures, "_png", plots.append)
    plan = features.published_plan(model.state)
    table = forecasting.forecast_table(plan, model.forecaster.predict(model.state, plan), model.quantiles)
    table["forecast"] *= factor
    figures.forecast_figure(history, table, "title", model.quantiles.bands)
    axes = plots[0].axes[0]
    plots[0].draw_without_rendering()
    highest = float([tick.get_text() for tick in axes.get_yticklabels()][-1])
    assert axes.get_ylabel() == label
    assert highest * (1e6 if factor > 1 else 1) == pytest.approx(axes.get_ylim()[1], rel=0.4)


def test_a_plot_names_stores_by_their_labels(history, model, monkeypatch):
    plots = []
    monkeypatch.setattr(figures, "_png", plots.append)
    plan = features.published_plan(model.state)
    table = forecasting.forecast_table(plan, model.forecaster.predict(model.state, plan), model.quantiles)
    figures.forecast_figure(history, table, "title", model.quantiles.bands)
    titles = [axes.get_title() for axes in plots[0].axes]
    assert sorted(titles[1:]) == sorted(f"store {label}" for label in LABELS)
