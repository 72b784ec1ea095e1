"""A queue of jobs that run one after another in a thread, with a bound on how many may wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

Result = TypeVar("Result")


class QueueFullError(Exception):
    """The queue is full: as many jobs as it takes are waiting or running already."""


class ClientGoneError(Exception):
    """The client that asked for a job closed its connection before the job began."""


async def _never_gone() -> bool:
    return False


class JobQueue:
    """Runs jobs in another thread, one at a time, in the order in which they came.

    A queue belongs to one event loop. The loop stays free while a job runs, so that pages are
    answered meanwhile.
    """

    # One at a time, because each job of the model uses all cores or the whole accelerator: two at
    # once would take as long as two in turn, and twice the memory.

    def __init__(self, most_jobs: int) -> None:
        """Makes an empty queue, in which at most `most_jobs` wait or run at one time."""
        # Only the event loop changes the count, so that it needs no lock.
        self._most_jobs, self._jobs = most_jobs, 0
        # Those who wait for a lock of asyncio get it in the order in which they came.
        self._turn = asyncio.Lock()

    async def run(
        self,
        job: Callable[..., Result],
        *arguments: object,
        client_gone: Callable[[], Awaitable[bool]] = _never_gone,
    ) -> Result:
        """Waits for the job's turn, runs it and returns its result.

        Args:
          job: a function, which is called in another thread.
          arguments: the function's arguments.
          client_gone: tells whether nobody waits for the result any longer; it is asked when the
            job's turn has come.

        Raises:
          QueueFullError: too many jobs are waiting.
          ClientGoneError: nobody waits for the result any longer.
        """
        if self._jobs >= self._most_jobs:
            raise QueueFullError
        self._jobs += 1
        try:
            async with self._turn:
                # Asked here and not before: while somebody drags a skeleton, most poses are out of
                # date by the time their turn comes.
                if await client_gone():
                    raise ClientGoneError
                return await run_in_threadpool(job, *arguments)
        finally:
            self._jobs -= 1
