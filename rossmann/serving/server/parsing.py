"""The rows of a request body; no other module reads a body.

What a hostile body costs is bounded: it is refused by counts of its characters before anything is built from it, and
the search for problems ends after errors.MAX_PROBLEMS of them. The counts are exact for valid bodies about Kaggle's
files, since their strings contain neither braces nor colons nor commas: a { for each row and for the plan around them,
and a : for each field.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from rossmann.data.known_values import KnownValues
from rossmann.serving.server.chain_rows import ChainFields
from rossmann.serving.server.errors import ApiError, Problem, quote
from rossmann.serving.server.requests import (
    EXPECTED,
    EXPLAIN_BODY,
    FIELDS,
    REQUEST_BODY,
    ROW_COLUMNS,
    TAGS,
    Earlier,
    PlanRequest,
    PlanRow,
    RequestRows,
)
from rossmann.serving.server.usual_rows import read_usual_rows

MAX_ROW_FIELDS = len(ROW_COLUMNS)
EXTRA_VALUES = 1_000  # that a body may have beyond those of its rows, so that problems of small ones are named


def parse_body(body: bytes, max_rows: int, fields: ChainFields | None = None) -> tuple[RequestRows, bool]:
    """The rows of a body, and whether it asks for quantiles.

    fields: those of a chain with a chain.toml. Raises ApiError (422) with the first problems of a body that is not
    valid.
    """
    document = _read_document(body, max_rows, fields)
    wants_quantiles, request = _take_quantiles(document)
    return _parse_rows(body, document, request, fields, REQUEST_BODY), wants_quantiles


def parse_explain_request(body: bytes, max_rows: int, fields: ChainFields | None = None) -> tuple[RequestRows, Earlier]:
    """The rows of a body that asks for reasons, and the forecast to compare with; else as `parse_body`."""
    document = _read_document(body, max_rows, fields)
    earlier, request = _take_earlier(_take_quantiles(document)[1])
    return _parse_rows(body, document, request, fields, EXPLAIN_BODY), earlier


def _read_document(body: bytes, max_rows: int, fields: ChainFields | None) -> Any:
    """The JSON of a body that is not larger than any valid one. Raises ApiError (422)."""
    _check_counts(body, max_rows, MAX_ROW_FIELDS + (len(fields.covariates) if fields else 0))
    try:
        document = from_json(body)
    except ValueError as error:
        raise ApiError(422, [Problem(f"the body is not JSON ({error})")]) from None
    _check_fields(document, _rows_of_plan(document))
    return document


def _parse_rows(
    body: bytes, document: Any, request: Any, fields: ChainFields | None, schema: TypeAdapter
) -> RequestRows:
    """The rows of a request, which is the document of a body without its valid fields beside the rows."""
    rows = _rows_of_plan(document)
    request, known = _translate(request, rows, fields) if fields else (request, {})
    plain_rows = _rows_of_plan(request) if fields else rows
    valid_rows = read_usual_rows(plain_rows or [request]) if not rows or len(request) == 1 else None
    if valid_rows is None:
        valid_rows = _validate(request, plain_rows, schema)
    if body.count(b":") != len(document) + sum(map(len, rows)):
        _refuse_repeated_keys(body)
    return replace(valid_rows, known=known) if known else valid_rows


def _translate(request: Any, rows: list, fields: ChainFields) -> tuple[Any, KnownValues]:
    """The request with the fields of every chain only, and the values of the others."""
    if not rows:
        (plain,), known = fields.translate([request], [None])
        return plain, known
    plain_rows, known = fields.translate(rows, range(len(rows)))
    return request | {"plan": plain_rows}, known


def _validate(document: Any, rows: list, schema: TypeAdapter) -> RequestRows:
    """The rows by pydantic; raises ApiError (422)."""
    try:
        request = schema.validate_python(document)
    except ValidationError as error:
        raise ApiError(422, _problems(document, rows, error)) from None
    return RequestRows.of(request.plan if isinstance(request, PlanRequest) else [request])


def _check_counts(body: bytes, max_rows: int, row_fields: int) -> None:
    """Refuse a body that has more rows, or more values, than any valid one."""
    rows, values = max(body.count(b"{") - 1, 1), body.count(b",") + 1
    if rows > max_rows:
        raise ApiError(422, [Problem(f"{rows:,} rows; at most {max_rows:,} in one request", "plan")])
    if values > row_fields * rows + EXTRA_VALUES:
        message = f"{values:,} values, but only {rows:,} rows, which have at most {row_fields} each"
        raise ApiError(422, [Problem(message)])


def _rows_of_plan(document: Any) -> list:
    """The rows of a plan; empty for a single row, and for what is neither."""
    plan = document.get("plan") if isinstance(document, dict) else None
    return plan if isinstance(plan, list) else []


def _check_fields(document: Any, rows: list) -> None:
    """Refuse an object with many more fields than there are; each would be a problem of its own."""
    for number, fields in enumerate([document, *rows]):
        if isinstance(fields, dict) and len(fields) > EXTRA_VALUES:
            message = f"{len(fields):,} fields; the fields are {', '.join(ROW_COLUMNS)}"
            raise ApiError(422, [Problem(message, None, number - 1 if number else None)])


def _take_quantiles(document: Any) -> tuple[bool, Any]:
    """Whether a document asks for quantiles, and the document without that field if its value is valid."""
    wants_quantiles = document.get("quantiles") if isinstance(document, dict) else None
    if not isinstance(wants_quantiles, bool):
        return False, document
    return wants_quantiles, {name: value for name, value in document.items() if name != "quantiles"}


def _take_earlier(document: Any) -> tuple[Earlier, Any]:
    """The forecast to compare with, and the document without those fields if their values are valid."""
    fields = document if isinstance(document, dict) else {}
    try:
        earlier = Earlier.model_validate({name: fields[name] for name in Earlier.model_fields if name in fields})
    except ValidationError:  # the validation of the whole request names the problem beside all others
        return Earlier(), document
    if not fields.keys() & Earlier.model_fields.keys():
        return earlier, document
    return earlier, {name: value for name, value in fields.items() if name not in Earlier.model_fields}


def _problems(document: Any, rows: list, error: ValidationError) -> Iterator[Problem]:
    """The problems of each row of a plan; or the error, if it is not about the rows."""
    if not rows or len(document) > 1:
        yield from dict.fromkeys(_validation_problems(error, None))
    else:
        for number, row in enumerate(rows):
            try:
                PlanRow.model_validate(row)
            except ValidationError as row_error:
                yield from dict.fromkeys(_validation_problems(row_error, number))


def _refuse_repeated_keys(body: bytes) -> None:
    """Raise ApiError (422) if an object has a key more than once. A : may also be in the label of a store."""
    problems = _repeated_keys(body)
    if first := next(problems, None):
        raise ApiError(422, chain([first], problems))


def _repeated_keys(body: bytes) -> Iterator[Problem]:
    """A problem for each key that one object contains more than once. The body is valid otherwise."""
    repeated: list[list[str]] = []  # per object, the rows before the plan around them

    def collect(pairs: list[tuple[str, object]]) -> None:
        repeated.append([key for key, count in Counter(key for key, _ in pairs).items() if count > 1])

    json.loads(body, object_pairs_hook=collect)
    for number, keys in enumerate(repeated):
        for key in keys:
            row = number if number < len(repeated) - 1 else None
            yield Problem(f"the key {quote(key)} appears more than once", FIELDS.get(key, key), row)


def _validation_problems(error: ValidationError, row: int | None) -> Iterator[Problem]:
    """pydantic's errors, with the field that they are about."""
    for each in error.errors(include_url=False, include_context=False):
        location: list[Any] = [part for part in each["loc"] if part not in TAGS]
        number = row
        if location[:1] == ["plan"] and len(location) > 1:
            number, location = location[1], location[2:]
        names = [part for part in location if (isinstance(part, str) and part[:1].islower()) or part in FIELDS]
        field = FIELDS.get(names[0], names[0]) if names else None
        yield Problem(_message(each, field), field, number)


def _message(error: ErrorDetails, field: str | None) -> str:
    """One pydantic error in a sentence that says what was expected."""
    kind, value = error["type"], quote(error["input"])
    if kind == "extra_forbidden" and error["loc"][:1] == TAGS[1:] and "plan" not in error["loc"]:
        return "is not allowed beside plan; a request is either one row or a plan, with quantiles or without"
    if kind == "extra_forbidden" and field in ROW_COLUMNS:
        return "appears twice, under its own name and under Kaggle's"
    if kind == "extra_forbidden":
        return f"there is no such field; the fields are {', '.join(ROW_COLUMNS)}, and Kaggle's names of these"
    if kind == "missing":
        return f"is missing; expected {EXPECTED[str(field)]}"
    if field in EXPECTED:
        return f"{value} is not valid; expected {EXPECTED[field]}"
    return f'{value} is not a row; expected {{"store": 1, "date": "2015-08-01"}} or {{"plan": [rows]}}'
