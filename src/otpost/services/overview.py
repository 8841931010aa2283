"""What the first page shows: the last day in counts, and what is not set up yet."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, select

from otpost.services.context import Context
from otpost.services.paging import earliest_sid
from otpost.store.kinds import (
    API_KEYS,
    MESSAGES,
    VERIFICATIONS,
)


class Day(NamedTuple):
    """The last 24 hours in counts.

    `conversion` is approved ÷ started of those whose lifetime is over: one that is approved early would count before
    those that began with it and never will be.
    """

    started: int
    approved: int
    open: int
    over: int
    approved_of_over: int
    messages: dict[str, int]

    @property
    def conversion(self) -> float | None:
        return self.approved_of_over / self.over if self.over else None


class SetUp(NamedTuple):
    """What is set up, for the first page to say what is not."""

    keys: int
    ever_verified: bool


DAY_MS = 86_400_000


async def count_day(context: Context, tenant: str) -> Day:
    now = context.clock()
    since = now - DAY_MS
    own = VERIFICATIONS.table.c
    is_open = and_(own.status == "pending", own.expires_at > now)
    is_over = own.expires_at <= now
    counts: Any = select(
        func.count(),
        func.count(case((own.status == "approved", 1))),
        func.count(case((is_open, 1))),
        func.count(case((is_over, 1))),
        func.count(case((and_(is_over, own.status == "approved"), 1))),
    ).where(own.tenant == tenant, own.sid >= earliest_sid("VE", since), own.created_at >= since)
    counted = await context.store.select(counts)
    of = MESSAGES.table.c
    by_status = await context.store.select(
        select(of.status, func.count())
        .where(of.tenant == tenant, of.sid >= earliest_sid("SM", since), of.created_at >= since)
        .group_by(of.status)
    )
    started, approved, still_open, over, approved_of_over = counted[0]
    return Day(started, approved, still_open, over, approved_of_over, dict(by_status))


async def read_set_up(context: Context, tenant: str) -> SetUp:
    keys = API_KEYS.table.c
    counted = await context.store.select(
        select(func.count()).select_from(API_KEYS.table).where(keys.tenant == tenant, keys.revoked_at.is_(None))
    )
    of = VERIFICATIONS.table.c
    any_verification = await context.store.select(select(of.sid).where(of.tenant == tenant).limit(1))
    return SetUp(counted[0][0], bool(any_verification))
