"""The OpenAPI document, with examples that work as they are."""

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from rossmann.data import store_names
from rossmann.data.kaggle.columns import KAGGLE_NAMES
from rossmann.schema import DAY
from rossmann.serving.server.auth import is_public
from rossmann.serving.server.chain_rows import ChainFields
from rossmann.serving.server.loaded_model import LoadedModel
from rossmann.serving.server.requests import (
    EXPLAIN_BODY,
    REQUEST_BODY,
    STORE_NUMBER,
    PlanRow,
    SingleExplainRequest,
    SingleRow,
    field_name,
)
from rossmann.serving.server.responses import Error

DESCRIPTION = f"""Daily sales of every store, on the days of the published plan after the last day with known sales.

A row names a store and a date. Fields that it leaves out (open, {field_name("promotion")}, holidays) are taken from the
published plan; fields that it contains replace the published ones, also as neighbours of the other rows of the same
store. A request gets forecasts for all of its rows, or an error. They have their quantiles if it says
"quantiles": true."""
ROW_SCHEMAS = tuple(each.__name__ for each in (PlanRow, SingleRow, SingleExplainRequest))
SCHEMA_REFERENCE = "#/components/schemas/{model}"
ERROR_DESCRIPTIONS = {
    400: "Without API keys: the Host header names another machine.",
    401: "There is no valid API key.",
    404: "There is no such store.",
    413: "The body is too large.",
    422: "The request is not valid: which row, which field, what was expected.",
    429: "Too many requests are waiting; try again later.",
    503: "No model is loaded yet.",
}


def error_responses(*statuses: int) -> dict[int | str, dict]:
    """The `responses` argument of a route that may return these statuses, and 429 from Serve's proxy."""
    return {status: {"model": Error, "description": ERROR_DESCRIPTIONS[status]} for status in (*statuses, 429)}


def openapi_document(app: FastAPI, model: LoadedModel | None, needs_key: bool) -> dict:
    """The document of an application. The examples are of the loaded model's stores and days."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components, examples = document["components"], _examples(model) if model else {}
    comparison = _comparison_example(model) if model else {}
    _describe_body(document, "/predict", REQUEST_BODY, examples)
    _describe_body(document, "/explain", EXPLAIN_BODY, examples | comparison)
    _describe_stores(document, model.fields if model else None)
    if needs_key:
        components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        document["security"] = [{"key": []}]
        for path, operations in document["paths"].items():
            if is_public(path):
                operations["get"]["security"] = []
    return document


def _describe_body(document: dict, path: str, adapter: TypeAdapter, examples: dict[str, dict]) -> None:
    """Complete a route, in place, by the schema of its body."""
    body = adapter.json_schema(ref_template=SCHEMA_REFERENCE)
    document["components"]["schemas"] |= body.pop("$defs")
    content = {"schema": {"anyOf": body["oneOf"]}} | ({"examples": examples} if examples else {})
    document["paths"][path]["post"]["requestBody"] = {"required": True, "content": {"application/json": content}}


def _describe_stores(document: dict, fields: ChainFields | None) -> None:
    """Complete the schemas, in place, by what a store is called, and by the covariates of the chain."""
    (path,) = (each for each in document["paths"]["/forecasts/{store}"]["get"]["parameters"] if each["name"] == "store")
    if fields is None:
        path["schema"] |= STORE_NUMBER.json_schema()
        return
    schemas = document["components"]["schemas"]
    schemas |= {name: fields.schema(schemas[name]) for name in ROW_SCHEMAS}


def _examples(model: LoadedModel) -> dict[str, dict]:
    (store,) = store_names(model.state, model.state.store_numbers[:1]).tolist()
    days = [str(model.state.origin + lead * DAY) for lead in (1, 2)]
    columns = {"open": True, "promotion": True, "holiday_kind": "0", "school_break": False}
    flags = {field_name(column): value for column, value in columns.items()}
    other_kinds = model.fields.covariates if model.fields else {}
    promotion = field_name("promotion")
    change = "open" if promotion in other_kinds else promotion
    row = {"store": store, "date": days[0]} | {name: flag for name, flag in flags.items() if name not in other_kinds}
    day = {"store": store, "date": days[1], "open": 1, "promotion": 0, "holiday_kind": "0", "school_break": 0}
    kaggle = {KAGGLE_NAMES[column]: value for column, value in day.items()}
    return {
        "one day": {"value": row},
        "one day as published": {"value": {"store": store, "date": days[0]}},
        "one day with quantiles": {"value": {"store": store, "date": days[0], "quantiles": True}},
        "a plan": {"value": {"plan": [{"store": store, "date": day, change: True} for day in days]}},
        "Kaggle's names": {"value": kaggle},
    }


def _comparison_example(model: LoadedModel) -> dict[str, dict]:
    """Of the loaded origin and version: an example that works whatever else the workspace has."""
    (store,) = store_names(model.state, model.state.store_numbers[:1]).tolist()
    first, origin = str(model.state.origin + DAY), str(model.state.origin)
    value = {"store": store, "date": first, "since": origin, "since_version": model.version}
    return {"why it moved": {"value": value}}
