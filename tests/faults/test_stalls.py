"""One thing that is broken, and everybody else's texts that must not wait for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from sqlalchemy import update
from twilio.request_validator import RequestValidator

from installation import LOOPBACK, TO, Clock, Installation, installed, until
from matrix.driving import Impatient, at_rest, outcomes, to_the_end
from matrix.vendors import Fault, standing
from messaging.through_twilio import (
    INDIA,
    MAIN,
    accounts,
    attempts,
    choose_twilio,
    is_right_in_twilios_eyes,
    message,
    policy,
    send,
)
from otpost.messaging.breaker import OPENS_AFTER
from otpost.messaging.pace import IN_FLIGHT
from otpost.store import tables
from otpost.store.base import Store
from senders.contract import Answer
from standins.twilio import TwilioStandIn

pytestmark = pytest.mark.prove

PUBLIC = "https://otp.example.com"
HANGING = [f"+9191919{place:05d}" for place in range(IN_FLIGHT + 16)]
AT_ONCE_S = 5.0
"""Far less than a hanging service is waited for."""


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


async def start(otpost: Installation, to: str) -> Any:
    return await otpost.ok("POST", "/v1/verifications", {"to": to}, key=otpost.verify)


async def latest(otpost: Installation, verification: Any) -> Any:
    told = await otpost.ok("GET", f"/v1/verifications/{verification['sid']}")
    return told["messages"][-1]


async def has_gone(otpost: Installation, verification: Any) -> Any:
    sid = (await latest(otpost, verification))["sid"]
    return await otpost.message(sid)


def signed(attempt: str, sid: str, status: str) -> dict[str, Any]:
    """A report as Twilio makes it."""
    url = f"{PUBLIC}/callbacks/twilio/{attempt}"
    form = {"AccountSid": MAIN, "MessageSid": sid, "MessageStatus": status}
    signature = RequestValidator("token-main").compute_signature(url, form)
    return {
        "raw": "&".join(f"{name}={value}" for name, value in form.items()).encode(),
        "headers": {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature},
    }


async def test_while_a_service_holds_every_answer_of_one_account_nobody_else_waits(
    store: Store, twilio: TwilioStandIn
) -> None:
    async with installed(store, PUBLIC) as otpost:
        await choose_twilio(otpost, twilio, [INDIA])
        await twilio.plan()
        await twilio.fault("hang", account=INDIA.account)
        held = [await start(otpost, to) for to in HANGING]
        await twilio.wait_for(lambda records: records.held == IN_FLIGHT)
        took_ms: dict[str, float] = {}

        async def timed(what: str, asked: Coroutine[Any, Any, Any]) -> Any:
            loop = asyncio.get_running_loop()
            began = loop.time()
            async with asyncio.timeout(AT_ONCE_S):
                answer = await asked
            took_ms[what] = (loop.time() - began) * 1000
            return answer

        for to in (f"+1415555{place:04d}" for place in range(2000, 2010)):
            made = await timed("start", start(otpost, to))
            gone = await timed("text", has_gone(otpost, made))
            assert gone["status"] == "accepted"
            attempt = gone["attempts"][0]
            report = signed(attempt["sid"], attempt["vendor"]["sid"], "delivered")
            answer = await timed("callback", otpost.call("POST", f"/callbacks/twilio/{attempt['sid']}", **report))
            assert answer.status == 204, answer.text
            path = f"/v1/verifications/{made['sid']}/check"
            checked = await timed("check", otpost.ok("POST", path, {"code": otpost.code(made)}, key=otpost.verify))
            assert checked["valid"]
        for path in ("/v1/messages", "/v1/verifications", "/v1/sender-policy", "/v1/applications", "/readyz"):
            await timed(path, otpost.ok("GET", path))
        resent = held[0]
        wrong = {"code": otpost.wrong_code(resent)}
        checked = await timed("check", otpost.ok("POST", f"/v1/verifications/{resent['sid']}/check", wrong))
        assert not checked["valid"]
        assert (await twilio.counts())["held"] == IN_FLIGHT
        assert len(await twilio.requests(account=INDIA.account)) == IN_FLIGHT
        assert max(took_ms.values()) < AT_ONCE_S * 1000
        await twilio.clear_faults()
        await twilio.release("go_on")
        for verification in held:
            assert (await has_gone(otpost, verification))["status"] == "accepted"
        texts = await twilio.messages(account=INDIA.account)
        assert Counter(text.to for text in texts) == Counter(HANGING)
        assert {len((await latest(otpost, verification))["attempts"]) for verification in held} == {1}
        await is_right_in_twilios_eyes(twilio)


async def test_what_went_out_behind_a_time_out_is_found_and_never_told_as_failed(
    store: Store, twilio: TwilioStandIn
) -> None:
    clock, seen = Clock(), set[str]()
    async with installed(store, now=clock, http=Impatient(allow=LOOPBACK)) as otpost:
        await choose_twilio(otpost, twilio, [INDIA])
        await twilio.plan()
        await twilio.set_clock(clock())
        await twilio.fault("hang", "after", account=INDIA.account)
        held = await asyncio.gather(*(start(otpost, to) for to in HANGING[:24]))
        sids = [str((await latest(otpost, verification))["sid"]) for verification in held]

        async def tried() -> list[str | None]:
            return [attempt.outcome for sid in sids for attempt in await attempts(otpost, sid)]

        found = await until(tried, lambda found: None not in found and found.count("unknown") >= OPENS_AFTER)
        assert set(found) == {"unknown"}
        await twilio.clear_faults()
        while not all([(await message(otpost, sid)).handed_over for sid in sids]):
            seen |= {(await message(otpost, sid)).status for sid in sids}
            clock.advance(1)
            await twilio.set_clock(clock())
            await asyncio.sleep(0.05)
        assert seen <= {"queued", "sending", "accepted"}
        texts = await twilio.messages()
        assert Counter(text.to for text in texts) == Counter(HANGING[:24])
        assert {len(await attempts(otpost, sid)) for sid in sids} == {1}


async def test_a_text_of_a_caller_that_cannot_be_read_any_more_ends_and_stops_nobody(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=4, times=1)
    broken = (await send(otpost))["sid"]
    await until(lambda: message(otpost, broken), lambda row: row.tries == 1)
    own = tables.messages
    sealed = otpost.context.keyring.seal("elsewhere", "a text", "another message")
    await otpost.store.sweep(update(own).where(own.c.sid == broken).values(body=sealed))
    otpost.clock.advance(5)
    other = (await send(otpost, "+14155550620"))["sid"]
    assert (await otpost.message(other))["status"] == "accepted"
    ended = await otpost.message(broken)
    assert (ended["status"], ended["reason"]) == ("failed", "text_gone")
    assert [text.to for text in await twilio.messages()] == ["+14155550620"]


async def test_a_saved_policy_closes_its_breakers_and_nobody_waits_behind_them(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, [INDIA])
    await twilio.set_account(INDIA.account, status="suspended")
    refused = [(await send(otpost, to))["sid"] for to in HANGING[:10]]
    await until(lambda: otpost.store.select(tables.breakers.select()), lambda rows: len(rows) == 1)
    await twilio.set_account(INDIA.account, status="active")
    many = [(await send(otpost, to))["sid"] for to in HANGING]
    await choose_twilio(otpost, twilio, [INDIA], use_copilot=True)
    other = (await send(otpost))["sid"]
    assert (await otpost.message(other))["status"] == "accepted"
    for sid in many[:IN_FLIGHT]:
        assert (await otpost.message(sid))["status"] == "accepted"
    ended = Counter([(await otpost.message(sid))["status"] for sid in refused])
    assert ended.keys() <= {"failed", "accepted"}
    assert ended["failed"] >= OPENS_AFTER


async def test_a_service_that_asks_for_a_rest_of_days_is_asked_again_within_the_hour(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=604_800, times=1)
    first = (await send(otpost))["sid"]
    assert (await otpost.message(first))["status"] == "expired"
    otpost.clock.advance(3_600)
    second = (await send(otpost, "+14155550621"))["sid"]
    assert (await otpost.message(second))["status"] == "accepted"


async def test_while_an_account_rests_for_an_hour_codes_start_and_go_by_the_fallback(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    async with standing("vonage", otpost.clock) as other:
        section = {**policy(twilio.url), "fallback": ["vonage"], "vonage": other.section()}
        await otpost.ok("PUT", "/v1/sender-policy", section)
        await twilio.fault("answer", status=429, retry_after=3_600)
        first = await has_gone(otpost, await start(otpost, TO))
        assert [attempt["service"] for attempt in first["attempts"]] == ["twilio", "vonage"]
        for to in HANGING[:5]:
            gone = await has_gone(otpost, await start(otpost, to))
            assert [attempt["service"] for attempt in gone["attempts"]] == ["vonage"]
        assert (len(await twilio.requests()), len(other.made)) == (1, 6)


async def unknown_with_another_way(otpost: Installation, twilio: TwilioStandIn, **more: Any) -> str:
    """A text whose answer was lost after it went out, and whose policy gives it another way after ten seconds."""
    await otpost.ok("PUT", "/v1/sender-policy", {**policy(twilio.url), "failover_after_s": 10, **more})
    await twilio.plan()
    await twilio.set_clock(otpost.clock())
    await twilio.fault("close", "after", times=1)
    await twilio.fault("answer", operation="list", status=503)
    sid = str((await send(otpost, TO))["sid"])
    assert outcomes(await at_rest(otpost, sid)) == [("unknown", "answer_lost")]
    return sid


async def test_a_text_that_may_have_gone_out_has_not_failed_because_it_has_no_other_way(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    sid = await unknown_with_another_way(otpost, twilio)
    otpost.clock.advance(11)
    otpost.messaging.wake()
    await at_rest(otpost, sid)
    assert (await message(otpost, sid)).status == "sending"
    await twilio.clear_faults()
    seen = await to_the_end(otpost, sid)
    assert (seen[0].status, outcomes(seen)) == ("accepted", [("accepted", None)])
    assert len(await twilio.messages()) == 1


async def test_a_text_that_may_have_gone_out_has_not_failed_because_another_way_refused_it(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    async with standing("vonage", otpost.clock) as other:
        other.faults = [Fault("answer", answer=Answer(401, b"{}"))]
        sid = await unknown_with_another_way(otpost, twilio, fallback=["vonage"], vonage=other.section())
        otpost.clock.advance(11)
        otpost.messaging.wake()
        await until(lambda: attempts(otpost, sid), lambda rows: len(rows) == 2 and rows[1].outcome == "refused")
        assert (await message(otpost, sid)).status == "sending"
        await twilio.clear_faults()
        seen = await to_the_end(otpost, sid)
        assert outcomes(seen) == [("accepted", None), ("refused", "credentials_refused")]
        assert seen[0].status == "accepted"
        assert (len(await twilio.messages()), len(other.asked), len(other.made)) == (1, 1, 0)
