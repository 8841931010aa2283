"""What every use case is given: the database, the key ring, a clock and dice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import uuid_utils

from otpost.domain.message import PLAIN_AFTER_MS
from otpost.services.vault import KeyRing
from otpost.store import clocks
from otpost.store.base import Store
from otpost.store.clocks import Clock, HasTime

if TYPE_CHECKING:
    from otpost.services.policy.plan import Plan, Tokens


def sid(prefix: str) -> str:
    """A new string identifier."""
    return prefix + uuid_utils.uuid7().hex


USUAL_STEP_MS = 10
LONGEST_LEAD_MS = 300_000


class Turns:
    """In which order due messages are sent: in that of their turns, which are shared out fairly between applications.

    A message's turn is when it would be sent if its application were alone: `step_ms` after the one before it. So a
    burst spreads over the time that it takes to send, and another application's message has its turn at once.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def take(self, application: str, now: int, step_ms: int, *, plain: bool = False) -> int:
        """The turn of one more message; that of a `plain` one comes after the verifications of ten minutes."""
        turn = min(max(now, self._last.get(application, 0) + step_ms), now + LONGEST_LEAD_MS)
        self._last[application] = turn
        return turn + PLAIN_AFTER_MS if plain else turn

    def keep(self, waiting: Set[str]) -> None:
        """Forget the applications of which no message is `waiting`: their next one has its turn at once."""
        self._last = {application: last for application, last in self._last.items() if application in waiting}


@dataclass(frozen=True, slots=True)
class House:
    """The parts that use cases work with; tests bring clocks that they move and dice that they know.

    `clock` is the database's time: every moment that is kept, and every one that is due, is one of it. `monotonic`
    measures what passes within this process; `wall` is the machine's own clock, which may be off. `learn` asks the
    database for its time.
    `lane_wait_ms` is how long a message that an application hands to a lane now would wait before it is sent; the last
    argument tells a plain message. `lane_step_ms` is how long the lane takes for one. `plans` and `tokens` are the
    sender policies and their secrets as last seen, by tenant; `uses` is when each key was last used in this process, as
    far as the database does not know it yet.
    """

    store: Store
    ring: KeyRing
    clock: Clock = clocks.wall
    sid: Callable[[str], str] = sid
    chance: Callable[[], float] = field(default=Random().random)  # noqa: S311  # spreads retries; nothing secret hangs on it
    lane_wait_ms: Callable[[str, str, bool], int] = lambda lane, application, plain: 0
    lane_step_ms: Callable[[str], int] = lambda lane: USUAL_STEP_MS
    turns: Turns = field(default_factory=Turns)
    learn: Callable[[HasTime], Awaitable[None]] = clocks.nothing_to_learn
    monotonic: Clock = clocks.monotonic
    wall: Clock = clocks.wall
    plans: dict[str, Plan] = field(default_factory=dict)
    tokens: dict[str, Tokens] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)
