"""What an application has seen of a number, and how an administrator lifts the lock that wrong codes led to."""

from __future__ import annotations

from otpost.domain.access import Actor, AuditLine
from otpost.domain.errors import NotFound
from otpost.domain.limits import NumberLimits
from otpost.domain.phone import trusted
from otpost.services.context import Context
from otpost.store.kinds import AUDIT, NUMBER_LIMITS
from otpost.store.units import Rows, Unit, lock_by


def unlock_number(context: Context, actor: Actor, to: str) -> Unit[int]:
    """Lift the lock of a number in all of the tenant's applications; the count of locks lifted.

    Raises NotFound where the number is not locked.
    """
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> int:
        locked = [row for row in rows.find(NUMBER_LIMITS, "number", actor.tenant, to) if row.locked_at is not None]
        if not locked:
            raise NotFound("This number is not locked.")
        for row in locked:
            rows.put(NUMBER_LIMITS, row.unlocked())
        rows.put(
            AUDIT, AuditLine(line, actor.tenant, now, actor.name, "number unlocked", trusted(to).masked, actor.client)
        )
        return len(locked)

    return Unit(decide, [lock_by(NUMBER_LIMITS, "number", actor.tenant, to)])


def limits_of(rows: Rows, tenant: str, application: str, to: str) -> NumberLimits:
    return rows.get(NUMBER_LIMITS, application, to) or NumberLimits(application, to, tenant, until=0)
