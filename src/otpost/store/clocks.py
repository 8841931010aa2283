"""The clocks: the machine's own two, and the database's, by which everything is kept that several nodes read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

Ticks = Callable[[], int]
"""Milliseconds: of a clock on the wall since the epoch, of a monotonic one since a moment that nobody knows."""

TELLS_MS: Final = 2_000
"""How far a machine's clock may be off the database's before the node says so."""

_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_log = logging.getLogger(__name__)


def wall() -> int:
    """Milliseconds since the epoch by the machine's clock, which may be set, and may be wrong."""
    return time.time_ns() // 1_000_000


def monotonic() -> int:
    """Milliseconds by a clock that nobody sets; it goes on while the machine is suspended, where the system can."""
    return time.clock_gettime_ns(_STEADY) // 1_000_000


class HasTime(Protocol):
    """A database that may have a clock of its own."""

    async def now(self) -> int | None: ...


class Clock(Protocol):
    """The database's time, by which everything is kept that several nodes read, and the machine's own two clocks."""

    def __call__(self) -> int:
        """Every moment that is kept, and every one that is due, is one of the database's."""
        ...

    def monotonic(self) -> int:
        """It measures what passes within this process."""
        ...

    def wall(self) -> int:
        """The machine's own clock, which may be off."""
        ...

    async def learn(self, database: HasTime) -> None:
        """Ask the database for its time."""
        ...


class DatabaseClock:
    """The database's time: as it last told, and what has passed since by the monotonic clock.

    Until it has told, and where the database is a file of this machine, it is the machine's own clock.
    """

    def __init__(self, wall: Ticks = wall, monotonic: Ticks = monotonic) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self._ahead: int | None = None
        self._told = False

    def __call__(self) -> int:
        return self.wall() if self._ahead is None else self.monotonic() + self._ahead

    @property
    def off_ms(self) -> int:
        """How far the machine's clock is ahead of the database's; negative where it is behind."""
        return self.wall() - self()

    @property
    def sentence(self) -> str | None:
        """What is to be said of the machine's clock; None while it is right enough."""
        off_ms = self.off_ms
        if abs(off_ms) <= TELLS_MS:
            return None
        where = "ahead of" if off_ms > 0 else "behind"
        return f"The clock of this machine is {abs(off_ms) / 1000:.1f} s {where} the database's."

    async def learn(self, database: HasTime) -> None:
        """Ask the database for its time, and say so in the log where the machine's clock begins or ends to be off.

        The answer is taken for the middle of the time that it took; one that fits what is known changes nothing, so
        that this clock does not go to and fro with every answer.
        """
        asked_at = self.monotonic()
        told = await database.now()
        if told is None:
            return
        took_ms = self.monotonic() - asked_at
        ahead = told - asked_at - took_ms // 2
        if self._ahead is None or abs(ahead - self._ahead) > took_ms // 2 + 1:
            self._ahead = ahead
        sentence = self.sentence
        if sentence is not None and not self._told:
            _log.warning("%s Times are kept by the database's; let NTP set this one.", sentence)
        elif sentence is None and self._told:
            _log.warning("The clock of this machine goes with the database's again.")
        self._told = sentence is not None
