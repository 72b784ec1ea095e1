"""Work of one kind, one piece after another, and a bound on how many may wait."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class BusyError(Exception):
    """As much is waiting as may."""


class Line:
    """Work that is done in a thread of its own, in the order in which it came."""

    def __init__(self, most: int):
        """`most` pieces of work may wait or be under way."""
        self._most, self._count = most, 0
        self._thread = concurrent.futures.ThreadPoolExecutor(1)

    async def do(self, work: Callable[..., Result], *arguments: object) -> Result:
        """What `work(*arguments)` returns.

        Raises:
          BusyError: too many are waiting.
        """
        if self._count >= self._most:
            raise BusyError
        # Asked and changed on the event loop's thread only.
        self._count += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, work, *arguments)
        finally:
            self._count -= 1

    def close(self) -> None:
        """Work that has not begun is dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)
