"""The console's doors: passwords, sign-in with its limits, sessions, and the use of one-time links."""

from __future__ import annotations

import hashlib
import logging

import msgspec

from otpost.domain import sid
from otpost.domain.access import Actor, Session, SignInLink, User
from otpost.domain.errors import FieldError, Invalid, Refusal
from otpost.domain.text import TextRefused, read_line
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.tenants.passwords import Passwords
from otpost.services.tenants.sign_in_limits import SignInLimits, SignInsReached
from otpost.store.base import list_rows
from otpost.store.kinds import SESSIONS, SIGN_IN_LINKS, TENANTS, USERS
from otpost.store.units import Rows, Unit, lock, lock_by

_log = logging.getLogger(__name__)

SESSION_LIFE_MS = 12 * 3_600_000
SESSION_IDLE_MS = 2 * 3_600_000
SEEN_GRAIN_MS = 60_000
NAME_LENGTH = 64
PASSWORD_SHORTEST, PASSWORD_LONGEST = 10, 1000


class SignInRefused(Refusal):
    """The name or the password is not right."""

    code = "sign_in_refused"


class LinkDead(Refusal):
    """This link was used already, is older than an hour, or belongs to an installation that has its first user."""

    code = "link_dead"


class SignedIn(msgspec.Struct, frozen=True):
    """A person whose session is proven."""

    user: User
    session: Session
    address: str

    @property
    def actor(self) -> Actor:
        return _actor(self.user, self.address)


class NewSession(msgspec.Struct, frozen=True):
    """A new session with the token for its cookie, which is nowhere else."""

    token: str
    session: Session


class Link(msgspec.Struct, frozen=True):
    """What a living one-time link is for: `user` is None where it makes the installation's first one."""

    user: User | None


async def find_session(context: Context, token: str, address: str) -> SignedIn | None:
    """Who has the session with this token, if it has not ended; that it was used is kept once a minute.

    `address` is the client's.
    """
    now = context.clock()
    session = await context.store.get(SESSIONS, _sha256(token))
    if session is None or _over(session, now):
        return None
    user = await context.store.get(USERS, session.user)
    if user is None:
        return None
    if now - session.seen_at >= SEEN_GRAIN_MS:
        await context.store.run(_seen(session.token_sha256, now))
    return SignedIn(user, session, address)


async def sign_in(
    context: Context, passwords: Passwords, name: str, password: str, address: str, former: str | None
) -> NewSession:
    """A new session for the right name and password. `address` is the client's, `former` the token it came with.

    A try takes its place in the limits before the password is looked at, and gives it back if it is right. Raises
    SignInRefused, SignInsReached, PasswordsBusy.
    """
    with passwords.place():
        tries = SignInLimits(name, address)
        try:
            await context.store.run(tries.take(context))
        except SignInsReached:
            _log.warning("a sign-in was not looked at: too many tries (from %s)", address)
            raise
        user = next(iter(await context.store.find(USERS, "name", name)), None)
        right = await passwords.verify(user.password if user else None, password)
    if user is None or not right:
        # A name that nobody has may be a password in the wrong field: it is not written down.
        _log.warning("a sign-in was refused: %s (from %s)", f"user {user.name!r}" if user else "no such user", address)
        if user is not None:
            await context.store.run(_refused(context, user, address))
        raise SignInRefused
    now, line = context.clock(), context.ids("AU")
    made = _session(context, user)
    known = user

    def decide(rows: Rows) -> NewSession:
        current = rows.get(USERS, known.sid)
        if current is None or current.password != known.password:
            raise SignInRefused
        _begin(rows, made, former, now)
        tries.give_back(rows, now)
        add_line(context, rows, line, now, _actor(current, address), "signed in")
        return made

    needs = [lock(USERS, user.sid), lock_by(SESSIONS, "user", user.sid), *tries.needs]
    unit = Unit(decide, [*needs, *([lock(SESSIONS, _sha256(former))] if former else [])])
    done = await context.store.run(unit)
    _log.info("user %r signed in (from %s)", user.name, address)
    return done


def sign_out(context: Context, who: SignedIn) -> Unit[None]:
    """End a session."""
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        if rows.get(SESSIONS, who.session.token_sha256) is not None:
            rows.delete(SESSIONS, who.session.token_sha256)
            add_line(context, rows, line, now, who.actor, "signed out")

    return Unit(decide, [lock(SESSIONS, who.session.token_sha256)])


async def find_link(context: Context, token: str) -> Link:
    """What a one-time link is for; it stays unused. Raises LinkDead."""
    row = await context.store.get(SIGN_IN_LINKS, _sha256(token))
    if row is None or row.expires_at <= context.clock():
        raise LinkDead
    if row.user is None:
        if await has_users(context):
            raise LinkDead
        return Link(None)
    user = await context.store.get(USERS, row.user)
    if user is None:
        raise LinkDead
    return Link(user)


async def use_link(
    context: Context, passwords: Passwords, token: str, name: str, password: str, address: str, former: str | None
) -> NewSession:
    """Set a password by a one-time link, which is dead from then on, and sign in.

    The installation's first user gets `name`; any other keeps his, and his other sessions end. The address counts as
    one that has signed in. Raises LinkDead, PasswordsBusy, Invalid at `name` or `password`.
    """
    for_whom = await find_link(context, token)
    name = for_whom.user.name if for_whom.user else name.strip()
    wrong = [] if for_whom.user else name_errors(name)
    wrong += password_errors(password, name)
    if wrong:
        raise Invalid(wrong[0].message, errors=tuple(wrong))
    with passwords.place():
        hashed = await passwords.hash(password)
    tries = SignInLimits(name, address)
    now, line, user_sid = context.clock(), context.ids("AU"), context.ids(sid.USER)
    new_token = context.secret_text()

    def decide(rows: Rows) -> NewSession:
        row = rows.get(SIGN_IN_LINKS, _sha256(token))
        if row is None or row.expires_at <= now:
            raise LinkDead
        user = _first_user(rows, row, user_sid, name, now) if row.user is None else rows.get(USERS, row.user)
        if user is None:
            raise LinkDead
        user = msgspec.structs.replace(user, password=hashed)
        for session in rows.find(SESSIONS, "user", user.sid):
            rows.delete(SESSIONS, session.token_sha256)
        made = NewSession(new_token, _new_session(user, new_token, now))
        _begin(rows, made, former, now)
        rows.put(USERS, user)
        rows.delete(SIGN_IN_LINKS, row.token_sha256)
        for other in rows.find(SIGN_IN_LINKS, "user", user.sid):
            rows.delete(SIGN_IN_LINKS, other.token_sha256)
        what = "first user made" if row.user is None else "password set"
        tries.forget(rows, now)
        add_line(context, rows, line, now, _actor(user, address), what, user.name)
        return made

    done = await context.store.run(Unit(decide, [lock(SIGN_IN_LINKS, _sha256(token)), *tries.needs]))
    _log.info("user %r signed in by a one-time link (from %s)", name, address)
    return done


async def has_users(context: Context) -> bool:
    return bool(await list_rows(context.store, USERS, limit=1))


def name_errors(name: str) -> list[FieldError]:
    """What is wrong with a user's name."""
    if not name:
        return [FieldError("name", "required", "Choose a name to sign in with.")]
    try:
        read_line(name, NAME_LENGTH)
    except TextRefused as refused:
        return [FieldError("name", refused.code, refused.message)]
    return []


def password_errors(password: str, name: str) -> list[FieldError]:
    """What is wrong with a password that is to be set."""
    if len(password) < PASSWORD_SHORTEST:
        return [FieldError("password", "out_of_range", f"The password has at least {PASSWORD_SHORTEST} characters.")]
    if len(password) > PASSWORD_LONGEST:
        return [FieldError("password", "text_too_long", f"The password has at most {PASSWORD_LONGEST} characters.")]
    if password.casefold() == name.casefold():
        return [FieldError("password", "invalid", "The password must not be the name.")]
    return []


def _first_user(rows: Rows, row: SignInLink, user_sid: str, name: str, now: int) -> User:
    rows.require(lock(TENANTS, row.tenant), lock_by(USERS, "tenant", row.tenant), lock_by(USERS, "name", name))
    if rows.find(USERS, "tenant", row.tenant) or rows.find(USERS, "name", name):
        raise LinkDead
    return User(user_sid, row.tenant, name, None, now)


def _begin(rows: Rows, made: NewSession, former: str | None, now: int) -> None:
    """Put the session in the place of the one that the client came with; the user's dead ones go as well."""
    if former is not None and rows.get(SESSIONS, _sha256(former)) is not None:
        rows.delete(SESSIONS, _sha256(former))
    for session in rows.find(SESSIONS, "user", made.session.user):
        if _over(session, now):
            rows.delete(SESSIONS, session.token_sha256)
    rows.put(SESSIONS, made.session)


def _refused(context: Context, user: User, address: str) -> Unit[None]:
    now, line, actor = context.clock(), context.ids("AU"), _actor(user, address)
    return Unit(lambda rows: add_line(context, rows, line, now, actor, "sign-in refused", "wrong password"))


def _seen(token_sha256: str, now: int) -> Unit[None]:
    def decide(rows: Rows) -> None:
        session = rows.get(SESSIONS, token_sha256)
        if session is not None and session.seen_at < now:
            rows.put(SESSIONS, msgspec.structs.replace(session, seen_at=now))

    return Unit(decide, [lock(SESSIONS, token_sha256)])


def _session(context: Context, user: User) -> NewSession:
    token = context.secret_text()
    return NewSession(token, _new_session(user, token, context.clock()))


def _new_session(user: User, token: str, now: int) -> Session:
    return Session(_sha256(token), user.tenant, user.sid, now, now, now + SESSION_LIFE_MS)


def _over(session: Session, now: int) -> bool:
    return now >= session.expires_at or now >= session.seen_at + SESSION_IDLE_MS


def _actor(user: User, address: str) -> Actor:
    return Actor(user.tenant, "user", user.sid, user.name, address)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
