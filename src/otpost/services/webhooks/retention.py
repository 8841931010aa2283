"""What of webhooks is kept for a time only: deliveries that ended, and secrets that were replaced."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete

from otpost.domain.webhook import KEPT_MS
from otpost.services.context import Context
from otpost.store.kinds import WEBHOOK_DELIVERIES, WEBHOOKS
from otpost.store.units import Query, Rows, Unit

FORGOTTEN_AT_ONCE: Final = 500


def forget_old_secrets(context: Context) -> Unit[int]:
    """Erase the secrets that were replaced more than a day ago; the count of webhooks that had some."""
    now = context.clock()
    query = Query(WEBHOOKS, "old_until <= :now LIMIT :many", now=now, many=FORGOTTEN_AT_ONCE)

    def decide(rows: Rows) -> int:
        found = rows.found(query)
        for webhook in found:
            rows.put(WEBHOOKS, webhook.without_old(now))
        return len(found)

    return Unit(decide, query=query)


async def sweep_webhooks(context: Context) -> None:
    """Erase deliveries that ended more than 30 days ago, and secrets that no longer sign."""
    ended = WEBHOOK_DELIVERIES.table.c.finished_at
    await context.store.sweep(delete(WEBHOOK_DELIVERIES.table).where(ended <= context.clock() - KEPT_MS))
    await context.store.run(forget_old_secrets(context))
