"""The circuit breakers: which accounts are left alone after repeated failures, and when one is tried again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from otpost.domain.delivery import Rest
from otpost.domain.outcome import REASONS, Accepted, Outcome
from otpost.domain.policy import Breaker, Route, lane_of
from otpost.services.messages.breakers import FIRST_REST_MS, LONGEST_REST_MS

OPENS_AFTER: Final = 5
"""How many failures in a row open a breaker."""
SAME_MS: Final = 1_000
"""How far a stored moment may be off the same one as this node remembers it: the clocks are compared anew each time."""
PROBE_LOST_MS: Final = 30_000
"""A probe that has not come back by then is forgotten, and another one is let through."""


class Breakers:
    """The breakers of one node, by lane: failures in a row, those that are open, and the probes under way.

    Their moments are of the node's monotonic clock, those of stored ones of the database's.
    """

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._probing: dict[str, int] = {}
        self._closed: dict[str, int] = {}
        self.open: dict[str, Breaker] = {}

    def resting(self, lane: str, revision: int, now: int) -> Rest | None:
        """How long the lane is left alone; nothing where its breaker is closed, or may be probed now.

        A breaker that opened under another revision of the policy counts as closed.
        """
        breaker = self.open.get(lane)
        if breaker is None or breaker.revision != revision:
            return None
        if now < breaker.probe_at:
            return Rest(breaker.probe_at - now, breaker.reason)
        if self._probes(lane, now):
            return Rest(FIRST_REST_MS + 1, breaker.reason)
        return None

    def allows(self, lane: str, revision: int, now: int, free: int) -> int:
        """How many messages the lane takes, of the `free` slots that it has: one probe while its breaker is open."""
        breaker = self.open.get(lane)
        if breaker is None or breaker.revision != revision:
            return free
        return 0 if now < breaker.probe_at or self._probes(lane, now) else min(1, free)

    def began(self, lane: str, now: int) -> None:
        """A message of the lane is being sent: a probe, if the breaker is open."""
        if lane in self.open:
            self._probing[lane] = now

    def ended(self, tenant: str, route: Route, revision: int, outcome: Outcome, now: int) -> bool:
        """A message of the lane has its outcome. Whether that opened the breaker, kept it open, or closed it."""
        lane = lane_of(tenant, route)
        standing = self.open.get(lane)
        if standing is not None and revision < standing.revision:
            # It was sent by a policy that is no longer in force.
            return False
        self._probing.pop(lane, None)
        if isinstance(outcome, Accepted) or not REASONS[outcome.reason].trips:
            self._failures.pop(lane, None)
            if standing is None or _is_rest(outcome):
                return False
            self._closed[lane] = self.open.pop(lane).probe_at
            return True
        failures = self._failures[lane] = self._failures.get(lane, 0) + 1
        if standing is not None and standing.revision != revision:
            del self.open[lane]
            self._failures[lane] = 1
            return True
        if standing is None and failures < OPENS_AFTER:
            return False
        if standing is not None and now < standing.probe_at:
            # It was on its way when the breaker opened, and tells nothing new.
            self._failures[lane] = standing.failures
            return False
        rest_ms = min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** min(10, max(0, failures - OPENS_AFTER)))
        self.open[lane] = Breaker(
            lane=lane,
            tenant=tenant,
            service=route.service,
            account_sid=route.account_sid,
            revision=revision,
            reason=outcome.reason,
            detail=outcome.detail,
            failures=failures,
            opened_at=standing.opened_at if standing is not None else now,
            probe_at=now + rest_ms,
        )
        return True

    def forget(self, lanes: Iterable[str]) -> None:
        """These were opened under a policy that is no longer in force."""
        for lane in lanes:
            self.open.pop(lane, None)
            self._failures.pop(lane, None)

    def take_over(self, stored: Sequence[Breaker], before: int) -> list[str]:
        """Make this node's breakers those of the database; the lanes that another node has closed.

        One that this node opened at `before` or later may not be stored yet, and stays; one that it has closed may
        still be stored, and is not opened again.
        """
        known = {
            breaker.lane: breaker
            for breaker in stored
            if breaker.lane not in self._closed or breaker.probe_at > self._closed[breaker.lane] + SAME_MS
        }
        closed = [lane for lane, own in self.open.items() if lane not in known and own.opened_at < before]
        for lane in closed:
            del self.open[lane]
            self._failures.pop(lane, None)
        for lane, breaker in known.items():
            own = self.open.get(lane)
            if own is None or own.probe_at + SAME_MS < breaker.probe_at:
                self.open[lane] = breaker
                self._failures[lane] = breaker.failures
        return closed

    def _probes(self, lane: str, now: int) -> bool:
        began = self._probing.get(lane)
        return began is not None and now - began < PROBE_LOST_MS


def _is_rest(outcome: Outcome) -> bool:
    """Whether the outcome says nothing about the account's health: it asked for a pause."""
    return not isinstance(outcome, Accepted) and outcome.reason == "throttled"


def of_own_clock(stored: Breaker, ahead: int, now: int) -> Breaker:
    """A stored breaker by the node's monotonic clock, `now`, which the database's is so much `ahead` of.

    One that rests for longer than any does was written before the clock was set back: it is probed soon.
    """
    probe_at = stored.probe_at - ahead
    if probe_at > now + LONGEST_REST_MS + SAME_MS:
        probe_at = now + FIRST_REST_MS
    return msgspec.structs.replace(stored, opened_at=stored.opened_at - ahead, probe_at=probe_at)
