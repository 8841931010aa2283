"""A sender policy whose texts go to the pretended Twilio, and how tests send through it and look at what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import oai
from installation import TO, Installation, until
from otpost.domain.message import Attempt, Message
from otpost.store.kinds import ATTEMPTS, MESSAGES
from standins.twilio import Account, MessagingService, TwilioStandIn

MAIN, MAIN_TOKEN, SENDER, SERVICE = "AC" + "a" * 32, "token-main", "+14155550100", "MG" + "a" * 32
TEXT = "a text of the caller's own"


class Row(NamedTuple):
    """A subaccount's row: `origin` is its sender phone, or a Messaging Service of its own."""

    dialing_code: str
    account: str
    token: str
    origin: str


AMERICA, RUSSIA, BRITAIN, INDIA, AIRTEL = (
    Row("+1", "AC" + "1" * 32, "token-america", "+14155550101"),
    Row("+7", "AC" + "7" * 32, "token-russia", "MG" + "7" * 32),
    Row("+44", "AC" + "4" * 32, "token-britain", "MG" + "4" * 32),
    Row("+91", "AC" + "9" * 32, "token-india", "+919191919191"),
    Row("+9198", "AC" + "5" * 32, "token-airtel", "+919812345678"),
)
ROWS = (
    AMERICA,
    Row("+1876", "AC" + "2" * 32, "token-jamaica", "+18765550102"),
    RUSSIA,
    Row("+77", "AC" + "8" * 32, "token-kazakhstan", "+77012345678"),
    BRITAIN,
    INDIA,
    AIRTEL,
    Row("+49", AMERICA.account, AMERICA.token, "+14155550149"),
)


def accounts() -> list[Account]:
    """The accounts at the pretended Twilio that the policy below knows, each with its origins."""
    made = {MAIN: Account(sid=MAIN, auth_token=MAIN_TOKEN, numbers=[SENDER])}
    made[MAIN].messaging_services.append(MessagingService(SERVICE, ["+14155550160", "+447400000160"]))
    for row in ROWS:
        account = made.setdefault(row.account, Account(sid=row.account, auth_token=row.token, parent=MAIN))
        if row.origin.startswith("MG"):
            account.messaging_services.append(MessagingService(row.origin, [f"+1415556{row.account[2] * 4}"]))
        else:
            account.numbers.append(row.origin)
    return list(made.values())


def policy(url: str, rows: Sequence[Row] = (), **changed: Any) -> dict[str, Any]:
    """A policy whose main account sends from its sender phone, unless `changed` says otherwise."""
    section = {
        "account_sid": MAIN,
        "auth_token": MAIN_TOKEN,
        "sender_phone": SENDER,
        "service_sid": SERVICE,
        "api_url": url,
        "subaccounts": [
            {
                "dialing_code": row.dialing_code,
                "account_sid": row.account,
                "auth_token": row.token,
                "service_sid" if row.origin.startswith("MG") else "sender_phone": row.origin,
            }
            for row in rows
        ],
    }
    return {"sender_service": "twilio", "twilio": {**section, **changed}}


async def choose_twilio(otpost: Installation, twilio: TwilioStandIn, rows: Sequence[Row] = (), **changed: Any) -> None:
    await otpost.ok("PUT", "/v1/sender-policy", policy(twilio.url, rows, **changed))


async def start(otpost: Installation, to: str = TO) -> Any:
    return await otpost.ok("POST", "/v1/verifications", {"to": to}, key=otpost.verify)


async def send(otpost: Installation, to: str = TO, body: str = TEXT, **more: Any) -> Any:
    return await otpost.ok("POST", "/v1/messages", {"to": to, "body": body, **more})


async def goes_well(otpost: Installation, to: str = "+14155550199") -> None:
    """A text that is accepted, so that the failures before it are no longer in a row."""
    assert (await otpost.message((await send(otpost, to))["sid"]))["status"] in ("accepted", "delivered")


async def message(otpost: Installation, sid: str) -> Message:
    """The message as it is kept."""
    row = await otpost.store.get(MESSAGES, sid)
    assert row is not None
    return row


async def attempts(otpost: Installation, sid: str) -> list[Attempt]:
    """The message's attempts as they are kept, oldest first."""
    return await otpost.store.find(ATTEMPTS, "message", sid)


async def attempts_when(otpost: Installation, sid: str, wanted: Callable[[list[Attempt]], object]) -> list[Attempt]:
    """The same, as soon as they are as wanted."""
    seen: list[Attempt] = await until(lambda: attempts(otpost, sid), lambda rows: bool(wanted(rows)))
    return seen


async def is_right_in_twilios_eyes(twilio: TwilioStandIn) -> None:
    """Every request so far is as Twilio's OpenAPI document wants it, and the pretended Twilio saw nothing odd."""
    for request in await twilio.requests():
        assert oai.judge_request(request.method, request.path, request.form, request.headers) == []
        assert request.username == request.account
    assert await twilio.violations() == []
