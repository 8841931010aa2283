"""Every way in which a verification or a message ends is posted to the application's webhooks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from api.world import quiet
from installation import Installation
from messaging.through_twilio import accounts, attempts_when, choose_twilio, send
from otpost.domain.webhook import EVENTS
from standins.receiver import Got, Receiver, posting, receiving
from standins.twilio import TwilioStandIn


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def webhook(otpost: Installation, receiver: Receiver) -> str:
    """A webhook for every event; its secret."""
    where = f"/v1/applications/{otpost.tenant.default_application}/webhooks"
    return str((await otpost.ok("POST", where, {"url": receiver.url, "events": list(EVENTS)}))["secret"])


def bodies(got: Sequence[Got]) -> set[tuple[str, str, str]]:
    """Type, SID and status of each post."""
    told: list[dict[str, Any]] = [json.loads(each.body) for each in got]
    return {(body["type"], body["data"]["sid"], body["data"]["status"]) for body in told}


async def test_every_end_of_a_verification_is_posted(otpost: Installation, receiver: Receiver):
    await otpost.choose_sandbox()
    secret = await webhook(otpost, receiver)
    async with posting(otpost):
        approved, canceled, used_up, expired, anew = [
            await otpost.ok("POST", "/v1/verifications", {"to": f"+1500555000{place}"}) for place in range(5)
        ]
        await quiet(otpost)
        await otpost.ok("POST", f"/v1/verifications/{approved['sid']}/check", {"code": otpost.code(approved)})
        await otpost.ok("POST", f"/v1/verifications/{canceled['sid']}/cancel")
        for _ in range(5):
            await otpost.ok("POST", f"/v1/verifications/{used_up['sid']}/check", {"code": otpost.wrong_code(used_up)})
        got = await receiver.wait_for(3)
        assert [each.proven(secret)["type"] for each in got] == [
            "verification.approved",
            "verification.canceled",
            "verification.max_attempts_reached",
        ]
        assert not any(otpost.code(approved) in each.body.decode().split('"') for each in got)
        otpost.clock.advance(280)
        await otpost.ok("POST", "/v1/verifications", {"to": anew["to"]})
        await quiet(otpost)
        otpost.clock.advance(30)
        assert bodies(await receiver.wait_for(5)) == {
            ("verification.approved", approved["sid"], "approved"),
            ("verification.canceled", canceled["sid"], "canceled"),
            ("verification.max_attempts_reached", used_up["sid"], "max_attempts_reached"),
            ("verification.expired", expired["sid"], "expired"),
            ("verification.expired", anew["sid"], "expired"),
        }


async def test_what_becomes_of_a_message_is_posted(otpost: Installation, receiver: Receiver):
    async with TwilioStandIn(accounts()) as twilio:
        await twilio.plan()
        await choose_twilio(otpost, twilio, [], auth_token="not the token")
        secret = await webhook(otpost, receiver)
        async with posting(otpost):
            refused = (await send(otpost))["sid"]
            (got,) = await receiver.wait_for(1)
            told = got.proven(secret)
            assert (told["type"], told["data"]["sid"]) == ("message.failed", refused)
            answered = await otpost.ok("GET", f"/v1/messages/{refused}")
            assert told["data"] == {name: answered[name] for name in told["data"]}
            await choose_twilio(otpost, twilio, [])
            late = (await send(otpost))["sid"]
            (attempt,) = await attempts_when(otpost, late, lambda rows: rows and rows[0].outcome == "accepted")
            await twilio.report(str(attempt.vendor_sid), "undelivered", 30003)
            otpost.clock.advance(60)
            assert ("message.undelivered", late, "undelivered") in bodies(await receiver.wait_for(2))
