"""How much each account and origin takes at once, which accounts rest, and how long a message would wait."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from otpost.domain.delivery import SHORT_REST_MS, Rest
from otpost.domain.outcome import NOTHING_SAID, Accepted, Outcome, Refused, Unavailable, Unknown
from otpost.domain.policy import Route, lane_of
from otpost.messaging.breaker import Breakers
from otpost.services.messages.queue import LONGEST_PAUSE_MS, Waiting

IN_FLIGHT: Final = 64
SMOOTHING: Final = 0.1
FIRST_GUESS_MS: Final = 200.0
LOWERED_AT_MOST_EVERY_MS: Final = 1_000
PAUSE_S: Final = 1.0
"""How long a service is left alone that gets too much and does not say how long."""
LEAST_WHEN_SILENT: Final = 4
"""A service that does not answer keeps this many requests in flight; one that says it is too much, at least one."""


def _tenant(lane: str) -> str:
    return lane.partition(":")[0]


class Lane:
    """The queue of one account: messages in flight, how many may be, and until when it asked to be left alone."""

    __slots__ = ("in_flight", "limit", "lowered_at", "paused_until", "successes", "typical_ms")

    def __init__(self, limit: int) -> None:
        self.in_flight = 0
        self.limit = limit
        self.successes = 0
        self.lowered_at = 0
        self.paused_until = 0
        self.typical_ms = FIRST_GUESS_MS


class Origin:
    """The bucket of an origin with a rate of its own: how many it may send at once, as of a moment."""

    __slots__ = ("at", "left", "per_s")

    def __init__(self, per_s: float, at: int) -> None:
        self.per_s = per_s
        self.left = max(1.0, per_s)
        self.at = at

    def refill(self, now: int, per_s: float) -> None:
        self.per_s = per_s
        self.left = min(max(1.0, per_s), self.left + (now - self.at) / 1000 * per_s)
        self.at = now


class Rated(Protocol):
    """A tenant's plan, as far as the pace asks it."""

    def rate(self, origin: str) -> float | None: ...


class Plans(Protocol):
    """The tenants' plans as last seen."""

    def get(self, tenant: str, /) -> Rated | None: ...


class Pace:
    """The lanes of this node. One account's trouble fills its own lane alone.

    A lane takes at most `in_flight` messages at once: fewer after a 429 or where answers do not come, one more again
    after as many accepted ones as it takes. Rates of origins are shared with the other `nodes`, and hold as long as the
    newest of the `plans`, by tenant, names them.
    """

    def __init__(self, clock: Callable[[], int], in_flight: int = IN_FLIGHT, *, plans: Plans | None = None) -> None:
        self._clock = clock
        self._plans: Plans = {} if plans is None else plans
        self._most = in_flight
        self._lanes: dict[str, Lane] = {}
        self._origins: dict[tuple[str, str], Origin] = {}
        self._waiting: dict[str, list[Waiting]] = {}
        self.breakers = Breakers()
        self.nodes = 1

    def lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self._most)
        return lane

    def free(self, name: str, revision: int) -> int:
        """How many more messages the lane takes now, under this revision of the policy; one while it is probed."""
        lane, now = self._lanes.get(name), self._clock()
        if lane is not None and now < lane.paused_until:
            return 0
        free = self._most if lane is None else max(0, lane.limit - lane.in_flight)
        return self.breakers.allows(name, revision, now, free)

    def full(self) -> list[str]:
        """The lanes whose messages have to wait for a slot, or for a short pause to end.

        Those that rest for long are not among them: their messages may have another way.
        """
        now = self._clock()
        return [
            name
            for name, lane in self._lanes.items()
            if lane.in_flight >= lane.limit or now < lane.paused_until <= now + SHORT_REST_MS
        ]

    def paused(self) -> list[str]:
        """The lanes whose account asked to be left alone now."""
        now = self._clock()
        return [name for name, lane in self._lanes.items() if now < lane.paused_until]

    def resting(self, tenant: str, route: Route, revision: int) -> Rest | None:
        """How long the account of a route takes nothing, by what it answered under this revision of the policy."""
        name, now = lane_of(tenant, route), self._clock()
        lane = self._lanes.get(name)
        if lane is not None and now < lane.paused_until:
            return Rest(lane.paused_until - now, "throttled")
        return self.breakers.resting(name, revision, now)

    def allowed(self, name: str, origin: str, per_s: float) -> int:
        """How many messages the origin may send now, at most `per_s` a second over all nodes."""
        now, share = self._clock(), per_s / max(1, self.nodes)
        bucket = self._origins.get((name, origin))
        if bucket is None:
            bucket = self._origins[name, origin] = Origin(share, now)
        bucket.refill(now, share)
        return int(bucket.left)

    def dry(self) -> list[str]:
        """The origins that may send nothing now, each after its lane and a blank."""
        return [f"{name} {origin}" for (name, origin), bucket in self._buckets().items() if bucket.left < 1]

    def rated(self) -> list[str]:
        """The tenants of which an origin is held to a rate."""
        return sorted({_tenant(name) for name, _ in self._origins})

    def _buckets(self) -> dict[tuple[str, str], Origin]:
        """The buckets of the origins whose rates are in force, as of now."""
        now = self._clock()
        for (name, origin), bucket in list(self._origins.items()):
            plan = self._plans.get(_tenant(name))
            per_s = bucket.per_s if plan is None else plan.rate(origin)
            if per_s is None:
                del self._origins[name, origin]
            else:
                bucket.refill(now, per_s if plan is None else per_s / max(1, self.nodes))
        return self._origins

    def next_drop_ms(self) -> int | None:
        """When the next of the dry origins may send again; None where none is dry."""
        waits = [(1 - bucket.left) / bucket.per_s * 1000 for bucket in self._buckets().values() if bucket.left < 1]
        return int(min(waits)) + 1 if waits else None

    def taken(self, name: str, origin: str) -> None:
        """A message is being sent."""
        self.lane(name).in_flight += 1
        self.breakers.began(name, self._clock())
        bucket = self._origins.get((name, origin))
        if bucket is not None:
            bucket.left -= 1

    def done(self, name: str, duration_ms: int, outcome: Outcome) -> None:
        """A message of the lane has its outcome: the account's pace follows from it."""
        lane, now = self.lane(name), self._clock()
        lane.in_flight -= 1
        lane.typical_ms += SMOOTHING * (duration_ms - lane.typical_ms)
        match outcome:
            case Accepted() | Refused():
                lane.successes += 1
                if lane.successes >= lane.limit and lane.limit < self._most:
                    lane.limit, lane.successes = lane.limit + 1, 0
            case Unavailable() if outcome.vendor != NOTHING_SAID:
                throttled = outcome.reason == "throttled"
                pause_s = outcome.retry_after_s or (PAUSE_S if throttled else 0.0)
                pause_ms = min(LONGEST_PAUSE_MS, int(pause_s * 1000))
                lane.paused_until = max(lane.paused_until, now + pause_ms)
                if throttled:
                    self._lower(lane, now, 1)
            case Unknown(answered=False):
                self._lower(lane, now, LEAST_WHEN_SILENT)
            case _:
                pass

    def count(self, waiting: Iterable[Waiting]) -> None:
        """How many messages wait in each lane, as the database says."""
        by_lane = defaultdict(list)
        for row in waiting:
            by_lane[row[0]].append(row)
        self._waiting = dict(by_lane)

    def step_ms(self, name: str) -> int:
        """How long the lane takes for one message while it is full."""
        lane = self._lanes.get(name)
        if lane is None:
            return 1
        rates = [bucket.per_s for (whose, _), bucket in self._buckets().items() if whose == name]
        slowest = max((1000 / per_s for per_s in rates), default=0.0)
        return max(1, int(max(slowest, lane.typical_ms / lane.limit)))

    def wait_ms(self, name: str, application: str, plain: bool) -> int:
        """How long a message of an application, handed to the lane now, would wait by what the lane has done so far.

        Each application has its turn, so that the waiting messages of another count as far as they are no more than
        its own; and plain ones let a verification pass.
        """
        lane = self._lanes.get(name)
        if lane is None:
            return 0
        rows = [row for row in self._waiting.get(name, ()) if plain or not row[2]]
        own = sum(count for _, whose, _, count in rows if whose == application)
        before = own + sum(min(count, own + 1) for _, whose, _, count in rows if whose != application)
        pause = max(0, lane.paused_until - self._clock())
        return pause + before * self.step_ms(name) if before else pause

    @property
    def in_flight(self) -> int:
        return sum(lane.in_flight for lane in self._lanes.values())

    @staticmethod
    def _lower(lane: Lane, now: int, least: int) -> None:
        """Halve what the lane takes; a burst of the same answers counts once."""
        if now - lane.lowered_at >= LOWERED_AT_MOST_EVERY_MS:
            lane.limit, lane.successes, lane.lowered_at = max(least, lane.limit // 2), 0, now
