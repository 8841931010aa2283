"""Every address of the console, and the guard that stands before each."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Sequence
from typing import Final, NoReturn
from urllib.parse import parse_qsl, quote

from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

from otpost.domain.errors import LimitReached, NotFound, Refusal, Unavailable, VerificationNotFound
from otpost.services.tenants.sign_in import NewSession, SignedIn, find_session
from otpost.store.kinds import USERS
from otpost.telemetry import REQUEST_ID
from otpost.web import late_forms
from otpost.web.late_forms import LateForm
from otpost.web.pages.applications import PAGES as APPLICATIONS
from otpost.web.pages.messages import PAGES as MESSAGES
from otpost.web.pages.overview import PAGES as OVERVIEW
from otpost.web.pages.reference import PAGES as REFERENCE
from otpost.web.pages.sandbox import PAGES as SANDBOX
from otpost.web.pages.settings import PAGES as SETTINGS
from otpost.web.pages.sign_in import PAGES as SIGN_IN
from otpost.web.pages.sign_in import ask_again, own_page
from otpost.web.pages.verifications import PAGES as VERIFICATIONS
from otpost.web.pages.webhooks import PAGES as WEBHOOKS
from otpost.web.policy.page import PAGES as POLICY
from otpost.web.request import Form, Page, Surroundings, Visit, read_browser
from otpost.web.static_files import serve
from otpost.web.translation import _

PAGES: Final[tuple[Page, ...]] = (
    *SIGN_IN,
    *OVERVIEW,
    *VERIFICATIONS,
    *MESSAGES,
    *POLICY,
    *APPLICATIONS,
    *WEBHOOKS,
    *SETTINGS,
    *SANDBOX,
    *REFERENCE,
)
"""A new page's module adds its own tuple here."""

MAX_FORM: Final = 524_288
MAX_STRANGERS_FORM: Final = 16_384
"""Of somebody who is not signed in, whose only form is the one to sign in with."""
MAX_FIELDS: Final = 4_000
WORTH_PACKING: Final = 1_000
PACKED_AT: Final = 5

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
_WAIT_S = 1
STOP_POLLING: Final = 286
"""What htmx takes as the end of asking every two seconds."""

_log = logging.getLogger(__name__)


class TooLarge(Refusal):
    """The form is larger than Otpost takes."""

    code = "too_large"


def make_routes(surroundings: Surroundings) -> list[BaseRoute]:
    """The console's routes, to stand after all others: the last one answers browsers where there is no page."""
    pages = [Route(page.path, Address(surroundings, page)) for page in PAGES]
    return [Route("/static/{mark}/{name}", _Static()), *pages, Nowhere(surroundings)]


class Address:
    """One page as an ASGI application: judges the request, finds out who asks, and calls the handler."""

    def __init__(self, surroundings: Surroundings, page: Page) -> None:
        self._surroundings = surroundings
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._visit(scope)
        response = await self._answer(visit, scope, receive)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if response.media_type == "text/html":
            _pack(response, visit)
        await response(scope, receive, send)

    def _visit(self, scope: Scope) -> Visit:
        query = scope["query_string"].decode("latin-1")
        path = quote(scope["path"])
        return Visit(
            surroundings=self._surroundings,
            browser=read_browser(scope, self._surroundings.public_url, self._surroundings.trusted_proxies),
            method=scope["method"],
            here=f"{path}?{query}" if query else path,
            path=scope.get("path_params", {}),
            query=_query(query),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            entry=self._page.entry,
        )

    async def _answer(self, visit: Visit, scope: Scope, receive: Receive) -> Response:
        try:
            return await self._guarded(visit, receive)
        except Refusal as refusal:
            return await refused(visit, refusal)
        except Exception:
            _log.exception("%s %s failed", visit.method, self._page.path)
            request_id = REQUEST_ID.get()
            words = _("It is in the log. What you sent was not kept; try again in a moment.")
            if request_id is not None:
                words = _(
                    "It is in the log under %(request)s. What you sent was not kept; try again in a moment.",
                    request=request_id,
                )
            return await _said(visit, 500, _("Something broke"), words)

    async def _guarded(self, visit: Visit, receive: Receive) -> Response:
        safe = visit.method in ("GET", "HEAD")
        if not safe and not visit.browser.own:
            return await _said(
                visit,
                403,
                _("Refused: this did not come from a page of this console"),
                _(
                    "The browser says that another site sent this form, or does not say where it comes from. Open the "
                    "page here and repeat what you did. Behind a proxy, OTPOST_PUBLIC_URL has to be the address in the "
                    "browser."
                ),
            )
        if visit.token is not None:
            visit.signed_in = await find_session(visit.context, visit.token, visit.browser.address)
        former = await late_forms.find_former_session(visit) if visit.signed_in is None and not safe else None
        if visit.signed_in is None and not self._page.open:
            if former is None or self._page.post is None or visit.method != "POST":
                return to_sign_in(visit)
            visit.form = await _form(visit, receive, MAX_FORM)
            sealed = late_forms.seal(visit, former.user, self._page.path)
            return await ask_again(visit, sealed) if sealed else to_sign_in(visit)
        handler = self._page.get if safe else self._page.post if visit.method == "POST" else None
        if handler is None:
            response = await _said(
                visit, 405, _("Not possible here"), _("This address does not take what was sent to it.")
            )
            allowed = [*(["GET", "HEAD"] if self._page.get else []), *(["POST"] if self._page.post else [])]
            response.headers["allow"] = ", ".join(allowed)
            return response
        if not safe:
            known = visit.signed_in is not None or former is not None
            visit.form = await _form(visit, receive, MAX_FORM if known else MAX_STRANGERS_FORM)
        response = await handler(visit)
        if visit.begun is not None and (form := late_forms.open_sealed(visit, visit.begun.session.user)):
            return await _go_on(visit, visit.begun, form)
        return response


async def _go_on(visit: Visit, begun: NewSession, form: LateForm) -> Response:
    """Answer the form that was sent before the password was asked for, as if the session had never ended."""
    page = next(page for page in PAGES if page.path == form.page)
    user = await visit.context.store.get(USERS, begun.session.user)
    assert page.post is not None, "a form is kept for pages that take one"
    assert user is not None, "who has just signed in is there"
    again = Visit(
        surroundings=visit.surroundings,
        browser=visit.browser,
        method="POST",
        here=form.here,
        path=form.path,
        query=_query(form.here.partition("?")[2]),
        headers=visit.headers,
        entry=page.entry,
        form=Form(form.pairs),
        signed_in=SignedIn(user, begun.session, visit.browser.address),
    )
    again.begin(begun)
    try:
        return await page.post(again)
    except Refusal as refusal:
        return await refused(again, refusal)


def _pack(response: Response, visit: Visit) -> None:
    """Compress a page. One that shows a secret is left: its length would tell of it to whoever can add to the page."""
    response.headers["vary"] = "Accept-Encoding"
    body = bytes(response.body)
    if len(body) < WORTH_PACKING or visit.shows_secret or "gzip" not in visit.headers.get("accept-encoding", ""):
        return
    response.body = gzip.compress(body, PACKED_AT, mtime=0)
    response.headers["content-encoding"] = "gzip"
    response.headers["content-length"] = str(len(response.body))


class Nowhere(BaseRoute):
    """What a browser sees at an address without a page; other clients pass by."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._address = Address(surroundings, Page("(nowhere)", get=_nowhere, post=_nowhere))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not any(
            name == b"accept" and b"text/html" in value for name, value in scope["headers"]
        ):
            return Match.NONE, {}
        return Match.FULL, {}

    def url_path_for(self, name: str, /, **path_params: object) -> NoReturn:
        raise NoMatchFound(name, dict(path_params))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._address(scope, receive, send)


class _Static:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(scope, receive, send)


def to_sign_in(visit: Visit) -> Response:
    """Where strangers are sent, with the page that they asked for.

    A part of a page that holds a form stays as it is: to lead away would lose what is typed.
    """
    if visit.htmx and visit.method == "GET" and own_page(visit).partition("?")[0] == "/sender-policy":
        return Response(status_code=STOP_POLLING, headers={"HX-Reswap": "none"})
    asked = visit.here if visit.method == "GET" and not visit.htmx else own_page(visit)
    return visit.go("/sign-in" if asked in ("", "/") else f"/sign-in?next={quote(asked, safe='')}")


async def refused(visit: Visit, refusal: Refusal) -> Response:
    """A refusal that its handler has no form for, as a page of its own."""
    match refusal:
        case NotFound() | VerificationNotFound():
            return await _said(visit, 404, _("There is nothing here"), _(refusal.detail))
        case TooLarge():
            return await _said(visit, 413, _("Too much at once"), _(refusal.detail))
        case LimitReached():
            response = await _said(visit, 429, _("Not so fast"), _(refusal.detail))
            if refusal.retry_at is not None:
                response.headers["retry-after"] = str(max(1, -((visit.now - refusal.retry_at) // 1000)))
            return response
        case Unavailable():
            response = await _said(visit, 503, _("Not possible right now"), _(refusal.detail))
            response.headers["retry-after"] = str(_WAIT_S)
            return response
        case _:
            return await _said(visit, 422, _("This was not taken"), _(refusal.detail))


async def _said(visit: Visit, status: int, title: str, words: str) -> Response:
    try:
        return await visit.page("said.html", status, title=title, words=words)
    except Refusal:
        # The database is away, and with it what the layout would say of the sandbox.
        visit.signed_in = None
        return await visit.page("said.html", status, title=title, words=words)


async def _nowhere(visit: Visit) -> Response:
    raise NotFound


async def _form(visit: Visit, receive: Receive, most: int) -> Form:
    media = visit.headers.get("content-type", "").split(";")[0].strip().lower()
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Refusal(_("The connection ended before the form did."))
        body += event.get("body", b"")
        if len(body) > most:
            raise TooLarge
        if not event.get("more_body"):
            break
    if not body:
        return Form()
    if media != "application/x-www-form-urlencoded":
        raise Refusal(_("Send the form as application/x-www-form-urlencoded."))
    return Form(_pairs(body.decode(errors="replace")))


def _query(text: str) -> Form:
    """A query's parameters; one with too many of them counts as none."""
    try:
        return Form(_pairs(text))
    except TooLarge:
        return Form()


def _pairs(text: str) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise TooLarge from None
