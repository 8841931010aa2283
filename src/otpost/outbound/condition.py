"""What must hold when a request's first byte is written: a caller that was held up meanwhile writes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Final

from otpost.outbound.failures import NotConnected


class Condition:
    """What must hold at the moment at which a request's first byte is written; `failed` once it did not."""

    __slots__ = ("failed", "holds")

    def __init__(self, holds: Callable[[], bool]) -> None:
        self.holds = holds
        self.failed = False

    def judge(self, host: str) -> None:
        """NotConnected where it does not hold."""
        if not self.holds():
            self.failed = True
            raise NotConnected(f"Nothing was sent to {host}: it was too late for that.")


CONDITION: Final[ContextVar[Condition | None]] = ContextVar("otpost.outbound.condition", default=None)


@contextlib.contextmanager
def only_while(holds: Callable[[], bool]) -> Iterator[Condition]:
    """Requests made within write nothing unless this holds when they are about to write their first byte."""
    condition = Condition(holds)
    token = CONDITION.set(condition)
    try:
        yield condition
    finally:
        CONDITION.reset(token)
