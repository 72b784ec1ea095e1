"""The queue of jobs: their order, its bound, clients who left."""

import asyncio

import pytest

from volsynth.studio import job_queue


def test_work_is_done_in_turn_and_only_so_much_waits():
    order, under_way = [], []

    def work(number):
        under_way.append(number)
        assert len(under_way) == 1
        order.append(under_way.pop())
        return number

    async def main():
        queue = job_queue.JobQueue(5)
        done = await asyncio.gather(
            *(queue.run(work, number) for number in range(9)), return_exceptions=True
        )
        assert done[:5] == [0, 1, 2, 3, 4] == order
        assert [type(each) for each in done[5:]] == [job_queue.QueueFullError] * 4
        # Errors and those who left make room, too.
        for _ in range(9):
            with pytest.raises(ZeroDivisionError):
                await queue.run(lambda: 1 / 0)

        async def gone():
            return True

        with pytest.raises(job_queue.ClientGoneError):
            await queue.run(work, 10, client_gone=gone)
        assert order == [0, 1, 2, 3, 4]
        assert await queue.run(work, 11) == 11

    asyncio.run(main())
