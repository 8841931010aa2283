"""The first account is suspended while codes go out: all arrive by the fallback, and later go by the first again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal

import pytest

from faults.load import recipients
from installation import Installation, until
from matrix.vendors import Vendor, standing
from messaging.through_twilio import MAIN, accounts, policy
from standins.twilio import TwilioStandIn
from web.browsing import Console

pytestmark = pytest.mark.prove

TOTAL = {"small": 90, "large": 3_000}
_CODE = re.compile(r"(\d{6}) is your ")


async def started(otpost: Installation, numbers: list[str]) -> dict[str, Any]:
    """A verification for each number."""
    made = await asyncio.gather(
        *(otpost.ok("POST", "/v1/verifications", {"to": to}, key=otpost.verify) for to in numbers)
    )
    return dict(zip(numbers, made, strict=True))


async def handed_over(otpost: Installation, made: dict[str, Any]) -> dict[str, Any]:
    """The message of each verification, by number, once a service has taken all of them."""
    gone = {}
    for to, verification in made.items():
        told = await otpost.ok("GET", f"/v1/verifications/{verification['sid']}")
        gone[to] = await otpost.message(told["messages"][0]["sid"])
    assert {message["status"] for message in gone.values()} <= {"accepted", "sent", "delivered"}
    return gone


async def codes_are_right(otpost: Installation, made: dict[str, Any], bodies: dict[str, str]) -> None:
    """The codes as they arrived approve their verifications, which are alive still."""
    for to, verification in made.items():
        code = _CODE.search(bodies[to])
        assert code is not None
        path = f"/v1/verifications/{verification['sid']}/check"
        assert (await otpost.ok("POST", path, {"code": code[1]}, key=otpost.verify))["valid"]


async def breakers(otpost: Installation) -> dict[str, str]:
    """How each account stands, as the API tells of it."""
    told = await otpost.ok("GET", "/v1/sender-policy/accounts")
    return {account["service"]: account["state"] for account in told["items"]}


def bodies_of(fallback: Vendor) -> dict[str, str]:
    """The texts that the fallback took, by number."""
    found = {}
    for text in fallback.made:
        body = text.request.body.decode()
        to = re.search(r'"to":"(\d+)"', body)
        assert to is not None
        found[f"+{to[1]}"] = body
    assert len(found) == len(fallback.made)
    return found


async def test_a_suspended_account_is_stood_in_for_and_taken_back(
    otpost: Installation, prove_scale: Literal["small", "large"], tell: Callable[[str], None]
) -> None:
    numbers = list(islice(recipients(), TOTAL[prove_scale]))
    third = len(numbers) // 3
    async with TwilioStandIn(accounts()) as twilio, standing("infobip", otpost.clock) as fallback:
        section = {**policy(twilio.url), "fallback": ["infobip"], "infobip": fallback.section()}
        await otpost.ok("PUT", "/v1/sender-policy", section)
        before = await started(otpost, numbers[:third])
        await twilio.wait_for(lambda records: len(records.messages) >= third // 2)
        await twilio.set_account(MAIN, status="suspended")
        during = await started(otpost, numbers[third : 2 * third])
        gone = await handed_over(otpost, {**before, **during})
        suspended = len(await twilio.messages())
        assert suspended + len(fallback.made) == 2 * third
        arrived = {**bodies_of(fallback), **{text.to: text.body for text in await twilio.messages()}}
        assert arrived.keys() == gone.keys()
        by_fallback = [message for message in gone.values() if message["attempts"][-1]["service"] == "infobip"]
        assert len(by_fallback) == len(fallback.made) >= third
        assert {
            (attempt["outcome"], attempt["reason"]) for message in by_fallback for attempt in message["attempts"][:-1]
        } == {("refused", "account_trouble")}
        assert max(len(message["attempts"]) for message in gone.values()) == 2
        await until(lambda: breakers(otpost), lambda told: told == {"twilio": "open", "infobip": "closed"})
        await codes_are_right(otpost, {**before, **during}, arrived)
        administrator = await Console(otpost, None).signed_in()
        assert f"Twilio {MAIN} is left alone since" in (await administrator.get("/overview")).text

        asked = len(await twilio.requests("create"))
        skipped = await handed_over(otpost, await started(otpost, ["+14155550171", "+14155550172"]))
        assert [len(message["attempts"]) for message in skipped.values()] == [1, 1]
        assert len(await twilio.requests("create")) == asked

        await twilio.set_account(MAIN, status="active")
        otpost.clock.advance(60)
        after = await started(otpost, numbers[2 * third :][:1])
        await handed_over(otpost, after)
        await until(lambda: breakers(otpost), lambda told: told == {"twilio": "closed", "infobip": "closed"})
        assert "is left alone" not in (await administrator.get("/overview")).text
        taken = len(fallback.made)
        rest = await started(otpost, numbers[2 * third :][1:])
        again = await handed_over(otpost, rest)
        assert {len(message["attempts"]) for message in again.values()} == {1}
        assert len(fallback.made) == taken
        await codes_are_right(otpost, {**after, **rest}, {text.to: text.body for text in await twilio.messages()})
        tell(
            f"{len(numbers)} codes, the first account suspended in the middle: {suspended} by it before, "
            f"{taken} by the fallback, {len(after) + len(rest)} by it again"
        )


async def test_an_account_that_is_still_suspended_is_probed_by_one_text_at_a_time(otpost: Installation) -> None:
    async with TwilioStandIn(accounts()) as twilio, standing("infobip", otpost.clock) as fallback:
        section = {**policy(twilio.url), "fallback": ["infobip"], "infobip": fallback.section()}
        await otpost.ok("PUT", "/v1/sender-policy", section)
        await twilio.set_account(MAIN, status="suspended")
        numbers = list(islice(recipients(), 60))
        await handed_over(otpost, await started(otpost, numbers[:20]))
        await until(lambda: breakers(otpost), lambda told: told["twilio"] == "open")
        for step in range(1, 4):
            asked = len(await twilio.requests("create"))
            otpost.clock.advance(120)
            await handed_over(otpost, await started(otpost, numbers[20 + step * 10 : 30 + step * 10]))
            assert len(await twilio.requests("create")) == asked + 1
            assert (await breakers(otpost))["twilio"] == "open"
        assert len(fallback.made) == 50
