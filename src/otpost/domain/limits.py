"""The limits that hold against guessing and pumping: what they count, and when they give way.

Windows slide: a limit of ten an hour looks at the last 60 minutes, whenever that is. All times are
milliseconds since the epoch.
"""

from __future__ import annotations

import ipaddress

import msgspec

from otpost.address import read_address
from otpost.domain.errors import (
    ApplicationSendsReached,
    ClientSendsReached,
    LimitReached,
    NumberChecksReached,
    NumberLocked,
    NumberSendsReached,
    ResendTooSoon,
    invalid,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WRONG_IN_A_ROW = 100
EXACT_HITS = 120

Hits = tuple[int, ...]


class RateLimitReached(LimitReached):
    """Too many requests for one of the application's own rate limits."""

    code = "rate_limit_reached"

    def __init__(self, limit: str, *, retry_at: int) -> None:
        self.limit = limit
        super().__init__(retry_at=retry_at)


def recent(hits: Hits, now: int, window_ms: int) -> Hits:
    """The hits that still lie within the window; those of a clock that was set back since count as of now."""
    if hits and hits[-1] > now:
        hits = tuple(min(hit, now) for hit in hits)
    if not hits or hits[0] > now - window_ms:
        return hits
    return tuple(hit for hit in hits if hit > now - window_ms)


def free_at(hits: Hits, now: int, window_ms: int, limit: int) -> int | None:
    """None if one more hit fits, else the moment from which it does."""
    inside = recent(hits, now, window_ms)
    return None if len(inside) < limit else inside[len(inside) - limit] + window_ms


class Window(msgspec.Struct, frozen=True):
    """Hits of one key (an application, a client address, a console user) within a sliding window.

    `hits` are pairs of moment and count. Small limits keep each hit; large ones merge neighbours into the later
    moment, so that a merged window may hold back for up to 1/120 of its length longer, never shorter.
    """

    scope: str
    key: str
    until: int
    hits: tuple[tuple[int, int], ...] = ()

    def free_at(self, now: int, window_ms: int, limit: int) -> int | None:
        """None if one more hit fits, else the moment from which it does."""
        room = limit
        for at, count in reversed(self.as_of(now).hits):
            if at <= now - window_ms:
                break
            room -= count
            if room <= 0:
                return at + window_ms
        return None

    def as_of(self, now: int) -> Window:
        """The window by a clock that was set back: no hit is later than now."""
        if not self.hits or self.hits[-1][0] <= now:
            return self
        hits = tuple((min(at, now), count) for at, count in self.hits)
        return msgspec.structs.replace(self, hits=hits, until=self.until - (self.hits[-1][0] - now))

    def hit(self, now: int, window_ms: int, limit: int) -> Window:
        """The window with one more hit."""
        kept = [pair for pair in self.as_of(now).hits if pair[0] > now - window_ms]
        grain = 0 if limit <= EXACT_HITS else window_ms // EXACT_HITS
        if kept and grain and now // grain == kept[-1][0] // grain:
            kept[-1] = (max(now, kept[-1][0]), kept[-1][1] + 1)
        else:
            kept.append((now, 1))
        return msgspec.structs.replace(self, hits=tuple(kept), until=now + window_ms)


class Bucket(msgspec.Struct, frozen=True):
    """At most `max` hits of one value within any `interval_s` seconds."""

    sid: str
    max: int
    interval_s: int
    created_at: int
    updated_at: int


class RateLimit(msgspec.Struct, frozen=True):
    """An application's own limit on the starts that name it.

    A start brings a value for it (an address, a session); each value has its own hits, and every bucket must have room.
    """

    sid: str
    tenant: str
    application: str
    unique_name: str
    description: str | None
    created_at: int
    updated_at: int
    buckets: tuple[Bucket, ...] = ()


class SafeNumber(msgspec.Struct, frozen=True):
    """A number that limits against pumping do not hold back: a test phone, a monitor's."""

    sid: str
    tenant: str
    to: str
    created_at: int


class NumberLimits(msgspec.Struct, frozen=True):
    """What one application has seen of one number: sends, wrong checks, the cooldown and the lock.

    `used_up` is the last verification whose checks were used up.
    """

    application: str
    to: str
    tenant: str
    until: int
    cooldown_until: int = 0
    sends: Hits = ()
    wrong: Hits = ()
    wrong_in_a_row: int = 0
    locked_at: int | None = None
    used_up: str | None = None

    def guessing(self, now: int, checks_per_hour: int) -> LimitReached | None:
        """Why neither a check nor a start is possible: the lock, or the hour's wrong checks."""
        if self.locked_at is not None:
            return NumberLocked(retry_at=now + HOUR_MS)
        if not self.wrong:
            return None
        at = free_at(self.wrong, now, HOUR_MS, checks_per_hour)
        return None if at is None else NumberChecksReached(retry_at=at)

    def cooldown(self, now: int) -> LimitReached | None:
        """Why no text may be sent so soon after the one before it."""
        if not self.cooldown_until:
            return None
        cooldown_until = self.as_of(now).cooldown_until
        return ResendTooSoon(retry_at=cooldown_until) if now < cooldown_until else None

    def sending(self, now: int, per_hour: int, per_day: int) -> LimitReached | None:
        """Why no text may be sent now: the hour's or the day's sends."""
        if not self.sends:
            return None
        moments = [
            at
            for at in (free_at(self.sends, now, HOUR_MS, per_hour), free_at(self.sends, now, DAY_MS, per_day))
            if at is not None
        ]
        return NumberSendsReached(retry_at=max(moments)) if moments else None

    def as_of(self, now: int) -> NumberLimits:
        """The limits by a clock that was set back: nothing happened later than now, and the cooldown begins now."""
        latest = max(self.sends[-1:] + self.wrong[-1:], default=now)
        if latest <= now:
            return self
        cooldown_ms = self.cooldown_until - self.sends[-1] if self.sends else 0
        return msgspec.structs.replace(
            self,
            sends=tuple(min(at, now) for at in self.sends),
            wrong=tuple(min(at, now) for at in self.wrong),
            cooldown_until=min(self.cooldown_until, now + max(0, cooldown_ms)),
            until=min(self.until, now + DAY_MS),
        )

    def sent(self, now: int, resend_after_s: int) -> NumberLimits:
        """One more send."""
        return msgspec.structs.replace(
            self,
            sends=(*recent(self.sends, now, DAY_MS), now),
            cooldown_until=now + resend_after_s * 1000,
            until=now + DAY_MS,
        )

    def checked(self, now: int, *, right: bool) -> NumberLimits:
        """One more check. A right code gives its place back, ends the row and the cooldown."""
        if right:
            return msgspec.structs.replace(self, wrong_in_a_row=0, cooldown_until=0)
        row = self.wrong_in_a_row + 1
        return msgspec.structs.replace(
            self,
            wrong=(*recent(self.wrong, now, HOUR_MS), now),
            wrong_in_a_row=row,
            locked_at=now if row >= WRONG_IN_A_ROW else self.locked_at,
            until=max(self.until, now + DAY_MS),
        )

    def uses_up(self, verification: str) -> NumberLimits:
        """The last check of a verification was wrong."""
        return msgspec.structs.replace(self, used_up=verification)

    def unlocked(self) -> NumberLimits:
        """The number as an administrator leaves it: no lock, and the guesses forgotten."""
        return msgspec.structs.replace(self, locked_at=None, wrong_in_a_row=0, wrong=())


def application_sends(window: Window, now: int, limit: int) -> LimitReached | None:
    at = window.free_at(now, HOUR_MS, limit)
    return None if at is None else ApplicationSendsReached(retry_at=at)


def client_sends(window: Window, now: int, limit: int) -> LimitReached | None:
    at = window.free_at(now, HOUR_MS, limit)
    return None if at is None else ClientSendsReached(retry_at=at)


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of 64 bits. Invalid for anything else."""
    ip = read_address(address)
    if ip is None:
        raise invalid("client_ip", "invalid", "client_ip must be the IP address of the recipient's client.")
    return str(ip) if ip.version == 4 else str(ipaddress.IPv6Network((int(ip), 64), strict=False))
