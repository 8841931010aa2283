"""What every use case is given: the database, the key ring, a clock and dice."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, Protocol

from otpost.domain.message import PLAIN_AFTER_MS
from otpost.services.keyring import KeyRing
from otpost.store.base import Store
from otpost.store.clocks import Clock

STEP_MS = 10
LONGEST_LEAD_MS = 300_000


class Standing(NamedTuple):
    """The earliest turn of what an application has waiting in a lane, plain messages by themselves."""

    lane: str
    application: str
    plain: bool
    turn: int


class QueueOrder:
    """In which order due messages are sent: in that of their turns, which are shared out fairly between applications.

    An application's next message has its turn a step after the one before it, and the first one at the turn that its
    lane has come to: now, or further back where the lane is behind. So a burst is passed by another application's
    message, whatever has become of the account since the burst was queued.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, bool], int] = {}
        self._reached: dict[tuple[str, bool], int] = {}

    def take(self, lane: str, application: str, now: int, *, plain: bool = False) -> int:
        """The turn of one more message; that of a `plain` one comes after the verifications of ten minutes."""
        begun = min(now, self._reached.get((lane, plain), now))
        last = self._last.get((lane, application, plain))
        turn = begun if last is None else min(max(begun, last + STEP_MS), begun + LONGEST_LEAD_MS)
        self._last[lane, application, plain] = turn
        return turn + PLAIN_AFTER_MS if plain else turn

    def place(self, application: str, now: int, *, plain: bool = False) -> Callable[[str], int]:
        """The turn of one more message, by the lane; drawn once, however often the message's unit is run."""
        turns: dict[str, int] = {}

        def turn_in(lane: str) -> int:
            if (turn := turns.get(lane)) is None:
                turn = turns[lane] = self.take(lane, application, now, plain=plain)
            return turn

        return turn_in

    def reached(self, lane: str, turn: int, *, plain: bool) -> None:
        """A message of the lane is being sent, whose turn this was."""
        own = turn - PLAIN_AFTER_MS if plain else turn
        self._reached[lane, plain] = max(own, self._reached.get((lane, plain), own))

    def keep(self, waiting: Sequence[Standing]) -> None:
        """Learn what is `waiting`. An application and a lane of which nothing is begin anew."""
        applications = {(lane, application, plain) for lane, application, plain, _ in waiting}
        self._last = {whose: last for whose, last in self._last.items() if whose in applications}
        self._reached = {}
        for lane, _, plain, turn in waiting:
            own = turn - PLAIN_AFTER_MS if plain else turn
            self._reached[lane, plain] = min(own, self._reached.get((lane, plain), own))


class Lanes(Protocol):
    """What the accounts of this node have done so far, as far as a new message asks."""

    def wait_ms(self, name: str, application: str, plain: bool) -> int:
        """How long a message that an application hands to a lane now would wait before it is sent."""
        ...


class FreeLanes:
    """For a process that sends nothing: there, nobody knows of a wait."""

    def wait_ms(self, name: str, application: str, plain: bool) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that use cases work with; tests bring clocks that they move and dice that they know.

    `clock` tells the database's time, by which everything is kept, and has the machine's own clocks beside it. `ids`
    makes a SID with the prefix that it is given.
    """

    store: Store
    keyring: KeyRing
    clock: Clock
    ids: Callable[[str], str]
    random: Random
    lanes: Lanes = field(default_factory=FreeLanes)
    queue_order: QueueOrder = field(default_factory=QueueOrder)

    def secret_text(self, size: int = 32) -> str:
        """So many random bytes, in letters that can stand in an address."""
        return base64.urlsafe_b64encode(self.random.randbytes(size)).rstrip(b"=").decode()
