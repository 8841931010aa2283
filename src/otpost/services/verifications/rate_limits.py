"""An application's own rate limits: what they hold, and the starts that they meter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec

from otpost.domain import sid
from otpost.domain.access import Actor
from otpost.domain.errors import NotFound, invalid
from otpost.domain.limits import Bucket, RateLimit, RateLimitReached, Window
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.tenants.applications import NO_APPLICATION
from otpost.store.kinds import APPLICATIONS, RATE_LIMITS, WINDOWS
from otpost.store.units import Key, Kind, Rows, Unit, lock, lock_by, look_by

MOST_RATE_LIMITS, MOST_BUCKETS = 20, 10
SCOPE = "rate limit"


def limits_named(application: str) -> Key:
    """The application's limits, only to be read."""
    return look_by(RATE_LIMITS, "application", application)


def meter_start(
    context: Context, rows: Rows, application: str, given: Mapping[str, str], now: int
) -> RateLimitReached | list[tuple[Kind[Window], Window]]:
    """One hit for each value that a start brings, by the limit's name: the windows to keep with the start.

    Names that the application has no limit for are not metered. RateLimitReached, for the limit that lasts longest,
    where one bucket has no room.
    """
    places = [
        (limit.unique_name, bucket, f"{bucket.sid} {context.keyring.hash(SCOPE, given[limit.unique_name].encode())}")
        for limit in rows.find(RATE_LIMITS, "application", application, locked=False)
        if limit.unique_name in given
        for bucket in limit.buckets
    ]
    rows.require(*(lock(WINDOWS, SCOPE, key) for _, _, key in places))
    windows, full = [], []
    for name, bucket, key in places:
        window = rows.get(WINDOWS, SCOPE, key) or Window(SCOPE, key, until=0)
        interval_ms = bucket.interval_s * 1000
        if (at := window.free_at(now, interval_ms, bucket.max)) is not None:
            full.append((at, name))
        windows.append((WINDOWS, window.hit(now, interval_ms, bucket.max)))
    if full:
        retry_at, name = max(full)
        return RateLimitReached(name, retry_at=retry_at)
    return windows


async def list_rate_limits(context: Context, application: str) -> Sequence[RateLimit]:
    """The application's limits, newest first."""
    return (await context.store.find(RATE_LIMITS, "application", application))[::-1]


async def read_rate_limit(context: Context, application: str, named: str) -> RateLimit:
    """A limit of the application by its SID or its unique name; NotFound otherwise."""
    return _named(await context.store.find(RATE_LIMITS, "application", application), named)


def make_rate_limit(
    context: Context, actor: Actor, application: str, unique_name: str, description: str | None
) -> Unit[RateLimit]:
    """A new limit without buckets; Invalid where the name is taken, or there are too many."""
    now, limit_sid, line = context.clock(), context.ids(sid.RATE_LIMIT), context.ids("AU")

    def decide(rows: Rows) -> RateLimit:
        known = _owned(rows, actor, application)
        if any(limit.unique_name == unique_name for limit in known):
            raise invalid("UniqueName", "rate_limit_name_taken", f"There is a rate limit {unique_name} already.")
        if len(known) >= MOST_RATE_LIMITS:
            raise invalid("UniqueName", "rate_limits_used_up", f"A service has at most {MOST_RATE_LIMITS} rate limits.")
        made = RateLimit(limit_sid, actor.tenant, application, unique_name, description, now, now)
        rows.put(RATE_LIMITS, made)
        add_line(context, rows, line, now, actor, "rate limit made", f"{application}: {unique_name}")
        return made

    return Unit(decide, _needs(application))


def describe_rate_limit(
    context: Context, actor: Actor, application: str, named: str, description: str | None
) -> Unit[RateLimit]:
    """Change what a limit is said to be for."""
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> RateLimit:
        limit = _named(_owned(rows, actor, application), named)
        changed = msgspec.structs.replace(limit, description=description, updated_at=now)
        rows.put(RATE_LIMITS, changed)
        add_line(context, rows, line, now, actor, "rate limit changed", f"{application}: {limit.unique_name}")
        return changed

    return Unit(decide, _needs(application))


def remove_rate_limit(context: Context, actor: Actor, application: str, named: str) -> Unit[None]:
    """End a limit and its buckets at once."""
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        limit = _named(_owned(rows, actor, application), named)
        rows.delete(RATE_LIMITS, limit.sid)
        add_line(context, rows, line, now, actor, "rate limit deleted", f"{application}: {limit.unique_name}")

    return Unit(decide, _needs(application))


def make_bucket(
    context: Context, actor: Actor, application: str, named: str, most: int, interval_s: int
) -> Unit[Bucket]:
    """One more bucket of a limit; Invalid where one has this interval, or there are too many."""
    now, line = context.clock(), context.ids("AU")
    made = Bucket(context.ids(sid.BUCKET), most, interval_s, now, now)

    def decide(rows: Rows) -> Bucket:
        limit = _named(_owned(rows, actor, application), named)
        _judge_interval(limit, made)
        if len(limit.buckets) >= MOST_BUCKETS:
            raise invalid("Interval", "buckets_used_up", f"A rate limit has at most {MOST_BUCKETS} buckets.")
        _put(context, rows, line, now, actor, limit, (*limit.buckets, made), f"{most} in {interval_s} s")
        return made

    return Unit(decide, _needs(application))


def change_bucket(
    context: Context,
    actor: Actor,
    application: str,
    named: str,
    bucket_sid: str,
    most: int | None,
    interval_s: int | None,
) -> Unit[Bucket]:
    """Change a bucket's numbers; what was counted counts on."""
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> Bucket:
        limit = _named(_owned(rows, actor, application), named)
        old = bucket_of(limit, bucket_sid)
        changed = msgspec.structs.replace(
            old,
            max=old.max if most is None else most,
            interval_s=old.interval_s if interval_s is None else interval_s,
            updated_at=now,
        )
        _judge_interval(limit, changed)
        buckets = tuple(changed if bucket is old else bucket for bucket in limit.buckets)
        _put(context, rows, line, now, actor, limit, buckets, f"{changed.max} in {changed.interval_s} s")
        return changed

    return Unit(decide, _needs(application))


def remove_bucket(context: Context, actor: Actor, application: str, named: str, bucket_sid: str) -> Unit[None]:
    """End a bucket at once."""
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        limit = _named(_owned(rows, actor, application), named)
        old = bucket_of(limit, bucket_sid)
        buckets = tuple(bucket for bucket in limit.buckets if bucket is not old)
        _put(context, rows, line, now, actor, limit, buckets, f"no longer {old.max} in {old.interval_s} s")

    return Unit(decide, _needs(application))


def bucket_of(limit: RateLimit, bucket_sid: str) -> Bucket:
    """A bucket of the limit; NotFound otherwise."""
    return next((bucket for bucket in limit.buckets if bucket.sid == bucket_sid), None) or _nothing("bucket")


def _needs(application: str) -> list[Key]:
    # The application's row is locked so that two that are made at once see each other.
    return [lock(APPLICATIONS, application), lock_by(RATE_LIMITS, "application", application)]


def _owned(rows: Rows, actor: Actor, application: str) -> list[RateLimit]:
    app = rows.get(APPLICATIONS, application)
    if app is None or not app.belongs_to(actor.tenant):
        raise NotFound(NO_APPLICATION)
    return rows.find(RATE_LIMITS, "application", application)


def _named(limits: Sequence[RateLimit], named: str) -> RateLimit:
    return next((limit for limit in limits if named in (limit.sid, limit.unique_name)), None) or _nothing("rate limit")


def _nothing(what: str) -> NoReturn:
    raise NotFound(f"There is no such {what}.")


def _judge_interval(limit: RateLimit, wanted: Bucket) -> None:
    if any(bucket.interval_s == wanted.interval_s and bucket.sid != wanted.sid for bucket in limit.buckets):
        raise invalid(
            "Interval", "interval_taken", f"{limit.unique_name} has a bucket of {wanted.interval_s} s already."
        )


def _put(
    context: Context,
    rows: Rows,
    line: str,
    now: int,
    actor: Actor,
    limit: RateLimit,
    buckets: tuple[Bucket, ...],
    what: str,
) -> None:
    rows.put(RATE_LIMITS, msgspec.structs.replace(limit, buckets=buckets, updated_at=now))
    add_line(context, rows, line, now, actor, "rate limit changed", f"{limit.application}: {limit.unique_name}, {what}")
