"""Settings: who has the console, the account for software that speaks Twilio, how it looks, and who did what."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from otpost.domain.errors import Invalid
from otpost.domain.sid import KEY, is_sid
from otpost.services.audit import list_lines
from otpost.services.tenants import keys, users
from otpost.services.tenants.applications import application_names
from otpost.services.tenants.sign_in import name_errors
from otpost.services.tenants.tenants import renew_auth_token
from otpost.services.tenants.users import UserLink, list_users, make_user_link
from otpost.store.kinds import TENANTS
from otpost.web.request import Page, Visit, Wrong
from otpost.web.translation import _

LINES: Final = 50
KEYS: Final = 100
LINE: Final = "AU"


async def overview(visit: Visit) -> Response:
    return await _shown(visit)


async def make_user(visit: Visit) -> Response:
    """A new user without a password, who gets a one-time link that sets it."""
    name = visit.form.get("name").strip()
    wrong = Wrong(name_errors(name))
    if not wrong:
        try:
            user = await visit.context.store.run(users.make_user(visit.context, visit.actor, name, None))
            link = await visit.context.store.run(make_user_link(visit.context, visit.actor, user_sid=user.sid))
            return _to_link(visit, link)
        except Invalid as refused:
            wrong = Wrong(refused.errors)
    return await _shown(visit, name=name, wrong=wrong)


async def make_link(visit: Visit) -> Response:
    """A one-time link for somebody who forgot the password."""
    link = await visit.context.store.run(make_user_link(visit.context, visit.actor, user_sid=visit.path["sid"]))
    return _to_link(visit, link)


def _to_link(visit: Visit, link: UserLink) -> Response:
    address = f"{_base(visit)}/sign-in?link={link.link.token}"
    return visit.go("/settings#made", once={"link": address, "link_for": link.user.name})


async def remove_user(visit: Visit) -> Response:
    user = await visit.context.store.run(users.remove_user(visit.context, visit.actor, visit.path["sid"]))
    return visit.go("/settings", flash=_("%(name)s has no access any more.", name=user.name))


async def renew_token(visit: Visit) -> Response:
    """A new auth token for software that speaks Twilio."""
    token = await visit.context.store.run(renew_auth_token(visit.context, visit.actor))
    return visit.go("/settings#made", once={"token": token.token})


async def list_keys(visit: Visit) -> Response:
    """All keys of the tenant, newest first."""
    cursor = visit.query.get("cursor")
    known = is_sid(cursor, KEY)
    page = await keys.list_keys(
        visit.context, visit.surroundings.key_uses, visit.tenant, limit=KEYS, cursor=cursor if known else None
    )
    return await visit.page(
        "keys.html", page=page, older=known, names=await application_names(visit.context, visit.tenant), now=visit.now
    )


async def revoke_key(visit: Visit) -> Response:
    key = await visit.context.store.run(keys.revoke_key(visit.context, visit.actor, visit.path["key"]))
    return visit.go(
        "/settings/keys", flash=_("The key %(name)s is revoked. It counts at once.", name=key.name or key.sid)
    )


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
        users=await list_users(visit.context, visit.tenant),
        account=await visit.context.store.get(TENANTS, visit.tenant),
        address=_base(visit),
        token=visit.once("token"),
        audit=await list_lines(visit.context, visit.tenant, limit=LINES, cursor=cursor if known else None),
        older=known,
        name=name,
        wrong=wrong or Wrong(),
        link=visit.once("link"),
        link_for=visit.once("link_for"),
    )


def _base(visit: Visit) -> str:
    return visit.surroundings.public_url or visit.browser.base


PAGES: Final[tuple[Page, ...]] = (
    Page("/settings", get=overview, entry="settings"),
    Page("/settings/users", post=make_user, entry="settings"),
    Page("/settings/users/{sid}/link", post=make_link, entry="settings"),
    Page("/settings/users/{sid}/remove", post=remove_user, entry="settings"),
    Page("/settings/auth-token", post=renew_token, entry="settings"),
    Page("/settings/keys", get=list_keys, entry="settings"),
    Page("/settings/keys/{key}/revoke", post=revoke_key, entry="settings"),
    Page("/settings/look", post=look, entry="settings"),
)
