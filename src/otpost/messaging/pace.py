"""How much each account takes at once, and how long a message would wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

IN_FLIGHT = 64
SMOOTHING = 0.1
FIRST_GUESS_MS = 200.0


class Lane:
    """The queue of one account: messages in flight, and until when the account asked to be left alone."""

    __slots__ = ("in_flight", "paused_until", "typical_ms", "waiting")

    def __init__(self) -> None:
        self.in_flight = 0
        self.waiting = 0
        self.paused_until = 0
        self.typical_ms = FIRST_GUESS_MS


class Pace:
    """The lanes of this node. One account's trouble fills its own lane alone."""

    def __init__(self, clock: Callable[[], int], in_flight: int = IN_FLIGHT) -> None:
        self._clock = clock
        self._limit = in_flight
        self._lanes: dict[str, Lane] = {}

    def lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane()
        return lane

    def free(self, name: str) -> int:
        """How many more messages the lane takes now."""
        lane = self._lanes.get(name)
        if lane is None:
            return self._limit
        return 0 if self._clock() < lane.paused_until else max(0, self._limit - lane.in_flight)

    def full(self) -> list[str]:
        """The lanes that take nothing now."""
        return [name for name in self._lanes if self.free(name) == 0]

    def paused(self) -> list[str]:
        """The lanes whose account asked to be left alone now."""
        now = self._clock()
        return [name for name, lane in self._lanes.items() if now < lane.paused_until]

    def taken(self, name: str) -> None:
        self.lane(name).in_flight += 1

    def done(self, name: str, duration_ms: int) -> None:
        lane = self.lane(name)
        lane.in_flight -= 1
        lane.typical_ms += SMOOTHING * (duration_ms - lane.typical_ms)

    def pause(self, name: str, until: int) -> None:
        """The account asked to be left alone until then."""
        lane = self.lane(name)
        lane.paused_until = max(lane.paused_until, until)

    def count(self, waiting: Mapping[str, int]) -> None:
        """How many messages wait in each lane, as the database says."""
        for name in waiting:
            self.lane(name)
        for name, lane in self._lanes.items():
            lane.waiting = waiting.get(name, 0)

    def wait_ms(self, name: str) -> int:
        """How long a message handed to the lane now would wait, by what it has done so far."""
        lane = self._lanes.get(name)
        if lane is None:
            return 0
        pause = max(0, lane.paused_until - self._clock())
        return pause + int(lane.waiting / self._limit * lane.typical_ms)

    @property
    def in_flight(self) -> int:
        return sum(lane.in_flight for lane in self._lanes.values())
