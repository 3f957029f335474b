"""Errors of Ray Serve in the JSON of all other errors: a full queue, a time-out, no replica; and one request id.

Replicas behind HAProxy and Serve's Python proxy call `middlewares`, which RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH
names (deployments/serve.env). HAProxy's own errors are in `proxy.config`.
"""

import json
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rossmann.serving.proxy.contract import error_content

STATUSES = (408, 429, 503)


def middlewares() -> list[Middleware]:
    """For RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    return [Middleware(JsonErrors), Middleware(SingleRequestId)]


class JsonErrors:
    """ASGI middleware that replaces plain-text errors of STATUSES by `responses.Error`; other responses pass."""

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


class SingleRequestId:
    """ASGI middleware that leaves the first X-Request-ID of a response: the endpoint's, which the journal has.

    Serve adds one of its own after it.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_one_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                if request_id := headers.get("x-request-id"):
                    headers["x-request-id"] = request_id  # deletes the others
                message = {**message, "headers": headers.raw}
            await send(message)

        await self.app(scope, receive, send_with_one_id)


def _is_text_error(message: Message) -> bool:
    return message["status"] in STATUSES and Headers(raw=message["headers"]).get("content-type", "").startswith("text/")


def _json_error(start: Message) -> list[Message]:
    """The two messages of the response that replaces one which starts like this; its other headers stay."""
    headers = MutableHeaders(raw=list(start["headers"]))
    request_id = headers.get("x-request-id") or uuid.uuid4().hex
    body = json.dumps(error_content(start["status"], request_id)).encode()
    headers |= {"content-type": "application/json", "content-length": str(len(body)), "x-request-id": request_id}
    return [{**start, "headers": headers.raw}, {"type": "http.response.body", "body": body}]
