"""The Saves of a sender policy as they are read, page by page."""

from __future__ import annotations

from sqlalchemy import select

from otpost.domain.errors import invalid
from otpost.services.context import Context
from otpost.services.paging import Page
from otpost.store.base import rows_of
from otpost.store.kinds import REVISIONS


async def list_revisions(context: Context, tenant: str, *, limit: int, cursor: str | None) -> Page:
    """The Saves (Revision), newest first; the cursor is the number of the last one seen, Invalid if it is none."""
    table = REVISIONS.table.c
    statement = select(REVISIONS.table).where(table.tenant == tenant).order_by(table.number.desc()).limit(limit + 1)
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 9):
            raise invalid("cursor", "invalid", "Use the `next` of the page before as cursor.")
        statement = statement.where(table.number < int(cursor))
    rows = list(await rows_of(context.store, REVISIONS, statement))
    return Page(rows[:limit], str(rows[limit - 1].number) if len(rows) > limit else None)
