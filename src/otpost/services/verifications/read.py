"""Verifications as they are read: one with its messages, and lists of them."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import not_, select

from otpost.domain.access import Actor
from otpost.domain.errors import VerificationNotFound
from otpost.domain.message import Message
from otpost.domain.phone import trusted
from otpost.domain.sid import VERIFICATION, is_sid
from otpost.domain.verification import Verification
from otpost.services.audit import REVEALED, record_act
from otpost.services.context import Context
from otpost.services.messages.read import MessageStory, read_stories
from otpost.services.messages.search import Search, select_wanted
from otpost.services.paging import Page, Tenancy, read_page, read_part
from otpost.services.verifications.check import UNKNOWN, Number
from otpost.store.base import list_rows, rows_of
from otpost.store.kinds import (
    MESSAGES,
    VERIFICATIONS,
)


async def search_verifications(
    context: Context, whose: Tenancy, search: Search, limit: int, cursor: str | None
) -> Page:
    """Verifications, newest first; one whose life is over is `expired` before that is written down."""
    alive = VERIFICATIONS.table.c.expires_at > context.clock()
    pending = select_wanted(VERIFICATIONS, whose, search._replace(status="pending"))
    if search.status == "pending":
        pending = replace(pending, tests=[*pending.tests, alive])
        return await read_page(context.store, pending, limit, cursor)
    chosen = select_wanted(VERIFICATIONS, whose, search)
    if search.status != "expired":
        return await read_page(context.store, chosen, limit, cursor)
    over = replace(pending, tests=[*pending.tests, not_(alive)])
    parts = [await read_part(context.store, each, limit + 1, cursor) for each in (chosen, over)]
    # Beyond the edge of either search there may be rows that were not found yet.
    edge = max((part.edge for part in parts if part.edge is not None), default=None)
    rows = [row for part in parts for row in part.rows if edge is None or row.sid >= edge]
    rows.sort(key=lambda row: row.sid, reverse=True)
    if len(rows) > limit:
        return Page(rows[:limit], rows[limit - 1].sid)
    return Page(rows, edge)


async def reveal_of_verification(context: Context, actor: Actor, verification_sid: str) -> str:
    """The recipient's number, after an audit line says who wanted to see it. Raises VerificationNotFound."""
    row, _ = await read_verification(context, Tenancy(actor.tenant), verification_sid)
    await context.store.run(record_act(context, actor, REVEALED, f"{trusted(row.to).masked} of {row.sid}"))
    return row.to


async def read_verification(
    context: Context, whose: Tenancy, verification_sid: str
) -> tuple[Verification, list[MessageStory]]:
    """A verification with its messages, oldest first; VerificationNotFound for another's."""
    known = is_sid(verification_sid, VERIFICATION)
    row = await context.store.get(VERIFICATIONS, verification_sid) if known else None
    if row is None or not whose.owns(row.tenant, row.application):
        raise VerificationNotFound(UNKNOWN)
    return row, await read_stories(context, await context.store.find(MESSAGES, "verification", verification_sid))


async def list_verifications(
    context: Context, whose: Tenancy, search: Search, *, limit: int, cursor: str | None
) -> tuple[Page, dict[str, Message]]:
    """Verifications, newest first, with the latest message of each by its SID."""
    page = await search_verifications(context, whose, search, limit, cursor)
    sids = [row.message for row in page.rows]
    latest = await list_rows(context.store, MESSAGES, sid=sids)
    return page, {message.sid: message for message in latest}


async def find_verification(context: Context, whose: Tenancy, which: str | Number) -> Verification | None:
    """A verification by its SID, or the newest one of a number, whatever became of it; None for another's."""
    if isinstance(which, Number):
        table = VERIFICATIONS.table.c
        own = select(VERIFICATIONS.table).where(
            table.tenant == whose.tenant, table.to == which.to, table.application == which.application
        )
        rows = await rows_of(context.store, VERIFICATIONS, own.order_by(table.sid.desc()).limit(1))
        row = next(iter(rows), None)
    else:
        row = await context.store.get(VERIFICATIONS, which)
    return row if row is not None and whose.owns(row.tenant, row.application) else None
