"""API keys: made, revoked, listed, and proven."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

import msgspec

from otpost.domain import sid
from otpost.domain.access import Actor, ApiKey, Scope, Tenant
from otpost.domain.errors import NotFound, Unauthenticated
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.paging import Page, Wanted, read_page
from otpost.services.tenants.applications import NO_APPLICATION
from otpost.store.kinds import (
    API_KEYS,
    APPLICATIONS,
    TENANTS,
)
from otpost.store.units import Rows, Unit, lock, look

SECRET_BYTES = 24
NO_KEY = "There is no such key in force."
ClientAddress = Callable[[], str]


def no_address() -> str:
    """The address of a call that comes over no network."""
    return ""


class Principal(msgspec.Struct, frozen=True):
    """Who calls the API: a key, its tenant, and what tells from which address, which hardly one call asks."""

    key: ApiKey
    tenant: Tenant
    client: ClientAddress

    @property
    def application(self) -> str:
        """The one that it acts for where the call names none."""
        return self.key.application or self.tenant.default_application

    @property
    def actor(self) -> Actor:
        return Actor(self.tenant.sid, "key", self.key.sid, f"key {self.key.name or self.key.sid}", self.client())


class NewKey(msgspec.Struct, frozen=True):
    """A new key with its secret, which is shown this once."""

    key: ApiKey
    secret: str


KeyUses: TypeAlias = dict[str, int]
"""When each key was last used in this process, by its SID, as far as the database does not know it yet."""


async def prove_key(
    context: Context, uses: KeyUses, key_sid: str, secret: str, client: ClientAddress = no_address
) -> Principal:
    """Prove a key by its secret; Unauthenticated whatever is wrong with it. `client` tells the address that calls."""
    known = sid.is_sid(key_sid, sid.KEY)
    key = await context.store.get(API_KEYS, key_sid) if known else None
    given = hashlib.sha256(secret.encode()).hexdigest()
    if key is None or not hmac.compare_digest(given, key.secret_sha256):
        why = "the key is unknown" if key is None else "the secret is wrong"
        raise _not_proven(key_sid if known else "", why, client)
    now = context.clock()
    if not key.is_in_force(now):
        raise _not_proven(
            key.sid, "the key is revoked" if key.revoked_at is not None else "the key has expired", client
        )
    tenant = await context.store.get(TENANTS, key.tenant)
    if tenant is None:
        raise _not_proven(key.sid, "its tenant is gone", client)
    uses[key.sid] = now
    return Principal(key, tenant, client)


_log = logging.getLogger(__name__)


def _not_proven(name: str, why: str, client: ClientAddress) -> Unauthenticated:
    """The refusal, which does not say why; the log does."""
    _log.warning("a key was refused: %s (%s, from %s)", why, name or "no key", client() or "here")
    return Unauthenticated()


A = TypeVar("A")


def while_key_holds(context: Context, unit: Unit[A], key_sid: str) -> Unit[A]:
    """The unit, if the key is still in force when it is decided; Unauthenticated otherwise."""
    now = context.clock()

    def decide(rows: Rows) -> A:
        key = rows.look(API_KEYS, key_sid)
        if key is None or not key.is_in_force(now):
            raise Unauthenticated
        return unit.decide(rows)

    return Unit(decide, [look(API_KEYS, key_sid), *unit.needs], unit.query)


def make_key(context: Context, actor: Actor, scope: Scope, application: str | None, name: str) -> Unit[NewKey]:
    """A new key. Scope `verify` needs an application of the tenant, scope `admin` has none."""
    if application is not None and not sid.is_sid(application, sid.APPLICATION):
        raise NotFound(NO_APPLICATION)
    now, line = context.clock(), context.ids("AU")
    secret = context.secret_text(SECRET_BYTES)
    key = ApiKey(
        context.ids(sid.KEY),
        actor.tenant,
        scope,
        application,
        name,
        hashlib.sha256(secret.encode()).hexdigest(),
        now,
        actor.name,
    )

    def decide(rows: Rows) -> NewKey:
        if application is not None:
            owner = rows.look(APPLICATIONS, application)
            if owner is None or not owner.belongs_to(actor.tenant):
                raise NotFound(NO_APPLICATION)
        rows.put(API_KEYS, key)
        add_line(context, rows, line, now, actor, "key made", f"{key.sid} {scope} {name}".strip())
        return NewKey(key, secret)

    return Unit(decide, [look(APPLICATIONS, application)] if application else [])


def revoke_key(context: Context, actor: Actor, key_sid: str, application: str | None = None) -> Unit[ApiKey]:
    """End a key of the tenant, or of one `application`, at once. Raises NotFound, for a revoked one as well."""
    if not sid.is_sid(key_sid, sid.KEY):
        raise NotFound(NO_KEY)
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> ApiKey:
        key = rows.get(API_KEYS, key_sid)
        if key is None or key.tenant != actor.tenant or key.revoked_at is not None:
            raise NotFound(NO_KEY)
        if application is not None and key.application != application:
            raise NotFound(NO_KEY)
        revoked = msgspec.structs.replace(key, revoked_at=now)
        rows.put(API_KEYS, revoked)
        add_line(context, rows, line, now, actor, "key revoked", f"{key_sid} {key.name}".strip())
        return revoked

    return Unit(decide, [lock(API_KEYS, key_sid)])


MINUTE_MS = 60_000


async def list_keys(
    context: Context,
    uses: KeyUses,
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
    page = await read_page(context.store, Wanted(API_KEYS, [own.tenant == tenant], tests), limit, cursor)
    return page._replace(rows=[_as_used(row, uses.get(row.sid)) for row in page.rows])


def describe_key(row: ApiKey, now: int) -> str:
    """A key as one line of a terminal."""
    state = "revoked" if row.revoked_at is not None else "in force" if row.is_in_force(now) else "expired"
    used = "never" if row.last_used_at is None else _day(row.last_used_at)
    whose = f"{row.scope} {row.application or ''}".strip()
    made = f"made {_day(row.created_at)} by {row.created_by}"
    return f"{row.sid}  {state:<8}  {whose:<41}  {made}  used {used}  {row.name}".rstrip()


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")


async def keep_key_uses(context: Context, uses: KeyUses) -> None:
    """Write down the uses of this process that the database does not know, a minute of each key once."""
    seen = dict(uses)
    if seen:
        await context.store.run(_used(seen))
        for key_sid, at in seen.items():
            if uses.get(key_sid) == at:
                del uses[key_sid]


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
