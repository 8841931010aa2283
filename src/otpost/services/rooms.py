"""What the console's rooms show beyond the API's lists: the day's counts, audit lines, revealed numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import and_, case, delete, func, select

from otpost.domain.access import Actor
from otpost.domain.phone import trusted
from otpost.domain.sid import ATTEMPT, MESSAGE, is_sid
from otpost.senders.base import found
from otpost.services import access, reading
from otpost.services.house import House
from otpost.services.lists import paging
from otpost.services.lists.paging import Page, Wanted, earliest
from otpost.services.verify import Whose
from otpost.store.kinds import (
    API_KEYS,
    APPLICATIONS,
    ATTEMPTS,
    AUDIT,
    MESSAGES,
    POLICIES,
    SANDBOX_TEXTS,
    VERIFICATIONS,
)

DAY_MS = 86_400_000
REVEALED = "number revealed"


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

    sender_service: str | None
    ready: bool
    keys: int
    ever_verified: bool


async def day(house: House, tenant: str) -> Day:
    now = house.clock()
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
    ).where(own.tenant == tenant, own.sid >= earliest("VE", since), own.created_at >= since)
    counted = await house.store.select(counts)
    of = MESSAGES.table.c
    by_status = await house.store.select(
        select(of.status, func.count())
        .where(of.tenant == tenant, of.sid >= earliest("SM", since), of.created_at >= since)
        .group_by(of.status)
    )
    started, approved, still_open, over, approved_of_over = counted[0]
    return Day(started, approved, still_open, over, approved_of_over, dict(by_status))


async def set_up(house: House, tenant: str) -> SetUp:
    policy = await house.store.get(POLICIES, tenant)
    keys = API_KEYS.table.c
    counted = await house.store.select(
        select(func.count()).select_from(API_KEYS.table).where(keys.tenant == tenant, keys.revoked_at.is_(None))
    )
    of = VERIFICATIONS.table.c
    any_verification = await house.store.select(select(of.sid).where(of.tenant == tenant).limit(1))
    return SetUp(
        policy.sender_service if policy else None,
        policy is not None and policy.sender_service is not None and not policy.incomplete,
        counted[0][0],
        bool(any_verification),
    )


async def names(house: House, tenant: str) -> dict[str, str]:
    """The applications' names by SID."""
    own = APPLICATIONS.table.c
    rows = await house.store.select(select(own.sid, own.name).where(own.tenant == tenant))
    return dict(rows)


async def audit(house: House, tenant: str, *, limit: int, cursor: str | None) -> Page:
    """Audit lines, newest first."""
    return await paging.page(house.store, Wanted(AUDIT, [AUDIT.table.c.tenant == tenant]), limit, cursor)


async def reveal_of_verification(house: House, actor: Actor, verification_sid: str) -> str:
    """The recipient's number, after an audit line says who wanted to see it. Raises VerificationNotFound."""
    row, _ = await reading.verification(house, Whose(actor.tenant), verification_sid)
    await house.store.run(access.note(house, actor, REVEALED, f"{trusted(row.to).masked} of {row.sid}"))
    return row.to


async def reveal_of_message(house: House, actor: Actor, message_sid: str) -> str:
    """The same of a message. Raises NotFound."""
    story = await reading.message(house, Whose(actor.tenant), message_sid)
    detail = f"{trusted(story.message.to).masked} of {story.message.sid}"
    await house.store.run(access.note(house, actor, REVEALED, detail))
    return story.message.to


async def message_named(house: House, tenant: str, text: str) -> str | None:
    """The message that a SID names: its own, an attempt's, or the vendor's SID or request id of an attempt."""
    if is_sid(text, MESSAGE):
        own = await house.store.get(MESSAGES, text)
        if own is not None and own.tenant == tenant:
            return own.sid
    if is_sid(text, ATTEMPT):
        attempt = await house.store.get(ATTEMPTS, text)
        return attempt.message if attempt is not None and attempt.tenant == tenant else None
    of = ATTEMPTS.table.c
    # The service stands first in the index of vendors' SIDs.
    for named in (and_(of.service.in_(list(found())), of.vendor_sid == text), of.vendor_request_id == text):
        rows = await house.store.select(select(of.message).where(of.tenant == tenant, named).limit(1))
        if rows:
            return str(rows[0][0])
    return None


async def empty_sandbox(house: House, tenant: str) -> None:
    """Take all texts off the sandbox phone. Raises NotFound unless the sandbox is the chosen service."""
    await reading.sandbox_chosen(house, tenant)
    texts = SANDBOX_TEXTS.table
    await house.store.sweep(delete(texts).where(texts.c.tenant == tenant))
