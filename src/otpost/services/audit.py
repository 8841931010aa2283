"""The audit trail: who did what, written in the unit of work that does it."""

from __future__ import annotations

from otpost.domain.access import Actor, AuditLine
from otpost.services.context import Context
from otpost.services.paging import Page, Wanted, read_page
from otpost.store.kinds import (
    AUDIT,
)
from otpost.store.units import Rows, Unit


def add_line(context: Context, rows: Rows, line_sid: str, now: int, actor: Actor, what: str, detail: str = "") -> None:
    """Write an audit line with the unit's other changes."""
    rows.put(AUDIT, AuditLine(line_sid, actor.tenant, now, actor.name, what, detail, actor.client))


def record_act(context: Context, actor: Actor, what: str, detail: str = "") -> Unit[None]:
    """Write an audit line by itself."""
    now, line = context.clock(), context.ids("AU")
    return Unit(lambda rows: add_line(context, rows, line, now, actor, what, detail))


def command_line_actor(tenant: str) -> Actor:
    """The operator at the command line."""
    return Actor(tenant, "command", "", "command line")


REVEALED = "number revealed"


async def list_lines(context: Context, tenant: str, *, limit: int, cursor: str | None) -> Page:
    """Audit lines, newest first."""
    return await read_page(context.store, Wanted(AUDIT, [AUDIT.table.c.tenant == tenant]), limit, cursor)
