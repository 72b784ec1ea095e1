"""Work of one kind, one piece after another, and a bound on how many may wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

Result = TypeVar("Result")


class BusyError(Exception):
    """As much is waiting as may."""


class GoneError(Exception):
    """Whoever wanted it did not wait."""


async def _here() -> bool:
    return False


class Line:
    """Work that is done in another thread, one piece at a time, in the order in which it came.

    To be used from one event loop.
    """

    def __init__(self, most: int):
        """`most` pieces of work may wait or be under way."""
        self._most, self._count = most, 0
        self._turn = asyncio.Lock()

    async def do(
        self,
        work: Callable[..., Result],
        *arguments: object,
        gone: Callable[[], Awaitable[bool]] = _here,
    ) -> Result:
        """What `work(*arguments)` returns.

        Args:
          work: is called in another thread.
          arguments: for it.
          gone: whether nobody wants it any longer; asked when its turn has come.

        Raises:
          BusyError: too many are waiting.
          GoneError: nobody wants it any longer.
        """
        if self._count >= self._most:
            raise BusyError
        self._count += 1
        try:
            async with self._turn:
                if await gone():
                    raise GoneError
                return await run_in_threadpool(work, *arguments)
        finally:
            self._count -= 1
