"""Before a request gets in, and after: keys, sizes, an id for each, one shape of refusal, one count per answer."""

import hashlib
import hmac
import ipaddress
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rossmann.serving.asking import Problem, RefusedError
from rossmann.serving.desk import Desk

OPEN_PATHS = {"/health", "/ready", "/docs", "/openapi.json"}  # probes have no key, and a document holds no secret


@dataclass(frozen=True)
class Limits:
    """What a request may cost, and who may ask."""

    body_bytes: int
    rows: int
    key_hashes: tuple[bytes, ...] = ()  # SHA-256 of each API key; none: callers on this machine only

    @staticmethod
    def of(body_bytes: int, rows: int, keys: Iterable[str]) -> "Limits":
        """From the keys themselves."""
        return Limits(body_bytes, rows, tuple(_hash(key) for key in keys))


@dataclass(frozen=True)
class Guard:
    """ASGI middleware."""

    app: ASGIApp
    desk: Desk
    limits: Limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["id"] = uuid.uuid4().hex

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.desk.meter.answered(message["status"])
                MutableHeaders(scope=message)["X-Request-ID"] = scope["id"]
            await send(message)

        try:
            admit(scope, self.limits)
        except RefusedError as why:
            await refusal(scope, why)(scope, receive, marked)
            return
        await self.app(scope, receive, marked)


def admit(scope: Scope, limits: Limits) -> None:
    """Raises RefusedError (401) for callers who are not admitted, but not of the paths that anybody may ask."""
    if scope["path"] in OPEN_PATHS or admitted(scope, limits):
        return
    told = "a valid key is needed, as X-API-Key or Authorization: Bearer"
    if not limits.key_hashes:
        told = "no API keys are set, so only callers on the endpoint's own machine are answered; set ROSSMANN_API_KEYS"
    raise RefusedError(401, [Problem(None, None, told)])


def admitted(scope: Scope, limits: Limits) -> bool:
    """With a valid key where keys are set; on this machine where none are."""
    if limits.key_hashes:
        headers = Headers(scope=scope)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = _hash(headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else ""))
        matches = [hmac.compare_digest(given, known) for known in limits.key_hashes]  # all, whichever it is
        return any(matches)
    return _from_here(scope)


async def sized(request: Request, most_bytes: int) -> bytes:
    """The body; raises RefusedError (413) as soon as it is too large."""
    told = RefusedError(413, [Problem(None, None, f"the body is larger than {most_bytes:,} bytes; send fewer rows")])
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise told
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise told
    return bytes(body)


def refusal(scope: Scope, why: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that is refused."""
    more = f" … and {why.count - len(why.problems):,} more" if why.count > len(why.problems) else ""
    content = {
        "error": "; ".join(problem.sentence() for problem in why.problems) + more,
        "problems": [asdict(problem) for problem in why.problems],
        "request_id": scope["id"],
    }
    named = {"WWW-Authenticate": "Bearer"} if why.status == 401 else {}
    return JSONResponse(content, why.status, {**named, **(headers or {})})


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _from_here(scope: Scope) -> bool:
    try:
        return ipaddress.ip_address((scope.get("client") or ("",))[0]).is_loopback
    except ValueError:
        return False
