"""The sender policy's page as a person without scripts uses it: fields filled in, buttons pressed, pages that come."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from messaging.through_twilio import MAIN as MAIN
from messaging.through_twilio import SENDER as SENDER
from standins.twilio import Account, MessagingService, TwilioStandIn
from web.browsing import Browser, Console, Seen

PATH = "/sender-policy"
MARK = "t0ken-that-nobody-may-see"
INDIA, INDIA_TOKEN, INDIA_SENDER = "AC" + "9" * 32, f"{MARK}-india", "+919191919191"
AMERICA, AMERICA_TOKEN, AMERICA_SENDER = "AC" + "1" * 32, f"{MARK}-america", "+14155550101"
TOKEN, OTHER_TOKEN = f"{MARK}-main", f"{MARK}-other"
SERVICE = "MG" + "a" * 32
TO, TO_INDIA = "+15005550006", "+919812345678"
TEXT = "a text of the administrator's own"
MAIN_FIELDS = {
    "twilio.account_sid": MAIN,
    "twilio.auth_token": TOKEN,
    "twilio.sender_phone": SENDER,
}
INDIA_ROW = {
    "dialing_code": "91",
    "account_sid": INDIA,
    "auth_token": INDIA_TOKEN,
    "sender_phone": r"91\9191919191",
}
AMERICA_ROW = {
    "dialing_code": "+1",
    "account_sid": AMERICA,
    "auth_token": AMERICA_TOKEN,
    "sender_phone": AMERICA_SENDER,
}


def accounts() -> list[Account]:
    """The main account with a Messaging Service of an American and an Indian number, and two subaccounts."""
    pool = MessagingService(SERVICE, ["+14155550160", "+917700900160"])
    return [
        Account(sid=MAIN, auth_token=TOKEN, numbers=[SENDER], messaging_services=[pool]),
        Account(sid=INDIA, auth_token=INDIA_TOKEN, parent=MAIN, numbers=[INDIA_SENDER]),
        Account(sid=AMERICA, auth_token=AMERICA_TOKEN, parent=MAIN, numbers=[AMERICA_SENDER]),
    ]


class _Fields(HTMLParser):
    """The fields of the policy's form with what stands in them, its buttons, and the labels."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.passwords: list[str] = []
        self.buttons: list[str] = []
        self.labels: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self._area = self._select = self._label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if "id" in given and name:
            self.ids[name] = given["id"]
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.fields[name] = given.get("value", "")
            if given.get("type") == "password":
                self.passwords.append(self.fields[name])
        elif tag == "select":
            self._select = name
            self.fields[name] = ""
        elif tag == "option" and self._select and "selected" in given:
            self.fields[self._select] = given["value"]
        elif tag == "textarea":
            self._area = name
            self.fields[name] = ""
        elif tag == "button" and name == "do":
            self.buttons.append(given["value"])
        elif tag == "label":
            self._label = given["for"]
            self.labels[self._label] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")
            self._area = ""
        elif tag == "select":
            self._select = ""
        elif tag == "label":
            self._label = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data
        elif self._label:
            self.labels[self._label] += data


@dataclass
class PolicyPage:
    """The page as it stands in one window; `htmls` are all pages that came, for the search for secrets."""

    browser: Browser
    seen: Seen
    fields: dict[str, str] = field(default_factory=dict)
    htmls: list[str] = field(default_factory=list)

    @classmethod
    async def enter(cls, browser: Browser) -> PolicyPage:
        page = cls(browser, await browser.get(PATH))
        page._take(page.seen)
        return page

    @property
    def text(self) -> str:
        return self.seen.text

    @property
    def controls(self) -> _Fields:
        parsed = _Fields()
        parsed.feed(self.seen.html)
        return parsed

    async def press(self, do: str, changed: dict[str, str] | None = None, **more: Any) -> Seen:
        """Fill in fields and press a button; None for a field leaves its box unticked."""
        self.fields.update(changed or {})
        self._take(await self.browser.post(PATH, {**self.fields, "do": do}, **more))
        return self.seen

    async def choose(self, service: str = "twilio", changed: dict[str, str] | None = None) -> None:
        await self.press("show", {"sender_service": service})
        self.fields.update(changed or {})

    async def add(self, row: dict[str, str], keep: bool = True) -> str:
        """Add a row, fill it in and press its Save; its path."""
        await self.press("add:twilio.subaccounts")
        path = self.fields["open"]
        self.fields.update({f"{path}.{name}": value for name, value in row.items()})
        if keep:
            await self.press("keep")
        return path

    async def save(self, changed: dict[str, str] | None = None) -> Seen:
        """Press the policy's Save and go where it leads."""
        seen = await self.press("save", changed)
        if seen.status == 303:
            self._take(await self.browser.get(seen.location))
        return seen

    def state(self, name: str) -> str:
        """What is said of a secret: `Set on …`, `typed, not saved yet`."""
        found = re.search(rf'id="{re.escape(self.controls.ids[name])}-state">([^<]*)<', self.seen.html)
        assert found is not None, f"nothing is said of {name}"
        return found[1]

    def error(self, name: str) -> str:
        """What is said at a field."""
        found = re.search(rf'id="{re.escape(self.controls.ids[name])}-error">([^<]*)<', self.seen.html)
        return found[1] if found else ""

    def rows(self) -> list[list[str]]:
        """The cells of the subaccounts' table."""
        table = re.search(r'<table class="table table-folds rows-table">(.*?)</table>', self.seen.html, re.DOTALL)
        lines = re.findall(r"<tr[^>]*>(.*?)</tr>", table[1], re.DOTALL)[1:] if table else []
        return [
            [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r'<td data-label="[^"]*">(.*?)</td>', line)]
            for line in lines
        ]

    def _take(self, seen: Seen) -> None:
        self.seen = seen
        self.htmls.append(seen.html)
        if seen.html:
            self.fields = self.controls.fields

    def gave_nothing_away(self) -> bool:
        return all(MARK not in html for html in self.htmls)


async def through(console: Console, twilio: TwilioStandIn, *, to: str = TO) -> Any:
    """A message of production; as it is once it has left."""
    sent = await console.here.ok("POST", "/v1/messages", {"to": to, "body": TEXT})
    return await console.here.message(sent["sid"])


def at(twilio: TwilioStandIn) -> dict[str, str]:
    """The field that leads to the pretended Twilio."""
    return {"twilio.api_url": twilio.url}
