"""What waits in the queue: how much for each account and application, and whose turn has come."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from otpost.messaging.pace import Waiting
from otpost.services.context import Context, Standing
from otpost.store import tables


async def counted(context: Context) -> Sequence[Waiting]:
    """The messages that are due, counted; the house learns from them how far each account has come."""
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
