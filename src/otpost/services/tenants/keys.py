"""The list of a tenant's keys, and when each was last used, which is kept beside the calls and not in them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from otpost.domain.access import ApiKey, Scope
from otpost.services.house import House
from otpost.services.lists import paging
from otpost.services.lists.paging import Page, Wanted
from otpost.store.kinds import API_KEYS
from otpost.store.units import Rows, Unit, lock

MINUTE_MS = 60_000


async def listing(
    house: House,
    tenant: str,
    *,
    scope: Scope | None = None,
    application: str | None = None,
    limit: int,
    cursor: str | None,
) -> Page:
    """Keys (ApiKey) of the tenant, newest first, revoked ones too; of their secrets nothing."""
    own = API_KEYS.table.c
    tests = [own.scope == scope] if scope is not None else []
    if application is not None:
        tests.append(own.application == application)
    page = await paging.page(house.store, Wanted(API_KEYS, [own.tenant == tenant], tests), limit, cursor)
    return page._replace(rows=[_as_used(row, house.uses.get(row.sid)) for row in page.rows])


def line(row: ApiKey, now: int) -> str:
    """A key as one line of a terminal."""
    state = "revoked" if row.revoked_at is not None else "in force" if row.is_in_force(now) else "expired"
    used = "never" if row.last_used_at is None else _day(row.last_used_at)
    whose = f"{row.scope} {row.application or ''}".strip()
    made = f"made {_day(row.created_at)} by {row.created_by}"
    return f"{row.sid}  {state:<8}  {whose:<41}  {made}  used {used}  {row.name}".rstrip()


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")


async def keep_uses(house: House) -> None:
    """Write down the uses of this process that the database does not know, a minute of each key once."""
    seen = dict(house.uses)
    if seen:
        await house.store.run(_used(seen))
        for key_sid, at in seen.items():
            if house.uses.get(key_sid) == at:
                del house.uses[key_sid]


def _used(seen: dict[str, int]) -> Unit[None]:
    def decide(rows: Rows) -> None:
        for key_sid, at in seen.items():
            row = rows.get(API_KEYS, key_sid)
            if row is not None and (changed := _as_used(row, at)) is not row:
                rows.put(API_KEYS, changed)

    return Unit(decide, [lock(API_KEYS, key_sid) for key_sid in seen])


def _as_used(row: ApiKey, at: int | None) -> ApiKey:
    minute = -1 if at is None else at - at % MINUTE_MS
    return row if minute <= (row.last_used_at or -1) else msgspec.structs.replace(row, last_used_at=minute)
