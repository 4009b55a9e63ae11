"""How an iterator tells a break from an exception, though nobody tells it: the cases, each in a real for."""

import asyncio
import contextlib
import gc
import sys

import pytest

from quark.session.leaving import being_cancelled, caller_of_finalizer, left_on_purpose


class Numbers:
    """Counts, and writes down in ``verdicts`` how it was let go of."""

    def __init__(self, verdicts):
        self.verdicts, self.number, self.consumer = verdicts, 0, None

    def __iter__(self):
        return self

    def __next__(self):
        self.consumer = sys._getframe(1).f_code
        self.number += 1
        return self.number

    def __aiter__(self):
        return self

    def __anext__(self):
        self.consumer = sys._getframe(1).f_code
        return self._next()

    async def _next(self):
        self.number += 1
        return self.number

    def __del__(self):
        self.verdicts.append((left_on_purpose(caller_of_finalizer(), self.consumer), being_cancelled()))


def breaking(verdicts):
    for number in Numbers(verdicts):
        if number == 2:
            break


def breaking_in_a_block(verdicts):
    for number in Numbers(verdicts):
        try:
            raise ValueError(number)
        except ValueError:
            break


def returning(verdicts):
    for number in Numbers(verdicts):
        if number == 2:
            return number
    return None


def deleting(verdicts):
    numbers = Numbers(verdicts)
    next(numbers)
    del numbers


def rebinding(verdicts):
    numbers = Numbers(verdicts)
    next(numbers)
    numbers = range(3)
    assert len(numbers) == 3


def breaking_async(verdicts):
    async def main():
        async for number in Numbers(verdicts):
            if number == 2:
                break

    asyncio.run(main())


@pytest.mark.parametrize(
    "leave", [breaking, breaking_in_a_block, returning, deleting, rebinding, breaking_async], ids=lambda f: f.__name__
)
def test_what_is_left_on_purpose(leave):
    """break, return, del and another binding let go of the iterator on purpose."""
    verdicts = []
    leave(verdicts)
    assert verdicts == [(True, False)]


def raising(verdicts):
    for _ in Numbers(verdicts):
        raise ValueError


def raising_in_a_call(verdicts):
    for _ in Numbers(verdicts):
        int("x")


def raising_in_an_expression(verdicts):
    for number in Numbers(verdicts):
        _ = number / 0


def raising_in_a_block(verdicts):
    for _ in Numbers(verdicts):
        try:
            raise ValueError
        finally:
            pass


def raising_in_the_target(verdicts):
    for _, _ in Numbers(verdicts):
        pass


def raising_in_a_context(verdicts):
    for _ in Numbers(verdicts):
        with contextlib.suppress(KeyError):
            raise ValueError


def raising_async(verdicts):
    async def main():
        async for _ in Numbers(verdicts):
            raise ValueError

    asyncio.run(main())


@pytest.mark.parametrize(
    "leave",
    [
        raising, raising_in_a_call, raising_in_an_expression, raising_in_a_block, raising_in_the_target,
        raising_in_a_context, raising_async,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_an_exception_is_never_taken_for_a_purpose(leave):
    """Wherever in the body an exception is raised: the iterator is let go of, and nothing says on purpose."""
    verdicts = []
    with pytest.raises((ValueError, ZeroDivisionError, TypeError)):
        leave(verdicts)
    gc.collect()
    assert verdicts == [(False, False)]


def test_the_garbage_collector_proves_nothing():
    """An iterator in a cycle is found at any time, in any frame: that is no proof."""
    verdicts = []
    numbers = Numbers(verdicts)
    next(numbers)
    numbers.cycle = numbers
    del numbers
    gc.collect()
    assert verdicts == [(False, False)]


def test_a_cancelled_task_is_seen():
    """A body that is cancelled while it waits lets go of the iterator, and the cancellation is seen."""
    verdicts = []

    async def body():
        async for _ in Numbers(verdicts):
            await asyncio.sleep(30)

    async def main():
        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert verdicts == [(False, True)]
