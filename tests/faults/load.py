"""A client that starts verifications while things break, and the promises that must hold at the end."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp

from faults.served import Answered, Api, Served, until
from otpost.domain.phone import NumberRefused, parse_recipient
from standins.twilio import MessageRecord, TwilioStandIn
from standins.twilio_asking import MAIN, OWN, SUB, SUBS, accounts

AT_ONCE = 32
AGAIN_S = 0.3
# Unknown outcomes are settled 25 s after the intent at the latest, those of a dead node begin up to 15 s later.
SETTLES_IN_S = 120.0
_MOBILES = (("+1415", 2_000_000), ("+447400", 100_000), ("+91981", 1_000_000))
_CODE = re.compile(r"(\d{6}) is your ")


def stand_in(latency_ms: int = 40) -> TwilioStandIn:
    """A Twilio in a process of its own, slow enough that a crash meets texts on their way."""
    own = TwilioStandIn(accounts(), process=True)
    own.config.latency_ms = latency_ms
    return own


def sender_policy(twilio: TwilioStandIn) -> dict[str, Any]:
    """The main account sends; Indian numbers are the subaccount's."""
    return {
        "sender_service": "twilio",
        "twilio": {
            "account_sid": MAIN,
            "auth_token": "main-token",
            "sender_phone": OWN,
            "api_url": twilio.url,
            "subaccounts": [
                {"dialing_code": "+91", "account_sid": SUB, "auth_token": "sub-token", "sender_phone": SUBS}
            ],
        },
    }


def recipients() -> Iterator[str]:
    """Valid mobile numbers of three countries in turn, each once."""
    for step in count():
        for prefix, first in _MOBILES:
            number = f"{prefix}{first + step}"
            try:
                yield parse_recipient(number).e164
            except NumberRefused:
                continue


@dataclass
class Load:
    """Verifications of `total` numbers, started by clients that repeat what was not answered, as a real one would."""

    api: Api
    total: int
    name: str
    acknowledged: dict[str, Any] = field(default_factory=dict)
    lost: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    replayed: int = 0

    async def run(self) -> None:
        """Starts one verification for each number."""
        numbers = recipients()
        waiting = [next(numbers) for _ in range(self.total)]

        async def client() -> None:
            while waiting:
                to = waiting.pop()
                self.acknowledged[to] = await self.start(to)

        async with asyncio.TaskGroup() as clients:
            for _ in range(AT_ONCE):
                clients.create_task(client())

    async def reached(self, share: float) -> None:
        """Returns once this share of the verifications has been acknowledged."""

        async def acknowledged() -> int:
            return len(self.acknowledged)

        await until(acknowledged, lambda seen: seen >= share * self.total, SETTLES_IN_S)

    async def start(self, to: str) -> Any:
        """The verification of a number, once it is acknowledged."""
        while True:
            try:
                answer = await self.api.call("POST", "/v1/verifications", {"to": to}, idempotency_key=f"start-{to}")
            except (aiohttp.ClientError, TimeoutError):
                self.lost += 1
            else:
                if answer.status == 201:
                    self.replayed += answer.headers.get("idempotent-replayed") == "true"
                    return answer.json
                assert answer.status == 503, answer.text
                assert answer.headers["retry-after"]
                self.refused[answer.json["detail"]] += 1
            await asyncio.sleep(AGAIN_S)


async def settled(api: Api) -> None:
    """Returns once every message has come to its end or has been handed over."""

    async def open_ones() -> list[Any]:
        found: list[Any] = []
        # Twice, as a message that is queued again while the first pair is asked for shows in neither.
        for status in ("queued", "sending", "queued", "sending"):
            found += (await api.ok("GET", f"/v1/messages?status={status}&limit=200"))["items"]
        return found

    await until(open_ones, lambda found: not found, SETTLES_IN_S)


async def judge(load: Load, twilio: TwilioStandIn) -> list[MessageRecord]:
    """Every acknowledged verification has its text, none has two, and each code checks out; the texts."""
    messages = await twilio.messages()
    texts = Counter(message.to for message in messages)
    assert {to for to in load.acknowledged if to not in texts} == set()
    assert {to: number for to, number in texts.items() if number != 1} == {}
    assert await twilio.violations() == []
    bodies = {message.to: message.body for message in messages}
    waiting = list(load.acknowledged)
    checked: dict[str, Any] = {}

    async def recipient() -> None:
        while waiting:
            to = waiting.pop()
            found = _CODE.match(bodies[to])
            assert found is not None
            sid = load.acknowledged[to]["sid"]
            answer: Answered = await load.api.call("POST", f"/v1/verifications/{sid}/check", {"code": found[1]})
            checked[to] = answer.json.get("status"), answer.json.get("valid")

    async with asyncio.TaskGroup() as all_of_them:
        for _ in range(AT_ONCE):
            all_of_them.create_task(recipient())
    assert {to: seen for to, seen in checked.items() if seen != ("approved", True)} == {}
    assert len(checked) == load.total
    return messages


async def tale(load: Load, api: Api, messages: list[MessageRecord], took_s: float) -> str:
    """What happened, in one line."""
    stories = await api.everything("/v1/messages")
    attempts = sum(len(story["attempts"]) for story in stories)
    again = sum(len(story["attempts"]) > 1 for story in stories)
    found_by = sum(
        bool(attempt["reason"]) or attempt["duration_ms"] is None
        for story in stories
        for attempt in story["attempts"]
        if attempt["outcome"] == "accepted"
    )
    return (
        f"{load.name}: {load.total} verifications, {len(messages)} texts, {attempts} attempts, {again} sent again, "
        f"{found_by} accepted without an answer; clients lost {load.lost} connections, got "
        f"{sum(load.refused.values())} times 503 and {load.replayed} first answers again; settled in {took_s:.0f} s"
    )


async def kill_three_times(service: Served, load: Load) -> None:
    """`kill -9` at a quarter, a half and three quarters of the load, and a new start at once."""
    for share in (0.25, 0.5, 0.75):
        await load.reached(share)
        await service.kill()
        await service.start()
