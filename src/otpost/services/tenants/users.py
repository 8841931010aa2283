"""Users of the console, and the one-time links by which they set a password."""

from __future__ import annotations

import hashlib

import msgspec

from otpost.domain import sid
from otpost.domain.access import Actor, SignInLink, User
from otpost.domain.errors import NotFound, invalid
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.store.base import list_rows
from otpost.store.kinds import (
    SESSIONS,
    SIGN_IN_LINKS,
    USERS,
)
from otpost.store.units import Rows, Unit, lock, lock_by

LINK_LIFE_MS = 3_600_000


class NewLink(msgspec.Struct, frozen=True):
    """A new one-time link's token, which is shown this once."""

    token: str
    expires_at: int


def make_user(context: Context, actor: Actor, name: str, password: str | None) -> Unit[User]:
    """A new user; `password` is its argon2 hash, or None where a one-time link will set it."""
    now, user_sid, line = context.clock(), context.ids(sid.USER), context.ids("AU")

    def decide(rows: Rows) -> User:
        if rows.find(USERS, "name", name):
            raise invalid("name", "duplicate", f"There is a user named {name!r} already.")
        user = User(user_sid, actor.tenant, name, password, now)
        rows.put(USERS, user)
        add_line(context, rows, line, now, actor, "user made", name)
        return user

    return Unit(decide, [lock_by(USERS, "name", name)])


def make_link(context: Context, tenant: str, user: str | None) -> Unit[NewLink]:
    """A one-time link to the console, for one hour: for a user, or for the installation's first one."""
    token, expires_at = context.secret_text(), context.clock() + LINK_LIFE_MS
    link = SignInLink(hashlib.sha256(token.encode()).hexdigest(), tenant, user, expires_at)

    def decide(rows: Rows) -> NewLink:
        rows.put(SIGN_IN_LINKS, link)
        return NewLink(token, expires_at)

    return Unit(decide)


class UserLink(msgspec.Struct, frozen=True):
    """A one-time link and whom it lets in."""

    user: User
    link: NewLink


async def list_users(context: Context, tenant: str) -> list[User]:
    return list(await list_rows(context.store, USERS, "name", tenant=tenant))


def make_user_link(context: Context, actor: Actor, *, user_sid: str = "", name: str = "") -> Unit[UserLink]:
    """A one-time link for a user, named by SID or by name. Raises NotFound."""
    now, line, token = context.clock(), context.ids("AU"), context.secret_text()
    made = NewLink(token, now + LINK_LIFE_MS)

    def decide(rows: Rows) -> UserLink:
        user = next(iter(rows.find(USERS, "name", name)), None) if name else rows.get(USERS, user_sid)
        if user is None or user.tenant != actor.tenant:
            raise NotFound("There is no such user.")
        hashed = hashlib.sha256(token.encode()).hexdigest()
        rows.put(SIGN_IN_LINKS, SignInLink(hashed, user.tenant, user.sid, made.expires_at))
        add_line(context, rows, line, now, actor, "one-time link made", user.name)
        return UserLink(user, made)

    return Unit(decide, [lock_by(USERS, "name", name) if name else lock(USERS, user_sid)])


def remove_user(context: Context, actor: Actor, user_sid: str) -> Unit[User]:
    """Take a user's access away at once. Raises NotFound; nobody removes himself."""
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> User:
        user = rows.get(USERS, user_sid)
        if user is None or user.tenant != actor.tenant or user.sid == actor.sid:
            raise NotFound("There is no such user that you could remove.")
        rows.delete(USERS, user.sid)
        for session in rows.find(SESSIONS, "user", user.sid):
            rows.delete(SESSIONS, session.token_sha256)
        add_line(context, rows, line, now, actor, "user removed", user.name)
        return user

    return Unit(decide, [lock(USERS, user_sid)])
