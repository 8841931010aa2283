"""Numbers that limits against pumping do not hold back; those against guessing do."""

from __future__ import annotations

from otpost.domain import sid
from otpost.domain.access import Actor
from otpost.domain.errors import NotFound, invalid
from otpost.domain.limits import SafeNumber
from otpost.domain.phone import PhoneNumber
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.store.kinds import SAFE_NUMBERS
from otpost.store.units import Rows, Unit, lock

NOT_SAFE = "This number is not on the safe list."


def is_safe(rows: Rows, tenant: str, to: str) -> bool:
    """Whether the number is on the tenant's list. Ask only where a limit would refuse: it reads one more row."""
    return rows.look(SAFE_NUMBERS, tenant, to) is not None


async def read_safe_number(context: Context, tenant: str, to: PhoneNumber) -> SafeNumber:
    row = await context.store.get(SAFE_NUMBERS, tenant, to.e164)
    if row is None:
        raise NotFound(NOT_SAFE)
    return row


def add_safe_number(context: Context, actor: Actor, to: PhoneNumber) -> Unit[SafeNumber]:
    """Invalid where the number is on the list already."""
    now, line = context.clock(), context.ids("AU")
    made = SafeNumber(context.ids(sid.SAFE_NUMBER), actor.tenant, to.e164, now)

    def decide(rows: Rows) -> SafeNumber:
        if rows.get(SAFE_NUMBERS, actor.tenant, to.e164) is not None:
            raise invalid("PhoneNumber", "safe_already", "This number is on the safe list already.")
        rows.put(SAFE_NUMBERS, made)
        add_line(context, rows, line, now, actor, "safe number added", to.masked)
        return made

    return Unit(decide, [lock(SAFE_NUMBERS, actor.tenant, to.e164)])


def remove_safe_number(context: Context, actor: Actor, to: PhoneNumber) -> Unit[None]:
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        if rows.get(SAFE_NUMBERS, actor.tenant, to.e164) is None:
            raise NotFound(NOT_SAFE)
        rows.delete(SAFE_NUMBERS, actor.tenant, to.e164)
        add_line(context, rows, line, now, actor, "safe number removed", to.masked)

    return Unit(decide, [lock(SAFE_NUMBERS, actor.tenant, to.e164)])
