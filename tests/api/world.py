"""What tests of the API ask of an installation: a picture of its database, and a neighbour that it must not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from asgi import Answered
from installation import Installation, until
from otpost.domain.access import Tenant
from otpost.services.tenants.keys import NewKey
from otpost.services.tenants.tenants import make_tenant
from otpost.store import columns

MOVING = frozenset({"first_answers", "nodes"})
"""Tables that change by themselves, or by being asked."""

Picture = dict[str, list[tuple[Any, ...]]]


async def picture(otpost: Installation, *, without: frozenset[str] = MOVING) -> Picture:
    """Every row of every table."""
    found = {}
    for table in columns.metadata.sorted_tables:
        if table.name not in without:
            order = list(table.primary_key.columns)
            found[table.name] = await otpost.store.select(select(*table.columns).order_by(*order))
    return found


async def everything(otpost: Installation) -> str:
    """The whole database as text, to look for what must not be in it."""
    return repr(await picture(otpost, without=frozenset()))


async def quiet(otpost: Installation, key: NewKey | None = None) -> None:
    """Wait until no message is under way, so that nothing changes by itself."""

    async def look() -> list[Any]:
        return list((await otpost.ok("GET", "/v1/messages?limit=200", key=key))["items"])

    await until(look, lambda items: all(item["status"] not in ("queued", "sending") for item in items))


def told(answer: Answered) -> tuple[int, str, list[tuple[str, str]]]:
    """Status, code, and the fields with their codes."""
    body = answer.json()
    return answer.status, body["code"], [(error["field"], error["code"]) for error in body.get("errors", [])]


@dataclass
class Neighbour:
    """Another tenant of the same installation, with a row of every kind."""

    tenant: Tenant
    admin: NewKey
    application: str
    key: NewKey
    verification: dict[str, Any]
    message: str


async def neighbour(otpost: Installation, to: str = "+15005550003") -> Neighbour:
    tenant = await otpost.store.run(make_tenant(otpost.context, "neighbour"))
    admin = await otpost.key("admin", tenant=tenant.sid)
    await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "sandbox"}, key=admin)
    key = await otpost.key("verify", tenant.default_application, tenant=tenant.sid)
    verification = await otpost.ok("POST", "/v1/verifications", {"to": to}, key=key)
    await quiet(otpost, admin)
    return Neighbour(tenant, admin, tenant.default_application, key, verification, verification["message"]["sid"])
