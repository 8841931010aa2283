"""How a service ends: in order and within a bound, or at once when it is told so twice."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from otpost.server import Server

ENDS_IN_S: Final = 20.0
"""How long an orderly stop may take in all: requests, texts in flight, and what the database is still to keep."""
PARTS_END_IN_S: Final = 13.0
ENDED_EARLY: Final = 1
"""The exit code of a service that did not come to its end in order."""

_log = logging.getLogger(__name__)


class Part(Protocol):
    """Something that runs beside the server. `left` says what it would leave behind if it ended now."""

    async def stop(self, within_s: float) -> None: ...

    def left(self) -> list[str]: ...


class Parts:
    """The parts of a running service, which are stopped together and once, whoever asks first."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)
        self._stopping: asyncio.Task[None] | None = None

    def add(self, part: Part) -> None:
        self._parts.append(part)

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        await asyncio.gather(*(part.stop(PARTS_END_IN_S) for part in self._parts))

    def left(self) -> list[str]:
        return [sentence for part in self._parts for sentence in part.left()]


class Stop:
    """Hears SIGTERM and SIGINT from when it is made; before that, they end the process at once.

    `left` says what would be left behind. `say` writes a line to the standard output.
    """

    def __init__(self, say: Callable[[str], None], *, ends_in_s: float = ENDS_IN_S) -> None:
        self.left: Callable[[], list[str]] = list
        self._say = say
        self._ends_in_s = ends_in_s
        self._heard = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, self._hear)

    def _hear(self) -> None:
        if self._heard.is_set():
            self._end("Otpost was told twice to stop and ends at once.")
        # A thread's, since the loop itself may be what hangs.
        bound = threading.Timer(self._ends_in_s, self._end, [f"Otpost has not ended within {self._ends_in_s:g} s."])
        bound.daemon = True
        bound.start()
        self._heard.set()

    async def wait(self, server: Server, parts: Parts) -> None:
        """Wait until the service is told to stop, and stop its server and its parts together."""
        self.left = parts.left
        await self._heard.wait()
        self._say("Otpost stops: requests under way and texts in flight come to their end.")
        _log.info("stopping: requests under way and texts in flight come to their end")
        server.should_exit = True
        await parts.stop()
        for sentence in parts.left():
            self._say(sentence)

    def _end(self, why: str) -> None:
        for sentence in (why, *self.left()):
            _log.error(sentence)
            self._say(sentence)
        os._exit(ENDED_EARLY)
