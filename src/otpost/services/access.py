"""Tenants, applications, keys and users: who there is, and what each may do."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from typing import TypeVar

import msgspec

from otpost.domain import sid
from otpost.domain.access import Actor, ApiKey, AuditLine, KeyCheck, Scope, SignInLink, Tenant, User
from otpost.domain.application import DEFAULT_NAME, Application, Features, Rules
from otpost.domain.errors import NotFound, Unauthenticated, invalid
from otpost.domain.secret import Secret
from otpost.services.house import House
from otpost.store.kinds import (
    API_KEYS,
    APPLICATIONS,
    AUDIT,
    KEY_CHECKS,
    SIGN_IN_LINKS,
    TENANTS,
    USERS,
)
from otpost.store.units import Rows, Unit, lock, lock_by, look

_log = logging.getLogger(__name__)

A = TypeVar("A")

DEFAULT_TENANT = "default"
LINK_LIFE_MS = 3_600_000
SECRET_BYTES = 24
TOKEN_BYTES = 16
SEAL = "auth-tokens"
FORMER_TOKEN_MS = 24 * 3_600_000

NO_APPLICATION = "There is no such application."
NO_KEY = "There is no such key in force."

Judge = Callable[[Application], None]
Client = Callable[[], str]


def nowhere() -> str:
    """The address of a call that comes over no network."""
    return ""


class Principal(msgspec.Struct, frozen=True):
    """Who calls the API: a key, its tenant, and what tells from which address, which hardly one call asks."""

    key: ApiKey
    tenant: Tenant
    client: Client

    @property
    def application(self) -> str:
        """The one that it acts for where the call names none."""
        return self.key.application or self.tenant.default_application

    @property
    def actor(self) -> Actor:
        return Actor(self.tenant.sid, "key", self.key.sid, f"key {self.key.name or self.key.sid}", self.client())


class MadeKey(msgspec.Struct, frozen=True):
    """A new key with its secret, which is shown this once."""

    key: ApiKey
    secret: str


class MadeToken(msgspec.Struct, frozen=True):
    """A tenant with its new auth token, which is shown this once."""

    tenant: Tenant
    token: str


class MadeLink(msgspec.Struct, frozen=True):
    """A new one-time link's token, which is shown this once."""

    token: str
    expires_at: int


async def authenticate(house: House, key_sid: str, secret: str, client: Client = nowhere) -> Principal:
    """Prove a key by its secret; Unauthenticated whatever is wrong with it. `client` tells the address that calls."""
    known = sid.is_sid(key_sid, sid.KEY)
    key = await house.store.get(API_KEYS, key_sid) if known else None
    given = hashlib.sha256(secret.encode()).hexdigest()
    if key is None or not hmac.compare_digest(given, key.secret_sha256):
        why = "the key is unknown" if key is None else "the secret is wrong"
        raise _not_proven(key_sid if known else "", why, client)
    now = house.clock()
    if not key.is_in_force(now):
        raise _not_proven(
            key.sid, "the key is revoked" if key.revoked_at is not None else "the key has expired", client
        )
    tenant = await house.store.get(TENANTS, key.tenant)
    if tenant is None:
        raise _not_proven(key.sid, "its tenant is gone", client)
    house.uses[key.sid] = now
    return Principal(key, tenant, client)


def _not_proven(name: str, why: str, client: Client) -> Unauthenticated:
    """The refusal, which does not say why; the log does."""
    _log.warning("a key was refused: %s (%s, from %s)", why, name or "no key", client() or "here")
    return Unauthenticated()


async def authenticate_tenant(house: House, tenant_sid: str, token: str, client: Client = nowhere) -> Principal:
    """Prove a tenant by its auth token, or by the one before while it is good; Unauthenticated otherwise.

    Whoever has it may do what an `admin` key may.
    """
    tenant = await house.store.get(TENANTS, tenant_sid) if sid.is_sid(tenant_sid, sid.TENANT) else None
    right = False
    for known in auth_tokens(house, tenant) if tenant is not None else ():
        right |= hmac.compare_digest(known.reveal().encode(), token.encode())
    if tenant is None or not right:
        raise _not_proven(tenant.sid if tenant else "", "the auth token is wrong", client)
    own = ApiKey(tenant.sid, tenant.sid, "admin", None, "auth token", "", tenant.created_at)
    return Principal(own, tenant, client)


def auth_tokens(house: House, tenant: Tenant) -> list[Secret]:
    """The auth tokens that are good now, the one that signs callbacks first; empty while none was made."""
    sealed = [tenant.auth_token]
    if tenant.former_until is not None and house.clock() < tenant.former_until:
        sealed.append(tenant.former_token)
    return [house.ring.open(SEAL, token, tenant.sid) for token in sealed if token is not None]


def renew_auth_token(house: House, actor: Actor) -> Unit[MadeToken]:
    """A new auth token for the actor's tenant, shown this once; the one before is good for another 24 hours."""
    now, line = house.clock(), house.sid("AU")
    token = secrets.token_hex(TOKEN_BYTES)
    sealed = house.ring.seal(SEAL, token, actor.tenant)

    def decide(rows: Rows) -> MadeToken:
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
        audited(house, rows, line, now, actor, "auth token made")
        return MadeToken(changed, token)

    return Unit(decide, [lock(TENANTS, actor.tenant)])


def held(house: House, unit: Unit[A], key_sid: str) -> Unit[A]:
    """The unit, if the key is still in force when it is decided; Unauthenticated otherwise."""
    now = house.clock()

    def decide(rows: Rows) -> A:
        key = rows.look(API_KEYS, key_sid)
        if key is None or not key.is_in_force(now):
            raise Unauthenticated
        return unit.decide(rows)

    return Unit(decide, [look(API_KEYS, key_sid), *unit.needs], unit.query)


def audited(house: House, rows: Rows, line_sid: str, now: int, actor: Actor, what: str, detail: str = "") -> None:
    """Write an audit line with the unit's other changes."""
    rows.put(AUDIT, AuditLine(line_sid, actor.tenant, now, actor.name, what, detail, actor.client))


def note(house: House, actor: Actor, what: str, detail: str = "") -> Unit[None]:
    """Write an audit line by itself."""
    now, line = house.clock(), house.sid("AU")
    return Unit(lambda rows: audited(house, rows, line, now, actor, what, detail))


def prepare(house: House) -> Unit[Tenant]:
    """A new installation's tenant with its application; what is there already is left alone."""
    return _tenant(house, DEFAULT_TENANT, anew=False)


def make_tenant(house: House, name: str) -> Unit[Tenant]:
    """A further tenant; Invalid if the name is taken."""
    return _tenant(house, name, anew=True)


def _tenant(house: House, name: str, *, anew: bool) -> Unit[Tenant]:
    now, tenant_sid, application_sid = house.clock(), house.sid(sid.TENANT), house.sid(sid.APPLICATION)

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


def keep_key_checks(house: House) -> Unit[None]:
    """Remember the check values of keys that the database does not know yet."""
    now, values = house.clock(), house.ring.check_values()

    def decide(rows: Rows) -> None:
        for key_id, value in values.items():
            if rows.get(KEY_CHECKS, key_id) is None:
                rows.put(KEY_CHECKS, KeyCheck(key_id, value, now))

    return Unit(decide, [lock(KEY_CHECKS, key_id) for key_id in values])


def make_application(
    house: House, actor: Actor, name: str, rules: Rules, features: Features | None = None
) -> Unit[Application]:
    now, application_sid, line = house.clock(), house.sid(sid.APPLICATION), house.sid("AU")

    def decide(rows: Rows) -> Application:
        application = Application(application_sid, actor.tenant, name, now, now, rules, features or Features())
        rows.put(APPLICATIONS, application)
        audited(house, rows, line, now, actor, "application made", f"{application_sid} {name}")
        return application

    return Unit(decide)


def change_application(
    house: House,
    actor: Actor,
    application_sid: str,
    name: str | None,
    rules: dict[str, object],
    judge: Judge,
    features: dict[str, object] | None = None,
) -> Unit[Application]:
    """Change some of an application's rules; `judge` raises Invalid for what it then would be."""
    if not sid.is_sid(application_sid, sid.APPLICATION):
        raise NotFound(NO_APPLICATION)
    now, line = house.clock(), house.sid("AU")

    def decide(rows: Rows) -> Application:
        application = rows.get(APPLICATIONS, application_sid)
        if application is None or not application.belongs_to(actor.tenant):
            raise NotFound(NO_APPLICATION)
        changed = msgspec.structs.replace(
            application,
            name=name if name is not None else application.name,
            rules=msgspec.structs.replace(application.rules, **rules),
            features=msgspec.structs.replace(application.features, **(features or {})),
            updated_at=now,
        )
        judge(changed)
        rows.put(APPLICATIONS, changed)
        what = ", ".join([*(["name"] if name is not None else []), *rules, *(features or {})])
        audited(house, rows, line, now, actor, "application changed", f"{application_sid}: {what}")
        return changed

    return Unit(decide, [lock(APPLICATIONS, application_sid)])


def delete_application(house: House, actor: Actor, application_sid: str) -> Unit[None]:
    """End an application and its keys at once; what it did before stays readable.

    Raises NotFound, or Invalid for the application that calls without one act for.
    """
    if not sid.is_sid(application_sid, sid.APPLICATION):
        raise NotFound(NO_APPLICATION)
    now, line = house.clock(), house.sid("AU")

    def decide(rows: Rows) -> None:
        application, tenant = rows.get(APPLICATIONS, application_sid), rows.look(TENANTS, actor.tenant)
        if application is None or not application.belongs_to(actor.tenant):
            raise NotFound(NO_APPLICATION)
        if tenant is not None and tenant.default_application == application_sid:
            raise invalid("Sid", "invalid", f"{application.name} is the application of calls that name none; keep it.")
        rows.put(APPLICATIONS, msgspec.structs.replace(application, deleted_at=now, updated_at=now))
        for key in rows.find(API_KEYS, "application", actor.tenant, application_sid):
            if key.revoked_at is None:
                rows.put(API_KEYS, msgspec.structs.replace(key, revoked_at=now))
        audited(house, rows, line, now, actor, "application deleted", f"{application_sid} {application.name}")

    return Unit(
        decide,
        [
            look(TENANTS, actor.tenant),
            lock_by(API_KEYS, "application", actor.tenant, application_sid),
            lock(APPLICATIONS, application_sid),
        ],
    )


def make_key(house: House, actor: Actor, scope: Scope, application: str | None, name: str) -> Unit[MadeKey]:
    """A new key. Scope `verify` needs an application of the tenant, scope `admin` has none."""
    if application is not None and not sid.is_sid(application, sid.APPLICATION):
        raise NotFound(NO_APPLICATION)
    now, line = house.clock(), house.sid("AU")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey(
        house.sid(sid.KEY),
        actor.tenant,
        scope,
        application,
        name,
        hashlib.sha256(secret.encode()).hexdigest(),
        now,
        actor.name,
    )

    def decide(rows: Rows) -> MadeKey:
        if application is not None:
            owner = rows.look(APPLICATIONS, application)
            if owner is None or not owner.belongs_to(actor.tenant):
                raise NotFound(NO_APPLICATION)
        rows.put(API_KEYS, key)
        audited(house, rows, line, now, actor, "key made", f"{key.sid} {scope} {name}".strip())
        return MadeKey(key, secret)

    return Unit(decide, [look(APPLICATIONS, application)] if application else [])


def revoke_key(house: House, actor: Actor, key_sid: str, application: str | None = None) -> Unit[ApiKey]:
    """End a key of the tenant, or of one `application`, at once. Raises NotFound, for a revoked one as well."""
    if not sid.is_sid(key_sid, sid.KEY):
        raise NotFound(NO_KEY)
    now, line = house.clock(), house.sid("AU")

    def decide(rows: Rows) -> ApiKey:
        key = rows.get(API_KEYS, key_sid)
        if key is None or key.tenant != actor.tenant or key.revoked_at is not None:
            raise NotFound(NO_KEY)
        if application is not None and key.application != application:
            raise NotFound(NO_KEY)
        revoked = msgspec.structs.replace(key, revoked_at=now)
        rows.put(API_KEYS, revoked)
        audited(house, rows, line, now, actor, "key revoked", f"{key_sid} {key.name}".strip())
        return revoked

    return Unit(decide, [lock(API_KEYS, key_sid)])


def make_user(house: House, actor: Actor, name: str, password: str | None) -> Unit[User]:
    """A new user; `password` is its argon2 hash, or None where a one-time link will set it."""
    now, user_sid, line = house.clock(), house.sid(sid.USER), house.sid("AU")

    def decide(rows: Rows) -> User:
        if rows.find(USERS, "name", name):
            raise invalid("name", "duplicate", f"There is a user named {name!r} already.")
        user = User(user_sid, actor.tenant, name, password, now)
        rows.put(USERS, user)
        audited(house, rows, line, now, actor, "user made", name)
        return user

    return Unit(decide, [lock_by(USERS, "name", name)])


def make_link(house: House, tenant: str, user: str | None) -> Unit[MadeLink]:
    """A one-time link to the console, for one hour: for a user, or for the installation's first one."""
    token, expires_at = secrets.token_urlsafe(32), house.clock() + LINK_LIFE_MS
    link = SignInLink(hashlib.sha256(token.encode()).hexdigest(), tenant, user, expires_at)

    def decide(rows: Rows) -> MadeLink:
        rows.put(SIGN_IN_LINKS, link)
        return MadeLink(token, expires_at)

    return Unit(decide)


def command(tenant: str) -> Actor:
    """The operator at the command line."""
    return Actor(tenant, "command", "", "command line")
