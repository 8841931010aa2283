"""The queue: what waits in it and whose turn has come, what comes back, and which accounts hold it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from sqlalchemy import delete, exists, func, select, text, update

from otpost.domain.policy import Breaker
from otpost.services.context import Context, Standing
from otpost.store import tables
from otpost.store.base import list_rows
from otpost.store.kinds import BREAKERS

LONGEST_PAUSE_MS: Final = 600_000
"""However long an account asks to be left alone, one text asks it again by then."""

Waiting: TypeAlias = tuple[str, str, bool, int]
"""A lane, an application, whether its messages are plain ones, and how many wait."""

# Keep the literal 1: a parameter in its place keeps the partial index from being used, and the whole table is read.
_PUT_OFF = text("due_at IS NOT NULL AND put_off = 1")


async def count_waiting(context: Context) -> Sequence[Waiting]:
    """The messages that are due, counted; the order of the queue learns from them how far each application has come."""
    messages = tables.messages.c
    plain = messages.verification.is_(None)
    rows = await context.store.select(
        select(messages.lane, messages.application, plain, func.count(), func.min(messages.turn))
        .where(messages.due_at.is_not(None), messages.due_at <= context.clock(), messages.status == "queued")
        .group_by(messages.lane, messages.application, plain)
    )
    context.queue_order.keep(
        [Standing(lane, application, bool(is_plain), turn) for lane, application, is_plain, _, turn in rows]
    )
    return [(lane, application, bool(is_plain), count) for lane, application, is_plain, count, _ in rows]


async def bring_back(context: Context) -> int:
    """Messages that were put off until now are due; their count."""
    due = update(tables.messages).where(_PUT_OFF, tables.messages.c.due_at <= context.clock())
    return await context.store.sweep(due.values(put_off=0))


async def bring_back_lanes(context: Context, lanes: Sequence[str]) -> None:
    """Messages that were put off because the accounts of these lanes rested are due now."""
    messages, now = tables.messages.c, context.clock()
    await context.store.sweep(
        update(tables.messages)
        .where(_PUT_OFF, messages.lane.in_(lanes), messages.status == "queued")
        .values(due_at=now, put_off=0)
    )


async def list_breakers(context: Context) -> Sequence[Breaker]:
    """The accounts of all tenants that are left alone."""
    return await list_rows(context.store, BREAKERS)


async def forget_outdated_breakers(context: Context) -> list[str]:
    """Erase the breakers that opened under a policy that is no longer in force; their lanes."""
    breakers, policies = tables.breakers, tables.policies
    outdated = (policies.c.tenant == breakers.c.tenant) & (policies.c.revision != breakers.c.revision)
    lanes = [lane for (lane,) in await context.store.select(select(breakers.c.lane).where(outdated))]
    if lanes:
        await context.store.sweep(delete(breakers).where(breakers.c.lane.in_(lanes), exists().where(outdated)))
    return lanes


async def count_nodes(context: Context, silent_ms: int) -> int:
    """How many nodes have told within so long that they live."""
    alive = tables.nodes.c.beat_at > context.clock() - silent_ms
    ((count,),) = await context.store.select(select(func.count()).select_from(tables.nodes).where(alive))
    return int(count)
