"""A tenant's people: the links by which they get in again, and how their access ends."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import msgspec
from sqlalchemy import select

from otpost.domain.access import Actor, SignInLink, User
from otpost.domain.errors import NotFound
from otpost.services.access import LINK_LIFE_MS, MadeLink, audited
from otpost.services.house import House
from otpost.store.base import rows_of
from otpost.store.kinds import SESSIONS, SIGN_IN_LINKS, USERS
from otpost.store.units import Rows, Unit, lock, lock_by


class UsersLink(msgspec.Struct, frozen=True):
    """A one-time link and whom it lets in."""

    user: User
    link: MadeLink


async def users(house: House, tenant: str) -> list[User]:
    own = USERS.table
    statement: Any = select(own).where(own.c.tenant == tenant).order_by("name")
    return list(await rows_of(house.store, USERS, statement))


def new_link(house: House, actor: Actor, *, user_sid: str = "", name: str = "") -> Unit[UsersLink]:
    """A one-time link for a user, named by SID or by name. Raises NotFound."""
    now, line, token = house.clock(), house.sid("AU"), secrets.token_urlsafe(32)
    made = MadeLink(token, now + LINK_LIFE_MS)

    def decide(rows: Rows) -> UsersLink:
        user = next(iter(rows.find(USERS, "name", name)), None) if name else rows.get(USERS, user_sid)
        if user is None or user.tenant != actor.tenant:
            raise NotFound("There is no such user.")
        hashed = hashlib.sha256(token.encode()).hexdigest()
        rows.put(SIGN_IN_LINKS, SignInLink(hashed, user.tenant, user.sid, made.expires_at))
        audited(house, rows, line, now, actor, "one-time link made", user.name)
        return UsersLink(user, made)

    return Unit(decide, [lock_by(USERS, "name", name) if name else lock(USERS, user_sid)])


def remove_user(house: House, actor: Actor, user_sid: str) -> Unit[User]:
    """Take a user's access away at once. Raises NotFound; nobody removes himself."""
    now, line = house.clock(), house.sid("AU")

    def decide(rows: Rows) -> User:
        user = rows.get(USERS, user_sid)
        if user is None or user.tenant != actor.tenant or user.sid == actor.sid:
            raise NotFound("There is no such user that you could remove.")
        rows.delete(USERS, user.sid)
        for session in rows.find(SESSIONS, "user", user.sid):
            rows.delete(SESSIONS, session.token_sha256)
        audited(house, rows, line, now, actor, "user removed", user.name)
        return user

    return Unit(decide, [lock(USERS, user_sid)])
