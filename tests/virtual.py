"""An event loop whose time passes only while nothing is to be done, and whose turns are counted."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TURNS_AT_ONE_MOMENT = 10_000
"""So many turns without any time passing are a loop that spins."""


class Spins(AssertionError):
    """Something waits for nothing, again and again."""


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        loop.turn()
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if loop.in_threads or timeout is None:
            # What a thread does takes no time: a commit, a list.
            return super().select(10)
        loop.pass_by(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Everything on it is done at once; only timers take their time, of which the machine knows nothing.

    `turns` is how often it woke up. For work without sockets: nobody answers within no time.
    """

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.passed_s = 0.0
        self.turns = 0
        self.in_threads = 0
        self._at_this_moment = 0
        super().__init__(selector)

    def time(self) -> float:
        return self.passed_s

    def now(self) -> int:
        """Milliseconds since 2027 began, as a clock for the house."""
        return 1_798_761_600_000 + round(self.passed_s * 1_000)

    def turn(self) -> None:
        self.turns += 1
        self._at_this_moment += 1
        if self._at_this_moment > TURNS_AT_ONE_MOMENT:
            self._at_this_moment = 0
            raise Spins

    def pass_by(self, seconds: float) -> None:
        self.passed_s += seconds
        self._at_this_moment = 0

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        self.in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._out_of_thread)
        return future

    def _out_of_thread(self, future: asyncio.Future[Any]) -> None:
        self.in_threads -= 1


def run(work: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run the work on a new virtual loop."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work(loop))
