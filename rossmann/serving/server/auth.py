"""Who may call the endpoint and how large a request may be; also gives each request its id and counts responses.

Without API keys the endpoint trusts its own machine, and only that. A request that names another host, or that a proxy
forwarded, is refused: a web page or a stranger may be behind it.
"""

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rossmann.serving.proxy.contract import CLIENT_HEADER
from rossmann.serving.server import docs_page
from rossmann.serving.server.errors import ApiError, Problem, error_response
from rossmann.serving.server.metrics import Metrics
from rossmann.settings import is_valid_key, key_hash

PUBLIC_PATHS = {"/health", "/ready", "/docs", "/openapi.json"}  # probes have no key; the document contains no secret
FORWARDING_HEADERS = {  # which a proxy adds
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "cf-connecting-ip",
    "true-client-ip", "x-envoy-external-address",
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How large a request may be, and which API keys are valid."""

    max_body_bytes: int
    max_rows: int
    key_hashes: tuple[bytes, ...] = ()  # SHA-256 of each API key; without any, only local callers are authorized
    allowed_hosts: tuple[str, ...] = ()  # names of the endpoint beside localhost, for callers without a key

    @staticmethod
    def with_keys(
        max_body_bytes: int, max_rows: int, api_keys: Iterable[str], allowed_hosts: tuple[str, ...] = ()
    ) -> "Limits":
        """The limits with the keys in plain text, of which only the hashes stay in memory."""
        return Limits(max_body_bytes, max_rows, tuple(key_hash(key) for key in api_keys), allowed_hosts)


@dataclass(frozen=True)
class AuthMiddleware:
    """ASGI middleware: sets `request_id` in the scope and X-Request-ID in the response, and returns 400 and 401 itself.

    HEAD is answered like GET, without the body; then the scope contains `head_only`.
    """

    app: ASGIApp
    metrics: Metrics
    limits: Limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["request_id"] = secrets.token_hex(16)
        if scope["method"] == "HEAD":
            scope.update(method="GET", head_only=True)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.count_response(message["status"])
                request_id = (b"x-request-id", scope["request_id"].encode())
                message = {**message, "headers": [*message["headers"], request_id]}
            elif "head_only" in scope:
                message = {**message, "body": b""}
            await send(message)

        try:
            check_host(scope, self.limits)
            authorize(scope, self.limits)
        except ApiError as error:
            await error_response(scope, error)(scope, receive, send_with_id)
            return
        await self.app(scope, receive, send_with_id)


def check_host(scope: Scope, limits: Limits) -> None:
    """Raise ApiError (400) if no keys are configured and the caller names a host that is not this machine.

    A web page whose name its owner points at 127.0.0.1 could otherwise call the endpoint from the visitor's browser.
    """
    host = Headers(scope=scope).get("host", "")
    if limits.key_hashes or _is_own_name(host, limits.allowed_hosts):
        return
    message = (
        f"{host[:100]!r} is not a name of the endpoint's own machine; call it as 127.0.0.1 or localhost, "
        "or set ROSSMANN_ALLOWED_HOSTS or ROSSMANN_API_KEYS"
    )
    raise ApiError(400, [Problem(message, "Host")])


def authorize(scope: Scope, limits: Limits) -> None:
    """Raise ApiError (401) for a caller without authorization, except on PUBLIC_PATHS."""
    if is_public(scope["path"]) or is_authorized(scope, limits):
        return
    message = "a valid API key is required, as X-API-Key or as Authorization: Bearer"
    if not limits.key_hashes:
        message = "no API keys are configured, so only callers on the endpoint's own machine are allowed, " \
                  "without a proxy; set ROSSMANN_API_KEYS"  # fmt: skip
    raise ApiError(401, [Problem(message)])


def is_public(path: str) -> bool:
    """Whether a path needs no key: PUBLIC_PATHS, and the files of the documentation page."""
    return path in PUBLIC_PATHS or path.startswith(f"{docs_page.FILES}/")


def is_authorized(scope: Scope, limits: Limits) -> bool:
    """Whether the caller sent a valid key or, where no keys are configured, is on this machine."""
    if not limits.key_hashes:
        return _is_local(scope)
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    return is_valid_key(key, limits.key_hashes)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a request; raises ApiError (413) as soon as it is larger than `max_bytes`."""
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > max_bytes:
        raise _too_large(max_bytes)
    chunks, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size, more = size + len(chunks[-1]), message.get("more_body", False)
        if size > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(chunks)


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(413, [Problem(f"the body is larger than {max_bytes:,} bytes; send fewer rows")])


def _is_local(scope: Scope) -> bool:
    """Whether the caller is on this machine, and nobody behind it. Our own proxy names the caller in CLIENT_HEADER."""
    headers = Headers(scope=scope)
    if not FORWARDING_HEADERS.isdisjoint(headers.keys()):
        return False
    return all(map(_is_loopback, ((scope.get("client") or ("",))[0], *headers.getlist(CLIENT_HEADER))))


@lru_cache(maxsize=100)  # callers name few hosts
def _is_own_name(host: str, allowed_hosts: tuple[str, ...]) -> bool:
    """Whether the value of a Host header is a name of this machine, with any port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name in map(str.lower, allowed_hosts) or _is_loopback(name)


@lru_cache(maxsize=1000)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
