"""The reasons of forecasts over HTTP. They cost a hundred times a forecast, so few rows are explained at once."""

from pydantic_core import to_json

from rossmann import explain
from rossmann.data import store_names
from rossmann.serving.server import parsing, requests
from rossmann.serving.server.loaded_model import LoadedModel

MAX_ROWS = 50  # in one request: a quarter of a second of one core


def explanations_json(model: LoadedModel, body: bytes, max_rows: int, request_id: str) -> bytes:
    """The JSON of `responses.Explanations` for the rows of a body. Raises ApiError (422)."""
    rows, _ = parsing.parse_body(body, min(max_rows, MAX_ROWS), model.fields)
    plan = requests.to_plan(rows, model.state)
    reasons = explain.reasons(model.forecaster.forecaster, model.state, plan)
    names = store_names(model.state, plan.store).tolist()
    return to_json(
        {
            "model_version": model.version,
            "snapshot": model.snapshot.fingerprint,
            "origin": str(model.state.origin),
            "request_id": request_id,
            "explanations": [{"store": name, **each.document()} for name, each in zip(names, reasons, strict=True)],
        }
    )
