"""Some hundred messages through a service that refuses every fourth one: none is lost, none goes out twice."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
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


async def is_the_same_on_both_sides(otpost: Installation, twilio: TwilioStandIn, made: dict[str, Any]) -> list[Any]:
    """Each verification has one text that Otpost shows as gone out, and its code is right; the messages."""
    messages = await settled(otpost)
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
        messages = await is_the_same_on_both_sides(otpost, twilio, made)
    tries = [[one["outcome"] for one in message["attempts"]] for message in messages]
    requests = await twilio.requests("create")
    assert len(requests) == sum(map(len, tries))
    refused = sum(request.status == 500 for request in requests)
    assert refused >= total // 4
    if when == "after":
        assert tries == [["accepted"]] * total
    else:
        assert {outcome for tried in tries for outcome in tried[:-1]} == {"unknown"}
        assert sum(len(tried) - 1 for tried in tries) == refused
    tell(f"every fourth of {total} answered 500 {when} its text was made: {refused} answers, {len(requests)} requests")


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
