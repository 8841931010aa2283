"""Settings: who has the console, the account for software that speaks Twilio, how it looks, and who did what."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from otpost.domain.errors import Invalid
from otpost.domain.sid import KEY, is_sid
from otpost.services import access, console, rooms
from otpost.services.tenants import keys, people
from otpost.services.tenants.people import UsersLink
from otpost.store.kinds import TENANTS
from otpost.web.visit import Room, Visit, Wrong

LINES: Final = 50
KEYS: Final = 100
LINE: Final = "AU"


async def overview(visit: Visit) -> Response:
    return await _shown(visit)


async def make_user(visit: Visit) -> Response:
    """A new user without a password, who gets a one-time link that sets it."""
    name = visit.form.get("name").strip()
    wrong = Wrong(console.name_errors(name))
    if not wrong:
        try:
            user = await visit.house.store.run(access.make_user(visit.house, visit.actor, name, None))
            made = await visit.house.store.run(people.new_link(visit.house, visit.actor, user_sid=user.sid))
            return _to_link(visit, made)
        except Invalid as refused:
            wrong = Wrong(refused.errors)
    return await _shown(visit, name=name, wrong=wrong)


async def make_link(visit: Visit) -> Response:
    """A one-time link for somebody who forgot the password."""
    made = await visit.house.store.run(people.new_link(visit.house, visit.actor, user_sid=visit.path["sid"]))
    return _to_link(visit, made)


def _to_link(visit: Visit, made: UsersLink) -> Response:
    address = f"{_base(visit)}/sign-in?link={made.link.token}"
    return visit.go("/settings#made", once={"link": address, "link_for": made.user.name})


async def remove_user(visit: Visit) -> Response:
    user = await visit.house.store.run(people.remove_user(visit.house, visit.actor, visit.path["sid"]))
    return visit.go("/settings", flash=f"{user.name} has no access any more.")


async def renew_token(visit: Visit) -> Response:
    """A new auth token for software that speaks Twilio."""
    made = await visit.house.store.run(access.renew_auth_token(visit.house, visit.actor))
    return visit.go("/settings#made", once={"token": made.token})


async def list_keys(visit: Visit) -> Response:
    """All keys of the tenant, newest first."""
    cursor = visit.query.get("cursor")
    known = is_sid(cursor, KEY)
    page = await keys.listing(visit.house, visit.tenant, limit=KEYS, cursor=cursor if known else None)
    return await visit.page(
        "keys.html", page=page, older=known, names=await rooms.names(visit.house, visit.tenant), now=visit.now
    )


async def revoke_key(visit: Visit) -> Response:
    key = await visit.house.store.run(access.revoke_key(visit.house, visit.actor, visit.path["key"]))
    return visit.go("/settings/keys", flash=f"The key {key.name or key.sid} is revoked. It counts at once.")


async def look(visit: Visit) -> Response:
    """Light, dark, or as the system is."""
    visit.set_theme(visit.form.get("theme"))
    return visit.go("/settings")


async def _shown(visit: Visit, name: str = "", wrong: Wrong | None = None) -> Response:
    cursor = visit.query.get("cursor")
    known = cursor.startswith(LINE) and cursor.isalnum()
    return await visit.page(
        "settings.html",
        422 if wrong else 200,
        users=await people.users(visit.house, visit.tenant),
        account=await visit.house.store.get(TENANTS, visit.tenant),
        address=_base(visit),
        token=visit.once("token"),
        audit=await rooms.audit(visit.house, visit.tenant, limit=LINES, cursor=cursor if known else None),
        older=known,
        name=name,
        wrong=wrong or Wrong(),
        link=visit.once("link"),
        link_for=visit.once("link_for"),
    )


def _base(visit: Visit) -> str:
    return visit.surroundings.public_url or visit.asking.base


ROOMS: Final[tuple[Room, ...]] = (
    Room("/settings", get=overview, entry="settings"),
    Room("/settings/users", post=make_user, entry="settings"),
    Room("/settings/users/{sid}/link", post=make_link, entry="settings"),
    Room("/settings/users/{sid}/remove", post=remove_user, entry="settings"),
    Room("/settings/auth-token", post=renew_token, entry="settings"),
    Room("/settings/keys", get=list_keys, entry="settings"),
    Room("/settings/keys/{key}/revoke", post=revoke_key, entry="settings"),
    Room("/settings/look", post=look, entry="settings"),
)
