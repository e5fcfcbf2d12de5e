"""An event loop whose clock jumps: a test of waits takes no time and comes out the same on any machine.

def test_pause():
    async def main():
        await asyncio.sleep(3600)

    virtual_time.run(main())
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Everything waits, and nothing is left that could end the waiting."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and stands still while anything can run; then it is the next timer's. No real sockets."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_IdleSelector(self))

    def time(self) -> float:
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Sets the clock forward."""
        self._now += seconds


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs `coroutine` to its end in virtual time. Fails if it leaves a task behind, or can never end."""
    loop = VirtualTimeLoop()
    try:
        result = loop.run_until_complete(coroutine)
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks are left behind: {left}"
        return result
    finally:
        _cancel_all(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


class _IdleSelector(selectors.DefaultSelector):
    """Where the loop would sleep until the next timer, its clock is set to that timer instead."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Stuck
        if not ready and timeout:
            self._loop.pass_time(timeout)
        return ready
