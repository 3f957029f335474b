"""Work that takes seconds, one piece at a time, so that forecasts wait neither for it nor for those who wait for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rossmann.serving.server.errors import ApiError, Problem

MAX_WAITING = 2  # of the 16 requests that a replica works on: the others can be forecasts


class Turns:
    """A queue for one kind of request in one replica."""

    def __init__(self):
        self._lock, self._waiting = asyncio.Lock(), 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for those before. Raises ApiError (429) where MAX_WAITING wait already."""
        if self._waiting >= MAX_WAITING and self._lock.locked():
            message = "too many comparisons with earlier forecasts are waiting; try again in some seconds"
            raise ApiError(429, [Problem(message)])
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()
