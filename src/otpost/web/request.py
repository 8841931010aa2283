"""One visit to a page: who is here, what was sent, and the ways to answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, unquote

import msgspec
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from otpost.address import Network, read_caller
from otpost.domain.access import Actor
from otpost.domain.errors import FieldError
from otpost.domain.policy import Policy
from otpost.outbound import Outbound
from otpost.services.context import Context
from otpost.services.keyring import KeyRingError
from otpost.services.policy.plan import Plans
from otpost.services.tenants.keys import KeyUses
from otpost.services.tenants.passwords import Passwords
from otpost.services.tenants.sign_in import NewSession, SignedIn
from otpost.store.kinds import POLICIES
from otpost.web.templating import render

FLASH_SEAL = "flash"
FLASH_S = 60
THEME_S = 365 * 86_400
FLASH, THEME = "otpost-flash", "otpost-theme"

OUR_COOKIES = ("otpost", "__Host-otpost")
"""How the names of our cookies begin; all others are left unread."""

Tone = Literal["success", "info", "warning", "danger"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the console is given: the context, the door to the network, how it is reached, and the API's description.

    `openapi` is the OpenAPI document that `/docs` shows.
    """

    context: Context
    plans: Plans
    key_uses: KeyUses
    http: Outbound
    public_url: str | None = None
    trusted_proxies: Sequence[Network] = ()
    openapi: Mapping[str, Any] = field(default_factory=dict)
    passwords: Passwords = field(default_factory=Passwords)


@dataclass(frozen=True, slots=True)
class Browser:
    """`address` is the client's, past the proxies that are trusted; `secure` whether its browser speaks https,
    `own` whether an unsafe request comes from a page of ours; `base` is scheme and host as the browser has them.
    """

    address: str
    secure: bool
    own: bool
    base: str
    cookies: dict[str, str]


def read_browser(scope: Scope, public_url: str | None, trusted: Sequence[Network]) -> Browser:
    """Judge a request by its headers. `X-Forwarded-*` are believed only from `trusted` proxies."""
    client = scope.get("client")
    caller = read_caller(client[0] if client else None, scope["scheme"], scope["headers"], public_url, trusted)
    site = origin = None
    cookies = []
    for name, value in scope["headers"]:
        if name == b"sec-fetch-site":
            site = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
        elif name == b"cookie":
            cookies.append(value)
    # A browser always sends one of the two with a form, so that neither is a refusal as well.
    own = site in (None, "same-origin") and (site is not None if origin is None else caller.made(origin))
    return Browser(caller.address, caller.secure, own, caller.base, read_cookies(cookies))


def read_cookies(headers: Iterable[bytes]) -> dict[str, str]:
    """Our own cookies by name; of one that stands twice the first counts, which is the one of the longer path."""
    cookies: dict[str, str] = {}
    for header in headers:
        for part in header.decode("latin-1").split(";"):
            name, _, value = part.strip().partition("=")
            if name.startswith(OUR_COOKIES):
                cookies.setdefault(name, value)
    return cookies


class Flash(msgspec.Struct, frozen=True):
    """A sentence for the next page that this person sees, until a moment (`until`).

    `once` are values that the page at `where` shows, and no page after it: a new secret, a revealed number.
    """

    tone: Tone
    text: str
    until: int
    where: str = ""
    once: dict[str, str] = {}


class Form:
    """The fields of a form or a query, in the order in which they were sent; line ends are `\\n`."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value.replace("\r\n", "\n").replace("\r", "\n"))

    def get(self, name: str, default: str = "") -> str:
        """The last value sent under this name."""
        values = self._values.get(name)
        return values[-1] if values else default

    def all(self, name: str) -> list[str]:
        return list(self._values.get(name, ()))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


class Wrong:
    """The mistakes of a form, for the summary on top and for each field."""

    def __init__(self, errors: Sequence[FieldError] = ()) -> None:
        self.errors = list(errors)
        self._first = {error.field: error.message for error in reversed(self.errors)}

    def at(self, name: str) -> str:
        """What is wrong with this field; empty if nothing is."""
        return self._first.get(name, "")

    def __len__(self) -> int:
        return len(self.errors)

    def __iter__(self) -> Iterator[FieldError]:
        return iter(self.errors)


@dataclass(slots=True)
class Visit:
    """One request for a page of the console.

    `path` holds the address's parameters (`{sid}`), `here` is the address with its query. On a page that is not open
    to strangers `who` is always there.
    """

    surroundings: Surroundings
    browser: Browser
    method: str
    here: str
    path: Mapping[str, str]
    query: Form
    headers: Mapping[str, str]
    entry: str = ""
    form: Form = field(default_factory=Form)
    signed_in: SignedIn | None = None
    begun: NewSession | None = None
    _cookies: list[str] = field(default_factory=list)
    _flash: Flash | None = None
    _flash_taken: bool = False

    @property
    def context(self) -> Context:
        return self.surroundings.context

    @property
    def who(self) -> SignedIn:
        assert self.signed_in is not None, "a page that strangers may see has no user"
        return self.signed_in

    @property
    def tenant(self) -> str:
        return self.who.user.tenant

    @property
    def actor(self) -> Actor:
        return self.who.actor

    @property
    def now(self) -> int:
        return self.context.clock()

    @property
    def htmx(self) -> bool:
        """Whether htmx asks, which puts a fragment into the page that is there."""
        return self.headers.get("hx-request") == "true"

    @property
    def token(self) -> str | None:
        """The session's token as the cookie brought it, living or not."""
        return self.browser.cookies.get(self._session_cookie) or None

    async def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A whole page; it extends `layout.html`, which shows the menu, the sandbox's banner and the flash."""
        policy = None
        if self.signed_in is not None:
            policy = await self.context.store.get(POLICIES, self.tenant) or Policy(self.tenant)
        flash = self._taken_flash()
        theme = self.browser.cookies.get(THEME, "")
        text = render(
            template,
            visit=self,
            user=self.signed_in.user if self.signed_in else None,
            policy=policy,
            sandbox=policy is not None and policy.sender_service == "sandbox",
            flash=flash,
            entry=self.entry,
            theme=theme if theme in ("light", "dark") else "auto",
            **values,
        )
        return self._with_cookies(HTMLResponse(text, status))

    def fragment(self, template: str, status: int = 200, **values: Any) -> Response:
        """A part of a page, for htmx."""
        return self._with_cookies(HTMLResponse(render(template, visit=self, **values), status))

    @property
    def shows_secret(self) -> bool:
        """Whether the page has values that no other will have."""
        return self._flash is not None and bool(self._flash.once)

    def once(self, name: str) -> str:
        """A value that the form before sent along for this one view; empty where there is none, as after a reload."""
        flash = self._taken_flash()
        return flash.once.get(name, "") if flash is not None else ""

    def go(
        self, where: str, tone: Tone = "success", flash: str = "", *, once: Mapping[str, str] | None = None
    ) -> Response:
        """Send the browser on with GET, with a sentence for the page that it comes to, and values for its one view."""
        if (flash or once) and self.signed_in is not None:
            path = where.partition("#")[0].partition("?")[0] if once else ""
            sentence = Flash(tone, flash, self.now + FLASH_S * 1000, path, dict(once or {}))
            said = msgspec.json.encode(sentence).decode()
            sealed = self.context.keyring.seal(FLASH_SEAL, said, self.who.session.token_sha256)
            self._set_cookie(FLASH, quote(sealed, safe=""), FLASH_S)
        headers = {"HX-Redirect": where} if self.htmx else {"Location": where}
        return self._with_cookies(Response(status_code=204 if self.htmx else 303, headers=headers))

    def begin(self, session: NewSession) -> None:
        """Give the browser a session."""
        self.begun = session
        self._set_cookie(self._session_cookie, session.token, None)

    def end(self) -> None:
        """Take the session from the browser."""
        self._set_cookie(self._session_cookie, "", 0)

    def set_theme(self, theme: str) -> None:
        """Light, dark, or whatever the system prefers."""
        self._set_cookie(THEME, theme if theme in ("light", "dark") else "", THEME_S if theme else 0)

    @property
    def _session_cookie(self) -> str:
        return "__Host-otpost" if self.browser.secure else "otpost"

    def _set_cookie(self, name: str, value: str, max_age_s: int | None) -> None:
        parts = [f"{name}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
        if max_age_s is not None:
            parts.append(f"Max-Age={max_age_s}")
        if self.browser.secure:
            parts.append("Secure")
        self._cookies.append("; ".join(parts))

    def _taken_flash(self) -> Flash | None:
        """The flash, which is taken from the browser with the first look at it; that of another page is left there."""
        sealed = self.browser.cookies.get(FLASH)
        if self._flash_taken or not sealed or self.signed_in is None:
            return self._flash
        self._flash_taken = True
        try:
            said = self.context.keyring.open(FLASH_SEAL, unquote(sealed), self.who.session.token_sha256).reveal()
            flash = msgspec.json.decode(said, type=Flash)
        except (KeyRingError, ValueError):
            flash = None
        if flash is not None and flash.where not in ("", self.here.partition("?")[0]):
            return None
        self._set_cookie(FLASH, "", 0)
        self._flash = flash if flash is not None and self.now < flash.until else None
        return self._flash

    def _with_cookies(self, response: Response) -> Response:
        for cookie in self._cookies:
            response.headers.append("set-cookie", cookie)
        self._cookies.clear()
        return response


Handler = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """One address of the console and what answers there.

    `entry` is the menu's entry that it belongs to; `open` lets strangers in, which only `/sign-in` does.
    """

    path: str
    get: Handler | None = None
    post: Handler | None = None
    entry: str = ""
    open: bool = False
