"""Signing in and out, with a password or a one-time link, and the way back to the page that was asked for."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response

from otpost.domain.errors import FieldError, Invalid
from otpost.services.tenants.passwords import PasswordsBusy
from otpost.services.tenants.sign_in import LinkDead, SignInRefused, find_link, has_users, sign_in, sign_out, use_link
from otpost.services.tenants.sign_in_limits import SignInsReached
from otpost.web.request import Page, Visit, Wrong
from otpost.web.translation import _, ngettext

FIRST_PAGE: Final = "/overview"
BUSY_S: Final = 5


async def front(visit: Visit) -> Response:
    """`/` leads to the sign-in, or in."""
    return visit.go(FIRST_PAGE if visit.signed_in else "/sign-in")


async def ask(visit: Visit) -> Response:
    """The form; with `?link=` the one that sets a password. Nothing is used up by looking."""
    token = visit.query.get("link")
    if token:
        return await _ask_by_link(visit, token)
    if visit.signed_in is not None:
        return visit.go(_back(visit.query.get("next")))
    return await _form(visit, next=visit.query.get("next"))


async def enter(visit: Visit) -> Response:
    """Take a name and password, or a one-time link with a new password."""
    if visit.form.get("link"):
        return await _enter_by_link(visit, visit.form.get("link"))
    name, password, back = visit.form.get("name").strip(), visit.form.get("password"), visit.form.get("next")
    if not name or not password:
        return await _form(visit, 422, name=name, next=back, refused=_("Type your name and your password."))
    try:
        session = await sign_in(
            visit.context, visit.surroundings.passwords, name, password, visit.browser.address, visit.token
        )
    except SignInRefused:
        return await _form(visit, 422, name=name, next=back, refused=_("The name or the password is not right."))
    except SignInsReached as refusal:
        wait_s = max(1, -((visit.now - (refusal.retry_at or visit.now)) // 1000))
        response = await _form(visit, 429, name=name, next=back, refused=_too_many(wait_s))
        response.headers["retry-after"] = str(wait_s)
        return response
    except PasswordsBusy as refusal:
        return _busy(await _form(visit, 503, name=name, next=back, refused=_(refusal.detail)))
    visit.begin(session)
    return visit.go(_back(back))


async def leave(visit: Visit) -> Response:
    await visit.context.store.run(sign_out(visit.context, visit.who))
    visit.end()
    visit.signed_in = None
    return visit.go("/sign-in")


async def ask_again(visit: Visit, sealed: str) -> Response:
    """The form in the place of the page whose session has ended; what was sent goes on after it."""
    response = await _form(visit, 401, kept=sealed)
    if visit.htmx:
        response.headers["hx-retarget"] = "body"
        response.headers["hx-reswap"] = "innerHTML"
    return response


def own_page(visit: Visit) -> str:
    """The page of ours from which this request came, as the browser tells it; empty where it does not."""
    address = visit.headers.get("hx-current-url") or visit.headers.get("referer", "")
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return _own_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def _back(where: str) -> str:
    return _own_path(where) or FIRST_PAGE


def _own_path(where: str) -> str:
    """The path if it is one of our own pages, else nothing: no other host, no way round."""
    plain = where.isascii() and where.isprintable() and " " not in where and "\\" not in where
    if not plain or not where.startswith("/") or where.startswith("//"):
        return ""
    return "" if where.split("?")[0] in ("/", "/sign-in", "/sign-out") else where


async def _form(
    visit: Visit, status: int = 200, *, name: str = "", next: str = "", refused: str = "", kept: str = ""
) -> Response:
    return await visit.page(
        "sign_in.html",
        status,
        name=name,
        next=_own_path(next),
        refused=refused,
        kept=kept or visit.form.get("kept"),
        nobody=not await has_users(visit.context),
    )


async def _ask_by_link(
    visit: Visit, token: str, name: str = "", wrong: Wrong | None = None, status: int = 422
) -> Response:
    try:
        owner = await find_link(visit.context, token)
    except LinkDead as refusal:
        return await visit.page("said.html", 410, title=_("This link does not work any more"), words=_dead(refusal))
    return await visit.page(
        "sign_in_link.html",
        status if wrong else 200,
        link=token,
        known=owner.user.name if owner.user else "",
        name=name,
        wrong=wrong or Wrong(),
    )


async def _enter_by_link(visit: Visit, token: str) -> Response:
    name, password = visit.form.get("name").strip(), visit.form.get("password")
    try:
        session = await use_link(
            visit.context, visit.surroundings.passwords, token, name, password, visit.browser.address, visit.token
        )
    except LinkDead as refusal:
        return await visit.page("said.html", 410, title=_("This link does not work any more"), words=_dead(refusal))
    except PasswordsBusy as refusal:
        busy = Wrong([FieldError("password", refusal.code, refusal.detail)])
        return _busy(await _ask_by_link(visit, token, name, busy, 503))
    except Invalid as refusal:
        return await _ask_by_link(visit, token, name, Wrong(refusal.errors))
    visit.begin(session)
    return visit.go(FIRST_PAGE)


def _too_many(wait_s: int) -> str:
    minutes = -(-wait_s // 60)
    if wait_s < 60:
        wait = ngettext("%(seconds)s seconds", "%(seconds)s seconds", wait_s, seconds=wait_s)
    else:
        wait = ngettext("%(minutes)s minute", "%(minutes)s minutes", minutes, minutes=minutes)
    return _(
        "There were too many tries. Wait %(wait)s and try again. To get in at once, ask another user for a one-time "
        "link (Settings), or the operator, who makes one with `otpost user link NAME`.",
        wait=wait,
    )


def _busy(response: Response) -> Response:
    response.headers["retry-after"] = str(BUSY_S)
    return response


def _dead(refusal: LinkDead) -> str:
    return _(
        "%(refusal)s If you have a name and password, sign in with them. Otherwise ask another user for a new "
        "link (Settings), or the operator, who makes one with `otpost user link NAME`.",
        refusal=_(refusal.detail),
    )


PAGES: Final[tuple[Page, ...]] = (
    Page("/", get=front, open=True),
    Page("/sign-in", get=ask, post=enter, open=True),
    Page("/sign-out", post=leave),
)
