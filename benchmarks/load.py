"""Load on the endpoint from a number of connections, each of which sends its next request after each response."""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp

MAX_FAILURES = 20  # whose text is stored
FIRST_PAUSE_S = 0.1  # before a retry; doubled with each


@dataclass
class LoadResult:
    """What the requests returned; it grows while they are sent."""

    statuses: Counter = field(default_factory=Counter)  # by HTTP status, or by the exception's name without a response
    seconds: list[float] = field(default_factory=list)  # latency of each response with status 200
    versions: Counter = field(default_factory=Counter)  # responses by model version
    retries: int = 0
    failures: list[str] = field(default_factory=list)  # text of the first responses other than 200

    @property
    def failed(self) -> int:
        """Requests without a forecast, after retries."""
        return sum(self.statuses.values()) - self.statuses[200]


async def send_requests(
    urls: Sequence[str], bodies: Sequence[bytes], connections: int, stop: asyncio.Event, result: LoadResult,
    retries: int = 0, requests: int | None = None, api_key: str | None = None,
) -> None:  # fmt: skip
    """Send bodies in turn until `stop` is set, or `requests` are sent.

    A request that gets a 5xx, or no response, is sent again up to `retries` times. The URLs take turns.
    """
    numbers = itertools.count() if requests is None else iter(range(requests))
    timeout = aiohttp.ClientTimeout(total=30, sock_connect=5) if len(urls) > 1 else None
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=timeout,
        headers={"X-API-Key": api_key} if api_key else None,
    )

    async def one_connection() -> None:
        for number in numbers:
            if stop.is_set():
                return
            attempts = [urls[(number + attempt) % len(urls)] for attempt in range(retries + 1)]
            await _send(session, attempts, bodies[number % len(bodies)], result)

    async with session:
        await asyncio.gather(*(one_connection() for _ in range(connections)))


async def _send(session: aiohttp.ClientSession, urls: Sequence[str], body: bytes, result: LoadResult) -> None:
    """Send a body to each URL in turn until one returns a status below 500."""
    for attempt, url in enumerate(urls):
        started = time.perf_counter()
        try:
            async with session.post(url, data=body) as response:
                content, status = await response.read(), response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            content, status = str(error).encode(), type(error).__name__
        if status == 200:
            result.seconds.append(time.perf_counter() - started)
            result.versions[_model_version(content)] += 1
            break
        if len(result.failures) < MAX_FAILURES:
            result.failures.append(f"{status}: {content[:200].decode(errors='replace')}")
        if attempt == len(urls) - 1 or (isinstance(status, int) and status < 500):
            break
        result.retries += 1
        await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
    result.statuses[status] += 1


def _model_version(content: bytes) -> int:
    """The version in `{"model_version":3,…`, without parsing the whole response."""
    return int(content[content.index(b":") + 1 : content.index(b",")])


@contextmanager
def background_load(
    urls: Sequence[str], bodies: Sequence[bytes], connections: int, retries: int = 0, api_key: str | None = None
) -> Iterator[LoadResult]:
    """Requests as long as the block runs, from a thread of their own."""
    result, started = LoadResult(), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        started.set()
        await send_requests(urls, bodies, connections, stop, result, retries, api_key=api_key)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait()
    try:
        yield result
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
