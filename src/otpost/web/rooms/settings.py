"""Settings: who has the console, the account for software that speaks Twilio, how it looks, and who did what."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from otpost.domain.errors import Invalid
from otpost.services import access, console, rooms
from otpost.services.access import MadeLink
from otpost.store.kinds import TENANTS
from otpost.web.visit import Room, Visit, Wrong

LINES: Final = 50
LINE: Final = "AU"


async def overview(visit: Visit) -> Response:
    return await _shown(visit)


async def make_user(visit: Visit) -> Response:
    """A new user without a password; the answer shows the one-time link that sets it."""
    name = visit.form.get("name").strip()
    wrong = Wrong(console.name_errors(name))
    if not wrong:
        try:
            user = await visit.house.store.run(access.make_user(visit.house, visit.actor, name, None))
            made = await visit.house.store.run(access.make_link(visit.house, visit.tenant, user.sid))
            return await _shown(visit, link=made, link_for=user.name)
        except Invalid as refused:
            wrong = Wrong(refused.errors)
    return await _shown(visit, name=name, wrong=wrong)


async def make_link(visit: Visit) -> Response:
    """A one-time link for somebody who forgot the password."""
    user, made = await rooms.new_link(visit.house, visit.actor, visit.path["sid"])
    return await _shown(visit, link=made, link_for=user.name)


async def remove_user(visit: Visit) -> Response:
    user = await visit.house.store.run(rooms.remove_user(visit.house, visit.actor, visit.path["sid"]))
    return visit.go("/settings", flash=f"{user.name} has no access any more.")


async def renew_token(visit: Visit) -> Response:
    """A new auth token for software that speaks Twilio; the answer shows it."""
    made = await visit.house.store.run(access.renew_auth_token(visit.house, visit.actor))
    return await _shown(visit, token=made.token)


async def look(visit: Visit) -> Response:
    """Light, dark, or as the system is."""
    visit.set_theme(visit.form.get("theme"))
    return visit.go("/settings")


async def _shown(
    visit: Visit,
    name: str = "",
    wrong: Wrong | None = None,
    link: MadeLink | None = None,
    link_for: str = "",
    token: str = "",
) -> Response:
    cursor = visit.query.get("cursor")
    known = cursor.startswith(LINE) and cursor.isalnum()
    base = visit.surroundings.public_url or visit.asking.base
    return await visit.page(
        "settings.html",
        422 if wrong else 200,
        users=await rooms.users(visit.house, visit.tenant),
        account=await visit.house.store.get(TENANTS, visit.tenant),
        address=base,
        token=token,
        audit=await rooms.audit(visit.house, visit.tenant, limit=LINES, cursor=cursor if known else None),
        older=known,
        name=name,
        wrong=wrong or Wrong(),
        link=f"{base}/sign-in?link={link.token}" if link else "",
        link_for=link_for,
    )


ROOMS: Final[tuple[Room, ...]] = (
    Room("/settings", get=overview, entry="settings"),
    Room("/settings/users", post=make_user, entry="settings"),
    Room("/settings/users/{sid}/link", post=make_link, entry="settings"),
    Room("/settings/users/{sid}/remove", post=remove_user, entry="settings"),
    Room("/settings/auth-token", post=renew_token, entry="settings"),
    Room("/settings/look", post=look, entry="settings"),
)
