"""Some hundred messages through a service that refuses every fourth one: none is lost, none goes out twice."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Literal

import pytest

from faults.load import recipients, sender_policy
from installation import Installation, until
from standins.twilio import TwilioStandIn
from standins.twilio_asking import accounts

pytestmark = pytest.mark.prove

TOTAL = {"small": 200, "large": 4_000}
TICK_S = 0.05
COOLDOWN_S = 30
_CODE = re.compile(r"(\d{6}) is your ")


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


async def everything(otpost: Installation, path: str) -> list[Any]:
    """All items of a list."""
    items: list[Any] = []
    page = await otpost.ok("GET", f"{path}?limit=200")
    while True:
        items += page["items"]
        if page["next"] is None:
            return items
        page = await otpost.ok("GET", f"{path}?limit=200&cursor={page['next']}")


@asynccontextmanager
async def time_passing(otpost: Installation, twilio: TwilioStandIn) -> AsyncIterator[None]:
    """Meanwhile both sides' clocks go ten times as fast as the sun."""
    await twilio.set_clock(otpost.clock())

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            otpost.clock.advance(TICK_S * 10)
            await twilio.set_clock(otpost.clock())

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()


async def started(otpost: Installation, total: int) -> dict[str, Any]:
    """A verification for each of so many numbers, by number."""
    numbers = list(islice(recipients(), total))
    made = await asyncio.gather(
        *(otpost.ok("POST", "/v1/verifications", {"to": to}, key=otpost.verify) for to in numbers)
    )
    return dict(zip(numbers, made, strict=True))


async def settled(otpost: Installation) -> list[Any]:
    """Every message, as soon as none waits any more."""

    async def waiting() -> list[Any]:
        return [one for one in await everything(otpost, "/v1/messages") if one["status"] in ("queued", "sending")]

    await until(waiting, lambda found: not found, 120.0)
    return await everything(otpost, "/v1/messages")


async def given_up(otpost: Installation, twilio: TwilioStandIn, made: dict[str, Any]) -> dict[str, Any]:
    """Messages by number of those, and of those alone, whose request was answered 500 twice; they have no text."""
    messages = {message["to"]: message for message in await settled(otpost)}
    struck = Counter(dict(one.form)["To"] for one in await twilio.requests("create") if one.status == 500)
    for to, message in messages.items():
        expected = ["unknown", "unknown"] if struck[to] == 2 else ["unknown"] * struck[to] + ["accepted"]
        assert [one["outcome"] for one in message["attempts"]] == expected
    lost = {to: message for to, message in messages.items() if struck[to] == 2}
    assert {(message["status"], message["reason"]) for message in lost.values()} == {("unconfirmed", "answer_lost")}
    assert Counter(text.to for text in await twilio.messages()) == Counter(set(made) - set(lost))
    return lost


async def resent(otpost: Installation, made: dict[str, Any], numbers: Collection[str]) -> None:
    """The recipients ask again, once their cooldown is over, and are given the verification that they have."""
    otpost.clock.advance(COOLDOWN_S)
    again = await asyncio.gather(
        *(otpost.ok("POST", "/v1/verifications", {"to": to}, key=otpost.verify) for to in numbers)
    )
    assert {one["sid"] for one in again} == {made[to]["sid"] for to in numbers}


async def is_the_same_on_both_sides(
    otpost: Installation, twilio: TwilioStandIn, made: dict[str, Any], without: Collection[str] = ()
) -> list[Any]:
    """Each verification has one text that Otpost shows as gone out, and its code is right; the messages.

    The messages `without` a text are none of them: another one of their verification has gone out.
    """
    messages = [message for message in await settled(otpost) if message["sid"] not in without]
    texts = await twilio.messages()
    assert Counter(text.to for text in texts) == Counter(list(made))
    assert Counter(message["to"] for message in messages) == Counter(list(made))
    assert {message["status"] for message in messages} <= {"accepted", "sent", "delivered"}
    owned = Counter(one["vendor"]["sid"] for message in messages for one in message["attempts"] if one["vendor"]["sid"])
    assert owned == Counter(text.sid for text in texts)
    bodies = {text.to: text.body for text in texts}
    for to, verification in made.items():
        code = _CODE.match(bodies[to])
        assert code is not None
        path = f"/v1/verifications/{verification['sid']}"
        checked = await otpost.ok("POST", f"{path}/check", {"code": code[1]}, key=otpost.verify)
        assert (checked["valid"], checked["status"]) == (True, "approved")
    return messages


@pytest.mark.parametrize("when", ["before", "after"])
async def test_every_fourth_answered_500_is_settled_by_the_account_s_listing(
    otpost: Installation,
    twilio: TwilioStandIn,
    prove_scale: Literal["small", "large"],
    tell: Callable[[str], None],
    when: Literal["before", "after"],
) -> None:
    total = TOTAL[prove_scale]
    await otpost.ok("PUT", "/v1/sender-policy", sender_policy(twilio))
    await twilio.fault("answer", when, every=4, status=500)
    async with time_passing(otpost, twilio):
        made = await started(otpost, total)
        lost: dict[str, Any] = {}
        if when == "before":
            lost = await given_up(otpost, twilio, made)
            await twilio.clear_faults()
            await resent(otpost, made, lost)
        await settled(otpost)
    # With the clock at rest, lest the codes of thousands expire while they are checked.
    messages = await is_the_same_on_both_sides(otpost, twilio, made, {one["sid"] for one in lost.values()})
    tries = [[one["outcome"] for one in message["attempts"]] for message in messages]
    requests = await twilio.requests("create")
    assert len(requests) == sum(map(len, tries)) + 2 * len(lost)
    refused = sum(request.status == 500 for request in requests)
    assert refused >= total // 4
    if when == "after":
        assert tries == [["accepted"]] * total
    else:
        once = refused - 2 * len(lost)
        assert sorted(tries) == [["accepted"]] * (total - once) + [["unknown", "accepted"]] * once
    tell(
        f"every fourth of {total} answered 500 {when} its text was made: {refused} answers, {len(requests)} requests, "
        f"{len(lost)} struck twice and sent when their recipients asked again"
    )


async def test_every_fourth_answered_429_is_sent_later(
    otpost: Installation,
    twilio: TwilioStandIn,
    prove_scale: Literal["small", "large"],
    tell: Callable[[str], None],
) -> None:
    total = TOTAL[prove_scale]
    await otpost.ok("PUT", "/v1/sender-policy", sender_policy(twilio))
    await twilio.fault("answer", every=4, status=429, code=20429)
    async with time_passing(otpost, twilio):
        made = await started(otpost, total)
        messages = await is_the_same_on_both_sides(otpost, twilio, made)
    tries = [[(one["outcome"], one["reason"]) for one in message["attempts"]] for message in messages]
    requests = await twilio.requests("create")
    refused = sum(request.status == 429 for request in requests)
    assert refused >= total // 4
    assert {tried for each in tries for tried in each[:-1]} == {("unavailable", "throttled")}
    assert [each[-1] for each in tries] == [("accepted", None)] * total
    assert sum(len(each) - 1 for each in tries) == refused
    assert len(await twilio.requests("list")) == 0
    tell(f"every fourth of {total} answered 429: {refused} answers, {len(requests)} requests")
