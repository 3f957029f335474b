"""Error responses: the exception that carries a status and the problems with a request, and its JSON."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice

from fastapi.responses import JSONResponse, Response
from starlette.types import Scope

QUOTED_LENGTH = 40  # of a value in a message
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "5"}}  # of responses with a status
MAX_PROBLEMS = 20  # that one response lists; nobody looks for further ones


def quote(value: object) -> str:
    """The start of a value as JSON, of which no more is written than is quoted."""
    text = ""
    for part in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
        text += part
        if len(text) > QUOTED_LENGTH:
            return f"{text[: QUOTED_LENGTH - 3]}..."
    return text


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request. `row` counts from 0; None if the problem is not about one row."""

    message: str
    field: str | None = None
    row: int | None = None

    def sentence(self) -> str:
        """For example `row 3, date: "x" is not valid; expected …`."""
        row = [f"row {self.row}"] if self.row is not None else []
        field = [self.field] if self.field else []
        return f"{', '.join(row + field) or 'the request'}: {self.message}"


class ApiError(Exception):
    """A request that gets an error response. `problems` is read as far as MAX_PROBLEMS, and one further."""

    def __init__(self, status: int, problems: Iterable[Problem]):
        first = tuple(islice(problems, MAX_PROBLEMS + 1))
        self.status, self.problems, self.complete = status, first[:MAX_PROBLEMS], len(first) <= MAX_PROBLEMS
        super().__init__("; ".join(problem.sentence() for problem in self.problems))


def error_response(scope: Scope, error: ApiError, headers: Mapping[str, str] | None = None) -> Response:
    """The problems in one sentence and one by one, with the id of the request."""
    more = "" if error.complete else f" … and more; these are the first {MAX_PROBLEMS}"
    content = {
        "error": f"{error}{more}",
        "problems": [asdict(problem) for problem in error.problems],
        "request_id": scope["request_id"],
    }
    return JSONResponse(content, error.status, {**HEADERS.get(error.status, {}), **(headers or {})})
