"""Load on the endpoint: so many connections, each asking again as soon as it is answered."""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Told:
    """What came back."""

    statuses: Counter = field(default_factory=Counter)  # HTTP status, or the name of what went wrong instead
    seconds: list[float] = field(default_factory=list)  # of each answer with status 200
    versions: Counter = field(default_factory=Counter)  # of the model that answered
    retried: int = 0
    failures: list[str] = field(default_factory=list)  # what the first answers other than 200 said

    @property
    def failed(self) -> int:
        """Requests without a forecast, after retries."""
        return sum(self.statuses.values()) - self.statuses[200]


async def ask_for(
    url: str, bodies: Sequence[bytes], connections: int, ended: asyncio.Event, told: Told, retries: int = 0,
    requests: int | None = None, others: Sequence[str] = (), key: str | None = None,
) -> None:  # fmt: skip
    """Until `ended`, or for so many requests; an answer of 5xx, or none, is asked for again up to `retries` times.

    others: URLs that answer the same; they take turns, also in asking again.
    """
    left = itertools.count() if requests is None else iter(range(requests))
    urls, limit = (url, *others), aiohttp.TCPConnector(limit=connections)
    patience = aiohttp.ClientTimeout(total=30, sock_connect=5) if others else None
    keyed = {"X-API-Key": key} if key else None
    async with aiohttp.ClientSession(connector=limit, timeout=patience, headers=keyed) as session:

        async def asking() -> None:
            for number in left:
                if ended.is_set():
                    return
                turns = [urls[(number + attempt) % len(urls)] for attempt in range(retries + 1)]
                await _one(session, turns, bodies[number % len(bodies)], told)

        await asyncio.gather(*(asking() for _ in range(connections)))


async def _one(session: aiohttp.ClientSession, urls: Sequence[str], body: bytes, told: Told) -> None:
    """Ask each in turn until one answers."""
    for attempt, url in enumerate(urls):
        started = time.perf_counter()
        try:
            async with session.post(url, data=body) as answer:
                content, status = await answer.read(), answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            content, status = str(error).encode(), type(error).__name__
        if status == 200:
            told.seconds.append(time.perf_counter() - started)
            told.versions[_version(content)] += 1
            break
        if len(told.failures) < 20:
            told.failures.append(f"{status}: {content[:200].decode(errors='replace')}")
        if attempt < len(urls) - 1 and (not isinstance(status, int) or status >= 500):
            told.retried += 1
            await asyncio.sleep(0.1 * 2**attempt)
            continue
        break
    told.statuses[status] += 1


def _version(content: bytes) -> int:
    """Of `{"model_version":3,…`, without reading all of it."""
    return int(content[content.index(b":") + 1 : content.index(b",")])


@contextmanager
def load(
    url: str,
    bodies: Sequence[bytes],
    connections: int,
    retries: int = 0,
    others: Sequence[str] = (),
    key: str | None = None,
) -> Iterator[Told]:
    """Load as long as the block runs, from a thread of its own."""
    told, started = Told(), threading.Event()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()

    async def asking() -> None:
        started.set()
        await ask_for(url, bodies, connections, ended, told, retries, others=others, key=key)

    thread = threading.Thread(target=loop.run_until_complete, args=(asking(),))
    thread.start()
    started.wait()
    try:
        yield told
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()
