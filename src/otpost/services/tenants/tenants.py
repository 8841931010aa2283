"""Tenants: their making, their auth tokens, and what a new installation needs."""

from __future__ import annotations

import hmac

import msgspec

from otpost.domain import sid
from otpost.domain.access import Actor, ApiKey, KeyCheck, Tenant
from otpost.domain.application import DEFAULT_NAME, Application
from otpost.domain.errors import NotFound, invalid
from otpost.domain.secret import Secret
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.tenants.keys import ClientAddress, Principal, _not_proven, no_address
from otpost.store.kinds import (
    APPLICATIONS,
    KEY_CHECKS,
    TENANTS,
)
from otpost.store.units import Rows, Unit, lock, lock_by

DEFAULT_TENANT = "default"
TOKEN_BYTES = 16
SEAL = "auth-tokens"
FORMER_TOKEN_MS = 24 * 3_600_000


class NewAuthToken(msgspec.Struct, frozen=True):
    """A tenant with its new auth token, which is shown this once."""

    tenant: Tenant
    token: str


async def prove_auth_token(
    context: Context, tenant_sid: str, token: str, client: ClientAddress = no_address
) -> Principal:
    """Prove a tenant by its auth token, or by the one before while it is good; Unauthenticated otherwise.

    Whoever has it may do what an `admin` key may.
    """
    tenant = await context.store.get(TENANTS, tenant_sid) if sid.is_sid(tenant_sid, sid.TENANT) else None
    right = False
    for known in auth_tokens(context, tenant) if tenant is not None else ():
        right |= hmac.compare_digest(known.reveal().encode(), token.encode())
    if tenant is None or not right:
        raise _not_proven(tenant.sid if tenant else "", "the auth token is wrong", client)
    own = ApiKey(tenant.sid, tenant.sid, "admin", None, "auth token", "", tenant.created_at)
    return Principal(own, tenant, client)


def auth_tokens(context: Context, tenant: Tenant) -> list[Secret]:
    """The auth tokens that are good now, the one that signs callbacks first; empty while none was made."""
    sealed = [tenant.auth_token]
    if tenant.former_until is not None and context.clock() < tenant.former_until:
        sealed.append(tenant.former_token)
    return [context.keyring.open(SEAL, token, tenant.sid) for token in sealed if token is not None]


def renew_auth_token(context: Context, actor: Actor) -> Unit[NewAuthToken]:
    """A new auth token for the actor's tenant, shown this once; the one before is good for another 24 hours."""
    now, line = context.clock(), context.ids("AU")
    token = context.random.randbytes(TOKEN_BYTES).hex()
    sealed = context.keyring.seal(SEAL, token, actor.tenant)

    def decide(rows: Rows) -> NewAuthToken:
        tenant = rows.get(TENANTS, actor.tenant)
        if tenant is None:
            raise NotFound("There is no such tenant.")
        changed = msgspec.structs.replace(
            tenant,
            auth_token=sealed,
            auth_token_at=now,
            former_token=tenant.auth_token,
            former_until=None if tenant.auth_token is None else now + FORMER_TOKEN_MS,
        )
        rows.put(TENANTS, changed)
        add_line(context, rows, line, now, actor, "auth token made")
        return NewAuthToken(changed, token)

    return Unit(decide, [lock(TENANTS, actor.tenant)])


def make_default_tenant(context: Context) -> Unit[Tenant]:
    """A new installation's tenant with its application; what is there already is left alone."""
    return _tenant(context, DEFAULT_TENANT, anew=False)


def make_tenant(context: Context, name: str) -> Unit[Tenant]:
    """A further tenant; Invalid if the name is taken."""
    return _tenant(context, name, anew=True)


def _tenant(context: Context, name: str, *, anew: bool) -> Unit[Tenant]:
    now, tenant_sid, application_sid = context.clock(), context.ids(sid.TENANT), context.ids(sid.APPLICATION)

    def decide(rows: Rows) -> Tenant:
        there = rows.find(TENANTS, "name", name)
        if there and anew:
            raise invalid("name", "duplicate", f"There is a tenant named {name!r} already.")
        if there:
            return there[0]
        tenant = Tenant(tenant_sid, name, now, application_sid)
        rows.put(TENANTS, tenant)
        rows.put(APPLICATIONS, Application(application_sid, tenant_sid, DEFAULT_NAME, now, now))
        return tenant

    return Unit(decide, [lock_by(TENANTS, "name", name)])


def keep_key_checks(context: Context) -> Unit[None]:
    """Remember the check values of keys that the database does not know yet."""
    now, values = context.clock(), context.keyring.check_values()

    def decide(rows: Rows) -> None:
        for key_id, value in values.items():
            if rows.get(KEY_CHECKS, key_id) is None:
                rows.put(KEY_CHECKS, KeyCheck(key_id, value, now))

    return Unit(decide, [lock(KEY_CHECKS, key_id) for key_id in values])
