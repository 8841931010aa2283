"""How long rows are kept: the sweeps, and what becomes of kept moments once the clock has been set back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Delete, Table, Update, and_, case, cast, delete, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from otpost.domain.limits import DAY_MS, HOUR_MS
from otpost.domain.message import BODY_KEPT_MS
from otpost.domain.policy import CALLBACKS_REFUSED, STANDS_MS
from otpost.domain.webhook import LONGEST_WAIT_MS
from otpost.services.context import Context
from otpost.services.idempotency import KEPT_MS as ANSWERS_KEPT_MS
from otpost.services.messages.breakers import FIRST_REST_MS, LONGEST_REST_MS
from otpost.services.messages.nodes import HOLDS_MS
from otpost.services.messages.queue import LONGEST_PAUSE_MS
from otpost.services.policy.plan import KEPT_MS as SECRETS_KEPT_MS
from otpost.services.tenants.sign_in import SESSION_LIFE_MS
from otpost.services.tenants.users import LINK_LIFE_MS
from otpost.store import tables
from otpost.store.kinds import NUMBER_LIMITS, WINDOWS
from otpost.store.units import Key, Rows, Unit, lock

BREAKER_FORGOTTEN_MS: Final = 600_000
SET_BACK_MS: Final = 2_000
"""How far a clock goes back before what it said is put right: more than nodes differ by."""
AT_ONCE: Final = 200

LOOKED_UP_AGAIN_MS: Final = 25_000
"""When the account of an unknown attempt is asked for the last time after that: its earlier looks may not count."""
SENT_BEFORE_MS: Final = 60_000
"""How long before now such an attempt was begun at the earliest, as far as anybody can tell."""
_LONGEST_FETCH_MS: Final = 4 * HOUR_MS


async def clamp_moments(context: Context, *, at_start: bool = False) -> None:
    """Bring every moment that waits to be reached to where it would be if it were counted from now on.

    A clock that was set back an hour must not hold texts, cooldowns and pauses for that hour. `at_start`
    nobody saw whether it was: what counts hits is then looked at only where it lies an hour ahead.
    """
    now = context.clock()
    for statement in _statements(now):
        await context.store.sweep(statement)
    await _clamp_limits(context, now, now + HOUR_MS if at_start else now)
    await context.store.sweep(_no_later(tables.nodes, "beat_at", now, beyond=now + SET_BACK_MS))


def _statements(now: int) -> list[Update]:
    ahead = now + SET_BACK_MS
    messages, verifications, attempts = tables.messages.c, tables.verifications.c, tables.attempts.c
    deliveries = tables.webhook_deliveries.c
    waiting = messages.due_at.is_not(None)
    made_later = messages.created_at > ahead
    return [
        # What waits for a report may go another way only once its time has passed, and keeps that.
        update(tables.messages)
        .where(waiting, made_later)
        .values(
            due_at=case((messages.status == "queued", now), else_=messages.due_at - messages.created_at + now),
            put_off=case((messages.status == "queued", 0), else_=messages.put_off),
            turn=now,
            created_at=now,
            valid_until=messages.valid_until - messages.created_at + now,
        ),
        update(tables.messages)
        .where(waiting, messages.due_at > now + LONGEST_PAUSE_MS, messages.status == "queued")
        .values(due_at=now, put_off=0),
        update(tables.verifications)
        .where(verifications.status == "pending", verifications.created_at > ahead)
        .values(
            created_at=now,
            expires_at=cast(verifications.lifetime_s, BigInteger) * 1000 + now,
            resend_at=cast(verifications.resend_after_s, BigInteger) * 1000 + now,
        ),
        update(tables.attempts)
        .where(attempts.outcome.is_(None), attempts.started_at > ahead)
        .values(started_at=now - HOLDS_MS),
        update(tables.attempts)
        .where(attempts.look_at.is_not(None), attempts.started_at > ahead)
        .values(started_at=now - SENT_BEFORE_MS, looked_at=None, unknown_at=now, look_at=now + LOOKED_UP_AGAIN_MS),
        _no_later(tables.attempts, "fetch_at", now + _LONGEST_FETCH_MS),
        _no_later(tables.breakers, "probe_at", now + FIRST_REST_MS, beyond=now + LONGEST_REST_MS),
        _no_later(tables.notices, "until", now + STANDS_MS),
        _no_later(tables.sessions, "expires_at", now + SESSION_LIFE_MS),
        _no_later(tables.sign_in_links, "expires_at", now + LINK_LIFE_MS),
        _no_later(tables.first_answers, "until", now + ANSWERS_KEPT_MS),
        update(tables.webhook_deliveries)
        .where(deliveries.due_at.is_not(None), or_(deliveries.due_at > now + LONGEST_WAIT_MS, _made_later(ahead, now)))
        .values(due_at=now),
    ]


def _made_later(ahead: int, now: int) -> ColumnElement[bool]:
    deliveries = tables.webhook_deliveries.c
    return and_(deliveries.created_at > ahead, deliveries.due_at > now)


def _no_later(table: Table, column: str, latest: int, *, beyond: int | None = None) -> Update:
    own = table.c[column]
    return update(table).where(own > (latest if beyond is None else beyond)).values({column: latest})


async def _clamp_limits(context: Context, now: int, windows_after: int) -> None:
    limits, windows = tables.number_limits.c, tables.windows.c
    numbers = select(limits.application, limits.to).where(limits.until > now + DAY_MS)
    counted = select(windows.scope, windows.key).where(windows.until > windows_after)
    for kind, statement in ((NUMBER_LIMITS, numbers), (WINDOWS, counted)):
        keys = await context.store.select(statement)
        for start in range(0, len(keys), AT_ONCE):
            some = [lock(kind, *key) for key in keys[start : start + AT_ONCE]]

            def decide(rows: Rows, some: Sequence[Key] = some) -> None:
                for key in some:
                    row = rows.get(key.kind, *key.values)
                    if row is not None and (clamped := row.as_of(now)) is not row:
                        rows.put(key.kind, clamped)

            await context.store.run(Unit(decide, some))


async def sweep_rows(context: Context) -> None:
    """Erase what is no longer needed."""
    now = context.clock()
    messages, breakers, secrets = tables.messages, tables.breakers, tables.secrets
    with_an_end = (tables.first_answers, tables.early_reports, tables.windows)
    statements: list[Update | Delete] = [
        update(messages)
        .where(messages.c.body.is_not(None), messages.c.valid_until <= now - BODY_KEPT_MS)
        .values(body=None),
        delete(breakers).where(breakers.c.probe_at <= now - BREAKER_FORGOTTEN_MS),
        *(delete(table).where(table.c.until <= now) for table in with_an_end),
        *(delete(table).where(table.c.expires_at <= now) for table in (tables.sign_in_links, tables.sessions)),
        delete(secrets).where(secrets.c.retired_at <= now - SECRETS_KEPT_MS),
    ]
    for statement in statements:
        await context.store.sweep(statement)


async def forget_refused_callbacks(context: Context, public_url: str | None) -> None:
    """Erase what services said of the callbacks to another public URL than this one."""
    notices = tables.notices.c
    await context.store.sweep(
        delete(tables.notices).where(notices.what == CALLBACKS_REFUSED, notices.detail != (public_url or ""))
    )
