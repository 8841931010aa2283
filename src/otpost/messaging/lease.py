"""Whether what this node has claimed is still its own: judged before a text is sent, by two clocks of its machine."""

from __future__ import annotations

from typing import Final, NamedTuple

from otpost.services.messages.nodes import HOLDS_MS
from otpost.store.clocks import Clock

SET_BACK_MS: Final = 1_000
"""How far the wall clock may be set back meanwhile, without the node having lost its sense of time."""


class Moment(NamedTuple):
    """One moment by both clocks: the one stands still in some paused machines, the other may be set."""

    monotonic: int
    wall: int


class Lease:
    """A node's right to send what it has claimed: as long as it beats, and has not been paused since it claimed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beat = self.now()

    def now(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.wall())

    def renewed(self, began: Moment) -> None:
        """The node's heartbeat, which was begun then, is in the database."""
        self._beat = began

    @property
    def fresh(self) -> bool:
        """Whether the heartbeat is young enough for something to be claimed and sent."""
        return self._young(self._beat)

    def holds(self, claimed: Moment) -> bool:
        """Whether what was claimed then is still this node's, so that nobody else sends it meanwhile."""
        return self.fresh and self._young(claimed)

    def _young(self, since: Moment) -> bool:
        now = self.now()
        passed = now.wall - since.wall
        return now.monotonic - since.monotonic <= HOLDS_MS and -SET_BACK_MS <= passed <= HOLDS_MS
