"""Who is who in the tests of the pretended Twilio, and how they ask it: plain requests, and a taker of callbacks."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web

import oai
from standins.twilio import Account, MessagingService, Sender, TwilioStandIn

MAIN, SUB, STRANGER, TEST = ("AC" + letter * 32 for letter in "abcd")
POOL, EMPTY, BRITISH, FOREIGN_POOL, SHORT_POOL = ("MG" + digit * 32 for digit in "12345")
OWN, SUBS, STRANGERS = "+14155550100", "+442071838750", "+14155550300"
TO = "+919191919191"


def accounts() -> list[Account]:
    return [
        Account(
            sid=MAIN,
            auth_token="main-token",
            numbers=[OWN, "MyBrand"],
            messaging_services=[
                MessagingService(POOL, ["+14155550101", "+442071838751", "+4915112345678"]),
                MessagingService(EMPTY),
                MessagingService(BRITISH, ["+442071838752"]),
                MessagingService(SHORT_POOL, [Sender("70123", "DE")]),
            ],
            api_keys={"SK" + "a" * 32: "key-secret"},
        ),
        Account(sid=SUB, auth_token="sub-token", parent=MAIN, numbers=[SUBS]),
        Account(
            sid=STRANGER,
            auth_token="stranger-token",
            numbers=[STRANGERS],
            messaging_services=[MessagingService(FOREIGN_POOL, ["+14155550301"])],
        ),
        Account(sid=TEST, auth_token="test-token", test=True),
    ]


class Answer:
    def __init__(self, status: int, headers: Any, text: str) -> None:
        self.status, self.headers, self.text = status, headers, text

    @property
    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.text)
        return decoded


async def ask(
    twilio: TwilioStandIn, method: str, path: str, form: Any = None, user: tuple[str, str] = (MAIN, "main-token")
) -> Answer:
    headers = {"Authorization": "Basic " + base64.b64encode(":".join(user).encode()).decode()}
    body = None
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(form).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, twilio.url + path, data=body, headers=headers) as response,
    ):
        return Answer(response.status, response.headers, await response.text())


async def create(
    twilio: TwilioStandIn, account: str = MAIN, user: tuple[str, str] = (MAIN, "main-token"), **changes: Any
) -> Answer:
    """Posts a right message from the main account, with fields changed or (None) left out."""
    form = {"To": TO, "From": OWN, "Body": "123456 is your code", **changes}
    fields = {name: value for name, value in form.items() if value is not None}
    return await ask(twilio, "POST", f"/2010-04-01/Accounts/{account}/Messages.json", fields, user)


async def refusal(twilio: TwilioStandIn, *args: Any, **changes: Any) -> tuple[int, int]:
    answer = await create(twilio, *args, **changes)
    assert oai.judge_response("CreateMessage", answer.status, answer.json) == []
    return answer.status, answer.json["code"]


class Receiver:
    """A web server that takes status callbacks; `answers` are its next statuses, then 204."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], list[tuple[str, str]], str]] = []
        self.answers: list[int] = []
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        form = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        self.taken.append((dict(request.headers), form, request.raw_path))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)
