"""A console in one process: an installation with its pages, and browsers that keep cookies and fill in forms."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

from argon2 import PasswordHasher
from starlette.types import ASGIApp

from asgi import Answered, ask
from installation import Installation
from otpost.api import application
from otpost.api.native.openapi import describe
from otpost.api.native.routes import ENDPOINTS
from otpost.domain.access import User
from otpost.services.audit import command_line_actor
from otpost.services.tenants.passwords import Passwords
from otpost.services.tenants.users import make_link, make_user
from otpost.web import Surroundings, make_routes

NAME, PASSWORD = "ada", "correct horse battery"
OWN = {"origin": "http://otpost.test", "sec-fetch-site": "same-origin"}
DESCRIBED = describe(ENDPOINTS)


class _Page(HTMLParser):
    """The text of a page, and the fields of its forms by the form's action."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self._area = ""
        self._skip = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = self.forms.setdefault(given.get("action", ""), {})
        elif tag == "input" and "name" in given and given.get("type") not in ("submit", "button"):
            if given.get("type") != "checkbox" or "checked" in given:
                self._form[given["name"]] = given.get("value", "")
        elif tag == "textarea":
            self._area = given["name"]
            self._form[self._area] = ""
        elif tag in ("script", "style", "svg"):
            self._skip += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._form[self._area] = self._form[self._area].removeprefix("\n")
            self._area = ""
        elif tag in ("script", "style", "svg"):
            self._skip -= 1

    def handle_data(self, data: str) -> None:
        if self._area:
            self._form[self._area] += data
        elif not self._skip:
            self.words.append(data)


@dataclass
class Seen:
    """A page as a browser has it."""

    answer: Answered
    where: str

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def html(self) -> str:
        return self.answer.text

    @property
    def text(self) -> str:
        """What can be read on it, blanks made one."""
        page = _Page()
        page.feed(self.html)
        return re.sub(r"\s+", " ", "".join(page.words)).strip()

    @property
    def title(self) -> str:
        return str(re.findall(r"<title>(.*?)</title>", self.html)[0])

    @property
    def location(self) -> str:
        return self.answer.headers.get("location", "")

    def form(self, action: str) -> dict[str, str]:
        """The fields of a form with what stands in them."""
        page = _Page()
        page.feed(self.html)
        return page.forms[action]


@dataclass
class Browser:
    """Keeps cookies; sends forms as a page of the console does, unless `headers` say otherwise."""

    app: ASGIApp
    address: str = "192.0.2.1"
    scheme: str = "http"
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, target: str, headers: dict[str, str] | None = None, *, follow: bool = False) -> Seen:
        seen = await self._ask("GET", target, {"accept": "text/html", **(headers or {})}, b"")
        while follow and seen.location:
            seen = await self._ask("GET", seen.location, {"accept": "text/html"}, b"")
        return seen

    async def post(
        self,
        target: str,
        fields: dict[str, str] | list[tuple[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        *,
        follow: bool = False,
    ) -> Seen:
        given = {"accept": "text/html", **(OWN if headers is None else headers)}
        given["content-type"] = "application/x-www-form-urlencoded"
        seen = await self._ask("POST", target, given, urlencode(fields or {}).encode())
        return await self.get(seen.location, follow=True) if follow and seen.location else seen

    async def sign_in(self, name: str = NAME, password: str = PASSWORD) -> Seen:
        return await self.post("/sign-in", {"name": name, "password": password})

    async def _ask(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Seen:
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        target = target.partition("#")[0]
        answer = await ask(
            self.app, method, target, headers=headers, body=body, client=(self.address, 50_000), scheme=self.scheme
        )
        for cookie in answer.cookies:
            name, _, value = cookie.split(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return Seen(answer, target)


class Console:
    """An installation with its console; `ada` is a user."""

    def __init__(self, here: Installation, public_url: str | None) -> None:
        self.here = here
        self.surroundings = Surroundings(
            context=here.context,
            plans=here.plans,
            key_uses=here.key_uses,
            http=here.http,
            public_url=public_url,
            openapi=DESCRIBED,
            passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)),
        )
        self.app = application(
            here.surroundings(public_url=public_url),
            make_routes(self.surroundings),
        )

    def browser(self, address: str = "192.0.2.1", scheme: str = "http") -> Browser:
        return Browser(self.app, address, scheme)

    async def user(self, name: str = NAME, password: str | None = PASSWORD) -> User:
        hashed = None if password is None else await self.surroundings.passwords.hash(password)
        actor = command_line_actor(self.here.tenant.sid)
        return await self.here.store.run(make_user(self.here.context, actor, name, hashed))

    async def link(self, user: User | None = None) -> str:
        """The path of a one-time link."""
        made = await self.here.store.run(make_link(self.here.context, self.here.tenant.sid, user.sid if user else None))
        return f"/sign-in?link={made.token}"

    async def signed_in(self) -> Browser:
        """A browser of ada's, who is made if need be."""
        browser = self.browser()
        if (await browser.sign_in()).status != 303:
            await self.user()
            assert (await browser.sign_in()).status == 303
        return browser
