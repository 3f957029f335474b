"""Errors of Serve's own proxy in the JSON of all other errors: a full queue, a time-out, no replica.

Serve's Python proxy calls `middlewares` if RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it (deployments/local.env).
HAProxy, and the part of uvicorn that refuses what is not HTTP, write their own text.
"""

import json
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MESSAGES = {
    408: "the forecast took too long; send fewer rows, or try again later",
    429: "too many requests are waiting; try again later",
    503: "no replica is running; try again later",
}


def middlewares() -> list[Middleware]:
    """For RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    return [Middleware(JsonErrors)]


class JsonErrors:
    """ASGI middleware that replaces plain-text errors of MESSAGES by `responses.Error`; other responses pass."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_json(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_text_error(message):
                replaced = True
                for part in _json_error(message):
                    await send(part)
            elif not replaced:
                await send(message)

        await self.app(scope, receive, send_json)


def _is_text_error(message: Message) -> bool:
    return message["status"] in MESSAGES and Headers(raw=message["headers"]).get("content-type", "").startswith("text/")


def _json_error(start: Message) -> list[Message]:
    """The two messages of the response that replaces one which starts like this; its other headers stay."""
    text, headers = MESSAGES[start["status"]], MutableHeaders(raw=list(start["headers"]))
    request_id = headers.get("x-request-id") or uuid.uuid4().hex
    problem = {"message": text, "field": None, "row": None}
    body = json.dumps({"error": f"the request: {text}", "problems": [problem], "request_id": request_id}).encode()
    headers |= {"content-type": "application/json", "content-length": str(len(body)), "x-request-id": request_id}
    return [{**start, "headers": headers.raw}, {"type": "http.response.body", "body": body}]
